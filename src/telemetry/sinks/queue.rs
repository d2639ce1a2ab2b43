//! A sink that writes on a thread of its own: a bounded queue of rows, and what became of them.
//!
//! ```text
//! observer ── rows ─► queue (bounded, lock-free) ─► batches ─► one thread (nice +10) ─► file, socket, store
//! ```
//!
//! The property to trust: taking a row never waits, whatever the disk or the peer does. The queue has a bound in rows and one in bytes. A
//! row that finds no room is dropped and counted; so is a row that could not be written. The reason is logged at once, then once a minute
//! at most, and shown as long as it lasts.
//!
//! Not here: how rows are written (the [`RowWriter`]s beside this file, and the store's).

use crate::observe::event_ring::wall_ns;
use crate::observe::tables::Ticks;
use crate::process::scheduling::come_last;
use crate::telemetry::sink::{LogRow, RowSink};
use crossbeam_queue::ArrayQueue;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most rows that wait for a sink's writer. Over it, rows are dropped and counted. About two seconds of 2,500 openings a second.
pub const QUEUE_ROWS_MAX: usize = 32_768;

/// Most bytes of the rows that wait for a sink's writer and of those that it is writing. Over it, rows are dropped and counted. As
/// many rows of usual size as may wait take some 40 MiB.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Most rows that are written at once.
pub const BATCH_ROWS_MAX: usize = 8192;

/// Bytes of rows from which on no more are written at once.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

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
    ///
    /// # Errors
    /// What is lost by it.
    fn close(&mut self) -> Result<(), WriteFault> {
        Ok(())
    }
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
    /// Bytes of the rows in the queue and of those that are being written.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Rows that the writer has taken out of the queue, and of which nobody has counted yet what became of them.
    in_hands: AtomicU64,
    figures: Arc<SinkFigures>,
    /// The writer has found the queue empty, and waits.
    is_idle: AtomicBool,
    is_ending: AtomicBool,
    /// Nobody waits for the writer any longer: what it has not written counts as lost.
    is_given_up: AtomicBool,
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

    /// Whether a batch, or half of the queue, waits.
    fn is_much(&self) -> bool {
        self.rows.len() >= (self.rows.capacity() / 2).min(BATCH_ROWS_MAX)
            || self.bytes.load(Ordering::Relaxed) >= (self.bytes_max / 2).min(BATCH_BYTES_MAX)
    }

    /// Counts as lost what is not written. What is being written may be written all the same, or in part: nobody will know.
    fn give_up(&self) -> u64 {
        self.is_given_up.store(true, Ordering::SeqCst);
        let in_queue = std::iter::from_fn(|| self.rows.pop()).count() as u64;
        let lost = self.in_hands.swap(0, Ordering::SeqCst) + in_queue;
        self.figures.lost.fetch_add(lost, Ordering::Relaxed);
        lost
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
        Self::with_room(figures, writer, QUEUE_ROWS_MAX, QUEUE_BYTES_MAX)
    }

    fn with_room<W: RowWriter>(
        figures: Arc<SinkFigures>,
        writer: W,
        rows_max: usize,
        bytes_max: usize,
    ) -> io::Result<Self> {
        let name = format!("log-{}", figures.name);
        let shared = Arc::new(Shared {
            rows: ArrayQueue::new(rows_max),
            bytes: AtomicUsize::new(0),
            bytes_max,
            in_hands: AtomicU64::new(0),
            figures,
            is_idle: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
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

    /// Takes a row, or drops and counts it. One thread at a time may call it.
    fn push(&self, row: LogRow) {
        let shared = &*self.0;
        let bytes = row.bytes();
        // Others only make it less.
        let is_room = shared.bytes.load(Ordering::Relaxed) + bytes <= shared.bytes_max;
        if is_room {
            shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            if shared.rows.push(row).is_ok() {
                return;
            }
            shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        shared.figures.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the writer see what was pushed, if it waits for something to do.
    fn wake(&self) {
        if self.0.is_much() || self.0.is_idle.swap(false, Ordering::SeqCst) {
            self.0.wake_writer();
        }
    }
}

impl RowSink for QueuedSink {
    fn take(&mut self, rows: &[LogRow]) {
        rows.iter().for_each(|row| self.push(row.clone()));
        self.wake();
    }

    fn turn(&mut self, _now: Ticks) {}

    fn end(&mut self) {
        self.0.is_ending.store(true, Ordering::SeqCst);
        self.0.wake_writer();
    }

    fn close(self: Box<Self>, deadline: Instant) {
        let shared = &*self.0;
        let _ = shared.waiter.set(thread::current());
        while !shared.has_ended.load(Ordering::SeqCst) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let rows = shared.give_up();
                let sink = shared.figures.name;
                tracing::warn!(sink, rows, "the last rows of the log were not written in time, and are lost");
                return;
            }
            thread::park_timeout(left);
        }
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
            let bytes = self.take_batch(&mut batch);
            if self.shared.is_given_up.load(Ordering::SeqCst) {
                // Whatever of it was not counted then.
                let _ = self.shared.give_up();
                return;
            }
            let written = self.writer.write(&batch, now());
            batch.clear();
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            match self.shared.in_hands.swap(0, Ordering::SeqCst) {
                // Given up meanwhile.
                0 => return,
                rows => self.judge(Work::Rows, written, rows),
            }
        }
        let closed = self.writer.close();
        if closed.is_err() {
            self.judge(Work::Upkeep, closed, 0);
        }
        self.shared.has_ended.store(true, Ordering::SeqCst);
        if let Some(waiter) = self.shared.waiter.get() {
            waiter.unpark();
        }
    }

    /// Takes rows out of the queue; gives their bytes.
    fn take_batch(&self, batch: &mut Vec<LogRow>) -> usize {
        let mut bytes = 0;
        while batch.len() < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(row) = self.shared.rows.pop() else { break };
            bytes += row.bytes();
            batch.push(row);
        }
        self.shared.in_hands.store(batch.len() as u64, Ordering::SeqCst);
        bytes
    }

    /// Waits until a batch is worth its cost.
    fn gather(&self) {
        let due_at = Instant::now() + W::PATIENCE;
        while !self.shared.is_much() && !self.shared.is_ending.load(Ordering::SeqCst) {
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
    use crate::telemetry::sink::close_all;
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

    /// A sink whose writer is held until the gate is opened, its figures, and the sizes of the batches that it writes.
    struct Held {
        sink: Box<QueuedSink>,
        figures: Arc<SinkFigures>,
        gate: Sender<Result<(), WriteFault>>,
        written: Receiver<usize>,
    }

    fn held(rows_max: usize, bytes_max: usize) -> Held {
        let figures = Arc::new(SinkFigures::new("test"));
        let (gate, open) = channel();
        let (sender, written) = channel();
        let writer = Gated { open, written: sender };
        let sink = QueuedSink::with_room(Arc::clone(&figures), writer, rows_max, bytes_max);
        Held { sink: Box::new(sink.expect("a thread")), figures, gate, written }
    }

    /// Has the writer take a first row, and hold it.
    fn hold_one(held: &mut Held, row: LogRow) {
        held.sink.take(&[row]);
        while !held.sink.0.rows.is_empty() {
            thread::yield_now();
        }
    }

    /// Closes a sink whose writer is not held.
    fn close(mut sink: Box<QueuedSink>) {
        sink.end();
        sink.close(Instant::now() + Duration::from_secs(60));
    }

    #[test]
    fn a_full_queue_drops_and_counts_rows_and_never_waits() {
        let mut held = held(4, QUEUE_BYTES_MAX);
        hold_one(&mut held, row());
        held.sink.take(&vec![row(); 10]);
        let Held { sink, figures, gate, written } = held;
        assert_eq!(figures.dropped(), 6);
        drop(gate);
        close(sink);
        assert_eq!(written.iter().sum::<usize>(), 5);
        assert_eq!((figures.written(), figures.dropped(), figures.lost()), (5, 6, 0));
    }

    #[test]
    fn a_queue_of_large_rows_is_full_by_their_bytes_and_so_is_a_batch() {
        let large: LogRow =
            ConnectionRow { error: "x".repeat(128 << 10).into(), ..ConnectionRow::default() }.into();
        let fitting = QUEUE_BYTES_MAX / large.bytes();
        assert!(fitting < QUEUE_ROWS_MAX / 10);
        let mut held = held(QUEUE_ROWS_MAX, QUEUE_BYTES_MAX);
        hold_one(&mut held, large.clone());
        held.sink.take(&vec![large.clone(); QUEUE_ROWS_MAX]);
        let bytes = |sink: &QueuedSink| sink.0.bytes.load(Ordering::Relaxed);
        // The one that is being written counts too.
        assert_eq!(bytes(&held.sink), fitting * large.bytes());
        assert_eq!(held.figures.dropped() as usize, QUEUE_ROWS_MAX - (fitting - 1));
        drop(held.gate);
        let mut batches = Vec::new();
        while batches.iter().sum::<usize>() < fitting {
            batches.push(held.written.recv().expect("a batch"));
        }
        assert!(
            batches.iter().all(|rows| rows * large.bytes() < BATCH_BYTES_MAX + large.bytes()),
            "{batches:?}"
        );
        while bytes(&held.sink) > 0 {
            thread::yield_now();
        }
        let dropped = held.figures.dropped();
        held.sink.take(&vec![large; 10]);
        close(held.sink);
        assert_eq!((held.figures.written() as usize, held.figures.dropped()), (fitting + 10, dropped));
    }

    #[test]
    fn what_is_not_written_by_the_deadline_counts_as_lost_once_wherever_it_is() {
        let mut held = held(10, QUEUE_BYTES_MAX);
        hold_one(&mut held, row());
        held.sink.take(&vec![row(); 3]);
        held.sink.end();
        held.sink.close(Instant::now());
        // It goes on behind everybody's back.
        drop(held.gate);
        // Until its thread has ended.
        let _ = held.written.iter().count();
        assert_eq!((held.figures.written(), held.figures.lost()), (0, 4));
    }

    #[test]
    fn sinks_are_closed_at_the_same_time() {
        let (mut first, mut second) = (held(10, QUEUE_BYTES_MAX), held(10, QUEUE_BYTES_MAX));
        first.sink.take(&[row()]);
        second.sink.take(&[row()]);
        drop(second.gate);
        // The first one writes when the thread of the second has ended.
        let (seen, of_first) = (second.written, first.gate);
        let waiting = thread::spawn(move || {
            let _ = seen.iter().count();
            drop(of_first);
        });
        close_all(vec![first.sink, second.sink], Instant::now() + Duration::from_secs(60));
        waiting.join().unwrap();
        for figures in [first.figures, second.figures] {
            assert_eq!((figures.written(), figures.lost()), (1, 0));
        }
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_shown_until_it_can_again() {
        let Held { mut sink, figures, gate, written } = held(10, QUEUE_BYTES_MAX);
        let fault = WriteFault { rows_lost: 2, reason: "no space left".to_owned() };
        gate.send(Err(fault)).unwrap();
        sink.take(&vec![row(); 3]);
        written.recv().unwrap();
        while figures.fault().is_none() {
            thread::yield_now();
        }
        assert_eq!(figures.fault().as_deref(), Some("no space left"));
        gate.send(Ok(())).unwrap();
        sink.take(&[row()]);
        close(sink);
        assert_eq!(figures.fault(), None);
        assert_eq!((figures.written(), figures.lost(), figures.faults()), (2, 2, 1));
    }
}
