//! The keys that a policy trusts to sign tokens.
//!
//! The property to trust: a key knows what it is, and a token cannot make it something else. A public key is never taken for
//! a secret, whatever `alg` says, and a key on a curve verifies with the one algorithm of that curve. Keys are read and
//! parsed once, at publish.
//!
//! Not here: keys that are fetched (`openid-config`), certificates by name (`certificate-id`), chains and revocation: who
//! writes a certificate into a policy trusts its key, whoever issued it and until when.

use core::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use thiserror::Error;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{self, Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Curve, HmacHash, RsaScheme};

/// Keys of one policy that tokens are verified with. Over it: a fault at publish.
///
/// A token that names none of them (`kid`) is tried with all of its family: it bounds what a handshake can take of a core, to
/// half a millisecond with RSA keys of 2048 bits.
const TOKEN_KEYS_MAX: usize = 16;

/// Shortest secret, in bytes, that tokens are signed with. A shorter one is refused: it can be found by trying.
const TOKEN_SECRET_BYTES_MIN: usize = 16;

/// Smallest modulus of an RSA key, in bytes (RFC 7518 §3.3). A smaller one is refused.
const TOKEN_RSA_BYTES_MIN: usize = 2048 / 8;

/// Largest modulus of an RSA key, in bytes. A larger one is refused: each token would cost a millisecond.
const TOKEN_RSA_BYTES_MAX: usize = 8192 / 8;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenKeyFault {
    /// Neither Base64 nor PEM.
    #[error("neither Base64 nor PEM")]
    NotBase64,
    /// `n` or `e`.
    #[error("`{0}` is not a number in base64url")]
    NotBase64Url(&'static str),
    /// A secret that is too short.
    #[error("a secret of {0} bytes; it has at least {TOKEN_SECRET_BYTES_MIN}")]
    ShortSecret(usize),
    /// An RSA key that is too small or too large.
    #[error("an RSA key of {0} bits; it has {min} to {max}", min = 8 * TOKEN_RSA_BYTES_MIN, max = 8 * TOKEN_RSA_BYTES_MAX)]
    RsaSize(usize),
    /// PEM of something else.
    #[error("PEM of neither a CERTIFICATE nor a PUBLIC KEY")]
    OtherPem,
    /// PEM of a private key.
    #[error("a private key; a policy needs the public one only")]
    Private,
    /// PEM of anything but a private key in PKCS #8.
    #[error("PEM, but not of a PRIVATE KEY (PKCS #8)")]
    NotPkcs8,
    /// A secret that nothing is encrypted with.
    #[error("a secret of {0} bytes; one to decrypt with has 16, 24, 32, 48 or 64")]
    DecryptionSecret(usize),
    /// No certificate.
    #[error("not an X.509 certificate")]
    NotCertificate,
    /// A public key that tokens are not verified with.
    #[error("neither an RSA key, nor one on P-256, P-384 or P-521, nor an Ed25519 key")]
    OtherKey,
}

/// One key.
pub struct Key {
    /// The name that a token's `kid` may give it.
    id: Option<Box<str>>,
    material: Material,
}

enum Material {
    /// One for each hash, in the order of [`HmacHash::ALL`].
    Secret(Box<[hmac::Key; 3]>),
    /// One for each scheme, in the order of [`RsaScheme::ALL`].
    Rsa(Box<[ParsedPublicKey]>),
    Curve(Curve, Box<ParsedPublicKey>),
}

impl Key {
    /// The key of `<key>text</key>`: Base64 of a secret, as Azure API Management takes it; and, as an extension, a
    /// certificate or a public key, in PEM or as Base64 of its DER.
    ///
    /// # Errors
    /// It is no key.
    pub fn of_text(text: &str) -> Result<Self, TokenKeyFault> {
        let text = text.trim();
        if let Some((label, body)) = pem_parts(text)? {
            return Self::of_pem(label, body);
        }
        let bytes = base64(text)?;
        // No secret is a whole certificate or a whole public key by chance, and no such thing may become a secret: it is
        // public, and whoever has it could sign.
        if CertificateInner::<Raw>::from_der(&bytes).is_ok() {
            return Self::of_certificate(&bytes);
        }
        if SubjectPublicKeyInfoRef::from_der(&bytes).is_ok() {
            return Self::of_public_key(&bytes);
        }
        Self::of_secret(&bytes)
    }

    fn of_pem(label: &str, body: &str) -> Result<Self, TokenKeyFault> {
        match label {
            "CERTIFICATE" => Self::of_certificate(&base64(body)?),
            "PUBLIC KEY" => Self::of_public_key(&base64(body)?),
            label if label.ends_with("PRIVATE KEY") => Err(TokenKeyFault::Private),
            _ => Err(TokenKeyFault::OtherPem),
        }
    }

    /// A secret.
    ///
    /// # Errors
    /// It is too short.
    pub fn of_secret(secret: &[u8]) -> Result<Self, TokenKeyFault> {
        // RFC 7518 §3.2 wants as many bytes as the hash has. Azure API Management takes less, and so do tokens that exist.
        if secret.len() < TOKEN_SECRET_BYTES_MIN {
            return Err(TokenKeyFault::ShortSecret(secret.len()));
        }
        let keys = HmacHash::ALL.map(|hash| hmac::Key::new(hash.hmac(), secret));
        Ok(Self { id: None, material: Material::Secret(Box::new(keys)) })
    }

    /// An RSA key of its modulus and its exponent, in base64url (RFC 7518 §6.3.1).
    ///
    /// # Errors
    /// They are no numbers, or the key is too small or too large.
    pub fn of_modulus(n: &str, e: &str) -> Result<Self, TokenKeyFault> {
        let number = |name, text: &str| {
            let text = text.trim().trim_end_matches('=');
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenKeyFault::NotBase64Url(name))?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            if zeros == bytes.len() {
                Err(TokenKeyFault::NotBase64Url(name))
            } else {
                Ok(bytes[zeros..].to_vec())
            }
        };
        let components = RsaPublicKeyComponents { n: number("n", n)?, e: number("e", e)? };
        check_rsa_size(components.n.len())?;
        let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        Self::of_rsa(key.map_err(|_| TokenKeyFault::OtherKey)?.as_ref())
    }

    /// The key of a certificate in DER.
    ///
    /// # Errors
    /// It is none, or has another kind of key.
    pub fn of_certificate(der: &[u8]) -> Result<Self, TokenKeyFault> {
        let certificate =
            CertificateInner::<Raw>::from_der(der).map_err(|_| TokenKeyFault::NotCertificate)?;
        let key = certificate.tbs_certificate().subject_public_key_info().to_der();
        Self::of_public_key(&key.map_err(|_| TokenKeyFault::NotCertificate)?)
    }

    /// A public key in DER, with what says of which kind it is (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// It is of another kind.
    pub fn of_public_key(der: &[u8]) -> Result<Self, TokenKeyFault> {
        // What is parsed below may also be a bare key, which does not say of which kind it is.
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| TokenKeyFault::OtherKey)?;
        if ParsedPublicKey::new(RsaScheme::Rs256.verification(), der).is_ok() {
            check_rsa_size(modulus_bytes(&info).ok_or(TokenKeyFault::OtherKey)?)?;
            return Self::of_rsa(der);
        }
        let parsed = Curve::ALL.into_iter().find_map(|curve| {
            let key = ParsedPublicKey::new(curve.verification(), der).ok()?;
            Some(Material::Curve(curve, Box::new(key)))
        });
        parsed.map(|material| Self { id: None, material }).ok_or(TokenKeyFault::OtherKey)
    }

    fn of_rsa(der: &[u8]) -> Result<Self, TokenKeyFault> {
        let of_scheme = |scheme: RsaScheme| ParsedPublicKey::new(scheme.verification(), der);
        let keys = RsaScheme::ALL.into_iter().map(of_scheme).collect::<Result<_, _>>();
        Ok(Self { id: None, material: Material::Rsa(keys.map_err(|_| TokenKeyFault::OtherKey)?) })
    }

    /// The same, under what a token's `kid` may call it.
    pub fn with_id(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Whether it is of the family that `algorithm` needs.
    fn fits(&self, algorithm: Algorithm) -> bool {
        match (&self.material, algorithm) {
            (Material::Secret(_), Algorithm::Hmac(_)) | (Material::Rsa(_), Algorithm::Rsa(_)) => true,
            (Material::Curve(mine, _), Algorithm::Curve(curve)) => *mine == curve,
            (Material::Secret(_) | Material::Rsa(_) | Material::Curve(..), _) => false,
        }
    }

    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm) {
            (Material::Secret(keys), Algorithm::Hmac(hash)) => {
                hmac::verify(&keys[hash as usize], signed, signature).is_ok()
            }
            (Material::Rsa(keys), Algorithm::Rsa(scheme)) => {
                keys[scheme as usize].verify_sig(signed, signature).is_ok()
            }
            (Material::Curve(mine, key), Algorithm::Curve(curve)) if *mine == curve => {
                key.verify_sig(signed, signature).is_ok()
            }
            (Material::Secret(_) | Material::Rsa(_) | Material::Curve(..), _) => false,
        }
    }
}

/// How long the modulus of an RSA key is (RFC 8017 §A.1.1: it comes first).
fn modulus_bytes(info: &SubjectPublicKeyInfoRef<'_>) -> Option<usize> {
    let mut reader = SliceReader::new(info.subject_public_key.as_bytes()?).ok()?;
    let modulus = reader.sequence(|key| {
        let modulus = UintRef::decode(key)?;
        UintRef::decode(key)?;
        Ok::<_, der::Error>(modulus.as_bytes().len())
    });
    modulus.ok()
}

fn check_rsa_size(modulus_bytes: usize) -> Result<(), TokenKeyFault> {
    if (TOKEN_RSA_BYTES_MIN..=TOKEN_RSA_BYTES_MAX).contains(&modulus_bytes) {
        Ok(())
    } else {
        Err(TokenKeyFault::RsaSize(8 * modulus_bytes))
    }
}

/// The label of a text in PEM and what stands between its lines (RFC 7468 §2). `None`: it is not in PEM.
pub(super) fn pem_parts(text: &str) -> Result<Option<(&str, &str)>, TokenKeyFault> {
    let Some(armoured) = text.strip_prefix("-----BEGIN ") else { return Ok(None) };
    let (label, rest) = armoured.split_once("-----").ok_or(TokenKeyFault::NotBase64)?;
    let (body, _) = rest.split_once("-----END ").ok_or(TokenKeyFault::NotBase64)?;
    Ok(Some((label, body)))
}

pub(super) fn base64(text: &str) -> Result<Zeroizing<Vec<u8>>, TokenKeyFault> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| TokenKeyFault::NotBase64)
}

/// It shows no key.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Secret(_) => "secret",
            Material::Rsa(_) => "RSA",
            Material::Curve(Curve::P256, _) => "P-256",
            Material::Curve(Curve::P384, _) => "P-384",
            Material::Curve(Curve::P521, _) => "P-521",
            Material::Curve(Curve::Ed25519, _) => "Ed25519",
        };
        formatter.write_str(kind)?;
        self.id.as_ref().map_or(Ok(()), |id| write!(formatter, " id={id}"))
    }
}

/// The keys of one policy.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

/// There are too many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {most} keys")]
pub struct TooManyKeys {
    /// So many there may be.
    pub most: usize,
}

/// Why no key says that a signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    NoKey,
    WrongSignature,
}

impl fmt::Display for Keys {
    /// Their kinds and their ids; nothing of the keys themselves.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("none");
        }
        let shown: Vec<String> = self.0.iter().map(|key| format!("{key:?}")).collect();
        formatter.write_str(&shown.join(", "))
    }
}

impl Keys {
    /// These keys.
    ///
    /// # Errors
    /// They are too many: a token without `kid` is tried with all of them.
    pub fn new(keys: Vec<Key>) -> Result<Self, TooManyKeys> {
        let most = TOKEN_KEYS_MAX;
        if keys.len() > most { Err(TooManyKeys { most }) } else { Ok(Self(keys)) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys made `signature`: that with the token's `kid`, or any if none has it.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Unverified> {
        let fitting = || self.0.iter().filter(move |key| key.fits(algorithm));
        let has_id = |key: &&Key| key_id.is_some() && key.id.as_deref() == key_id;
        let is_named = fitting().any(|key| has_id(&key));
        let mut tried = fitting().filter(|key| !is_named || has_id(key)).peekable();
        if tried.peek().is_none() {
            return Err(Unverified::NoKey);
        }
        let verifies = tried.any(|key| key.verifies(algorithm, signed, signature));
        if verifies { Ok(()) } else { Err(Unverified::WrongSignature) }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn shown(text: &str) -> Result<String, TokenKeyFault> {
        Key::of_text(text).map(|key| format!("{key:?}"))
    }

    #[test]
    fn a_certificate_and_a_public_key_are_read_in_pem_and_in_base64_and_are_never_a_secret() {
        for (algorithm, kind) in [
            (&PKCS_ECDSA_P256_SHA256, "P-256"),
            (&PKCS_ECDSA_P384_SHA384, "P-384"),
            (&PKCS_ED25519, "Ed25519"),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
            for text in [
                certificate.pem(),
                key.public_key_pem(),
                STANDARD.encode(certificate.der()),
                format!("\n  {}\n", key.public_key_pem().replace('\n', "\r\n   ")),
            ] {
                assert_eq!(shown(&text).as_deref(), Ok(kind), "{text}");
            }
            assert_eq!(shown(&key.serialize_pem()), Err(TokenKeyFault::Private));
        }
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        assert_eq!(shown(&STANDARD.encode(public.as_ref())).as_deref(), Ok("RSA"));
    }

    #[test]
    fn what_is_no_key_says_why() {
        let secret = |bytes: usize| STANDARD.encode(vec![7; bytes]);
        assert_eq!(shown(&secret(TOKEN_SECRET_BYTES_MIN)).as_deref(), Ok("secret"));
        assert_eq!(shown(&secret(TOKEN_SECRET_BYTES_MIN - 1)), Err(TokenKeyFault::ShortSecret(15)));
        assert_eq!(shown(""), Err(TokenKeyFault::ShortSecret(0)));
        assert_eq!(shown("not base64!"), Err(TokenKeyFault::NotBase64));
        assert_eq!(shown("-----BEGIN CERTIFICATE-----\nAAAA"), Err(TokenKeyFault::NotBase64));
        assert_eq!(
            shown("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            Err(TokenKeyFault::NotCertificate)
        );
        assert_eq!(
            shown("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----"),
            Err(TokenKeyFault::OtherPem)
        );
        // X25519 agrees on keys and signs nothing.
        let x25519 = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0][..], &[9; 32]].concat();
        assert_eq!(shown(&STANDARD.encode(x25519)), Err(TokenKeyFault::OtherKey));
    }

    #[test]
    fn a_modulus_is_of_a_size_that_is_safe_and_affordable() {
        let of_bytes = |bytes: usize| {
            let modulus = [&[0xc0][..], &vec![0x11; bytes - 1]].concat();
            Key::of_modulus(&URL_SAFE_NO_PAD.encode(modulus), "AQAB").map(|key| format!("{key:?}"))
        };
        assert_eq!(of_bytes(TOKEN_RSA_BYTES_MIN).as_deref(), Ok("RSA"));
        assert_eq!(of_bytes(TOKEN_RSA_BYTES_MAX).as_deref(), Ok("RSA"));
        assert_eq!(of_bytes(TOKEN_RSA_BYTES_MIN - 1), Err(TokenKeyFault::RsaSize(2040)));
        assert_eq!(of_bytes(128), Err(TokenKeyFault::RsaSize(1024)));
        assert!(of_bytes(TOKEN_RSA_BYTES_MAX + 1).is_err());
        assert_eq!(Key::of_modulus("a+b", "AQAB").unwrap_err(), TokenKeyFault::NotBase64Url("n"));
        assert_eq!(Key::of_modulus("AQAB", "").unwrap_err(), TokenKeyFault::NotBase64Url("e"));
    }

    #[test]
    fn there_are_no_more_keys_than_a_handshake_can_try() {
        let keys = |count: usize| (0..count).map(|_| Key::of_secret(&[7; 32]).unwrap()).collect();
        assert!(Keys::new(keys(TOKEN_KEYS_MAX)).is_ok());
        assert_eq!(Keys::new(keys(TOKEN_KEYS_MAX + 1)).unwrap_err(), TooManyKeys { most: TOKEN_KEYS_MAX });
    }

    #[test]
    fn shows_what_keys_are_and_not_the_keys() {
        let secret = Key::of_secret(b"0123456789abcdef").unwrap().with_id("k1");
        assert_eq!(format!("{:?}", Keys::new(vec![secret]).unwrap()), "Keys([secret id=k1])");
    }
}
