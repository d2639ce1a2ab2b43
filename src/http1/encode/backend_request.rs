//! The opening handshake that goes to the backend.
//!
//! Not here: certificates, names and addresses of the backend.

use core::net::IpAddr;

use bytes::{BufMut as _, BytesMut};

use super::{end_to_end, put_field};
use crate::http1::request::RequestHead;

/// What a backend is told about the connection that it does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// Who the client is; an IPv4 address in IPv6 clothes is written as the IPv4 address it is.
    pub client: IpAddr,
    /// `http` or `https`: that of the listener.
    pub proto: &'static str,
    /// The authority that the client spoke to.
    pub host: &'a str,
}

/// Encodes the request to the backend.
///
/// `path_and_query` is the new target, `authority` what Host says to this backend: both out of a checked catalogue and a
/// checked target, so neither has white space or a line end in it. What `Sec-WebSocket-*` says stays the client's.
pub fn encode_backend_request(
    request: &RequestHead,
    path_and_query: &str,
    authority: &str,
    forwarded: &Forwarded<'_>,
) -> BytesMut {
    debug_assert!(
        path_and_query.starts_with('/') && path_and_query.bytes().all(|byte| byte.is_ascii_graphic())
    );
    debug_assert!(authority.bytes().all(|byte| byte.is_ascii_graphic()));
    let mut head =
        BytesMut::with_capacity(request.len_bytes() + path_and_query.len() + authority.len() + ADDED_BYTES);
    head.put_slice(b"GET ");
    head.put_slice(path_and_query.as_bytes());
    head.put_slice(b" HTTP/1.1\r\n");

    let client = forwarded.client.to_canonical().to_string();
    let appended = [
        ("X-Forwarded-For", client.as_str()),
        ("X-Forwarded-Proto", forwarded.proto),
        ("X-Forwarded-Host", forwarded.host),
    ];
    let last_lines = appended.map(|(name, _)| {
        end_to_end(request.headers())
            .enumerate()
            .filter(|(_, header)| header.is(name))
            .last()
            .map(|(index, _)| index)
    });
    for (index, header) in end_to_end(request.headers()).enumerate() {
        if header.is("host") {
            put_field(&mut head, header.name, authority.as_bytes());
        } else if let Some(list) = last_lines.iter().position(|last| *last == Some(index)) {
            put_list_field(&mut head, header.name, header.value, appended[list].1);
        } else {
            put_field(&mut head, header.name, header.value);
        }
    }
    for ((name, value), last_line) in appended.iter().zip(last_lines) {
        if last_line.is_none() {
            put_field(&mut head, name, value.as_bytes());
        }
    }
    head.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    head
}

/// Room for the fields that a request gains: three X-Forwarded with an IPv6 address, Connection, Upgrade.
const ADDED_BYTES: usize = 256;

fn put_list_field(head: &mut BytesMut, name: &str, list: &[u8], element: &str) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(list);
    if !list.is_empty() {
        head.put_slice(b", ");
    }
    head.put_slice(element.as_bytes());
    head.put_slice(b"\r\n");
}
