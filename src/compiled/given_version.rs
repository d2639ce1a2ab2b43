//! The version that a request asks for, in the header or the query parameter that its version set names.
//!
//! A version that is given more than once counts as none: a backend may read another of them than ringgate does.

use std::borrow::Cow;

use crate::catalog::given_key::values_of;
use crate::catalog::version_set::VersionScheme;
use crate::head::fields::Headers;

/// The version in a request.
pub fn given_version<'r>(
    scheme: &VersionScheme,
    headers: &'r Headers,
    query: Option<&'r str>,
) -> Option<Cow<'r, [u8]>> {
    fn only<'r>(mut values: impl Iterator<Item = Cow<'r, [u8]>>) -> Option<Cow<'r, [u8]>> {
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
    match scheme {
        // It is a part of the path.
        VersionScheme::Segment => None,
        VersionScheme::Header(name) => {
            let mut values = headers.iter().filter(|header| header.is(name.as_str()));
            only(values.by_ref().map(|header| Cow::Borrowed(header.value)))
        }
        VersionScheme::Query(name) => only(values_of(query, name)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::catalog::request_name::{HeaderName, QueryName};
    use crate::head::RequestHead;

    #[test]
    fn is_in_the_header_or_the_parameter_of_the_scheme_once() {
        let header = VersionScheme::Header(HeaderName::parse("Api-Version").unwrap());
        let parameter = VersionScheme::Query(QueryName::parse("v").unwrap());
        for (scheme, lines, query, expected) in [
            (&header, "api-version: v1\r\n", "v=v2", Some("v1")),
            (&header, "", "v=v2", None),
            (&header, "api-version: v1\r\nApi-Version: v1\r\n", "", None),
            (&parameter, "api-version: v1\r\n", "v=v%32", Some("v2")),
            (&parameter, "", "v=v2&v=v1", None),
            (&VersionScheme::Segment, "api-version: v1\r\n", "v=v2", None),
        ] {
            let head = format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
            let request = RequestHead::parse(Bytes::from(head)).unwrap();
            let given = given_version(scheme, request.headers(), Some(query));
            assert_eq!(given.as_deref(), expected.map(str::as_bytes), "{scheme:?} {lines:?} {query}");
        }
    }
}
