//! Counters and gauges of one worker, and their sum.

use crate::session::{Cause, Leg, Phase};
use crate::websocket::tally::{FrameKind, Tally};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one worker. Its front and its relay write them; everyone may read.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Connections that were accepted.
    pub connections_accepted: AtomicU64,
    /// Times that a listener paused because descriptors or memory were used up.
    pub accept_pauses: AtomicU64,
    /// Openings in progress (gauge).
    pub openings: AtomicU64,
    /// Sessions that the relay took over.
    pub sessions_opened: AtomicU64,
    /// Slots of the relay in use (gauge): open sessions and those whose last completions are awaited.
    pub slots: AtomicU64,
    /// Received buffers that hold bytes on their way (gauge).
    pub buffers: AtomicU64,
    /// Receives that ran out of buffers and had to wait.
    pub parked: AtomicU64,
    terminations: [[AtomicU64; Cause::ALL.len()]; Phase::ALL.len()],
    frames: [[AtomicU64; FrameKind::ALL.len()]; 2],
    payload_bytes: [[AtomicU64; FrameKind::ALL.len()]; 2],
}

impl WorkerCounters {
    /// Counts a termination.
    pub fn count_termination(&self, cause: Cause, phase: Phase) {
        add(&self.terminations[phase as usize][cause as usize], 1);
    }

    /// Adds what a leg of an ended session sent.
    pub fn count_tally(&self, leg: Leg, tally: &Tally) {
        for kind in FrameKind::ALL {
            add(&self.frames[leg as usize][kind as usize], tally.frames(kind));
            add(&self.payload_bytes[leg as usize][kind as usize], tally.payload_bytes(kind));
        }
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// All workers' counters.
#[derive(Clone, Debug)]
pub struct Counters(Vec<std::sync::Arc<WorkerCounters>>);

impl Counters {
    /// Fresh counters of so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Default::default()).collect())
    }

    /// One worker's.
    pub fn worker(&self, index: usize) -> std::sync::Arc<WorkerCounters> {
        std::sync::Arc::clone(&self.0[index])
    }

    /// The sum of one counter over all workers.
    pub fn sum(&self, counter: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
        self.0.iter().map(|worker| counter(worker).load(Ordering::Relaxed)).sum()
    }

    /// How many openings and sessions ended with a cause in a phase.
    pub fn terminations(&self, cause: Cause, phase: Phase) -> u64 {
        self.sum(|worker| &worker.terminations[phase as usize][cause as usize])
    }

    /// How many frames of a kind a leg sent, over all ended sessions.
    pub fn frames(&self, leg: Leg, kind: FrameKind) -> u64 {
        self.sum(|worker| &worker.frames[leg as usize][kind as usize])
    }

    /// How many bytes of payload of a kind a leg sent, over all ended sessions.
    pub fn payload_bytes(&self, leg: Leg, kind: FrameKind) -> u64 {
        self.sum(|worker| &worker.payload_bytes[leg as usize][kind as usize])
    }

    /// Whether nothing is open: no opening, no slot, no buffer.
    pub fn is_at_rest(&self) -> bool {
        self.sum(|worker| &worker.openings) == 0
            && self.sum(|worker| &worker.slots) == 0
            && self.sum(|worker| &worker.buffers) == 0
    }
}
