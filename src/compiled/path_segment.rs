//! One segment of a request path in its normal form, in which it is compared with suffixes.
//!
//! Percent-encoded unreserved characters are decoded (RFC 3986 §2.3, §6.2.2.2), and the `;rev=N` of Azure API Management is split
//! off. Anything that servers do not all read alike is a fault: dot segments, backslashes, encoded slashes, other parameters,
//! broken escapes. A suffix has none of these, so a segment that equals a suffix's segment byte for byte needs no second look.
//!
//! Not here: which segments are compared (`routing`), what follows them (`head::path_escape`), double encoding (`%252e`), which
//! only a backend that decodes twice would resolve.

use core::fmt;
use std::borrow::Cow;

use crate::head::percent::percent_decoded;

/// Why a path is refused: what it names depends on who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// `.` or `..`, plain or percent-encoded, among the segments that are compared.
    DotSegment,
    /// A backslash, plain or percent-encoded, or a percent-encoded slash in one of them.
    HiddenSeparator,
    /// A `;` in one of them that does not begin `;rev=N`.
    Parameter,
    /// A `%` in one of them without two hexadecimal digits behind it (RFC 3986 §2.1).
    MalformedEscape,
    /// One of them would be another API's, or empty, if its encoded reserved characters were decoded.
    EncodedReserved,
    /// Dot segments behind the suffix lead out of it, into that of another API, or to a revision.
    Climbs,
}

impl PathFault {
    /// Returns the message to the client.
    pub fn message(self) -> &'static str {
        match self {
            Self::DotSegment => "Request path has a dot segment where it names the API",
            Self::HiddenSeparator => {
                "Request path has a backslash or an encoded slash where it names the API"
            }
            Self::Parameter => "Request path has a parameter other than ;rev=N where it names the API",
            Self::MalformedEscape => "Request path has a malformed percent-encoding where it names the API",
            Self::EncodedReserved => "Request path has an encoded reserved character where it names the API",
            Self::Climbs => "Request path leaves the API",
        }
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl core::error::Error for PathFault {}

/// A segment of a path, not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathSegment<'p> {
    /// The normalised name: no `;`, `\` or encoded slash in it, no escape of an unreserved character, neither `.` nor `..`. Empty
    /// if the segment is a revision alone.
    pub(super) name: Cow<'p, str>,
    /// The number in `;rev=N`. One that is too large for any revision is `u64::MAX`.
    pub(super) revision: Option<u64>,
}

impl<'p> PathSegment<'p> {
    /// Reads a segment as a client spelled it.
    ///
    /// # Errors
    /// Servers do not read it alike.
    pub(super) fn read(raw: &'p str) -> Result<Self, PathFault> {
        let (name, revision) = if raw.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b';')) {
            let text = unreserved_decoded(raw)?;
            match text.split_once(';') {
                Some((name, parameter)) => (Cow::Owned(name.to_owned()), Some(revision_of(parameter)?)),
                None => (Cow::Owned(text), None),
            }
        } else {
            (Cow::Borrowed(raw), None)
        };
        let segment = Self { name, revision };
        let decoded = segment.decoded_name();
        match decoded.as_deref().unwrap_or(&segment.name) {
            "." | ".." => Err(PathFault::DotSegment),
            // `%3bx` is an empty segment to a server that decodes it and cuts off the parameter.
            "" if decoded.is_some() => Err(PathFault::EncodedReserved),
            _ => Ok(segment),
        }
    }

    /// Its name to a server that decodes reserved characters too, and cuts off what is a parameter then. `None`: no other,
    /// or no text.
    pub(super) fn decoded_name(&self) -> Option<String> {
        if !self.name.contains('%') {
            return None;
        }
        let decoded = percent_decoded(&self.name);
        let name = decoded.split(|byte| *byte == b';').next()?;
        String::from_utf8(name.to_vec()).ok()
    }
}

/// `raw` with escapes of unreserved characters decoded and all others as they came.
fn unreserved_decoded(raw: &str) -> Result<String, PathFault> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['%', '\\']) {
        text.push_str(&rest[..at]);
        if rest[at..].starts_with('\\') {
            return Err(PathFault::HiddenSeparator);
        }
        let escape = rest.get(at..at + 3).ok_or(PathFault::MalformedEscape)?;
        let mut digits = escape[1..].chars().map(|digit| digit.to_digit(16));
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return Err(PathFault::MalformedEscape);
        };
        match char::from((high * 16 + low) as u8) {
            '/' | '\\' => return Err(PathFault::HiddenSeparator),
            // RFC 3986 §2.3.
            unreserved if unreserved.is_ascii_alphanumeric() || "-._~".contains(unreserved) => {
                text.push(unreserved);
            }
            _ => text.push_str(escape),
        }
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    Ok(text)
}

/// N of `rev=N`.
fn revision_of(parameter: &str) -> Result<u64, PathFault> {
    let digits = parameter.strip_prefix("rev=").ok_or(PathFault::Parameter)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PathFault::Parameter);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_escapes_are_decoded_and_others_stay_as_they_came() {
        for (raw, name) in [
            ("admin", "admin"),
            ("%61dmin", "admin"),
            ("%61%64%6D%69%6e", "admin"),
            ("%41%5a%7e%2d%5F%30", "AZ~-_0"),
            ("a.b", "a.b"),
            ("a%2eb", "a.b"),
            ("...", "..."),
            ("%2e%2e%2e", "..."),
            ("a!$&'()*+,=:@", "a!$&'()*+,=:@"),
            ("a%20b", "a%20b"),
            ("a%2Bb%3f", "a%2Bb%3f"),
            ("%c3%A4", "%c3%A4"),
            ("%ff", "%ff"),
            ("%00", "%00"),
            ("%2561dmin", "%2561dmin"),
            ("%25%36%31dmin", "%2561dmin"),
            ("", ""),
        ] {
            let read = PathSegment::read(raw).unwrap_or_else(|fault| panic!("{raw}: {fault}"));
            assert_eq!((&*read.name, read.revision), (name, None), "{raw}");
        }
    }

    #[test]
    fn a_revision_is_set_apart() {
        for (raw, name, revision) in [
            ("chat;rev=2", "chat", 2),
            ("ch%61t;rev=12", "chat", 12),
            ("chat;%72ev=%31", "chat", 1),
            (";rev=1", "", 1),
            ("chat;rev=0", "chat", 0),
            ("chat;rev=007", "chat", 7),
            ("chat;rev=99999999999999999999999", "chat", u64::MAX),
        ] {
            let read = PathSegment::read(raw).unwrap_or_else(|fault| panic!("{raw}: {fault}"));
            assert_eq!((&*read.name, read.revision), (name, Some(revision)), "{raw}");
        }
    }

    #[test]
    fn what_servers_do_not_read_alike_is_a_fault() {
        for (fault, segments) in [
            (
                PathFault::DotSegment,
                &[".", "..", "%2e", "%2E%2e", ".%2e", "%2e.", ".;rev=1", "..;rev=1", "..%3b", ".%3Bx"][..],
            ),
            (
                PathFault::HiddenSeparator,
                &["a\\b", "\\", "a%2fb", "%2F", "a%5cb", "%5C", "..%2f", "..\\", "a;%2f"],
            ),
            (
                PathFault::Parameter,
                &[
                    ";",
                    "a;",
                    "a;x",
                    "a;x=1",
                    "a;rev",
                    "a;rev=",
                    "a;rev=x",
                    "a;rev=1x",
                    "a;rev=-1",
                    "a;rev=+1",
                    "a;REV=1",
                    "a;Rev=1",
                    "a;rev=1;x",
                    "a;x;rev=1",
                    "a;rev=1;rev=1",
                    "a;rev=1%20",
                    "a;rev%3d1",
                    "a; rev=1",
                    "..;x",
                ],
            ),
            (PathFault::EncodedReserved, &["%3b", "%3Bx=1", "%3b%61"]),
            (
                PathFault::MalformedEscape,
                &["%", "a%", "%2", "%zz", "%2g", "%g2", "%%32", "%+1", "a%-1", "%é"],
            ),
        ] {
            for raw in segments {
                assert_eq!(PathSegment::read(raw), Err(fault), "{raw}");
            }
        }
    }

    #[test]
    fn a_name_has_another_reading_where_reserved_characters_are_encoded() {
        for (raw, decoded) in [
            ("a%40b", Some("a@b")),
            ("admin%3bx=1", Some("admin")),
            ("a%20b", Some("a b")),
            ("%c3%a4", Some("ä")),
            ("%ff", None),
            ("admin%3b%ff", Some("admin")),
            ("a%62", None),
            ("ab", None),
        ] {
            let read = PathSegment::read(raw).expect("a segment");
            assert_eq!(read.decoded_name().as_deref(), decoded, "{raw}");
        }
    }
}
