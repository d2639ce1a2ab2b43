//! The URL suffix under which an API is published, and the rule that no two APIs share one.
//!
//! A suffix is compared with the bytes of a request path, so it is in the one form a client would send: no
//! percent-encoding, no dot segments, no empty segments.
//!
//! Not here: finding the API of a path (`snapshot`), paths that climb out of their suffix (`path_escape`).

use core::fmt;
use std::collections::HashMap;

use super::fault::Fault;
use crate::limits::SUFFIX_CHARS_MAX;

/// Segments of URL path characters (RFC 3986 §3.3) joined by `/`, at most 400 characters. Empty: the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suffix(Box<str>);

impl Suffix {
    /// Checks a suffix.
    ///
    /// # Errors
    /// What is allowed.
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

    /// What may be a suffix, in words.
    pub fn allowed() -> String {
        format!(
            "at most {SUFFIX_CHARS_MAX} url path characters (letters, digits, -._~!$&'()*+,;=:@) in segments joined \
             by '/', none of them empty, '.' or '..'; \"\" is the root"
        )
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_path_byte)
}

/// RFC 3986 §3.3 `pchar`, without percent-encoding.
pub(super) fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// A suffix and where it was asked for.
#[derive(Clone, Debug)]
pub struct SuffixClaim {
    /// The API's file.
    pub file: String,
    /// The line of the key, if it is known.
    pub line: Option<usize>,
    /// The suffix.
    pub suffix: Suffix,
}

/// A fault for each claim of a suffix that an earlier one holds.
pub fn shared_suffixes(claims: &[SuffixClaim]) -> Vec<Fault> {
    let mut holders: HashMap<&Suffix, &str> = HashMap::with_capacity(claims.len());
    let mut faults = Vec::new();
    for claim in claims {
        if let Some(holder) = holders.get(&claim.suffix) {
            faults.push(Fault {
                file: claim.file.clone(),
                line: claim.line,
                key: "suffix".to_owned(),
                value: format!("\"{}\"", claim.suffix),
                allowed: format!("a suffix that no other api has, and {holder} has this one"),
            });
        } else {
            holders.insert(&claim.suffix, &claim.file);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_path_segments_and_the_root() {
        for good in ["", "chat", "a/b/c", "a.b", "...", "~!$&'()*+,;=:@-_", &"s".repeat(400)] {
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
            "a#b",
            "é",
            "a\\b",
            "a\"",
            &"s".repeat(401),
        ] {
            assert!(Suffix::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_later_claim_of_a_suffix_is_a_fault_that_names_both_files() {
        let claim = |file: &str, suffix| SuffixClaim {
            file: file.to_owned(),
            line: Some(3),
            suffix: Suffix::parse(suffix).expect("a suffix"),
        };
        let claims = [claim("a", "x"), claim("b", "X"), claim("c", "x"), claim("d", "x"), claim("e", "")];
        let faults: Vec<String> = shared_suffixes(&claims).iter().map(Fault::to_string).collect();
        let allowed = "allowed is a suffix that no other api has, and a has this one";
        assert_eq!(
            faults,
            [format!("c:3: suffix = \"x\": {allowed}"), format!("d:3: suffix = \"x\": {allowed}")]
        );
    }
}
