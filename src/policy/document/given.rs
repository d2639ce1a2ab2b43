//! A value as its author gave it: its text, and where each character of it stands in the file.

use core::fmt;
use std::sync::Arc;

use super::raw_expressions::{Reading, plain_or_raw};
use crate::catalog::Fault;
use crate::catalog::named_value::NamedValues;
use crate::policy::expression::Expression;

/// A line and a column, from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: u32,
}

impl Place {
    /// The place `at` bytes into `source`.
    pub(crate) fn within(source: &str, at: usize) -> Self {
        let mut at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &source[..at];
        let line_start = before.rfind('\n').map_or(0, |line_feed| line_feed + 1);
        Self {
            line: memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
            column: u32::try_from(before[line_start..].chars().count()).map_or(u32::MAX, |before| before + 1),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A value: an expression, or text that means itself.
#[derive(Clone)]
pub(crate) struct Given {
    text: String,
    /// Bytes of the text, and bytes of the file, from which on both go in step; by the first, in order.
    marks: Vec<(usize, usize)>,
    /// The secrets that stand in it, and are masked wherever it is shown.
    secrets: Vec<Box<str>>,
}

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), formatter)
    }
}

/// `text` with these secrets masked.
pub(crate) fn masked(text: String, secrets: &[Box<str>]) -> String {
    // Where one secret holds another, no end of it is to be left.
    let mut secrets: Vec<&str> = secrets.iter().map(|secret| &**secret).collect();
    secrets.sort_unstable_by_key(|secret| core::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text, |text, secret| text.replace(secret, Fault::MASKED))
}

/// Where the characters of a value stand, for what goes wrong with it later.
pub(crate) struct Origin {
    file: Arc<str>,
    /// The file's text, which is shared with the catalogue.
    source: Arc<str>,
    /// As in [`Given`].
    marks: Box<[(usize, usize)]>,
}

impl Origin {
    /// The name of the file.
    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The place in the file of the byte `at` of the text.
    pub(crate) fn place_of(&self, at: usize) -> Place {
        Place::within(&self.source, source_of(&self.marks, at))
    }
}

/// Shows no text of the file.
impl fmt::Debug for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.place_of(0))
    }
}

fn source_of(marks: &[(usize, usize)], at: usize) -> usize {
    let index = marks.partition_point(|(of_text, _)| *of_text <= at).saturating_sub(1);
    let (of_text, of_source) = marks[index];
    of_source + (at - of_text)
}

/// Text without its entities.
pub(super) struct Unescaped {
    pub(super) text: String,
    /// As in [`Given`], from the start of what was unescaped.
    marks: Vec<(usize, usize)>,
}

impl Given {
    /// A value that stands as `slice` in the file, after `at` bytes, and that an XML parser read as `parsed`.
    pub(super) fn read(slice: &str, at: usize, parsed: &str) -> Self {
        if !Expression::is_expression(slice) {
            // A value that is told as a whole: what matters is where it begins.
            let leading = slice.len() - slice.trim_start().len();
            let text = parsed.trim().to_owned();
            return Self { text, marks: vec![(0, at + leading)], secrets: Vec::new() };
        }
        let at = at + slice.len() - slice.trim_start().len();
        let slice = slice.trim();
        let (text, marks) = match plain_or_raw(slice) {
            Reading::Plain(Unescaped { text, marks }) => (text, marks),
            Reading::Raw => (slice.to_owned(), vec![(0, 0)]),
        };
        let marks = marks.into_iter().map(|(of_text, of_slice)| (of_text, at + of_slice)).collect();
        Self { text, marks, secrets: Vec::new() }
    }

    /// Returns the given text. It may hold a secret.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of the file before the byte `at` of the text.
    pub(crate) fn source_of(&self, at: usize) -> usize {
        source_of(&self.marks, at)
    }

    /// Where the text stands in its file.
    pub(crate) fn origin(&self, file: &Arc<str>, source: &Arc<str>) -> Origin {
        Origin { file: Arc::clone(file), source: Arc::clone(source), marks: self.marks.as_slice().into() }
    }

    /// The secrets that stand in it.
    pub(crate) fn secrets(&self) -> &[Box<str>] {
        &self.secrets
    }

    /// Returns the given text with its secrets masked.
    pub(crate) fn shown(&self) -> String {
        self.masked(&self.text)
    }

    /// Returns a compiler's message about this value, unless it quotes a piece of a secret: a compiler quotes words, and a secret
    /// may have several.
    pub(crate) fn told(&self, message: &str) -> String {
        let masked = self.masked(message);
        let is_word_of_secret =
            |word: &str| word.len() > 2 && self.secrets.iter().any(|secret| secret.contains(word));
        let mut words = masked.split(|character: char| !(character.is_alphanumeric() || character == '_'));
        if words.any(is_word_of_secret) {
            return format!("{}, and something is wrong where its secret stands", Fault::MASKED);
        }
        masked
    }

    /// `text`, with the secrets of this value masked.
    fn masked(&self, text: &str) -> String {
        masked(text.to_owned(), &self.secrets)
    }

    /// The same with each `{{name}}` replaced by the named value, in at most so many bytes. What stands in a value is not
    /// looked at again.
    ///
    /// # Errors
    /// There is no such named value, or the text would be longer.
    pub(crate) fn with_named_values(
        mut self,
        values: &NamedValues,
        bytes_max: usize,
    ) -> Result<Self, Unsubstituted> {
        if self.text.len() > bytes_max {
            return Err(Unsubstituted::TooLong);
        }
        if !self.text.contains("{{") {
            return Ok(self);
        }
        let (mut text, mut marks, mut done) = (String::new(), Vec::new(), 0);
        let mut copy = |text: &mut String, from: usize, to: usize, given: &Self| {
            marks.push((text.len(), given.source_of(from)));
            let first = given.marks.partition_point(|(at, _)| *at <= from);
            let within = given.marks[first..].iter().take_while(|(at, _)| *at < to);
            marks.extend(within.map(|(at, source)| (text.len() + at - from, *source)));
            text.push_str(&given.text[from..to]);
        };
        while let Some((start, end, name)) = next_name(&self.text, done) {
            let value = values
                .get(name)
                .ok_or_else(|| Unsubstituted::Unknown { name: name.to_owned(), at: self.source_of(start) })?;
            copy(&mut text, done, start, &self);
            text.push_str(&value.value);
            if text.len() > bytes_max {
                return Err(Unsubstituted::TooLong);
            }
            if value.is_secret && !self.secrets.iter().any(|secret| **secret == *value.value) {
                self.secrets.push(value.value.as_str().into());
            }
            done = end;
        }
        copy(&mut text, done, self.text.len(), &self);
        Ok(Self { text, marks, secrets: self.secrets })
    }
}

/// Why named values were not put into a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsubstituted {
    /// There is none of that name, which stands `at` bytes into the file.
    Unknown {
        /// The name.
        name: String,
        /// Its place.
        at: usize,
    },
    /// It would be longer than it may be.
    TooLong,
}

/// The next `{{name}}` from `from` on: where it begins and ends, and the name. Braces around anything else are code.
fn next_name(text: &str, from: usize) -> Option<(usize, usize, &str)> {
    let mut at = from;
    loop {
        let start = at + text[at..].find("{{")?;
        let inner = start + 2;
        let length = text[inner..].find(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)))?;
        if length > 0 && text[inner + length..].starts_with("}}") {
            return Some((start, inner + length + 2, &text[inner..inner + length]));
        }
        at = start + 1;
    }
}

/// Replaces the entities and character references of XML. What is none stays as it is.
pub(super) fn unescaped(given: &str) -> Unescaped {
    let (mut text, mut marks, mut at) = (String::with_capacity(given.len()), vec![(0, 0)], 0);
    while let Some(found) = memchr::memchr(b'&', &given.as_bytes()[at..]) {
        text.push_str(&given[at..at + found]);
        at += found;
        match entity(&given[at..]) {
            Some((character, length)) => {
                text.push(character);
                at += length;
                marks.push((text.len(), at));
            }
            None => {
                text.push('&');
                at += 1;
            }
        }
    }
    text.push_str(&given[at..]);
    Unescaped { text, marks }
}

/// The character that an entity at the start of `text` stands for, and the entity's length.
fn entity(text: &str) -> Option<(char, usize)> {
    // The longest is `&#x10FFFF;`.
    let end = text.bytes().take(10).position(|byte| byte == b';')?;
    let character = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::named_value::parse_named_values;

    fn values() -> NamedValues {
        let text = "[host]\nvalue = \"h&<x>\"\n[key]\nvalue = \"hush\"\nsecret = true";
        parse_named_values("named-values.toml", text).expect("values")
    }

    #[test]
    fn named_values_stand_for_themselves_wherever_they_are() {
        for (given, expected) in [
            ("{{host}}", "h&<x>"),
            ("a{{host}}b{{host}}", "ah&<x>bh&<x>"),
            ("@(\"{{host}}\".Length)", "@(\"h&<x>\".Length)"),
            ("@{ if (a) {{ b(); }} }", "@{ if (a) {{ b(); }} }"),
            ("{{ host }}{{}}{{{host}}}", "{{ host }}{{}}{h&<x>}"),
        ] {
            let given = Given::read(given, 0, given).with_named_values(&values(), 99).expect(given);
            assert_eq!(given.text(), expected);
        }
    }

    #[test]
    fn a_name_without_a_value_is_told_with_its_place() {
        let given = Given::read("a {{host}} {{gone}}", 10, "a {{host}} {{gone}}");
        assert_eq!(
            given.with_named_values(&values(), 99).expect_err("gone"),
            Unsubstituted::Unknown { name: "gone".to_owned(), at: 21 }
        );
    }

    #[test]
    fn named_values_make_a_text_no_longer_than_it_may_be() {
        let given = |bytes_max| {
            Given::read("{{host}}{{host}}", 0, "{{host}}{{host}}").with_named_values(&values(), bytes_max)
        };
        assert_eq!(given(16).expect("a value").text(), "h&<x>h&<x>");
        assert_eq!(given(15).expect_err("it is long before"), Unsubstituted::TooLong);
        let short = Given::read("{{key}}{{key}}", 0, "{{key}}{{key}}").with_named_values(&values(), 14);
        assert_eq!(short.expect("a value").secrets().len(), 1, "one secret, however often");
    }

    #[test]
    fn places_behind_a_named_value_or_an_entity_are_those_of_the_file() {
        let slice = "@(\"{{host}}\" + 1 &lt; 2)";
        let given = Given::read(slice, 100, "").with_named_values(&values(), 99).expect("a value");
        let text = given.text().to_owned();
        assert_eq!(text, "@(\"h&<x>\" + 1 < 2)");
        for part in ["+", "2", ")"] {
            let at = text.rfind(part).expect(part);
            assert_eq!(given.source_of(at), 100 + slice.rfind(part).expect(part), "{part}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let given = Given::read("@(\"{{key}}\")", 0, "").with_named_values(&values(), 99).expect("a value");
        assert!(given.text().contains("hush"));
        assert!(!given.shown().contains("hush") && !format!("{given:?}").contains("hush"));
    }
}
