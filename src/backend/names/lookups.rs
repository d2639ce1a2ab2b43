//! Counts of look-ups, for readers.

use std::sync::atomic::AtomicU64;

/// Look-ups of backends' names. The resolver's task writes them, and fronts `served_stale`.
#[derive(Debug, Default)]
pub struct Lookups {
    /// Look-ups in progress.
    pub in_progress: AtomicU64,
    /// Openings that wait for one of them.
    pub waiters: AtomicU64,
    /// Look-ups of names with a known answer that brought none.
    pub refreshes_failed: AtomicU64,
    /// Times that an old answer was given because a newer one did not come.
    pub served_stale: AtomicU64,
}
