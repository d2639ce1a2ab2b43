//! Counts the places that are taken under each key: exact across workers, and no larger than the number of live holders.
//!
//! The keys are spread over shards. Each is a map under a lock of its own, which a front holds for one look-up. Returning a place
//! never waits: it puts the key into the shard's queue, and whoever has the lock next settles it (`shard`). The returning thread
//! may be a relay, and a relay that waited for a front on the same core would wait long.
//!
//! Not here: what a key stands for, and who gives back what was taken (`sources`, `slots`).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};

use super::shard::Shard;

/// The counts of all keys.
#[derive(Debug)]
pub(super) struct KeyedPlaces<K> {
    /// Chooses the shard. Seeded at random, as the maps are, so that no client can choose keys that meet in one.
    hasher: RandomState,
    shards: Vec<Shard<K>>,
}

impl<K: Copy + Eq + Hash> KeyedPlaces<K> {
    /// Nothing is taken of any key, in so many shards.
    pub(super) fn new(shards: usize) -> Self {
        Self { hasher: RandomState::new(), shards: (0..shards).map(|_| Shard::new()).collect() }
    }

    /// Takes a place of `key`, unless `limit` are taken. Never one more, whoever asks at the same time.
    pub(super) fn take(&self, key: K, limit: u32) -> bool {
        self.shard(key).take(key, limit)
    }

    /// Gives a place of `key` back, which was taken. It waits for nobody.
    pub(super) fn give_back(&self, key: K) {
        self.shard(key).give_back(key);
    }

    /// Places of `key` that are taken.
    pub(super) fn taken(&self, key: K) -> u32 {
        self.shard(key).with_taken(|taken| taken.get(&key).copied().unwrap_or(0))
    }

    /// Keys that have a place taken.
    pub(super) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.with_taken(|taken| taken.len())).sum()
    }

    fn shard(&self, key: K) -> &Shard<K> {
        &self.shards[self.hasher.hash_one(key) as usize % self.shards.len()]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::shard::ROOM_KEPT;
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "a crowd takes Miri minutes")]
    fn keys_vanish_with_their_last_place_and_give_their_room_back() {
        let places = KeyedPlaces::new(64);
        assert!((0..50_000).all(|key| places.take(key, 1)));
        assert_eq!(places.keys(), 50_000);
        (0..50_000).for_each(|key| places.give_back(key));
        assert_eq!(places.keys(), 0);
        for shard in &places.shards {
            let room = shard.with_taken(|taken| taken.capacity());
            assert!(room <= ROOM_KEPT, "{room}");
        }
    }

    #[test]
    fn a_place_that_comes_back_while_the_lock_is_taken_is_settled_by_its_holder() {
        let places = KeyedPlaces::new(64);
        assert!(places.take(7, 1));
        let shard = places.shard(7);
        shard.with_taken(|taken| {
            // On this thread a wait for the lock would never end.
            places.give_back(7);
            assert_eq!((taken.len(), shard.is_settled()), (1, false));
        });
        assert!(shard.is_settled(), "its holder has settled it");
        assert_eq!((places.keys(), places.taken(7)), (0, 0));
        assert!(places.take(7, 1));
    }

    #[test]
    fn is_exact_under_a_storm_of_threads() {
        const LIMIT: u32 = 3;
        const KEYS: u32 = 2;
        const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let places = KeyedPlaces::new(64);
        let held: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (places, held) = (&places, &held);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let key = (thread + round) % KEYS;
                        if !places.take(key, LIMIT) {
                            continue;
                        }
                        let held = &held[key as usize];
                        assert!(held.fetch_add(1, Ordering::SeqCst) < LIMIT);
                        held.fetch_sub(1, Ordering::SeqCst);
                        places.give_back(key);
                    }
                });
            }
        });
        // Nobody is left to settle anything: what is not settled by now never would be.
        assert!(places.shards.iter().all(Shard::is_settled));
        assert_eq!(places.keys(), 0);
        assert!((0..LIMIT).all(|_| places.take(0, LIMIT)));
        assert!(!places.take(0, LIMIT));
        assert_eq!(places.taken(0), LIMIT);
    }
}
