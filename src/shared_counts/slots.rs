//! Slots under keys that policies make up: exact across workers, kept through every publish.
//!
//! A hash and a count are kept for each key with a slot taken. Only openings and open sessions hold slots. So clients that make
//! up keys take no more room than the places of these, times the slots that one of them may hold.
//!
//! Not here: how they are counted (`places`), who holds them (`admission`).

use std::sync::Arc;

use super::keyed_places::KeyedPlaces;
use crate::catalog::subscription_key::KeyHasher;
use crate::policy::slot::{Slot, SlotKey, SlotLedger, Slots, SlotsAreTaken};

/// Parts that slots of `limit-concurrency` are kept in, each under its own lock, so that handshakes seldom meet.
const SLOT_SHARDS: usize = 64;

/// The slots of all keys.
#[derive(Debug)]
pub struct SharedSlots(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    hasher: KeyHasher,
    places: KeyedPlaces<SlotKey>,
}

impl SharedSlots {
    /// No slot is taken under any key. Keys are hashed under `secret`: 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Arc::new(Ledger { hasher: KeyHasher::new(secret), places: KeyedPlaces::new(SLOT_SHARDS) }))
    }

    /// Takes a slot for a session that is already there, even beyond its limit. Its process has hashed the key under the
    /// same secret.
    pub fn adopt(&self, key: SlotKey) -> Slot {
        self.0.places.take(key, u32::MAX);
        self.slot(key)
    }

    /// Keys that have a slot taken.
    pub fn keys(&self) -> usize {
        self.0.places.keys()
    }

    fn slot(&self, key: SlotKey) -> Slot {
        let ledger: Arc<dyn SlotLedger> = Arc::<Ledger>::clone(&self.0);
        Slot::new(ledger, key)
    }
}

impl Slots for SharedSlots {
    fn take_slot(&self, key: &str, limit: u32, held: &[Slot]) -> Result<Option<Slot>, SlotsAreTaken> {
        let key = SlotKey::of(key, &self.0.hasher);
        if held.iter().any(|slot| slot.key() == key) {
            // Policies that share a key may differ in how many they let in.
            return if self.0.places.taken(key) <= limit { Ok(None) } else { Err(SlotsAreTaken) };
        }
        if self.0.places.take(key, limit) { Ok(Some(self.slot(key))) } else { Err(SlotsAreTaken) }
    }
}

impl SlotLedger for Ledger {
    fn give_back(&self, key: SlotKey) {
        self.places.give_back(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn slots() -> SharedSlots {
        SharedSlots::new(&[7; 32])
    }

    fn take(slots: &SharedSlots, key: &str, limit: u32) -> Result<Slot, SlotsAreTaken> {
        slots.take_slot(key, limit, &[]).map(|slot| slot.expect("none is held"))
    }

    #[test]
    fn each_key_has_its_own_slots_and_gets_them_back() {
        let slots = slots();
        let first = take(&slots, "ann", 2).unwrap();
        let _second = take(&slots, "ann", 2).unwrap();
        assert_eq!(take(&slots, "ann", 2).unwrap_err(), SlotsAreTaken);
        let other = take(&slots, "bob", 1).unwrap();
        assert_eq!(slots.keys(), 2);
        drop((first, other));
        assert_eq!(slots.keys(), 1);
        let _third = take(&slots, "ann", 2).unwrap();
        assert!(take(&slots, "ann", 2).is_err());
    }

    #[test]
    fn a_lower_limit_lets_nobody_in_until_enough_have_left() {
        let slots = slots();
        let mut held: Vec<_> = (0..3).map(|_| take(&slots, "", 3).unwrap()).collect();
        assert!(take(&slots, "", 1).is_err());
        held.truncate(1);
        assert!(take(&slots, "", 1).is_err());
        held.clear();
        assert!(take(&slots, "", 1).is_ok());
    }

    #[test]
    fn who_holds_a_slot_of_a_key_needs_no_other_and_is_judged_all_the_same() {
        let slots = slots();
        let held = [take(&slots, "ann", 2).unwrap()];
        assert!(matches!(slots.take_slot("ann", 1, &held), Ok(None)));
        let _another = take(&slots, "ann", 2).unwrap();
        assert!(matches!(slots.take_slot("ann", 2, &held), Ok(None)));
        assert!(slots.take_slot("ann", 1, &held).is_err());
        assert!(matches!(slots.take_slot("bob", 1, &held), Ok(Some(_))));
    }

    #[test]
    fn an_adopted_session_counts_and_is_never_refused() {
        let slots = slots();
        let first = take(&slots, "ann", 1).unwrap();
        let adopted = slots.adopt(first.key());
        drop(first);
        assert!(take(&slots, "ann", 1).is_err());
        drop(adopted);
        assert_eq!(slots.keys(), 0);
    }

    #[test]
    fn keys_that_are_made_up_leave_nothing_behind() {
        let slots = slots();
        for index in 0..if cfg!(miri) { 20 } else { 2_000 } {
            let long = "k".repeat(index);
            drop(take(&slots, &long, 1).unwrap());
        }
        assert_eq!(slots.keys(), 0);
    }

    #[test]
    fn is_exact_under_a_storm_of_threads() {
        const LIMIT: u32 = 5;
        const ROUNDS: u32 = if cfg!(miri) { 20 } else { 5_000 };
        let (slots, held, most) = (slots(), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let Ok(slot) = take(&slots, "all", LIMIT) else { continue };
                        most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            }
        });
        assert!(most.into_inner() <= LIMIT);
        assert_eq!(slots.keys(), 0);
    }
}
