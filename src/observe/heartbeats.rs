//! The signs of life of the workers' threads: each front and each relay says when it was last at work, idle ones once in a while.
//!
//! Not here: the clock (`process::uptime`), and who reads it (`services`, `control::service_manager`).

use std::sync::atomic::{AtomicU64, Ordering};

/// Longest time, in milliseconds, for which a thread that is not stuck says nothing.
pub const HEARTBEAT_MS: u64 = 2_000;

/// Time, in milliseconds, after which a thread that has said nothing counts as stuck: so many that a busy host does not look like one.
pub const STUCK_MS: u64 = 10_000;

/// A heartbeat of a thread that has ended: it is not stuck, whatever the time.
const ENDED: u64 = u64::MAX;

/// A thread of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerThread {
    /// Its front.
    Front,
    /// Its relay.
    Relay,
}

impl WorkerThread {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Front, Self::Relay];

    /// The name in answers and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Relay => "relay",
        }
    }
}

/// The last signs of life of one worker's threads, in milliseconds of the process's uptime.
#[derive(Debug, Default)]
pub struct Heartbeats([AtomicU64; 2]);

impl Heartbeats {
    /// The thread is at work at `now_ms`.
    pub fn beat(&self, thread: WorkerThread, now_ms: u64) {
        self.0[thread as usize].store(now_ms, Ordering::Relaxed);
    }

    /// The thread has ended, or is about to.
    pub fn end(&self, thread: WorkerThread) {
        self.beat(thread, ENDED);
    }

    /// Milliseconds since the last sign of life. `None`: the thread has ended.
    pub fn age_ms(&self, thread: WorkerThread, now_ms: u64) -> Option<u64> {
        let last = self.0[thread as usize].load(Ordering::Relaxed);
        (last != ENDED).then(|| now_ms.saturating_sub(last))
    }

    /// The threads that count as stuck, and for how many milliseconds they have said nothing.
    pub fn stuck(&self, now_ms: u64) -> impl Iterator<Item = (WorkerThread, u64)> {
        self.silent(STUCK_MS, now_ms)
    }

    /// The threads that have said nothing for more than `patience_ms`, and for how many milliseconds.
    pub fn silent(&self, patience_ms: u64, now_ms: u64) -> impl Iterator<Item = (WorkerThread, u64)> {
        let of = move |thread| Some((thread, self.age_ms(thread, now_ms)?));
        WorkerThread::ALL.into_iter().filter_map(of).filter(move |(_, age_ms)| *age_ms > patience_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_says_nothing_for_too_long_is_stuck_and_one_that_has_ended_is_not() {
        let beats = Heartbeats::default();
        let stuck = |now| beats.stuck(now).collect::<Vec<_>>();
        assert_eq!(stuck(STUCK_MS), []);
        beats.beat(WorkerThread::Front, 5_000);
        assert_eq!(stuck(STUCK_MS + 1), [(WorkerThread::Relay, STUCK_MS + 1)]);
        assert_eq!(beats.age_ms(WorkerThread::Front, STUCK_MS), Some(5_000));
        beats.end(WorkerThread::Relay);
        assert_eq!(stuck(STUCK_MS + 5_000), []);
        assert_eq!(stuck(STUCK_MS + 5_001), [(WorkerThread::Front, STUCK_MS + 1)]);
        // The clocks of two threads may be read in the other order.
        assert_eq!(beats.age_ms(WorkerThread::Front, 4_000), Some(0));
    }
}
