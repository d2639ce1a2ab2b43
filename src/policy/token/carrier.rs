//! Finds a client's token: in a header, in the query or, where a browser can set nothing else, in a subprotocol.
//!
//! A browser's WebSocket cannot set headers. It can set the list of subprotocols, and the characters of a token are allowed
//! there. So a page offers `["chat", "bearer.eyJ…"]`, and a policy that names the prefix `bearer.` takes the token from there.
//! The subprotocol that carried it is neither offered to the backend nor chosen.
//!
//! Not here: whether the token is valid.

/// The token in the value of a header.
///
/// With a scheme that is required, the value is that scheme, one space or more, and the token; letters of a scheme have no
/// case (RFC 9110 §11.1). Without one, whatever scheme there is is left away.
pub fn token_of_header<'v>(value: &'v str, required_scheme: Option<&str>) -> Option<&'v str> {
    let value = value.trim_matches([' ', '\t']);
    let (scheme, token) = match value.split_once([' ', '\t']) {
        Some((scheme, token)) => (Some(scheme), token.trim_start_matches([' ', '\t'])),
        None => (None, value),
    };
    let has_scheme = match (required_scheme, scheme) {
        (Some(required), Some(scheme)) => scheme.eq_ignore_ascii_case(required),
        (Some(_), None) => false,
        (None, _) => true,
    };
    (has_scheme && !token.is_empty()).then_some(token)
}

/// A list of subprotocols, without those that carry tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<'v> {
    /// The token that the first of them carries.
    pub token: &'v str,
    /// The protocols that are meant as such, as one field value. Empty: the field has none, and goes.
    pub protocols: String,
}

/// The token that is carried in the values of `Sec-WebSocket-Protocol`, behind `prefix`. `None`: none is.
///
/// Protocols are compared letter for letter (RFC 6455 §11.3.4), and so is the prefix. If several carry tokens, the first
/// counts, and none of them goes on: a token is for us, not for the backend. Nothing is behind an empty prefix.
pub fn token_of_protocols<'v>(values: impl Iterator<Item = &'v str>, prefix: &str) -> Option<Carried<'v>> {
    let (mut token, mut protocols) = (None, String::new());
    for protocol in values.flat_map(|value| value.split(',')).map(|text| text.trim_matches([' ', '\t'])) {
        match protocol.strip_prefix(prefix).filter(|rest| !prefix.is_empty() && !rest.is_empty()) {
            Some(rest) => token = token.or(Some(rest)),
            None if protocol.is_empty() => {}
            None => {
                if !protocols.is_empty() {
                    protocols.push_str(", ");
                }
                protocols.push_str(protocol);
            }
        }
    }
    token.map(|token| Carried { token, protocols })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_token_behind_its_scheme() {
        for (value, required_scheme, token) in [
            ("Bearer a.b.c", Some("Bearer"), Some("a.b.c")),
            ("bearer \t a.b.c ", Some("Bearer"), Some("a.b.c")),
            ("a.b.c", Some("Bearer"), None),
            ("Basic a.b.c", Some("Bearer"), None),
            ("Bearera.b.c", Some("Bearer"), None),
            ("Bearer", Some("Bearer"), None),
            ("Bearer ", Some("Bearer"), None),
            ("a.b.c", None, Some("a.b.c")),
            ("Bearer a.b.c", None, Some("a.b.c")),
            ("Token a.b.c", None, Some("a.b.c")),
            ("", None, None),
            (" ", None, None),
        ] {
            assert_eq!(token_of_header(value, required_scheme), token, "{value:?} {required_scheme:?}");
        }
    }

    #[test]
    fn a_protocol_carries_a_token_and_is_none() {
        for (values, token, protocols) in [
            (&["chat, bearer.a.b.c"][..], "a.b.c", "chat"),
            (&["bearer.a.b.c,chat ,\tv2"], "a.b.c", "chat, v2"),
            (&["chat", "bearer.a.b.c", "v2"], "a.b.c", "chat, v2"),
            (&["bearer.a.b.c"], "a.b.c", ""),
            (&["bearer.first, bearer.second"], "first", ""),
            (&["bearer., bearer.a, Bearer.b"], "a", "bearer., Bearer.b"),
        ] {
            let carried = token_of_protocols(values.iter().copied(), "bearer.").expect("a token");
            assert_eq!((carried.token, &*carried.protocols), (token, protocols), "{values:?}");
        }
        for values in [&[][..], &["chat"], &["bearer."], &["Bearer.a"], &["xbearer.a"], &["a bearer.a"]] {
            assert_eq!(token_of_protocols(values.iter().copied(), "bearer."), None, "{values:?}");
        }
        assert_eq!(token_of_protocols(["chat"].into_iter(), ""), None);
    }
}
