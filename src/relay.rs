//! The relay: one thread and one ring per core that carries open sessions. A completion loop over plain state.
//!
//! Each turn: submit, wait until the next deadline, harvest completions, hand each to its session, carry out the effects,
//! start the sends that became possible. Nothing here locks, logs, or allocates per frame.
//!
//! What cannot be is told apart by whom it concerns: one session's broken invariant ends that session (`broken`); where the
//! ring, its buffers, or memory that the kernel may touch is concerned, it is a panic, and the process ends.
//!
//! Not here: how a session was opened (`front`), and what its bytes mean (`session`).

mod account;
mod arrivals;
mod broken;
pub mod carrier;
mod completions;
pub mod drain;
mod effects;
mod ending;
mod engine;
mod greedy;
mod handle;
mod key_rest;
mod lending;
pub mod liveness;
pub mod mailbox;
mod pace;
pub mod placement;
pub mod record_layer;
mod revocation;
pub mod run;
mod sealing;
mod seen;
pub mod session_slot;
pub mod slab;
pub mod slow_readers;
mod splicing;
mod wake_flag;
pub mod wheel;

#[cfg(test)]
pub use broken::faulty::FaultyRecords;
pub use broken::{BrokenState, BugReport, BugReporter, BugReports, bug_reports};
pub use mailbox::{Mailbox, Message, NewSession};
pub use placement::Relays;
pub use record_layer::RecordLayer;
pub use run::{Relay, RelayLimits};
pub use seen::Seen;

/// Bytes of a session's slot, which is the relay's own.
#[cfg(test)]
pub(crate) fn session_slot_bytes() -> usize {
    size_of::<session_slot::SessionSlot>()
}
