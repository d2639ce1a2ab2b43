//! What happens, counted. One list of counters, read from anywhere, written by one thread each.
//!
//! Not here: logs of single sessions, which the relay never writes.

pub mod counters;

pub use counters::{Counters, WorkerCounters};
