//! ringgate: a WebSocket API gateway for bare-metal Linux.
//!
//! The modules stand in floors, from the ground up: each uses those above it in this list, never those below. `ARCHITECTURE.md`
//! beside this file is the one-page map; `tests/tidy.rs` enforces the floors.

// Helpers of tests that are used from outside too name the crate alike.
#[cfg(test)]
extern crate self as ringgate;

pub mod limits;

pub mod export;

// The core: bytes and time come in, values go out.
pub mod head;

pub mod http1;

pub mod websocket;

pub mod catalog;

pub mod config;

pub mod policy;

pub mod compiled;

pub mod admission;

pub mod session;

// The shell that everything else in it stands on.
pub mod process;

pub mod tls;

pub mod observe;

pub mod ring;

pub mod shared_counts;

pub mod backend;

pub mod telemetry;

// What carries sessions, what opens them, and what runs once per process.
pub mod relay;

pub mod front;

pub mod services;

pub mod control;

pub mod cli;

#[cfg(test)]
mod golden;
