//! The files that the code is held against: golden tables, and what a fuzzer kept.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

#[path = "../support/golden.rs"]
mod golden;

mod catalog_writer;
mod corpora;
mod expression_members;
mod termination;
