//! What all workers count together: places of openings and sessions, by instance and by source network, and what policies
//! count with.
//!
//! The property to trust: a limit is exact whoever asks at the same time, and nobody who gives a place back waits for a lock.
//!
//! Not here: places of APIs, products and subscriptions, which a publish changes (`admission::registry`), and what a client is told
//! (`front`).

pub mod budgets;
mod keyed_places;
pub mod policy_counters;
pub mod policy_guards;
mod shard;
pub mod shed;
pub mod slots;
pub mod sources;

pub use shed::Shed;

/// What `shard` is shared by; `tests/loom` gives it others.
mod sync {
    pub(super) use std::sync::atomic::{Ordering, fence};

    pub(super) use crossbeam_queue::SegQueue;

    #[expect(
        clippy::disallowed_types,
        reason = "a map that grows and shrinks cannot be shared without a lock; relays never wait for it"
    )]
    pub(super) type Lock<T> = std::sync::Mutex<T>;
}
