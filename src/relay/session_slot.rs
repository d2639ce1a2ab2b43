//! A relay's state of one session.

use super::account::Account;
use super::carrier::LegPlace;
use super::slab::{InSlot, SlotName};
use crate::admission::permit::Permit;
use crate::session::Session;

/// A session, by its slot and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(pub SlotName);

/// One session in its slot.
pub(super) struct SessionSlot {
    /// Which user of its slot it is.
    pub(super) generation: u32,
    pub(super) session: Session,
    /// Where the bytes of its legs are, downstream first.
    pub(super) legs: [LegPlace; 2],
    /// Its end is counted, and what its carriers have in flight is cancelled.
    pub(super) has_ended: bool,
    /// One of its invariants does not hold.
    pub(super) is_broken_off: bool,
    /// That it begins to end was reported.
    pub(super) is_closing_noted: bool,
    /// Given back with the slot, when both descriptors are closed.
    pub(super) permit: Permit,
    /// The session's record, and its counters under its labels.
    pub(super) account: Account,
}

impl InSlot for SessionSlot {
    fn generation(&self) -> u32 {
        self.generation
    }
}
