//! The opening handshake that goes to the backend.
//!
//! Not here: certificates, names and addresses of the backend.

use core::net::IpAddr;

use bytes::{BufMut as _, BytesMut};

use super::{fields_bytes, put_field};
use crate::head::Header;
use crate::head::RequestHead;
use crate::head::forwarding::visible_to_policies;
use crate::head::forwarding::without_hop_by_hop;
use crate::head::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

/// The facts about the client's connection that the backend cannot see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// Who the client is; an IPv4 address in IPv6 clothes is written as the IPv4 address it is.
    pub client: IpAddr,
    /// `http` or `https`: that of the listener.
    pub proto: &'static str,
    /// The authority that the client spoke to.
    pub host: &'a str,
    /// The place of the opening in a trace. `None`: what the request says of traces is passed on as any other field.
    pub trace: Option<TraceContext>,
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
    encode_request_of(visible_to_policies(request.headers()), path_and_query, authority, forwarded)
}

/// The same, of fields that policies may have changed: there is a Host among them, and none can end its line.
pub fn encode_request_of<'h>(
    fields: impl Iterator<Item = Header<'h>> + Clone,
    path_and_query: &str,
    authority: &str,
    forwarded: &Forwarded<'_>,
) -> BytesMut {
    let fields = without_hop_by_hop(fields).filter(|header| !is_of_trace(header, forwarded.trace));
    debug_assert!(
        path_and_query.starts_with('/') && path_and_query.bytes().all(|byte| byte.is_ascii_graphic())
    );
    debug_assert!(authority.bytes().all(|byte| byte.is_ascii_graphic()));
    let mut head = BytesMut::with_capacity(
        fields_bytes(fields.clone()) + path_and_query.len() + authority.len() + ADDED_BYTES,
    );
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
        fields.clone().enumerate().filter(|(_, header)| header.is(name)).last().map(|(index, _)| index)
    });
    for (index, header) in fields.enumerate() {
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
    if let Some(trace) = forwarded.trace {
        put_field(&mut head, TRACEPARENT, trace.outgoing().to_string().as_bytes());
    }
    head.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    head
}

/// Whether a field is replaced by that of the trace. W3C Trace Context §4.3: what belongs to a trace that is not taken up, goes.
fn is_of_trace(header: &Header<'_>, trace: Option<TraceContext>) -> bool {
    trace.is_some_and(|trace| header.is(TRACEPARENT) || (trace.client.is_none() && header.is(TRACESTATE)))
}

/// Room for the fields that a request gains: three X-Forwarded with an IPv6 address, traceparent, Connection, Upgrade.
const ADDED_BYTES: usize = 384;

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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::head::trace_context::{Sampling, TraceParent};

    fn encode(lines: &str, client: &str) -> String {
        encode_traced(lines, client, None)
    }

    fn encode_traced(lines: &str, client: &str, trace: Option<TraceContext>) -> String {
        let head = format!("GET /echo/x?y HTTP/1.1\r\n{lines}\r\n");
        let request = RequestHead::parse(Bytes::from(head)).expect("a head in order");
        let forwarded = Forwarded {
            client: client.parse().expect("an address"),
            proto: "https",
            host: request.host(),
            trace,
        };
        let encoded = encode_backend_request(&request, "/socket/x?y", "backend:9001", &forwarded);
        String::from_utf8(encoded.to_vec()).expect("ASCII")
    }

    #[test]
    fn keeps_order_and_spelling_and_rebuilds_the_upgrade() {
        let encoded = encode(
            "user-AGENT: z\r\nhOST: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket, h2c\r\n\
             sec-WebSocket-Key: k\r\nCookie: a=b\r\nSEC-WebSocket-Extensions: x; y\r\ncookie: c=d\r\n",
            "192.0.2.1",
        );
        assert_eq!(
            encoded,
            "GET /socket/x?y HTTP/1.1\r\nuser-AGENT: z\r\nhOST: backend:9001\r\nsec-WebSocket-Key: k\r\n\
             Cookie: a=b\r\nSEC-WebSocket-Extensions: x; y\r\ncookie: c=d\r\nX-Forwarded-For: 192.0.2.1\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: example.com\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
    }

    #[test]
    fn removes_hop_by_hop_fields_and_what_connection_nominates() {
        let encoded = encode(
            "Host: a\r\nKeep-Alive: 1\r\nProxy-Connection: 2\r\nProxy-Authorization: 3\r\nproxy-authenticate: 4\r\n\
             TE: 5\r\nTrailer: 6\r\nContent-Length: 0\r\nHTTP2-Settings: 7\r\nX-Gone: 8\r\nX-Gone-Too: 9\r\n\
             X-Stays: 10\r\nConnection: x-gone, Upgrade\r\nconnection: X-GONE-TOO\r\n",
            "192.0.2.1",
        );
        let (fields, _) = encoded.split_once("X-Forwarded-For").expect("a line of ours");
        assert_eq!(fields, "GET /socket/x?y HTTP/1.1\r\nHost: backend:9001\r\nX-Stays: 10\r\n");
    }

    #[test]
    fn lets_a_client_nominate_away_neither_handshake_nor_origin() {
        let encoded = encode(
            "Host: a\r\nSec-WebSocket-Key: 1\r\nX-Forwarded-For: 2\r\nx-forwarded-port: 3\r\nForwarded: 4\r\n\
             Connection: Host, sec-websocket-key, x-forwarded-for, X-Forwarded-Port, forwarded\r\n",
            "192.0.2.1",
        );
        for line in [
            "Host: backend:9001\r\n",
            "Sec-WebSocket-Key: 1\r\n",
            "X-Forwarded-For: 2, 192.0.2.1\r\n",
            "x-forwarded-port: 3\r\n",
            "Forwarded: 4\r\n",
        ] {
            assert!(encoded.contains(line), "{line} in {encoded}");
        }
    }

    #[test]
    fn appends_to_the_last_line_of_a_list() {
        let encoded = encode(
            "Host: a\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-Proto:\r\n\
             X-Forwarded-Host: b\r\n",
            "2001:db8::1",
        );
        assert!(encoded.contains(
            "Host: backend:9001\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2, 3.3.3.3, 2001:db8::1\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: b, a\r\nConnection"
        ), "{encoded}");
    }

    #[test]
    fn writes_a_mapped_address_as_the_ipv4_address_it_is() {
        assert!(encode("Host: a\r\n", "::ffff:192.0.2.1").contains("X-Forwarded-For: 192.0.2.1\r\n"));
    }

    #[test]
    fn forwards_the_authority_of_an_absolute_target_as_host() {
        let head = Bytes::from_static(b"GET ws://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = RequestHead::parse(head).expect("a head in order");
        let forwarded = Forwarded {
            client: IpAddr::from([192, 0, 2, 1]),
            proto: "http",
            host: request.host(),
            trace: None,
        };
        let encoded = encode_backend_request(&request, "/x", "c", &forwarded);
        assert!(encoded.starts_with(b"GET /x HTTP/1.1\r\nHost: c\r\n"));
        assert!(String::from_utf8_lossy(&encoded).contains("X-Forwarded-Host: b:1\r\n"));
    }

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The lines of a request about traces, where the opening has this place in one.
    fn lines_of_trace(trace: Option<TraceContext>) -> String {
        let lines = format!("Host: a\r\ntraceparent: {GIVEN}\r\nTraceState: v=1\r\ntracestate: w=2\r\n");
        let encoded = encode_traced(&lines, "192.0.2.1", trace);
        let is_of_trace = |line: &&str| line.to_ascii_lowercase().starts_with("trace");
        encoded.split("\r\n").filter(is_of_trace).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn passes_the_fields_of_traces_on_as_they_came_where_there_are_no_traces() {
        assert_eq!(lines_of_trace(None), format!("traceparent: {GIVEN}, TraceState: v=1, tracestate: w=2"));
    }

    #[test]
    fn says_its_own_span_in_the_clients_trace_and_passes_tracestate_on_unchanged() {
        let begun = TraceContext::begin([7; 16], [9; 16], Sampling(100));
        let client = TraceParent::parse(GIVEN.as_bytes()).expect("valid");
        let expected = "TraceState: v=1, tracestate: w=2, \
                        traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0909090909090909-01";
        assert_eq!(lines_of_trace(Some(begun.within(client))), expected);
    }

    #[test]
    fn passes_nothing_of_a_trace_on_that_it_does_not_take_up() {
        let begun = TraceContext::begin([7; 16], [9; 16], Sampling(0));
        let expected = format!("traceparent: 00-{}-0909090909090909-02", "07".repeat(16));
        assert_eq!(lines_of_trace(Some(begun)), expected);
    }
}
