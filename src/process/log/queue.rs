//! A log: a bounded queue of texts from any thread, and one thread that writes them to a descriptor.
//!
//! The property to trust: [`Log::push`] takes no lock, makes no system call but the writer's wake-up, and always returns. A text
//! is taken by whole lines, as far as there is room. Every line that is not taken, or not written, is counted; the number is
//! written at the place of the lines once lines can be written again.
//!
//! `tracing-appender` has such a queue too. It does not tell what it dropped, does not bound bytes, and prints and waits when it
//! ends.
//!
//! Not here: the messages and the form of a line (`process::log`).

mod writer;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::time::Instant;

use crate::process::scheduling::give_way;
use writer::Writer;

/// The output of a log.
pub trait Output: Send + 'static {
    /// Writes some of `bytes`, and says how many.
    ///
    /// # Errors
    /// The kernel's. What was to be written is dropped then; the next lines are tried all the same.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until it makes sense to write again, after a write that would have had to wait.
    fn wait(&mut self);
}

/// An open descriptor, blocking or not. It is written to directly: no lock of the standard library's is taken for it.
#[derive(Debug)]
pub struct Descriptor<F>(pub F);

impl<F: AsFd + Send + 'static> Output for Descriptor<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    fn wait(&mut self) {
        // A descriptor that cannot be waited for says so at the next write.
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None);
    }
}

/// How much a log's queue holds.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Most texts.
    pub entries: usize,
    /// Most bytes of all texts together.
    pub bytes: usize,
}

/// Periodic work on the writer's thread, such as logging counts that have become due. It is told whether the log is ending, and
/// returns whether it is to be called again soon.
pub type Upkeep = fn(bool) -> bool;

/// A text in the queue.
#[derive(Debug)]
struct Entry {
    text: Box<str>,
    /// Lines that were dropped between the entry before and this one.
    dropped_before: u64,
}

/// The state that the loggers and the writer share.
#[derive(Debug)]
struct Shared {
    entries: ArrayQueue<Entry>,
    /// Bytes of all texts in the queue, and of those on their way into it; at most `bytes_max`.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Lines that were dropped, ever.
    dropped: AtomicU64,
    /// Lines that found no room since the last text that did.
    dropped_untold: AtomicU64,
    is_ending: AtomicBool,
    has_ended: AtomicBool,
    writer: OnceLock<Thread>,
    /// Threads that wait for the end.
    waiter: OnceLock<Thread>,
}

impl Shared {
    fn pop(&self) -> Option<Entry> {
        let entry = self.entries.pop()?;
        self.bytes.fetch_sub(entry.text.len(), Ordering::Relaxed);
        Some(entry)
    }

    /// Takes room for as many whole lines of `text` as there is room for; gives those.
    fn reserve<'t>(&self, text: &'t str) -> &'t str {
        let mut taken = "";
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            taken = whole_lines(text, self.bytes_max.saturating_sub(bytes));
            Some(bytes + taken.len())
        });
        taken
    }

    /// Puts as much of `text` into the queue as there is room for; gives how many lines were dropped.
    fn put(&self, text: &str) -> u64 {
        if self.entries.is_full() {
            return count_lines(text.as_bytes());
        }
        let taken = self.reserve(text);
        let left = count_lines(&text.as_bytes()[taken.len()..]);
        if taken.is_empty() {
            return left;
        }
        let dropped_before = self.dropped_untold.swap(0, Ordering::Relaxed);
        match self.entries.push(Entry { text: taken.into(), dropped_before }) {
            Ok(()) => left,
            Err(entry) => {
                self.bytes.fetch_sub(entry.text.len(), Ordering::Relaxed);
                self.dropped_untold.fetch_add(entry.dropped_before, Ordering::Relaxed);
                left + count_lines(entry.text.as_bytes())
            }
        }
    }

    /// Whether there is something for the writer to do.
    fn has_news(&self) -> bool {
        !self.entries.is_empty() || self.is_ending.load(Ordering::Acquire)
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

/// A log that is written by a thread of its own.
#[derive(Debug)]
pub struct Log(Arc<Shared>);

impl Log {
    /// Starts the thread `name`, which writes to `output`.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(name: &str, output: impl Output, room: Room, upkeep: Upkeep) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            entries: ArrayQueue::new(room.entries),
            bytes: AtomicUsize::new(0),
            bytes_max: room.bytes,
            dropped: AtomicU64::new(0),
            dropped_untold: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            writer: OnceLock::new(),
            waiter: OnceLock::new(),
        });
        let writer = Writer::new(Arc::clone(&shared), output, upkeep);
        let run = move || {
            // Whoever carries sessions comes first. Where the kernel refuses it, lines are written all the same.
            let _ = give_way();
            writer.run();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        let _ = shared.writer.set(thread.thread().clone());
        Ok(Self(shared))
    }

    /// Takes a text of whole lines, each with its line end, as far as there is room. Returns at once.
    pub fn push(&self, text: &str) {
        let dropped = self.0.put(text);
        if dropped > 0 {
            self.0.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.0.dropped_untold.fetch_add(dropped, Ordering::Relaxed);
        }
        self.0.wake_writer();
    }

    /// Takes what is written to it, a text by each write.
    pub fn writer(&self) -> impl io::Write + '_ {
        Texts(self)
    }

    /// How many lines were dropped, because there was no room for them or because they could not be written.
    pub fn lines_dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Has the writer end once it has written, or dropped, everything in the queue.
    pub fn end(&self) {
        self.0.is_ending.store(true, Ordering::Release);
        self.0.wake_writer();
    }

    /// As [`Log::end`], and waits for it, but no longer than `patience`. Returns whether it has ended.
    pub fn finish(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let _ = self.0.waiter.set(thread::current());
        self.end();
        while !self.0.has_ended.load(Ordering::Acquire) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }
}

/// Each write is a text of whole lines.
struct Texts<'l>(&'l Log);

impl io::Write for Texts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As many of the first lines of `text` as fit into `room` bytes.
fn whole_lines(text: &str, room: usize) -> &str {
    if text.len() <= room {
        return text;
    }
    memchr::memrchr(b'\n', &text.as_bytes()[..room]).map_or("", |end| &text[..=end])
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests;
