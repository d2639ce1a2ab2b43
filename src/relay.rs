//! The relay: one thread and one ring per core, which carries open sessions. It is a completion loop over plain state.
//!
//! Each turn: submit, wait until the next deadline, collect completions, hand each to its session, carry out the effects, and
//! start the sends that became possible. The relay takes no lock, writes no log line, and does not allocate per frame.
//!
//! An unexpected state is treated by its reach. One session's broken invariant ends that session (`broken`). If the ring, its
//! buffers, or memory that the kernel may touch is concerned, it is a panic, and the process ends.
//!
//! Not here: opening a session (`front`), and the meaning of its bytes (`session`).

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
pub mod reporting;
mod run;
mod sealing;
mod seen;
pub mod session_slot;
pub mod slab;
pub mod slow_readers;
mod splicing;
mod wake_flag;
mod walk;
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
