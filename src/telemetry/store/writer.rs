//! The writer of the store: batches into the newest segment, new segments, retention, and what it does about faults.
//!
//! - Full disk, folder that may not be written to: the batch is lost and counted; the next one is tried again.
//! - Damaged segment: set aside (`.damaged`), and a new one begun, into which the batch goes.
//! - Segment of another version: left as it is, and a new one begun.
//! - Counts of usage that cannot be stored: put back, and stored with the next ones.

use super::retention::{Retention, delete, expired, list};
use super::segment::{Segment, SegmentFault, finish, set_aside};
use super::usage::{TakenUsage, Usage};
use crate::observe::tables::Ticks;
use crate::process::files::reason;
use crate::process::scheduling::come_last;
use crate::telemetry::sink::{LogRow, RowSink};
use crate::telemetry::sinks::queue::{QueuedSink, RowWriter, SinkFigures, WriteFault, now};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a segment's write-ahead log at which a new segment is begun. It grows so large only while a query holds the segment. With
/// the batch that passes it, it stays below 256 MiB.
const WAL_BYTES_MAX: u64 = 192 << 20;

/// How often retention is applied, in ticks: 10 s.
const RETENTION_INTERVAL: i64 = 10 * Ticks::PER_SECOND;

/// The store as a sink: counts usage, and gives the rows to the writer's thread.
#[derive(Debug)]
pub struct StoreSink {
    queue: Box<QueuedSink>,
    usage: Usage,
}

impl StoreSink {
    /// Starts the store in a folder, which is made if it does not exist.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(folder: PathBuf, retention: Retention, figures: Arc<SinkFigures>) -> io::Result<Self> {
        let writer = StoreWriter::new(folder, retention);
        let usage = writer.usage.clone();
        Ok(Self { queue: Box::new(QueuedSink::start(figures, writer)?), usage })
    }
}

impl RowSink for StoreSink {
    fn take(&mut self, rows: &[LogRow]) {
        self.usage.count(rows);
        self.queue.take(rows);
    }

    fn count_left_out(&mut self, rows: &[LogRow]) {
        self.usage.count(rows);
    }

    fn turn(&mut self, now: Ticks) {
        self.queue.turn(now);
    }

    fn end(&mut self) {
        self.queue.end();
    }

    fn close(self: Box<Self>, deadline: Instant) {
        self.queue.close(deadline);
    }
}

/// Writes rows into segments.
#[derive(Debug)]
pub struct StoreWriter {
    folder: PathBuf,
    retention: Retention,
    segment: Option<Segment>,
    /// Segments of this and earlier runs that are not finished yet.
    unfinished: Vec<PathBuf>,
    finishing: Option<(PathBuf, JoinHandle<Result<(), SegmentFault>>)>,
    retained_at: Option<Ticks>,
    usage: Usage,
}

impl StoreWriter {
    /// A writer of the store in a folder.
    pub fn new(folder: PathBuf, retention: Retention) -> Self {
        Self {
            folder,
            retention,
            segment: None,
            unfinished: Vec::new(),
            finishing: None,
            retained_at: None,
            usage: Usage::default(),
        }
    }

    /// The counts of usage that it stores.
    #[cfg(test)]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The segment to write to: the one that is open, else the newest one if it can be gone on with, else a new one.
    fn segment(&mut self, now: Ticks) -> Result<&mut Segment, String> {
        let over = self.segment.take_if(|segment| is_over(segment, now, &self.retention));
        if let Some(over) = over {
            self.unfinished.push(over.path().to_owned());
            self.segment = Some(self.create(now)?);
        }
        if self.segment.is_none() {
            self.segment = Some(self.open(now)?);
        }
        Ok(self.segment.as_mut().expect("it was opened just now"))
    }

    fn open(&mut self, now: Ticks) -> Result<Segment, String> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&self.folder)
            .map_err(|error| self.told(&reason(&error)))?;
        let mut files = list(&self.folder).map_err(|error| self.told(&reason(&error)))?;
        files.retain(|file| !file.is_damaged);
        let newest = files.pop();
        self.unfinished = files.into_iter().map(|file| file.path).collect();
        if let Some(newest) = newest {
            match Segment::resume(&newest.path, newest.begin) {
                Ok(segment) if !is_over(&segment, now, &self.retention) => return Ok(segment),
                Ok(_) => self.unfinished.push(newest.path),
                Err(SegmentFault::OtherVersion) => {
                    tracing::info!(
                        segment = %newest.path.display(),
                        "the log store's newest segment is of another version: it stays as it is, and a new one is begun"
                    );
                }
                Err(SegmentFault::Damaged(error)) => {
                    self.set_aside(&newest.path, &error)?;
                }
                Err(SegmentFault::Failed(error)) => return Err(self.told(&error.to_string())),
            }
        }
        self.create(now)
    }

    fn create(&self, now: Ticks) -> Result<Segment, String> {
        Segment::create(&self.folder, now).map_err(|fault| match fault {
            SegmentFault::Damaged(error) | SegmentFault::Failed(error) => self.told(&error.to_string()),
            SegmentFault::OtherVersion => self.told("a segment of another version is in the way"),
        })
    }

    fn set_aside(&self, path: &Path, error: &rusqlite::Error) -> Result<(), String> {
        set_aside(path).map_err(|failed| self.told(&reason(&failed)))?;
        tracing::error!(
            segment = %path.display(),
            "a segment of the log store is damaged ({error}): it is set aside as .damaged, and a new one is begun"
        );
        Ok(())
    }

    fn told(&self, why: &str) -> String {
        let folder = self.folder.display();
        format!(
            "the store {folder}: {why}; free space on the disk, make the folder writable, or change logs.folder"
        )
    }

    /// Writes the rows. Gives the reason if they are lost; `Ok(Some(reason))`: they are written, and a segment was set aside.
    fn insert(&mut self, rows: &[LogRow], now: Ticks) -> Result<Option<String>, String> {
        let fault = match self.segment(now)?.insert(rows) {
            Ok(()) => return Ok(None),
            Err(fault) => fault,
        };
        match fault {
            SegmentFault::Damaged(error) => {
                let path = self.segment.take().expect("rows went into it").path().to_owned();
                self.set_aside(&path, &error)?;
                let mut segment = self.create(now)?;
                segment.insert(rows).map_err(|_| self.told("a new segment cannot be written to either"))?;
                self.segment = Some(segment);
                Ok(Some(format!("{} was damaged ({error}) and is set aside", path.display())))
            }
            SegmentFault::Failed(error) => Err(self.told(&error.to_string())),
            SegmentFault::OtherVersion => Err(self.told("a segment is of another version")),
        }
    }

    /// Stores counts of usage, or puts them back.
    fn store_usage(&mut self, taken: Option<TakenUsage>, now: Ticks) -> Result<(), String> {
        let Some(taken) = taken else { return Ok(()) };
        match self.insert(&taken.rows(), now) {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(reason),
            Err(reason) => {
                self.usage.put_back(taken);
                self.segment = None;
                Err(reason)
            }
        }
    }

    /// Finishes segments, one at a time, on a thread of its own: an index of a large one takes seconds.
    fn finish_segments(&mut self) -> Result<(), String> {
        if let Some((path, thread)) = self.finishing.take_if(|(_, thread)| thread.is_finished()) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(SegmentFault::Damaged(error))) => self.set_aside(&path, &error)?,
                // A reader has it open, or the disk is full: it is tried again.
                Ok(Err(SegmentFault::Failed(_) | SegmentFault::OtherVersion)) | Err(_) => {
                    self.unfinished.push(path);
                }
            }
        }
        if self.finishing.is_none() && !self.unfinished.is_empty() {
            let path = self.unfinished.remove(0);
            if path.exists() {
                let of_thread = path.clone();
                let run = move || {
                    let _ = come_last();
                    finish(&of_thread)
                };
                match thread::Builder::new().name("log-finish".to_owned()).spawn(run) {
                    Ok(thread) => self.finishing = Some((path, thread)),
                    // No thread is left now.
                    Err(_) => self.unfinished.push(path),
                }
            }
        }
        Ok(())
    }

    /// Deletes what is too old or too much. One that cannot be deleted keeps no other from it.
    fn retain(&mut self, now: Ticks) -> Result<(), String> {
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let files = match list(&self.folder) {
            Err(error) if is_gone(&error) => return Ok(()),
            files => files.map_err(|error| self.told(&reason(&error)))?,
        };
        let mut retained = Ok(());
        for file in &files[..expired(&files, now, &self.retention)] {
            if self.segment.as_ref().is_none_or(|segment| segment.path() != file.path)
                && let Err(error) = delete(file)
                && !is_gone(&error)
            {
                retained = retained.and(Err(self.told(&reason(&error))));
            }
        }
        retained
    }
}

/// Whether no more rows are to go into a segment.
fn is_over(segment: &Segment, now: Ticks, retention: &Retention) -> bool {
    let (bytes, wal_bytes) = segment.bytes();
    let (age, age_max) = (now.0 - segment.begin().0, retention.segment_ticks_max());
    // A clock that was set back ends it too.
    bytes >= retention.segment_bytes_max()
        || wal_bytes >= WAL_BYTES_MAX
        || !(-age_max..age_max).contains(&age)
}

impl RowWriter for StoreWriter {
    const PATIENCE: Duration = Duration::from_millis(500);

    fn write(&mut self, rows: &[LogRow], now: Ticks) -> Result<(), WriteFault> {
        match self.insert(rows, now) {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(WriteFault { rows_lost: 0, reason }),
            Err(reason) => {
                // What is the matter with it shows when it is opened.
                self.segment = None;
                Err(WriteFault { rows_lost: rows.len() as u64, reason })
            }
        }
    }

    fn upkeep(&mut self, now: Ticks) -> Result<(), WriteFault> {
        let mut keep_up = || {
            // First: on a full disk it makes the room that all else needs.
            let is_due = self.retained_at.is_none_or(|at| now.0 - at.0 >= RETENTION_INTERVAL || now < at);
            let retained = if is_due { self.retain(now) } else { Ok(()) };
            self.segment(now)?;
            let due = self.usage.take_due(now);
            let stored = self.store_usage(due, now);
            if is_due {
                self.retained_at = Some(now);
                self.finish_segments()?;
            }
            // A segment that somebody removed is no place for rows.
            if self.segment.as_ref().is_some_and(|segment| !segment.path().exists()) {
                self.segment = None;
            }
            retained.and(stored)
        };
        let kept_up = keep_up();
        match self.usage.take_lost() {
            0 => kept_up.map_err(|reason| WriteFault { rows_lost: 0, reason }),
            rows_lost => {
                let reason = kept_up.err().unwrap_or_else(|| self.told("too many hours of usage wait"));
                Err(WriteFault { rows_lost, reason })
            }
        }
    }

    fn close(&mut self) -> Result<(), WriteFault> {
        let last = self.usage.take(now());
        let rows_lost = last.as_ref().map_or(0, |last| last.rows().len() as u64) + self.usage.take_lost();
        let stored = self.store_usage(last, now());
        // As the last connection of a segment, it moves the write-ahead log into the file.
        self.segment = None;
        stored.map_err(|reason| WriteFault { rows_lost, reason })
    }
}
