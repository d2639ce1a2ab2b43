//! Slots under keys that policies make up (`limit-concurrency`): a session holds its slots until it ends.
//!
//! Not here: the counts themselves, which need a lock (`shared_counts::slots`), and what keys are made of (`policy`).

use core::fmt;
use std::sync::Arc;

use crate::catalog::subscription_key::{KeyHash, KeyHasher};

/// The keyed hash that slots are counted under. So a long key takes no more room than a short one, no client can choose keys that
/// collide, and no key can be read out of a memory dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey(KeyHash);

impl SlotKey {
    /// Returns the hash of `key`, under the secret of the instance in `hasher`.
    pub fn of(key: &str, hasher: &KeyHasher) -> Self {
        Self(hasher.hash(key.as_bytes()))
    }

    /// The hash itself, for a session that moves to another process.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Takes the bytes that [`SlotKey::to_bytes`] returned.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(KeyHash::from_bytes(bytes))
    }
}

/// Who counts slots.
pub trait SlotLedger: fmt::Debug + Send + Sync {
    /// Takes a slot back. Called on any thread, relays included: it does not wait for others.
    fn give_back(&self, key: SlotKey);
}

/// One slot that is taken; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping a slot gives it back"]
pub struct Slot {
    ledger: Arc<dyn SlotLedger>,
    key: SlotKey,
}

impl Slot {
    /// A slot that `ledger` has counted.
    pub fn new(ledger: Arc<dyn SlotLedger>, key: SlotKey) -> Self {
        Self { ledger, key }
    }

    /// Returns the hash that it is counted under.
    pub fn key(&self) -> SlotKey {
        self.key
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.ledger.give_back(self.key);
    }
}

/// As many slots are taken under a key as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotsAreTaken;

/// Who gives slots out, and counts them for all workers.
pub trait Slots: fmt::Debug + Send + Sync {
    /// A slot under `key`, if fewer than `limit` are taken. `None`: one of those that are `held` is under that key, and is
    /// enough, since a session counts once.
    ///
    /// # Errors
    /// There is none left.
    fn take_slot(&self, key: &str, limit: u32, held: &[Slot]) -> Result<Option<Slot>, SlotsAreTaken>;
}
