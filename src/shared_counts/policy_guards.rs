//! The counters and slots of an instance's policies. They live as long as the process.
//!
//! Not here: the counters (`policy_counters`), the slots (`slots`).

use super::policy_counters::SharedCounters;
use super::slots::SharedSlots;
use crate::policy::counters::CounterKeys;
use crate::policy::guards::Guards;
use tokio::time::Instant;

/// Counters and slots, the secret that their keys are made under, and the clock that windows go by.
#[derive(Debug)]
pub struct PolicyGuards {
    counters: SharedCounters,
    slots: SharedSlots,
    keys: CounterKeys,
    began: Instant,
}

impl Default for PolicyGuards {
    fn default() -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .expect("the kernel has random bytes: maps of this process have had some");
        Self {
            counters: SharedCounters::default(),
            slots: SharedSlots::new(&secret),
            keys: CounterKeys::new(&secret),
            began: Instant::now(),
        }
    }
}

impl PolicyGuards {
    /// Returns the guards for a handshake that arrived just now.
    pub fn now(&self) -> Guards<'_> {
        self.at(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the guards for a handshake that arrived so many milliseconds after the process began.
    pub fn at(&self, monotonic_ms: i64) -> Guards<'_> {
        Guards { counters: &self.counters, slots: &self.slots, keys: &self.keys, monotonic_ms }
    }

    /// The slots of all keys.
    pub fn slots(&self) -> &SharedSlots {
        &self.slots
    }
}
