//! Counts the places that are taken under some keys, under one lock. Returning a place never waits for it.
//!
//! ```text
//! take:       lock ── settle the queue ── count, or refuse ── unlock ── settle if something came meanwhile
//! give back:  queue ── settle, if the lock is free
//! ```
//!
//! A thread that queues and finds the lock taken leaves the rest to the lock's holder, which looks into the queue after it
//! unlocks. The property to trust: when no thread is at work any more, every returned place is settled. `tests/loom` tries every
//! order of steps.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{PoisonError, TryLockError};

use super::sync::{Lock, Ordering, SegQueue, fence};

/// Rooms of an emptied map that are kept all the same.
pub(super) const ROOM_KEPT: usize = 64;

/// The counts of some keys.
#[derive(Debug)]
pub(super) struct Shard<K> {
    /// Keys with at least one place taken.
    taken: Lock<HashMap<K, u32>>,
    /// A key for each place that came back and is not settled yet.
    returned: SegQueue<K>,
}

impl<K: Copy + Eq + Hash> Shard<K> {
    /// Nothing is taken.
    pub(super) fn new() -> Self {
        Self { taken: Lock::new(HashMap::new()), returned: SegQueue::new() }
    }

    /// Whether nothing that came back waits to be settled.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.returned.is_empty()
    }

    /// Whether there was a place.
    pub(super) fn take(&self, key: K, limit: u32) -> bool {
        self.with_taken(|taken| match taken.entry(key) {
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

    pub(super) fn give_back(&self, key: K) {
        self.returned.push(key);
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

    fn settle_into(&self, taken: &mut HashMap<K, u32>) {
        while let Some(key) = self.returned.pop() {
            if let Entry::Occupied(mut count) = taken.entry(key) {
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

    /// Works on what is taken, under the lock, with all settled that came back before; then settles what came meanwhile.
    pub(super) fn with_taken<T>(&self, work: impl FnOnce(&mut HashMap<K, u32>) -> T) -> T {
        let result = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            self.settle_into(&mut taken);
            work(&mut taken)
        };
        self.settle();
        result
    }
}
