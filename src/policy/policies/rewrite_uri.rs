//! `rewrite-uri`: asks the backend for another path, below that of its URL, and for another query.
//!
//! onHandshake has no template parameters, so a path has none either. What cannot stand in a target is percent-encoded.

use core::fmt::Write as _;

use crate::head::path_escape::leaves_suffix;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::query::unmatched;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::Setting;

struct RewriteUri {
    template: Setting<Text>,
    copies_unmatched: Setting<bool>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let template: Option<Setting<Text>> = compiling.setting(element, "template");
    if let Some(template) = template.as_ref().and_then(Setting::fixed) {
        let (path, _) = split(template);
        if template.contains("@(") || template.contains("@{") {
            compiling.refuse_value(element, "template", "a path, or one expression and nothing around it");
        } else if template.contains(['{', '}']) {
            compiling.refuse_value(
                element,
                "template",
                "a path without {parameters}, which onHandshake does not have",
            );
        } else if leaves_suffix(&path) {
            compiling.refuse_value(
                element,
                "template",
                "a path that stays below the one of the backend's URL",
            );
        }
    }
    let copies_unmatched = compiling.setting(element, "copy-unmatched-params");
    Some(Box::new(RewriteUri { template: template?, copies_unmatched: copies_unmatched? }))
}

impl Policy for RewriteUri {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let template = self.template.value(running)?;
        let copies_unmatched = self.copies_unmatched.value(running)?;
        let (path, query) = split(&template);
        let mut pairs: Vec<&str> = if query.is_empty() { Vec::new() } else { vec![&query] };
        if copies_unmatched {
            pairs.extend(unmatched(running.exchange.query(), &query));
        }
        let query = pairs.join("&");
        running.exchange.set_path(path)?;
        running.exchange.set_query(query)?;
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        format!("{}, copies the other parameters: {}", self.template.shown(), self.copies_unmatched.shown())
    }
}

/// The path, with its leading `/`, and the query of a template.
fn split(template: &str) -> (String, String) {
    let (path, query) = template.split_once('?').unwrap_or((template, ""));
    let path = if path.starts_with('/') { visible(path) } else { visible(&format!("/{path}")) };
    (path, visible(query))
}

/// Text with what cannot stand in a target percent-encoded.
fn visible(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    escaped
}
