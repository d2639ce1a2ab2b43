//! A sink that writes on a thread of its own: a bounded queue of rows, and what became of them.
//!
//! ```text
//! observer ── rows ─► queue (bounded, lock-free) ─► batches ─► one thread (nice +10) ─► file, socket, store
//! ```
//!
//! The property to trust: taking a row never waits, whatever the disk or the peer does. A row that finds no room is dropped and counted;
//! so is a row that could not be written. The reason is logged at once, then once a minute at most, and shown as long as it lasts.
//!
//! Not here: how rows are written (the [`RowWriter`]s beside this file, and the store's).

use crate::observe::event_ring::wall_ns;
use crate::observe::tables::Ticks;
use crate::process::scheduling::come_last;
use crate::telemetry::sink::{LogRow, RowSink};
use crossbeam_queue::ArrayQueue;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most rows that wait for a sink's writer. Over it, rows are dropped and counted. About two seconds of 2,500 openings a second;
/// full, it holds some 40 MiB.
pub const QUEUE_ROWS_MAX: usize = 32_768;

/// Most rows that are written at once.
pub const BATCH_ROWS_MAX: usize = 8192;

/// How long the end of a sink waits for its writer. What is not written by then counts as lost.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How often a writer is called for its upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Least time between two lines of the process's log about the same sink.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// Rows that could not be written, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFault {
    /// How many rows are lost by it.
    pub rows_lost: u64,
    /// Why, and what to do about it.
    pub reason: String,
}

/// What writes rows. It runs on a thread of its own and may wait.
pub trait RowWriter: Send + 'static {
    /// How long the first row of a batch waits for others.
    const PATIENCE: Duration;

    /// Writes the rows; what is lost, it does not keep.
    ///
    /// # Errors
    /// How many of them could not be written, and why.
    fn write(&mut self, rows: &[LogRow], now: Ticks) -> Result<(), WriteFault>;

    /// Is called about once a second, with rows and without.
    ///
    /// # Errors
    /// What cannot be done.
    fn upkeep(&mut self, now: Ticks) -> Result<(), WriteFault>;

    /// Is called once, behind the last row.
    fn close(&mut self) {}
}

/// The figures of one sink.
#[derive(Debug)]
pub struct SinkFigures {
    name: &'static str,
    written: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    faults: AtomicU64,
    fault: watch::Sender<Option<String>>,
}

impl SinkFigures {
    /// Figures of a sink that has done nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            fault: watch::Sender::new(None),
        }
    }

    /// The sink's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Rows that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Rows that found its queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Rows that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Failed writes, and failed upkeep.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// What is wrong since the last write; `None`: nothing.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }
}

/// The state that the observer and the writer's thread share.
#[derive(Debug)]
struct Shared {
    rows: ArrayQueue<LogRow>,
    figures: Arc<SinkFigures>,
    /// The writer has found the queue empty, and waits.
    is_idle: AtomicBool,
    is_ending: AtomicBool,
    has_ended: AtomicBool,
    writer: OnceLock<Thread>,
    waiter: OnceLock<Thread>,
}

impl Shared {
    fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

/// A sink with a thread of its own.
#[derive(Debug)]
pub struct QueuedSink(Arc<Shared>);

impl QueuedSink {
    /// Starts the thread, which is named after the sink.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start<W: RowWriter>(figures: Arc<SinkFigures>, writer: W) -> io::Result<Self> {
        Self::with_room(figures, writer, QUEUE_ROWS_MAX)
    }

    fn with_room<W: RowWriter>(figures: Arc<SinkFigures>, writer: W, rows_max: usize) -> io::Result<Self> {
        let name = format!("log-{}", figures.name);
        let shared = Arc::new(Shared {
            rows: ArrayQueue::new(rows_max),
            figures,
            is_idle: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            writer: OnceLock::new(),
            waiter: OnceLock::new(),
        });
        let of_thread = Writing { shared: Arc::clone(&shared), writer, told: Default::default() };
        let run = move || {
            // Whoever carries sessions comes first. Where the kernel refuses it, rows are written all the same.
            let _ = come_last();
            of_thread.run();
        };
        let thread = thread::Builder::new().name(name).spawn(run)?;
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Self(shared))
    }

    /// Takes a row, or drops and counts it.
    pub fn push(&self, row: LogRow) {
        if self.0.rows.push(row).is_err() {
            self.0.figures.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the writer see what was pushed, if it waits for something to do.
    pub fn wake(&self) {
        let is_much = self.0.rows.len() >= (self.0.rows.capacity() / 2).min(BATCH_ROWS_MAX);
        if is_much || self.0.is_idle.swap(false, Ordering::SeqCst) {
            self.0.wake_writer();
        }
    }

    /// Waits until everything in the queue is written, for a bounded time; what is left then counts as lost.
    pub fn finish(&self) {
        let deadline = Instant::now() + CLOSE_PATIENCE;
        let _ = self.0.waiter.set(thread::current());
        self.0.is_ending.store(true, Ordering::SeqCst);
        self.0.wake_writer();
        while !self.0.has_ended.load(Ordering::Acquire) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let figures = &self.0.figures;
                let rows = self.0.rows.len();
                figures.lost.fetch_add(rows as u64, Ordering::Relaxed);
                tracing::warn!(
                    sink = figures.name,
                    rows,
                    "the log's rows were not written within {} s and are lost",
                    CLOSE_PATIENCE.as_secs()
                );
                return;
            }
            thread::park_timeout(left);
        }
    }
}

impl RowSink for QueuedSink {
    fn take(&mut self, rows: &[LogRow]) {
        rows.iter().for_each(|row| self.push(row.clone()));
        self.wake();
    }

    fn turn(&mut self, _now: Ticks) {}

    fn close(self: Box<Self>) {
        self.finish();
    }
}

/// What a writer does: rows and upkeep fail apart, and one that goes well says nothing about the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Rows,
    Upkeep,
}

/// A fault of one kind of work: what it is now, whether it was logged, when one was logged last, and what was lost since.
#[derive(Debug, Default)]
struct Told {
    fault: Option<String>,
    is_logged: bool,
    at: Option<Instant>,
    rows_lost: u64,
}

/// The writer's thread.
struct Writing<W> {
    shared: Arc<Shared>,
    writer: W,
    /// By [`Work`].
    told: [Told; 2],
}

impl<W: RowWriter> Writing<W> {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_ROWS_MAX);
        let mut upkeep_due_at = Instant::now();
        loop {
            // Read before the queue: what was pushed before the end is written.
            let is_ending = self.shared.is_ending.load(Ordering::SeqCst);
            if Instant::now() >= upkeep_due_at {
                let done = self.writer.upkeep(now());
                self.judge(Work::Upkeep, done, 0);
                upkeep_due_at = Instant::now() + UPKEEP_INTERVAL;
            }
            if self.shared.rows.is_empty() {
                if is_ending {
                    break;
                }
                self.shared.is_idle.store(true, Ordering::SeqCst);
                if self.shared.rows.is_empty() && !self.shared.is_ending.load(Ordering::SeqCst) {
                    thread::park_timeout(UPKEEP_INTERVAL);
                }
                self.shared.is_idle.store(false, Ordering::SeqCst);
                continue;
            }
            self.gather();
            batch.extend(std::iter::from_fn(|| self.shared.rows.pop()).take(BATCH_ROWS_MAX));
            let written = self.writer.write(&batch, now());
            self.judge(Work::Rows, written, batch.len() as u64);
            batch.clear();
        }
        self.writer.close();
        self.shared.has_ended.store(true, Ordering::Release);
        if let Some(waiter) = self.shared.waiter.get() {
            waiter.unpark();
        }
    }

    /// Waits until a batch is worth its cost.
    fn gather(&self) {
        let due_at = Instant::now() + W::PATIENCE;
        let enough = (self.shared.rows.capacity() / 2).min(BATCH_ROWS_MAX);
        while self.shared.rows.len() < enough && !self.shared.is_ending.load(Ordering::SeqCst) {
            let left = due_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Counts what became of so many rows, and says what is wrong, or no longer is.
    fn judge(&mut self, work: Work, done: Result<(), WriteFault>, rows: u64) {
        let figures = &self.shared.figures;
        let told = &mut self.told[work as usize];
        match done {
            Ok(()) => {
                figures.written.fetch_add(rows, Ordering::Relaxed);
                if told.fault.take().is_none() {
                    return;
                }
                let sink = figures.name;
                match (std::mem::take(&mut told.is_logged), work) {
                    (false, _) => {}
                    (true, Work::Rows) => {
                        let lost = std::mem::take(&mut told.rows_lost);
                        tracing::info!(sink, lost, "rows of the log can be written again");
                    }
                    (true, Work::Upkeep) => tracing::info!(sink, "upkeep of the log works again"),
                }
            }
            Err(fault) => {
                figures.written.fetch_add(rows.saturating_sub(fault.rows_lost), Ordering::Relaxed);
                figures.lost.fetch_add(fault.rows_lost, Ordering::Relaxed);
                figures.faults.fetch_add(1, Ordering::Relaxed);
                told.rows_lost += fault.rows_lost;
                // By the time alone: a fault that comes and goes is no reason for a line each time.
                if told.at.is_none_or(|at| at.elapsed() >= TOLD_INTERVAL) {
                    let (sink, lost) = (figures.name, std::mem::take(&mut told.rows_lost));
                    match work {
                        Work::Rows => {
                            tracing::warn!(sink, lost, "cannot write the log's rows: {}", fault.reason)
                        }
                        Work::Upkeep => {
                            tracing::warn!(sink, "cannot keep the log in order: {}", fault.reason)
                        }
                    }
                    told.at = Some(Instant::now());
                    told.is_logged = true;
                }
                told.fault = Some(fault.reason);
            }
        }
        let [of_rows, of_upkeep] = &self.told;
        figures.fault.send_replace(of_rows.fault.clone().or_else(|| of_upkeep.fault.clone()));
    }
}

/// The time of the host's clock.
pub fn now() -> Ticks {
    Ticks::from_unix_ns(wall_ns())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::ConnectionRow;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Writes when it is let, and passes on how many rows it was given.
    struct Gated {
        open: Receiver<Result<(), WriteFault>>,
        written: Sender<usize>,
    }

    impl RowWriter for Gated {
        const PATIENCE: Duration = Duration::ZERO;

        fn write(&mut self, rows: &[LogRow], _: Ticks) -> Result<(), WriteFault> {
            let result = self.open.recv().unwrap_or(Ok(()));
            let _ = self.written.send(rows.len());
            result
        }

        fn upkeep(&mut self, _: Ticks) -> Result<(), WriteFault> {
            Ok(())
        }
    }

    fn row() -> LogRow {
        ConnectionRow::default().into()
    }

    #[test]
    fn a_full_queue_drops_and_counts_rows_and_never_waits() {
        let figures = Arc::new(SinkFigures::new("test"));
        let (open, gate) = channel();
        let (written, seen) = channel();
        let sink = QueuedSink::with_room(Arc::clone(&figures), Gated { open: gate, written }, 4);
        let mut sink = Box::new(sink.expect("a thread"));
        // The first is in the writer's hands, which are held.
        sink.take(&[row()]);
        while !sink.0.rows.is_empty() {
            thread::yield_now();
        }
        sink.take(&vec![row(); 10]);
        assert_eq!(figures.dropped(), 6);
        open.send(Ok(())).unwrap();
        drop(open);
        sink.close();
        assert_eq!(seen.iter().sum::<usize>(), 5);
        assert_eq!((figures.written(), figures.dropped(), figures.lost()), (5, 6, 0));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_shown_until_it_can_again() {
        let figures = Arc::new(SinkFigures::new("test"));
        let (open, gate) = channel();
        let (written, seen) = channel();
        let sink = QueuedSink::start(Arc::clone(&figures), Gated { open: gate, written });
        let mut sink = Box::new(sink.expect("a thread"));
        let fault = WriteFault { rows_lost: 2, reason: "no space left".to_owned() };
        open.send(Err(fault)).unwrap();
        sink.take(&vec![row(); 3]);
        seen.recv().unwrap();
        while figures.fault().is_none() {
            thread::yield_now();
        }
        assert_eq!(figures.fault().as_deref(), Some("no space left"));
        open.send(Ok(())).unwrap();
        sink.take(&[row()]);
        sink.close();
        assert_eq!(figures.fault(), None);
        assert_eq!((figures.written(), figures.lost(), figures.faults()), (2, 2, 1));
    }
}
