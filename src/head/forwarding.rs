//! Decides which fields of a head go on to the other leg, and which of them policies see (RFC 9110 §7.6.1).
//!
//! Not here: what is written in the place of those that end here (`http1::encode`).

use super::{Header, Headers};

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
pub(crate) fn without_hop_by_hop<'h>(
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
