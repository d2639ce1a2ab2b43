//! One direction of a TLS connection as plain data.
//!
//! It holds everything that records need, about 130 bytes, and moves to another process as fields of an export. The AEAD's
//! context is derived from it and can be dropped at any time.
//!
//! The property to trust: keys are in no debug output, and are overwritten when this is dropped.
//!
//! Not here: the AEAD's context (`opener`, `sealer`).

use core::fmt;

use aws_lc_rs::aead::{LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key_schedule::{next_secret, traffic_keys};
use super::suite::{KEY_BYTES_MAX, NONCE_BYTES, SECRET_BYTES_MAX, Suite, Version, blocks_of};
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// Keys, IV, sequence number and traffic secret of one direction.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DirectionState {
    #[zeroize(skip)]
    suite: Suite,
    /// As many bytes as the AEAD's key has, then zeros.
    key: [u8; KEY_BYTES_MAX],
    /// TLS 1.3 and ChaCha20: what the sequence number is added to. TLS 1.2 AES-GCM: four bytes of salt, then what the
    /// sequence number is added to for the explicit part.
    iv: [u8; NONCE_BYTES],
    /// TLS 1.3: what the next keys come from. As many bytes as the suite's hash has, then zeros.
    secret: [u8; SECRET_BYTES_MAX],
    /// The next record's number under this key.
    #[zeroize(skip)]
    pub(super) sequence: u64,
    /// The amount of data that this key has protected, as `blocks_of` counts it.
    #[zeroize(skip)]
    pub(super) blocks: u64,
}

impl DirectionState {
    /// A direction of TLS 1.3 whose next record has the number `sequence` under the keys of `secret`.
    ///
    /// `None`: the suite is not one of TLS 1.3 with a secret of this length.
    pub fn from_secret(suite: Suite, secret: &[u8], sequence: u64) -> Option<Self> {
        if suite.version != Version::Tls13 || secret.len() != suite.secret_bytes() {
            return None;
        }
        let (key, iv) = traffic_keys(suite, secret);
        let mut state =
            Self { suite, key: *key, iv: *iv, secret: [0; SECRET_BYTES_MAX], sequence, blocks: 0 };
        state.secret[..secret.len()].copy_from_slice(secret);
        Some(state)
    }

    /// A direction of TLS 1.2. For AES-GCM, `iv` is the salt with the start of the explicit part behind it.
    ///
    /// `None`: the suite is not one of TLS 1.2 with a key of this length.
    pub fn from_keys(suite: Suite, key: &[u8], iv: [u8; NONCE_BYTES], sequence: u64) -> Option<Self> {
        if suite.version != Version::Tls12 || key.len() != suite.aead.key_bytes() {
            return None;
        }
        let secret = [0; SECRET_BYTES_MAX];
        let mut state = Self { suite, key: [0; KEY_BYTES_MAX], iv, secret, sequence, blocks: 0 };
        state.key[..key.len()].copy_from_slice(key);
        Some(state)
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The next record's number under this key.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether this key has protected as much as it should (RFC 8446 §5.5).
    pub fn is_worn(&self) -> bool {
        self.suite.blocks_max().is_some_and(|blocks_max| self.blocks >= blocks_max)
    }

    /// Whether there is no number for another record. RFC 8446 §5.3, RFC 5246 §6.1: numbers do not wrap.
    pub fn is_exhausted(&self) -> bool {
        self.sequence == u64::MAX
    }

    /// Whether key and IV are these: for who has them from elsewhere too.
    pub fn has_keys(&self, key: &[u8], iv: &[u8]) -> bool {
        let own = &self.key[..self.suite.aead.key_bytes()];
        aws_lc_rs::constant_time::verify_slices_are_equal(own, key).is_ok()
            && aws_lc_rs::constant_time::verify_slices_are_equal(&self.iv, iv).is_ok()
    }

    /// Goes on to the next keys (RFC 8446 §7.2). Only TLS 1.3 has them.
    pub(super) fn advance(&mut self) {
        debug_assert!(self.suite.version == Version::Tls13);
        let next = next_secret(self.suite, &self.secret[..self.suite.secret_bytes()]);
        let (key, iv) = traffic_keys(self.suite, &next[..self.suite.secret_bytes()]);
        self.secret = *next;
        self.key = *key;
        self.iv = *iv;
        self.sequence = 0;
        self.blocks = 0;
    }

    /// The next record was protected, or opened.
    pub(super) fn count(&mut self, content_bytes: usize) {
        debug_assert!(!self.is_exhausted());
        self.sequence += 1;
        self.blocks = self.blocks.saturating_add(blocks_of(content_bytes));
    }

    /// The AEAD's context for the current key.
    pub(super) fn context(&self) -> LessSafeKey {
        let key = &self.key[..self.suite.aead.key_bytes()];
        let key = UnboundKey::new(self.suite.aead.algorithm(), key);
        LessSafeKey::new(key.expect("a key has the length that its aead has"))
    }

    /// The next record's nonce: the IV, with the sequence number added without carries (RFC 8446 §5.3, RFC 7905 §2).
    pub(super) fn nonce_bytes(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// As [`Self::nonce_bytes`], for a record that brought the explicit part with it (RFC 5288 §3).
    pub(super) fn nonce_with(&self, explicit: &[u8]) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].copy_from_slice(explicit);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Writes the additional data that a record of `content_bytes` authenticates, and returns it with its length.
    ///
    /// RFC 8446 §5.2: the header. RFC 5246 §6.2.3.3: number, type, version, and the content's length.
    pub(super) fn additional_data(&self, header: [u8; 5], content_bytes: usize) -> ([u8; 13], usize) {
        let mut data = [0; 13];
        match self.suite.version {
            Version::Tls13 => {
                data[..5].copy_from_slice(&header);
                (data, 5)
            }
            Version::Tls12 => {
                data[..8].copy_from_slice(&self.sequence.to_be_bytes());
                data[8..11].copy_from_slice(&header[..3]);
                data[11..].copy_from_slice(&(content_bytes as u16).to_be_bytes());
                (data, 13)
            }
        }
    }

    /// Writes everything but the suite, secrets included.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { suite, key, iv, secret, sequence, blocks } = self;
        writer.u64("sequence", *sequence);
        writer.u64("blocks", *blocks);
        writer.block("key", &key[..suite.aead.key_bytes()]);
        writer.array("iv", *iv);
        writer.block("secret", &secret[..suite.secret_bytes()]);
    }

    /// Reads what [`Self::export_fields`] wrote of a direction of `suite`.
    pub(super) fn import_fields(reader: &mut FieldReader<'_>, suite: Suite) -> Result<Self, ExportFault> {
        let (sequence, blocks) = (reader.u64("sequence")?, reader.u64("blocks")?);
        let key = reader.block("key", KEY_BYTES_MAX)?;
        reader.check("key", key.len() == suite.aead.key_bytes())?;
        let iv = reader.array("iv")?;
        let secret = reader.block("secret", SECRET_BYTES_MAX)?;
        reader.check("secret", secret.len() == suite.secret_bytes())?;
        let mut state =
            Self { suite, key: [0; KEY_BYTES_MAX], iv, secret: [0; SECRET_BYTES_MAX], sequence, blocks };
        state.key[..key.len()].copy_from_slice(key);
        state.secret[..secret.len()].copy_from_slice(secret);
        Ok(state)
    }
}

impl fmt::Debug for DirectionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DirectionState")
            .field("suite", &self.suite)
            .field("sequence", &self.sequence)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}
