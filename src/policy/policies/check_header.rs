//! `check-header`: refuses a request without a header, or with another value than those that are listed.
//!
//! A header that stands on several lines has no single value, and fails where values are listed.

use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::fields::is_name;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::{Setting, Status, shown_list};

struct CheckHeader {
    name: Setting<Text>,
    status: Setting<Status>,
    message: Setting<Text>,
    ignores_case: Setting<bool>,
    values: Vec<Setting<Text>>,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let name: Option<Setting<Text>> = compiling.setting(element, "name");
    if name.as_ref().and_then(Setting::fixed).is_some_and(|name| !is_name(name)) {
        compiling.refuse_value(element, "name", "the name of a header");
    }
    let status = compiling.setting(element, "failed-check-httpcode");
    let message = compiling.setting(element, "failed-check-error-message");
    let ignores_case = compiling.setting(element, "ignore-case");
    let values = compiling.values(element, |_| true, "");
    Some(Box::new(CheckHeader {
        name: name?,
        status: status?,
        message: message?,
        ignores_case: ignores_case?,
        values: values?,
    }))
}

impl Policy for CheckHeader {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let name = self.name.value(running)?;
        let (first, is_single) = {
            let mut given = running.exchange.request.get_all(&name);
            (given.next().map(str::to_owned), given.next().is_none())
        };
        let Some(given) = first else {
            let message = format!("Header {name} was not found in the request. Access denied.");
            return self.refuse("HeaderNotFound", message, running);
        };
        if self.values.is_empty() {
            return Ok(StepOutcome::Next);
        }
        let ignores_case = self.ignores_case.value(running)?;
        for value in &self.values {
            let value = value.value(running)?;
            let is_equal = if ignores_case { value.eq_ignore_ascii_case(&given) } else { *value == *given };
            if is_equal && is_single {
                return Ok(StepOutcome::Next);
            }
        }
        let message = format!("Header {name} value of {given} is not allowed. Access denied.");
        self.refuse("HeaderValueNotAllowed", message, running)
    }

    fn describe(&self) -> String {
        let wanted = if self.values.is_empty() {
            "has to be there".to_owned()
        } else {
            format!(
                "has to be one of {} (ignore-case: {})",
                shown_list(&self.values),
                self.ignores_case.shown()
            )
        };
        format!("{} {wanted}, else {} {}", self.name.shown(), self.status.shown(), self.message.shown())
    }
}

impl CheckHeader {
    fn refuse(
        &self,
        reason: &'static str,
        message: String,
        running: &mut Running<'_>,
    ) -> Result<StepOutcome, Failure> {
        let Status(status) = self.status.value(running)?;
        let said = self.message.value(running)?;
        Err(Failure::new(reason, message, status, &said))
    }
}
