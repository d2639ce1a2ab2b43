//! The values derived from one traffic secret: key, IV, and the next secret (RFC 8446 §7.1 to §7.3).
//!
//! Not here: the handshake's part of the key schedule, which is over.

use aws_lc_rs::hkdf::{KeyType, Prk};
use zeroize::Zeroizing;

use super::suite::{KEY_BYTES_MAX, NONCE_BYTES, SECRET_BYTES_MAX, Suite};

/// Longest label that is used here, with its prefix.
const LABEL: &[u8] = b"tls13 ";

struct OutputBytes(usize);

impl KeyType for OutputBytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
///
/// # Panics
/// Never: outputs are at most 48 bytes long, which HKDF gives for any hash.
pub fn expand_label(suite: Suite, secret: &[u8], label: &[u8], output: &mut [u8]) {
    let length = u16::try_from(output.len()).expect("no output is longer than a hash").to_be_bytes();
    let label_bytes = [(LABEL.len() + label.len()) as u8];
    let info: [&[u8]; 5] = [&length, &label_bytes, LABEL, label, &[0]];
    let pseudo_random_key = Prk::new_less_safe(suite.hkdf(), secret);
    pseudo_random_key
        .expand(&info, OutputBytes(output.len()))
        .and_then(|expanded| expanded.fill(output))
        .expect("hkdf gives up to 255 hashes, and at most one is asked for");
}

/// The key and IV of a traffic secret (RFC 8446 §7.3). The key's first bytes are used, as many as the AEAD needs.
pub fn traffic_keys(
    suite: Suite,
    secret: &[u8],
) -> (Zeroizing<[u8; KEY_BYTES_MAX]>, Zeroizing<[u8; NONCE_BYTES]>) {
    let mut key = Zeroizing::new([0; KEY_BYTES_MAX]);
    let mut iv = Zeroizing::new([0; NONCE_BYTES]);
    expand_label(suite, secret, b"key", &mut key[..suite.aead.key_bytes()]);
    expand_label(suite, secret, b"iv", &mut iv[..]);
    (key, iv)
}

/// The secret that follows `secret` after a KeyUpdate (RFC 8446 §7.2).
pub fn next_secret(suite: Suite, secret: &[u8]) -> Zeroizing<[u8; SECRET_BYTES_MAX]> {
    let mut next = Zeroizing::new([0; SECRET_BYTES_MAX]);
    expand_label(suite, secret, b"traffic upd", &mut next[..suite.secret_bytes()]);
    next
}
