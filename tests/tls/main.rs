//! TLS on both legs, as clients and backends see it.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests wait for real events with real deadlines, and fail by panicking"
)]

mod backends;
mod ends;
mod files;
mod gateway;
#[path = "../support/golden.rs"]
mod golden;
mod handshakes;
mod hidden_ends;
mod listeners;
mod log;
mod peer;
#[path = "../../src/tls/tests/pki.rs"]
#[allow(dead_code, reason = "each test binary uses its own part of this")]
mod pki;
mod real_clients;
mod records;
mod secured;
#[path = "../support/mod.rs"]
mod support;
