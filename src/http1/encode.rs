//! Heads to send: the request to the backend, and the answer to the client.
//!
//! End-to-end fields keep order and spelling; hop-by-hop fields (RFC 9110 §7.6.1) end here and are written anew. No value can add
//! a line: those of a parsed head hold no CR, LF or NUL, and the others are ours.
//!
//! Not here: which backend, which path, which body.

mod backend_request;
mod client_answer;

use bytes::{BufMut as _, BytesMut};

use crate::head::Header;

pub use backend_request::{Forwarded, encode_backend_request, encode_request_of};
pub use client_answer::{
    PassedOnBody, encode_answer, encode_chunk, encode_passed_on_head, encode_passed_on_head_of,
    encode_refusal, encode_switching_protocols, encode_switching_protocols_of,
};

fn put_field(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}

/// Returns the size of `fields` when they are written.
fn fields_bytes<'h>(fields: impl Iterator<Item = Header<'h>>) -> usize {
    // The colon, the space and the line end.
    fields.map(|header| header.name.len() + header.value.len() + 4).sum()
}
