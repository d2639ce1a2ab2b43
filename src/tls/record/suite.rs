//! Versions and AEADs: their sizes, and the amount of data that one key may protect.
//!
//! Not here: key exchange and authentication, which are over when records start.

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384};

/// Bytes of a record's header (RFC 8446 §5.1).
pub const HEADER_BYTES: usize = 5;

/// Most bytes of content in one record: 2^14 (RFC 8446 §5.1, RFC 5246 §6.2.1).
pub const CONTENT_BYTES_MAX: usize = 1 << 14;

/// Bytes of an authentication tag, for all three AEADs.
pub const TAG_BYTES: usize = 16;

/// Bytes of a nonce, for all three AEADs.
pub const NONCE_BYTES: usize = 12;

/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 32;

/// Most bytes of a traffic secret: a SHA-384 hash.
pub const SECRET_BYTES_MAX: usize = 48;

/// Bytes of the nonce that TLS 1.2's AES-GCM sends with each record (RFC 5288 §3).
pub const EXPLICIT_NONCE_BYTES: usize = 8;

/// Blocks of 16 bytes, and records, that one AES-GCM key protects: 2^34, 256 GiB of full records.
///
/// RFC 8446 §5.5 gives 2^24.5 full records for an advantage of 2^-57. Counting blocks instead of records keeps the same
/// kind of bound whatever the records' size: by draft-irtf-cfrg-aead-limits-08 §5.1.1 the advantage is at most
/// `(blocks + records + 1)^2 / 2^129`, here below 2^-60. A session of small messages then hardly ever gets there.
pub const GCM_BLOCKS_MAX: u64 = 1 << 34;

/// A TLS version with records of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// How records are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// RFC 5116 §5.1.
    Aes128Gcm,
    /// RFC 5116 §5.2.
    Aes256Gcm,
    /// RFC 8439 §2.8.
    ChaCha20Poly1305,
}

impl Aead {
    /// Bytes of its key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    pub(super) fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// A version with an AEAD: all that the records of a connection need to know of its cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The version.
    pub version: Version,
    /// The AEAD.
    pub aead: Aead,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 6] = [
        Self { version: Version::Tls13, aead: Aead::Aes128Gcm },
        Self { version: Version::Tls13, aead: Aead::Aes256Gcm },
        Self { version: Version::Tls13, aead: Aead::ChaCha20Poly1305 },
        Self { version: Version::Tls12, aead: Aead::Aes128Gcm },
        Self { version: Version::Tls12, aead: Aead::Aes256Gcm },
        Self { version: Version::Tls12, aead: Aead::ChaCha20Poly1305 },
    ];

    /// Bytes of its traffic secrets; 0 in TLS 1.2, which has none (its keys do not change).
    pub fn secret_bytes(self) -> usize {
        match (self.version, self.aead) {
            (Version::Tls12, _) => 0,
            // RFC 8446 §B.4: the suite's hash. Only AES-256 comes with SHA-384.
            (Version::Tls13, Aead::Aes256Gcm) => 48,
            (Version::Tls13, Aead::Aes128Gcm | Aead::ChaCha20Poly1305) => 32,
        }
    }

    pub(super) fn hkdf(self) -> hkdf::Algorithm {
        match self.aead {
            Aead::Aes256Gcm => HKDF_SHA384,
            Aead::Aes128Gcm | Aead::ChaCha20Poly1305 => HKDF_SHA256,
        }
    }

    /// Bytes of each record's own nonce: only TLS 1.2's AES-GCM sends one.
    pub fn explicit_nonce_bytes(self) -> usize {
        match (self.version, self.aead) {
            (Version::Tls12, Aead::Aes128Gcm | Aead::Aes256Gcm) => EXPLICIT_NONCE_BYTES,
            // RFC 7905 §2: the nonce is made as in TLS 1.3.
            (Version::Tls12, Aead::ChaCha20Poly1305) | (Version::Tls13, _) => 0,
        }
    }

    /// Bytes that a record has beyond its content: header, nonce, inner type, tag; no padding.
    pub fn overhead_bytes(self) -> usize {
        let inner_type = match self.version {
            Version::Tls12 => 0,
            Version::Tls13 => 1,
        };
        HEADER_BYTES + self.explicit_nonce_bytes() + inner_type + TAG_BYTES
    }

    /// Most bytes behind a record's header: RFC 8446 §5.2, RFC 5246 §6.2.3.
    pub fn protected_bytes_max(self) -> usize {
        match self.version {
            Version::Tls12 => CONTENT_BYTES_MAX + 2048,
            Version::Tls13 => CONTENT_BYTES_MAX + 256,
        }
    }

    /// Blocks and records together that one key should protect at most; `None` where only sequence numbers end.
    pub fn blocks_max(self) -> Option<u64> {
        match self.aead {
            Aead::Aes128Gcm | Aead::Aes256Gcm => Some(GCM_BLOCKS_MAX),
            // draft-irtf-cfrg-aead-limits-08 §5.2.1: no limit of confidentiality.
            Aead::ChaCha20Poly1305 => None,
        }
    }

    pub(super) fn to_byte(self) -> u8 {
        let version = match self.version {
            Version::Tls12 => 0x20,
            Version::Tls13 => 0x30,
        };
        let aead = match self.aead {
            Aead::Aes128Gcm => 1,
            Aead::Aes256Gcm => 2,
            Aead::ChaCha20Poly1305 => 3,
        };
        version | aead
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.to_byte() == byte)
    }
}

/// Returns the amount that a record counts for under its key: its blocks, and one for itself.
pub fn blocks_of(content_bytes: usize) -> u64 {
    content_bytes as u64 / 16 + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overheads_are_those_of_the_rfcs() {
        let overheads = Suite::ALL.map(Suite::overhead_bytes);
        assert_eq!(overheads, [22, 22, 22, 29, 29, 21]);
    }

    #[test]
    fn every_suite_has_a_byte_of_its_own() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_byte(suite.to_byte()), Some(suite));
        }
        let known = (0..=255).filter(|byte| Suite::from_byte(*byte).is_some()).count();
        assert_eq!(known, Suite::ALL.len());
    }

    #[test]
    fn the_blocks_of_full_records_are_no_more_than_rfc_8446_allows() {
        let full_records = GCM_BLOCKS_MAX / blocks_of(CONTENT_BYTES_MAX);
        // 2^24.5, RFC 8446 §5.5.
        assert!(full_records < 23_726_566, "{full_records}");
        // (s + q + 1)^2 / 2^129 <= 2^-60.
        assert!((u128::from(GCM_BLOCKS_MAX) + 1).pow(2) <= 1_u128 << 69);
    }
}
