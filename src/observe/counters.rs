//! Counters and gauges of one worker, in one list, and their sums.

use super::heartbeats::Heartbeats;
use super::histogram::Histogram;
use super::refusals::PolicyRefusals;
use super::stage_histograms::StageHistograms;
use crate::session::{Cause, Leg, Phase};
use crate::websocket::tally::{FrameKind, Tally};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It is what there is at the moment.
    Gauge,
}

impl Kind {
    /// The name on the status page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// The name and the meaning of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// The name on the status page and in the log.
    pub name: &'static str,
    /// The meaning, in sentences.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The unit, in the plural.
    pub unit: &'static str,
}

/// A label's name and value.
pub type Label = (&'static str, &'static str);

/// Takes each number that stands under one name, with its labels.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[Label], u64);

/// A metric that each worker has.
#[derive(Debug)]
pub(crate) struct WorkerMetric {
    pub(crate) info: MetricInfo,
    /// Shows each of its numbers, always in the same order.
    pub(crate) visit: fn(&WorkerCounters, Visit<'_>),
}

/// The ranges of completions in a turn end at these; the last has no end.
pub const TURN_BOUNDS: [u64; 9] = [0, 1, 2, 4, 8, 16, 64, 256, 1024];

/// The same as text.
pub const TURN_BOUNDS_TEXT: [&str; TURN_BOUNDS.len()] = ["0", "1", "2", "4", "8", "16", "64", "256", "1024"];

/// Makes the counters of a worker and the list of what they mean, out of one line for each.
macro_rules! worker_counters {
    ($($(#[doc = $help:literal])+ $visible:vis $name:ident: $cells:ty, $kind:ident of $unit:literal;)+) => {
        /// Counters of one worker. Its front and its relay write them; everyone may read.
        #[derive(Debug, Default)]
        pub struct WorkerCounters {
            /// Which worker it is.
            index: usize,
            /// When its threads were last at work.
            pub heartbeats: Heartbeats,
            /// How long the stages of its openings took.
            pub stages: StageHistograms,
            /// Completions of its relay's turns.
            pub turns: Histogram<{ TURN_BOUNDS.len() + 1 }>,
            $($(#[doc = $help])+ $visible $name: $cells,)+
        }

        /// The metrics of a worker, in the order in which they are shown.
        pub(crate) const WORKER_METRICS: &[WorkerMetric] = &[$(WorkerMetric {
            info: MetricInfo {
                name: stringify!($name),
                help: concat!($($help),+).trim_ascii(),
                kind: Kind::$kind,
                unit: $unit,
            },
            visit: |worker, visit| worker.$name.visit(visit),
        }),+];
    };
}

worker_counters! {
    /// Connections that were accepted.
    pub connections_accepted: AtomicU64, Counter of "connections";
    /// Times that a listener paused because descriptors or memory were used up.
    pub accept_pauses: AtomicU64, Counter of "pauses";
    /// Openings in progress.
    pub openings: AtomicU64, Gauge of "openings";
    /// Openings that gave their place to a newcomer: all were taken, and they had waited longest for their requests.
    pub openings_given_way: AtomicU64, Counter of "openings";
    /// Connections that asked for the health path and were answered. They are not counted in terminations.
    pub health_checks: AtomicU64, Counter of "connections";
    /// TLS handshakes that were completed with clients.
    pub tls_handshakes: AtomicU64, Counter of "handshakes";
    /// TLS handshakes with clients that resumed an earlier connection.
    pub tls_resumptions: AtomicU64, Counter of "handshakes";
    /// Sessions that the relay took over.
    pub sessions_opened: AtomicU64, Counter of "sessions";
    /// Sessions that the front gave to another worker's relay, because its own had too many more than that one.
    pub sessions_given_away: AtomicU64, Counter of "sessions";
    /// Slots of the relay in use: open sessions and those whose last completions are awaited.
    pub slots: AtomicU64, Gauge of "slots";
    /// Received buffers that hold bytes on their way.
    pub buffers: AtomicU64, Gauge of "buffers";
    /// Received buffers that there are.
    pub buffers_limit: AtomicU64, Gauge of "buffers";
    /// Bytes of heap held for readers that have fallen behind.
    pub backlog_bytes: AtomicU64, Gauge of "bytes";
    /// Bytes of heap that there are for them (backlog_mib_max).
    pub backlog_bytes_limit: AtomicU64, Gauge of "bytes";
    /// Sends that took long and were taken back.
    pub sends_taken_back: AtomicU64, Counter of "sends";
    /// Sends that went out without being copied into the kernel first.
    pub zero_copy_sends: AtomicU64, Counter of "sends";
    /// Those of them that the kernel copied all the same; their sockets copy from there on.
    pub zero_copy_copied: AtomicU64, Counter of "sends";
    /// Payload that went from socket to socket without being copied.
    pub spliced_bytes: AtomicU64, Counter of "bytes";
    /// Receives that found no posted buffer, and whose legs had to wait for their turn.
    pub parked: AtomicU64, Counter of "receives";
    /// Times that a leg had more than its share of a turn, and was read behind all others from there on.
    pub rationed: AtomicU64, Counter of "times";
    /// Invariants of single sessions that did not hold: a bug of ringgate's, for which those sessions were ended.
    pub broken_invariants: AtomicU64, Counter of "invariants";
    /// Events of openings that were dropped, because the observer did not take them in time: the log lacks their rows.
    pub front_events_dropped: AtomicU64, Counter of "events";
    /// Events of sessions that were dropped, because the observer did not take them in time: the log lacks their rows.
    pub relay_events_dropped: AtomicU64, Counter of "events";
    /// How openings and sessions ended: why, and how far they had got.
    terminations: Matrix<Cause, Phase>, Counter of "openings and sessions";
    /// Openings that a policy refused, or in which it failed, by policy. Openings that limits refused are terminations by cause.
    pub policy_refusals: PolicyRefusals, Counter of "openings";
    /// Frames that a leg sent, over all ended sessions.
    frames: Matrix<Leg, FrameKind>, Counter of "frames";
    /// Payload that a leg sent, over all ended sessions.
    payload_bytes: Matrix<Leg, FrameKind>, Counter of "bytes";
}

impl WorkerCounters {
    /// Which worker it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Counts a termination.
    pub fn count_termination(&self, cause: Cause, phase: Phase) {
        // Whatever is counted is shown; every test looks for what the list does not have.
        debug_assert!(cause.phases().contains(&phase), "{} does not occur in {}", cause.name(), phase.name());
        add(self.terminations.cell(cause, phase), 1);
    }

    /// How many ended with a cause in a phase.
    pub fn terminations_of(&self, cause: Cause, phase: Phase) -> u64 {
        self.terminations.cell(cause, phase).load(Ordering::Relaxed)
    }

    /// Adds what a leg of an ended session sent.
    pub fn count_tally(&self, leg: Leg, tally: &Tally) {
        for kind in FrameKind::ALL {
            add(self.frames.cell(leg, kind), tally.frames(kind));
            add(self.payload_bytes.cell(leg, kind), tally.payload_bytes(kind));
        }
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// The value under one name: a number, or one for each combination of labels.
pub(super) trait Cells {
    fn visit(&self, visit: Visit<'_>);
}

impl Cells for AtomicU64 {
    fn visit(&self, visit: Visit<'_>) {
        visit(&[], self.load(Ordering::Relaxed));
    }
}

/// The values that a label may have.
pub trait Dimension: Copy + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// Every value, in the order in which they are shown; [`Dimension::index`] is the place in it.
    const ALL: &'static [Self];

    /// The place among all values.
    fn index(self) -> usize;

    /// The value as it is shown.
    fn name(self) -> &'static str;
}

macro_rules! dimensions {
    ($($values:ident::$all:ident: $key:literal;)+) => {$(
        impl Dimension for $values {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &$values::$all;

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                $values::name(self)
            }
        }
    )+};
}

dimensions! {
    Cause::ALL: "cause";
    Phase::ALL: "phase";
    Leg::BOTH: "leg";
    FrameKind::ALL: "kind";
}

/// One number for each combination of two labels.
#[derive(Debug)]
struct Matrix<A, B> {
    cells: Box<[AtomicU64]>,
    labels: PhantomData<fn(A, B)>,
}

impl<A: Dimension, B: Dimension> Matrix<A, B> {
    fn cell(&self, first: A, second: B) -> &AtomicU64 {
        &self.cells[first.index() * B::ALL.len() + second.index()]
    }
}

impl<A: Dimension, B: Dimension> Default for Matrix<A, B> {
    fn default() -> Self {
        let cells = A::ALL.len() * B::ALL.len();
        Self { cells: (0..cells).map(|_| AtomicU64::new(0)).collect(), labels: PhantomData }
    }
}

impl<A: Dimension, B: Dimension> Cells for Matrix<A, B> {
    fn visit(&self, visit: Visit<'_>) {
        for first in A::ALL {
            for second in B::ALL {
                let labels = [(A::KEY, first.name()), (B::KEY, second.name())];
                visit(&labels, self.cell(*first, *second).load(Ordering::Relaxed));
            }
        }
    }
}

/// All workers' counters.
#[derive(Clone, Debug)]
pub struct Counters(Vec<Arc<WorkerCounters>>);

impl Counters {
    /// Fresh counters of so many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|index| Arc::new(WorkerCounters { index, ..Default::default() })).collect())
    }

    /// One worker's.
    pub fn worker(&self, index: usize) -> Arc<WorkerCounters> {
        Arc::clone(&self.0[index])
    }

    /// Every worker's, in order.
    pub fn workers(&self) -> &[Arc<WorkerCounters>] {
        &self.0
    }

    /// The sum of one counter over all workers.
    pub fn sum(&self, counter: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
        self.0.iter().map(|worker| counter(worker).load(Ordering::Relaxed)).sum()
    }

    /// How many openings and sessions ended with a cause in a phase.
    pub fn terminations(&self, cause: Cause, phase: Phase) -> u64 {
        self.sum(|worker| worker.terminations.cell(cause, phase))
    }

    /// How many frames of a kind a leg sent, over all ended sessions.
    pub fn frames(&self, leg: Leg, kind: FrameKind) -> u64 {
        self.sum(|worker| worker.frames.cell(leg, kind))
    }

    /// How many bytes of payload of a kind a leg sent, over all ended sessions.
    pub fn payload_bytes(&self, leg: Leg, kind: FrameKind) -> u64 {
        self.sum(|worker| worker.payload_bytes.cell(leg, kind))
    }

    /// Whether nothing is open: no opening, no slot, no buffer, no backlog.
    pub fn is_at_rest(&self) -> bool {
        self.sum(|worker| &worker.openings) == 0
            && self.sum(|worker| &worker.slots) == 0
            && self.sum(|worker| &worker.buffers) == 0
            && self.sum(|worker| &worker.backlog_bytes) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order<D: Dimension>() {
        for (index, value) in D::ALL.iter().enumerate() {
            assert_eq!(value.index(), index, "{} {}", D::KEY, value.name());
        }
    }

    #[test]
    fn every_label_has_a_place_of_its_own() {
        in_order::<Cause>();
        in_order::<Phase>();
        in_order::<Leg>();
        in_order::<FrameKind>();
    }

    #[test]
    fn counts_each_combination_of_labels_by_itself() {
        let counters = Counters::new(2);
        for (worker, cause, phase) in [
            (0, Cause::Closed, Phase::Relay),
            (0, Cause::Bug, Phase::Relay),
            (1, Cause::Bug, Phase::Relay),
            (1, Cause::Key, Phase::Head),
        ] {
            counters.worker(worker).count_termination(cause, phase);
        }
        let mut counted = Vec::new();
        for cause in Cause::ALL {
            for phase in Phase::ALL {
                let count = counters.terminations(cause, phase);
                if count > 0 {
                    counted.push((cause, phase, count));
                }
            }
        }
        assert_eq!(
            counted,
            [(Cause::Closed, Phase::Relay, 1), (Cause::Key, Phase::Head, 1), (Cause::Bug, Phase::Relay, 2)]
        );
    }
}
