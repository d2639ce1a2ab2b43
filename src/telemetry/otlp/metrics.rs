//! The metrics of an instance (`opentelemetry/proto/metrics/v1`): those of the page for Prometheus, under the same names.
//!
//! A counter's name has no `_total`: whoever writes them for Prometheus adds it, and gets the names of the page.
//!
//! Not here: which metrics there are (`telemetry::metrics`).

use super::protobuf::Message;
use super::values::{Origin, attribute};
use crate::observe::counters::Kind;
use crate::telemetry::families::{FamilyHead, FamilyKind, MetricWriter, Number};
use crate::telemetry::figures::Observed;
use crate::telemetry::metrics::write_metrics;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: from the start of the process on.
const CUMULATIVE: u64 = 2;

/// The prefix of every name, as on the page.
const PREFIX: &str = "ringgate_";

/// An `ExportMetricsServiceRequest` with what there is now, and how many points it has.
pub(super) fn request(origin: &Origin, observed: &Observed, now_ns: u64) -> (Vec<u8>, u64) {
    let mut writer = Writer {
        metrics: Vec::new(),
        open: None,
        points: Vec::new(),
        count: 0,
        start_ns: observed.about.started_at_s * 1_000_000_000,
        now_ns,
    };
    write_metrics(&mut writer, observed);
    writer.close();
    (origin.request(|scope| scope.fields(&writer.metrics)), writer.count)
}

/// A family whose points are being written.
struct Open {
    name: String,
    help: String,
    kind: FamilyKind,
}

struct Writer {
    /// Fields of `ScopeMetrics`.
    metrics: Vec<u8>,
    open: Option<Open>,
    /// Fields of the open family's `Gauge`, `Sum` or `Histogram`.
    points: Vec<u8>,
    count: u64,
    start_ns: u64,
    now_ns: u64,
}

impl Writer {
    /// Writes the open family, if it has any points.
    fn close(&mut self) {
        let Some(Open { name, help, kind }) = self.open.take() else { return };
        let points = std::mem::take(&mut self.points);
        if points.is_empty() {
            return;
        }
        // ScopeMetrics: metrics = 2. Metric: name = 1, description = 2, unit = 3, gauge = 5, sum = 7, histogram = 9.
        // Sum and Histogram: aggregation_temporality = 2; Sum: is_monotonic = 3.
        Message::new(&mut self.metrics).message(2, |metric| {
            metric.text(1, &name);
            metric.text(2, &help);
            metric.text_if_any(3, unit_of(&name));
            match kind {
                FamilyKind::Number(Kind::Counter) => metric.message(7, |sum| {
                    sum.fields(&points);
                    sum.varint(2, CUMULATIVE);
                    sum.varint(3, 1);
                }),
                FamilyKind::Number(Kind::Gauge) | FamilyKind::Info => {
                    metric.message(5, |gauge| gauge.fields(&points))
                }
                FamilyKind::Histogram => metric.message(9, |histogram| {
                    histogram.fields(&points);
                    histogram.varint(2, CUMULATIVE);
                }),
            }
        });
    }
}

/// The unit in the form of UCUM, where the name says it. Whoever writes it for Prometheus does not add it again then.
fn unit_of(name: &str) -> &'static str {
    if name.ends_with("_seconds") {
        "s"
    } else if name.ends_with("_bytes") {
        "By"
    } else {
        ""
    }
}

impl MetricWriter for Writer {
    fn begin(&mut self, family: &FamilyHead<'_>) {
        self.close();
        let suffix = if family.kind == FamilyKind::Info { "_info" } else { "" };
        let name = format!("{PREFIX}{}{suffix}", family.name);
        self.open = Some(Open { name, help: family.help.to_owned(), kind: family.kind });
    }

    fn number(&mut self, labels: &[(&str, &str)], value: Number) {
        let (start_ns, now_ns) = (self.start_ns, self.now_ns);
        self.count += 1;
        // Gauge and Sum: data_points = 1. NumberDataPoint: start_time_unix_nano = 2, time_unix_nano = 3, as_double = 4,
        // as_int = 6, attributes = 7.
        Message::new(&mut self.points).message(1, |point| {
            point.fixed64(2, start_ns);
            point.fixed64(3, now_ns);
            match value {
                Number::Whole(number) => point.fixed64(6, number.min(i64::MAX as u64)),
                Number::Thousandths(_) | Number::Millionths(_) => point.double(4, value.as_f64()),
            }
            labels.iter().for_each(|(name, value)| attribute(point, 7, name, *value));
        });
    }

    fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[&str], counts: &[u64], sum: Number) {
        let (start_ns, now_ns) = (self.start_ns, self.now_ns);
        self.count += 1;
        // Histogram: data_points = 1. HistogramDataPoint: start_time_unix_nano = 2, time_unix_nano = 3, count = 4, sum = 5,
        // bucket_counts = 6, explicit_bounds = 7, attributes = 9.
        Message::new(&mut self.points).message(1, |point| {
            point.fixed64(2, start_ns);
            point.fixed64(3, now_ns);
            point.fixed64(4, counts.iter().sum());
            point.double(5, sum.as_f64());
            point.packed64(6, counts.iter().copied());
            let bound = |text: &&str| text.parse().unwrap_or(f64::INFINITY).to_bits();
            point.packed64(7, bounds.iter().map(bound));
            labels.iter().for_each(|(name, value)| attribute(point, 9, name, *value));
        });
    }
}
