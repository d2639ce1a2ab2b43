//! Heads on their way out: the request to the backend, and what a client is answered.
//!
//! End-to-end fields keep order and spelling; hop-by-hop ones (RFC 9110 §7.6.1) end here and are written anew. No value
//! can add a line: those of a parsed head hold no CR, LF or NUL, and the others are ours.
//!
//! Not here: which backend, which path, which body.

mod backend_request;
mod client_answer;

use bytes::{BufMut as _, BytesMut};

use super::head::{Header, Headers};

pub use backend_request::{Forwarded, encode_backend_request};
pub use client_answer::{
    PassedOnBody, encode_chunk, encode_passed_on_head, encode_refusal, encode_switching_protocols,
};

/// Fields that mean one connection only, whether Connection nominates them or not. Content-Length is among them
/// because a body gets its length anew.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "http2-settings",
];

/// Fields that Connection may not take out: a client could hide from the backend where it comes from, or break the
/// handshake.
const PROTECTED: [&str; 2] = ["host", "forwarded"];
const PROTECTED_PREFIXES: [&str; 2] = ["sec-websocket-", "x-forwarded-"];

/// The fields of a head that go on to the other leg, in order.
fn end_to_end(headers: &Headers) -> impl Iterator<Item = Header<'_>> {
    let nominated: Vec<&[u8]> = headers.tokens("connection").collect();
    headers.iter().filter(move |header| {
        let is_nominated = nominated.iter().any(|token| token.eq_ignore_ascii_case(header.name.as_bytes()));
        !HOP_BY_HOP.iter().any(|name| header.is(name)) && (!is_nominated || is_protected(header))
    })
}

fn is_protected(header: &Header<'_>) -> bool {
    PROTECTED.iter().any(|name| header.is(name))
        || PROTECTED_PREFIXES.iter().any(|prefix| {
            header.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

fn put_field(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}
