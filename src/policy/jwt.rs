//! JSON Web Tokens (RFC 7519) in compact form, read but not verified.
//!
//! Reading is bounded by the token's length and a number of values. A token that was read here tells what it claims, and nothing
//! about whether that is true.
//!
//! Not here: whether a signature is right, and whether a token is valid now (`token`).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use super::date_time::DateTime;
use crate::limits::JWT_BYTES_MAX;

/// Most values of all claims of one JWT together. A token with more is none.
const JWT_VALUES_MAX: usize = 1_000;

/// A JSON object.
pub(super) type JsonObject = serde_json::Map<String, Json>;

/// The claims and header of a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// `alg` of its header.
    pub algorithm: Option<Arc<str>>,
    /// `typ` of its header.
    pub kind: Option<Arc<str>>,
    /// `kid` of its header.
    pub key_id: Option<Arc<str>>,
    /// `aud`: one or several.
    pub audiences: Vec<Arc<str>>,
    /// `exp`.
    pub expiration_time: Option<DateTime>,
    /// `iat`.
    pub issued_at: Option<DateTime>,
    /// `nbf`.
    pub not_before: Option<DateTime>,
    /// `jti`.
    pub id: Option<Arc<str>>,
    /// `iss`.
    pub issuer: Option<Arc<str>>,
    /// `sub`.
    pub subject: Option<Arc<str>>,
    /// Every claim by its name: text as it is, numbers and booleans as text, an array as one value for each element, an
    /// object as its JSON.
    pub claims: Vec<Claim>,
}

/// A claim: its name and its values.
pub type Claim = (Arc<str>, Arc<[Arc<str>]>);

/// A token as it is to be verified.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedJwt<'t> {
    /// The content of the token.
    pub jwt: Jwt,
    /// The text that its signature covers.
    pub signed: &'t str,
    /// Its signature; empty if it has none.
    pub signature: Vec<u8>,
    /// Whether its header asks that extensions are understood (`crit`, RFC 7515 §4.1.11).
    pub has_critical: bool,
}

impl Jwt {
    /// Reads `token`, with or without `Bearer ` before it. `None` if it is no JWT.
    pub fn parse(token: &str) -> Option<Self> {
        let token = token.trim();
        let token = match token.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("Bearer ") => rest.trim_start(),
            Some(_) | None => token,
        };
        let (header, payload, _signature) = parts(token)?;
        Self::of_objects(&object(header)?, &object(payload)?)
    }

    /// Reads `token` with what it takes to verify it. `None` if it is no JWT, in its one spelling.
    pub fn parse_signed(token: &str) -> Option<SignedJwt<'_>> {
        let (header, payload, signature) = parts(token)?;
        let signed = &token[..header.len() + 1 + payload.len()];
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header = object(header)?;
        let has_critical = header.contains_key("crit");
        Some(SignedJwt {
            jwt: Self::of_objects(&header, &object(payload)?)?,
            signed,
            signature,
            has_critical,
        })
    }

    /// Reads an encrypted token that contains claims and no inner token: its algorithm is that of its encryption.
    pub(super) fn of_encrypted(header: &JsonObject, payload: &str) -> Option<Self> {
        Self::of_objects(header, &serde_json::from_str(payload).ok()?)
    }

    fn of_objects(header: &JsonObject, payload: &JsonObject) -> Option<Self> {
        let mut values = 0;
        let mut claims = Vec::with_capacity(payload.len());
        for (name, value) in payload {
            let texts: Vec<Arc<str>> = match value {
                Json::Array(elements) => elements.iter().map(text_of).collect(),
                one @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => {
                    vec![text_of(one)]
                }
            };
            values += texts.len();
            if values > JWT_VALUES_MAX {
                return None;
            }
            claims.push((name.as_str().into(), texts.into()));
        }
        let text = |object: &JsonObject, name: &str| object.get(name)?.as_str().map(Arc::from);
        let mut jwt = Self {
            algorithm: text(header, "alg"),
            kind: text(header, "typ"),
            key_id: text(header, "kid"),
            audiences: Vec::new(),
            expiration_time: time(payload, "exp")?,
            issued_at: time(payload, "iat")?,
            not_before: time(payload, "nbf")?,
            id: text(payload, "jti"),
            issuer: text(payload, "iss"),
            subject: text(payload, "sub"),
            claims,
        };
        jwt.audiences = jwt.claim("aud").unwrap_or_default().to_vec();
        Some(jwt)
    }

    /// The values of the claim `name`.
    pub fn claim(&self, name: &str) -> Option<&[Arc<str>]> {
        self.claims.iter().find(|(known, _)| &**known == name).map(|(_, values)| &**values)
    }
}

/// The three parts of a token: header, payload, signature.
fn parts(token: &str) -> Option<(&str, &str, &str)> {
    if token.len() > JWT_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

/// A part of a token: base64url of a JSON object.
pub(super) fn object(part: &str) -> Option<JsonObject> {
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Json::Object(object) => Some(object),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    }
}

fn text_of(value: &Json) -> Arc<str> {
    match value {
        Json::String(text) => text.as_str().into(),
        Json::Null => "".into(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string().into(),
    }
}

/// A claim that is a time (RFC 7519 §2, NumericDate). `None` outside: it is there and is no time, so the token is none.
fn time(payload: &JsonObject, name: &str) -> Option<Option<DateTime>> {
    let Some(value) = payload.get(name) else { return Some(None) };
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))?;
    DateTime::from_unix_seconds(seconds).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn reads_what_a_token_says() {
        let payload = r#"{"iss":"https://issuer","sub":"ann","aud":["a","b"],"exp":1700000000,"nbf":1600000000.5,
            "jti":"7","roles":["x","y"],"n":5,"ok":true,"address":{"city":"Ulm"},"none":null}"#;
        let token = token(r#"{"alg":"RS256","typ":"JWT","kid":"k1"}"#, payload);
        for given in [token.clone(), format!("Bearer {token}"), format!(" bearer  {token}")] {
            let jwt = Jwt::parse(&given).expect("a token");
            assert_eq!(jwt.algorithm.as_deref(), Some("RS256"));
            assert_eq!((jwt.kind.as_deref(), jwt.key_id.as_deref()), (Some("JWT"), Some("k1")));
            assert_eq!(jwt.subject.as_deref(), Some("ann"));
            assert_eq!(jwt.issuer.as_deref(), Some("https://issuer"));
            assert_eq!(jwt.id.as_deref(), Some("7"));
            assert_eq!(jwt.audiences, ["a".into(), "b".into()]);
            assert_eq!(jwt.expiration_time, DateTime::from_unix_seconds(1_700_000_000));
            assert_eq!(jwt.not_before, DateTime::from_unix_seconds(1_600_000_000));
            assert_eq!(jwt.issued_at, None);
            assert_eq!(jwt.claim("roles"), Some(&["x".into(), "y".into()][..]));
            assert_eq!(jwt.claim("n"), Some(&["5".into()][..]));
            assert_eq!(jwt.claim("ok"), Some(&["true".into()][..]));
            assert_eq!(jwt.claim("address"), Some(&[r#"{"city":"Ulm"}"#.into()][..]));
            assert_eq!(jwt.claim("Roles"), None);
        }
    }

    #[test]
    fn a_token_to_verify_is_one_in_its_one_spelling() {
        let given = token(r#"{"alg":"RS256"}"#, r#"{"sub":"ann"}"#);
        let read = Jwt::parse_signed(&given).expect("a token");
        assert_eq!(Some(&read.jwt), Jwt::parse(&given).as_ref());
        assert_eq!(format!("{}.c2ln", read.signed), given);
        assert_eq!((read.signature.as_slice(), read.has_critical), (&b"sig"[..], false));
        let unsigned = given.strip_suffix("c2ln").unwrap();
        assert!(Jwt::parse_signed(unsigned).expect("a token").signature.is_empty());
        assert!(Jwt::parse_signed(&token(r#"{"crit":["exp"]}"#, "{}")).expect("a token").has_critical);
        // `c2lo` would be three bytes too, `c2l` has bits that stand for nothing.
        for respelt in
            [format!("Bearer {given}"), format!(" {given}"), format!("{given}="), format!("{unsigned}c2l")]
        {
            assert_eq!(Jwt::parse_signed(&respelt), None, "{respelt}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(JWT_VALUES_MAX));
        for given in [
            String::new(),
            "Bearer ".to_owned(),
            "Basic dTpw".to_owned(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            token("[]", "{}"),
            token("{}", "1"),
            token("{}", r#"{"exp":"tomorrow"}"#),
            token("{}", r#"{"exp":99999999999999}"#),
            token("{}", r#"{"a":1"#),
            token("{}", &many),
            format!("{}.d", token("{}", "{}")),
            "é".repeat(JWT_BYTES_MAX),
        ] {
            assert_eq!(Jwt::parse(&given), None, "{}", &given[..given.len().min(50)]);
        }
        assert!(Jwt::parse(&token("{}", "{}")).is_some());
    }
}
