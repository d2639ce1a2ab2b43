//! How tokens are signed (RFC 7518 §3.1, RFC 8037 §3.1).
//!
//! Not here: `none`, which is no signature (`token`).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

/// An algorithm, by the family of keys that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// A secret.
    Hmac(HmacHash),
    /// An RSA key.
    Rsa(RsaScheme),
    /// A key on one curve.
    Curve(Curve),
}

/// `HS256`, `HS384`, `HS512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HmacHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// `RS256`, …, `PS512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaScheme {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
}

/// `ES256`, `ES384`, `ES512`, `EdDSA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// ECDSA on P-521 with SHA-512.
    P521,
    /// Ed25519.
    Ed25519,
}

impl Algorithm {
    /// The algorithm that a token's `alg` names, letter for letter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "HS256" => Self::Hmac(HmacHash::Sha256),
            "HS384" => Self::Hmac(HmacHash::Sha384),
            "HS512" => Self::Hmac(HmacHash::Sha512),
            "RS256" => Self::Rsa(RsaScheme::Rs256),
            "RS384" => Self::Rsa(RsaScheme::Rs384),
            "RS512" => Self::Rsa(RsaScheme::Rs512),
            "PS256" => Self::Rsa(RsaScheme::Ps256),
            "PS384" => Self::Rsa(RsaScheme::Ps384),
            "PS512" => Self::Rsa(RsaScheme::Ps512),
            "ES256" => Self::Curve(Curve::P256),
            "ES384" => Self::Curve(Curve::P384),
            "ES512" => Self::Curve(Curve::P521),
            "EdDSA" => Self::Curve(Curve::Ed25519),
            _ => return None,
        })
    }
}

impl HmacHash {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl RsaScheme {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 6] =
        [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

impl Curve {
    pub(super) const ALL: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Ed25519];

    /// RFC 7518 §3.4: signatures are the two numbers of a fixed length, not DER.
    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
            Self::Ed25519 => &ED25519,
        }
    }
}
