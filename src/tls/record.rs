//! The record layer after the handshake: TLS 1.3 (RFC 8446 §5) and TLS 1.2 (RFC 5246 §6), AEADs only.
//!
//! Received records are opened in place; bytes to send are sealed into the caller's buffer. Nothing here allocates per record,
//! and every cut of the received stream yields the same steps.
//!
//! | | |
//! |---|---|
//! | [`suite`] | versions and AEADs, their sizes and limits |
//! | [`key_schedule`] | traffic keys and the next traffic secret from one secret (RFC 8446 §7.2, §7.3) |
//! | [`direction`], `export` | one direction as plain data, overwritten when dropped; a leg that moves to another process |
//! | [`header`], [`fault`], [`alert`] | a record's header; what a peer can do wrong, and the alert that answers it |
//! | [`opener`], [`sealer`] | one record: received and opened, made and sealed |
//! | [`messages`] | handshake messages after the handshake, found across records and mostly read over |
//! | [`inbound`], [`outbound`] | one direction over its stream: steps, answers that are owed, new keys |
//! | [`held`] | a record that was cut between two received buffers |
//! | [`leg`] | both directions of one leg: what a relay drives |
//!
//! # Another implementation
//!
//! The relay drives one of several (`relay::record_layer`), of which [`LegRecords`] is the one there is. Kernel TLS would take the two
//! [`DirectionState`]s (`setsockopt` `SOL_TLS`, `TLS_TX`/`TLS_RX`: key, IV and sequence number are what it asks for, and
//! the traffic secret stays here for KeyUpdate). Then what is received is plaintext already: `open` gives it back whole as
//! [`Step::Plaintext`], and a record of another type, which the kernel names in a control message, goes through the same
//! rules as in [`inbound`]. `sealed_bytes` is the payload's own length: the relay then hands its
//! buffers to the socket as they are, and sends only what `seal_alert` gives with its type in a control message.
//!
//! Not here: handshakes, certificates (`tls`), deadlines and budgets for cut records (the relay).

pub mod alert;
pub mod direction;
mod export;
pub mod fault;
pub mod header;
pub mod held;
pub mod inbound;
pub mod key_schedule;
pub mod leg;
pub mod messages;
pub mod opener;
pub mod outbound;
pub mod sealer;
pub mod suite;
#[cfg(test)]
mod tests;

pub use alert::Alert;
pub use direction::DirectionState;
pub use fault::RecordFault;
pub use held::HeldRecord;
pub use inbound::Step;
pub use leg::LegRecords;
pub use sealer::Exhausted;
pub use suite::{Aead, Suite, Version};

/// Which end of the TLS connection ringgate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Towards a client.
    Server,
    /// Towards a backend.
    Client,
}

/// The content type of a record (RFC 8446 §5.1). ChangeCipherSpec is no content after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// 21.
    Alert,
    /// 22.
    Handshake,
    /// 23.
    ApplicationData,
}

impl ContentType {
    /// Its number in a record.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::ApplicationData => 23,
        }
    }

    /// The content with this number.
    ///
    /// # Errors
    /// ChangeCipherSpec, or a type that is not defined.
    pub fn from_byte(byte: u8) -> Result<Self, RecordFault> {
        match byte {
            20 => Err(RecordFault::UnexpectedChangeCipherSpec),
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::ApplicationData),
            unknown => Err(RecordFault::UnknownContentType(unknown)),
        }
    }
}
