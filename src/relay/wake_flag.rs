//! The wake-up of a relay: once for many messages, and never missed.
//!
//! ```text
//! who pushes:   queue ── claim ── (the first one) ── write the wake-up
//! the relay:    read the wake-up ── clear ── empty the queue
//! ```
//!
//! A message that the relay misses was queued after the relay's last look at the queue, and so after it cleared the flag. The
//! sender then finds the flag clear and writes the wake-up. `tests/loom` tries every order of these steps.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Set while a wake-up is on its way.
#[derive(Debug, Default)]
pub(super) struct WakeFlag(AtomicBool);

impl WakeFlag {
    /// Something was queued: whether the wake-up is to be written.
    pub(super) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// The wake-up was read, and the queue is going to be emptied: what is queued from here on wakes again.
    pub(super) fn clear(&self) {
        // Sequentially consistent on both sides: this must not be seen after the look into the queue behind it.
        self.0.swap(false, Ordering::SeqCst);
    }
}
