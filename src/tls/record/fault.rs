//! Faults of a peer after the handshake, and the alert that answers each (RFC 8446 §6).

use super::alert::Alert;

/// How a peer broke the rules of the record layer or of the messages after the handshake. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// RFC 8446 §5: no ChangeCipherSpec after the handshake. RFC 5246 §7.1: none without a handshake.
    #[error("a change_cipher_spec record after the handshake")]
    UnexpectedChangeCipherSpec,
    /// RFC 8446 §5: a content type that is not defined.
    #[error("a record of type {0}")]
    UnknownContentType(u8),
    /// RFC 8446 §5.2: every record is protected now, and says that it is application data.
    #[error("a record of type {0} that is not protected")]
    NotProtected(u8),
    /// RFC 5246 §6.2.1: the version that was agreed on. TLS 1.3 does not look at it.
    #[error("a record of version {0:#06x}")]
    WrongVersion(u16),
    /// RFC 8446 §5.2, RFC 5246 §6.2.3: longer than a record may be.
    #[error("a record of {0} bytes")]
    RecordTooLong(usize),
    /// RFC 8446 §5.2: the tag is wrong, or there is no room for one.
    #[error("a record that is not authentic")]
    NotAuthentic,
    /// RFC 8446 §5.4: content and padding are longer than they may be.
    #[error("a record with more than 2^14 bytes of content")]
    ContentTooLong,
    /// RFC 8446 §5.4: nothing but padding.
    #[error("a record without a content type")]
    NoContentType,
    /// RFC 8446 §5.4: a handshake or alert record has content.
    #[error("an empty handshake or alert record")]
    EmptyRecord,
    /// More records in a row without application data than `RECORDS_WITHOUT_CONTENT_MAX`.
    #[error("too many records in a row without application data")]
    TooManyWithoutContent,
    /// RFC 8446 §6: an alert is two bytes, in a record of its own.
    #[error("a malformed alert")]
    MalformedAlert,
    /// RFC 8446 §4.6: a handshake message that has no place after the handshake.
    #[error("a handshake message of type {0} after the handshake")]
    UnexpectedMessage(u8),
    /// A handshake message longer than `MESSAGE_BYTES_MAX`.
    #[error("a handshake message of {0} bytes after the handshake")]
    MessageTooLong(usize),
    /// RFC 8446 §5.1: other content between the parts of a handshake message.
    #[error("a record inside a handshake message")]
    RecordInsideMessage,
    /// RFC 8446 §4.6.3: a KeyUpdate has one byte. RFC 5246 §7.4.1.1: a HelloRequest has none.
    #[error("a handshake message with a wrong length")]
    MalformedMessage,
    /// RFC 8446 §4.6.3: that byte is 0 or 1.
    #[error("a key_update with an unknown request")]
    UnknownKeyUpdateRequest,
    /// RFC 8446 §5.1: a KeyUpdate ends its record.
    #[error("a key_update that does not end its record")]
    MessageAcrossKeyChange,
    /// RFC 8446 §5.3, RFC 5246 §6.1: the sequence number would wrap.
    #[error("no sequence number is left")]
    SequenceExhausted,
}

impl RecordFault {
    /// The alert that tells the peer.
    pub fn alert(self) -> Alert {
        match self {
            Self::UnexpectedChangeCipherSpec
            | Self::UnknownContentType(_)
            | Self::NotProtected(_)
            | Self::NoContentType
            | Self::EmptyRecord
            | Self::TooManyWithoutContent
            | Self::UnexpectedMessage(_)
            | Self::RecordInsideMessage
            | Self::MessageAcrossKeyChange => Alert::UnexpectedMessage,
            Self::WrongVersion(_) => Alert::ProtocolVersion,
            Self::RecordTooLong(_) | Self::ContentTooLong => Alert::RecordOverflow,
            Self::NotAuthentic => Alert::BadRecordMac,
            Self::MalformedAlert | Self::MessageTooLong(_) | Self::MalformedMessage => Alert::DecodeError,
            Self::UnknownKeyUpdateRequest => Alert::IllegalParameter,
            Self::SequenceExhausted => Alert::InternalError,
        }
    }
}
