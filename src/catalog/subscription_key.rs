//! Keys of subscriptions: in the form that subscribers have, and in the form that ringgate stores, a keyed hash.
//!
//! A key is found by its hash, so a look-up takes no longer with many subscriptions than with few. Timing reveals nothing about a
//! stored key: HMAC-SHA-256 values under a secret of the instance are compared, so a client that guesses can neither choose nor
//! learn the bytes that a look-up follows; the last comparison takes the same time for all hashes.
//!
//! A fast hash is enough: a key that ringgate makes is 128 random bits, which nobody can guess by trying. A weak key that was
//! imported stays weak if both the catalogue and the instance's secret are stolen.
//!
//! Printing a value of this module prints no key; [`SubscriptionKey::reveal`] is the only way to its text.
//!
//! Not here: the instance's secret (`key_secret`), recoverable keys (`sealed_key`).

use core::fmt;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::fault::Fault;
use crate::limits::SUBSCRIPTION_KEY_BYTES_MAX;

/// Random bytes of a key that ringgate makes.
pub const KEY_RANDOM_BYTES: usize = 16;

/// One of a subscription's two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySlot {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

impl KeySlot {
    /// The file's key of its hash.
    pub fn hash_field(self) -> &'static str {
        match self {
            Self::Primary => "primary_key_hash",
            Self::Secondary => "secondary_key_hash",
        }
    }

    /// The file's key of its sealed form.
    pub fn sealed_field(self) -> &'static str {
        match self {
            Self::Primary => "primary_key_sealed",
            Self::Secondary => "secondary_key_sealed",
        }
    }
}

/// A key as its subscriber has it: 1 to 256 printable ASCII characters, none of the outermost a space, so that it goes
/// through a header and a query alike.
#[derive(Clone)]
pub struct SubscriptionKey(Zeroizing<String>);

impl SubscriptionKey {
    /// Takes a key that was brought along.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_key = (1..=SUBSCRIPTION_KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
            && text.trim_matches(' ') == text;
        if is_key { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(Self::allowed()) }
    }

    /// A key made of random bytes: 32 hexadecimal digits, as Azure API Management's are.
    pub fn from_random(bytes: &[u8; KEY_RANDOM_BYTES]) -> Self {
        // Of its full size from the start: growing would leave parts of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_RANDOM_BYTES));
        for byte in bytes {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[digit as usize])));
        }
        Self(text)
    }

    /// The key itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the allowed form of a key, in words.
    pub fn allowed() -> String {
        format!("1 to {SUBSCRIPTION_KEY_BYTES_MAX} printable ascii characters without a space at either end")
    }
}

impl fmt::Debug for SubscriptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

const PREFIX: &str = "hmac-sha256:";

/// The keyed hash of a key.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Reads `hmac-sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 64 && digits.is_ascii());
        let mut hash = [0; 32];
        let mut bytes = hash.iter_mut();
        for pair in digits.ok_or_else(Self::allowed)?.as_bytes().chunks_exact(2) {
            let pair = core::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(Self::allowed)?;
            *bytes.next().expect("64 digits make 32 bytes") = byte;
        }
        Ok(Self(hash))
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Eight of its bytes, not those that [`HashOfKeys`] looks at.
    pub fn second_word(&self) -> u64 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Returns the allowed form of a hash, in words.
    pub fn allowed() -> String {
        format!("{PREFIX} and 64 hexadecimal digits")
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the length that an array's own hash begins with.
        state.write(&self.0);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

/// A map by keyed hash.
///
/// Its places are the hashes' own first bytes: those are as good as random, and nobody outside can choose them.
pub type HashOfKeys<T> = HashMap<KeyHash, T, BuildHasherDefault<FirstBytes>>;

/// Takes eight bytes of what is hashed already for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

/// Hashes keys under the secret of an instance.
#[derive(Clone)]
pub struct KeyHasher(hmac::Key);

impl KeyHasher {
    /// A hasher under `secret`: 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The keyed hash of a key.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.0, key).as_ref());
        KeyHash(hash)
    }

    /// Tells hashers under one secret from those under another.
    pub fn mark(&self) -> KeyHash {
        self.hash(b"")
    }

    /// The keyed hash of a key that means something only with what `above` is the hash of.
    pub fn hash_under(&self, above: &KeyHash, key: &[u8]) -> KeyHash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&above.0);
        context.update(key);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        KeyHash(hash)
    }

    /// The text form of a key's hash, as files have it.
    pub fn text_of(&self, key: &[u8]) -> String {
        let digits = self.hash(key).0.map(|byte| format!("{byte:02x}")).concat();
        format!("{PREFIX}{digits}")
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_was_written_and_shows_nothing() {
        let hasher = KeyHasher::new(&[7; 32]);
        let text = hasher.text_of(b"key");
        assert_eq!(KeyHash::parse(&text), Ok(hasher.hash(b"key")));
        assert_eq!(
            KeyHash::parse(&text.to_uppercase().replace("HMAC-SHA", "hmac-sha")),
            KeyHash::parse(&text)
        );
        assert_ne!(hasher.hash(b"key"), hasher.hash(b"kez"));
        assert_ne!(hasher.hash(b"key"), KeyHasher::new(&[8; 32]).hash(b"key"));
        assert_eq!(format!("{:?}{hasher:?}", hasher.hash(b"key")), "******");
    }

    #[test]
    fn a_key_is_what_a_header_and_a_query_can_carry() {
        for good in ["k", "0123456789abcdef0123456789abcdef", "a b", "~!&=%+", &"k".repeat(256)] {
            assert_eq!(SubscriptionKey::parse(good).as_ref().map(SubscriptionKey::reveal), Ok(good));
        }
        for bad in ["", " ", " k", "k ", "a\tb", "a\nb", "k\0", "kéy", &"k".repeat(257)] {
            assert!(SubscriptionKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_made_key_is_its_bytes_in_hexadecimal_and_shows_nothing() {
        let key = SubscriptionKey::from_random(&core::array::from_fn(|index| (index * 17) as u8));
        assert_eq!(key.reveal(), "00112233445566778899aabbccddeeff");
        assert!(SubscriptionKey::parse(key.reveal()).is_ok());
        assert_eq!(format!("{key:?}"), "***");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let digits = "0".repeat(64);
        for bad in [
            String::new(),
            digits.clone(),
            format!("hmac-sha256:{}", &digits[1..]),
            format!("hmac-sha256:{digits}0"),
            format!("hmac-sha256:{}+1", &digits[2..]),
            format!("hmac-sha256:{}g0", &digits[2..]),
            format!("sha256:{digits}"),
        ] {
            assert!(KeyHash::parse(&bad).is_err(), "{bad}");
        }
    }
}
