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

pub use backend_request::{Forwarded, encode_backend_request, encode_request_of};
pub use client_answer::{
    PassedOnBody, encode_answer, encode_chunk, encode_passed_on_head, encode_passed_on_head_of,
    encode_refusal, encode_switching_protocols, encode_switching_protocols_of, error_body, reason_phrase,
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

/// The fields of a head that policies see: all but those that Connection nominates. Connection can so take out what came
/// with it, and never what a policy sets.
pub fn visible_to_policies(headers: &Headers) -> impl Iterator<Item = Header<'_>> + Clone {
    let nominated: Vec<&[u8]> = headers.tokens("connection").collect();
    headers.iter().filter(move |header| {
        let is_nominated = nominated.iter().any(|token| token.eq_ignore_ascii_case(header.name.as_bytes()));
        !is_nominated || is_protected(header) || is_hop_by_hop(header)
    })
}

/// The fields that go on to the other leg, in order, of those that are [`visible_to_policies`].
fn without_hop_by_hop<'h>(
    fields: impl Iterator<Item = Header<'h>> + Clone,
) -> impl Iterator<Item = Header<'h>> + Clone {
    fields.filter(|header| !is_hop_by_hop(header))
}

fn is_hop_by_hop(header: &Header<'_>) -> bool {
    is_of_connection(header.name)
}

/// Whether a field means one connection only, and is written anew or left out on the other.
pub(crate) fn is_of_connection(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|known| name.eq_ignore_ascii_case(known))
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

/// What `fields` take when they are written.
fn fields_bytes<'h>(fields: impl Iterator<Item = Header<'h>>) -> usize {
    // The colon, the space and the line end.
    fields.map(|header| header.name.len() + header.value.len() + 4).sum()
}
