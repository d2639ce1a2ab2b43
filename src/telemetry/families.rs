//! Metrics by families, whatever they are written as: the text for Prometheus, or the protocol of OpenTelemetry.
//!
//! ```text
//! metrics ──family, samples──► Families ──► MetricWriter: exposition, otlp::metrics
//! ```
//!
//! Not here: which metrics there are (`metrics`).

use crate::observe::counters::Kind;
use std::fmt;

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    /// Numbers.
    Number(Kind),
    /// One sample that is always 1: what it says stands in its labels.
    Info,
    /// Histograms.
    Histogram,
}

/// What a family begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct FamilyHead<'f> {
    /// Its name, without prefix and suffix.
    pub(super) name: &'f str,
    pub(super) kind: FamilyKind,
    pub(super) help: &'f str,
}

/// A number without rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Whole(u64),
    Thousandths(u64),
    Millionths(u64),
}

impl Number {
    /// The nearest floating-point number.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Thousandths(number) => number as f64 / 1e3,
            Self::Millionths(number) => number as f64 / 1e6,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(formatter, "{number}"),
            Self::Thousandths(number) => write!(formatter, "{}.{:03}", number / 1_000, number % 1_000),
            Self::Millionths(number) => write!(formatter, "{}.{:06}", number / 1_000_000, number % 1_000_000),
        }
    }
}

/// Takes families, one after the other.
pub(super) trait MetricWriter {
    /// A family begins; what comes until the next one is of it.
    fn begin(&mut self, family: &FamilyHead<'_>);

    /// One number.
    fn number(&mut self, labels: &[(&str, &str)], value: Number);

    /// One histogram: counts by range, not summed up, the last for what is above all `bounds`, and the sum of all values.
    fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[&str], counts: &[u64], sum: Number);
}

/// All families, as they are written.
pub(super) struct Families<'w>(&'w mut dyn MetricWriter);

/// A family whose samples are being written.
pub(super) struct Family<'w>(&'w mut dyn MetricWriter);

impl<'w> Families<'w> {
    pub(super) fn new(writer: &'w mut dyn MetricWriter) -> Self {
        Self(writer)
    }

    /// Begins a family of counters or gauges. `name` is without prefix and suffix.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        self.0.begin(&FamilyHead { name, kind: FamilyKind::Number(kind), help });
        Family(self.0)
    }

    /// A family of one sample that is always 1: what it says stands in its labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.0.begin(&FamilyHead { name, kind: FamilyKind::Info, help });
        self.0.number(labels, Number::Whole(1));
    }

    /// Begins a family of histograms.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Family<'_> {
        self.0.begin(&FamilyHead { name, kind: FamilyKind::Histogram, help });
        Family(self.0)
    }
}

impl Family<'_> {
    /// One number.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.0.number(labels, Number::Whole(value));
    }

    /// One number of seconds, which is given in milliseconds.
    pub(super) fn sample_ms(&mut self, labels: &[(&str, &str)], milliseconds: u64) {
        self.0.number(labels, Number::Thousandths(milliseconds));
    }

    /// One histogram: see [`MetricWriter::histogram`].
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[&str],
        counts: &[u64],
        sum: Number,
    ) {
        self.0.histogram(labels, bounds, counts, sum);
    }
}
