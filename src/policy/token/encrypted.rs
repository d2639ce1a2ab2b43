//! Encrypted tokens (RFC 7516, the compact form): the content is judged as a token of its own.
//!
//! ```text
//! header . content key, encrypted . iv . ciphertext . tag
//! ```
//!
//! The property to trust: opened content was encrypted and authenticated under one of the policy's keys. That says who may read
//! it and not who wrote it, because anybody can encrypt with a public key: a signature is looked for inside.
//!
//! Not here, and refused: `RSA1_5`, whose padding tells an attacker what is inside (RFC 8725 §3.2); `zip`, which makes much of
//! little; `PBES2`, where the token says how long to work; `ECDH-ES`; `A192KW` and keys wrapped by GCM.

use core::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::key_wrap::{self, AesBlockCipher, AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::TokenFault;
use super::keys::{TokenKeyFault, TooManyKeys, base64, pem_parts};
use crate::limits::{JWT_BYTES_MAX, TOKEN_DECRYPTION_KEYS_MAX};
use crate::policy::jwt::{JsonObject, Jwt, object};

/// A key that opens tokens.
pub struct DecryptionKey {
    /// The name that a token's `kid` may give it.
    id: Option<Box<str>>,
    material: Material,
}

enum Material {
    /// The content key itself, or one that it is wrapped under.
    Secret(Zeroizing<Box<[u8]>>),
    Rsa(Box<OaepPrivateDecryptingKey>),
}

impl DecryptionKey {
    /// The key of `<key>text</key>`: Base64 of a secret, as Azure API Management takes it; and, as an extension, a private RSA
    /// key (PKCS #8), in PEM or as Base64 of its DER.
    ///
    /// # Errors
    /// It is no key, or one that nothing is encrypted with.
    pub fn of_text(text: &str) -> Result<Self, TokenKeyFault> {
        let text = text.trim();
        let bytes = match pem_parts(text)? {
            Some(("PRIVATE KEY", body)) => base64(body)?,
            Some(_) => return Err(TokenKeyFault::NotPkcs8),
            None => base64(text)?,
        };
        if let Ok(key) = PrivateDecryptingKey::from_pkcs8(&bytes) {
            let key = OaepPrivateDecryptingKey::new(key).map_err(|_| TokenKeyFault::OtherKey)?;
            return Ok(Self { id: None, material: Material::Rsa(Box::new(key)) });
        }
        // RFC 7518 §5: of 128, 192 or 256 bits, or twice that where one half authenticates.
        if !matches!(bytes.len(), 16 | 24 | 32 | 48 | 64) {
            return Err(TokenKeyFault::DecryptionSecret(bytes.len()));
        }
        Ok(Self { id: None, material: Material::Secret(Zeroizing::new(bytes.as_slice().into())) })
    }

    /// The same, under what a token's `kid` may call it.
    pub fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The key of the content, if this one has it.
    fn content_key(&self, management: KeyManagement, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match (&self.material, management) {
            // RFC 7516 §5.2: nothing stands where the encrypted key would.
            (Material::Secret(secret), KeyManagement::Direct) => {
                encrypted.is_empty().then(|| Zeroizing::new(secret.to_vec()))
            }
            (Material::Secret(secret), KeyManagement::Wrapped(cipher)) => {
                let mut room = Zeroizing::new(vec![0; encrypted.len().checked_sub(8)?]);
                AesKek::new(cipher, secret).ok()?.unwrap(encrypted, &mut room).ok()?;
                Some(room)
            }
            (Material::Rsa(key), KeyManagement::Rsa(algorithm)) => {
                let mut room = Zeroizing::new(vec![0; key.min_output_size()]);
                let length = key.decrypt(algorithm, encrypted, &mut room, None).ok()?.len();
                room.truncate(length);
                Some(room)
            }
            (Material::Secret(_) | Material::Rsa(_), _) => None,
        }
    }
}

/// It shows no key.
impl fmt::Debug for DecryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.material {
            Material::Secret(_) => "secret",
            Material::Rsa(_) => "private RSA",
        })?;
        self.id.as_ref().map_or(Ok(()), |id| write!(formatter, " id={id}"))
    }
}

/// How the content's key comes with the token: `alg`.
#[derive(Clone, Copy)]
enum KeyManagement {
    Direct,
    Wrapped(&'static AesBlockCipher),
    Rsa(&'static OaepAlgorithm),
}

impl KeyManagement {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "dir" => Self::Direct,
            "A128KW" => Self::Wrapped(&key_wrap::AES_128),
            "A256KW" => Self::Wrapped(&key_wrap::AES_256),
            "RSA-OAEP" => Self::Rsa(&OAEP_SHA1_MGF1SHA1),
            "RSA-OAEP-256" => Self::Rsa(&OAEP_SHA256_MGF1SHA256),
            "RSA-OAEP-384" => Self::Rsa(&OAEP_SHA384_MGF1SHA384),
            "RSA-OAEP-512" => Self::Rsa(&OAEP_SHA512_MGF1SHA512),
            _ => return None,
        })
    }
}

/// How the content is encrypted: `enc`.
#[derive(Clone, Copy)]
enum ContentEncryption {
    /// RFC 7518 §5.2: the first half of the key authenticates.
    CbcHmac(&'static cipher::Algorithm, hmac::Algorithm),
    Gcm(&'static aead::Algorithm),
}

impl ContentEncryption {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "A128CBC-HS256" => Self::CbcHmac(&cipher::AES_128, hmac::HMAC_SHA256),
            "A192CBC-HS384" => Self::CbcHmac(&cipher::AES_192, hmac::HMAC_SHA384),
            "A256CBC-HS512" => Self::CbcHmac(&cipher::AES_256, hmac::HMAC_SHA512),
            "A128GCM" => Self::Gcm(&aead::AES_128_GCM),
            "A192GCM" => Self::Gcm(&aead::AES_192_GCM),
            "A256GCM" => Self::Gcm(&aead::AES_256_GCM),
            _ => return None,
        })
    }

    /// The content, if it is authentic under `key`.
    fn open(self, key: &[u8], sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let mut content = Zeroizing::new(sealed.ciphertext.clone());
        let length = match self {
            Self::CbcHmac(algorithm, hash) => {
                let half = hash.digest_algorithm().output_len() / 2;
                if key.len() != 2 * half || sealed.tag.len() != half {
                    return None;
                }
                let (of_tag, of_content) = key.split_at(half);
                let mut context = hmac::Context::with_key(&hmac::Key::new(hash, of_tag));
                let aad_bits = 8 * sealed.header_text.len() as u64;
                for part in
                    [sealed.header_text.as_bytes(), &sealed.iv, &sealed.ciphertext, &aad_bits.to_be_bytes()]
                {
                    context.update(part);
                }
                verify_slices_are_equal(&context.sign().as_ref()[..half], &sealed.tag).ok()?;
                let key = UnboundCipherKey::new(algorithm, of_content).ok()?;
                let iv: [u8; 16] = sealed.iv.as_slice().try_into().ok()?;
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
                key.decrypt(&mut content, DecryptionContext::Iv128(iv.into())).ok()?.len()
            }
            Self::Gcm(algorithm) => {
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(&sealed.iv).ok()?;
                let aad = Aad::from(sealed.header_text.as_bytes());
                if sealed.tag.len() != algorithm.tag_len() {
                    return None;
                }
                content.extend_from_slice(&sealed.tag);
                key.open_in_place(nonce, aad, &mut content).ok()?.len()
            }
        };
        content.truncate(length);
        Some(content)
    }
}

/// The five parts of an encrypted token.
struct Sealed<'t> {
    /// The text that is authenticated with the content.
    header_text: &'t str,
    header: JsonObject,
    key: Vec<u8>,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

impl<'t> Sealed<'t> {
    fn parse(token: &'t str) -> Option<Self> {
        if token.len() > JWT_BYTES_MAX {
            return None;
        }
        let mut parts = token.split('.');
        let header_text = parts.next()?;
        let mut bytes = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
        let (key, iv, ciphertext, tag) = (bytes()?, bytes()?, bytes()?, bytes()?);
        let header = object(header_text)?;
        parts.next().is_none().then_some(Self { header_text, header, key, iv, ciphertext, tag })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }
}

/// The content of an encrypted token.
pub(super) enum Opened {
    /// A token of its own.
    Token(Zeroizing<String>),
    /// Claims that nobody has signed.
    Claims(Jwt),
}

/// Whether a token is an encrypted one, by its parts.
pub(super) fn is_encrypted(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 4
}

/// The keys of one policy that open tokens.
#[derive(Debug, Default)]
pub struct DecryptionKeys(Vec<DecryptionKey>);

impl fmt::Display for DecryptionKeys {
    /// Their kinds and their ids; nothing of the keys themselves.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        let shown: Vec<String> = self.0.iter().map(|key| format!("{key:?}")).collect();
        formatter.write_str(&shown.join(", "))
    }
}

impl DecryptionKeys {
    /// These keys.
    ///
    /// # Errors
    /// They are too many: a token without `kid` is tried with all of them.
    pub fn new(keys: Vec<DecryptionKey>) -> Result<Self, TooManyKeys> {
        if keys.len() > TOKEN_DECRYPTION_KEYS_MAX {
            return Err(TooManyKeys { most: TOKEN_DECRYPTION_KEYS_MAX });
        }
        Ok(Self(keys))
    }

    /// Opens a token with the key that it names, or with any if none has that name.
    ///
    /// # Errors
    /// It is no encrypted token, asks for what is not understood, or no key opens it: which it was, and how far one got, is
    /// not told.
    pub(super) fn open(&self, token: &str) -> Result<Opened, TokenFault> {
        let sealed = Sealed::parse(token).ok_or(TokenFault::Malformed)?;
        if sealed.header.contains_key("crit") {
            return Err(TokenFault::Critical);
        }
        if sealed.header.contains_key("zip") {
            return Err(TokenFault::Undecryptable);
        }
        let content = self.content(&sealed).ok_or(TokenFault::Undecryptable)?;
        let text = core::str::from_utf8(&content).map_err(|_| TokenFault::Malformed)?;
        if text.starts_with('{') {
            let jwt = Jwt::of_encrypted(&sealed.header, text).ok_or(TokenFault::Malformed)?;
            return Ok(Opened::Claims(jwt));
        }
        Ok(Opened::Token(Zeroizing::new(text.to_owned())))
    }

    fn content(&self, sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let management = KeyManagement::parse(sealed.text("alg")?)?;
        let encryption = ContentEncryption::parse(sealed.text("enc")?)?;
        let key_id = sealed.text("kid");
        let is_named = |key: &&DecryptionKey| key_id.is_some() && key.id.as_deref() == key_id;
        let named = self.0.iter().any(|key| is_named(&key));
        let mut tried = self.0.iter().filter(|key| !named || is_named(key));
        tried.find_map(|key| encryption.open(&key.content_key(management, &sealed.key)?, sealed))
    }
}

#[cfg(test)]
mod tests;
