//! Sends metrics, the rows of the log, and traces of openings to a receiver, by the protocol of OpenTelemetry (OTLP 1.x: protobuf over
//! HTTP).
//!
//! ```text
//! observer ──rows, traces──► queues ──┐
//!                                     ├─► the exporter's thread (nice +10) ──HTTP──► receiver
//! cells of all workers ──figures──────┘
//! ```
//!
//! The property to trust: an exporter whose receiver is away, slow, or refuses costs counters and a bounded queue, and nobody waits for
//! it but the end of the process, for some seconds.
//!
//! Not here: which openings have traces (`front`), and what is masked in rows (`rows`).

mod client;
mod exporter;
mod figures;
mod logs;
mod metrics;
mod protobuf;
mod queue;
mod spans;
mod values;

pub use figures::{OtlpFigures, SIGNAL_METRICS, Signal, SignalFigures, SignalMetric};

use super::figures::Observed;
use super::opening_trace::OpeningTrace;
use super::sink::{LogRow, RowSink};
use crate::config::OtlpConfig;
use crate::observe::event_ring::wall_ns;
use crate::observe::tables::Ticks;
use crate::process::cores::{CoreIndex, pin_current_thread};
use crate::process::scheduling::come_last;
use client::Client;
use exporter::{Sender, figures_of};
use figures::Outcomes;
use queue::{QUEUE_BYTES_MAX, Queue};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};
use values::Origin;

/// Open files of an exporter: a connection for each signal and one that replaces it, the files of a header field and of TLS, and those
/// of its runtime.
pub const OPEN_FILES: u64 = 12;

/// How long the end of the process waits for the receiver to take the last metrics.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// A running exporter.
#[derive(Debug)]
pub struct Otlp {
    figures: OtlpFigures,
    sink: Option<OtlpSink>,
    /// Whose metrics are sent. `None`: it was said, or there are none to be sent.
    observe: Option<oneshot::Sender<Observed>>,
    over: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Otlp {
    /// Starts one, on these cores; on any if there are none. `folder` is that of the instance file, and `gateway` the name of the
    /// gateway, empty without one.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(
        config: &OtlpConfig,
        folder: &Path,
        gateway: &str,
        cores: Vec<CoreIndex>,
    ) -> io::Result<Self> {
        let of =
            [(Signal::Metrics, config.metrics), (Signal::Logs, config.logs), (Signal::Traces, config.traces)];
        let [metrics, logs, traces] = of.map(|(signal, is_sent)| figures_of(signal, is_sent));
        let all = [&metrics, &logs, &traces].into_iter().flatten().map(Arc::clone).collect();
        let sender = |figures: &Arc<SignalFigures>| Sender {
            client: Client::new(config.clone(), folder.to_owned(), figures.signal()),
            outcomes: Outcomes::of(Arc::clone(figures)),
        };
        let queue_max = config.queue_max as usize;
        let logs = logs.map(|figures| {
            let queue = Queue::<LogRow>::new(Arc::clone(&figures), queue_max, QUEUE_BYTES_MAX);
            (Arc::new(queue), sender(&figures))
        });
        let traces = traces.map(|figures| {
            let queue = Queue::<Arc<OpeningTrace>>::new(Arc::clone(&figures), queue_max, QUEUE_BYTES_MAX);
            (Arc::new(queue), sender(&figures))
        });
        let (close, closing) = watch::channel(false);
        let (flushing, flushed) = mpsc::channel();
        let (over, is_over) = watch::channel(false);
        let (observe, observed) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let sink = (logs.is_some() || traces.is_some()).then(|| OtlpSink {
            logs: logs.as_ref().map(|(queue, _)| Arc::clone(queue)),
            traces: traces.as_ref().map(|(queue, _)| Arc::clone(queue)),
            has_traces: false,
            lost_before: 0,
            close,
            flushed,
        });
        let has_metrics = metrics.is_some();
        let work = Work {
            origin: Origin::of(config, gateway),
            batch_max: config.batch_max as usize,
            logs,
            traces,
            closing,
            flushing,
            metrics: metrics.as_ref().map(sender),
            interval: Duration::from_secs(config.metrics_interval_s),
            observed,
            is_over,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            // Whoever carries sessions comes first. Where the kernel refuses it, telemetry is sent all the same.
            let _ = come_last();
            if !cores.is_empty() {
                let _ = pin_current_thread(&cores);
            }
            runtime.block_on(work.run());
            // A look-up of the receiver's name may hang.
            runtime.shutdown_background();
            // Nobody waits any more if the instance was dropped.
            let _ = end.send(());
        })?;
        Ok(Self {
            figures: OtlpFigures(all),
            sink,
            observe: Some(observe).filter(|_| has_metrics),
            over,
            ended,
        })
    }

    /// What takes rows and traces, for the observer. `None`: only metrics are sent, or it was taken.
    pub fn take_sink(&mut self) -> Option<Box<dyn RowSink>> {
        Some(Box::new(self.sink.take()?))
    }

    /// Its figures.
    pub fn figures(&self) -> OtlpFigures {
        self.figures.clone()
    }

    /// Begins to send the metrics of an instance, if metrics are sent.
    pub fn observe(&mut self, observed: Observed) {
        if let Some(observe) = self.observe.take() {
            // The thread lives until it is told to end.
            let _ = observe.send(observed);
        }
    }

    /// Sends the last metrics, and ends the thread. Rows and traces were sent when the log was ended. It takes some seconds at most.
    pub async fn end(self) {
        let Self { figures: _, sink, observe, over, ended } = self;
        // One that nobody took ends with this.
        drop((sink, observe));
        over.send_replace(true);
        if timeout(END_PATIENCE, ended).await.is_err() {
            tracing::warn!(
                "the otlp receiver did not take the last telemetry within {} s",
                END_PATIENCE.as_secs()
            );
        }
    }
}

/// What the exporter's thread works with.
struct Work {
    origin: Origin,
    batch_max: usize,
    logs: Option<(Arc<Queue<LogRow>>, Sender)>,
    traces: Option<(Arc<Queue<Arc<OpeningTrace>>>, Sender)>,
    /// Whether no more rows and traces come.
    closing: watch::Receiver<bool>,
    /// Dropped when all of them are sent.
    flushing: mpsc::Sender<()>,
    metrics: Option<Sender>,
    /// Between two exports of metrics.
    interval: Duration,
    /// Whose metrics these are.
    observed: oneshot::Receiver<Observed>,
    is_over: watch::Receiver<bool>,
}

impl Work {
    /// Sends all three signals, each by itself, to their ends.
    async fn run(self) {
        let Self { origin, batch_max, logs, traces, closing, flushing, metrics, interval, observed, is_over } =
            self;
        let send_logs = async {
            let Some((queue, sender)) = logs else { return };
            let encode =
                |rows: &[LogRow]| (logs::request(&origin, rows.iter(), wall_ns()), rows.len() as u64);
            sender.send_all(queue, batch_max, closing.clone(), encode).await;
        };
        let send_traces = async {
            let Some((queue, sender)) = traces else { return };
            let encode = |traces: &[Arc<OpeningTrace>]| {
                let spans = traces.iter().map(|trace| spans::count(trace)).sum();
                (spans::request(&origin, traces.iter().map(Arc::as_ref)), spans)
            };
            sender.send_all(queue, batch_max, closing.clone(), encode).await;
        };
        let send_rows = async {
            tokio::join!(send_logs, send_traces);
            drop(flushing);
        };
        let send_metrics = async {
            let Some(sender) = metrics else { return };
            sender.send_metrics(observed, &origin, interval, is_over).await;
        };
        tokio::join!(send_rows, send_metrics);
    }
}

/// Takes rows and traces for the exporter.
#[derive(Debug)]
struct OtlpSink {
    logs: Option<Arc<Queue<LogRow>>>,
    traces: Option<Arc<Queue<Arc<OpeningTrace>>>>,
    /// Some were pushed, and the exporter was not woken.
    has_traces: bool,
    /// What was lost when it was told of its end.
    lost_before: u64,
    close: watch::Sender<bool>,
    /// Disconnected when both signals are sent to their ends.
    flushed: mpsc::Receiver<()>,
}

impl OtlpSink {
    /// Log records and spans that are lost so far.
    fn lost(&self) -> u64 {
        self.logs.as_ref().map_or(0, |queue| queue.lost())
            + self.traces.as_ref().map_or(0, |queue| queue.lost())
    }
}

impl RowSink for OtlpSink {
    fn take(&mut self, rows: &[LogRow]) {
        let Some(queue) = &self.logs else { return };
        for row in rows {
            queue.push(row.clone(), row.bytes(), 1);
        }
        queue.wake();
    }

    fn take_trace(&mut self, trace: &Arc<OpeningTrace>) {
        let Some(queue) = &self.traces else { return };
        let spans = spans::count(trace);
        queue.push(Arc::clone(trace), trace.bytes(), spans);
        self.has_traces = true;
    }

    fn turn(&mut self, _now: Ticks) {
        // Once for all that came with a batch of events.
        if let Some(queue) = self.traces.as_ref().filter(|_| std::mem::take(&mut self.has_traces)) {
            queue.wake();
        }
    }

    fn end(&mut self) {
        self.lost_before = self.lost();
        self.close.send_replace(true);
    }

    fn close(self: Box<Self>, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.flushed.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
            if let Some(queue) = &self.logs {
                queue.give_up(|_| 1);
            }
            if let Some(queue) = &self.traces {
                queue.give_up(|trace| spans::count(trace));
            }
        }
        let lost = self.lost() - self.lost_before;
        if lost > 0 {
            tracing::warn!(lost, "the otlp receiver did not take the last log records and spans");
        }
    }
}
