//! The writer of a log: takes texts from the queue, and writes them in pieces of whole lines.
//!
//! ```text
//! batch:  [line end, if a write broke off within a line] [how many lines were dropped] line line line …
//!          └───────────────────────── own ────────────────────────────────────────────┘
//! ```
//!
//! A batch that cannot be written is dropped. The count of its notice is carried over to the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{Entry, Output, Shared, Upkeep, count_lines};
use crate::process::log::line;

/// Bytes that are written at once; a longer text is written by itself. A pipe takes so many in one piece (PIPE_BUF, pipe(7)), so
/// that lines of other processes on the same pipe do not come in between.
const BATCH_BYTES: usize = 4096;

/// How long the writer rests where there is something to be done later: upkeep, or dropped lines that could not be told.
const REST: Duration = Duration::from_secs(1);

/// The rest after a write that would have had to wait, beyond the waiting itself: so that no kind of descriptor makes it spin.
const REST_AFTER_WAIT: Duration = Duration::from_millis(1);

/// Lines that were dropped and not told yet.
#[derive(Debug, Default)]
struct Dropped {
    /// Those that found the queue full.
    without_room: u64,
    /// Those that could not be written.
    not_written: u64,
    /// Why the last of these could not.
    error: Option<io::Error>,
}

impl Dropped {
    fn lines(&self) -> u64 {
        self.without_room + self.not_written
    }

    fn add(&mut self, other: Self) {
        self.without_room += other.without_room;
        self.not_written += other.not_written;
        self.error = self.error.take().or(other.error);
    }

    /// The line that reports it. Always in the plural, so that one search finds all.
    fn describe(&self) -> String {
        let mut reasons = Vec::new();
        if self.without_room > 0 {
            reasons.push(format!("{} for lack of room in the queue", self.without_room));
        }
        if let Some(error) = self.error.as_ref().filter(|_| self.not_written > 0) {
            reasons.push(format!("{} that could not be written: {error}", self.not_written));
        }
        line("WARN", &format!("{} log lines were dropped ({})", self.lines(), reasons.join(", ")))
    }
}

pub(super) struct Writer<O> {
    shared: Arc<Shared>,
    output: O,
    upkeep: Upkeep,
    upkeep_due_at: Option<Instant>,
    batch: Vec<u8>,
    /// Bytes at the start of the batch that are of the writer itself.
    own: usize,
    /// The number of dropped lines that the batch reports.
    told: Dropped,
    untold: Dropped,
    /// A write broke off within a line.
    is_within_line: bool,
}

impl<O: Output> Writer<O> {
    pub(super) fn new(shared: Arc<Shared>, output: O, upkeep: Upkeep) -> Self {
        Self {
            shared,
            output,
            upkeep,
            upkeep_due_at: None,
            batch: Vec::with_capacity(BATCH_BYTES),
            own: 0,
            told: Dropped::default(),
            untold: Dropped::default(),
            is_within_line: false,
        }
    }

    /// Writes until the log ends.
    pub(super) fn run(mut self) {
        loop {
            // Read before the queue is emptied: what was logged before the end is written.
            let is_ending = self.shared.is_ending.load(Ordering::Acquire);
            self.do_upkeep(is_ending);
            let all_written = self.write_queue();
            // What came meanwhile stands before the lines that had no room behind it.
            if !self.shared.entries.is_empty() {
                continue;
            }
            self.untold.without_room += self.shared.dropped_untold.swap(0, Ordering::Relaxed);
            // Where a write has just failed, one more would fail too: it is tried again after a rest.
            if self.untold.lines() > 0 && all_written {
                self.begin_batch();
                self.write_batch();
            }
            if is_ending {
                break;
            }
            // Looked at last: a wake-up that came before may be used up, by an output that parks this thread too.
            if self.shared.has_news() {
                continue;
            }
            if self.untold.lines() > 0 || self.upkeep_due_at.is_some() {
                thread::park_timeout(REST);
            } else {
                thread::park();
            }
        }
        self.shared.has_ended.store(true, Ordering::Release);
        if let Some(waiter) = self.shared.waiter.get() {
            waiter.unpark();
        }
    }

    fn do_upkeep(&mut self, is_ending: bool) {
        let now = Instant::now();
        if is_ending || self.upkeep_due_at.is_none_or(|due_at| due_at <= now) {
            self.upkeep_due_at = (self.upkeep)(is_ending).then(|| now + REST);
        }
    }

    /// Writes all that is in the queue. Gives whether all of it was written, and nothing dropped.
    fn write_queue(&mut self) -> bool {
        let mut all_written = true;
        while let Some(entry) = self.shared.pop() {
            all_written &= self.add(&entry);
        }
        all_written & self.write_batch()
    }

    /// Adds a text to the batch, which is written first where the text would not fit, or lines were dropped in between.
    fn add(&mut self, entry: &Entry) -> bool {
        let is_apart = entry.dropped_before > 0 || self.batch.len() + entry.text.len() > BATCH_BYTES;
        let is_written = !is_apart || self.write_batch();
        self.untold.without_room += entry.dropped_before;
        if self.batch.is_empty() {
            self.begin_batch();
        }
        self.batch.extend_from_slice(entry.text.as_bytes());
        is_written
    }

    /// Begins a batch with the writer's own notices.
    fn begin_batch(&mut self) {
        if self.is_within_line {
            self.batch.push(b'\n');
        }
        if self.untold.lines() > 0 {
            self.told = std::mem::take(&mut self.untold);
            self.batch.extend_from_slice(self.told.describe().as_bytes());
        }
        self.own = self.batch.len();
    }

    /// Writes the batch, or drops it. Gives whether it was written.
    fn write_batch(&mut self) -> bool {
        let (written, result) = write_all(&mut self.output, &self.batch);
        if let Some(last) = written.checked_sub(1) {
            self.is_within_line = self.batch[last] != b'\n';
        }
        let told = std::mem::take(&mut self.told);
        let is_written = result.is_ok();
        if let Err(error) = result {
            let lost = count_lines(&self.batch[written.max(self.own)..]);
            self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
            self.untold.add(Dropped { without_room: 0, not_written: lost, error: Some(error) });
            if written < self.own {
                self.untold.add(told);
            }
        }
        self.batch.clear();
        // A long text has made it large.
        self.batch.shrink_to(BATCH_BYTES);
        self.own = 0;
        is_written
    }
}

/// Writes all of `bytes`; on an error, gives how many were written before it.
fn write_all(output: &mut impl Output, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                output.wait();
                thread::park_timeout(REST_AFTER_WAIT);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
