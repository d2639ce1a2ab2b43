//! Frees the expanded keys of idle record layers, some hundred bytes a direction: they can be derived again.
//!
//! A walk visits the carriers in the order of their slots: [`CARRIERS_PER_STEP`] in a step, and one step in a turn and in a
//! millisecond, so that no single turn pays for all. A walk begins [`TLS_REST_MS`] after the one before it; none begins while all
//! keys are dropped. A key is dropped on the second visit since its last use: between one and two times `TLS_REST_MS` after that
//! use, and later by the length of a walk or where turns are late.
//!
//! The time of a step follows from its place in the walk, and not, as with `pace`, from the number of steps. So a slot is visited
//! at the same distance from the start of every walk, however many carriers come and go between two walks.

use super::run::Relay;
use crate::limits::TLS_REST_MS;
use crate::ring::Ring;
use crate::session::Moment;
use std::ops::Range;

/// Carriers that are looked at in one turn: some 10 µs. A walk over 500,000 takes as long as until the next one begins.
const CARRIERS_PER_STEP: u32 = 256;

/// The walk in progress, or the next one. There is none while nothing has used its keys since the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyRest(Option<Walk>);

#[derive(Clone, Copy, Debug)]
struct Walk {
    begins: Moment,
    steps_taken: u32,
    /// Some keys are not at rest, or have been used since it began.
    is_any_in_use: bool,
}

impl KeyRest {
    /// Keys are used: the walk after this use, and the next one, look at them.
    pub(super) fn note_use(&mut self, now: Moment) {
        self.0.get_or_insert(Walk::beginning(now.after_millis(TLS_REST_MS))).is_any_in_use = true;
    }

    /// When the next step is due.
    pub(super) fn next_at(&self) -> Option<Moment> {
        self.0.map(|walk| walk.begins.after_millis(u64::from(walk.steps_taken)))
    }

    /// The slots of the step that is due.
    fn take_due(&mut self, now: Moment) -> Option<Range<u32>> {
        self.next_at().filter(|next| *next <= now)?;
        let walk = self.0.as_mut()?;
        if walk.steps_taken == 0 {
            // Keys that were used before it began are looked at by it.
            walk.is_any_in_use = false;
        }
        let start = walk.steps_taken * CARRIERS_PER_STEP;
        walk.steps_taken += 1;
        Some(start..start + CARRIERS_PER_STEP)
    }

    /// A step that ended at this slot is done; `is_any_in_use`: some of the keys that it looked at do not rest.
    fn end_step(&mut self, now: Moment, end: u32, slots: u32, is_any_in_use: bool) {
        let Some(walk) = &mut self.0 else { return };
        walk.is_any_in_use |= is_any_in_use;
        if end >= slots {
            let next = walk.begins.after_millis(TLS_REST_MS).max(now);
            self.0 = walk.is_any_in_use.then(|| Walk::beginning(next));
        }
    }
}

impl Walk {
    fn beginning(begins: Moment) -> Self {
        Self { begins, steps_taken: 0, is_any_in_use: false }
    }
}

impl<R: Ring> Relay<R> {
    /// Takes the next step of the walk, if it is due.
    pub(super) fn step_key_rest(&mut self) {
        let now = self.engine.now;
        let Some(step) = self.engine.key_rest.take_due(now) else { return };
        let slots = self.carriers.slots();
        let mut is_any_in_use = false;
        for slot in step.start..step.end.min(slots) {
            let layer = self.carriers.at_mut(slot).and_then(|carrier| carrier.record_layer.as_mut());
            is_any_in_use |= layer.is_some_and(|layer| layer.rest_if_unused());
        }
        self.engine.key_rest.end_step(now, step.end, slots, is_any_in_use);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::record_layer::UseOfKeys;

    /// Keys by slot, as the relay would walk over them, with when they were last used and when they came to rest.
    struct Keys {
        rest: KeyRest,
        used: Vec<UseOfKeys>,
        used_at: Vec<Moment>,
        rested_at: Vec<Option<Moment>>,
        most_in_a_turn: usize,
        looks: usize,
    }

    impl Keys {
        fn new(count: usize) -> Self {
            let mut keys = Self {
                rest: KeyRest::default(),
                used: Vec::new(),
                used_at: Vec::new(),
                rested_at: Vec::new(),
                most_in_a_turn: 0,
                looks: 0,
            };
            keys.grow(count, Moment::ZERO);
            keys
        }

        fn grow(&mut self, count: usize, now: Moment) {
            self.used.resize(count, UseOfKeys::Recent);
            self.used_at.resize(count, now);
            self.rested_at.resize(count, None);
            self.rest.note_use(now);
        }

        fn touch(&mut self, slot: usize, now: Moment) {
            self.used[slot] = UseOfKeys::Recent;
            self.used_at[slot] = now;
            self.rested_at[slot] = None;
            self.rest.note_use(now);
        }

        fn turn(&mut self, now: Moment) {
            let Some(step) = self.rest.take_due(now) else { return };
            let slots = self.used.len() as u32;
            let slice = step.start as usize..step.end.min(slots) as usize;
            self.most_in_a_turn = self.most_in_a_turn.max(slice.len());
            self.looks += slice.len();
            let mut is_any_in_use = false;
            for slot in slice {
                self.used[slot] = self.used[slot].after_look();
                if self.used[slot] == UseOfKeys::Dropped {
                    self.rested_at[slot].get_or_insert(now);
                }
                is_any_in_use |= self.used[slot] != UseOfKeys::Dropped;
            }
            self.rest.end_step(now, step.end, slots, is_any_in_use);
        }

        fn check_rests(&self) {
            for (slot, (used_at, rested_at)) in self.used_at.iter().zip(&self.rested_at).enumerate() {
                let took = rested_at.expect("it rests").millis_since(*used_at);
                let walk_ms = self.used.len() as u64 / u64::from(CARRIERS_PER_STEP) + 1;
                assert!((TLS_REST_MS..=2 * TLS_REST_MS + walk_ms).contains(&took), "slot {slot}: {took} ms");
            }
        }
    }

    #[test]
    fn every_layer_rests_in_its_time_and_no_turn_looks_at_more_than_a_step() {
        for count in [1, 256, 257, 8_000] {
            let mut keys = Keys::new(count);
            for millis in 0..20_000 {
                let now = Moment::from_millis(millis);
                // Some are used again, before, while and after the walk passes them.
                if millis < 9_000 && millis % 7 == 0 {
                    keys.touch(millis as usize * 31 % count, now);
                }
                if millis == 5_000 {
                    keys.grow(count * 2, now);
                }
                keys.turn(now);
            }
            keys.check_rests();
            assert!(keys.most_in_a_turn <= CARRIERS_PER_STEP as usize);
            assert_eq!(keys.rest.next_at(), None, "nothing is due when all rest");
        }
    }

    #[test]
    fn late_turns_take_one_step_each_and_leave_none_out() {
        let mut keys = Keys::new(1_000);
        for minute in 1..=100 {
            keys.turn(Moment::from_millis(minute * 60_000));
        }
        assert_eq!(keys.looks, 2_000, "two walks");
        assert!(keys.rested_at.iter().all(Option::is_some));
        assert_eq!(keys.most_in_a_turn, CARRIERS_PER_STEP as usize);
    }

    #[test]
    fn keys_that_are_used_behind_the_walk_get_one_more() {
        let mut keys = Keys::new(600);
        // All rest but for the last step of the second walk.
        for millis in 0..=2 * TLS_REST_MS + 1 {
            keys.turn(Moment::from_millis(millis));
        }
        keys.touch(0, Moment::from_millis(2 * TLS_REST_MS + 1));
        for millis in 2 * TLS_REST_MS + 2..10 * TLS_REST_MS {
            keys.turn(Moment::from_millis(millis));
        }
        keys.check_rests();
        assert_eq!(keys.rest.next_at(), None);
    }

    #[test]
    fn a_relay_without_records_walks_over_nothing() {
        let mut rest = KeyRest::default();
        assert_eq!((rest.next_at(), rest.take_due(Moment::from_millis(99_999))), (None, None));
    }
}
