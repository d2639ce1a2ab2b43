//! Which fault of a refused request head comes first.
//!
//! httparse stops at the first byte that it does not like; the answer depends on an order of rules instead (the order
//! of the variants of `HeadFault`). So a head that was refused is looked at again here, line by line and tolerantly.
//! The property to trust: `first_fault` finds none exactly when `RequestHead::parse` accepts.
//!
//! Not here: the rules of the opening handshake (`websocket::opening`), which only a head without these faults meets.

use super::authority::is_authority;
use super::head_fault::HeadFault;
use super::lines::{LineFault, RawLine, RawLines, first_field_line_fault, is_control, is_token_byte};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Whether `bytes` can be the beginning of a request: one CRLF, then a token character (RFC 9112 §2.2, §3).
///
/// Anything else is known for what it is at its first bytes and need not be waited for.
pub(super) fn begins_like_a_request(bytes: &[u8]) -> bool {
    if bytes == b"\r" {
        return true;
    }
    without_leading_crlf(bytes).first().is_none_or(|&byte| is_token_byte(byte))
}

pub(super) fn without_leading_crlf(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
}

/// The first fault of a whole head.
pub(super) fn first_fault(head: &[u8]) -> Option<HeadFault> {
    if let Some(fault) = first_fault_of_size(head) {
        return Some(fault);
    }
    let mut lines = RawLines::new(without_leading_crlf(head));
    let line = lines.next()?;
    let request_line = RequestLine::guess(line);
    request_line
        .first_fault()
        .or_else(|| first_host_fault(lines.clone()))
        .or_else(|| request_line.line_fault(line).map(HeadFault::BrokenLine))
        .or_else(|| first_field_line_fault(lines.clone()).map(HeadFault::BrokenLine))
        .or_else(|| first_body_fault(lines))
}

/// The first of the faults that count before a head is whole; the head may still be incomplete.
pub(super) fn first_fault_of_size(head: &[u8]) -> Option<HeadFault> {
    if !begins_like_a_request(head) {
        return Some(HeadFault::SentNoHttp);
    }
    if head.len() > HEAD_BYTES_MAX {
        return Some(HeadFault::HeadTooBig);
    }
    let mut lines = RawLines::new(without_leading_crlf(head));
    let request_line = RequestLine::guess(lines.next()?);
    // A folded line belongs to the field above it.
    let header_count =
        lines.take_while(|line| !line.content.is_empty()).filter(|line| !line.is_folded()).count();
    if header_count > HEADERS_MAX {
        return Some(HeadFault::TooManyHeaders);
    }
    (request_line.target.len() > TARGET_BYTES_MAX).then_some(HeadFault::TargetTooLong)
}

/// The parts of a request line as their sender may have meant them.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    /// Begins with `HTTP/`.
    version: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    /// The method ends at the first space, the version begins behind the last one.
    fn guess(line: RawLine<'a>) -> Self {
        let mut text = line.content;
        while let [rest @ .., b' ' | b'\t' | b'\r'] = text {
            text = rest;
        }
        let (method, rest) = match memchr::memchr(b' ', text) {
            Some(space) => (&text[..space], &text[space + 1..]),
            None => (text, &[][..]),
        };
        let (target, version) = match memchr::memrchr(b' ', rest) {
            Some(space) => (&rest[..space], &rest[space + 1..]),
            None => (&[][..], rest),
        };
        if version.starts_with(b"HTTP/") {
            Self { method, target, version: Some(version) }
        } else {
            Self { method, target: rest, version: None }
        }
    }

    fn first_fault(&self) -> Option<HeadFault> {
        match self.version {
            None => Some(HeadFault::NamedNoVersion),
            Some(version) if version != b"HTTP/1.1" => Some(HeadFault::AskedForOtherVersion),
            Some(_) if self.method != b"GET" => Some(HeadFault::MethodNotGet),
            Some(_) => None,
        }
    }

    /// What breaks the line itself, once version and method are known to be right.
    fn line_fault(&self, line: RawLine<'_>) -> Option<LineFault> {
        if let Some(fault) = line.end_fault() {
            return Some(fault);
        }
        if line.content.iter().any(|&byte| is_control(byte)) {
            return Some(LineFault::ControlCharacter);
        }
        // Also finds what the guess has trimmed off.
        let expected_len = b"GET".len() + 1 + self.target.len() + 1 + b"HTTP/1.1".len();
        (!is_target(self.target) || line.content.len() != expected_len).then_some(LineFault::Malformed)
    }
}

/// Whether `bytes` may stand as a request target: visible ASCII, no fragment (RFC 9112 §3.2).
pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

fn first_host_fault(lines: RawLines<'_>) -> Option<HeadFault> {
    let mut hosts = values(lines, b"host");
    match (hosts.next(), hosts.next()) {
        (None, _) => Some(HeadFault::HostMissing),
        (Some(_), Some(_)) => Some(HeadFault::HostRepeated),
        (Some(host), None) => (!is_authority(host)).then_some(HeadFault::HostNotAnAuthority),
    }
}

fn first_body_fault(lines: RawLines<'_>) -> Option<HeadFault> {
    let mut lengths = values(lines.clone(), b"content-length");
    let announces_content = match (lengths.next(), lengths.next()) {
        (None, _) => false,
        (Some(length), None) => !is_zero_length(length),
        (Some(_), Some(_)) => true,
    };
    if announces_content {
        return Some(HeadFault::AnnouncedContent);
    }
    values(lines, b"transfer-encoding").next().map(|_| HeadFault::AnnouncedTransferEncoding)
}

/// Whether a Content-Length (RFC 9110 §8.6: digits) says that nothing follows.
pub(super) fn is_zero_length(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| byte == b'0')
}

/// The values of the fields called `name`, which is in lower case, up to the empty line.
fn values<'a>(lines: RawLines<'a>, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines
        .take_while(|line| !line.content.is_empty())
        .filter_map(RawLine::field)
        .filter(|(field_name, _)| field_name.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
