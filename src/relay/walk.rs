//! A walk past all sessions of a relay: each is looked at once, evenly over a window, with a bounded number of slots in one turn, so
//! that other sessions do not notice.
//!
//! Sessions that arrive meanwhile may not be seen.
//!
//! Not here: what is looked for (`ending` ends those that are revoked, `reporting` reports what they have carried).

use super::pace::Pace;
use crate::session::Moment;

/// Slots that a walk looks at in one turn: some 10 µs. Those that are left wait for the next.
const WALK_LOOKS_PER_TURN: usize = 256;

/// A walk in progress, in the order of the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// A step for each session that there was when it began.
    pace: Pace,
    slots: u32,
    /// Slots that are not looked at yet.
    slots_left: u32,
    /// The slot to look at next.
    cursor: u32,
    /// Looks that are left in this turn.
    looks: usize,
}

impl Walk {
    /// A walk past so many slots with so many sessions. It goes on where the one before it, in whose place it comes, has got
    /// to: so each slot's turn comes however soon one follows the other.
    pub(super) fn new(
        now: Moment,
        (slots, sessions): (u32, usize),
        spread_ms: u64,
        before: Option<Self>,
    ) -> Self {
        let pace = Pace::new(now, sessions as u64, spread_ms);
        Self { pace, slots, slots_left: slots, cursor: before.map_or(0, |before| before.cursor), looks: 0 }
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.looks = WALK_LOOKS_PER_TURN;
    }

    /// The slot to look at next, if a session is due and this turn may look at one more slot.
    pub(super) fn take_due(&mut self, now: Moment) -> Option<u32> {
        if self.next_at().is_none_or(|next| next > now) {
            return None;
        }
        self.looks = self.looks.checked_sub(1)?;
        self.slots_left -= 1;
        let slot = self.cursor % self.slots;
        self.cursor = slot + 1;
        Some(slot)
    }

    /// The slot that was taken has a session: the next one is due later.
    pub(super) fn note_session(&mut self, now: Moment) {
        self.pace.take_due(now);
    }

    /// When the next slot is to be looked at. `None`: it is over.
    pub(super) fn next_at(&self) -> Option<Moment> {
        // When as many have been looked at as there were, those that are left have come since, and were looked at then.
        (self.slots_left > 0).then(|| self.pace.next_at().unwrap_or(Moment::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every slot that it looks at in one turn, where all of them have sessions.
    fn turn(walk: &mut Walk, now: Moment) -> Vec<u32> {
        walk.begin_turn();
        let mut seen = Vec::new();
        while let Some(slot) = walk.take_due(now) {
            walk.note_session(now);
            seen.push(slot);
        }
        seen
    }

    #[test]
    fn looks_at_each_slot_once_and_at_no_more_in_a_turn_than_it_may() {
        let slots = 2 * WALK_LOOKS_PER_TURN as u32 + 5;
        for sessions in [0, 1, slots as usize] {
            let mut walk = Walk::new(Moment::ZERO, (slots, sessions), 0, None);
            let mut seen = Vec::new();
            let mut turns = 0;
            while walk.next_at().is_some() {
                turns += 1;
                let of_turn = turn(&mut walk, Moment::ZERO);
                assert!(of_turn.len() <= WALK_LOOKS_PER_TURN);
                seen.extend(of_turn);
            }
            assert_eq!(turns, 3);
            assert!(seen.into_iter().eq(0..slots));
        }
    }

    #[test]
    fn the_window_is_that_of_the_sessions_however_few_of_the_slots_they_have() {
        let mut walk = Walk::new(Moment::ZERO, (100, 3), 200, None);
        let mut seen_at = Vec::new();
        for millis in 0..300 {
            let now = Moment::from_millis(millis);
            walk.begin_turn();
            while let Some(slot) = walk.take_due(now) {
                if [10, 11, 99].contains(&slot) {
                    walk.note_session(now);
                    seen_at.push(millis);
                }
            }
        }
        assert_eq!(seen_at, [0, 100, 200]);
        assert_eq!(walk.next_at(), None);
    }

    #[test]
    fn one_that_comes_in_the_place_of_another_goes_on_where_that_was_and_misses_none() {
        let mut walk = None;
        let mut seen = Vec::new();
        for second in 0..10 {
            let now = Moment::from_millis(second * 1000);
            let mut next = Walk::new(now, (8, 8), 7_000, walk);
            seen.extend(turn(&mut next, now));
            walk = Some(next);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1], "one a second");
        // As many as there are, from wherever it begins.
        let mut last = Walk::new(Moment::ZERO, (8, 8), 0, walk);
        assert_eq!(turn(&mut last, Moment::ZERO), [2, 3, 4, 5, 6, 7, 0, 1]);
    }
}
