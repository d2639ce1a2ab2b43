//! Counts that all workers share: places of openings and sessions, by instance and by source network, and the counters and slots
//! of policies.
//!
//! The property to trust: a limit is exact, however many ask at the same time, and returning a place never waits for a lock.
//!
//! Not here: places of APIs, products and subscriptions, which a publish changes (`admission::registry`), and the answer to a
//! client (`front`).

pub mod budgets;
mod keyed_places;
pub mod policy_counters;
pub mod policy_guards;
mod shard;
pub mod shed;
pub mod slots;
pub mod sources;

pub use shed::Shed;

/// The synchronisation types that `shard` uses; `tests/loom` substitutes its own.
mod sync {
    pub(super) use std::sync::atomic::{Ordering, fence};

    pub(super) use crossbeam_queue::SegQueue;

    #[expect(
        clippy::disallowed_types,
        reason = "a map that grows and shrinks cannot be shared without a lock; relays never wait for it"
    )]
    pub(super) type Lock<T> = std::sync::Mutex<T>;
}
