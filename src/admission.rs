//! Admission: places, and permits as the proof of having them. A dropped permit returns its places.
//!
//! Not here: when an opening takes its places, and the maps of source networks and of slots, which need a lock (`shared_counts`);
//! the words of a refusal (`session::termination`).

mod count;
pub mod pending;
pub mod permit;
pub mod permit_token;
pub mod places;
pub mod registry;
pub mod source;

/// The atomics of `count`; `tests/loom` gives it others.
mod atomic {
    pub(super) use core::sync::atomic::{AtomicU64, Ordering};
}
