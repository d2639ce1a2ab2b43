//! One thing that is wrong in the configuration, told so that the operator can mend it without looking anything up.
//!
//! A fault is one line: control characters are escaped, long values cut, and user information in a URL is hidden,
//! because faults end up in logs.
//!
//! Not here: what is allowed (each field's own module).

use core::fmt;

/// Longest part of a given value, in characters, that a fault shows.
const SHOWN_CHARS_MAX: usize = 80;

/// A place in the configuration, what stands there, and what may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file: the instance file as it was named, or a catalogue file relative to the catalogue's folder.
    pub file: String,
    /// The line, from 1. `None` when the fault is about something that is not there, or about the whole file.
    pub line: Option<usize>,
    /// The column of a policy document, from 1, in characters. `None` in other files, where a line has one key.
    pub column: Option<u32>,
    /// Dotted path of the key (`limits.head_timeout_ms`, `listeners[1].address`). Empty: the whole file.
    pub key: String,
    /// The value as it was given, [`Fault::MISSING`], [`Fault::UNKNOWN`], or what is the matter with the file.
    pub value: String,
    /// What may stand there: it completes the sentence "allowed is …".
    pub allowed: String,
}

impl Fault {
    /// The `value` of a key that must be there and is not.
    pub const MISSING: &'static str = "missing";

    /// The `value` of a key that means nothing. What was given to it is not shown: it may be a secret's misspelt key.
    pub const UNKNOWN: &'static str = "unknown";

    /// What stands where a secret would.
    pub const MASKED: &'static str = "***";

    /// A fault about a whole file: it cannot be read, or it is not TOML.
    pub fn of_file(file: &str, line: Option<usize>, matter: &str, allowed: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column: None,
            key: String::new(),
            value: shown(matter),
            allowed: allowed.to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&escaped(self.file.chars()))?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(formatter, ":{column}")?;
        }
        formatter.write_str(": ")?;
        match (self.key.as_str(), self.value.as_str()) {
            ("", matter) => formatter.write_str(matter)?,
            (key, absent @ (Self::MISSING | Self::UNKNOWN)) => write!(formatter, "{key} is {absent}")?,
            (key, value) => write!(formatter, "{key} = {value}")?,
        }
        write!(formatter, ": allowed is {}", self.allowed)
    }
}

/// `given` as a fault shows it: one line, cut after [`SHOWN_CHARS_MAX`], without user information.
pub(crate) fn shown(given: &str) -> String {
    let given = without_user_information(given);
    let mut characters = given.chars();
    let mut text = escaped(characters.by_ref().take(SHOWN_CHARS_MAX));
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

/// Text with its control characters escaped, so that it stays on its line.
pub(crate) fn escaped(characters: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for character in characters {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Replaces what stands between `//` and the last `@` of a URL's authority.
fn without_user_information(given: &str) -> String {
    let Some((before, after)) = given.split_once("//") else { return given.to_owned() };
    let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
    match after[..authority_end].rfind('@') {
        Some(at) => format!("{before}//***{}", &after[at..]),
        None => given.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(key: &str, value: &str) -> Fault {
        Fault {
            file: "apis/chat.toml".to_owned(),
            line: Some(4),
            column: None,
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: "1 to 86400 seconds".to_owned(),
        }
    }

    #[test]
    fn is_one_line_with_file_line_key_value_and_what_is_allowed() {
        assert_eq!(
            fault("idle_timeout_s", "0").to_string(),
            "apis/chat.toml:4: idle_timeout_s = 0: allowed is 1 to 86400 seconds"
        );
        assert_eq!(
            fault("idle_timeout_s", Fault::MISSING).to_string(),
            "apis/chat.toml:4: idle_timeout_s is missing: allowed is 1 to 86400 seconds"
        );
        assert_eq!(
            Fault::of_file("apis/chat.toml", None, "cannot be read", "a file").to_string(),
            "apis/chat.toml: cannot be read: allowed is a file"
        );
    }

    #[test]
    fn stays_on_one_line_whatever_the_file_is_called() {
        let fault = Fault::of_file("apis/a\nb.toml", None, "not\nutf-8", "text");
        assert_eq!(fault.to_string(), "apis/a\\nb.toml: not\\nutf-8: allowed is text");
    }

    #[test]
    fn shows_a_given_value_on_one_line_and_cut() {
        assert_eq!(shown("[\n1, 2]"), "[\\n1, 2]");
        assert_eq!(shown("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(shown(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
        assert_eq!(shown(&"é".repeat(80)), "é".repeat(80));
    }

    #[test]
    fn never_shows_user_information_of_a_url() {
        assert_eq!(shown("\"ws://user:pass@host/a\""), "\"ws://***@host/a\"");
        assert_eq!(shown("\"ws://user:p@ss@host\""), "\"ws://***@host\"");
        assert_eq!(shown("\"ws://host/a@b\""), "\"ws://host/a@b\"");
    }
}
