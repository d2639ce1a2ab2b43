//! The counts of a window.

use crate::result::{Handshakes, Percentiles, RunResult};
use crate::tls::channel::Handshake;
use hdrhistogram::Histogram;

/// Faults that are kept by name; more are only the same again.
const FAULTS_MAX: usize = 20;

/// Counts and histograms; latencies in nanoseconds.
pub(super) struct Figures {
    /// When the window began.
    since: u64,
    messages: u64,
    sessions: u64,
    /// Echoes that were due since the window began, and those of them that came.
    asked: u64,
    answered: u64,
    latency: Histogram<u64>,
    plain_latency: Histogram<u64>,
    push_latency: Histogram<u64>,
    opening_latency: Histogram<u64>,
    lateness: Histogram<u64>,
    handshakes: Option<Handshakes>,
    faults: Vec<String>,
}

/// The counts of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) sessions: u64,
    pub(super) asked: u64,
    pub(super) answered: u64,
}

impl Figures {
    /// Of a window that begins now.
    pub(super) fn since(now: u64) -> Self {
        // 1 µs to 100 s in three digits.
        let histogram =
            || Histogram::new_with_bounds(1_000, 100_000_000_000, 3).expect("bounds that hdrhistogram takes");
        Self {
            since: now,
            messages: 0,
            sessions: 0,
            asked: 0,
            answered: 0,
            latency: histogram(),
            plain_latency: histogram(),
            push_latency: histogram(),
            opening_latency: histogram(),
            lateness: histogram(),
            handshakes: None,
            faults: Vec::new(),
        }
    }

    /// A steady message was due.
    pub(super) fn record_ask(&mut self, due: u64) {
        self.asked += u64::from(due >= self.since);
    }

    /// Its echo came.
    pub(super) fn record_answer(&mut self, due: u64) {
        self.answered += u64::from(due >= self.since);
    }

    pub(super) fn record_round_trip(&mut self, ns: u64) {
        self.messages += 1;
        self.latency.saturating_record(ns);
    }

    /// A round trip that did not end while it was waited for.
    pub(super) fn record_missing(&mut self, ns: u64) {
        self.latency.saturating_record(ns);
    }

    /// A round trip without TLS beside others with it.
    pub(super) fn record_plain_round_trip(&mut self, ns: u64) {
        self.messages += 1;
        self.plain_latency.saturating_record(ns);
    }

    pub(super) fn record_handshake(&mut self, handshake: Handshake) {
        let handshakes = self.handshakes.get_or_insert_default();
        match handshake {
            Handshake::Full => handshakes.full += 1,
            Handshake::Resumed => handshakes.resumed += 1,
        }
    }

    pub(super) fn record_push(&mut self, ns: u64) {
        self.messages += 1;
        self.push_latency.saturating_record(ns);
    }

    pub(super) fn record_session(&mut self, ns: u64) {
        self.sessions += 1;
        self.opening_latency.saturating_record(ns);
    }

    pub(super) fn record_lateness(&mut self, ns: u64) {
        self.lateness.saturating_record(ns);
    }

    pub(super) fn record_fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    pub(super) fn first_fault(&self) -> &str {
        self.faults.first().map_or("no fault is known", String::as_str)
    }

    pub(super) fn counts(&self) -> Counts {
        let Self { messages, sessions, asked, answered, .. } = *self;
        Counts { messages, sessions, asked, answered }
    }

    pub(super) fn progress(&self) -> String {
        format!(
            "{} messages, p99 {:.0} µs; {} sessions",
            self.messages,
            self.latency.value_at_quantile(0.99) as f64 / 1e3,
            self.sessions
        )
    }

    pub(super) fn write_to(self, result: &mut RunResult) {
        result.messages = self.messages;
        result.sessions = self.sessions;
        result.latency = percentiles(&self.latency).or_else(|| percentiles(&self.push_latency));
        result.plain_latency = percentiles(&self.plain_latency);
        result.handshakes = self.handshakes;
        result.opening_latency = percentiles(&self.opening_latency);
        result.lateness = percentiles(&self.lateness);
        result.faults = self.faults;
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Option<Percentiles> {
    if histogram.is_empty() {
        return None;
    }
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Some(Percentiles {
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: histogram.max() as f64 / 1e3,
    })
}
