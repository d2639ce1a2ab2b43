//! The counters and slots of policies that guard. They belong to the process, and outlive snapshots.
//!
//! Not here: the counts (`counters`), where they and the slots are kept (`shared_counts::policy_guards`).

use super::counters::{CounterKeys, Counters};
use super::slot::Slots;

/// The counters and slots for one handshake.
#[derive(Clone, Copy, Debug)]
pub struct Guards<'g> {
    /// Windows and quotas.
    pub counters: &'g dyn Counters,
    /// Places of `limit-concurrency`.
    pub slots: &'g dyn Slots,
    /// Makes the keys of windows and quotas.
    pub keys: &'g CounterKeys,
    /// Milliseconds of a clock that never goes back: windows go by it.
    pub monotonic_ms: i64,
}
