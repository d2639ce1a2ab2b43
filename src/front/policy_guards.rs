//! What policies of an instance count with. It begins with the process and ends with it.
//!
//! Not here: the counters (`policy_counters`).

use super::policy_counters::SharedCounters;
use crate::policy::counters::CounterKeys;
use crate::policy::guards::Guards;
use std::hash::{BuildHasher as _, RandomState};
use tokio::time::Instant;

/// Counters, the secret that their keys are made under, and the clock that windows go by.
#[derive(Debug)]
pub struct PolicyGuards {
    counters: SharedCounters,
    keys: CounterKeys,
    began: Instant,
}

impl Default for PolicyGuards {
    fn default() -> Self {
        // Seeded by the kernel; what is made of it stays in the process.
        let seed = RandomState::new();
        let mut secret = [0; 32];
        for (index, word) in secret.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&seed.hash_one(index).to_le_bytes());
        }
        Self { counters: SharedCounters::default(), keys: CounterKeys::new(&secret), began: Instant::now() }
    }
}

impl PolicyGuards {
    /// What a handshake is counted with that came just now.
    pub fn now(&self) -> Guards<'_> {
        let monotonic_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Guards { counters: &self.counters, keys: &self.keys, monotonic_ms }
    }
}
