//! Places by source network: exact across workers, and no larger than what is live.
//!
//! The networks are spread over shards, each a map under a lock of its own, which a front holds for one look-up. Who
//! gives a place back never waits: it leaves the network's name in the shard's queue, and whoever has the lock next
//! settles it. That may be a relay, and a relay on the same core as the front that it waited for would wait long.
//!
//! ```text
//! take:       lock ── settle the queue ── count, or refuse ── unlock ── settle if something came meanwhile
//! give back:  queue ── settle, if the lock is free
//! ```
//!
//! Who queues and finds the lock taken leaves the rest to its holder, which looks into the queue after it unlocks.
//!
//! Not here: what is one network (`admission::source`), and when a place is taken (`budgets`).

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, PoisonError, TryLockError};

use crossbeam_queue::SegQueue;

use crate::admission::source::{SourceLedger, SourceNetwork, SourcePlace, SourcePrefixes};
use crate::limits::SOURCE_SHARDS;

#[expect(
    clippy::disallowed_types,
    reason = "a map that grows and shrinks cannot be shared without a lock; relays never wait for it"
)]
type Lock<T> = std::sync::Mutex<T>;

/// Rooms of an emptied map that are kept all the same.
const ROOM_KEPT: usize = 64;

/// The places of all source networks.
#[derive(Debug)]
pub struct Sources {
    /// Without one, nothing is counted.
    limit: Option<u32>,
    prefixes: SourcePrefixes,
    /// Chooses the shard. Seeded at random, as the maps are, so that no client can choose addresses that meet in one.
    hasher: RandomState,
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Networks with at least one place taken.
    taken: Lock<HashMap<SourceNetwork, u32>>,
    /// A network for each place that came back and is not settled yet.
    returned: SegQueue<SourceNetwork>,
}

/// All places of a network are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceIsFull {
    /// How many it may take.
    pub limit: u32,
}

impl Sources {
    /// `limit` places for each network, all free.
    pub fn new(limit: Option<u32>, prefixes: SourcePrefixes) -> Arc<Self> {
        let shards = (0..SOURCE_SHARDS).map(|_| Shard::default()).collect();
        Arc::new(Self { limit, prefixes, hasher: RandomState::new(), shards })
    }

    /// Takes a place for a client at `address`; `None` if places are not counted. Never one more than the limit, whoever
    /// asks at the same time.
    ///
    /// # Errors
    /// Its network has all its places taken.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Option<SourcePlace>, SourceIsFull> {
        let Some(limit) = self.limit else { return Ok(None) };
        let network = self.prefixes.network_of(address);
        if self.shard(network).take(network, limit) {
            Ok(Some(self.place(network)))
        } else {
            Err(SourceIsFull { limit })
        }
    }

    /// Takes a place for a session that is already there, even beyond the limit; `None` if places are not counted.
    pub fn adopt(self: &Arc<Self>, network: SourceNetwork) -> Option<SourcePlace> {
        self.limit?;
        self.shard(network).take(network, u32::MAX);
        Some(self.place(network))
    }

    /// Networks that have a place taken.
    pub fn networks(&self) -> usize {
        self.shards.iter().map(Shard::networks).sum()
    }

    fn place(self: &Arc<Self>, network: SourceNetwork) -> SourcePlace {
        let ledger: Arc<dyn SourceLedger> = Arc::<Self>::clone(self);
        SourcePlace::new(ledger, network)
    }

    fn shard(&self, network: SourceNetwork) -> &Shard {
        &self.shards[self.hasher.hash_one(network) as usize % self.shards.len()]
    }
}

impl SourceLedger for Sources {
    fn give_back(&self, network: SourceNetwork) {
        self.shard(network).give_back(network);
    }
}

impl Shard {
    /// Whether there was a place.
    fn take(&self, network: SourceNetwork, limit: u32) -> bool {
        self.with_taken(|taken| match taken.entry(network) {
            Entry::Occupied(count) if *count.get() >= limit => false,
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                true
            }
            Entry::Vacant(entry) if limit > 0 => {
                entry.insert(1);
                true
            }
            Entry::Vacant(_) => false,
        })
    }

    fn give_back(&self, network: SourceNetwork) {
        self.returned.push(network);
        self.settle();
    }

    /// Settles what came back, unless someone else has the lock and will.
    fn settle(&self) {
        loop {
            // What this thread has done, a push or an unlock, stands before its look at the other's: of one who queues
            // and one who unlocks at the same time, at least one sees both.
            fence(Ordering::SeqCst);
            if self.returned.is_empty() {
                return;
            }
            match self.taken.try_lock() {
                Ok(mut taken) => self.settle_into(&mut taken),
                Err(TryLockError::Poisoned(poisoned)) => self.settle_into(&mut poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => return,
            }
        }
    }

    fn settle_into(&self, taken: &mut HashMap<SourceNetwork, u32>) {
        while let Some(network) = self.returned.pop() {
            if let Entry::Occupied(mut count) = taken.entry(network) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        // After a crowd has left, its room goes too.
        if taken.capacity() > ROOM_KEPT.max(8 * taken.len()) {
            taken.shrink_to(ROOM_KEPT / 2 + 2 * taken.len());
        }
    }

    fn networks(&self) -> usize {
        self.with_taken(|taken| taken.len())
    }

    /// Works on what is taken, under the lock, with all settled that came back before; then settles what came meanwhile.
    fn with_taken<T>(&self, work: impl FnOnce(&mut HashMap<SourceNetwork, u32>) -> T) -> T {
        let result = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            self.settle_into(&mut taken);
            work(&mut taken)
        };
        self.settle();
        result
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicU32;

    use super::*;

    const PREFIXES: SourcePrefixes = SourcePrefixes { ipv4: 32, ipv6: 64 };

    fn address(index: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + index).into()
    }

    #[test]
    fn counts_each_network_by_itself() {
        let sources = Sources::new(Some(2), SourcePrefixes { ipv4: 24, ipv6: 64 });
        let take = |text: &str| sources.take(text.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _second = take("192.0.2.2").unwrap();
        assert_eq!(take("192.0.2.3").unwrap_err(), SourceIsFull { limit: 2 });
        assert!(take("::ffff:192.0.2.3").is_err(), "written otherwise, it is the same network");
        let _other = take("192.0.3.3").unwrap();
        assert_eq!(sources.networks(), 2);
        drop(first);
        let _third = take("192.0.2.3").unwrap();
        assert!(take("192.0.2.1").is_err());
    }

    #[test]
    fn counts_nothing_without_a_limit() {
        let sources = Sources::new(None, PREFIXES);
        assert!(matches!(sources.take(address(0)), Ok(None)));
        assert!(sources.adopt(PREFIXES.network_of(address(0))).is_none());
        assert_eq!(sources.networks(), 0);
    }

    #[test]
    fn adopting_never_refuses_and_counts() {
        let sources = Sources::new(Some(1), PREFIXES);
        let first = sources.take(address(0)).unwrap();
        let adopted = sources.adopt(PREFIXES.network_of(address(0)));
        drop(first);
        assert!(sources.take(address(0)).is_err(), "the adopted session has the place");
        drop(adopted);
        assert!(sources.take(address(0)).is_ok());
    }

    #[test]
    #[cfg_attr(miri, ignore = "a crowd takes Miri minutes")]
    fn networks_vanish_with_their_last_place_and_give_their_room_back() {
        let sources = Sources::new(Some(1), PREFIXES);
        let crowd: Vec<_> = (0..50_000).map(|index| sources.take(address(index)).unwrap()).collect();
        assert_eq!(sources.networks(), 50_000);
        drop(crowd);
        assert_eq!(sources.networks(), 0);
        for shard in &sources.shards {
            let room = shard.taken.lock().unwrap().capacity();
            assert!(room <= ROOM_KEPT, "{room}");
        }
    }

    #[test]
    fn a_place_that_comes_back_while_the_lock_is_taken_is_settled_by_its_holder() {
        let sources = Sources::new(Some(1), PREFIXES);
        let place = sources.take(address(0)).unwrap();
        let shard = sources.shard(PREFIXES.network_of(address(0)));
        shard.with_taken(|taken| {
            // On this thread a wait for the lock would never end.
            drop(place);
            assert_eq!((taken.len(), shard.returned.len()), (1, 1));
        });
        assert!(shard.returned.is_empty(), "its holder has settled it");
        assert_eq!(sources.networks(), 0);
        assert!(sources.take(address(0)).is_ok());
    }

    #[test]
    fn is_exact_under_a_storm_of_threads() {
        const LIMIT: u32 = 3;
        const NETWORKS: u32 = 2;
        const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let sources = Sources::new(Some(LIMIT), PREFIXES);
        let held: Vec<AtomicU32> = (0..NETWORKS).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (sources, held) = (&sources, &held);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let index = (thread + round) % NETWORKS;
                        let Ok(place) = sources.take(address(index)) else { continue };
                        let held = &held[index as usize];
                        assert!(held.fetch_add(1, Ordering::SeqCst) < LIMIT);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(place);
                    }
                });
            }
        });
        // Nobody is left to settle anything: what is not settled by now never would be.
        assert!(sources.shards.iter().all(|shard| shard.returned.is_empty()));
        assert_eq!(sources.networks(), 0);
        let places: Vec<_> = (0..LIMIT).map(|_| sources.take(address(0)).unwrap()).collect();
        assert!(sources.take(address(0)).is_err());
        drop(places);
    }
}
