//! The subscription key in a request: in the API's header, or in its query parameter where the header is absent.
//!
//! A header or parameter that is given more than once counts as no key, whatever its values are: ringgate and the backend must
//! not take different values for the key. An empty one counts as absent.
//!
//! The request goes on to the backend as it came, key included, as in Azure API Management.
//!
//! Not here: whose key it is (`compiled::snapshot`).

use std::borrow::Cow;

use super::api::KeyNames;
use super::request_name::QueryName;
use crate::head::fields::Headers;
use crate::head::percent::percent_decoded;
use crate::limits::SUBSCRIPTION_KEY_BYTES_MAX;

/// The key in a request. It must not be shown, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenKey<'r> {
    /// Nothing.
    Nothing,
    /// A value that cannot be a key: too long, or given twice.
    NoKey,
    /// These bytes, 1 to 256.
    Key(Cow<'r, [u8]>),
}

impl<'r> GivenKey<'r> {
    /// Looks for a key.
    pub fn find(names: &'r KeyNames, headers: &'r Headers, query: Option<&'r str>) -> Self {
        let in_header = Self::only(headers.get_all(names.header.as_str()).map(Cow::Borrowed));
        match in_header {
            Self::Nothing => Self::only(values_of(query, &names.query)),
            found @ (Self::NoKey | Self::Key(_)) => found,
        }
    }

    fn only(mut values: impl Iterator<Item = Cow<'r, [u8]>>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) if value.is_empty() => Self::Nothing,
            (Some(value), None) if value.len() <= SUBSCRIPTION_KEY_BYTES_MAX => Self::Key(value),
            (Some(_), _) => Self::NoKey,
        }
    }
}

/// The values of a query parameter, percent-decoded. A `+` is itself: keys may be base64, and have no spaces.
pub(crate) fn values_of<'q>(query: Option<&'q str>, name: &QueryName) -> impl Iterator<Item = Cow<'q, [u8]>> {
    query.into_iter().flat_map(|query| query.split('&')).filter_map(move |pair| {
        let (given, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A name that needs no encoding may be sent encoded all the same.
        (percent_decoded(given).as_ref() == name.as_str().as_bytes()).then(|| percent_decoded(value))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::head::RequestHead;

    /// Finds the key in a request with these header lines and this query: the key, `-` for none, `?` for no key.
    fn found(lines: &str, query: &str) -> String {
        let head = format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let request = RequestHead::parse(Bytes::from(head)).expect("a request");
        let query = (!query.is_empty()).then_some(query);
        match GivenKey::find(&KeyNames::default(), request.headers(), query) {
            GivenKey::Nothing => "-".to_owned(),
            GivenKey::NoKey => "?".to_owned(),
            GivenKey::Key(key) => String::from_utf8_lossy(&key).into_owned(),
        }
    }

    #[test]
    fn the_header_comes_first_and_the_query_where_it_is_absent() {
        let header = "Ocp-Apim-Subscription-Key: one\r\n";
        for (lines, query, expected) in [
            ("", "", "-"),
            ("", "subscription-key=two", "two"),
            ("", "a=b&subscription-key=two&c", "two"),
            (header, "", "one"),
            (header, "subscription-key=two", "one"),
            (header, "subscription-key=two&subscription-key=three", "one"),
            ("OCP-APIM-SUBSCRIPTION-KEY:  one \r\n", "", "one"),
            ("Ocp-Apim-Subscription-Key:\r\n", "", "-"),
            ("Ocp-Apim-Subscription-Key:\r\n", "subscription-key=two", "two"),
            ("", "subscription-key", "-"),
            ("", "subscription-key=", "-"),
            ("", "Subscription-Key=two", "-"),
            ("", "xsubscription-key=two", "-"),
        ] {
            assert_eq!(found(lines, query), expected, "{lines:?} {query:?}");
        }
    }

    #[test]
    fn what_is_given_twice_is_no_key() {
        let header = "Ocp-Apim-Subscription-Key: one\r\n";
        assert_eq!(found(&header.repeat(2), "subscription-key=two"), "?");
        assert_eq!(found("", "subscription-key=two&subscription-key=two"), "?");
        assert_eq!(found("", "subscription-key=two&subscription%2Dkey=three"), "?");
    }

    #[test]
    fn a_key_in_the_query_is_percent_decoded_and_plus_is_plus() {
        assert_eq!(found("", "subscription-key=a%2Fb%3d"), "a/b=");
        assert_eq!(found("", "subscription-key=a+b=="), "a+b==");
        assert_eq!(found("", "subscription-key=%4"), "%4");
        assert_eq!(found("", "subscription-key=%"), "%");
    }

    #[test]
    fn a_key_has_a_longest_length() {
        let longest = "k".repeat(SUBSCRIPTION_KEY_BYTES_MAX);
        assert_eq!(found("", &format!("subscription-key={longest}")), longest);
        assert_eq!(found("", &format!("subscription-key={longest}k")), "?");
    }
}
