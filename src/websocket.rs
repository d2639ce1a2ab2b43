//! The WebSocket protocol (RFC 6455), as far as a gateway needs it.
//!
//! Frames are located and judged, never unmasked or reassembled: payload stays where the kernel put it.
//!
//! Not here: what a fault or a Close means for a session (`session`), and UTF-8 of text, which stays with the endpoints.

pub mod close;
pub mod extensions;
pub mod frame;
pub mod opening;
pub mod received_close;
pub mod reserved_bits;
pub mod scanner;
pub mod tally;

pub use reserved_bits::ReservedBits;
