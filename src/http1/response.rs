//! A backend's answer: parsed as strictly as a request, and how long its body is.
//!
//! Not here: whether a 101 keeps to the offer (`websocket::opening`), the body itself (`chunked` for one kind of it).

use core::fmt;
use core::mem::MaybeUninit;

use bytes::Bytes;

use super::answer_fault::AnswerFault;
use super::head::{Headers, Span};
use super::lines::{LineFault, RawLines, first_field_line_fault, has_only_crlf_line_ends, is_control, trim};
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
        Ok(Self { headers: Headers::new(head.clone(), response.headers), status, reason })
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
