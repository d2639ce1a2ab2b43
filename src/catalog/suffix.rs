//! The URL suffix under which an API is published, and the rule that no two APIs share one, versions of one set aside.
//!
//! A suffix is compared with segments of a request path in their one spelling (`path_segment`), so it is in that spelling
//! itself: no percent-encoding, no dot segments, no empty segments, no parameters.
//!
//! Not here: finding the API of a path (`routing`), paths that climb out of their suffix (`path_escape`).

use core::fmt;
use std::collections::HashMap;

use super::fault::Fault;
use super::name::Name;
use super::version_set::{Version, VersionScheme};
use crate::limits::SUFFIX_CHARS_MAX;

/// Segments of URL path characters (RFC 3986 §3.3, without `;`) joined by `/`, at most 400 characters. Empty: the root.
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

/// What an API asks for: its suffix, and which version of it.
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

/// The path, without its leading `/`, under which an API is found, given the scheme of its version set: with Segment, the
/// version is part of it.
pub(super) fn published_path(
    suffix: &Suffix,
    scheme: Option<&VersionScheme>,
    version: Option<&Version>,
) -> String {
    match (scheme, version) {
        (Some(VersionScheme::Segment), Some(version)) if suffix.as_str().is_empty() => version.to_string(),
        (Some(VersionScheme::Segment), Some(version)) => format!("{suffix}/{version}"),
        (_, _) => suffix.to_string(),
    }
}

/// Who holds a path.
struct Holder<'c> {
    /// The version set whose header or query parameter tells several APIs on it apart; `None`: it is one API's alone.
    version_set: Option<&'c Name>,
    /// The file of each version; `None` is the original API.
    files: Vec<(Option<&'c Version>, &'c str)>,
    /// The file that came first.
    first: &'c str,
}

/// A fault for each claim, of the file beside it, of what an earlier one holds.
///
/// `scheme_of` knows the version sets; a claim in one that it does not know is left alone.
pub fn shared_suffixes<'c>(
    claims: &[(&'c str, &'c SuffixClaim)],
    scheme_of: impl Fn(&Name) -> Option<&'c VersionScheme>,
) -> Vec<Fault> {
    let mut holders: HashMap<String, Holder<'_>> = HashMap::with_capacity(claims.len());
    let mut faults = Vec::new();
    for (file, claim) in claims.iter().copied() {
        let scheme = match claim.version_set.as_ref().map(&scheme_of) {
            Some(None) => continue,
            Some(Some(scheme)) => Some(scheme),
            None => None,
        };
        // With Segment, or without a set, a path belongs to one API; else to all the versions of a set.
        let version_set = match scheme {
            Some(VersionScheme::Header(_) | VersionScheme::Query(_)) => claim.version_set.as_ref(),
            Some(VersionScheme::Segment) | None => None,
        };
        let version = version_set.and(claim.version.as_ref());
        let path = published_path(&claim.suffix, scheme, claim.version.as_ref());
        let mut fault = |holder: &str, what: &str| {
            faults.push(Fault {
                file: file.to_owned(),
                line: claim.line,
                column: None,
                key: "suffix".to_owned(),
                value: format!("\"{path}\""),
                allowed: format!("a suffix that no other api has{what}, and {holder} has this one"),
            });
        };
        match holders.get_mut(&path) {
            None => {
                let files = vec![(version, file)];
                holders.insert(path, Holder { version_set, files, first: file });
            }
            Some(holder) if version_set.is_none() || holder.version_set != version_set => {
                fault(holder.first, "");
            }
            Some(holder) => match holder.files.iter().find(|(held, _)| *held == version) {
                Some((_, first)) => fault(first, " in the same version"),
                None => holder.files.push((version, file)),
            },
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::request_name::HeaderName;

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

    fn claim(suffix: &str, version_set: Option<&str>, version: Option<&str>) -> SuffixClaim {
        SuffixClaim {
            line: Some(3),
            suffix: Suffix::parse(suffix).expect("a suffix"),
            version_set: version_set.map(|name| Name::parse(name).expect("a name")),
            version: version.map(|version| Version::parse(version).expect("a version")),
        }
    }

    /// The faults of claims of the files `a`, `b`, …, where the sets `header` and `segment` are known.
    fn faults_of(claims: &[SuffixClaim]) -> Vec<String> {
        let header = VersionScheme::Header(HeaderName::parse("Api-Version").expect("a header"));
        let files = ["a", "b", "c", "d", "e"];
        let claims: Vec<_> = files.into_iter().zip(claims).collect();
        let scheme_of = |name: &Name| match name.as_str() {
            "header" => Some(&header),
            "segment" => Some(&VersionScheme::Segment),
            _ => None,
        };
        shared_suffixes(&claims, scheme_of).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn each_later_claim_of_a_suffix_is_a_fault_that_names_both_files() {
        let plain = |suffix| claim(suffix, None, None);
        let allowed = "allowed is a suffix that no other api has, and a has this one";
        assert_eq!(
            faults_of(&[plain("x"), plain("X"), plain("x"), plain("x"), plain("")]),
            [format!("c:3: suffix = \"x\": {allowed}"), format!("d:3: suffix = \"x\": {allowed}")]
        );
    }

    #[test]
    fn versions_of_one_set_may_share_a_suffix_each_once() {
        let chat = |version| claim("chat", Some("header"), version);
        assert_eq!(faults_of(&[chat(None), chat(Some("v1")), chat(Some("v2"))]), [""; 0]);
        let allowed = "allowed is a suffix that no other api has in the same version, and b has this one";
        assert_eq!(
            faults_of(&[chat(None), chat(Some("v1")), chat(Some("v1"))]),
            [format!("c:3: suffix = \"chat\": {allowed}")]
        );
        assert_eq!(faults_of(&[chat(None), claim("chat", None, None)]).len(), 1);
        assert_eq!(faults_of(&[claim("chat", None, None), chat(Some("v1"))]).len(), 1);
    }

    #[test]
    fn a_version_in_a_segment_is_part_of_the_path() {
        let chat = |version| claim("chat", Some("segment"), version);
        assert_eq!(faults_of(&[chat(None), chat(Some("v1")), chat(Some("v2"))]), [""; 0]);
        let allowed = "allowed is a suffix that no other api has, and a has this one";
        assert_eq!(
            faults_of(&[chat(Some("v1")), claim("chat/v1", None, None)]),
            [format!("b:3: suffix = \"chat/v1\": {allowed}")]
        );
        assert_eq!(faults_of(&[claim("", Some("segment"), Some("v1")), claim("v1", None, None)]).len(), 1);
    }

    #[test]
    fn a_claim_in_a_set_that_is_not_known_is_left_alone() {
        assert_eq!(faults_of(&[claim("x", Some("gone"), None), claim("x", None, None)]), [""; 0]);
    }
}
