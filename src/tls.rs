//! TLS on both legs: handshakes by rustls, records by ringgate's own record layer.
//!
//! ```text
//! front: bytes ─► handshake (rustls) ─► handover ─► record::LegRecords ─► relay: record::Records, nothing of rustls left
//! ```
//!
//! The property to trust: from the handshake's last byte on, a leg's TLS is plain data of some 200 bytes a direction, which
//! can be exported, moved and made again.

pub mod handover;
pub mod handshake;
pub mod record;
#[cfg(test)]
mod tests;
pub mod tickets;
