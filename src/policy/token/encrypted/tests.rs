//! Encrypted tokens: that of the standard, and of every algorithm; what is wrong with one, and what is inside.

use std::sync::Arc;

use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, OaepPublicEncryptingKey};
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::policy::token::{Key, Keys, TokenRules};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Encrypts `content` for who has the key that `encrypted_key` is for, or that is given as it is.
fn encrypt(header: &str, encrypted_key: &[u8], content_key: &[u8], content: &[u8]) -> String {
    let header_text = URL_SAFE_NO_PAD.encode(header);
    let enc = header.split("\"enc\":\"").nth(1).unwrap().split('"').next().unwrap();
    let mut content = content.to_vec();
    let (iv, tag) = match ContentEncryption::parse(enc).unwrap() {
        ContentEncryption::CbcHmac(algorithm, hash) => {
            let (of_tag, of_content) = content_key.split_at(content_key.len() / 2);
            let key = UnboundCipherKey::new(algorithm, of_content).unwrap();
            let iv = [9; 16];
            let context = EncryptionContext::Iv128((&iv).into());
            PaddedBlockEncryptingKey::cbc_pkcs7(key)
                .unwrap()
                .less_safe_encrypt(&mut content, context)
                .unwrap();
            let aad_bits = 8 * header_text.len() as u64;
            let signed = [header_text.as_bytes(), &iv, &content, &aad_bits.to_be_bytes()].concat();
            let tag = hmac::sign(&hmac::Key::new(hash, of_tag), &signed);
            (iv.to_vec(), tag.as_ref()[..of_tag.len()].to_vec())
        }
        ContentEncryption::Gcm(algorithm) => {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, content_key).unwrap());
            let nonce = Nonce::assume_unique_for_key([9; 12]);
            let aad = Aad::from(header_text.as_bytes());
            let tag = key.seal_in_place_separate_tag(nonce, aad, &mut content).unwrap();
            (vec![9; 12], tag.as_ref().to_vec())
        }
    };
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{header_text}.{}.{}.{}.{}", part(encrypted_key), part(&iv), part(&content), part(&tag))
}

/// Encrypted directly under a secret of 256 bits.
fn direct(content: &str) -> String {
    encrypt(r#"{"alg":"dir","enc":"A256GCM"}"#, &[], SECRET, content.as_bytes())
}

fn key(secret: &[u8]) -> DecryptionKey {
    DecryptionKey::of_text(&STANDARD.encode(secret)).unwrap()
}

fn opened(keys: Vec<DecryptionKey>, token: &str) -> Result<String, TokenFault> {
    match DecryptionKeys::new(keys).unwrap().open(token)? {
        Opened::Token(token) => Ok(token.to_string()),
        Opened::Claims(jwt) => Ok(format!("{:?}", jwt.claims)),
    }
}

#[test]
fn opens_the_token_of_the_standard() {
    // RFC 7516 appendix A.3.
    let token = "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ\
                 .AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ";
    let secret = URL_SAFE_NO_PAD.decode("GawgguFyGrWKav7AX4VKUg").unwrap();
    assert_eq!(opened(vec![key(&secret)], token).as_deref(), Ok("Live long and prosper."));
}

#[test]
fn opens_what_every_algorithm_closed() {
    let rsa = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let public = OaepPublicEncryptingKey::new(rsa.public_key()).unwrap();
    let der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let body = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    for (enc, bytes) in [
        ("A128CBC-HS256", 32),
        ("A192CBC-HS384", 48),
        ("A256CBC-HS512", 64),
        ("A128GCM", 16),
        ("A192GCM", 24),
        ("A256GCM", 32),
    ] {
        let content_key: Vec<u8> = (0..bytes).collect();
        let header = |alg: &str| format!(r#"{{"alg":"{alg}","enc":"{enc}"}}"#);
        let close = |alg: &str, encrypted: &[u8]| encrypt(&header(alg), encrypted, &content_key, b"a.b.c");
        assert_eq!(opened(vec![key(&content_key)], &close("dir", &[])).as_deref(), Ok("a.b.c"), "{enc}");
        for (alg, cipher, secret) in
            [("A128KW", &key_wrap::AES_128, &SECRET[..16]), ("A256KW", &key_wrap::AES_256, SECRET)]
        {
            let mut room = vec![0; content_key.len() + 8];
            AesKek::new(cipher, secret).unwrap().wrap(&content_key, &mut room).unwrap();
            assert_eq!(opened(vec![key(secret)], &close(alg, &room)).as_deref(), Ok("a.b.c"), "{alg} {enc}");
        }
        for (alg, algorithm, text) in [
            ("RSA-OAEP", &OAEP_SHA1_MGF1SHA1, &pem),
            ("RSA-OAEP-256", &OAEP_SHA256_MGF1SHA256, &body),
            ("RSA-OAEP-384", &OAEP_SHA384_MGF1SHA384, &pem),
            ("RSA-OAEP-512", &OAEP_SHA512_MGF1SHA512, &body),
        ] {
            let mut room = vec![0; public.ciphertext_size()];
            public.encrypt(algorithm, &content_key, &mut room, None).unwrap();
            let key = DecryptionKey::of_text(text).unwrap();
            assert_eq!(opened(vec![key], &close(alg, &room)).as_deref(), Ok("a.b.c"), "{alg} {enc}");
        }
    }
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    for enc in ["A128CBC-HS256", "A256GCM"] {
        let token = encrypt(&format!(r#"{{"alg":"dir","enc":"{enc}"}}"#), &[], SECRET, b"a.b.c");
        assert_eq!(opened(vec![key(SECRET)], &token).as_deref(), Ok("a.b.c"));
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let opened = opened(vec![key(SECRET)], &changed);
            assert!(opened.is_err(), "{index}: {changed}");
        }
        let cut = &token[..token.len() - 4];
        assert!(opened(vec![key(SECRET)], cut).is_err(), "a tag is whole");
    }
}

#[test]
fn what_is_not_understood_is_not_opened() {
    let under = |header: &str| opened(vec![key(SECRET)], &encrypt(header, &[], SECRET, b"a.b.c"));
    assert_eq!(under(r#"{"alg":"dir","enc":"A256GCM","crit":["exp"],"exp":1}"#), Err(TokenFault::Critical));
    for header in [
        r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#,
        r#"{"alg":"RSA1_5","enc":"A256GCM"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM"}"#,
        r#"{"alg":"none","enc":"A256GCM"}"#,
        r#"{"alg":"A256KW","enc":"A256GCM"}"#,
        r#"{"enc":"A256GCM"}"#,
    ] {
        assert_eq!(under(header), Err(TokenFault::Undecryptable), "{header}");
    }
    let token = direct("a.b.c");
    assert_eq!(opened(Vec::new(), &token), Err(TokenFault::Undecryptable));
    assert_eq!(opened(vec![key(&[7; 32])], &token), Err(TokenFault::Undecryptable));
    for token in ["....", "a.b.c.d.e", &format!("{token}="), &token.replacen('.', "..", 1)] {
        assert_eq!(opened(vec![key(SECRET)], token), Err(TokenFault::Malformed), "{token}");
    }
    assert_eq!(opened(vec![key(SECRET)], &direct(&"x".repeat(JWT_BYTES_MAX))), Err(TokenFault::Malformed));
    let bytes = encrypt(r#"{"alg":"dir","enc":"A256GCM"}"#, &[], SECRET, &[0xff]);
    assert_eq!(opened(vec![key(SECRET)], &bytes), Err(TokenFault::Malformed));
}

#[test]
fn a_key_is_known_by_its_id_and_otherwise_all_are_tried() {
    let named = encrypt(r#"{"alg":"dir","enc":"A256GCM","kid":"one"}"#, &[], SECRET, b"a.b.c");
    let other = || key(&[7; 32]);
    let opens = |keys| opened(keys, &named).is_ok();
    assert!(opens(vec![other(), key(SECRET)]));
    assert!(opens(vec![other().with_id("two"), key(SECRET).with_id("one")]));
    assert!(!opens(vec![other().with_id("one"), key(SECRET).with_id("two")]));
    let keys = |count: usize| (0..count).map(|_| other()).collect();
    assert!(DecryptionKeys::new(keys(TOKEN_DECRYPTION_KEYS_MAX)).is_ok());
    assert!(DecryptionKeys::new(keys(TOKEN_DECRYPTION_KEYS_MAX + 1)).is_err());
    assert_eq!(format!("{:?}", key(SECRET).with_id("one")), "secret id=one");
}

#[test]
fn what_is_no_key_to_decrypt_with_says_why() {
    let fault = |text: &str| DecryptionKey::of_text(text).unwrap_err();
    assert_eq!(fault(&STANDARD.encode([7; 31])), TokenKeyFault::DecryptionSecret(31));
    assert_eq!(fault(""), TokenKeyFault::DecryptionSecret(0));
    assert_eq!(fault("not base64!"), TokenKeyFault::NotBase64);
    assert_eq!(fault("-----BEGIN PRIVATE KEY-----\nAAAA"), TokenKeyFault::NotBase64);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----");
    assert_eq!(fault(&pem("RSA PRIVATE KEY")), TokenKeyFault::NotPkcs8);
    assert_eq!(fault(&pem("PUBLIC KEY")), TokenKeyFault::NotPkcs8);
}

#[test]
fn what_is_inside_has_to_be_signed_unless_tokens_need_no_signature() {
    let rules = |requires_signature| TokenRules {
        keys: Arc::new(Keys::new(vec![Key::of_secret(SECRET).unwrap()]).unwrap()),
        decryption_keys: Arc::new(DecryptionKeys::new(vec![key(SECRET)]).unwrap()),
        requires_expiration_time: false,
        requires_signature,
        audiences: vec!["a".into()],
        ..TokenRules::default()
    };
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = |secret: &[u8], payload: &str| {
        let signed = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let good = token(SECRET, r#"{"aud":"a","sub":"ann"}"#);
    let unsigned = format!("{}.{}.", part(r#"{"alg":"none"}"#), part(r#"{"aud":"a"}"#));
    for (content, needed, not_needed) in [
        (good.as_str(), None, None),
        (&token(&[7; 32], r#"{"aud":"a"}"#), Some("TokenSignatureInvalid"), Some("TokenSignatureInvalid")),
        (&token(SECRET, r#"{"aud":"b"}"#), Some("TokenAudienceNotAllowed"), Some("TokenAudienceNotAllowed")),
        (&unsigned, Some("TokenSignatureInvalid"), None),
        (r#"{"aud":"a"}"#, Some("TokenSignatureInvalid"), None),
        (r#"{"aud":"b"}"#, Some("TokenSignatureInvalid"), Some("TokenAudienceNotAllowed")),
        ("{", Some("JwtInvalid"), Some("JwtInvalid")),
        (&direct(&good), Some("JwtInvalid"), Some("JwtInvalid")),
    ] {
        for (requires_signature, expected) in [(true, needed), (false, not_needed)] {
            let judged = rules(requires_signature).judge(&direct(content), 0);
            assert_eq!(judged.as_ref().err().map(TokenFault::reason), expected, "{content}");
        }
    }
    let jwt = rules(true).judge(&direct(&good), 0).unwrap();
    assert_eq!(jwt.subject.as_deref(), Some("ann"));
    assert!(rules(true).judge(&good, 0).is_ok(), "a token need not be encrypted");
}
