//! The secret of an instance, from which the keys that hash and seal subscription keys are derived.
//!
//! It is 32 random bytes, in a file as 64 hexadecimal digits and a line end, the output of `openssl rand -hex 32`. Each use has a
//! key of its own (HKDF-Expand, RFC 5869 §2.3, for which a uniformly random secret needs no extraction), so that learning one key
//! tells nothing of the other.
//!
//! Not here: the file (`control::files::key_file`).

use core::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::sealed_key::KeySealer;
use super::subscription_key::KeyHasher;

/// Bytes of a secret, and of each key that is derived from it.
pub const SECRET_BYTES: usize = 32;

const FOR_HASHES: &[u8] = b"ringgate subscription keys: hash";
const FOR_SEALS: &[u8] = b"ringgate subscription keys: seal";

/// The secret of an instance.
#[derive(Clone)]
pub struct KeySecret(Zeroizing<[u8; SECRET_BYTES]>);

impl KeySecret {
    /// A secret of random bytes.
    pub fn from_random(bytes: &[u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// Reads 64 hexadecimal digits; white space around them does not matter.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim_ascii().as_bytes();
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if digits.len() != 2 * SECRET_BYTES {
            return Err(Self::allowed());
        }
        for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(Self::allowed());
            };
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(secret))
    }

    /// The secret as its file has it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * SECRET_BYTES + 1));
        for byte in self.0.iter() {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[digit as usize])));
        }
        text.push('\n');
        text
    }

    /// Returns the hasher of keys.
    pub fn hasher(&self) -> KeyHasher {
        KeyHasher::new(&self.derive(FOR_HASHES))
    }

    /// Returns the sealer of recoverable keys.
    pub fn sealer(&self) -> KeySealer {
        KeySealer::new(&self.derive(FOR_SEALS))
    }

    /// Returns the allowed form of a secret, in words.
    pub fn allowed() -> String {
        format!("{} hexadecimal digits", 2 * SECRET_BYTES)
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut key = Zeroizing::new([0; SECRET_BYTES]);
        Prk::new_less_safe(HKDF_SHA256, &self.0[..])
            .expand(&[label], KeyBytes)
            .and_then(|expanded| expanded.fill(&mut key[..]))
            .expect("hkdf gives up to 255 hashes, and one is asked for");
        key
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        SECRET_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written_and_shows_nothing() {
        let secret = KeySecret::from_random(&core::array::from_fn(|index| index as u8 * 7));
        let text = secret.to_text();
        assert_eq!(text.len(), 65);
        for text in [text.as_str(), text.trim_end(), &text.to_uppercase(), &format!("  {}\r\n", &*text)] {
            let again = KeySecret::parse(text).expect(text);
            assert_eq!(again.hasher().hash(b"key"), secret.hasher().hash(b"key"));
        }
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let digits = "0".repeat(64);
        for bad in
            ["", "0", &digits[1..], &format!("{digits}0"), &format!("{}g", &digits[1..]), &"é".repeat(32)]
        {
            assert!(KeySecret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_secret_gives_other_hashes_and_no_use_has_the_secret_itself() {
        let [one, other] = [[1; 32], [2; 32]].map(|bytes| KeySecret::from_random(&bytes).hasher());
        assert_ne!(one.hash(b"key"), other.hash(b"key"));
        assert_ne!(one.hash(b"key"), KeyHasher::new(&[1; 32]).hash(b"key"));
    }

    #[test]
    fn hashes_stay_the_same_from_one_version_to_the_next() {
        // Computed by another implementation.
        let hasher = KeySecret::from_random(&[0x42; 32]).hasher();
        assert_eq!(
            hasher.text_of(b"0123456789abcdef0123456789abcdef"),
            "hmac-sha256:0c686d7bb515e06c7e723798d49895f057e93e968ad38c1b163b92010603cb1d"
        );
    }
}
