//! The forms of a request target (RFC 9112 §3.2).
//!
//! Not here: what its path names, and whether all servers read it alike (the catalogue).

use super::authority::is_authority;

/// The target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Origin-form (§3.2.1), or absolute-form (§3.2.2) without its scheme and authority.
    Origin {
        /// Begins with `/`; as the client spelled it, nothing decoded or normalized.
        path: &'a str,
        /// The text behind the first `?`, which may be empty; `None` without a `?`.
        query: Option<&'a str>,
    },
    /// `*` (§3.2.4).
    Asterisk,
    /// Neither: authority-form, another scheme, a broken authority.
    Other,
}

impl<'a> Target<'a> {
    /// The form of `text`, and the authority that an absolute-form brings along.
    pub(crate) fn parse(text: &'a str) -> (Self, Option<&'a str>) {
        if text.starts_with('/') {
            return (Self::origin(text), None);
        }
        if text == "*" {
            return (Self::Asterisk, None);
        }
        let Some((scheme, rest)) = text.split_once("://") else { return (Self::Other, None) };
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_len);
        let is_known_scheme =
            ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // RFC 9110 §4.2.4: userinfo in a target that came from elsewhere is an error; is_authority knows none.
        if !is_known_scheme || !is_authority(authority.as_bytes()) {
            return (Self::Other, None);
        }
        (Self::origin(path_and_query), Some(authority))
    }

    fn origin(path_and_query: &'a str) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        // RFC 9110 §4.2.3: the empty path of an absolute-form is the same as "/".
        Self::Origin { path: if path.is_empty() { "/" } else { path }, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_path_and_query_from_either_form() {
        let table = [
            ("/", "/", None, None),
            ("/a/b", "/a/b", None, None),
            ("/a?", "/a", Some(""), None),
            ("/a?b=c?d", "/a", Some("b=c?d"), None),
            ("//a/b", "//a/b", None, None),
            ("/http://x/y", "/http://x/y", None, None),
            ("http://x/y?z", "/y", Some("z"), Some("x")),
            ("WSS://x:1", "/", None, Some("x:1")),
            ("ws://[::1]:80?q=/", "/", Some("q=/"), Some("[::1]:80")),
            ("https://x/", "/", None, Some("x")),
        ];
        for (text, path, query, authority) in table {
            assert_eq!(Target::parse(text), (Target::Origin { path, query }, authority), "{text}");
        }
    }

    #[test]
    fn knows_the_asterisk_and_leaves_the_rest() {
        assert_eq!(Target::parse("*"), (Target::Asterisk, None));
        for text in [
            "",
            "**",
            "a",
            "example.com:80",
            "ftp://x/",
            "http:/x",
            "http://",
            "http:///x",
            "ws://u@x/",
            "?a",
        ] {
            assert_eq!(Target::parse(text), (Target::Other, None), "{text}");
        }
    }
}
