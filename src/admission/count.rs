//! A count under a limit, exact across threads, and the rule by which one count lends to several.
//!
//! The property to trust: however many threads take, return and change the limit at the same time, nothing is given while as much
//! as the limit is taken.
//!
//! `tests/loom` compiles this very file and tries every order of its steps, so it takes its atomics from the module above.

use super::atomic::{AtomicU64, Ordering};

/// How many are taken, and how many there are.
#[derive(Debug)]
pub(super) struct Count {
    /// `limit << 32 | taken`: one value, so that nobody takes one under a limit that has just been lowered.
    state: AtomicU64,
}

/// The limit that has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Everything is taken.
    OfAll,
    /// The taker's own share is, and what else is free is kept for others.
    OfShare,
}

impl Count {
    /// Nothing is taken of `limit`.
    pub(super) fn new(limit: u32) -> Self {
        Self { state: AtomicU64::new(state(limit, 0)) }
    }

    /// Takes one if at least `reserve` stay free; says whether it did. Never one more than the limit, whoever asks at the same
    /// time.
    pub(super) fn take(&self, reserve: u32) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (taken_of(state) < limit_of(state).saturating_sub(reserve)).then(|| state + 1)
            })
            .is_ok()
    }

    /// Counts one more, even beyond the limit.
    pub(super) fn add(&self) {
        self.state.fetch_add(1, Ordering::AcqRel);
    }

    /// Gives one back that was taken or added.
    pub(super) fn give_back(&self) {
        // At least this one is taken: nothing is borrowed from the limit.
        self.state.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> u32 {
        taken_of(self.state.load(Ordering::Acquire))
    }

    /// How many there are.
    pub(super) fn limit(&self) -> u32 {
        limit_of(self.state.load(Ordering::Acquire))
    }

    /// How many more can be taken.
    pub(super) fn free(&self) -> u32 {
        let state = self.state.load(Ordering::Acquire);
        limit_of(state).saturating_sub(taken_of(state))
    }

    /// Changes how many there are. What is taken stays taken: with a lower limit, the next is given when enough have come back.
    pub(super) fn set_limit(&self, limit: u32) {
        let change = |before| Some(state(limit, taken_of(before)));
        // It changes at every try, so it never fails.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }
}

/// Takes one of `all` for a holder whose own share of it is counted in `share`.
///
/// Within its share the holder gets one whenever any is free. Beyond it, it gets one only where at least `reserve` stay free
/// for the others; `None`: it gets none.
///
/// # Errors
/// The limit that has no room left. No place is taken then.
pub(super) fn take_with_share(all: &Count, share: &Count, reserve: Option<u32>) -> Result<(), Lack> {
    if share.take(0) {
        if all.take(0) {
            return Ok(());
        }
        share.give_back();
        return Err(Lack::OfAll);
    }
    if reserve.is_some_and(|reserve| all.take(reserve)) {
        share.add();
        return Ok(());
    }
    Err(Lack::OfShare)
}

fn state(limit: u32, taken: u32) -> u64 {
    u64::from(limit) << 32 | u64::from(taken)
}

fn limit_of(state: u64) -> u32 {
    (state >> 32) as u32
}

fn taken_of(state: u64) -> u32 {
    state as u32
}
