//! What happens, counted. One list of counters, read from anywhere, written by one worker each.
//!
//! A counter is one line of the list in `counters` (or, if it is not a worker's, in `telemetry::figures`). The status page and the
//! lines of the log are made out of that list, so what is counted is shown.
//!
//! Not here: serving the page (`services::status_page`), logs of single sessions, which the relay never writes.

pub mod counters;
pub mod publishes;

pub use counters::{Counters, WorkerCounters};
