//! One version set, from `version-sets/<name>.toml`: how clients say which version of an API they mean.
//!
//! ```text
//! Segment   /chat/v2/room            the version is the path segment behind the suffix
//! Header    Api-Version: v2          one suffix, and a header tells the versions apart
//! Query     /chat/room?api-version=v2
//! ```
//!
//! An API of a set without a version of its own is the original: it serves requests that ask for no version, or for
//! one that does not exist. Without it, they get 404. Browsers cannot set headers: they need Segment or Query.
//!
//! Not here: finding the API (`compiled::snapshot`).

use core::fmt;

use super::fault::{Fault, Remedy};
use super::fields::Fields;
use super::name::Name;
use super::parsed::{Parsed, parse_entity};
use super::prose::{display_name_allowed, parse_description, parse_display_name};
use super::request_name::{HeaderName, QueryName};
use super::suffix::is_segment;
use crate::limits;

/// Longest version of an API, in characters (Azure API Management's own bound).
const VERSION_CHARS_MAX: usize = 100;

/// A version set, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSet {
    /// The name, which is that of its file.
    pub name: Name,
    /// Display name, 1 to 100 characters.
    pub display_name: String,
    /// Purpose, at most 4000 characters. Default empty.
    pub description: String,
    /// The part of a request that names the version.
    pub scheme: VersionScheme,
}

/// The part of a request that names the version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VersionScheme {
    /// In the path segment behind the suffix.
    Segment,
    /// In this header.
    Header(HeaderName),
    /// In this query parameter.
    Query(QueryName),
}

/// The version of an API: a path segment of 1 to 100 characters, whatever the scheme. Case counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// Checks a version.
    ///
    /// # Errors
    /// A description of the allowed versions.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() <= VERSION_CHARS_MAX && is_segment(text) {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "1 to {} url path characters (letters, digits, -._~!$&'()*+,=:@), not '.' or '..'",
            VERSION_CHARS_MAX
        ))
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for Version {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads a version set's file. `file` is its name in faults; `name` is the set's.
///
/// # Errors
/// Every fault of the file, in the order of lines.
pub fn parse_version_set(file: &str, name: &str, text: &str) -> Result<VersionSet, Vec<Fault>> {
    read_version_set(file, name, text).value
}

pub(crate) fn read_version_set(file: &str, name: &str, text: &str) -> Parsed<VersionSet> {
    parse_entity(file, name, text, "a version set", |document, name, _| {
        take_version_set(document.fields(), name)
    })
}

fn take_version_set(mut fields: Fields<'_>, name: Option<Name>) -> Option<VersionSet> {
    let chars_max = limits::SHORT_DISPLAY_NAME_CHARS_MAX;
    let display_name = fields.take_required_text("display_name", &display_name_allowed(chars_max), |text| {
        parse_display_name(text, chars_max)
    });
    let description =
        fields.take_text("description", |text| parse_description(text, limits::DESCRIPTION_CHARS_MAX));
    let allowed = "\"Segment\", \"Header\" or \"Query\"";
    let scheme = fields.take_required_text("versioning_scheme", allowed, |text| match text {
        "Segment" | "Header" | "Query" => Ok(text.to_owned()),
        _ => Err(allowed.to_owned()),
    });
    let header = fields.take_text("version_header_name", HeaderName::parse);
    let query = fields.take_text("version_query_name", QueryName::parse);
    let scheme = match scheme.as_deref() {
        Some("Header") => {
            fields.require("version_header_name", &HeaderName::allowed());
            fields.object("version_query_name", unused());
            header.map(VersionScheme::Header)
        }
        Some("Query") => {
            fields.require("version_query_name", &QueryName::allowed());
            fields.object("version_header_name", unused());
            query.map(VersionScheme::Query)
        }
        Some(_) => {
            fields.object("version_header_name", unused());
            fields.object("version_query_name", unused());
            Some(VersionScheme::Segment)
        }
        None => None,
    };
    fields.finish();
    Some(VersionSet {
        name: name?,
        display_name: display_name?,
        description: description.unwrap_or_default(),
        scheme: scheme?,
    })
}

/// The remedy for the name of a header or parameter that the scheme does not use.
fn unused() -> Remedy {
    Remedy::act("it has no effect with this versioning_scheme: remove it, or change the scheme")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Result<VersionSet, Vec<String>> {
        let text = format!("display_name = \"Chat\"\n{lines}");
        parse_version_set("version-sets/chat.toml", "chat", &text)
            .map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    #[test]
    fn has_one_of_three_schemes_with_what_that_one_needs() {
        let scheme = |lines| parse(lines).expect("a version set").scheme;
        assert_eq!(scheme("versioning_scheme = \"Segment\""), VersionScheme::Segment);
        assert_eq!(
            scheme("versioning_scheme = \"Header\"\nversion_header_name = \"Api-Version\""),
            VersionScheme::Header(HeaderName::parse("Api-Version").unwrap())
        );
        assert_eq!(
            scheme("versioning_scheme = \"Query\"\nversion_query_name = \"api-version\""),
            VersionScheme::Query(QueryName::parse("api-version").unwrap())
        );
        for bad in [
            "",
            "versioning_scheme = \"segment\"",
            "versioning_scheme = \"Header\"",
            "versioning_scheme = \"Query\"",
            "versioning_scheme = \"Segment\"\nversion_header_name = \"Api-Version\"",
            "versioning_scheme = \"Header\"\nversion_header_name = \"a b\"",
            "versioning_scheme = \"Query\"\nversion_query_name = \"a&b\"",
        ] {
            assert_eq!(parse(bad).expect_err(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_version_is_one_path_segment() {
        for good in ["v1", "1", "2026-01-01", &"v".repeat(100)] {
            assert!(Version::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "%61", &"v".repeat(101)] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
