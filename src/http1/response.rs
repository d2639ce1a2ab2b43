//! A backend's answer: parsed as strictly as a request, and how long its body is.
//!
//! Not here: whether a 101 keeps to the offer (`websocket::opening`), the body itself (`chunked` for one kind of it).

use core::fmt;
use core::mem::MaybeUninit;

use bytes::Bytes;

use super::answer_fault::AnswerFault;
use super::lines::{LineFault, RawLines, first_field_line_fault, has_only_crlf_line_ends, is_control};
use super::version::as_http_1_1;
use crate::head::fields::trim;
use crate::head::fields::{Headers, Span};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

const VERSION: &[u8] = b"HTTP/1.1";

/// Judges the bytes received so far of a head that is not whole (`find_head_end` has found no end).
///
/// # Errors
/// `SentNoHttp` at the first byte that differs from `HTTP/`, `HeadTooBig` as soon as the head has no room for its end.
pub fn check_incomplete_head(received: &[u8]) -> Result<(), AnswerFault> {
    check_beginning(received)?;
    if received.len() >= HEAD_BYTES_MAX {
        return Err(AnswerFault::HeadTooBig);
    }
    Ok(())
}

fn check_beginning(received: &[u8]) -> Result<(), AnswerFault> {
    let prefix = b"HTTP/";
    let len = received.len().min(prefix.len());
    if received[..len] == prefix[..len] { Ok(()) } else { Err(AnswerFault::SentNoHttp) }
}

/// How long the body behind a head is (RFC 9112 §6.3), the request having been a GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// This status has no body, whatever its fields say: 1xx, 204, 304.
    None,
    /// This many bytes.
    Length(u64),
    /// As its chunks say (`chunked::ChunkedDecoder`).
    Chunked,
    /// Until the backend ends the connection.
    UntilClose,
}

/// The head of an answer, without a fault in its lines.
#[derive(Clone)]
pub struct ResponseHead {
    headers: Headers,
    status: u16,
    reason: Span,
}

impl ResponseHead {
    /// Parses one whole head: the bytes up to the end that `find_head_end` has found, nothing behind it.
    ///
    /// # Errors
    /// The first fault found: size, version, status line, lines from the top.
    pub fn parse(head: Bytes) -> Result<Self, AnswerFault> {
        // RFC 9112 §2.2 lets a server ignore an empty line in front of a request. A client has no such licence.
        check_beginning(&head)?;
        if head.len() > HEAD_BYTES_MAX {
            return Err(AnswerFault::HeadTooBig);
        }
        // RFC 9110 §6.2: a later minor version is treated as 1.1. httparse knows none.
        let head = as_http_1_1(&head, 0).unwrap_or(head);
        let mut lines = RawLines::new(&head);
        let line = lines.next().ok_or(AnswerFault::SentNoHttp)?;
        if let Some(fault) = line.end_fault() {
            return Err(AnswerFault::BrokenLine(fault));
        }
        let (status, reason) = parse_status_line(line.content)?;

        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let end = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            &head,
            &mut fields,
        );
        match end {
            Ok(httparse::Status::Complete(len)) if len == head.len() && has_only_crlf_line_ends(&head) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerFault::TooManyHeaders),
            Ok(_) | Err(_) => {
                let fault = first_field_line_fault(lines).unwrap_or(LineFault::Malformed);
                return Err(AnswerFault::BrokenLine(fault));
            }
        }
        let reason = Span::of(reason, &head);
        let fields = response.headers.iter().map(|field| (field.name, field.value));
        Ok(Self { headers: Headers::new(&head, fields), status, reason })
    }

    /// The status, 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, which may be empty: never CR, LF, NUL or another control character.
    pub fn reason(&self) -> &[u8] {
        self.reason.get(self.headers.head())
    }

    /// The fields, in their order.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Length of the head in bytes, its empty line included.
    pub fn len_bytes(&self) -> usize {
        self.headers.head().len()
    }

    /// Whether another answer to the same request follows: 1xx, yet not 101 (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// How long the body is.
    ///
    /// # Errors
    /// When the fields leave it open where the body ends: RFC 9112 §6.3 wants the connection given up then.
    pub fn body_length(&self) -> Result<BodyLength, AnswerFault> {
        if self.status < 200 || self.status == 204 || self.status == 304 {
            return Ok(BodyLength::None);
        }
        let has_content_length = self.headers.contains("content-length");
        if self.headers.contains("transfer-encoding") {
            if has_content_length {
                return Err(AnswerFault::TwoBodyLengths);
            }
            let mut codings = self.headers.tokens("transfer-encoding");
            return match (codings.next(), codings.next()) {
                (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
                _ => Err(AnswerFault::UnknownTransferEncoding),
            };
        }
        if has_content_length {
            return self.content_length().map(BodyLength::Length);
        }
        Ok(BodyLength::UntilClose)
    }

    /// RFC 9110 §8.6: one length, or the same one several times over, on one line or on several.
    fn content_length(&self) -> Result<u64, AnswerFault> {
        let mut length = None;
        for value in self.headers.get_all("content-length") {
            for element in value.split(|&byte| byte == b',') {
                let parsed = parse_length(trim(element)).ok_or(AnswerFault::ContentLengthMalformed)?;
                if length.is_some_and(|length| length != parsed) {
                    return Err(AnswerFault::ContentLengthDiffers);
                }
                length = Some(parsed);
            }
        }
        length.ok_or(AnswerFault::ContentLengthMalformed)
    }
}

/// Status and names only.
impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead").field("status", &self.status).field("headers", &self.headers).finish()
    }
}

/// `HTTP/1.1 NNN reason` (RFC 9112 §4). The space in front of an empty reason may be missing, as it is in many answers.
fn parse_status_line(line: &[u8]) -> Result<(u16, &[u8]), AnswerFault> {
    let rest = match line.strip_prefix(VERSION) {
        Some([b' ', rest @ ..]) => rest,
        Some(_) => return Err(AnswerFault::MalformedStatusLine),
        None => return Err(AnswerFault::OtherVersion),
    };
    let (digits, reason) = match rest.split_at_checked(3) {
        Some((digits, [])) => (digits, &[][..]),
        Some((digits, [b' ', reason @ ..])) => (digits, reason),
        Some(_) | None => return Err(AnswerFault::MalformedStatusLine),
    };
    let status = parse_length(digits)
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (100..600).contains(status))
        .ok_or(AnswerFault::MalformedStatusLine)?;
    if reason.iter().any(|&byte| is_control(byte)) {
        return Err(AnswerFault::BrokenLine(LineFault::ControlCharacter));
    }
    Ok((status, reason))
}

/// 1*DIGIT that fits 64 bits.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(head: impl Into<Vec<u8>>) -> Result<ResponseHead, AnswerFault> {
        ResponseHead::parse(Bytes::from(head.into()))
    }

    fn with_lines(status: u16, lines: &str) -> ResponseHead {
        parse(format!("HTTP/1.1 {status} Fine\r\n{lines}\r\n")).expect("a head in order")
    }

    #[test]
    fn takes_status_reason_and_headers_as_they_came() {
        let head = parse(b"HTTP/1.1 403 Not \xe4llowed\r\nX-y: z\r\n\r\n").expect("a head in order");
        assert_eq!((head.status(), head.reason()), (403, &b"Not \xe4llowed"[..]));
        assert_eq!(head.headers().get_all("x-Y").collect::<Vec<_>>(), [b"z"]);
        for line in ["HTTP/1.1 200 ", "HTTP/1.1 200"] {
            let head = parse(format!("{line}\r\n\r\n")).expect("a head in order");
            assert_eq!((head.status(), head.reason()), (200, &b""[..]), "{line}");
        }
        for version in 2..=9 {
            let head =
                parse(format!("HTTP/1.{version} 403 No\r\nX: HTTP/1.2\r\n\r\n")).expect("a head in order");
            assert_eq!((head.status(), head.reason()), (403, &b"No"[..]), "{version}");
            assert_eq!(head.headers().get_all("x").collect::<Vec<_>>(), [b"HTTP/1.2"], "{version}");
        }
    }

    #[test]
    fn names_the_fault_of_each_head() {
        let table: &[(&[u8], AnswerFault)] = &[
            (b"", AnswerFault::SentNoHttp),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", AnswerFault::SentNoHttp),
            (b"SSH-2.0-x\r\n\r\n", AnswerFault::SentNoHttp),
            (b"HTTP/1.0 200 OK\r\n\r\n", AnswerFault::OtherVersion),
            (b"HTTP/2 200\r\n\r\n", AnswerFault::OtherVersion),
            (b"HTTP/1.10 200 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 \r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1  200 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 20 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 2000 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 200OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 099 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 600 OK\r\n\r\n", AnswerFault::MalformedStatusLine),
            (b"HTTP/1.1 200 O\0K\r\n\r\n", AnswerFault::BrokenLine(LineFault::ControlCharacter)),
            (b"HTTP/1.1 200 OK\n\r\n", AnswerFault::BrokenLine(LineFault::BareLineFeed)),
            (b"HTTP/1.1 200 OK\r\n\n", AnswerFault::BrokenLine(LineFault::BareLineFeed)),
            (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", AnswerFault::BrokenLine(LineFault::BareLineFeed)),
            (b"HTTP/1.1 200 O\rK\r\n\r\n", AnswerFault::BrokenLine(LineFault::BareCarriageReturn)),
            (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", AnswerFault::BrokenLine(LineFault::BareCarriageReturn)),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", AnswerFault::BrokenLine(LineFault::Folded)),
            (b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", AnswerFault::BrokenLine(LineFault::Folded)),
            (b"HTTP/1.1 200 OK\r\nA: \x1f\r\n\r\n", AnswerFault::BrokenLine(LineFault::ControlCharacter)),
            (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", AnswerFault::BrokenLine(LineFault::SpaceBeforeColon)),
            (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", AnswerFault::BrokenLine(LineFault::Malformed)),
            (b"HTTP/1.1 200 OK\r\n\r\nx", AnswerFault::BrokenLine(LineFault::Malformed)),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", AnswerFault::BrokenLine(LineFault::Malformed)),
        ];
        for (head, expected) in table {
            assert_eq!(parse(*head).err(), Some(*expected), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn takes_every_status_from_100_to_599() {
        for status in 100..600 {
            let head = with_lines(status, "");
            assert_eq!(head.status(), status);
            assert_eq!(head.is_interim(), status < 200 && status != 101);
        }
    }

    #[test]
    fn bounds_size_and_headers() {
        let head = |len: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(len - 24));
        assert_eq!(head(16_384).len(), 16_384);
        assert!(parse(head(16_384)).is_ok());
        assert_eq!(parse(head(16_385)).err(), Some(AnswerFault::HeadTooBig));
        assert_eq!(check_incomplete_head(&head(16_385).as_bytes()[..16_383]), Ok(()));
        assert_eq!(check_incomplete_head(&head(16_385).as_bytes()[..16_384]), Err(AnswerFault::HeadTooBig));

        let lines = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert!(parse(lines(100)).is_ok());
        assert_eq!(parse(lines(101)).err(), Some(AnswerFault::TooManyHeaders));
    }

    #[test]
    fn knows_at_the_first_bytes_what_is_no_answer() {
        for begun in ["", "H", "HTTP", "HTTP/1.1 101"] {
            assert_eq!(check_incomplete_head(begun.as_bytes()), Ok(()), "{begun}");
        }
        for other in ["S", "HTTQ", "\r\nHTTP", "http"] {
            assert_eq!(check_incomplete_head(other.as_bytes()), Err(AnswerFault::SentNoHttp), "{other}");
        }
    }

    #[test]
    fn finds_the_length_of_the_body() {
        use BodyLength::{Chunked, Length, None, UntilClose};
        let table = [
            (200, "", Ok(UntilClose)),
            (200, "Content-Length: 0\r\n", Ok(Length(0))),
            (404, "content-length: 18446744073709551615\r\n", Ok(Length(u64::MAX))),
            (200, "Content-Length: 5\r\nContent-Length: 5\r\n", Ok(Length(5))),
            (200, "Content-Length: 5, 05\r\n", Ok(Length(5))),
            (200, "Content-Length: 5\r\nContent-Length: 6\r\n", Err(AnswerFault::ContentLengthDiffers)),
            (200, "Content-Length: 18446744073709551616\r\n", Err(AnswerFault::ContentLengthMalformed)),
            (200, "Content-Length: +5\r\n", Err(AnswerFault::ContentLengthMalformed)),
            (200, "Content-Length: 5,\r\n", Err(AnswerFault::ContentLengthMalformed)),
            (200, "Content-Length:\r\n", Err(AnswerFault::ContentLengthMalformed)),
            (200, "Content-Length: 0x5\r\n", Err(AnswerFault::ContentLengthMalformed)),
            (200, "Transfer-Encoding: Chunked\r\n", Ok(Chunked)),
            (200, "Transfer-Encoding: gzip, chunked\r\n", Err(AnswerFault::UnknownTransferEncoding)),
            (200, "Transfer-Encoding: chunked, chunked\r\n", Err(AnswerFault::UnknownTransferEncoding)),
            (200, "Transfer-Encoding: identity\r\n", Err(AnswerFault::UnknownTransferEncoding)),
            (200, "Transfer-Encoding:\r\n", Err(AnswerFault::UnknownTransferEncoding)),
            (200, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(AnswerFault::TwoBodyLengths)),
            (100, "Content-Length: 5\r\n", Ok(None)),
            (101, "", Ok(None)),
            (204, "Content-Length: 5\r\n", Ok(None)),
            (304, "Content-Length: 5\r\n", Ok(None)),
        ];
        for (status, lines, expected) in table {
            assert_eq!(with_lines(status, lines).body_length(), expected, "{status} {lines}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            line in prop::option::weighted(0.8, Just(b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec())),
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'a')], 0..60),
            end in prop::option::weighted(0.8, Just(b"\r\n\r\n".to_vec())),
        ) {
            let head = [line.unwrap_or_default(), bytes, end.unwrap_or_default()].concat();
            if let Ok(head) = parse(head) {
                prop_assert!(head.headers().iter().all(|header| !header.value.iter().any(|&byte| is_control(byte))));
                let _ = head.body_length();
            }
        }
    }
}
