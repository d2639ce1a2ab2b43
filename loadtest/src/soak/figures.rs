//! The clients' figures of a soak since the last sample.

use super::session::{Kind, Role};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Faults of one sample that are kept by name; the others are counted.
const FAULTS_MAX: usize = 20;

/// How sessions of churn and slow readers ended, from the start of the run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Ends {
    /// Churn: echoed a message and closed.
    pub closed: u64,
    /// Churn: reset in the middle of a frame.
    pub reset_mid_frame: u64,
    /// Churn: left within the head or right behind it.
    pub left_in_opening: u64,
    /// Slow readers that read all in the end, and closed.
    pub slow_read_all: u64,
    /// Slow readers that were reset.
    pub slow_reset: u64,
    /// Steady and idle sessions that closed at the end of the run.
    pub standing_closed: u64,
}

/// Counts and histograms; latencies in nanoseconds.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) round_trips: u64,
    pub(super) latency: Histogram<u64>,
    pub(super) lateness: Histogram<u64>,
    pub(super) faults: Vec<String>,
    pub(super) fault_count: u64,
    pub(super) ends: Ends,
}

impl Figures {
    pub(super) fn new() -> Self {
        // 1 µs to 100 s in three digits.
        let histogram =
            || Histogram::new_with_bounds(1_000, 100_000_000_000, 3).expect("bounds that hdrhistogram takes");
        Self {
            round_trips: 0,
            latency: histogram(),
            lateness: histogram(),
            faults: Vec::new(),
            fault_count: 0,
            ends: Ends::default(),
        }
    }

    /// Forgets what belongs to one sample only.
    pub(super) fn begin_sample(&mut self) {
        self.round_trips = 0;
        self.latency.reset();
        self.lateness.reset();
        self.faults.clear();
    }

    /// Every round trip counts, the latency of the steady sessions only.
    pub(super) fn record_round_trip(&mut self, kind: Kind, ns: u64) {
        self.round_trips += 1;
        if kind == Kind::Steady {
            self.latency.saturating_record(ns);
        }
    }

    pub(super) fn record_lateness(&mut self, ns: u64) {
        self.lateness.saturating_record(ns);
    }

    pub(super) fn record_fault(&mut self, fault: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// A session ended as it was to.
    pub(super) fn record_end(&mut self, kind: Kind, role: Role) {
        let count = match (kind, role) {
            (Kind::Steady | Kind::Idle, _) => &mut self.ends.standing_closed,
            (_, Role::Standing | Role::EchoAndClose { .. }) => &mut self.ends.closed,
            (_, Role::ResetMidFrame { .. }) => &mut self.ends.reset_mid_frame,
            (_, Role::LeaveInHead { .. } | Role::ResetInDial) => &mut self.ends.left_in_opening,
            (_, Role::ReadSlowly { is_reset: true, .. }) => &mut self.ends.slow_reset,
            (_, Role::ReadSlowly { is_reset: false, .. }) => &mut self.ends.slow_read_all,
        };
        *count += 1;
    }
}
