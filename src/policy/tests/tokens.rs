//! `validate-jwt`: where tokens are found, what each rule refuses, and what the client is told.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::guards::{error, is_passed_on, limited, reason};
use super::scene::Scene;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn token_by(secret: &[u8], payload: &str) -> String {
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

pub(super) fn token(payload: &str) -> String {
    token_by(SECRET, payload)
}

pub(super) fn keys() -> String {
    format!("<issuer-signing-keys><key>{}</key></issuer-signing-keys>", STANDARD.encode(SECRET))
}

/// A policy that needs no expiration time.
fn validate(attributes: &str, children: &str) -> Scene {
    Scene::inbound(&format!(
        "<validate-jwt require-expiration-time=\"false\" {attributes}>{}{children}</validate-jwt>",
        keys()
    ))
}

const INVALID: &str = "Invalid JWT.";

#[test]
fn validate_jwt_finds_the_token_where_it_is_told_to() {
    let (good, by_another) = (token("{}"), token_by(&[7; 32], "{}"));
    let header = |attributes: &str, line: &str| validate(attributes, "").header(line).run();
    for (attributes, line, expected) in [
        ("header-name=\"Authorization\"", format!("Authorization: Bearer {good}"), None),
        ("header-name=\"authorization\"", format!("Authorization: {good}"), None),
        ("header-name=\"X-Token\"", format!("x-token: {good}"), None),
        ("header-name=\"X-Token\" require-scheme=\"Bearer\"", format!("X-Token: {good}"), None),
        (
            "header-name=\"Authorization\" require-scheme=\"Bearer\"",
            format!("Authorization: bearer {good}"),
            None,
        ),
        (
            "header-name=\"Authorization\" require-scheme=\"Bearer\"",
            format!("Authorization: {good}"),
            Some("TokenNotPresent"),
        ),
        ("header-name=\"Authorization\"", "X-Other: 1".to_owned(), Some("TokenNotPresent")),
        ("header-name=\"Authorization\"", "Authorization: Bearer ".to_owned(), Some("JwtInvalid")),
        ("header-name=\"Authorization\"", "Authorization: Basic dTpw".to_owned(), Some("JwtInvalid")),
        (
            "header-name=\"Authorization\"",
            format!("Authorization: Bearer {by_another}"),
            Some("TokenSignatureInvalid"),
        ),
        (
            "header-name=\"Authorization\"",
            format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}"),
            Some("JwtInvalid"),
        ),
        (
            "token-value=\"@(context.Request.Headers.GetValueOrDefault(&quot;X-Mine&quot;,&quot;&quot;))\"",
            format!("X-Mine: {good}"),
            None,
        ),
        (
            "token-value=\"@(context.Request.Headers.GetValueOrDefault(&quot;X-Mine&quot;,&quot;&quot;))\"",
            "X-Other: 1".to_owned(),
            Some("TokenNotPresent"),
        ),
    ] {
        let outcome = header(attributes, &line);
        assert_eq!(reason(&outcome).map(|(_, reason, _)| reason), expected, "{attributes} {line}");
        match expected {
            None => assert!(is_passed_on(&outcome)),
            Some("TokenNotPresent") => {
                assert_eq!(outcome.answered, error("401 Unauthorized", 52, "JWT not present.", ""));
            }
            Some(_) => assert_eq!(outcome.answered, error("401 Unauthorized", 48, INVALID, "")),
        }
    }
    for (query, expected) in [
        (format!("access_token={good}"), None),
        (format!("a=1&ACCESS%5Ftoken={good}"), None),
        (format!("access_token={good}&access_token={good}"), Some("JwtInvalid")),
        ("access_token=".to_owned(), Some("TokenNotPresent")),
        ("access_token=%FF".to_owned(), Some("TokenNotPresent")),
        ("token=1".to_owned(), Some("TokenNotPresent")),
    ] {
        let outcome = validate("query-parameter-name=\"access_token\"", "")
            .asking(&format!("/chat/room?{query}"))
            .run();
        assert_eq!(reason(&outcome).map(|(_, reason, _)| reason), expected, "{query}");
    }
}

#[test]
fn a_token_in_a_subprotocol_goes_no_further() {
    let good = token("{}");
    let scene = |attributes: &str, line: &str| validate(attributes, "").header(line).run();
    for (attributes, line, protocols) in [
        ("protocol-prefix=\"bearer.\"", format!("Sec-WebSocket-Protocol: chat, bearer.{good}"), "chat"),
        (
            "protocol-prefix=\"bearer.\"",
            format!("Sec-WebSocket-Protocol: bearer.{good}\r\nX: 1\r\nSec-WebSocket-Protocol: v2, v1"),
            "v2, v1",
        ),
        (
            "header-name=\"Authorization\" protocol-prefix=\"bearer.\"",
            format!("Sec-WebSocket-Protocol: chat, bearer.{good}"),
            "chat",
        ),
        // Also where the other place has the token.
        (
            "header-name=\"Authorization\" protocol-prefix=\"bearer.\"",
            format!("Authorization: Bearer {good}\r\nSec-WebSocket-Protocol: chat, bearer.x"),
            "chat",
        ),
    ] {
        let outcome = scene(attributes, &line);
        assert!(is_passed_on(&outcome), "{line}: {}", outcome.answered);
        assert!(
            outcome.asked.contains(&*format!("Sec-WebSocket-Protocol: {protocols}\n")),
            "{}",
            outcome.asked
        );
        assert_eq!(outcome.asked.matches("Sec-WebSocket-Protocol").count(), 1, "{}", outcome.asked);
        assert!(!outcome.asked.contains("bearer."), "{}", outcome.asked);
    }
    let alone = scene("protocol-prefix=\"bearer.\"", &format!("Sec-WebSocket-Protocol: bearer.{good}"));
    assert!(is_passed_on(&alone) && !alone.asked.contains("Sec-WebSocket-Protocol"), "{}", alone.asked);
    let none = scene("protocol-prefix=\"bearer.\"", "Sec-WebSocket-Protocol: chat");
    assert_eq!(none.answered, error("401 Unauthorized", 52, "JWT not present.", ""));
}

#[test]
fn validate_jwt_answers_as_it_is_told_to() {
    let outcome = validate(
        "header-name=\"Authorization\" failed-validation-httpcode=\"403\" failed-validation-error-message=\"Go away\"",
        "",
    )
    .run();
    assert_eq!(outcome.answered, error("403 Forbidden", 43, "Go away", ""));
    assert_eq!(reason(&outcome), Some(("validate-jwt", "TokenNotPresent", "JWT not present.")));
}

#[test]
fn validate_jwt_applies_every_rule() {
    let bearer = |scene: Scene, payload: &str| {
        let outcome = scene.at(1000).header(&format!("Authorization: Bearer {}", token(payload))).run();
        outcome.last_error.map_or("", |error| error.reason)
    };
    let header = "header-name=\"Authorization\"";
    let rules = "<audiences><audience>chat</audience><audience>@(context.Api.Id + \"-2\")</audience></audiences>\
                 <issuers><issuer>https://issuer</issuer></issuers>\
                 <required-claims><claim name=\"roles\" match=\"any\"><value>reader</value><value>writer</value></claim>\
                 <claim name=\"scope\" separator=\" \"><value>a</value><value>b</value></claim></required-claims>";
    let good = r#"{"aud":"chat","iss":"https://issuer","roles":["writer"],"scope":"b c a"}"#;
    for (payload, expected) in [
        (good.to_owned(), ""),
        (good.replace("\"chat\"", "[\"x\",\"chat-2\"]"), ""),
        (good.replace("\"chat\"", "\"other\""), "TokenAudienceNotAllowed"),
        (good.replace("https://issuer", "http://issuer"), "TokenIssuerNotAllowed"),
        (good.replace("roles", "role"), "TokenClaimNotFound"),
        (good.replace("writer", "owner"), "TokenClaimValueNotAllowed"),
        (good.replace("b c a", "b c"), "TokenClaimValueNotAllowed"),
    ] {
        assert_eq!(bearer(validate(header, rules), &payload), expected, "{payload}");
    }
    let strict = |attributes: &str| {
        Scene::inbound(&format!("<validate-jwt {header} {attributes}>{}</validate-jwt>", keys()))
    };
    assert_eq!(bearer(strict(""), "{}"), "JwtInvalid");
    assert_eq!(bearer(strict(""), r#"{"exp":1001}"#), "");
    assert_eq!(bearer(strict(""), r#"{"exp":1000}"#), "TokenExpired");
    assert_eq!(bearer(strict("clock-skew=\"1\""), r#"{"exp":1000}"#), "");
    assert_eq!(bearer(strict("clock-skew=\"@(1 - 1)\""), r#"{"exp":1000}"#), "TokenExpired");

    let unsigned = format!(
        "Authorization: Bearer {}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode("{}")
    );
    let reason_of = |scene: Scene| scene.header(&unsigned).run().last_error.map_or("", |error| error.reason);
    assert_eq!(reason_of(validate(header, "")), "TokenSignatureInvalid");
    assert_eq!(reason_of(validate(&format!("{header} require-signed-tokens=\"false\""), "")), "");
}

#[test]
fn the_token_is_there_for_policies_behind() {
    let scene = Scene::inbound(&format!(
        "<validate-jwt header-name=\"Authorization\" require-expiration-time=\"false\" output-token-variable-name=\"jwt\">{}\
         </validate-jwt><set-header name=\"X-User\"><value>@(((Jwt)context.Variables[\"jwt\"]).Subject)</value></set-header>\
         <rate-limit-by-key calls=\"1\" renewal-period=\"60\" counter-key='@(((Jwt)context.Variables[\"jwt\"]).Subject)'/>",
        keys()
    ));
    let by = |name: &str| {
        let token = token(&format!("{{\"sub\":\"{name}\"}}"));
        scene.clone().header(&format!("Authorization: Bearer {token}")).run()
    };
    assert!(by("ann").asked.ends_with("X-User: ann\n"));
    assert_eq!(by("ann").answered, limited(60));
    assert!(by("bob").asked.ends_with("X-User: bob\n"));
}

#[test]
fn a_token_that_is_encrypted_is_judged_by_what_is_inside() {
    let key = STANDARD.encode(SECRET);
    let decrypting = format!("<decryption-keys><key id=\"k\">{key}</key></decryption-keys>");
    let show = "</validate-jwt><set-header name=\"X-User\"><value>@(((Jwt)context.Variables[\"jwt\"]).Subject)</value></set-header>";
    let scene = |children: &str| {
        Scene::inbound(&format!(
            "<validate-jwt header-name=\"Authorization\" require-expiration-time=\"false\" \
             output-token-variable-name=\"jwt\">{}{children}{show}",
            keys()
        ))
    };
    let ask = |scene: Scene, token: &str| scene.header(&format!("Authorization: Bearer {token}")).run();
    let closed = |content: &str| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A256GCM","cty":"JWT"}"#);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, SECRET).unwrap());
        let mut content = content.as_bytes().to_vec();
        let aad = Aad::from(header.as_bytes());
        let tag =
            key.seal_in_place_separate_tag(Nonce::assume_unique_for_key([9; 12]), aad, &mut content).unwrap();
        let [iv, content, tag] =
            [&[9; 12][..], &content, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}..{iv}.{content}.{tag}")
    };
    let good = token(r#"{"sub":"ann"}"#);
    for token in [closed(&good), good.clone()] {
        let outcome = ask(scene(&decrypting), &token);
        assert!(outcome.asked.ends_with("X-User: ann\n"), "{outcome:?}");
    }
    for (outcome, message) in [
        (ask(scene(""), &closed(&good)), "The JWT is encrypted, and not for a known key. Access denied."),
        (ask(scene(&decrypting), &closed(r#"{"sub":"ann"}"#)), "The JWT has no signature. Access denied."),
    ] {
        assert_eq!(outcome.answered, error("401 Unauthorized", 48, INVALID, ""));
        assert_eq!(reason(&outcome).map(|(.., message)| message), Some(message));
    }
    let compiled = scene(&decrypting).compiled();
    assert!(compiled.contains("decryption keys: secret id=k") && !compiled.contains(&key), "{compiled}");
}

#[test]
fn a_policy_without_keys_lets_nobody_in_and_that_is_said() {
    let scene = |attributes: &str| Scene::inbound(&format!("<validate-jwt header-name=\"A\" {attributes}/>"));
    let told =
        "policies/apis/chat.xml:1:27: <validate-jwt>: lets nobody in: there is no key in issuer-signing-keys";
    assert_eq!(scene("").notes(), [told]);
    let outcome = scene("").header(&format!("A: {}", token("{}"))).run();
    assert_eq!(reason(&outcome).map(|(_, reason, _)| reason), Some("TokenSignatureKeyNotFound"));
    assert!(scene("require-signed-tokens=\"false\"").notes().is_empty());
}

#[test]
fn no_key_shows_in_what_is_compiled_nor_in_a_fault() {
    let compiled = validate("header-name=\"Authorization\"", "").compiled();
    assert!(
        compiled.contains(", keys: secret, ") && !compiled.contains(&STANDARD.encode(SECRET)),
        "{compiled}"
    );
    let short = "c2VjcmV0";
    let faults = Scene::inbound(&format!(
        "<validate-jwt header-name=\"A\"><issuer-signing-keys><key>{short}</key></issuer-signing-keys></validate-jwt>"
    ))
    .faults();
    assert!(
        faults.len() == 1 && faults[0].contains("a secret of 6 bytes") && !faults[0].contains(short),
        "{faults:?}"
    );
}

#[test]
fn what_is_wrong_with_a_policy_for_tokens_is_told_at_publish() {
    let key = keys();
    for (policy, told) in [
        (&*format!("<validate-jwt>{key}</validate-jwt>"), "one of header-name"),
        (
            &format!("<validate-jwt header-name=\"A\" query-parameter-name=\"b\">{key}</validate-jwt>"),
            "one of header-name",
        ),
        (&*format!("<validate-jwt token-value=\"Bearer x\">{key}</validate-jwt>"), "without Bearer"),
        (
            &format!(
                "<validate-jwt header-name=\"A\"><openid-config url=\"https://i\"/>{key}</validate-jwt>"
            ),
            "does not fetch keys yet",
        ),
        (
            "<validate-jwt header-name=\"A\"><decryption-keys><key>c2VjcmV0</key></decryption-keys></validate-jwt>",
            "a secret of 6 bytes; one to decrypt with has",
        ),
        (
            "<validate-jwt header-name=\"A\"><decryption-keys><key certificate-id=\"c\"/></decryption-keys></validate-jwt>",
            "no certificates by id yet",
        ),
        (
            "<validate-jwt header-name=\"A\"><issuer-signing-keys><key certificate-id=\"c\"/></issuer-signing-keys></validate-jwt>",
            "no certificates by id yet",
        ),
        (
            "<validate-jwt header-name=\"A\"><issuer-signing-keys><key n=\"AQAB\"/></issuer-signing-keys></validate-jwt>",
            "give both n and e",
        ),
        (
            "<validate-jwt header-name=\"A\"><issuer-signing-keys><key>@(\"x\")</key></issuer-signing-keys></validate-jwt>",
            "an expression is not allowed here",
        ),
        ("<validate-jwt header-name=\"A\"><audiences/></validate-jwt>", "it is empty"),
        (&*format!("<validate-jwt header-name=\"A\">{}</validate-jwt>", key.repeat(17)), "more than 16 keys"),
        (
            "<validate-jwt header-name=\"A\"><required-claims><claim name=\"a\" match=\"some\"/></required-claims></validate-jwt>",
            "all or any",
        ),
    ] {
        let faults = Scene::inbound(policy).faults();
        assert!(faults.len() == 1 && faults[0].contains(told), "{policy}: {faults:#?}");
    }
}

#[test]
fn every_fault_of_a_policy_for_tokens_is_told_at_once() {
    let faults = Scene::inbound(
        "<validate-jwt header-name=\"A\" require-expiration-time=\"x\" require-signed-tokens=\"x\" clock-skew=\"x\" \
         require-scheme=\"@(1 +)\" failed-validation-httpcode=\"9\" failed-validation-error-message=\"@(1 +)\" \
         output-token-variable-name=\"@(1)\"/>",
    )
    .faults();
    assert_eq!(faults.len(), 7, "{faults:#?}");
}
