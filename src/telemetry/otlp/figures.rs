//! What is counted of each signal, and what is wrong with its receiver.

use super::client::on_one_line;
use crate::observe::counters::{Kind, MetricInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Least time between two lines of the process's log about the same signal.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// A signal of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Figures.
    Metrics,
    /// Rows of the log.
    Logs,
    /// Spans of openings.
    Traces,
}

impl Signal {
    /// Its name in figures and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// Its path below the receiver's URL.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
        }
    }
}

/// The figures of one signal.
#[derive(Debug)]
pub struct SignalFigures {
    signal: Signal,
    pub(super) exports: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Records of the request that is being sent. Whoever says what became of them, the exporter or the end of the log, makes it 0.
    pub(super) in_hand: AtomicU64,
    fault: watch::Sender<Option<String>>,
}

/// A figure of a signal.
#[derive(Debug)]
pub struct SignalMetric {
    /// The meaning.
    pub info: MetricInfo,
    /// Its number.
    pub read: fn(&SignalFigures) -> u64,
}

/// The figures of each signal, in the order in which they are shown.
pub const SIGNAL_METRICS: &[SignalMetric] = &[
    SignalMetric {
        info: MetricInfo {
            name: "otlp_exports",
            help: "Requests that the receiver of OTLP has taken.",
            kind: Kind::Counter,
            unit: "requests",
        },
        read: |figures| figures.exports.load(Ordering::Relaxed),
    },
    SignalMetric {
        info: MetricInfo {
            name: "otlp_failures",
            help: "Requests that the receiver of OTLP did not take, each attempt by itself.",
            kind: Kind::Counter,
            unit: "requests",
        },
        read: |figures| figures.failures.load(Ordering::Relaxed),
    },
    SignalMetric {
        info: MetricInfo {
            name: "otlp_records",
            help: "Log records, spans and points of metrics that the receiver of OTLP has taken.",
            kind: Kind::Counter,
            unit: "records",
        },
        read: |figures| figures.records.load(Ordering::Relaxed),
    },
    SignalMetric {
        info: MetricInfo {
            name: "otlp_records_dropped",
            help: "Log records and spans that found the queue full (queue_max): they came faster than they could be sent.",
            kind: Kind::Counter,
            unit: "records",
        },
        read: |figures| figures.dropped.load(Ordering::Relaxed),
    },
    SignalMetric {
        info: MetricInfo {
            name: "otlp_records_lost",
            help: "Log records and spans that were given up, or that the receiver of OTLP rejected.",
            kind: Kind::Counter,
            unit: "records",
        },
        read: |figures| figures.lost.load(Ordering::Relaxed),
    },
];

impl SignalFigures {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            exports: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            records: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            in_hand: AtomicU64::new(0),
            fault: watch::Sender::new(None),
        }
    }

    /// Which signal it is.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// What is wrong since the last request; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }
}

/// The figures of all signals that are sent.
#[derive(Clone, Debug, Default)]
pub struct OtlpFigures(pub(super) Arc<[Arc<SignalFigures>]>);

impl OtlpFigures {
    /// The figures, in the order of the signals.
    pub fn iter(&self) -> impl Iterator<Item = &SignalFigures> {
        self.0.iter().map(Arc::as_ref)
    }

    /// What is wrong, a line for each signal that has a fault, behind `prefix`.
    pub fn describe(&self, prefix: &str) -> String {
        let line = |figures: &SignalFigures| {
            let (fault, signal) = (figures.fault()?, figures.signal.name());
            let (lost, dropped) =
                (figures.lost.load(Ordering::Relaxed), figures.dropped.load(Ordering::Relaxed));
            Some(format!("{prefix}otlp {signal}: {fault} ({lost} records lost, {dropped} dropped)\n"))
        };
        self.iter().filter_map(line).collect()
    }
}

/// Counts what becomes of the requests of a signal, and says what is wrong in the log of the process: at once, then once a minute.
#[derive(Debug)]
pub(super) struct Outcomes {
    figures: Arc<SignalFigures>,
    /// When a fault was logged last.
    told_at: Option<Instant>,
    /// Whether the fault that there is was logged.
    is_told: bool,
}

impl Outcomes {
    pub(super) fn of(figures: Arc<SignalFigures>) -> Self {
        Self { figures, told_at: None, is_told: false }
    }

    /// A request of so many records is to be sent.
    pub(super) fn begin(&self, records: u64) {
        self.figures.in_hand.store(records, Ordering::Relaxed);
    }

    /// The request was taken, but for the records that were rejected.
    pub(super) fn taken(&mut self, rejected: u64, why: &str) {
        // None are in hand if they were given up meanwhile.
        let records = self.figures.in_hand.swap(0, Ordering::Relaxed);
        let rejected = rejected.min(records);
        self.figures.exports.fetch_add(1, Ordering::Relaxed);
        self.figures.records.fetch_add(records - rejected, Ordering::Relaxed);
        self.figures.lost.fetch_add(rejected, Ordering::Relaxed);
        if rejected > 0 {
            let why = on_one_line(why);
            return self.fault(format!("the receiver rejected {rejected} of {records} records: {why}"));
        }
        if self.figures.fault.send_replace(None).is_some() && std::mem::take(&mut self.is_told) {
            tracing::info!(signal = self.figures.signal.name(), "the otlp receiver takes records again");
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, why: String) {
        self.figures.failures.fetch_add(1, Ordering::Relaxed);
        self.fault(why);
    }

    /// The records of the request are given up, unless they were before.
    pub(super) fn lose(&self) {
        let records = self.figures.in_hand.swap(0, Ordering::Relaxed);
        self.figures.lost.fetch_add(records, Ordering::Relaxed);
    }

    fn fault(&mut self, why: String) {
        if self.told_at.is_none_or(|at| at.elapsed() >= TOLD_INTERVAL) {
            let (signal, lost) = (self.figures.signal.name(), self.figures.lost.load(Ordering::Relaxed));
            let dropped = self.figures.dropped.load(Ordering::Relaxed);
            tracing::warn!(signal, lost, dropped, "cannot export to the otlp receiver: {why}");
            self.told_at = Some(Instant::now());
            self.is_told = true;
        }
        self.figures.fault.send_replace(Some(why));
    }
}
