//! The `ringgate` command: what it prints, refuses and serves.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/golden.rs"]
mod golden;

mod check;
mod logs;
mod new_key;
mod output;
mod policy_documents;
mod serve;
