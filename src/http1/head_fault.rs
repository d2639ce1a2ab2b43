//! Faults of a client's request head, and the answers to them.
//!
//! The variants stand in the order in which they are checked: of all faults of a head, the first one answers.
//!
//! Not here: refusals by the catalogue, of a path among them, or by a policy.

use core::fmt;

use super::lines::LineFault;

/// Why a request head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// The first byte cannot begin a request line: TLS on a listener without it, or another protocol.
    SentNoHttp,
    /// HTTP without TLS on a listener that has TLS. Made by the shell, which knows its listeners.
    SentNoTls,
    /// The head is, or is going to be, longer than `HEAD_BYTES_MAX`.
    HeadTooBig,
    /// More than `HEADERS_MAX` fields.
    TooManyHeaders,
    /// The request target is longer than `TARGET_BYTES_MAX`.
    TargetTooLong,
    /// The head was not whole in time. Made by the shell, which has the clock.
    NotInTime,
    /// The request line names no HTTP version (HTTP/0.9, a malformed version, or no request line at all).
    NamedNoVersion,
    /// HTTP/1.0, which knows no upgrade (RFC 9110 §7.8).
    AskedForHttp10,
    /// Another major version of HTTP.
    AskedForOtherVersion,
    /// Another method than GET (RFC 6455 §4.1).
    MethodNotGet,
    /// No Host (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host line (RFC 9112 §3.2).
    HostRepeated,
    /// Host is no authority (RFC 9112 §3.2).
    HostNotAnAuthority,
    /// The first line, from the top, that breaks RFC 9112.
    BrokenLine(LineFault),
    /// Content-Length over 0, malformed, or on several lines: a handshake has no body.
    AnnouncedContent,
    /// Any Transfer-Encoding: a handshake has no body.
    AnnouncedTransferEncoding,
    /// No `Upgrade: websocket`, or no `Connection: upgrade` (RFC 6455 §4.2.1).
    NotAnUpgrade,
    /// Sec-WebSocket-Version is missing, repeated, or not 13 (RFC 6455 §4.4).
    AskedForOtherWebSocketVersion,
    /// No Sec-WebSocket-Key (RFC 6455 §4.2.1).
    KeyMissing,
    /// More than one Sec-WebSocket-Key line (RFC 6455 §11.3.1).
    KeyRepeated,
    /// Sec-WebSocket-Key is not 16 bytes in base64 (RFC 6455 §4.2.1).
    KeyMalformed,
    /// Sec-WebSocket-Extensions is not the list that RFC 6455 §9.1 wants; whoever sees that has to fail the handshake.
    ExtensionsMalformed,
    /// The target is `*`, or neither origin-form nor absolute-form (RFC 9112 §3.2).
    TargetHasNoPath,
}

impl HeadFault {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooBig | Self::TooManyHeaders => 431,
            Self::TargetTooLong => 414,
            Self::NotInTime => 408,
            Self::AskedForOtherVersion => 505,
            Self::MethodNotGet => 405,
            Self::AskedForHttp10 | Self::NotAnUpgrade | Self::AskedForOtherWebSocketVersion => 426,
            Self::SentNoHttp
            | Self::SentNoTls
            | Self::NamedNoVersion
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostNotAnAuthority
            | Self::BrokenLine(_)
            | Self::AnnouncedContent
            | Self::AnnouncedTransferEncoding
            | Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyMalformed
            | Self::ExtensionsMalformed
            | Self::TargetHasNoPath => 400,
        }
    }

    /// The fields that this answer needs besides those of every refusal (`encode::encode_refusal`, which also writes
    /// the `Connection: upgrade, close` of a 426).
    pub fn response_headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // RFC 9110 §15.5.6.
            Self::MethodNotGet => &[("Allow", "GET")],
            // RFC 9110 §15.5.22.
            Self::AskedForHttp10 | Self::NotAnUpgrade => &[("Upgrade", "websocket")],
            // RFC 6455 §4.4.
            Self::AskedForOtherWebSocketVersion => {
                &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            }
            Self::SentNoHttp
            | Self::SentNoTls
            | Self::HeadTooBig
            | Self::TooManyHeaders
            | Self::TargetTooLong
            | Self::NotInTime
            | Self::NamedNoVersion
            | Self::AskedForOtherVersion
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostNotAnAuthority
            | Self::BrokenLine(_)
            | Self::AnnouncedContent
            | Self::AnnouncedTransferEncoding
            | Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyMalformed
            | Self::ExtensionsMalformed
            | Self::TargetHasNoPath => &[],
        }
    }

    /// Returns the message to the client.
    pub fn message(self) -> &'static str {
        match self {
            Self::SentNoHttp => "Not an HTTP request",
            Self::SentNoTls => "This port speaks TLS: use wss or https",
            Self::HeadTooBig => "Request head too large",
            Self::TooManyHeaders => "Too many request headers",
            Self::TargetTooLong => "Request target too long",
            Self::NotInTime => "Request head not complete in time",
            Self::NamedNoVersion => "Malformed request line",
            Self::AskedForHttp10 => "WebSocket upgrade required: use HTTP/1.1",
            Self::AskedForOtherVersion => "HTTP version not supported: use HTTP/1.1",
            Self::MethodNotGet => "Method not allowed: use GET",
            Self::HostMissing => "Host header missing",
            Self::HostRepeated => "Host header repeated",
            Self::HostNotAnAuthority => "Host header is not a valid authority",
            Self::BrokenLine(fault) => fault.message(),
            Self::AnnouncedContent => "Content-Length not allowed",
            Self::AnnouncedTransferEncoding => "Transfer-Encoding not allowed",
            Self::NotAnUpgrade => "WebSocket upgrade required",
            Self::AskedForOtherWebSocketVersion => "WebSocket version not supported: use 13",
            Self::KeyMissing => "Sec-WebSocket-Key header missing",
            Self::KeyRepeated => "Sec-WebSocket-Key header repeated",
            Self::KeyMalformed => "Sec-WebSocket-Key header is not 16 bytes in base64",
            Self::ExtensionsMalformed => "Malformed Sec-WebSocket-Extensions header",
            Self::TargetHasNoPath => "Request target has no path",
        }
    }
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for HeadFault {}
