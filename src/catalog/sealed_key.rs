//! Recoverable keys of subscriptions: encrypted under the instance's secret, if the configuration asks for that.
//!
//! AES-256-GCM, with the name of the subscription and which of its keys it is as associated data: a sealed key that is
//! copied to another subscription, or to the other slot, does not open. Nonces are random, which is safe for some four
//! billion keys under one secret.
//!
//! Not here: the instance's secret (`key_secret`); letting clients in, which uses a key's hash alone (`subscription_key`).

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::fault::Fault;
use super::key_secret::SECRET_BYTES;
use super::name::Name;
use super::subscription_key::{KeySlot, SubscriptionKey};
use crate::limits::SUBSCRIPTION_KEY_BYTES_MAX;

/// The prefix of a sealed key: the cipher, and the version of the form.
const PREFIX: &str = "aes-256-gcm:v1:";

const TAG_BYTES: usize = 16;

/// Random bytes that sealing one key takes.
pub const NONCE_BYTES: usize = NONCE_LEN;

/// A sealed key: nonce, ciphertext, tag.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey(Box<[u8]>);

impl SealedKey {
    /// Reads `aes-256-gcm:v1:` and base64.
    ///
    /// # Errors
    /// The allowed form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sizes = NONCE_BYTES + 1 + TAG_BYTES..=NONCE_BYTES + SUBSCRIPTION_KEY_BYTES_MAX + TAG_BYTES;
        let bytes = text.strip_prefix(PREFIX).and_then(|coded| STANDARD.decode(coded).ok());
        let bytes = bytes.filter(|bytes| sizes.contains(&bytes.len())).ok_or_else(Self::allowed)?;
        Ok(Self(bytes.into()))
    }

    /// The text form, as files have it.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// Returns the allowed form of a sealed key, in words.
    pub fn allowed() -> String {
        format!("{PREFIX} and base64, as ringgate writes it")
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

/// Why a sealed key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key was sealed under another secret, or for another subscription or slot, or was changed")]
pub struct DoesNotOpen;

/// Seals keys under the secret of an instance.
pub struct KeySealer(LessSafeKey);

impl KeySealer {
    /// A sealer under `key`, which nothing else uses.
    pub fn new(key: &[u8; SECRET_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("the key is as long as the algorithm's");
        Self(LessSafeKey::new(key))
    }

    /// Seals `key` as that of a slot of a subscription. `nonce` is random, and used once.
    pub fn seal(
        &self,
        key: &SubscriptionKey,
        subscription: &Name,
        slot: KeySlot,
        nonce: [u8; NONCE_BYTES],
    ) -> SealedKey {
        // Of its full size from the start: growing would leave the key behind.
        let mut sealed = Vec::with_capacity(key.reveal().len() + TAG_BYTES);
        sealed.extend_from_slice(key.reveal().as_bytes());
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context(subscription, slot)),
                &mut sealed,
            )
            .expect("a key is shorter than what the algorithm takes");
        SealedKey([&nonce[..], &sealed].concat().into())
    }

    /// Opens the sealed key of a slot of a subscription.
    ///
    /// # Errors
    /// It is not the sealed key of this slot.
    pub fn open(
        &self,
        sealed: &SealedKey,
        subscription: &Name,
        slot: KeySlot,
    ) -> Result<SubscriptionKey, DoesNotOpen> {
        let (nonce, sealed) = sealed.0.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let key = self
            .0
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context(subscription, slot)),
                &mut bytes,
            )
            .map_err(|_| DoesNotOpen)?;
        let key = core::str::from_utf8(key).map_err(|_| DoesNotOpen)?;
        SubscriptionKey::parse(key).map_err(|_| DoesNotOpen)
    }
}

impl fmt::Debug for KeySealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Fault::MASKED)
    }
}

/// Returns the associated data that binds a sealed key to its subscription and slot. No name has a `/` in it.
fn context(subscription: &Name, slot: KeySlot) -> Vec<u8> {
    format!("{subscription}/{}", slot.sealed_field()).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::key_secret::KeySecret;

    fn sealer() -> KeySealer {
        KeySecret::from_random(&[5; 32]).sealer()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn sealed() -> SealedKey {
        let key = SubscriptionKey::parse("a key").expect("a key");
        sealer().seal(&key, &name("acme"), KeySlot::Primary, [9; NONCE_BYTES])
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_is_the_same(key in "[!-~]{1,256}", nonce: [u8; NONCE_BYTES]) {
            let key = SubscriptionKey::parse(&key).expect("a key");
            let sealed = sealer().seal(&key, &name("acme"), KeySlot::Secondary, nonce);
            let again = SealedKey::parse(&sealed.to_text()).expect("its own text");
            prop_assert_eq!(&again, &sealed);
            let opened = sealer().open(&again, &name("acme"), KeySlot::Secondary).expect("its own key");
            prop_assert_eq!(opened.reveal(), key.reveal());
        }
    }

    #[test]
    fn opens_for_its_own_subscription_slot_and_secret_only() {
        let (sealer, sealed) = (sealer(), sealed());
        assert!(sealer.open(&sealed, &name("acme"), KeySlot::Primary).is_ok());
        assert!(sealer.open(&sealed, &name("acme"), KeySlot::Secondary).is_err());
        assert!(sealer.open(&sealed, &name("acm"), KeySlot::Primary).is_err());
        let other = KeySecret::from_random(&[6; 32]).sealer();
        assert!(other.open(&sealed, &name("acme"), KeySlot::Primary).is_err());
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let sealed = sealed();
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            assert!(sealer().open(&changed, &name("acme"), KeySlot::Primary).is_err(), "byte {index}");
        }
    }

    #[test]
    fn what_is_no_sealed_key_is_refused_and_nothing_is_shown() {
        let long = format!("{PREFIX}{}", STANDARD.encode([0; NONCE_BYTES + 257 + TAG_BYTES]));
        let short = format!("{PREFIX}{}", STANDARD.encode([0; NONCE_BYTES + TAG_BYTES]));
        for bad in ["", PREFIX, "aes-256-gcm:v2:AAAA", &long, &short, &sealed().to_text().replace("v1", "v2")]
        {
            assert!(SealedKey::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}{:?}", sealed(), sealer()), "******");
    }
}
