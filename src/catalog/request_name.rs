//! Names that an operator chooses for a header or a query parameter of requests: of keys, of versions.
//!
//! Each has a single form in which a client can send it, so that it is found by comparing bytes.

use core::fmt;

/// Longest name of a header or query parameter that an operator chooses, in characters. Over it: a fault.
const REQUEST_NAME_CHARS_MAX: usize = 256;

/// A header's name: an RFC 9110 token of 1 to 256 characters. Case does not count.
#[derive(Clone, Debug)]
pub struct HeaderName(Box<str>);

/// Headers that mean something to a handshake, or that end at a gateway.
const TAKEN: [&str; 10] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "forwarded",
];

/// The prefixes of headers of a handshake and of a gateway.
const TAKEN_PREFIXES: [&str; 2] = ["sec-websocket-", "x-forwarded-"];

impl HeaderName {
    /// Checks a name that an operator chooses: none that an opening handshake needs for something else.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let is_taken =
            TAKEN.contains(&lower.as_str()) || TAKEN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        if is_token(text) && !is_taken { Ok(Self(text.into())) } else { Err(Self::allowed()) }
    }

    /// Checks a name that may be any header's, those of a handshake and of a gateway included.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse_any(text: &str) -> Result<Self, String> {
        if is_token(text) {
            return Ok(Self(text.into()));
        }
        Err(format!("1 to {REQUEST_NAME_CHARS_MAX} characters of a header's name"))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the allowed form, in words.
    pub fn allowed() -> String {
        format!(
            "1 to {REQUEST_NAME_CHARS_MAX} characters of a header's name, not one that a handshake or a gateway uses"
        )
    }
}

/// Whether a text is a token (RFC 9110 §5.6.2) of a length that a header's name may have.
fn is_token(text: &str) -> bool {
    (1..=REQUEST_NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HeaderName {}

impl core::hash::Hash for HeaderName {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A query parameter's name: 1 to 256 characters that need no percent-encoding (RFC 3986 §2.3). Case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryName(Box<str>);

impl QueryName {
    /// Checks a name.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_name = (1..=REQUEST_NAME_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if is_name { Ok(Self(text.into())) } else { Err(Self::allowed()) }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the allowed form, in words.
    pub fn allowed() -> String {
        format!("1 to {REQUEST_NAME_CHARS_MAX} letters, digits, '-', '.', '_' and '~'")
    }
}

impl fmt::Display for QueryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_token_that_no_handshake_needs() {
        for good in ["Ocp-Apim-Subscription-Key", "x", "Api_Key", "authorization"] {
            assert!(HeaderName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "é", "HOST", "Sec-WebSocket-Key", "x-forwarded-for", &"n".repeat(257)]
        {
            assert!(HeaderName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(HeaderName::parse("API-KEY"), HeaderName::parse("api-key"));
    }

    #[test]
    fn a_query_parameter_needs_no_encoding() {
        for good in ["subscription-key", "k", "a.b_c~d"] {
            assert!(QueryName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a=b", "a&b", "a+b", "%61", "a b", &"n".repeat(257)] {
            assert!(QueryName::parse(bad).is_err(), "{bad}");
        }
        assert_ne!(QueryName::parse("A"), QueryName::parse("a"));
    }
}
