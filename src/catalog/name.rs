//! Names of catalogue entities: APIs, products, subscriptions, gateways, version sets.
//!
//! A name is safe as a file name, as a path segment of a URL, as a metric label and in a log line, without escaping.
//!
//! Not here: display names, which are free text.

use core::fmt;

/// Longest name of an API, a product, a subscription, a gateway or a version set, in characters (all of them ASCII).
///
/// Azure API Management ends at 256. A name is a file's name, of which Linux takes 255 bytes, and a file that is being
/// written has some more around it.
pub const NAME_CHARS_MAX: usize = 240;

/// 1 to 240 ASCII letters, digits, `-`, `_` and `.`; a letter or a digit comes first. Case counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A first dot would make a hidden file, or `..`; a first hyphen an option of a command.
        let is_name = (1..=NAME_CHARS_MAX).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if is_name { Ok(Self(text.into())) } else { Err(Self::allowed()) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the allowed form of a name, in words.
    pub fn allowed() -> String {
        format!("1 to {NAME_CHARS_MAX} ascii letters, digits, '-', '_' and '.', a letter or digit first")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_is_safe_everywhere_and_nothing_else() {
        for good in ["a", "Z", "0", "chat-v1.2_x", &"n".repeat(240)] {
            assert_eq!(Name::parse(good).as_ref().map(Name::as_str), Ok(good));
        }
        for bad in ["", ".", "..", ".a", "-a", "_a", "a b", "a/b", "é", "a\n", &"n".repeat(241)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
