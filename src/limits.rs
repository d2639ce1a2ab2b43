//! Every compiled-in bound, with its unit, and how they relate.
//!
//! A bound that an operator may change has its default and its allowed range here too; where it is read from is said
//! by the configuration reference in the README.

/// Largest request or response head, in bytes, its final empty line included. Over it: 431 (a backend's head: 502).
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields in one head. Over it: 431 (a backend's head: 502).
pub const HEADERS_MAX: usize = 100;

/// Longest request target, in bytes. Over it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
