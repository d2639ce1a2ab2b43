//! Tokens of the standards and of every algorithm, and each rule at its boundaries.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn rules(keys: Vec<Key>) -> TokenRules {
    TokenRules {
        keys: Arc::new(Keys::new(keys).unwrap()),
        requires_expiration_time: false,
        ..TokenRules::default()
    }
}

fn signed(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// A token with this payload, and rules that trust its key.
fn token(payload: &str) -> String {
    signed(r#"{"alg":"HS256"}"#, payload, |message| hs256(SECRET, message))
}

fn secret() -> Key {
    Key::of_secret(SECRET).unwrap()
}

fn fault(rules: &TokenRules, token: &str) -> TokenFault {
    rules.judge(token, 0).expect_err("it is refused")
}

/// The payload of the examples of RFC 7515 appendix A.
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn public_key(algorithm: &[u8], key: &[&str]) -> Key {
    let key: Vec<u8> = key.iter().flat_map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    Key::of_text(&STANDARD.encode([algorithm, &key].concat())).unwrap()
}

#[test]
fn believes_the_examples_of_rfc_7515() {
    let a1_key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let a2_n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ\
        S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6\
        65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\
        oQ";
    let a2_signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
        F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x\
        i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ\
        Ge77Rw";
    let p256 = [
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        3, 1, 7, 3, 0x42, 0, 4,
    ];
    let a3 = ["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"];
    let a3_signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    for (header, key, signature) in [
        (
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            Key::of_text(&STANDARD.encode(URL_SAFE_NO_PAD.decode(a1_key).unwrap())).unwrap(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        ("eyJhbGciOiJSUzI1NiJ9", Key::of_modulus(a2_n, "AQAB").unwrap(), a2_signature),
        ("eyJhbGciOiJFUzI1NiJ9", public_key(&p256, &a3), a3_signature),
    ] {
        let rules = TokenRules { requires_expiration_time: true, ..rules(vec![key]) };
        let token = format!("{header}.{JOE}.{signature}");
        let jwt = rules.judge(&token, 1_300_819_379).expect(&token);
        assert_eq!(jwt.issuer.as_deref(), Some("joe"));
        assert_eq!(rules.judge(&token, 1_300_819_380), Err(TokenFault::Expired));
    }
    // A.5 is unsigned.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    assert_eq!(fault(&rules(vec![]), &unsigned), TokenFault::Unsigned);
    assert!(TokenRules { requires_signature: false, ..rules(vec![]) }.judge(&unsigned, 0).is_ok());
}

#[test]
fn verifies_the_example_of_rfc_8037() {
    // Its payload is no JSON, so no token.
    let ed25519 = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let key = public_key(&ed25519, &["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]);
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let keys = Keys::new(vec![key]).unwrap();
    let algorithm = Algorithm::parse("EdDSA").unwrap();
    assert_eq!(keys.verify(algorithm, None, message, &signature), Ok(()));
    assert_eq!(keys.verify(algorithm, None, &message[1..], &signature), Err(Unverified::WrongSignature));
}

/// A function that signs a message.
type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A function that makes the key that verifies it.
type Verifier = Box<dyn Fn() -> Key>;

/// Every algorithm: its name, a key to verify with (the keys of a family are alike), and what signs.
fn every_algorithm() -> Vec<(&'static str, Verifier, Signer)> {
    let mut all: Vec<(&'static str, Verifier, Signer)> = Vec::new();
    for (name, algorithm) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        let key = hmac::Key::new(algorithm, SECRET);
        all.push((
            name,
            Box::new(secret),
            Box::new(move |message| hmac::sign(&key, message).as_ref().to_vec()),
        ));
    }
    let rsa = Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    for (name, encoding) in [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ] {
        let public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        let (public, rsa) = (public.as_ref().to_vec(), Arc::clone(&rsa));
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        all.push((name, Box::new(move || Key::of_public_key(&public).unwrap()), Box::new(sign)));
    }
    for (name, algorithm) in [
        ("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let public = public.as_ref().to_vec();
        let sign = move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        all.push((name, Box::new(move || Key::of_public_key(&public).unwrap()), Box::new(sign)));
    }
    let key = Ed25519KeyPair::generate().unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let public = public.as_ref().to_vec();
    let sign = move |message: &[u8]| key.sign(message).as_ref().to_vec();
    all.push(("EdDSA", Box::new(move || Key::of_public_key(&public).unwrap()), Box::new(sign)));
    all
}

#[test]
fn believes_tokens_of_every_algorithm_and_of_its_keys_only() {
    let all = every_algorithm();
    assert_eq!(all.len(), 13);
    for (name, _, sign) in &all {
        let given = signed(&format!(r#"{{"alg":"{name}"}}"#), r#"{"sub":"ann"}"#, sign);
        for (other, key, _) in &all {
            let judged = rules(vec![key()]).judge(&given, 0).map(|jwt| jwt.subject);
            // `HS`, `RS` and `PS` are of a family each, but for RSA keys, which serve two; a curve is one of its own.
            let family = |name: &str| match &name[..2] {
                "RS" | "PS" => "RSA".to_owned(),
                "HS" => "HS".to_owned(),
                _ => name.to_owned(),
            };
            if family(name) == family(other) {
                assert_eq!(judged, Ok(Some("ann".into())), "{name} {other}");
            } else {
                assert_eq!(judged, Err(TokenFault::SignatureKeyNotFound), "{name} {other}");
            }
        }
        // With all keys at hand, the right one is found.
        assert!(rules(all.iter().map(|(_, key, _)| key()).collect()).judge(&given, 0).is_ok(), "{name}");
    }
}

#[test]
fn no_algorithm_passes_for_another() {
    let all = every_algorithm();
    let keys = || rules(all.iter().map(|(_, key, _)| key()).collect());
    for (name, _, sign) in &all {
        for (claimed, _, _) in all.iter().filter(|(claimed, _, _)| claimed != name) {
            let given = signed(&format!(r#"{{"alg":"{claimed}"}}"#), "{}", sign);
            assert_eq!(fault(&keys(), &given), TokenFault::SignatureInvalid, "{name} as {claimed}");
        }
        for claimed in ["none", "None", "NONE", "nOnE", "hs256", "HS256 ", "ES256K", "RS1", ""] {
            let given = signed(&format!(r#"{{"alg":"{claimed}"}}"#), "{}", sign);
            let lax = TokenRules { requires_signature: false, ..keys() };
            assert!(keys().judge(&given, 0).is_err() && lax.judge(&given, 0).is_err(), "{name} as {claimed}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret_even_if_the_token_says_so() {
    let (_, key, _) = every_algorithm().into_iter().find(|(name, _, _)| *name == "RS256").unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let der = public.as_ref();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    let forms = [
        der.to_vec(),
        STANDARD.encode(der).into_bytes(),
        pem.clone().into_bytes(),
        rsa.public_key().as_ref().to_vec(),
    ];
    for form in forms {
        let forged = signed(r#"{"alg":"HS256"}"#, "{}", |message| hs256(&form, message));
        for trusted in [Key::of_text(&pem).unwrap(), Key::of_text(&STANDARD.encode(der)).unwrap(), key()] {
            assert_eq!(fault(&rules(vec![trusted]), &forged), TokenFault::SignatureKeyNotFound);
        }
        // Beside a secret, it is that which does not fit.
        let beside = rules(vec![Key::of_text(&pem).unwrap(), secret()]);
        assert_eq!(fault(&beside, &forged), TokenFault::SignatureInvalid);
    }
}

#[test]
fn a_token_with_any_character_changed_is_refused() {
    for (name, key, sign) in every_algorithm() {
        let given = signed(&format!(r#"{{"alg":"{name}"}}"#), r#"{"sub":"ann"}"#, sign);
        let rules = rules(vec![key()]);
        assert!(rules.judge(&given, 0).is_ok());
        for at in 0..given.len() {
            let mut changed = given.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(rules.judge(&changed, 0).is_err(), "{name} at {at}: {changed}");
        }
        for cut in 0..given.len() {
            assert!(rules.judge(&given[..cut], 0).is_err(), "{name} up to {cut}");
        }
        for more in ["=", "A", ".", " ", "\n"] {
            assert!(rules.judge(&format!("{given}{more}"), 0).is_err(), "{name} {more:?}");
        }
    }
}

#[test]
fn a_key_id_chooses_the_key_and_an_unknown_one_chooses_none() {
    let other = b"fedcba9876543210fedcba9876543210";
    let keys = || {
        rules(vec![
            secret().with_id("k1"),
            Key::of_secret(other).unwrap().with_id("k2"),
            secret().with_id("k3"),
        ])
    };
    let named = |id: &str, key: &[u8]| {
        signed(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#), "{}", |message| hs256(key, message))
    };
    assert!(keys().judge(&named("k1", SECRET), 0).is_ok());
    assert!(keys().judge(&named("k2", other), 0).is_ok());
    assert_eq!(fault(&keys(), &named("k1", other)), TokenFault::SignatureInvalid);
    assert!(keys().judge(&named("k9", other), 0).is_ok(), "all are tried");
    assert!(keys().judge(&token("{}"), 0).is_ok(), "all are tried");
    // A name that a key of another family has is no name of a key that fits.
    let (_, rsa, _) = every_algorithm().into_iter().find(|(name, _, _)| *name == "RS256").unwrap();
    assert!(rules(vec![rsa().with_id("k1"), secret()]).judge(&named("k1", SECRET), 0).is_ok());
}

#[test]
fn a_token_that_asks_for_an_extension_is_refused() {
    let given =
        signed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "{}", |message| hs256(SECRET, message));
    assert_eq!(fault(&rules(vec![secret()]), &given), TokenFault::Critical);
}

#[test]
fn lifetimes_are_judged_to_the_second() {
    let judge = |payload: &str, clock_skew_s, now_s| {
        TokenRules { clock_skew_s, ..rules(vec![secret()]) }.judge(&token(payload), now_s).map(|_| ())
    };
    for (payload, clock_skew_s, now_s, expected) in [
        (r#"{"exp":1000}"#, 0, 999, Ok(())),
        (r#"{"exp":1000}"#, 0, 1000, Err(TokenFault::Expired)),
        (r#"{"exp":1000}"#, 60, 1059, Ok(())),
        (r#"{"exp":1000}"#, 60, 1060, Err(TokenFault::Expired)),
        (r#"{"exp":1000.9}"#, 0, 1000, Err(TokenFault::Expired)),
        (r#"{"exp":-1}"#, 0, -2, Ok(())),
        (r#"{"exp":-1}"#, 0, 0, Err(TokenFault::Expired)),
        (r#"{"nbf":1000}"#, 0, 999, Err(TokenFault::NotYetValid)),
        (r#"{"nbf":1000}"#, 0, 1000, Ok(())),
        (r#"{"nbf":1000}"#, 60, 939, Err(TokenFault::NotYetValid)),
        (r#"{"nbf":1000}"#, 60, 940, Ok(())),
        (r#"{"nbf":1000,"exp":1000}"#, 0, 1000, Err(TokenFault::Expired)),
        // When a token was made says nothing of when it is valid.
        (r#"{"iat":5000}"#, 0, 1000, Ok(())),
        (r#"{"exp":1000}"#, u64::MAX, i64::MAX - 1, Ok(())),
        (r#"{"exp":"1000"}"#, 0, 0, Err(TokenFault::Malformed)),
    ] {
        assert_eq!(judge(payload, clock_skew_s, now_s), expected, "{payload} ± {clock_skew_s} at {now_s}");
    }
    let strict = TokenRules { requires_expiration_time: true, ..rules(vec![secret()]) };
    assert_eq!(fault(&strict, &token("{}")), TokenFault::NoExpirationTime);
}

#[test]
fn audience_and_issuer_are_one_of_those_that_are_allowed() {
    let allowed = |audiences: &[&str], issuers: &[&str], payload: &str| {
        let owned = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
        TokenRules { audiences: owned(audiences), issuers: owned(issuers), ..rules(vec![secret()]) }
            .judge(&token(payload), 0)
            .map(|_| ())
    };
    let (no_audience, no_issuer) = (Err(TokenFault::AudienceNotAllowed), Err(TokenFault::IssuerNotAllowed));
    assert_eq!(allowed(&[], &[], "{}"), Ok(()));
    assert_eq!(allowed(&["a"], &[], r#"{"aud":"a"}"#), Ok(()));
    assert_eq!(allowed(&["a", "b"], &[], r#"{"aud":["x","b"]}"#), Ok(()));
    assert_eq!(allowed(&["a"], &[], r#"{"aud":["x","y"]}"#), no_audience);
    assert_eq!(allowed(&["a"], &[], r#"{"aud":"A"}"#), no_audience);
    assert_eq!(allowed(&["a"], &[], "{}"), no_audience);
    assert_eq!(allowed(&[], &["i", "j"], r#"{"iss":"j"}"#), Ok(()));
    assert_eq!(allowed(&[], &["i"], r#"{"iss":"i/"}"#), no_issuer);
    assert_eq!(allowed(&[], &["i"], r#"{"iss":["i"]}"#), no_issuer);
    assert_eq!(allowed(&[], &["i"], "{}"), no_issuer);
}

#[test]
fn required_claims_are_there_with_all_or_any_of_their_values() {
    let payload =
        r#"{"roles":["reader","writer"],"scope":"a b  c","level":7,"admin":true,"none":null,"empty":[]}"#;
    for (name, values, matched, separator, is_met) in [
        ("roles", &[][..], Matched::All, None, true),
        ("roles", &["reader"], Matched::All, None, true),
        ("roles", &["reader", "writer"], Matched::All, None, true),
        ("roles", &["reader", "owner"], Matched::All, None, false),
        ("roles", &["reader", "owner"], Matched::Any, None, true),
        ("roles", &["owner"], Matched::Any, None, false),
        ("roles", &["Reader"], Matched::Any, None, false),
        ("scope", &["a"], Matched::All, None, false),
        ("scope", &["a b  c"], Matched::All, None, true),
        ("scope", &["a", "c"], Matched::All, Some(" "), true),
        ("scope", &["a", "d"], Matched::All, Some(" "), false),
        ("scope", &["a b  c"], Matched::All, Some(""), true),
        ("level", &["7"], Matched::All, None, true),
        ("admin", &["true"], Matched::All, None, true),
        ("none", &[], Matched::Any, None, true),
        ("empty", &[], Matched::All, None, true),
        ("empty", &["a"], Matched::Any, None, false),
    ] {
        let owned = values.iter().map(|value| Arc::from(*value)).collect();
        let required =
            RequiredClaim { name: name.into(), values: owned, matched, separator: separator.map(Arc::from) };
        let rules = TokenRules { required_claims: vec![required], ..rules(vec![secret()]) };
        let judged = rules.judge(&token(payload), 0);
        assert_eq!(judged.is_ok(), is_met, "{name} {values:?} {matched:?} {separator:?}: {judged:?}");
    }
}

#[test]
fn faults_are_of_azures_catalogue_and_tell_the_client_little() {
    let required = |name: &str, value: &str| RequiredClaim {
        name: name.into(),
        values: vec![value.into()],
        matched: Matched::All,
        separator: None,
    };
    let claims = |claims: Vec<RequiredClaim>| TokenRules { required_claims: claims, ..rules(vec![secret()]) };
    let payload = token(r#"{"tid":["x","y"]}"#);
    for (fault, reason, message, said) in [
        (TokenFault::NotPresent, "TokenNotPresent", "JWT not present.", "JWT not present."),
        (
            fault(&claims(vec![required("oid", "1"), required("tid", "z"), required("azp", "1")]), &payload),
            "TokenClaimNotFound",
            "JWT token is missing the following claims: oid, azp. Access denied.",
            "Invalid JWT.",
        ),
        (
            fault(&claims(vec![required("tid", "z")]), &payload),
            "TokenClaimValueNotAllowed",
            "Claim tid value of x,y is not allowed. Access denied.",
            "Invalid JWT.",
        ),
        (TokenFault::Expired, "TokenExpired", "The JWT has expired. Access denied.", "Invalid JWT."),
    ] {
        assert_eq!((fault.reason(), &*fault.to_string(), fault.said()), (reason, message, said));
    }
    let catalogue = [
        (TokenFault::Malformed, "JwtInvalid"),
        (TokenFault::Critical, "JwtInvalid"),
        (TokenFault::NoExpirationTime, "JwtInvalid"),
        (TokenFault::NotYetValid, "JwtInvalid"),
        (TokenFault::Unsigned, "TokenSignatureInvalid"),
        (TokenFault::SignatureInvalid, "TokenSignatureInvalid"),
        (TokenFault::SignatureKeyNotFound, "TokenSignatureKeyNotFound"),
        (TokenFault::AudienceNotAllowed, "TokenAudienceNotAllowed"),
        (TokenFault::IssuerNotAllowed, "TokenIssuerNotAllowed"),
    ];
    for (fault, reason) in catalogue {
        assert_eq!((fault.reason(), fault.said()), (reason, "Invalid JWT."));
    }
}

proptest! {
    #[test]
    fn no_text_is_believed_and_none_panics(text in ".{0,200}", header in ".{0,60}", payload in ".{0,60}") {
        let rules = TokenRules { requires_signature: false, ..rules(vec![secret()]) };
        prop_assert!(rules.judge(&text, 0).is_err());
        let given = signed(&header, &payload, |_| vec![1; 32]);
        prop_assert!(rules.judge(&given, 0).is_err());
    }

    #[test]
    fn payloads_that_are_signed_never_panic(payload in "[\\[\\]{}\":,a-z0-9.e-]{0,60}", now_s in any::<i64>()) {
        let rules = TokenRules { clock_skew_s: 300, ..rules(vec![secret()]) };
        let _ = rules.judge(&token(&payload), now_s);
    }
}
