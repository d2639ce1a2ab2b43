//! Every figure of an instance at one moment, read from the one list.

use super::observer::ObserverFigures;
use crate::admission::registry::PublishedPlaces;
use crate::backend::names::Lookups;
use crate::limits::{RESOLVER_LOOKUPS_MAX, RESOLVER_WAITERS_MAX};
use crate::observe::LabelRegistry;
use crate::observe::counters::{Counters, Kind, Label, MetricInfo, WORKER_METRICS, WorkerMetric};
use crate::observe::publishes::Publishes;
use crate::observe::state::{State, StateCell};
use crate::process::log;
use crate::shared_counts::budgets::Budgets;
use crate::telemetry::otlp::{OtlpFigures, SIGNAL_METRICS, SignalFigures, SignalMetric};
use crate::telemetry::sinks::AllSinkFigures;
use crate::telemetry::sinks::queue::SinkFigures;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// The readable state of an instance. Reading uses plain loads and disturbs nobody.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its workers' counters.
    pub counters: Counters,
    /// Its places of sessions and openings.
    pub budgets: Budgets,
    /// Its look-ups of backends' names.
    pub lookups: Arc<Lookups>,
    /// The results of changes of its catalogue.
    pub publishes: Arc<Publishes>,
    /// The figures by API, product and subscription.
    pub labels: Arc<LabelRegistry>,
    /// The state of the instance.
    pub state: Arc<StateCell>,
    /// The figures of where the log's rows go.
    pub sinks: AllSinkFigures,
    /// The figures of what is sent by OTLP.
    pub otlp: OtlpFigures,
    /// What the observer counts.
    pub observer: Arc<ObserverFigures>,
    /// What does not change while it runs.
    pub about: Arc<About>,
    /// What a publish changes.
    pub shown: watch::Receiver<Shown>,
}

/// The facts of an instance that stay.
#[derive(Debug, Default)]
pub struct About {
    /// The gateway that it is part of; empty: none.
    pub gateway: String,
    /// When it was started, in seconds since 1970.
    pub started_at_s: u64,
}

/// The part of what is published that figures are shown of.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The places of APIs, products and subscriptions.
    pub places: Arc<PublishedPlaces>,
    /// The certificates of the listeners.
    pub certificates: Arc<[CertificateExpiry]>,
}

/// How long a certificate of a listener is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The address of the listener, as it is configured.
    pub listener: String,
    /// The first host in the certificate, or its subject.
    pub name: String,
    /// The last second at which it is valid, since 1970.
    pub not_after_s: u64,
}

/// A metric that an instance has once, however many workers it has.
struct InstanceMetric {
    info: MetricInfo,
    read: fn(&Observed) -> u64,
}

/// The metrics of an instance, in the order in which they are shown.
const INSTANCE_METRICS: &[InstanceMetric] = &[
    InstanceMetric {
        info: MetricInfo {
            name: "draining",
            help: "1 from the beginning of a drain, or of the end at once, to the end of the process; 0 before.",
            kind: Kind::Gauge,
            unit: "yes or no",
        },
        read: |observed| u64::from(observed.state.get() != State::Serving),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "places_taken",
            help: "Places of sessions that are taken, those of openings and of sessions that linger included.",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.sessions().taken()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "places_limit",
            help: "The limit of places of sessions (connections_max).",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.sessions().limit()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "opening_places_taken",
            help: "Places of openings that read a request head, from the accept until it is judged.",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.openings().taken()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "opening_places_limit",
            help: "The limit of places of openings that read a request head (openings_max).",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.openings().limit()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "pending_places_taken",
            help: "Places of openings that wait for a backend, from the judged head to the hand-over or the close.",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.pending().taken()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "pending_places_limit",
            help: "The limit of places of openings that wait for a backend (pending_openings_max).",
            kind: Kind::Gauge,
            unit: "places",
        },
        read: |observed| u64::from(observed.budgets.pending().limit()),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "source_networks",
            help: "Networks of clients that hold a place of a session; 0 where they are not counted.",
            kind: Kind::Gauge,
            unit: "networks",
        },
        read: |observed| observed.budgets.source_networks() as u64,
    },
    InstanceMetric {
        info: MetricInfo {
            name: "lookups",
            help: "Look-ups of backends' names in progress.",
            kind: Kind::Gauge,
            unit: "look-ups",
        },
        read: |observed| observed.lookups.in_progress.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "lookups_limit",
            help: "Look-ups that may be in progress. Over it an opening is refused, unless its backend's name is known.",
            kind: Kind::Gauge,
            unit: "look-ups",
        },
        read: |_| RESOLVER_LOOKUPS_MAX as u64,
    },
    InstanceMetric {
        info: MetricInfo {
            name: "lookup_waiters",
            help: "Openings that wait for a look-up.",
            kind: Kind::Gauge,
            unit: "openings",
        },
        read: |observed| observed.lookups.waiters.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "lookup_waiters_limit",
            help: "Openings that may wait for a look-up. Over it an opening is refused.",
            kind: Kind::Gauge,
            unit: "openings",
        },
        read: |_| RESOLVER_WAITERS_MAX as u64,
    },
    InstanceMetric {
        info: MetricInfo {
            name: "name_refreshes_failed",
            help: "Look-ups of names with a known answer that brought none: the old one stays in use for stale_max_s.",
            kind: Kind::Counter,
            unit: "look-ups",
        },
        read: |observed| observed.lookups.refreshes_failed.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "names_served_stale",
            help: "Openings that used an old answer for their backend's name, because a newer one was due and did not come.",
            kind: Kind::Counter,
            unit: "openings",
        },
        read: |observed| observed.lookups.served_stale.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "catalogue_publishes",
            help: "Catalogues that were given to the workers, the one of the start included.",
            kind: Kind::Counter,
            unit: "catalogues",
        },
        read: |observed| observed.publishes.published(),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "catalogue_refusals",
            help: "Catalogues that were refused for their faults.",
            kind: Kind::Counter,
            unit: "catalogues",
        },
        read: |observed| observed.publishes.refused(),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "catalogue_faults",
            help: "Faults in the catalogue's files. While there are any, the previous catalogue is served.",
            kind: Kind::Gauge,
            unit: "faults",
        },
        read: |observed| observed.publishes.last().map_or(0, |last| last.fault_count as u64),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_lines_dropped",
            help: "Lines of the log that were dropped: standard error was not read in time, or could not be written to.",
            kind: Kind::Counter,
            unit: "lines",
        },
        read: |_| log::log_lines_dropped(),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_rows",
            help: "Rows of the log of openings and sessions that were made and given to the sinks.",
            kind: Kind::Counter,
            unit: "rows",
        },
        read: |observed| observed.observer.rows.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_openings_sampled_out",
            help: "Openings whose rows, and those of their sessions, the log does not have because of sampling in their diagnostics.",
            kind: Kind::Counter,
            unit: "openings",
        },
        read: |observed| observed.observer.left_out.load(Ordering::Relaxed),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_rows_written",
            help: "Rows of the log that its sinks have written, each once for each sink.",
            kind: Kind::Counter,
            unit: "rows",
        },
        read: |observed| observed.of_sinks(SinkFigures::written),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_rows_dropped",
            help: "Rows of the log that a sink dropped, because they came faster than it writes.",
            kind: Kind::Counter,
            unit: "rows",
        },
        read: |observed| observed.of_sinks(SinkFigures::dropped),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_rows_lost",
            help: "Rows of the log that a sink could not write: the disk is full, or nobody reads standard output or the journal.",
            kind: Kind::Counter,
            unit: "rows",
        },
        read: |observed| observed.of_sinks(SinkFigures::lost),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "log_sink_faults",
            help: "Failed writes and failed upkeep of the log's sinks.",
            kind: Kind::Counter,
            unit: "faults",
        },
        read: |observed| observed.of_sinks(SinkFigures::faults),
    },
    InstanceMetric {
        info: MetricInfo {
            name: "files_hanging",
            help: "Files and folders that are not looked at, because their file systems do not answer.",
            kind: Kind::Gauge,
            unit: "paths",
        },
        read: |observed| observed.publishes.hanging(),
    },
];

/// One name of the list, and every number that stands under it.
#[derive(Debug)]
pub struct Figure {
    /// The meaning.
    pub info: &'static MetricInfo,
    /// Its numbers: one, or one for each combination of labels.
    pub series: Vec<Series>,
}

/// One number, summed and by worker.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    /// The labels that tell it apart from others of its name. Empty: it is the only one.
    pub labels: Vec<Label>,
    /// The number of the whole instance.
    pub sum: u64,
    /// Its part by each worker. Empty: it is not a worker's.
    pub of_workers: Vec<u64>,
}

impl Observed {
    /// Counters and places, and no look-ups: an instance before its resolver has been asked anything.
    pub fn of(counters: Counters, budgets: Budgets) -> Self {
        let labels = Arc::new(LabelRegistry::new(counters.workers().len()));
        Self {
            counters,
            budgets,
            lookups: Arc::default(),
            publishes: Arc::default(),
            labels,
            state: Arc::default(),
            sinks: AllSinkFigures::default(),
            otlp: OtlpFigures::default(),
            observer: Arc::default(),
            about: Arc::default(),
            shown: watch::Sender::new(Shown::default()).subscribe(),
        }
    }

    fn of_sinks(&self, figure: fn(&SinkFigures) -> u64) -> u64 {
        self.sinks.iter().map(figure).sum()
    }

    /// Every figure, in the order of the list.
    ///
    /// The numbers are read one after the other while the workers go on, so two that belong together may differ by what
    /// happened in between.
    pub fn figures(&self) -> Vec<Figure> {
        let of_instance = INSTANCE_METRICS.iter().map(|entry| Figure {
            info: &entry.info,
            series: vec![Series { labels: Vec::new(), sum: (entry.read)(self), of_workers: Vec::new() }],
        });
        let of_workers =
            WORKER_METRICS.iter().map(|entry| Figure { info: &entry.info, series: self.read(entry) });
        of_instance.chain(self.of_otlp()).chain(of_workers).collect()
    }

    /// What is counted of each signal. Nothing is shown of those that are not sent.
    fn of_otlp(&self) -> impl Iterator<Item = Figure> {
        let series = |entry: &SignalMetric| {
            let of_signal = |figures: &SignalFigures| Series {
                labels: vec![("signal", figures.signal().name())],
                sum: (entry.read)(figures),
                of_workers: Vec::new(),
            };
            self.otlp.iter().map(of_signal).collect::<Vec<_>>()
        };
        let figures =
            SIGNAL_METRICS.iter().map(move |entry| Figure { info: &entry.info, series: series(entry) });
        figures.filter(|figure| !figure.series.is_empty())
    }

    fn read(&self, entry: &WorkerMetric) -> Vec<Series> {
        let mut series: Vec<Series> = Vec::new();
        for worker in self.counters.workers() {
            let mut index = 0;
            (entry.visit)(worker, &mut |labels, value| {
                if index == series.len() {
                    series.push(Series { labels: labels.to_vec(), sum: 0, of_workers: Vec::new() });
                }
                series[index].sum += value;
                series[index].of_workers.push(value);
                index += 1;
            });
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::counters::add;
    use crate::session::{Cause, Phase};
    use std::collections::HashSet;

    #[test]
    fn no_two_figures_have_the_same_name_or_the_same_labels() {
        let observed = Observed::of(Counters::new(1), Budgets::of(1, 5));
        let mut names = HashSet::new();
        for figure in observed.figures() {
            assert!(names.insert(figure.info.name), "{}", figure.info.name);
            let labels: HashSet<_> = figure.series.iter().map(|series| series.labels.clone()).collect();
            assert_eq!(labels.len(), figure.series.len(), "{}", figure.info.name);
        }
    }

    #[test]
    fn sums_what_the_workers_counted_and_keeps_each_ones_part() {
        let observed = Observed::of(Counters::new(3), Budgets::of(7, 5));
        let _permit = observed.budgets.sessions().take();
        observed.lookups.waiters.store(2, Ordering::Relaxed);
        for (worker, connections) in [(0, 5), (2, 7)] {
            add(&observed.counters.worker(worker).connections_accepted, connections);
        }
        observed.counters.worker(1).count_termination(Cause::NoApi, Phase::Head);
        let counted: Vec<_> = observed
            .figures()
            .into_iter()
            .flat_map(|figure| figure.series.into_iter().map(move |series| (figure.info.name, series)))
            .filter(|(_, series)| series.sum > 0)
            .collect();
        let alone = |sum, of_workers: &[u64]| Series { labels: vec![], sum, of_workers: of_workers.to_vec() };
        let ended = Series {
            labels: vec![("cause", "no_api"), ("phase", "head")],
            sum: 1,
            of_workers: vec![0, 1, 0],
        };
        assert_eq!(
            counted,
            [
                ("places_taken", alone(1, &[])),
                ("places_limit", alone(7, &[])),
                ("opening_places_limit", alone(5, &[])),
                ("pending_places_limit", alone(5, &[])),
                ("lookups_limit", alone(64, &[])),
                ("lookup_waiters", alone(2, &[])),
                ("lookup_waiters_limit", alone(65_536, &[])),
                ("connections_accepted", alone(12, &[5, 0, 7])),
                ("terminations", ended),
            ]
        );
    }
}
