//! TLS on both legs: handshakes by rustls, records by ringgate's own record layer.
//!
//! ```text
//! front: bytes ─► handshake (rustls) ─► handover ─► record::LegRecords ─► relay, nothing of rustls left
//! ```
//!
//! The property to trust: from the handshake's last byte on, a leg's TLS is plain data of some 200 bytes a direction, which
//! can be exported, moved and made again.
//!
//! Not here: what an operator may say about TLS (`catalog::tls`), when files are looked at and who gets what they make (`control`).

pub mod backend;
pub mod certificates;
pub mod endpoint;
pub mod failed_check;
pub mod files;
pub mod handover;
pub mod handshake;
pub mod listener;
pub mod peer_certificate;
pub mod record;
pub mod setup;
pub mod ticket_keys;
pub mod tickets;
pub mod unusable_certificate;

#[cfg(test)]
mod tests;
