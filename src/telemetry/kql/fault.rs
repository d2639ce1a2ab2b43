//! What is wrong with a query, and where.

use core::fmt;

/// Bytes before a place in the text of a query.
pub(super) type At = u32;

/// A query that is not run: what is wrong, where, and what is known instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFault {
    /// The operator in which it is; empty outside of any.
    pub operator: &'static str,
    /// What is wrong, in one line: lower case, without a full stop.
    pub reason: String,
    /// The piece of the query that is wrong; empty at its end.
    pub piece: String,
    /// The line of the piece, from 1.
    pub line: usize,
    /// Characters before the piece on its line, plus 1.
    pub column: usize,
    /// What is known instead; empty if there is nothing to say.
    pub known: String,
}

impl fmt::Display for QueryFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        if !self.operator.is_empty() {
            write!(formatter, "{}: ", self.operator)?;
        }
        formatter.write_str(&self.reason)?;
        if !self.piece.is_empty() {
            write!(formatter, ", at `{}`", self.piece)?;
        }
        if !self.known.is_empty() {
            write!(formatter, "; {}", self.known)?;
        }
        Ok(())
    }
}

impl core::error::Error for QueryFault {}

/// A fault whose place is not yet a line and a column.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) operator: &'static str,
    pub(super) reason: String,
    pub(super) known: String,
}

pub(super) type Checked<T> = Result<T, Box<Fault>>;

impl Fault {
    pub(super) fn new(at: At, reason: impl Into<String>) -> Box<Self> {
        Box::new(Self { at, operator: "", reason: reason.into(), known: String::new() })
    }

    /// Says what is known instead.
    pub(super) fn known(mut self: Box<Self>, known: impl Into<String>) -> Box<Self> {
        self.known = known.into();
        self
    }

    /// Names the operator, unless an operator within it is already named.
    pub(super) fn within(mut self: Box<Self>, operator: &'static str) -> Box<Self> {
        if self.operator.is_empty() {
            self.operator = operator;
        }
        self
    }

    /// The fault as its reader sees it.
    pub(super) fn placed(self, text: &str) -> QueryFault {
        let mut offset = (self.at as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        QueryFault {
            operator: self.operator,
            reason: printable(&self.reason),
            piece: printable(piece(&text[offset..])),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            known: printable(&self.known),
        }
    }
}

/// The first token of a text, roughly.
fn piece(text: &str) -> &str {
    const CHARACTERS_MAX: usize = 40;
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let end = match text.chars().next() {
        Some(first) if is_word(first) => text.find(|character| !is_word(character)).unwrap_or(text.len()),
        Some(first) => first.len_utf8(),
        None => 0,
    };
    match text[..end].char_indices().nth(CHARACTERS_MAX) {
        Some((cut, _)) => &text[..cut],
        None => &text[..end],
    }
}

/// Escapes control characters, since faults quote the query.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The name that is nearest to a misspelt one, in words; empty if none is near.
pub(super) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    const LIKENESS_MIN: f64 = 0.8;
    let wanted = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&wanted, &known.to_lowercase());
    let nearest = known
        .into_iter()
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map_or_else(String::new, |(_, known)| format!("did you mean `{known}`?"))
}
