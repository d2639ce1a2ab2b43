//! One fault of the configuration, with all that the operator needs to correct it.
//!
//! A fault is one line: control characters are escaped, long values cut, and user information in a URL is hidden,
//! because faults end up in logs.
//!
//! Not here: the allowed values (each field's own module).

use core::fmt;

/// Longest part of a given value, in characters, that a fault shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Longest matter of a file, in characters, that a fault tells.
const MATTER_CHARS_MAX: usize = 400;

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
    /// The remedy.
    pub remedy: Remedy,
}

/// The remedy of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Write a value like this. It completes the sentence "allowed is …".
    Allowed(Box<str>),
    /// Do this, where no value is meant. It is a sentence of its own.
    Act(Box<str>),
}

impl Remedy {
    /// One of these names, the nearest to what was `given` suggested if one is near.
    pub fn one_of(names: &[&str], given: &str) -> Self {
        let suggestion = match nearest(names, given) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        Self::Allowed(format!("one of {}{suggestion}", names.join(", ")).into())
    }

    /// An instruction.
    pub fn act(text: impl Into<Box<str>>) -> Self {
        Self::Act(text.into())
    }

    /// Its text, without "allowed is".
    pub fn text(&self) -> &str {
        match self {
            Self::Allowed(text) | Self::Act(text) => text,
        }
    }

    /// The same with its text replaced by what `edit` makes of it.
    #[must_use]
    pub fn map(self, edit: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Allowed(text) => Self::Allowed(edit(text.into()).into()),
            Self::Act(text) => Self::Act(edit(text.into()).into()),
        }
    }
}

impl From<String> for Remedy {
    fn from(allowed: String) -> Self {
        Self::Allowed(allowed.into())
    }
}

impl From<&str> for Remedy {
    fn from(allowed: &str) -> Self {
        Self::Allowed(allowed.into())
    }
}

/// The name that is nearest to what was `given`, if one is near enough to have been meant.
pub(crate) fn nearest<'n>(names: &[&'n str], given: &str) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &given.to_lowercase());
    let near = names.iter().map(|name| (distance(name), *name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= 1.max(given.chars().count() / 4)).map(|(_, name)| name)
}

impl Fault {
    /// The `value` of a key that must be there and is not.
    pub const MISSING: &'static str = "missing";

    /// The `value` of a key that means nothing. What was given to it is not shown: it may be a secret's misspelt key.
    pub const UNKNOWN: &'static str = "unknown";

    /// The placeholder for a secret.
    pub const MASKED: &'static str = "***";

    /// A fault about a whole file: it cannot be read, or it is not TOML. `act` says what to do.
    pub fn of_file(file: &str, line: Option<usize>, matter: &str, act: &str) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column: None,
            key: String::new(),
            value: escaped(matter.chars().take(MATTER_CHARS_MAX)),
            remedy: Remedy::act(act),
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
            (key, Self::MISSING) => write!(formatter, "{key} is missing")?,
            (key, Self::UNKNOWN) => write!(formatter, "{key} is not known")?,
            (key, value) => write!(formatter, "{key} = {value}")?,
        }
        match &self.remedy {
            Remedy::Allowed(text) if self.value == Self::MISSING => write!(formatter, "; set it to {text}"),
            Remedy::Allowed(text) => write!(formatter, ": allowed is {text}"),
            Remedy::Act(text) => write!(formatter, "; {text}"),
        }
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
            remedy: "1 to 86400 seconds".into(),
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
            "apis/chat.toml:4: idle_timeout_s is missing; set it to 1 to 86400 seconds"
        );
        assert_eq!(
            Fault::of_file("apis/chat.toml", None, "cannot be read", "make it readable").to_string(),
            "apis/chat.toml: cannot be read; make it readable"
        );
    }

    #[test]
    fn suggests_the_nearest_name_only_where_one_is_near() {
        let names = ["active", "cancelled", "suspended"];
        for (given, near) in [
            ("Active", Some("active")),
            ("canceled", Some("cancelled")),
            ("supsended", Some("suspended")),
            ("off", None),
            ("", None),
        ] {
            assert_eq!(nearest(&names, given), near, "{given}");
        }
        let told = Remedy::one_of(&names, "canceled");
        assert_eq!(told.text(), "one of active, cancelled, suspended; did you mean cancelled?");
        assert_eq!(Remedy::one_of(&names, "off").text(), "one of active, cancelled, suspended");
    }

    #[test]
    fn stays_on_one_line_whatever_the_file_is_called() {
        let fault = Fault::of_file("apis/a\nb.toml", None, "not\nutf-8", "text");
        assert_eq!(fault.to_string(), "apis/a\\nb.toml: not\\nutf-8; text");
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
