//! ringgate: a WebSocket API gateway for bare-metal Linux.
//!
//! The modules stand in the order in which a byte meets them. `ARCHITECTURE.md` beside this file is the one-page map.

// Helpers of tests that are used from outside too name the crate alike.
#[cfg(test)]
extern crate self as ringgate;

pub mod limits;

// The shell that opens sessions, and the core that it asks.
pub mod front;

pub mod tls;

pub mod head;

pub mod http1;

pub mod websocket;

pub mod catalog;

pub mod config;

pub mod policy;

pub mod compiled;

pub mod admission;

pub mod shared_counts;

pub mod backend;

// The shell that carries sessions, and the core that it drives.
pub mod relay;

pub mod ring;

pub mod session;

// What runs once per process.
pub mod process;

pub mod control;

pub mod observe;

pub mod telemetry;

pub mod cli;
