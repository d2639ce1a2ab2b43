//! A gateway that runs in this process, as clients and backends see it: openings, sessions, limits, policies, ends.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/golden.rs"]
mod golden;

mod backends;
mod counters;
mod diagnostics;
mod endings;
mod full_disk;
mod guards;
mod health;
mod keys;
mod limits;
mod log;
mod metrics;
mod otlp;
mod policies;
mod pool;
mod ports;
mod publish;
mod refusals;
mod revocation;
mod secrets;
mod slow_readers;
mod splicing;
mod zero_copy;
