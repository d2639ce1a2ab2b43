//! The deadlines of sessions: a hierarchical timing wheel over slot indices, in user space.
//!
//! Scheduling and cancelling are O(1); a slot has one entry. An entry comes out at its time or a little later, never before. The
//! delay is at most one tick of the level that the entry stands in, because an entry moves down a level when its turn comes.

use crate::session::Moment;

/// Milliseconds of the finest tick.
const TICK_MS: u64 = 8;
const SLOTS_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOTS_BITS;
/// 64 × 8 ms = 0.5 s, 32 s, 35 min, 37 h, 100 days; what is later waits in the last level.
const LEVELS: usize = 5;

const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    previous: u32,
    next: u32,
    bucket: u32,
    at_tick: u64,
}

const FREE: Entry = Entry { previous: NOWHERE, next: NOWHERE, bucket: NOWHERE, at_tick: 0 };

/// The wheel. Entries are links in an array by slot index, so that none is allocated per timer.
#[derive(Debug)]
pub struct Wheel {
    entries: Vec<Entry>,
    heads: [u32; LEVELS * SLOTS],
    /// One bit per bucket that is not empty, by level.
    occupied: [u64; LEVELS],
    /// All ticks before this one are done.
    now_tick: u64,
}

impl Wheel {
    /// A wheel that starts at `now`.
    pub fn new(now: Moment) -> Self {
        Self {
            entries: Vec::new(),
            heads: [NOWHERE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            now_tick: now.as_millis() / TICK_MS,
        }
    }

    /// Makes `slot` due at `at`, and at no other time.
    pub fn schedule(&mut self, slot: u32, at: Moment) {
        self.cancel(slot);
        // Rounded up: never early.
        let at_tick = at.as_millis().div_ceil(TICK_MS).max(self.now_tick);
        let index = slot as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, FREE);
        }
        self.entries[index].at_tick = at_tick;
        self.link(slot, at_tick);
    }

    /// Makes `slot` not due.
    pub fn cancel(&mut self, slot: u32) {
        let Some(&entry) = self.entries.get(slot as usize) else { return };
        if entry.bucket == NOWHERE {
            return;
        }
        match entry.previous {
            NOWHERE => self.heads[entry.bucket as usize] = entry.next,
            previous => self.entries[previous as usize].next = entry.next,
        }
        if entry.next != NOWHERE {
            self.entries[entry.next as usize].previous = entry.previous;
        }
        if self.heads[entry.bucket as usize] == NOWHERE {
            self.occupied[entry.bucket as usize / SLOTS] &= !(1 << (entry.bucket as usize % SLOTS));
        }
        self.entries[slot as usize] = FREE;
    }

    /// Takes out all that is due at `now`, in no particular order within a tick.
    pub fn expire(&mut self, now: Moment, due: &mut Vec<u32>) {
        let now_tick = now.as_millis() / TICK_MS;
        while self.now_tick <= now_tick {
            let Some(next) = self.next_tick().filter(|next| *next <= now_tick) else {
                self.now_tick = now_tick + 1;
                return;
            };
            self.now_tick = next;
            for level in (1..LEVELS).rev() {
                let is_turn = next.trailing_zeros() >= SLOTS_BITS * level as u32;
                if is_turn {
                    self.move_down(level, next);
                }
            }
            self.take_bucket((next as usize) % SLOTS, due);
            self.now_tick = next + 1;
        }
    }

    /// When something may be due next, if anything is scheduled. May be earlier than it is, never later.
    pub fn next_expiry(&self) -> Option<Moment> {
        self.next_tick().map(|tick| Moment::from_millis(tick * TICK_MS))
    }

    /// The next tick at which a bucket is due or must move down.
    fn next_tick(&self) -> Option<u64> {
        (0..LEVELS)
            .filter(|level| self.occupied[*level] != 0)
            .map(|level| {
                let shift = SLOTS_BITS * level as u32;
                let mask = (1u64 << shift) - 1;
                // The first tick, from now on, at which this level's buckets get their turn.
                let turn = (self.now_tick + mask) >> shift;
                let distance =
                    self.occupied[level].rotate_right((turn % SLOTS as u64) as u32).trailing_zeros();
                (turn + u64::from(distance)) << shift
            })
            .min()
    }

    fn move_down(&mut self, level: usize, tick: u64) {
        let position = (tick >> (SLOTS_BITS * level as u32)) as usize % SLOTS;
        let mut slot = self.unlink_bucket(level * SLOTS + position);
        while slot != NOWHERE {
            let entry = self.entries[slot as usize];
            self.link(slot, entry.at_tick);
            slot = entry.next;
        }
    }

    fn take_bucket(&mut self, bucket: usize, due: &mut Vec<u32>) {
        let mut slot = self.unlink_bucket(bucket);
        while slot != NOWHERE {
            let next = self.entries[slot as usize].next;
            self.entries[slot as usize] = FREE;
            due.push(slot);
            slot = next;
        }
    }

    fn unlink_bucket(&mut self, bucket: usize) -> u32 {
        self.occupied[bucket / SLOTS] &= !(1 << (bucket % SLOTS));
        std::mem::replace(&mut self.heads[bucket], NOWHERE)
    }

    fn link(&mut self, slot: u32, at_tick: u64) {
        let distance = at_tick - self.now_tick;
        let mut level = 0;
        while level + 1 < LEVELS && distance >> (SLOTS_BITS * (level as u32 + 1)) != 0 {
            level += 1;
        }
        let shift = SLOTS_BITS * level as u32;
        // What is beyond the last level waits in its farthest bucket and is linked anew when that has its turn.
        let reachable = at_tick.min(self.now_tick + ((SLOTS as u64 - 1) << shift));
        let bucket = level * SLOTS + (reachable >> shift) as usize % SLOTS;
        let head = self.heads[bucket];
        if head != NOWHERE {
            self.entries[head as usize].previous = slot;
        }
        self.heads[bucket] = slot;
        self.occupied[bucket / SLOTS] |= 1 << (bucket % SLOTS);
        self.entries[slot as usize] = Entry { previous: NOWHERE, next: head, bucket: bucket as u32, at_tick };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn moment(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn is_due_at_its_time_and_not_before() {
        let mut wheel = Wheel::new(moment(0));
        for (slot, at) in [(0, 5), (1, 600), (2, 40_000), (3, 3_000_000), (4, 200_000_000)] {
            wheel.schedule(slot, moment(at));
            let mut due = Vec::new();
            wheel.expire(moment(at - 1), &mut due);
            assert!(due.is_empty(), "slot {slot} is early");
            wheel.expire(moment(at + TICK_MS), &mut due);
            assert_eq!(due, [slot]);
        }
        assert_eq!(wheel.next_expiry(), None);
    }

    #[test]
    fn a_cancelled_slot_is_not_due() {
        let mut wheel = Wheel::new(moment(0));
        for slot in 0..3 {
            wheel.schedule(slot, moment(100));
        }
        wheel.cancel(1);
        wheel.cancel(7);
        let mut due = Vec::new();
        wheel.expire(moment(1000), &mut due);
        due.sort_unstable();
        assert_eq!(due, [0, 2]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            steps in prop::collection::vec((0u32..40, prop_oneof![0u64..1_000, 0u64..5_000_000], 0u64..3_000, any::<bool>()), 1..200)
        ) {
            let mut wheel = Wheel::new(moment(0));
            let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = 0;
            for (slot, after, passes, cancels) in steps {
                if cancels {
                    wheel.cancel(slot);
                    expected.remove(&slot);
                } else {
                    wheel.schedule(slot, moment(now + after));
                    expected.insert(slot, now + after);
                }
                now += passes;
                let mut due = Vec::new();
                wheel.expire(moment(now), &mut due);
                for slot in due {
                    let at = expected.remove(&slot);
                    prop_assert!(at.is_some_and(|at| at <= now), "slot {} came out early or twice", slot);
                }
                let late = expected.iter().find(|(_, at)| **at + TICK_MS <= now);
                prop_assert!(late.is_none(), "{:?} did not come out by {}", late, now);
                if let Some(next) = wheel.next_expiry() {
                    let first = expected.values().min().copied().unwrap_or(u64::MAX);
                    prop_assert!(next.as_millis() <= first.div_ceil(TICK_MS) * TICK_MS + TICK_MS);
                }
            }
        }
    }
}
