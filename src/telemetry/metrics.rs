//! The page for Prometheus: the figures of an instance under names and in units as Prometheus has them.
//!
//! - Every name begins with `ringgate_`; counters end in `_total`. The names of the one list of figures are in base units already.
//! - No sum stands beside its parts under one name: a worker's gauges stand by `worker`, its counters are summed.
//! - What cannot occur has no row: a cause has only the phases in which it occurs (`Cause::phases`). What can occur and has not is
//!   there and 0, so that the first one is seen as a rise; only codes of Close frames and causes by API or product come when they
//!   do, because these would be fifty rows for each.
//! - Labels come from the catalogue and from lists of the code, never from clients, and are bounded
//!   ([`OWN_SERIES_MAX`](crate::observe::labels::OWN_SERIES_MAX)). There is none by subscription: these are on the status page.
//!
//! The same metrics are sent by the protocol of OpenTelemetry (`otlp::metrics`).
//!
//! Not here: the format (`exposition`), and serving the page (`services::status_page`).

mod entities;

use super::exposition::{Exposition, Format};
use super::families::{Families, MetricWriter, Number};
use super::figures::{Figure, Observed};
use crate::observe::counters::{Counters, Dimension as _, Kind, Label, TURN_BOUNDS_TEXT, WorkerCounters};
use crate::observe::heartbeats::WorkerThread;
use crate::observe::histogram::{Histogram, HistogramSums};
use crate::observe::stage_histograms::STAGE_BOUNDS_TEXT;
use crate::observe::stages::Stage;
use crate::process::open_files::{open_files, open_files_max};
use crate::process::uptime::uptime_ms;
use crate::session::{Cause, Leg, Phase};

/// The page.
pub fn metrics(observed: &Observed, format: Format) -> String {
    let mut page = Exposition::new(format);
    write_metrics(&mut page, observed);
    page.finish()
}

/// Writes every metric of an instance.
pub(super) fn write_metrics(writer: &mut dyn MetricWriter, observed: &Observed) {
    let mut page = Families::new(writer);
    push_about(&mut page, observed);
    observed.figures().iter().for_each(|figure| push_figure(&mut page, figure));
    push_histograms(&mut page, &observed.counters);
    push_apim(&mut page, observed);
    entities::push_entities(&mut page, observed);
}

/// What the instance is and since when.
fn push_about(page: &mut Families<'_>, observed: &Observed) {
    page.info("build", "The version of ringgate.", &[("version", env!("CARGO_PKG_VERSION"))]);
    let mut family = page.family(
        "start_time_seconds",
        Kind::Gauge,
        "When the instance was started, in seconds since 1970.",
    );
    family.sample(&[], observed.about.started_at_s);
    if let Some(open) = open_files() {
        page.family("open_files", Kind::Gauge, "Open files of the process.").sample(&[], open);
    }
    let help = "The limit of open files of the process.";
    page.family("open_files_limit", Kind::Gauge, help).sample(&[], open_files_max());
    if let Some(last) = observed.publishes.last() {
        let labels = [("revision", last.served.to_string())];
        let labels = labels.each_ref().map(|(key, value)| (*key, value.as_str()));
        page.info("catalogue", "The revision of the catalogue that is served.", &labels);
        let help = "When a catalogue was last published or refused, in seconds since 1970.";
        page.family("catalogue_changed_time_seconds", Kind::Gauge, help)
            .sample(&[], last.at.unix_seconds().unsigned_abs());
    }
    let help = "Seconds since a thread of a worker last said that it is at work: up to 2 while it is idle; it counts as stuck after 10.";
    let mut family = page.family("heartbeat_age_seconds", Kind::Gauge, help);
    let now_ms = uptime_ms();
    for worker in observed.counters.workers() {
        let index = worker.index().to_string();
        for thread in WorkerThread::ALL {
            if let Some(age_ms) = worker.heartbeats.age_ms(thread, now_ms) {
                family.sample_ms(&[("worker", &index), ("thread", thread.name())], age_ms);
            }
        }
    }
    let shown = observed.shown.borrow().clone();
    if !shown.certificates.is_empty() {
        let help = "The last second at which a listener's certificate is valid, in seconds since 1970.";
        let mut family = page.family("certificate_expiry_time_seconds", Kind::Gauge, help);
        for certificate in shown.certificates.iter() {
            let labels = [("listener", certificate.listener.as_str()), ("certificate", &certificate.name)];
            family.sample(&labels, certificate.not_after_s);
        }
    }
}

/// A figure of the one list.
fn push_figure(page: &mut Families<'_>, Figure { info, series }: &Figure) {
    let mut family = page.family(info.name, info.kind, info.help);
    for series in series.iter().filter(|series| may_occur(&series.labels) || series.sum > 0) {
        if info.kind == Kind::Gauge && !series.of_workers.is_empty() {
            for (worker, value) in series.of_workers.iter().enumerate() {
                let worker = worker.to_string();
                let mut labels = series.labels.clone();
                labels.push(("worker", &worker));
                family.sample(&labels, *value);
            }
        } else {
            family.sample(&series.labels, series.sum);
        }
    }
}

/// Whether a row with these labels can ever be more than 0.
fn may_occur(labels: &[Label]) -> bool {
    let value = |key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let (Some(cause), Some(phase)) = (value("cause").and_then(Cause::from_name), value("phase")) else {
        return true;
    };
    cause.phases().iter().any(|known| known.name() == phase)
}

/// The sums of a histogram over all workers.
fn sums_of<const CELLS: usize>(
    counters: &Counters,
    histogram: impl Fn(&WorkerCounters) -> &Histogram<CELLS>,
) -> HistogramSums<CELLS> {
    let mut sums = HistogramSums::default();
    counters.workers().iter().for_each(|worker| histogram(worker).add_to(&mut sums));
    sums
}

fn push_histograms(page: &mut Families<'_>, counters: &Counters) {
    let help = "How long the stages of openings took, those that failed included.";
    let mut family = page.histograms("opening_stage_seconds", help);
    for stage in Stage::ALL {
        let sums = sums_of(counters, |worker| worker.stages.of(stage));
        let sum = Number::Millionths(sums.sum);
        family.histogram(&[("stage", stage.name())], &STAGE_BOUNDS_TEXT, &sums.counts, sum);
    }
    let help = "Completions that a relay handled in one turn: the more, the busier it is.";
    let sums = sums_of(counters, |worker| &worker.turns);
    let mut family = page.histograms("relay_turn_completions", help);
    family.histogram(&[], &TURN_BOUNDS_TEXT, &sums.counts, Number::Whole(sums.sum));
}

/// Phases of an opening that has not become a session.
const OF_OPENINGS: [Phase; 3] = [Phase::Head, Phase::Dial, Phase::Answer];

/// The two metrics of Azure API Management for WebSocket APIs. It publishes no values of their dimensions, but for the location.
fn push_apim(page: &mut Families<'_>, observed: &Observed) {
    let counters = &observed.counters;
    let location = observed.about.gateway.as_str();
    let opened = counters.sum(|worker| &worker.sessions_opened);
    let ended = |cause: &Cause| -> u64 {
        OF_OPENINGS.iter().map(|phase| counters.terminations(*cause, *phase)).sum()
    };
    let help = "ConnectionAttempts of Azure API Management: WebSocket connections that clients asked for, and those that were asked of \
                backends, by what came of them.";
    let mut family = page.family("apim_connection_attempts", Kind::Counter, help);
    let refused = Cause::ALL.iter().map(ended).sum();
    let failed = Cause::ALL.iter().filter(|cause| cause.is_of_backend_connection()).map(ended).sum();
    for (source, destination, state, value) in [
        ("client", "gateway", "succeeded", opened),
        ("client", "gateway", "failed", refused),
        ("gateway", "backend", "succeeded", opened),
        ("gateway", "backend", "failed", failed),
    ] {
        let labels =
            [("location", location), ("source", source), ("destination", destination), ("state", state)];
        family.sample(&labels, value);
    }
    let help = "WebSocketMessages of Azure API Management: messages by their direction, those of open sessions included.";
    let mut family = page.family("apim_websocket_messages", Kind::Counter, help);
    let messages = entities::messages_of_all(observed);
    for (leg, source, destination) in
        [(Leg::Downstream, "client", "backend"), (Leg::Upstream, "backend", "client")]
    {
        let labels = [("location", location), ("source", source), ("destination", destination)];
        family.sample(&labels, messages[leg.index()]);
    }
}

#[cfg(test)]
mod tests;
