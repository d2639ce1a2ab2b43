//! Faults of a backend's answer. The client gets 502 for each of them.
//!
//! Not here: a backend that refuses, is silent or goes away.

use thiserror::Error;

use super::lines::LineFault;

/// How a backend's answer breaks HTTP/1.1 or RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerFault {
    /// The first bytes are not `HTTP/`.
    #[error("answer is not HTTP")]
    SentNoHttp,
    /// The head is, or is going to be, longer than `HEAD_BYTES_MAX`.
    #[error("answer head too large")]
    HeadTooBig,
    /// More than `HEADERS_MAX` fields.
    #[error("too many headers in answer")]
    TooManyHeaders,
    /// Another version than HTTP/1.1.
    #[error("answer is not HTTP/1.1")]
    OtherVersion,
    /// No three digits between 100 and 599 where the status belongs, or no reason phrase behind it but other bytes.
    #[error("malformed status line in answer")]
    MalformedStatusLine,
    /// The first line, from the top, that breaks RFC 9112.
    #[error("{0} in answer head")]
    BrokenLine(LineFault),
    /// Content-Length is no number that fits 64 bits.
    #[error("malformed Content-Length in answer")]
    ContentLengthMalformed,
    /// Content-Length names different lengths.
    #[error("differing Content-Length in answer")]
    ContentLengthDiffers,
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.3 point 3).
    #[error("both Content-Length and Transfer-Encoding in answer")]
    TwoBodyLengths,
    /// A Transfer-Encoding other than `chunked`, once.
    #[error("unknown Transfer-Encoding in answer")]
    UnknownTransferEncoding,
    /// A chunked body breaks RFC 9112 §7.1.
    #[error("malformed chunk in answer")]
    MalformedChunk,
    /// A chunk is announced by more than `CHUNK_LINE_BYTES_MAX`.
    #[error("chunk line too long in answer")]
    ChunkLineTooLong,
    /// The trailer section is longer than `TRAILER_BYTES_MAX`.
    #[error("trailers too large in answer")]
    TrailersTooBig,
    /// The opening handshake was not answered with 101.
    #[error("answer is not 101")]
    NotSwitchingProtocols,
    /// A 101 with Content-Length (RFC 9110 §8.6) or Transfer-Encoding (RFC 9112 §6.1).
    #[error("101 announces a body")]
    SwitchAnnouncesBody,
    /// A 101 without `Upgrade: websocket`, or with another protocol beside it (RFC 6455 §4.2.2).
    #[error("101 does not switch to websocket")]
    SwitchesToOtherProtocol,
    /// A 101 without `Connection: upgrade` (RFC 6455 §4.2.2).
    #[error("101 without Connection: upgrade")]
    ConnectionNotUpgraded,
    /// A 101 without Sec-WebSocket-Accept.
    #[error("101 without Sec-WebSocket-Accept")]
    AcceptMissing,
    /// Sec-WebSocket-Accept on several lines (RFC 6455 §11.3.3).
    #[error("Sec-WebSocket-Accept repeated in 101")]
    AcceptRepeated,
    /// Sec-WebSocket-Accept does not answer the key (RFC 6455 §4.1).
    #[error("wrong Sec-WebSocket-Accept in 101")]
    AcceptWrong,
    /// Sec-WebSocket-Protocol on several lines (RFC 6455 §11.3.4).
    #[error("Sec-WebSocket-Protocol repeated in 101")]
    SubprotocolRepeated,
    /// A subprotocol that the client did not offer (RFC 6455 §4.1).
    #[error("subprotocol in 101 was not offered")]
    SubprotocolNotOffered,
    /// Sec-WebSocket-Extensions is not the list that RFC 6455 §9.1 wants.
    #[error("malformed Sec-WebSocket-Extensions in 101")]
    ExtensionsMalformed,
    /// An extension that the client did not offer, or more instances of it than were offered (RFC 6455 §4.1).
    #[error("extension in 101 was not offered")]
    ExtensionNotOffered,
    /// permessage-deflate twice: both would claim RSV1 (RFC 7692 §5).
    #[error("permessage-deflate repeated in 101")]
    CompressionRepeated,
}
