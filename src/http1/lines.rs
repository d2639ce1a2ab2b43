//! The lines of a head as they came, tolerant enough to say what is wrong with each of them (RFC 9112 §2.2, §5).
//!
//! A line ends at LF, whether CR stands before it or not, so that a head with a broken line still falls apart into
//! the lines that its sender meant. `field_fault` finds none exactly where httparse accepts a field line.
//!
//! Not here: which fault of a request counts first (`first_fault`).

use core::fmt;

use crate::head::fields::trim;
use crate::head::token::is_token;

/// How a line of a head breaks RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// A line that begins with white space: obs-fold, or white space in front of the first field (§2.2, §5.2).
    Folded,
    /// A CR that no LF follows (§2.2).
    BareCarriageReturn,
    /// A LF that no CR precedes (§2.2: a recipient may accept it; here it is refused).
    BareLineFeed,
    /// NUL, or another control character than HTAB, in a field value or the start line (RFC 9110 §5.5).
    ControlCharacter,
    /// White space between a field name and its colon (§5.1).
    SpaceBeforeColon,
    /// Any other line that is neither start line nor field line.
    Malformed,
}

impl LineFault {
    /// Returns the message to the sender.
    pub fn message(self) -> &'static str {
        match self {
            Self::Folded => "Folded header line",
            Self::BareCarriageReturn => "Bare CR in head",
            Self::BareLineFeed => "Bare LF in head",
            Self::ControlCharacter => "Control character in head",
            Self::SpaceBeforeColon => "Space before colon in header line",
            Self::Malformed => "Malformed line in head",
        }
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folded => "folded header line",
            Self::BareCarriageReturn => "bare CR",
            Self::BareLineFeed => "bare LF",
            Self::ControlCharacter => "control character",
            Self::SpaceBeforeColon => "space before colon",
            Self::Malformed => "malformed line",
        })
    }
}

/// One line of a head, its end cut off.
#[derive(Clone, Copy)]
pub(super) struct RawLine<'a> {
    pub(super) content: &'a [u8],
    pub(super) ends_in_crlf: bool,
}

/// The lines of a head up to its end, the empty line included.
#[derive(Clone)]
pub(super) struct RawLines<'a> {
    rest: &'a [u8],
}

impl<'a> RawLines<'a> {
    pub(super) fn new(head: &'a [u8]) -> Self {
        Self { rest: head }
    }
}

impl<'a> Iterator for RawLines<'a> {
    type Item = RawLine<'a>;

    fn next(&mut self) -> Option<RawLine<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(line_feed) => (&self.rest[..line_feed], &self.rest[line_feed + 1..]),
            // The head is not whole: what there is of its last line.
            None => {
                let line = RawLine { content: self.rest, ends_in_crlf: false };
                self.rest = &[];
                return Some(line);
            }
        };
        self.rest = rest;
        Some(match line.strip_suffix(b"\r") {
            Some(content) => RawLine { content, ends_in_crlf: true },
            None => RawLine { content: line, ends_in_crlf: false },
        })
    }
}

impl<'a> RawLine<'a> {
    pub(super) fn is_folded(self) -> bool {
        matches!(self.content.first(), Some(b' ' | b'\t'))
    }

    /// Name and value as their sender may have meant them: both trimmed, whatever else is wrong with the line.
    pub(super) fn field(self) -> Option<(&'a [u8], &'a [u8])> {
        if self.is_folded() {
            return None;
        }
        let colon = memchr::memchr(b':', self.content)?;
        Some((trim(&self.content[..colon]), trim(&self.content[colon + 1..])))
    }

    /// Returns the fault of this line as a field line (RFC 9112 §5).
    pub(super) fn field_fault(self) -> Option<LineFault> {
        if self.is_folded() {
            return Some(LineFault::Folded);
        }
        if let Some(fault) = self.end_fault() {
            return Some(fault);
        }
        let Some(colon) = memchr::memchr(b':', self.content) else {
            return Some(LineFault::Malformed);
        };
        let (name, value) = (&self.content[..colon], &self.content[colon + 1..]);
        if matches!(name.last(), Some(b' ' | b'\t')) {
            return Some(LineFault::SpaceBeforeColon);
        }
        if !is_token(name) {
            return Some(LineFault::Malformed);
        }
        value.iter().any(|&byte| is_control(byte)).then_some(LineFault::ControlCharacter)
    }

    /// Bare CR or LF in or behind this line.
    pub(super) fn end_fault(self) -> Option<LineFault> {
        if memchr::memchr(b'\r', self.content).is_some() {
            return Some(LineFault::BareCarriageReturn);
        }
        (!self.ends_in_crlf).then_some(LineFault::BareLineFeed)
    }
}

/// The first fault, from top to bottom, of the lines behind a start line; `lines` stands behind the start line.
pub(super) fn first_field_line_fault(lines: RawLines<'_>) -> Option<LineFault> {
    for line in lines {
        if line.content.is_empty() {
            return line.end_fault();
        }
        if let Some(fault) = line.field_fault() {
            return Some(fault);
        }
    }
    // No empty line: the head is not whole.
    Some(LineFault::Malformed)
}

/// Whether every CR and every LF is one half of a CRLF.
pub(super) fn has_only_crlf_line_ends(head: &[u8]) -> bool {
    let mut carriage_return = None;
    for position in memchr::memchr2_iter(b'\r', b'\n', head) {
        carriage_return = match (head[position], carriage_return) {
            (b'\r', None) => Some(position),
            (b'\n', Some(before)) if before + 1 == position => None,
            _ => return false,
        };
    }
    carriage_return.is_none()
}

/// Whether `byte` is a control character that may not stand in a field value (RFC 9110 §5.5).
pub(super) fn is_control(byte: u8) -> bool {
    byte != b'\t' && byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_fault_of_each_field_line() {
        let table: &[(&[u8], Option<LineFault>)] = &[
            (b"a: b\r\n", None),
            (b"a:\r\n", None),
            (b"a:\tb c\t\r\n", None),
            (b"a: \x80\xff\r\n", None),
            (b"a: b\n", Some(LineFault::BareLineFeed)),
            (b"a: b\rc\r\n", Some(LineFault::BareCarriageReturn)),
            (b"a: b\r\r\n", Some(LineFault::BareCarriageReturn)),
            (b" a: b\r\n", Some(LineFault::Folded)),
            (b"\tb\r\n", Some(LineFault::Folded)),
            (b"a : b\r\n", Some(LineFault::SpaceBeforeColon)),
            (b"a\t: b\r\n", Some(LineFault::SpaceBeforeColon)),
            (b"a: \0\r\n", Some(LineFault::ControlCharacter)),
            (b"a: \x01\r\n", Some(LineFault::ControlCharacter)),
            (b"a: \x7f\r\n", Some(LineFault::ControlCharacter)),
            (b": b\r\n", Some(LineFault::Malformed)),
            (b"ab\r\n", Some(LineFault::Malformed)),
            (b"a b: c\r\n", Some(LineFault::Malformed)),
            (b"a(: c\r\n", Some(LineFault::Malformed)),
            (b"\xc3\xa4: c\r\n", Some(LineFault::Malformed)),
        ];
        for (bytes, expected) in table {
            let line = RawLines::new(bytes).next().expect("one line");
            assert_eq!(line.field_fault(), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn tells_crlf_from_bare_cr_and_bare_lf() {
        for good in [&b""[..], b"a\r\nb\r\n\r\n", b"abc"] {
            assert!(has_only_crlf_line_ends(good), "{}", good.escape_ascii());
        }
        for bad in [&b"\n"[..], b"\r", b"a\rb\n", b"\r\r\n", b"\r\n\n", b"\n\r", b"a\r\nb\n\r\n"] {
            assert!(!has_only_crlf_line_ends(bad), "{}", bad.escape_ascii());
        }
    }
}
