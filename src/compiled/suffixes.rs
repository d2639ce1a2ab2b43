//! The path of each API, and the rule that no two APIs share one, except versions of one set.
//!
//! Not here: finding the API of a path (`routing`).

use std::collections::HashMap;

use crate::catalog::fault::{Fault, Remedy};
use crate::catalog::name::Name;
use crate::catalog::suffix::{Suffix, SuffixClaim};
use crate::catalog::version_set::{Version, VersionScheme};

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
                remedy: Remedy::act(format!(
                    "{holder} has the same suffix{what}: choose another one, or put both into a version set"
                )),
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
        let act = "a has the same suffix: choose another one, or put both into a version set";
        assert_eq!(
            faults_of(&[plain("x"), plain("X"), plain("x"), plain("x"), plain("")]),
            [format!("c:3: suffix = \"x\"; {act}"), format!("d:3: suffix = \"x\"; {act}")]
        );
    }

    #[test]
    fn versions_of_one_set_may_share_a_suffix_each_once() {
        let chat = |version| claim("chat", Some("header"), version);
        assert_eq!(faults_of(&[chat(None), chat(Some("v1")), chat(Some("v2"))]), [""; 0]);
        let act =
            "b has the same suffix in the same version: choose another one, or put both into a version set";
        assert_eq!(
            faults_of(&[chat(None), chat(Some("v1")), chat(Some("v1"))]),
            [format!("c:3: suffix = \"chat\"; {act}")]
        );
        assert_eq!(faults_of(&[chat(None), claim("chat", None, None)]).len(), 1);
        assert_eq!(faults_of(&[claim("chat", None, None), chat(Some("v1"))]).len(), 1);
    }

    #[test]
    fn a_version_in_a_segment_is_part_of_the_path() {
        let chat = |version| claim("chat", Some("segment"), version);
        assert_eq!(faults_of(&[chat(None), chat(Some("v1")), chat(Some("v2"))]), [""; 0]);
        let act = "a has the same suffix: choose another one, or put both into a version set";
        assert_eq!(
            faults_of(&[chat(Some("v1")), claim("chat/v1", None, None)]),
            [format!("b:3: suffix = \"chat/v1\"; {act}")]
        );
        assert_eq!(faults_of(&[claim("", Some("segment"), Some("v1")), claim("v1", None, None)]).len(), 1);
    }

    #[test]
    fn a_claim_in_a_set_that_is_not_known_is_left_alone() {
        assert_eq!(faults_of(&[claim("x", Some("gone"), None), claim("x", None, None)]), [""; 0]);
    }
}
