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

/// Bytes owed to one leg at which the other one is no longer read. Default 512 KiB.
///
/// It bounds what a session holds in received buffers per direction (one burst beyond it may be on its way). Raising it
/// buys throughput of large messages on long paths, at so many bytes of the relay's buffers for each slow reader.
pub const OWED_BYTES_HIGH: u64 = 512 * 1024;

/// Bytes owed to one leg at which the other one is read again.
pub const OWED_BYTES_LOW: u64 = 128 * 1024;

const _: () = assert!(OWED_BYTES_LOW < OWED_BYTES_HIGH);
