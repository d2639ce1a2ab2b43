//! Members of `Jwt`, `BasicAuthCredentials`, `Uri` and `Encoding`, and what reads them out of text.

use std::sync::Arc;

use super::number::{byte_array, bytes};
use super::short::{BOOL, BYTES, INT, TEXT, TEXTS, URI};
use super::{
    Call, DateTime, Inner, Kind, Member, Raised, Run, Takes, Text, Type, method, mistyped, property,
};
use crate::policy::expression::fault::Exception;
use crate::policy::expression::run::Outcome;
use crate::policy::expression::uri::{Uri, escaped, unescaped};
use crate::policy::expression::value::{BasicCredentials, Encoding, Value};
use crate::policy::jwt::Jwt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const JWT: Type = Type::One(Kind::Jwt);
const BASIC: Type = Type::One(Kind::Basic);
const URIS: Type = Type::Class(Kind::Uri);
const ENCODING: Type = Type::One(Kind::Encoding);
const ENCODINGS: Type = Type::Class(Kind::Encoding);
const MOMENT: Type = Type::Nullable(Kind::DateTime);

pub(super) const MEMBERS: &[Member] = &[
    method(TEXT, "AsJwt", &[], JWT, as_jwt).on_null(),
    method(TEXT, "TryParseJwt", &[Takes::Out(JWT)], JWT, as_jwt).on_null(),
    method(TEXT, "AsBasic", &[], BASIC, as_basic).on_null(),
    method(TEXT, "TryParseBasic", &[Takes::Out(BASIC)], BASIC, as_basic).on_null(),
    property(JWT, "Algorithm", TEXT, |_, call| maybe(call, |jwt| jwt.algorithm.as_ref())),
    property(JWT, "Type", TEXT, |_, call| maybe(call, |jwt| jwt.kind.as_ref())),
    property(JWT, "Id", TEXT, |_, call| maybe(call, |jwt| jwt.id.as_ref())),
    property(JWT, "Issuer", TEXT, |_, call| maybe(call, |jwt| jwt.issuer.as_ref())),
    property(JWT, "Subject", TEXT, |_, call| maybe(call, |jwt| jwt.subject.as_ref())),
    property(JWT, "Audiences", Type::Sequence(Kind::Text), |run, call| {
        let audiences = jwt(call)?.audiences.iter().cloned().map(Value::Text).collect();
        run.list(audiences)
    }),
    property(JWT, "Claims", Type::One(Kind::Claims), |_, call| {
        Ok(Value::Inner(Inner::Claims(jwt(call)?.clone())))
    }),
    property(JWT, "ExpirationTime", MOMENT, |_, call| moment(jwt(call)?.expiration_time)),
    property(JWT, "NotBefore", MOMENT, |_, call| moment(jwt(call)?.not_before)),
    property(JWT, "IssuedAt", MOMENT, |_, call| moment(jwt(call)?.issued_at)),
    property(BASIC, "UserId", TEXT, |_, call| Ok(Value::Text(basic(call)?.user_id.clone()))),
    property(BASIC, "Password", TEXT, |_, call| Ok(Value::Text(basic(call)?.password.clone()))),
    method(URIS, "new", &[Takes::A(TEXT)], URI, |run, call| {
        let text = call.text(0)?;
        run.take_bytes(3 * text.len())?;
        let wrong = || {
            Raised::new(Exception::UriFormat, "invalid URI: the format of the URI could not be determined")
        };
        Uri::parse(text).map(|uri| Value::Uri(Arc::new(uri))).ok_or_else(wrong)
    }),
    method(URIS, "EscapeDataString", &[Takes::A(TEXT)], TEXT, |run, call| {
        let text = call.text(0)?;
        run.take_bytes(3 * text.len())?;
        Ok(Value::Text(escaped(text).into()))
    }),
    method(URIS, "UnescapeDataString", &[Takes::A(TEXT)], TEXT, |run, call| {
        let text = call.text(0)?;
        run.take_bytes(3 * text.len())?;
        Ok(Value::Text(unescaped(text).into()))
    }),
    property(URI, "Scheme", TEXT, |run, call| run.text(uri(call)?.scheme())),
    property(URI, "Host", TEXT, |run, call| run.text(uri(call)?.host())),
    property(URI, "Port", INT, |_, call| Ok(Value::Int(uri(call)?.port()))),
    property(URI, "IsDefaultPort", BOOL, |_, call| Ok(Value::Bool(uri(call)?.is_default_port()))),
    property(URI, "Authority", TEXT, |run, call| run.text(&uri(call)?.authority())),
    property(URI, "AbsolutePath", TEXT, |run, call| run.text(uri(call)?.path())),
    property(URI, "LocalPath", TEXT, |run, call| {
        let path = uri(call)?.path();
        run.take_bytes(3 * path.len())?;
        run.text(&unescaped(path))
    }),
    property(URI, "PathAndQuery", TEXT, |run, call| {
        let uri = uri(call)?;
        run.text(&format!("{}{}", uri.path(), uri.query()))
    }),
    property(URI, "Query", TEXT, |run, call| run.text(uri(call)?.query())),
    property(URI, "Fragment", TEXT, |run, call| run.text(uri(call)?.fragment())),
    property(URI, "UserInfo", TEXT, |run, call| run.text(uri(call)?.user_info())),
    property(URI, "AbsoluteUri", TEXT, |run, call| run.text(uri(call)?.text())),
    property(URI, "OriginalString", TEXT, |run, call| run.text(uri(call)?.text())),
    property(URI, "Segments", TEXTS, |run, call| {
        let path = uri(call)?.path();
        run.take_bytes(path.len())?;
        let mut segments = Vec::new();
        for segment in path.split_inclusive('/') {
            run.take_bytes(2 * size_of::<Value>())?;
            segments.push(Value::text(segment));
        }
        Ok(Value::List(segments.into()))
    }),
    method(URI, "ToString", &[], TEXT, |run, call| run.text(uri(call)?.text())),
    property(ENCODINGS, "UTF8", ENCODING, |_, _| Ok(Value::Inner(Inner::Encoding(Encoding::Utf8)))),
    property(ENCODINGS, "ASCII", ENCODING, |_, _| Ok(Value::Inner(Inner::Encoding(Encoding::Ascii)))),
    method(ENCODING, "GetBytes", &[Takes::A(TEXT)], BYTES, |run, call| {
        let text = call.text(0)?;
        match encoding(call)? {
            Encoding::Utf8 => byte_array(run, text.as_bytes()),
            Encoding::Ascii => {
                run.take_bytes(text.len())?;
                let bytes: Vec<u8> =
                    text.encode_utf16().map(|unit| if unit < 128 { unit as u8 } else { b'?' }).collect();
                byte_array(run, &bytes)
            }
        }
    }),
    method(ENCODING, "GetString", &[Takes::A(BYTES)], TEXT, |run, call| {
        let bytes = bytes(call)?;
        run.take_bytes(3 * bytes.len())?;
        Ok(Value::Text(match encoding(call)? {
            Encoding::Utf8 => String::from_utf8_lossy(&bytes).into(),
            Encoding::Ascii => {
                let text: String =
                    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
                text.into()
            }
        }))
    }),
];

fn jwt<'c>(call: &'c Call<'_>) -> Result<&'c Arc<Jwt>, Raised> {
    if let Value::Jwt(jwt) = &call.on { Ok(jwt) } else { Err(mistyped()) }
}

fn basic<'c>(call: &'c Call<'_>) -> Result<&'c BasicCredentials, Raised> {
    if let Value::Basic(basic) = &call.on { Ok(basic) } else { Err(mistyped()) }
}

fn uri<'c>(call: &'c Call<'_>) -> Result<&'c Uri, Raised> {
    if let Value::Uri(uri) = &call.on { Ok(uri) } else { Err(mistyped()) }
}

fn encoding(call: &Call<'_>) -> Result<Encoding, Raised> {
    if let Value::Inner(Inner::Encoding(encoding)) = call.on { Ok(encoding) } else { Err(mistyped()) }
}

fn maybe(call: &Call<'_>, find: fn(&Jwt) -> Option<&Text>) -> Outcome {
    Ok(find(jwt(call)?).map_or(Value::Null, |text| Value::Text(text.clone())))
}

fn moment(time: Option<DateTime>) -> Outcome {
    Ok(time.map_or(Value::Null, Value::DateTime))
}

/// `null` for what is no token.
fn as_jwt(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let Value::Text(text) = &call.on else { return Ok(Value::Null) };
    // Base64 decoded, and every value once more.
    run.take_bytes(2 * text.len())?;
    Ok(Jwt::parse(text).map_or(Value::Null, |jwt| Value::Jwt(Arc::new(jwt))))
}

/// `null` for what is no `Basic` header (RFC 7617).
fn as_basic(run: &mut Run<'_>, call: &Call<'_>) -> Outcome {
    let Value::Text(text) = &call.on else { return Ok(Value::Null) };
    run.take_bytes(2 * text.len())?;
    Ok(credentials(text).map_or(Value::Null, |credentials| Value::Basic(Arc::new(credentials))))
}

fn credentials(text: &str) -> Option<BasicCredentials> {
    let (scheme, rest) = text.trim().split_at_checked(6)?;
    let decoded = STANDARD.decode(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic "))?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user_id, password) = decoded.split_once(':')?;
    Some(BasicCredentials { user_id: user_id.into(), password: password.into() })
}
