//! Handshake messages after the handshake: found across records, checked, and skipped.
//!
//! Only their first bytes are kept, so a message takes no memory, whatever length it declares.
//!
//! | | may come |
//! |---|---|
//! | TLS 1.3, from a server | NewSessionTicket, KeyUpdate (RFC 8446 §4.6.1, §4.6.3) |
//! | TLS 1.3, from a client | KeyUpdate |
//! | TLS 1.2, from a server | HelloRequest: it is told that there is no renegotiation (RFC 5246 §7.4.1.1, RFC 5246 §7.2.2) |
//! | TLS 1.2, from a client | ClientHello: likewise |
//!
//! Not here: answers and new keys (`inbound`, `outbound`).

use core::ops::Range;

use super::fault::RecordFault;
use super::{Role, Version};
use crate::export::{ExportFault, FieldReader, FieldWriter};

/// Longest message that is read over, in bytes, without its header. A ticket may have 128 KiB, and has some hundred bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a message's header (RFC 8446 §4).
pub const MESSAGE_HEADER_BYTES: usize = 4;

/// The message that ended at some byte of a record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A NewSessionTicket. Where its body stands, if it is whole in this content.
    Ticket(Option<Range<usize>>),
    /// The peer's keys change behind this record.
    KeyUpdate {
        /// The peer wants ringgate's to change too.
        is_answer_wanted: bool,
    },
    /// The peer asks for another handshake.
    Renegotiation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ticket,
    KeyUpdate,
    Renegotiation,
}

/// How far a message was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    header: [u8; MESSAGE_HEADER_BYTES],
    /// Bytes of the message that came, its header included.
    came: u32,
    /// The body's first byte.
    first: u8,
}

impl Messages {
    /// Whether a message has begun that has not ended.
    pub fn is_inside(&self) -> bool {
        self.came > 0
    }

    /// Reads on in `content` from `at`, to the end of the next message. `None`: none ends in the rest of it.
    ///
    /// # Errors
    /// A message that may not come, or not so.
    pub fn next(
        &mut self,
        role: Role,
        version: Version,
        content: &[u8],
        at: &mut usize,
    ) -> Result<Option<Message>, RecordFault> {
        let header_came = (self.came as usize).min(MESSAGE_HEADER_BYTES);
        let new = &content[*at..content.len().min(*at + MESSAGE_HEADER_BYTES - header_came)];
        self.header[header_came..header_came + new.len()].copy_from_slice(new);
        self.came += new.len() as u32;
        *at += new.len();
        if self.came == 0 {
            return Ok(None);
        }
        let kind = kind_of(self.header[0], role, version)?;
        if (self.came as usize) < MESSAGE_HEADER_BYTES {
            return Ok(None);
        }
        let body_bytes = u32::from_be_bytes([0, self.header[1], self.header[2], self.header[3]]) as usize;
        check_length(kind, self.header[0], body_bytes)?;

        let body_came = self.came as usize - MESSAGE_HEADER_BYTES;
        let start = *at;
        let new = (body_bytes - body_came).min(content.len() - start);
        if body_came == 0 && new > 0 {
            self.first = content[start];
        }
        self.came += new as u32;
        *at += new;
        if body_came + new < body_bytes {
            return Ok(None);
        }
        self.came = 0;
        match kind {
            Kind::Ticket => Ok(Some(Message::Ticket((new == body_bytes).then_some(start..*at)))),
            Kind::Renegotiation => Ok(Some(Message::Renegotiation)),
            // RFC 8446 §5.1: what precedes a change of keys ends its record.
            Kind::KeyUpdate if *at != content.len() => Err(RecordFault::MessageAcrossKeyChange),
            Kind::KeyUpdate => match self.first {
                0 => Ok(Some(Message::KeyUpdate { is_answer_wanted: false })),
                1 => Ok(Some(Message::KeyUpdate { is_answer_wanted: true })),
                _ => Err(RecordFault::UnknownKeyUpdateRequest),
            },
        }
    }

    /// Writes how far a message was read.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { header, came, first } = self;
        writer.array("message_header", *header);
        writer.u32("message_came", *came);
        writer.u8("message_first", *first);
    }

    /// Reads what [`Self::export_fields`] wrote.
    pub(super) fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let header: [u8; MESSAGE_HEADER_BYTES] = reader.array("message_header")?;
        let messages = Self { header, came: reader.u32("message_came")?, first: reader.u8("message_first")? };
        // A message that is whole is no longer being read.
        let whole = MESSAGE_HEADER_BYTES as u32 + u32::from_be_bytes([0, header[1], header[2], header[3]]);
        let is_inside = messages.came < MESSAGE_HEADER_BYTES as u32 || messages.came < whole;
        reader.check("message_came", is_inside)?;
        Ok(messages)
    }
}

fn kind_of(message_type: u8, role: Role, version: Version) -> Result<Kind, RecordFault> {
    match (version, role, message_type) {
        (Version::Tls13, Role::Client, 4) => Ok(Kind::Ticket),
        (Version::Tls13, _, 24) => Ok(Kind::KeyUpdate),
        (Version::Tls12, Role::Client, 0) | (Version::Tls12, Role::Server, 1) => Ok(Kind::Renegotiation),
        (_, _, other) => Err(RecordFault::UnexpectedMessage(other)),
    }
}

fn check_length(kind: Kind, message_type: u8, body_bytes: usize) -> Result<(), RecordFault> {
    if body_bytes > MESSAGE_BYTES_MAX {
        return Err(RecordFault::MessageTooLong(body_bytes));
    }
    match kind {
        Kind::KeyUpdate if body_bytes != 1 => Err(RecordFault::MalformedMessage),
        Kind::Ticket if body_bytes == 0 => Err(RecordFault::MalformedMessage),
        // A HelloRequest is empty; a ClientHello is not.
        Kind::Renegotiation if (message_type == 0) != (body_bytes == 0) => Err(RecordFault::MalformedMessage),
        Kind::KeyUpdate | Kind::Ticket | Kind::Renegotiation => Ok(()),
    }
}
