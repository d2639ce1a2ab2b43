//! The parts that run once per process, on a thread with a tokio runtime of its own. That thread only waits for events:
//! operations that may block (files, look-ups of names) have threads of their own.
//!
//! Not here: anything that a byte of a session waits for; pages and interfaces for people (`services`).

pub mod binding;
mod bug_log;
pub mod command;
pub mod files;
pub mod host;
pub mod instance;
pub mod publisher;
pub mod service_manager;
pub mod serving;
pub mod signals;
pub mod socket;
