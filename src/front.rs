//! The front: where clients arrive, one thread per core on tokio-uring.
//!
//! A session is opened here as a conversation in async code over pure parsers. Nothing is in flight on a descriptor when
//! it leaves the front.
//!
//! Not here: carrying frames (the relay does), and what lives once per process (`control`).

pub mod listener;
pub mod socket;
