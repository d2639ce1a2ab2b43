//! Masks secrets in what the log, traces and spans show of requests: `***` in their place.
//!
//! | what | masked |
//! |---|---|
//! | a query | every value, unless the API lists its name; the one of the API's key always |
//! | a header field | `Authorization`, `Cookie` and their like, and the one of the API's key; queries and user names in URLs |
//! | a subprotocol | what stands behind `bearer.`; what looks like a token |
//! | a URL | user name and password; its query as above |
//! | a message | whatever is masked elsewhere of the same request ([`Secrets`]), and what looks like a token |
//!
//! Names stay, so that an operator sees what was sent. A path stays as it is. What `ringgate policy trace` shows is masked by the same
//! lists.
//!
//! Not here: the log of the process, which of what a client said shows only what policies quote, masked by this (`THREATS.md`).

use crate::catalog::api::KeyNames;
use crate::head::percent::{percent_decoded, percent_encoded};
use crate::head::{Header, Headers, RequestHead};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Fields whose values are secret, whatever the API's key is called.
const SECRET_FIELDS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "ocp-apim-subscription-key",
    "x-api-key",
];

/// The fields among them whose values begin with a scheme (RFC 9110 §11.4).
const CREDENTIAL_FIELDS: [&str; 2] = ["authorization", "proxy-authorization"];

/// Schemes, which are no secret: those that IANA lists, and some that are used without. Any other first word may be one.
const SCHEMES: [&str; 16] = [
    "Basic",
    "Bearer",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SharedAccessSignature",
    "vapid",
];

/// A token in compact form, signed or encrypted (RFC 7515, RFC 7516): its header is the Base64 of what begins with `{"`.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2,4}").expect("an expression that is in order")
});

/// Fields whose values are URLs.
const URL_FIELDS: [&str; 4] = ["location", "referer", "origin", "content-location"];

/// Marks a subprotocol that carries a token: `bearer.<token>`, `base64url.bearer.authorization.k8s.io.<token>`.
const BEARER: &str = "bearer";

/// Longest name of a subprotocol, in characters, that is taken for one. Longer than any that is registered: a token otherwise.
const SUBPROTOCOL_CHARS_MAX: usize = 64;

/// Shortest secret, in bytes, that is looked for in messages. A shorter one would mask parts of ordinary words.
const SECRET_BYTES_MIN: usize = 4;

/// How to mask what belongs to one API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masking<'a> {
    key_names: Option<&'a KeyNames>,
    shown_queries: &'a [Box<str>],
}

impl<'a> Masking<'a> {
    /// That of an API with these names for its key, which shows the values of `shown_queries`.
    pub fn of_api(key_names: &'a KeyNames, shown_queries: &'a [Box<str>]) -> Self {
        Self { key_names: Some(key_names), shown_queries }
    }

    /// Masks path and query of a request.
    pub fn target<'t>(&self, target: &'t str) -> Cow<'t, str> {
        let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
        let mut masked = String::with_capacity(target.len());
        masked.push_str(path);
        let mut separator = '?';
        for pair in query.split_inclusive(['&', ';']) {
            let (pair, next) = match pair.char_indices().last() {
                Some((at, next @ ('&' | ';'))) => (&pair[..at], next),
                _ => (pair, '&'),
            };
            masked.push(separator);
            separator = next;
            self.push_pair(&mut masked, pair);
        }
        if query.is_empty() || query.ends_with(['&', ';']) {
            masked.push(separator);
        }
        Cow::Owned(masked)
    }

    fn push_pair(&self, masked: &mut String, pair: &str) {
        match pair.split_once('=') {
            // Neither a name nor a value for certain.
            None if pair.is_empty() => {}
            None => masked.push_str(MASK),
            Some((name, value)) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(if self.is_shown(name) || value.is_empty() { value } else { MASK });
            }
        }
    }

    /// Whether the values of a query parameter may be shown.
    fn is_shown(&self, name: &str) -> bool {
        let name = percent_decoded(name);
        let is_listed = self.shown_queries.iter().any(|shown| shown.as_bytes() == &*name);
        let is_key = |names: &KeyNames| name.eq_ignore_ascii_case(names.query.as_str().as_bytes());
        is_listed && !self.key_names.is_some_and(is_key)
    }

    /// Masks a URL, or what looks like one.
    pub fn url(&self, url: &str) -> String {
        // What a fragment says is not sent to servers, but may hold a token (RFC 6749 §4.2.2).
        let (url, fragment) = url.split_once('#').map_or((url, ""), |(url, _)| (url, "#***"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return format!("{}{fragment}", self.target(url));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = authority.rsplit_once('@').map(|(_, host)| host);
        let (user, host) = host.map_or(("", authority), |host| ("***@", host));
        format!("{scheme}://{user}{host}{}{fragment}", self.target(target))
    }

    /// Masks the value of a header field.
    pub fn field<'v>(&self, name: &str, value: &'v str) -> Cow<'v, str> {
        if self.is_secret_field(name) {
            return Cow::Borrowed(MASK);
        }
        if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            return Cow::Owned(
                value.split(',').map(|name| subprotocol(name.trim())).collect::<Vec<_>>().join(", "),
            );
        }
        if URL_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            return Cow::Owned(self.url(value));
        }
        Cow::Borrowed(value)
    }

    /// Adds the values that [`Masking::field`] masks, in each form in which a message may quote them.
    fn push_secrets_of_fields<'h>(&self, fields: impl Iterator<Item = Header<'h>>, found: &mut Vec<String>) {
        for field in fields {
            let value = String::from_utf8_lossy(field.value);
            if self.is_secret_field(field.name) {
                let secret = &value[scheme_of(field.name, &value).len()..];
                // Names and values of cookies, and parts of credentials: each by itself.
                for part in secret.split([' ', ';', ',']) {
                    found.extend(part.split_once('=').map(|(_, value)| value.to_owned()));
                    found.push(part.to_owned());
                }
                found.extend(basic_credentials(&value).into_iter().flatten());
                found.push(secret.to_owned());
            } else if field.is("sec-websocket-protocol") {
                let tokens = value.split(',').map(str::trim).filter(|name| subprotocol(name) != *name);
                for token in tokens {
                    let at = find_bearer(token).map_or(0, |at| at + BEARER.len() + 1);
                    found.push(token[at..].to_owned());
                }
            } else if URL_FIELDS.iter().any(|name| field.is(name)) {
                self.push_secrets_of_url(&value, found);
            }
        }
    }

    fn push_secrets_of_url(&self, url: &str, found: &mut Vec<String>) {
        let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
        found.push(fragment.to_owned());
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        if let Some((user, _)) = authority.rsplit_once('@') {
            found.push(user.to_owned());
            found.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
        }
        self.push_secrets_of_target(rest, found);
    }

    fn push_secrets_of_target(&self, target: &str, found: &mut Vec<String>) {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for pair in query.split(['&', ';']) {
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            if !self.is_shown(name) {
                found.push(String::from_utf8_lossy(&percent_decoded(value)).into_owned());
                found.push(value.to_owned());
            }
        }
    }

    /// Whether the value of a header field is secret.
    pub fn is_secret_field(&self, name: &str) -> bool {
        let is_key = |names: &KeyNames| name.eq_ignore_ascii_case(names.header.as_str());
        SECRET_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
            || self.key_names.is_some_and(is_key)
    }
}

/// The scheme that the value of a field begins with, with the space behind it; empty if it begins with none that is known.
pub fn scheme_of<'v>(name: &str, value: &'v str) -> &'v str {
    let is_credentials = CREDENTIAL_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field));
    let end = value.find(' ').filter(|_| is_credentials);
    let scheme = end.map_or("", |end| &value[..end]);
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) { &value[..=scheme.len()] } else { "" }
}

/// Masks a subprotocol.
pub fn subprotocol(name: &str) -> Cow<'_, str> {
    if let Some(at) = find_bearer(name) {
        return Cow::Owned(format!("{}.{MASK}", &name[..at + BEARER.len()]));
    }
    let is_token = name.starts_with("eyJ") || name.len() > SUBPROTOCOL_CHARS_MAX;
    Cow::Borrowed(if is_token { MASK } else { name })
}

/// Where `bearer` stands in a name as a part of its own, with more behind it.
fn find_bearer(name: &str) -> Option<usize> {
    let bytes = name.as_bytes();
    (0..bytes.len()).find(|at| {
        let is_begun = *at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let rest = &bytes[*at..];
        let is_bearer =
            rest.len() > BEARER.len() && rest[..BEARER.len()].eq_ignore_ascii_case(BEARER.as_bytes());
        is_begun && is_bearer && !rest[BEARER.len()].is_ascii_alphanumeric()
    })
}

/// The most places of secrets that are looked for in one text. Over it, the whole text is masked.
const PLACES_MAX: usize = 64 * 1024;

/// The values of one request that are masked, so that messages which quote them can be masked too. It shows none of them.
#[derive(Default)]
pub struct Secrets {
    values: Vec<String>,
    /// Finds them all in one pass. `None`: there are none, or more than it can hold.
    finder: Option<AhoCorasick>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// Those of a request, and of an answer to it, if there is one.
    pub fn of(request: &RequestHead, answer: Option<&Headers>, masking: &Masking<'_>) -> Self {
        let mut found = Vec::new();
        masking.push_secrets_of_fields(request.headers().iter(), &mut found);
        masking.push_secrets_of_target(request.target_text(), &mut found);
        masking.push_secrets_of_fields(answer.into_iter().flat_map(Headers::iter), &mut found);
        found.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        Self::of_values(found)
    }

    /// The same, and these, however short they are, also as they are written in a query.
    #[must_use]
    pub fn with(self, secrets: &[Box<str>]) -> Self {
        if secrets.is_empty() {
            return self;
        }
        let mut values = self.values;
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            values.extend([secret.to_string(), percent_encoded(secret)]);
        }
        Self::of_values(values)
    }

    /// The same, and those of header fields.
    #[must_use]
    pub fn with_fields<'h>(self, fields: impl Iterator<Item = Header<'h>>, masking: &Masking<'_>) -> Self {
        let mut found = Vec::new();
        masking.push_secrets_of_fields(fields, &mut found);
        found.retain(|secret| secret.len() >= SECRET_BYTES_MIN && !self.values.contains(secret));
        if found.is_empty() {
            return self;
        }
        found.extend(self.values);
        Self::of_values(found)
    }

    fn of_values(mut values: Vec<String>) -> Self {
        values.sort_unstable();
        values.dedup();
        let built = AhoCorasick::builder().kind(Some(AhoCorasickKind::NoncontiguousNFA)).build(&values);
        Self { finder: built.ok().filter(|_| !values.is_empty()), values }
    }

    /// Masks them in a text, each wherever it stands: of two that overlap, both; and what looks like a token.
    pub fn masked(&self, text: &str) -> String {
        let masked = self.masked_values(text);
        match TOKEN.replace_all(&masked, MASK) {
            Cow::Borrowed(_) => masked,
            Cow::Owned(masked) => masked,
        }
    }

    fn masked_values(&self, text: &str) -> String {
        let Some(finder) = &self.finder else {
            return if self.values.is_empty() { text.to_owned() } else { MASK.to_owned() };
        };
        let mut places: Vec<Range<usize>> = Vec::new();
        // In the order of their ends.
        for (count, found) in finder.find_overlapping_iter(text).enumerate() {
            if count == PLACES_MAX {
                return MASK.to_owned();
            }
            let mut place = found.range();
            while let Some(before) = places.pop_if(|before| before.end > place.start) {
                place.start = place.start.min(before.start);
            }
            places.push(place);
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in places {
            masked.push_str(&text[end..place.start]);
            masked.push_str(MASK);
            end = place.end;
        }
        masked.push_str(&text[end..]);
        masked
    }

    /// Masks them in the path and query of a request. One that stands there percent-encoded has no known place: all is masked then.
    pub fn masked_target(&self, target: &str) -> String {
        let masked = self.masked(target);
        let decoded = String::from_utf8_lossy(&percent_decoded(&masked)).into_owned();
        if self.masked(&decoded) == decoded { masked } else { format!("/{MASK}") }
    }
}

/// User name and password, each by itself and together, of a value for the scheme Basic (RFC 7617).
fn basic_credentials(value: &str) -> Option<[String; 2]> {
    let (scheme, encoded) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    let password = decoded.split_once(':')?.1.to_owned();
    Some([decoded, password])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn masking(shown: &[Box<str>]) -> (KeyNames, Vec<Box<str>>) {
        (KeyNames::default(), shown.to_vec())
    }

    #[test]
    fn values_of_a_query_are_masked_but_for_names_that_the_api_lists() {
        let (names, shown) = masking(&["room".into(), "subscription-key".into(), "a b".into()]);
        let masking = Masking::of_api(&names, &shown);
        for (target, expected) in [
            ("/chat", "/chat"),
            ("/chat?", "/chat?"),
            ("/chat?room=12&token=abc", "/chat?room=12&token=***"),
            ("/chat?token=abc&room=12&", "/chat?token=***&room=12&"),
            ("/chat?room=1;token=abc", "/chat?room=1;token=***"),
            ("/chat?Room=1", "/chat?Room=***"),
            ("/chat?a%20b=1", "/chat?a%20b=1"),
            ("/chat?abc", "/chat?***"),
            ("/chat?token=", "/chat?token="),
            ("/chat?token=a=b?c", "/chat?token=***"),
            // The key's name cannot be listed, however it is written.
            ("/chat?subscription-key=k", "/chat?subscription-key=***"),
            ("/chat?subscription%2Dkey=k", "/chat?subscription%2Dkey=***"),
            ("/chat?SUBSCRIPTION-KEY=k", "/chat?SUBSCRIPTION-KEY=***"),
            ("/eyJhbGciOiJub25lIn0.e30.x?", "/eyJhbGciOiJub25lIn0.e30.x?"),
        ] {
            assert_eq!(masking.target(target), expected, "{target}");
        }
        assert_eq!(Masking::default().target("/t?room=12"), "/t?room=***", "no API was found");
    }

    #[test]
    fn user_names_passwords_and_fragments_of_urls_are_masked() {
        for (url, expected) in [
            ("wss://u:p@host:1/a?b=c#d", "wss://***@host:1/a?b=***#***"),
            ("https://host", "https://host"),
            ("https://u@v@host/x@y", "https://***@host/x@y"),
            ("/a?b=c", "/a?b=***"),
            ("/signed-in#access_token=t", "/signed-in#***"),
            ("https://host#t", "https://host#***"),
            ("/a?b=c#d?e", "/a?b=***#***"),
        ] {
            assert_eq!(Masking::default().url(url), expected, "{url}");
        }
    }

    #[test]
    fn secret_fields_and_tokens_in_subprotocols_are_masked() {
        let (names, shown) = masking(&[]);
        let masking = Masking::of_api(&names, &shown);
        for (name, value, expected) in [
            ("Authorization", "Bearer abc", "***"),
            ("COOKIE", "a=b", "***"),
            ("ocp-apim-subscription-key", "k", "***"),
            ("Origin", "https://u:p@site", "https://***@site"),
            ("Referer", "https://site/a?token=x", "https://site/a?token=***"),
            ("User-Agent", "x/1", "x/1"),
            ("Sec-WebSocket-Protocol", "chat,bearer.abc", "chat, bearer.***"),
            ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.dG9r", "base64url.bearer.***"),
            ("Sec-WebSocket-Protocol", "Bearer-abc", "Bearer.***"),
            ("Sec-WebSocket-Protocol", "eyJhbGciOiJub25lIn0.e30.x", "***"),
            ("Sec-WebSocket-Protocol", "graphql-transport-ws, mqtt", "graphql-transport-ws, mqtt"),
            ("Sec-WebSocket-Protocol", "forbearer.x", "forbearer.x"),
        ] {
            assert_eq!(masking.field(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn messages_that_quote_what_is_masked_are_masked() {
        let head = "GET /t?token=t0ken%2Bx&room=lobby HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer s3cret\r\n\
                    Cookie: sid=c00kie; theme=dark\r\nOcp-Apim-Subscription-Key: k3y-value\r\n\
                    Referer: https://me:pa55@site/a?code=0auth#fr4gment\r\n\
                    Sec-WebSocket-Protocol: chat, bearer.pr0tocol\r\n\r\n";
        let request = RequestHead::parse(Bytes::from(head)).unwrap();
        let (names, shown) = masking(&["room".into()]);
        let secrets = Secrets::of(&request, None, &Masking::of_api(&names, &shown));
        let quoted = "s3cret c00kie k3y-value pr0tocol t0ken+x t0ken%2Bx pa55 0auth fr4gment lobby chat site";
        assert_eq!(secrets.masked(quoted), "*** *** *** *** *** *** *** *** *** lobby chat site");
    }

    #[test]
    fn a_password_is_masked_in_messages_and_so_are_secrets_of_documents() {
        // user:pa55word
        let head = "GET /t HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dXNlcjpwYTU1d29yZA==\r\n\r\n";
        let request = RequestHead::parse(Bytes::from(head)).unwrap();
        let secrets =
            Secrets::of(&request, None, &Masking::default()).with(&["k".into(), "".into(), "hush".into()]);
        let quoted = "pa55word user:pa55word dXNlcjpwYTU1d29yZA== hush k";
        assert_eq!(secrets.masked(quoted), "*** *** *** *** ***");
        assert_eq!(format!("{secrets:?}"), "Secrets(5)");
    }

    #[test]
    fn a_token_is_masked_in_messages_wherever_it_comes_from_and_a_scheme_is_not() {
        for (text, masked) in [
            ("GET /a?token=eyJhbGciOiJub25lIn0.e30.&b=1", "GET /a?token=***&b=1"),
            ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "***"),
            ("eyJust.a word", "eyJust.a word"),
        ] {
            assert_eq!(Secrets::default().masked(text), masked);
        }
        for (value, quoted, masked) in [
            ("Bearer s3cret", "Bearer s3cret", "Bearer ***"),
            ("basic dXNlcjpwYTU1d29yZA==", "basic user:pa55word", "basic ***"),
            // What is no scheme may be half of a secret.
            ("hunter2 pa55word", "hunter2, pa55word", "***, ***"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: {value}\r\n\r\n");
            let request = RequestHead::parse(Bytes::from(head)).unwrap();
            assert_eq!(Secrets::of(&request, None, &Masking::default()).masked(quoted), masked, "{value}");
        }
    }

    #[test]
    fn secrets_that_overlap_are_masked_whole_wherever_they_come_from() {
        // One of the request's stands in one of the answer's, and ends where another begins.
        let request = "GET / HTTP/1.1\r\nHost: h\r\nCookie: sid=abcd1234\r\n\r\n";
        let request = RequestHead::parse(Bytes::from(request)).unwrap();
        let answer = "GET / HTTP/1.1\r\nHost: h\r\nSet-Cookie: sid=abcd1234.NEW\r\n\r\n";
        let answer = RequestHead::parse(Bytes::from(answer)).unwrap();
        let secrets = Secrets::of(&request, Some(answer.headers()), &Masking::default());
        assert_eq!(secrets.masked("sid is abcd1234.NEW, was abcd1234"), "sid is ***, was ***");
        let secrets = Secrets::default().with(&["abcd".into(), "cdef".into(), "bc".into(), "x".into()]);
        assert_eq!(secrets.masked("1abcdef2cdefabcd3x"), "1***2******3***");
    }

    #[test]
    fn a_text_with_more_places_than_are_looked_for_is_masked_whole() {
        let secrets = Secrets::default().with(&["a".into()]);
        assert_eq!(secrets.masked(&"a".repeat(PLACES_MAX)), "***".repeat(PLACES_MAX));
        assert_eq!(secrets.masked(&format!("b{}b", "a".repeat(PLACES_MAX + 1))), "***");
    }

    #[test]
    fn a_secret_in_the_path_is_masked_and_if_it_is_encoded_so_is_the_path() {
        let secrets = Secrets::default().with(&["p4th secret".into(), "k3y".into()]);
        for (target, masked) in [
            ("/hook/k3y/x?a=1", "/hook/***/x?a=1"),
            ("/hook/p4th%20secret?a=1", "/hook/***?a=1"),
            ("/hook/p4th%20se%63ret?a=1", "/***"),
            ("/hook/p4th%2520secret", "/***"),
            ("/hook/p4th%252520secret", "/hook/p4th%252520secret"),
            ("/hook", "/hook"),
        ] {
            assert_eq!(secrets.masked_target(target), masked, "{target}");
        }
    }

    proptest! {
        /// The pass that finds all at once leaves nothing that a search for each would find.
        #[test]
        fn no_secret_is_left_in_a_text(secrets in proptest::collection::vec("[ab]{1,4}", 0..5), text in "[abc]{0,40}") {
            let values: Vec<Box<str>> = secrets.iter().map(|secret| secret.as_str().into()).collect();
            let masked = Secrets::default().with(&values).masked(&text);
            prop_assert!(secrets.iter().all(|secret| !masked.contains(secret.as_str())), "{text} became {masked}");
            let kept: String = masked.split(MASK).collect();
            prop_assert!(kept.len() <= text.len() && (kept.len() == text.len()) == (masked == text));
        }

        /// A value that stands nowhere else, in any query.
        #[test]
        fn no_value_of_a_query_is_left(
            pairs in proptest::collection::vec(("[a-z%&;=+A-F0-9-]{0,8}", "[xyz]{0,3}"), 0..6),
            secret in "[G-W]{8,20}",
            at in 0_usize..6,
        ) {
            let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.insert(at.min(pairs.len()), format!("n={secret}"));
            let target = format!("/p?{}", pairs.join("&"));
            let shown = vec!["room".into()];
            let names = KeyNames::default();
            let masking = Masking::of_api(&names, &shown);
            let masked = masking.target(&target);
            prop_assert!(!masked.contains(&secret), "{target} became {masked}");
            let separators = |text: &str| text.chars().filter(|char| "&;?".contains(*char)).count();
            prop_assert_eq!(separators(&masked), separators(&target));
            prop_assert_eq!(masking.target(&masked), masked.clone(), "masked twice");
        }

        #[test]
        fn no_token_of_a_subprotocol_is_left(before in "([a-z0-9]{1,6}[.])?", secret in "[G-W]{8,20}", dot in "[.-]") {
            let name = format!("{before}bearer{dot}{secret}");
            prop_assert!(!subprotocol(&name).contains(&secret));
        }
    }
}
