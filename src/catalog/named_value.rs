//! Named values, from `named-values.toml`: texts that policy documents refer to as `{{name}}`.
//!
//! The value of a secret one shows up in no fault, log or other output of ringgate.
//!
//! Not here: putting them into policies.

use core::fmt;
use std::collections::BTreeMap;

use super::fault::Fault;
use super::fields::{Document, Fields};

/// Longest name of a named value, in characters (Azure API Management's own bound).
const NAMED_VALUE_NAME_CHARS_MAX: usize = 256;

/// Longest named value, in characters (Azure API Management's own bound).
const NAMED_VALUE_CHARS_MAX: usize = 4096;

/// Every named value by its name.
pub type NamedValues = BTreeMap<Box<str>, NamedValue>;

/// The file that holds them.
pub const NAMED_VALUES_FILE: &str = "named-values.toml";

/// A text with a name.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedValue {
    /// The text, 1 to 4096 characters and not all of them white space.
    pub value: String,
    /// Whether it is masked wherever it would be shown. Default no.
    pub is_secret: bool,
}

impl fmt::Debug for NamedValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.is_secret { Fault::MASKED } else { self.value.as_str() };
        formatter
            .debug_struct("NamedValue")
            .field("value", &shown)
            .field("is_secret", &self.is_secret)
            .finish()
    }
}

/// Reads the named values. `file` is the file's name in faults.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_named_values(file: &str, text: &str) -> Result<NamedValues, Vec<Fault>> {
    let document = Document::parse(file, text)?;
    let mut values = NamedValues::new();
    let mut is_whole = true;
    for (name, fields) in document.fields().take_every_table(&allowed_name(), is_name) {
        match take_named_value(fields) {
            Some(value) => drop(values.insert(name.into(), value)),
            None => is_whole = false,
        }
    }
    document.finish(is_whole.then_some(values))
}

fn take_named_value(mut fields: Fields<'_>) -> Option<NamedValue> {
    // Whether it is a secret may itself be at fault, so no value is ever shown.
    let value = fields.take_required_secret_text("value", &allowed_value(), |text| {
        let is_value =
            text.chars().count() <= NAMED_VALUE_CHARS_MAX && text.chars().any(|c| !c.is_whitespace());
        if is_value { Ok(text.to_owned()) } else { Err(allowed_value()) }
    });
    let is_secret = fields.take_boolean("secret");
    fields.finish();
    Some(NamedValue { value: value?, is_secret: is_secret.unwrap_or(false) })
}

fn is_name(text: &str) -> bool {
    (1..=NAMED_VALUE_NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn allowed_name() -> String {
    format!("use 1 to {} ascii letters, digits, '-', '.' and '_'", NAMED_VALUE_NAME_CHARS_MAX)
}

fn allowed_value() -> String {
    format!("a text of 1 to {} characters, not all of them white space", NAMED_VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NamedValues, Vec<String>> {
        parse_named_values(NAMED_VALUES_FILE, text)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn takes_plain_and_secret_values() {
        let values =
            parse("[host]\nvalue = \"h\"\n[\"api.key_1\"]\nvalue = \"s\"\nsecret = true").expect("two");
        assert_eq!(values.keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["api.key_1", "host"]);
        assert!(values["api.key_1"].is_secret && !values["host"].is_secret);
        assert!(parse("").expect("none").is_empty());
        let most = format!("[v]\nvalue = {:?}", "é".repeat(4096));
        assert!(parse(&most).is_ok());
    }

    #[test]
    fn no_fault_and_no_debug_output_shows_a_value() {
        let faults = parse(
            "a = \"hush\"\n[\"b c\"]\nvalue = \"hush\"\n[d]\nvalue = [\"hush\"]\n[e]\nvalu = \"hush\"\n[f]\nvalue = \" \"\n\
             secret = 1",
        )
        .expect_err("many");
        assert_eq!(faults.len(), 7, "{faults:#?}");
        assert!(faults.iter().all(|fault| !fault.contains("hush")), "{faults:#?}");
        let long = parse(&format!("[v]\nvalue = {:?}", "hush".repeat(1025))).expect_err("too long");
        assert!(!long[0].contains("hush"), "{long:?}");
        for broken in [
            "[v]\nvalue = hush",
            "[v]\nvalue = \"hush",
            "hush",
            "[v]\nvalue = \"\\hush\"",
            "[v]\nvalue = 'hush'x",
        ] {
            let faults = parse(broken).expect_err(broken);
            assert!(faults.len() == 1 && !faults[0].contains("hush"), "{faults:?}");
        }
        let values = parse("[k]\nvalue = \"hush\"\nsecret = true").expect("one");
        assert!(!format!("{values:?}").contains("hush"));
    }
}
