//! The page of the demo: a WebSocket client to try `/echo` with in a browser.
//!
//! The property to trust: the page loads nothing, and runs no script and no style but its own. Its policy (CSP) names both by
//! their hashes, which are computed of the page itself.
//!
//! Not here: when it is served (`front::root_page`).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::front::RootPage;

/// The page as it is sent.
const PAGE: &str = include_str!("demo_page.html");

/// The page, with the fields that go with it.
pub fn demo_page() -> RootPage {
    let (script, style) = (hash(inside("script")), hash(inside("style")));
    // 'self' of connect-src is ws: and wss: of the page's own host and port too (CSP3 §6.7.2.8).
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let field = |name, value: &str| (name, value.to_owned());
    RootPage {
        fields: vec![
            field("Content-Type", "text/html; charset=utf-8"),
            field("Content-Security-Policy", &policy),
            field("X-Content-Type-Options", "nosniff"),
            field("Referrer-Policy", "no-referrer"),
            field("Cache-Control", "no-store"),
        ],
        body: PAGE.to_owned(),
    }
}

/// The text of the page's one element of this name.
fn inside(element: &str) -> &'static str {
    let behind = PAGE.split_once(&format!("<{element}>")).map(|(_, behind)| behind);
    let text = behind.and_then(|behind| behind.split_once(&format!("</{element}>")));
    text.map(|(text, _)| text).expect("the page has one such element, as a test sees")
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_document_that_loads_nothing() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert!(!inside(element).is_empty());
        }
        for outside in [
            "http://",
            "https://",
            "//cdn",
            "src=",
            "@import",
            "url(",
            "style=",
            "onclick",
            "onsubmit",
            "innerHTML",
        ] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        for needed in
            ["<!doctype html>", "lang=\"en\"", "aria-live=\"polite\"", "color-scheme", "<label for="]
        {
            assert!(PAGE.contains(needed), "{needed}");
        }
    }

    #[test]
    fn the_policy_has_no_unsafe_source_and_no_control_character() {
        let page = demo_page();
        let (_, policy) = &page.fields[1];
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert!(page.fields.iter().all(|(_, value)| !value.chars().any(char::is_control)));
    }
}
