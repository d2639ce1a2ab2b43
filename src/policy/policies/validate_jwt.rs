//! `validate-jwt`: lets in clients that show a valid token.
//!
//! The token comes from a header, the query, or a value that policies made. As an extension, `protocol-prefix` names the prefix
//! of a subprotocol that carries a token, for browsers, which can set nothing else. It is used where the others have no token,
//! and the subprotocol is not passed on. (A browser gives up on a session if it offered subprotocols and none was chosen: a page
//! has to offer one that its backend speaks, too.)
//!
//! A header or a parameter that occurs twice counts as no token: the backend might read the other one.

use std::sync::Arc;

use super::counting::Calls;
use crate::catalog::fault::Remedy;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::document::Element;
use crate::policy::exchange::fields::is_name;
use crate::policy::exchange::{Exchange, query};
use crate::policy::expression::{TICKS_PER_SECOND, Text, Value, Wanted};
use crate::policy::failure::Failure;
use crate::policy::jwt::Jwt;
use crate::policy::setting::{Literal, Setting, Status, shown_list, shown_or};
use crate::policy::token::carrier::{token_of_header, token_of_protocols};
use crate::policy::token::{
    DecryptionKey, DecryptionKeys, Key, Keys, Matched, RequiredClaim, TokenFault, TokenKeyFault, TokenRules,
    TooManyKeys,
};

struct ValidateJwt {
    source: Option<TokenSource>,
    protocol_prefix: Option<Setting<Text>>,
    required_scheme: Option<Setting<Text>>,
    status: Setting<Status>,
    /// `None`: what is wrong with the token says it.
    message: Option<Setting<Text>>,
    output_variable: Option<Text>,
    rules: Rules,
    /// The rules, where they are the same for every handshake.
    fixed: Option<TokenRules>,
}

enum TokenSource {
    Header(Setting<Text>),
    QueryParameter(Setting<Text>),
    Value(Setting<Text>),
}

struct Rules {
    keys: Arc<Keys>,
    decryption_keys: Arc<DecryptionKeys>,
    requires_expiration_time: Setting<bool>,
    requires_signature: Setting<bool>,
    clock_skew: Setting<Calls>,
    audiences: Vec<Setting<Text>>,
    issuers: Vec<Setting<Text>>,
    required_claims: Vec<Claim>,
}

struct Claim {
    name: Setting<Text>,
    values: Vec<Setting<Text>>,
    matched: Setting<Matched>,
    separator: Option<Setting<Separator>>,
}

/// The separator of a claim's values. Spaces around an attribute's value are not kept, so an empty one is a space.
#[derive(Clone, Debug)]
struct Separator(Text);

impl Literal for Separator {
    const ALLOWED: &'static str = "text";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        Some(Self(if text.is_empty() { " " } else { text }.into()))
    }
}

impl Literal for Matched {
    const ALLOWED: &'static str = "all or any";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "any" => Some(Self::Any),
            _ => None,
        }
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let header: Option<Setting<Text>> = compiling.setting(element, "header-name");
    if header.as_ref().and_then(Setting::fixed).is_some_and(|name| !is_name(name)) {
        compiling.refuse_value(element, "header-name", "the name of a header");
    }
    let parameter = compiling.setting(element, "query-parameter-name");
    let value: Option<Setting<Text>> = compiling.setting(element, "token-value");
    if value.as_ref().and_then(Setting::fixed).is_some_and(|value| value.starts_with("Bearer ")) {
        compiling.refuse_value(element, "token-value", "a token without Bearer before it");
    }
    let protocol_prefix: Option<Setting<Text>> = compiling.setting(element, "protocol-prefix");
    if protocol_prefix.as_ref().and_then(Setting::fixed).is_some_and(|prefix| !is_name(prefix)) {
        compiling.refuse_value(element, "protocol-prefix", "what a subprotocol begins with");
    }
    check_sources(compiling, element);
    let mut made = Children { is_whole: true, ..Children::default() };
    compiling.each_child(element, |compiling, child| made.compile(compiling, child));
    let keys = bounded(compiling, element, Keys::new(made.keys));
    let decryption_keys = bounded(compiling, element, DecryptionKeys::new(made.decryption_keys));
    let source = header.map(TokenSource::Header);
    let source = source.or(parameter.map(TokenSource::QueryParameter)).or(value.map(TokenSource::Value));
    // Each is read before any that is at fault ends this, so that all faults are told at once.
    let requires_expiration_time = compiling.setting(element, "require-expiration-time");
    let requires_signature = compiling.setting(element, "require-signed-tokens");
    let clock_skew = compiling.setting(element, "clock-skew");
    let required_scheme = compiling.setting(element, "require-scheme");
    let status = compiling.setting(element, "failed-validation-httpcode");
    let message = compiling.setting(element, "failed-validation-error-message");
    let output_variable = compiling.fixed(element, "output-token-variable-name");
    let (keys, decryption_keys) = keys.zip(decryption_keys)?;
    let rules = Rules {
        keys,
        decryption_keys,
        requires_expiration_time: requires_expiration_time?,
        requires_signature: requires_signature?,
        clock_skew: clock_skew?,
        audiences: made.audiences,
        issuers: made.issuers,
        required_claims: made.required_claims,
    };
    if !made.is_whole {
        return None;
    }
    if rules.keys.is_empty() && rules.requires_signature.fixed() == Some(&true) {
        compiling.note(element, "lets nobody in: there is no key in issuer-signing-keys");
    }
    let fixed = rules.fixed();
    Some(Box::new(ValidateJwt {
        source,
        protocol_prefix,
        required_scheme,
        status: status?,
        message,
        output_variable,
        rules,
        fixed,
    }))
}

/// The keys, unless they are too many.
fn bounded<T>(
    compiling: &mut Compiling<'_>,
    element: &Element,
    keys: Result<T, TooManyKeys>,
) -> Option<Arc<T>> {
    match keys {
        Ok(keys) => Some(Arc::new(keys)),
        Err(fault) => {
            compiling.refuse_element(element, &format!("give it fewer keys: {fault}"));
            None
        }
    }
}

/// One of the places that a token can come from, and `protocol-prefix` alone or beside it.
fn check_sources(compiling: &mut Compiling<'_>, element: &Element) {
    const SOURCES: [&str; 3] = ["header-name", "query-parameter-name", "token-value"];
    const ACT: &str = "give one of header-name, query-parameter-name and token-value; protocol-prefix may stand beside it, or alone";
    let given: Vec<&str> = SOURCES.into_iter().filter(|name| element.attribute(name).is_some()).collect();
    match given[..] {
        [] if element.attribute("protocol-prefix").is_none() => {
            compiling.refuse_missing(element, "header-name", ACT);
        }
        [] | [_] => {}
        [_, second, ..] => compiling.refuse_value(element, second, Remedy::act(ACT)),
    }
}

/// The children of the element.
#[derive(Default)]
struct Children {
    keys: Vec<Key>,
    decryption_keys: Vec<DecryptionKey>,
    audiences: Vec<Setting<Text>>,
    issuers: Vec<Setting<Text>>,
    required_claims: Vec<Claim>,
    /// Nothing was at fault.
    is_whole: bool,
}

impl Children {
    fn compile(&mut self, compiling: &mut Compiling<'_>, element: &Element) {
        match element.name.as_str() {
            "openid-config" => self.refuse(
                compiling,
                element,
                "ringgate does not fetch keys yet: put the keys into issuer-signing-keys",
            ),
            "decryption-keys" => {
                compiling.each_child(element, |compiling, key| match decryption_key_of(compiling, key) {
                    Some(key) => self.decryption_keys.push(key),
                    None => self.is_whole = false,
                });
            }
            "issuer-signing-keys" => {
                compiling.each_child(element, |compiling, key| match key_of(compiling, key) {
                    Some(key) => self.keys.push(key),
                    None => self.is_whole = false,
                });
            }
            "audiences" => self.is_whole &= texts(compiling, element, &mut self.audiences),
            "issuers" => self.is_whole &= texts(compiling, element, &mut self.issuers),
            _ => compiling.each_child(element, |compiling, child| {
                let name = compiling.setting(child, "name");
                let matched = compiling.setting(child, "match");
                let separator = compiling.setting(child, "separator");
                let values = compiling.values(child, |_| true, "");
                match (name, matched, values) {
                    (Some(name), Some(matched), Some(values)) => {
                        self.required_claims.push(Claim { name, values, matched, separator });
                    }
                    (_, _, _) => self.is_whole = false,
                }
            }),
        }
    }

    fn refuse(&mut self, compiling: &mut Compiling<'_>, element: &Element, allowed: &str) {
        compiling.refuse_element(element, allowed);
        self.is_whole = false;
    }
}

/// The texts of the children. Whether none was at fault.
fn texts(compiling: &mut Compiling<'_>, element: &Element, into: &mut Vec<Setting<Text>>) -> bool {
    let mut is_whole = true;
    if element.children.is_empty() {
        compiling.refuse_element(element, "it is empty: put a value into it, or remove it");
        return false;
    }
    compiling.each_child(element, |compiling, child| match compiling.text(child) {
        Some(text) => into.push(text),
        None => is_whole = false,
    });
    is_whole
}

fn key_of(compiling: &mut Compiling<'_>, element: &Element) -> Option<Key> {
    let id: Option<Text> = compiling.fixed(element, "id");
    refuse_certificate_id(compiling, element, "a certificate or a public key")?;
    let n: Option<Text> = compiling.fixed(element, "n");
    let e: Option<Text> = compiling.fixed(element, "e");
    let key = match (n, e) {
        (Some(n), Some(e)) => Key::of_modulus(&n, &e),
        (None, None) => Key::of_text(&key_text(compiling, element)?),
        (_, _) => {
            compiling.refuse_element(element, "give both n and e, or the text of a key");
            return None;
        }
    };
    let act = "give n and e, a secret in Base64, or a certificate or a public key in PEM or Base64";
    let key = read(compiling, element, key, act)?;
    Some(id.iter().fold(key, |key, id| key.with_id(id)))
}

fn decryption_key_of(compiling: &mut Compiling<'_>, element: &Element) -> Option<DecryptionKey> {
    let id: Option<Text> = compiling.fixed(element, "id");
    refuse_certificate_id(compiling, element, "a private key")?;
    let key = DecryptionKey::of_text(&key_text(compiling, element)?);
    let key = read(
        compiling,
        element,
        key,
        "give a secret in Base64, or a private RSA key (PKCS #8) in PEM or Base64",
    )?;
    Some(id.iter().fold(key, |key, id| key.with_id(id)))
}

fn refuse_certificate_id(compiling: &mut Compiling<'_>, element: &Element, instead: &str) -> Option<()> {
    if element.attribute("certificate-id").is_none() {
        return Some(());
    }
    let act = format!("ringgate has no certificates by id yet: write {instead} as the text of the key");
    compiling.refuse_value(element, "certificate-id", Remedy::act(act));
    None
}

/// The text of a key, which is the same for every handshake.
fn key_text(compiling: &mut Compiling<'_>, element: &Element) -> Option<Text> {
    let text: Setting<Text> = compiling.text(element)?;
    let fixed = text.fixed().cloned();
    if fixed.is_none() {
        compiling.refuse_element(element, "write the key itself: an expression is not allowed here");
    }
    fixed
}

/// A key, or a fault that says what is wrong with it and nothing of it.
fn read<K>(
    compiling: &mut Compiling<'_>,
    element: &Element,
    key: Result<K, TokenKeyFault>,
    act: &str,
) -> Option<K> {
    key.map_err(|fault| compiling.refuse_element(element, &format!("{act}; this is {fault}"))).ok()
}

impl Policy for ValidateJwt {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        match self.judge(running)? {
            Ok(jwt) => {
                if let Some(name) = &self.output_variable {
                    running.exchange.variables.set(name, Value::Jwt(Arc::new(jwt)));
                }
                Ok(StepOutcome::Next)
            }
            Err(fault) => {
                let Status(status) = self.status.value(running)?;
                let said = match &self.message {
                    Some(message) => message.value(running)?,
                    None => fault.said().into(),
                };
                Err(Failure::new(fault.reason(), fault.to_string(), status, &said))
            }
        }
    }

    fn describe(&self) -> String {
        let source = match &self.source {
            Some(TokenSource::Header(name)) => format!("header {}", name.shown()),
            Some(TokenSource::QueryParameter(name)) => format!("parameter {}", name.shown()),
            Some(TokenSource::Value(value)) => format!("value {}", value.shown()),
            None => String::new(),
        };
        let list = |settings: &[Setting<Text>]| match shown_list(settings) {
            none if none.is_empty() => "any".to_owned(),
            some => some,
        };
        let claims: Vec<String> = self.rules.required_claims.iter().map(Claim::describe).collect();
        let claims = if claims.is_empty() { "any".to_owned() } else { claims.join("; ") };
        format!(
            "token from {source}, subprotocol prefix: {}, scheme: {}, keys: {}, decryption keys: {}, expiration time required: \
             {}, signature required: {}, clock skew: {} s, audiences: {}, issuers: {}, claims: {claims}, else {} {}, into \
             variable: {}",
            shown_or(self.protocol_prefix.as_ref(), "none"),
            shown_or(self.required_scheme.as_ref(), "any"),
            self.rules.keys,
            self.rules.decryption_keys,
            self.rules.requires_expiration_time.shown(),
            self.rules.requires_signature.shown(),
            self.rules.clock_skew.shown(),
            list(&self.rules.audiences),
            list(&self.rules.issuers),
            self.status.shown(),
            shown_or(self.message.as_ref(), "(what is wrong with it)"),
            self.output_variable.as_deref().unwrap_or("none"),
        )
    }
}

impl ValidateJwt {
    fn judge(&self, running: &mut Running<'_>) -> Result<Result<Jwt, TokenFault>, Failure> {
        let token = match self.find(running)? {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(Err(TokenFault::NotPresent)),
            Err(fault) => return Ok(Err(fault)),
        };
        let now_s = running.moment.now.unix_ticks().div_euclid(TICKS_PER_SECOND);
        let evaluated;
        let rules = match &self.fixed {
            Some(rules) => rules,
            None => {
                evaluated = self.rules.evaluate(running)?;
                &evaluated
            }
        };
        Ok(rules.judge(&token, now_s))
    }

    /// The token that the client shows. What carried one as a protocol goes no further, whether it was looked for or not.
    fn find(&self, running: &mut Running<'_>) -> Result<Result<Option<String>, TokenFault>, Failure> {
        let carried = match &self.protocol_prefix {
            Some(prefix) => {
                let prefix = prefix.value(running)?;
                take_carried(running.exchange, &prefix)
            }
            None => None,
        };
        let found = match &self.source {
            None => Ok(None),
            Some(TokenSource::Header(name)) => {
                let name = name.value(running)?;
                // A scheme is required of Authorization alone.
                let required_scheme = match &self.required_scheme {
                    Some(scheme) if name.eq_ignore_ascii_case("authorization") => {
                        Some(scheme.value(running)?)
                    }
                    Some(_) | None => None,
                };
                only(running.exchange.request.get_all(&name)).map(|value| {
                    value
                        .and_then(|value| token_of_header(value, required_scheme.as_deref()))
                        .map(str::to_owned)
                })
            }
            Some(TokenSource::QueryParameter(name)) => {
                let name = name.value(running)?;
                only(query::values(running.exchange.query(), &name))
            }
            Some(TokenSource::Value(value)) => Ok(Some(value.value(running)?.to_string())),
        };
        Ok(found.map(|found| found.filter(|token| !token.is_empty()).or(carried)))
    }
}

/// Takes the token that a subprotocol carries out of the request.
fn take_carried(exchange: &mut Exchange, prefix: &str) -> Option<String> {
    let carried = token_of_protocols(exchange.request.get_all("Sec-WebSocket-Protocol"), prefix)?;
    let (token, protocols) = (carried.token.to_owned(), carried.protocols);
    exchange.request.set_protocols(&protocols);
    Some(token)
}

/// The only one, if there is one.
fn only<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, TokenFault> {
    let first = values.next();
    if values.next().is_some() { Err(TokenFault::Malformed) } else { Ok(first) }
}

impl Rules {
    /// The rules of fixed settings. `None`: some are not.
    fn fixed(&self) -> Option<TokenRules> {
        let text = |setting: &Setting<Text>| setting.fixed().cloned();
        let claims = self.required_claims.iter().map(|claim| {
            Some(RequiredClaim {
                name: text(&claim.name)?,
                values: claim.values.iter().map(text).collect::<Option<_>>()?,
                matched: *claim.matched.fixed()?,
                separator: match &claim.separator {
                    Some(separator) => Some(Text::clone(&separator.fixed()?.0)),
                    None => None,
                },
            })
        });
        let required_claims = claims.collect::<Option<_>>()?;
        Some(TokenRules {
            keys: Arc::clone(&self.keys),
            decryption_keys: Arc::clone(&self.decryption_keys),
            audiences: self.audiences.iter().map(text).collect::<Option<_>>()?,
            issuers: self.issuers.iter().map(text).collect::<Option<_>>()?,
            required_claims,
            requires_expiration_time: *self.requires_expiration_time.fixed()?,
            requires_signature: *self.requires_signature.fixed()?,
            clock_skew_s: self.clock_skew.fixed()?.0,
        })
    }

    /// The rules for this handshake.
    fn evaluate(&self, running: &mut Running<'_>) -> Result<TokenRules, Failure> {
        let mut required_claims = Vec::with_capacity(self.required_claims.len());
        for claim in &self.required_claims {
            required_claims.push(RequiredClaim {
                name: claim.name.value(running)?,
                values: values(&claim.values, running)?,
                matched: claim.matched.value(running)?,
                separator: match &claim.separator {
                    Some(separator) => Some(separator.value(running)?.0),
                    None => None,
                },
            });
        }
        Ok(TokenRules {
            keys: Arc::clone(&self.keys),
            decryption_keys: Arc::clone(&self.decryption_keys),
            audiences: values(&self.audiences, running)?,
            issuers: values(&self.issuers, running)?,
            required_claims,
            requires_expiration_time: self.requires_expiration_time.value(running)?,
            requires_signature: self.requires_signature.value(running)?,
            clock_skew_s: self.clock_skew.value(running)?.0,
        })
    }
}

fn values(settings: &[Setting<Text>], running: &mut Running<'_>) -> Result<Vec<Text>, Failure> {
    settings.iter().map(|setting| setting.value(running)).collect()
}

impl Claim {
    fn describe(&self) -> String {
        let separator =
            self.separator.as_ref().map(|separator| format!(" (separated by {})", separator.shown()));
        let separator = separator.unwrap_or_default();
        format!("{} {} of {}{separator}", self.name.shown(), self.matched.shown(), shown_list(&self.values))
    }
}
