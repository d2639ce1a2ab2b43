//! The URL suffix under which an API is published.
//!
//! A suffix is compared with segments of a request path in their normal form (`compiled::path_segment`), so it is in that form
//! itself: no percent-encoding, no dot segments, no empty segments, no parameters.
//!
//! Not here: that no two APIs share one (`compiled::suffixes`), finding the API of a path (`compiled::routing`).

use core::fmt;

use super::name::Name;
use super::version_set::Version;
use crate::limits::SUFFIX_CHARS_MAX;

/// Segments of URL path characters (RFC 3986 §3.3, without `;`) joined by `/`, at most 400 characters. Empty: the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suffix(Box<str>);

impl Suffix {
    /// Checks a suffix.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_suffix =
            text.len() <= SUFFIX_CHARS_MAX && (text.is_empty() || text.split('/').all(is_segment));
        if is_suffix { Ok(Self(text.into())) } else { Err(Self::allowed()) }
    }

    /// The suffix as text, without a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its segments, none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// Returns the allowed form of a suffix, in words.
    pub fn allowed() -> String {
        format!(
            "at most {SUFFIX_CHARS_MAX} url path characters (letters, digits, -._~!$&'()*+,=:@) in segments joined \
             by '/', none of them empty, '.' or '..'; \"\" is the root"
        )
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `segment` may be one of a suffix. A `;` in it would begin a parameter, which no request may have there but
/// `;rev=N`.
pub(super) fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| byte != b';' && is_path_byte(byte))
}

/// RFC 3986 §3.3 `pchar`, without percent-encoding.
pub(super) fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// An API's claim to a suffix, and to a version of it.
#[derive(Clone, Debug)]
pub struct SuffixClaim {
    /// The line of the key, if it is known.
    pub line: Option<usize>,
    /// The suffix.
    pub suffix: Suffix,
    /// The version set that the API is part of.
    pub version_set: Option<Name>,
    /// Its version there.
    pub version: Option<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_path_segments_and_the_root() {
        for good in ["", "chat", "a/b/c", "a.b", "...", "~!$&'()*+,=:@-_", &"s".repeat(400)] {
            assert_eq!(Suffix::parse(good).as_ref().map(Suffix::as_str), Ok(good));
        }
        assert_eq!(Suffix::parse("").expect("the root").segments().count(), 0);
        assert_eq!(Suffix::parse("a/b").expect("two segments").segments().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn refuses_what_a_client_could_spell_in_two_ways() {
        for bad in [
            "/",
            "/chat",
            "chat/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            "a%20b",
            "%61",
            "a b",
            "a?b",
            "a;b",
            "a;rev=1",
            "a#b",
            "é",
            "a\\b",
            "a\"",
            &"s".repeat(401),
        ] {
            assert!(Suffix::parse(bad).is_err(), "{bad:?}");
        }
    }
}
