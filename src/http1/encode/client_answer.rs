//! What a client is answered: the 101, a refusal, or the backend's own answer.

use bytes::{BufMut as _, BytesMut};
use serde_json::Value;

use super::{end_to_end, put_field};
use crate::http1::response::ResponseHead;

/// Encodes the client's 101 out of the backend's, which `websocket::opening::check_answer` has accepted.
pub fn encode_switching_protocols(answer: &ResponseHead) -> BytesMut {
    let mut head = BytesMut::with_capacity(answer.len_bytes() + ADDED_BYTES);
    head.put_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    put_end_to_end(&mut head, answer);
    head.put_slice(b"\r\n");
    head
}

/// Encodes a refusal, head and JSON body. The connection ends behind it.
///
/// `extra_headers` are ours (`Allow`, `Retry-After`, `Upgrade`, …): no CR, LF or NUL in them.
pub fn encode_refusal(status: u16, extra_headers: &[(&str, &str)], message: &str) -> BytesMut {
    debug_assert!(extra_headers.iter().all(|(_, value)| !value.bytes().any(|byte| byte.is_ascii_control())));
    // `Value` writes a string with the escapes of RFC 8259 §7.
    let body = format!("{{ \"statusCode\": {status}, \"message\": {} }}", Value::from(message));
    let mut answer = BytesMut::with_capacity(body.len() + ADDED_BYTES);
    put_status_line(&mut answer, status, reason_phrase(status).as_bytes());
    for (name, value) in extra_headers {
        put_field(&mut answer, name, value.as_bytes());
    }
    put_field(&mut answer, "Content-Type", b"application/json");
    put_field(&mut answer, "Content-Length", body.len().to_string().as_bytes());
    put_closing_connection(&mut answer, status);
    answer.put_slice(b"\r\n");
    answer.put_slice(body.as_bytes());
    answer
}

/// What follows the head of a backend's answer that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOnBody {
    /// Nothing, as the status says (1xx, 204, 304).
    NoBody,
    /// All of it, this many bytes, however the backend framed it.
    Whole(u64),
    /// Less than the backend declared: its Content-Length stays, and the shell resets when it has sent what it has.
    TruncatedLength(u64),
    /// The beginning of a body of unknown length: one chunk (`encode_chunk`), no last chunk, then a reset.
    TruncatedChunked,
}

/// Encodes the head of a backend's answer other than 101. The connection ends behind its body.
pub fn encode_passed_on_head(answer: &ResponseHead, body: PassedOnBody) -> BytesMut {
    let mut head = BytesMut::with_capacity(answer.len_bytes() + ADDED_BYTES);
    put_status_line(&mut head, answer.status(), answer.reason());
    put_end_to_end(&mut head, answer);
    match body {
        PassedOnBody::NoBody => {}
        PassedOnBody::Whole(bytes) | PassedOnBody::TruncatedLength(bytes) => {
            put_field(&mut head, "Content-Length", bytes.to_string().as_bytes());
        }
        PassedOnBody::TruncatedChunked => put_field(&mut head, "Transfer-Encoding", b"chunked"),
    }
    if answer.status() == 426 {
        // RFC 9110 §15.5.22: a 426 says to what to upgrade; the backend's own Upgrade was hop-by-hop.
        put_field(&mut head, "Upgrade", b"websocket");
    }
    put_closing_connection(&mut head, answer.status());
    head.put_slice(b"\r\n");
    head
}

/// Encodes one chunk (RFC 9112 §7.1). `payload` is not empty: an empty chunk would end the body.
pub fn encode_chunk(payload: &[u8]) -> BytesMut {
    debug_assert!(!payload.is_empty());
    let mut chunk = BytesMut::with_capacity(payload.len() + 20);
    chunk.put_slice(format!("{:x}\r\n", payload.len()).as_bytes());
    chunk.put_slice(payload);
    chunk.put_slice(b"\r\n");
    chunk
}

/// Room for the fields that an answer gains.
const ADDED_BYTES: usize = 256;

fn put_status_line(head: &mut BytesMut, status: u16, reason: &[u8]) {
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(status.to_string().as_bytes());
    head.put_slice(b" ");
    head.put_slice(reason);
    head.put_slice(b"\r\n");
}

fn put_end_to_end(head: &mut BytesMut, answer: &ResponseHead) {
    for header in end_to_end(answer.headers()) {
        put_field(head, header.name, header.value);
    }
}

/// RFC 9110 §7.8: who sends Upgrade names it in Connection.
fn put_closing_connection(head: &mut BytesMut, status: u16) {
    put_field(head, "Connection", if status == 426 { b"upgrade, close" } else { b"close" });
}

/// The reason phrases of the statuses that ringgate itself sends (RFC 9110 §15, RFC 6585). Another one goes without.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
