//! The log of this process, for its operator, and the warnings that traffic may cause repeatedly.
//!
//! ```text
//! any thread ── text ─► queue (bounded, lock-free) ─► one writer thread ─► standard error
//! ```
//!
//! The property to trust: logging never blocks, never fails and never panics, whatever the state of standard error: a full disk, a
//! pipe without a reader, a reader that is gone. Lines that cannot be written are dropped and counted; the count is logged later.
//!
//! Nothing in a process that serves writes to standard error or standard output in any other way (`tests/tidy.rs` checks).
//!
//! Not here: counters (`observe`).

pub mod filter;
pub mod queue;
pub mod repeats;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::thread;

use tokio::time::Instant;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

pub use filter::FilterFault;
use queue::{Descriptor, Log, Room};
use repeats::Subject;

/// The environment variable with the filter of the log.
pub const FILTER_VARIABLE: &str = "RINGGATE_LOG";

/// The log of this process. Absent in tests that run its parts by themselves: nothing is written then.
static LOG: OnceLock<Log> = OnceLock::new();

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// The value of the environment variable is not a filter.
    #[error(transparent)]
    Filter(#[from] FilterFault),
    /// There is no thread for the writer.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
}

/// Starts the log of this process: traced events go to standard error from here on, and so does a panic's message.
///
/// # Errors
/// The filter is not valid, or there is no thread for the writer.
pub fn start() -> Result<(), NoLog> {
    let filter = filter::parse(&std::env::var_os(FILTER_VARIABLE).unwrap_or_default())?;
    let room = Room { entries: LOG_ENTRIES_MAX, bytes: LOG_BYTES_MAX };
    let log = Log::start("log", Descriptor(io::stderr()), room, tell_repeats).map_err(NoLog::Thread)?;
    let log = LOG.get_or_init(|| log);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.writer())
        // What it has to say about a line that it cannot format, it says by `eprintln!`.
        .log_internal_errors(false);
    // Fails only where another one is set already, which then stays.
    let _ = subscriber.try_init();
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes the lines logged so far, within a bounded time, and nothing after them. For the end of the process.
pub fn finish() {
    if let Some(log) = LOG.get() {
        // Whether all of it was written: nobody is left to be told.
        let _ = log.finish(LOG_FLUSH_PATIENCE);
    }
}

/// Puts a text of one line or several into the log, whatever the log's filter is. Lines of others never come in between.
///
/// Where the queue has not enough room for all of it, its first lines are taken and the rest is dropped and counted.
pub fn say(text: &str) {
    if let Some(log) = LOG.get() {
        if text.ends_with('\n') { log.push(text) } else { log.push(&format!("{text}\n")) }
    }
}

/// Writes a text to standard output, on a thread of its own, so that the caller does not depend on a reader.
pub fn print(text: &str) {
    let room = Room { entries: 1, bytes: text.len() };
    // Without a thread it cannot be written without waiting, so it is not.
    if let Ok(log) = Log::start("stdout", Descriptor(io::stdout()), room, |_| false) {
        log.push(text);
        log.end();
    }
}

/// Standard output, for a thread that may wait for its reader.
pub fn standard_output() -> Descriptor<io::Stdout> {
    Descriptor(io::stdout())
}

/// Lines of the log that were dropped since the start of the process.
pub fn log_lines_dropped() -> u64 {
    LOG.get().map_or(0, Log::lines_dropped)
}

/// Logs the counts of repeated warnings that are due; at the end, all that are left. Returns whether to call again soon.
fn tell_repeats(is_ending: bool) -> bool {
    repeats::REPEATS.tell_counts(Instant::now(), is_ending, |(level, subject), message, name, times| {
        let name = Some(name).filter(|name| !name.is_empty());
        let (api, place) = match subject {
            Subject::Api => (name, None),
            Subject::Place => (None, name),
        };
        if level == tracing::Level::ERROR {
            tracing::error!(api, place, times, "{message}");
        } else {
            tracing::warn!(api, place, times, "{message}");
        }
    })
}

/// Logs a panic. The hook of the standard library would itself write to standard error, and wait for it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // Quoted: it may have been made of anything.
    let message = panic.payload_as_str().unwrap_or("no message");
    let mut text = line("ERROR", &format!("thread {name} panicked at {place}: {message:?}"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&backtrace.to_string());
    }
    say(&text);
}

/// Formats a line about the log itself, in the form of traced lines.
fn line(level: &str, message: &str) -> String {
    let mut line = String::new();
    // Without a time it still says what it has to say.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    line.push_str(&format!(" {level:>5} ringgate::process::log: {message}\n"));
    line
}

/// Logs an event that traffic may cause repeatedly: the level, the API (`None` where there is none), a message, then fields as
/// those of `tracing`.
///
/// The first few are logged at once; from then on one line every ten seconds, whose `times` says how often it happened since
/// the line before ([`repeats`]).
macro_rules! limited {
    ($level:ident, $api:expr, $message:expr $(, $($fields:tt)+)?) => {{
        let api: Option<&str> = $api;
        if tracing::enabled!(tracing::Level::$level)
            && let Some(told) = $crate::process::log::repeats::happened(tracing::Level::$level, $message, api)
        {
            tracing::event!(tracing::Level::$level, api, times = told.times, $($($fields)+,)? "{}", $message);
        }
    }};
}

use core::time::Duration;
pub(crate) use limited;

/// Entries of the log's queue: a line, or a text of several lines. Over it: dropped and counted (`log_lines_dropped`).
const LOG_ENTRIES_MAX: usize = 4096;

/// Bytes of the texts in the log's queue. Over it, what has no room is dropped by whole lines, and counted.
///
/// The queue is full only where standard error takes no more bytes. Raising it keeps more lines over a longer standstill.
const LOG_BYTES_MAX: usize = 1024 * 1024;

/// How long the end of the process waits for the log to be written. Lines not written by then are lost.
const LOG_FLUSH_PATIENCE: Duration = Duration::from_secs(1);
