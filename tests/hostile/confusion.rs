//! Requests that two parsers could read differently: each is refused, and not a byte of it reaches a backend.
//!
//! Behind each head stands a request that a parser with another idea of its end would take for the next one.

use crate::neighbour::attacked;
use crate::support::handshake::{Handshake, read_refusal};
use crate::support::raw::{KEY, Raw};
use ringgate::session::{Cause, Phase};

/// The request that an attacker wants to smuggle to a backend.
const SMUGGLED: &[u8] = b"GET /t/smuggled HTTP/1.1\r\nHost: gateway.example\r\n\r\n";

struct Case {
    name: &'static str,
    rule: &'static str,
    bytes: Vec<u8>,
    status: u16,
    message: &'static str,
}

fn correct() -> Handshake {
    Handshake::new("/t")
}

/// A correct handshake with a target of its own.
fn target(target: &str) -> Vec<u8> {
    Handshake::new(target).encode()
}

/// A correct handshake with one more line, or several.
fn with(line: &str) -> Vec<u8> {
    correct().with(line).encode()
}

/// A correct handshake with this line in the place of those of the same field.
fn with_only(line: &str) -> Vec<u8> {
    correct().with_only(line).encode()
}

/// A correct handshake in which a part is something else.
fn with_replaced(part: &str, other: &str) -> Vec<u8> {
    let head = String::from_utf8(correct().encode()).unwrap();
    assert!(head.contains(part), "{part} in {head}");
    head.replacen(part, other, 1).into_bytes()
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn refused(
        &mut self,
        (status, message): (u16, &'static str),
        rule: &'static str,
        name: &'static str,
        bytes: Vec<u8>,
    ) {
        self.0.push(Case { name, rule, bytes, status, message });
    }

    fn run(self) {
        attacked("", "", |scene| {
            for case in &self.0 {
                scene.case(&format!("{} ({})", case.name, case.rule), || {
                    let cause = if case.status == 404 { Cause::NoApi } else { Cause::HeadFault };
                    let before = scene.gateway.terminations(cause, Phase::Head);
                    let mut client = Raw::connect(scene.gateway.address);
                    client.send(&[&case.bytes[..], SMUGGLED].concat());
                    read_refusal(&mut client, case.status, case.message);
                    drop(client);
                    scene.gateway.wait_for_terminations(cause, Phase::Head, before + 1);
                    scene.nothing_else_reached_the_backend();
                });
            }
        });
    }
}

const CONTENT: (u16, &str) = (400, "Content-Length not allowed");
const CODING: (u16, &str) = (400, "Transfer-Encoding not allowed");
const FOLDED: (u16, &str) = (400, "Folded header line");
const BARE_LF: (u16, &str) = (400, "Bare LF in head");
const BARE_CR: (u16, &str) = (400, "Bare CR in head");
const CONTROL: (u16, &str) = (400, "Control character in head");
const SPACE: (u16, &str) = (400, "Space before colon in header line");
const MALFORMED: (u16, &str) = (400, "Malformed line in head");
const REQUEST_LINE: (u16, &str) = (400, "Malformed request line");
const NO_HTTP: (u16, &str) = (400, "Not an HTTP request");
const VERSION: (u16, &str) = (505, "HTTP version not supported: use HTTP/1.1");
const METHOD: (u16, &str) = (405, "Method not allowed: use GET");
const NO_PATH: (u16, &str) = (400, "Request target has no path");
const NO_API: (u16, &str) = (404, "Resource not found");
const HOST_MISSING: (u16, &str) = (400, "Host header missing");
const HOST_REPEATED: (u16, &str) = (400, "Host header repeated");
const HOST: (u16, &str) = (400, "Host header is not a valid authority");
const NO_UPGRADE: (u16, &str) = (426, "WebSocket upgrade required");
const WEBSOCKET_VERSION: (u16, &str) = (426, "WebSocket version not supported: use 13");
const KEY_REPEATED: (u16, &str) = (400, "Sec-WebSocket-Key header repeated");
const KEY_MALFORMED: (u16, &str) = (400, "Sec-WebSocket-Key header is not 16 bytes in base64");
const EXTENSIONS: (u16, &str) = (400, "Malformed Sec-WebSocket-Extensions header");

#[test]
fn a_handshake_that_announces_a_body_is_refused_however_it_does() {
    let mut cases = Cases::default();
    let length = "RFC 9112 §6.3, RFC 9110 §8.6";
    cases.refused(CONTENT, length, "a length that covers the next request", with("Content-Length: 50"));
    cases.refused(CONTENT, length, "two lengths", with("Content-Length: 0\r\nContent-Length: 50"));
    cases.refused(CONTENT, length, "a length twice", with("Content-Length: 0\r\ncontent-length: 0"));
    cases.refused(CONTENT, length, "a list of equal lengths", with("Content-Length: 0, 0"));
    cases.refused(CONTENT, length, "a length with a sign", with("Content-Length: +50"));
    cases.refused(CONTENT, length, "a negative length", with("Content-Length: -1"));
    cases.refused(CONTENT, length, "a hexadecimal length", with("Content-Length: 0x32"));
    cases.refused(CONTENT, length, "a length with a space in it", with("Content-Length: 5 0"));
    cases.refused(CONTENT, length, "no digit", with("Content-Length:"));
    cases.refused(CONTENT, length, "2^64", with("Content-Length: 18446744073709551616"));
    cases.refused(
        CONTENT,
        "RFC 9110 §7.6.1",
        "a length that Connection nominates",
        with("Content-Length: 50\r\nConnection: Content-Length"),
    );

    let both = "RFC 9112 §6.1, §11.2";
    cases.refused(CODING, both, "chunked", with("Transfer-Encoding: chunked"));
    cases.refused(
        CONTENT,
        both,
        "length before chunked",
        with("Content-Length: 4\r\nTransfer-Encoding: chunked"),
    );
    cases.refused(
        CONTENT,
        both,
        "length behind chunked",
        with("Transfer-Encoding: chunked\r\nContent-Length: 4"),
    );
    cases.refused(
        CODING,
        both,
        "no length and chunked",
        with("Content-Length: 0\r\nTransfer-Encoding: chunked"),
    );
    let codings = "RFC 9112 §6.1";
    cases.refused(CODING, codings, "identity", with("Transfer-Encoding: identity"));
    cases.refused(CODING, codings, "an unknown coding", with("Transfer-Encoding: xchunked"));
    cases.refused(CODING, codings, "no coding", with("Transfer-Encoding:"));
    cases.refused(CODING, codings, "a tab before the coding", with("Transfer-Encoding:\tchunked"));
    cases.refused(CODING, codings, "a coding in mixed case", with("tRANSFER-eNCODING: cHUNKED"));
    cases.refused(
        CODING,
        codings,
        "two codings on two lines",
        with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
    );
    cases.refused(
        CODING,
        "RFC 9110 §7.6.1",
        "a coding that Connection nominates",
        with("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding"),
    );
    cases.run();
}

#[test]
fn a_line_whose_end_or_name_is_open_to_debate_is_refused() {
    let mut cases = Cases::default();
    let fold = "RFC 9112 §5.2";
    cases.refused(FOLDED, fold, "a folded length", with("Content-Length:\r\n 50"));
    cases.refused(FOLDED, fold, "a field in a folded line", with("X: a\r\n\tTransfer-Encoding: chunked"));
    cases.refused(FOLDED, fold, "a line of white space", with("X: a\r\n \t "));
    let first = with_replaced("Host:", " Transfer-Encoding: chunked\r\nHost:");
    cases.refused(FOLDED, "RFC 9112 §2.2", "white space in front of the first field", first);

    let line = "RFC 9112 §2.2";
    cases.refused(BARE_LF, line, "a field behind a bare LF", with("X: a\nTransfer-Encoding: chunked"));
    cases.refused(BARE_LF, line, "an end by bare LFs", with("X: a\n"));
    let line_feeds: Vec<u8> = correct().encode().into_iter().filter(|&byte| byte != b'\r').collect();
    cases.refused(BARE_LF, line, "a head with bare LFs alone", line_feeds);
    cases.refused(BARE_LF, line, "a request line with a bare LF", with_replaced("1.1\r\n", "1.1\n"));
    cases.refused(BARE_LF, line, "an empty line with a bare LF", with_replaced("==\r\n\r\n", "==\r\n\n"));
    cases.refused(BARE_CR, line, "a field behind a bare CR", with("X: a\rTransfer-Encoding: chunked"));
    cases.refused(BARE_CR, line, "two CRs before a LF", with("X: a\r\r\nY: b"));
    cases.refused(BARE_CR, line, "a CR behind the version", with_replaced("1.1\r\n", "1.1\r\r\n"));
    cases.refused(BARE_LF, line, "LF and CR the wrong way round", with("X: a\n\rY: b"));
    cases.refused(NO_HTTP, line, "two empty lines in front", [b"\r\n\r\n", &correct().encode()[..]].concat());
    cases.refused(NO_HTTP, line, "a bare LF in front", [b"\n", &correct().encode()[..]].concat());

    let name = "RFC 9112 §5.1";
    cases.refused(SPACE, name, "a space before the colon", with("Transfer-Encoding : chunked"));
    cases.refused(SPACE, name, "a tab before the colon", with("Content-Length\t: 50"));
    let token = "RFC 9110 §5.1, §5.6.2";
    cases.refused(MALFORMED, token, "a NUL in a name", with("Transfer-Encoding\0: chunked"));
    cases.refused(MALFORMED, token, "a name that is not ASCII", with("Träns: chunked"));
    cases.refused(MALFORMED, token, "no name", with(": chunked"));
    cases.refused(MALFORMED, token, "no colon", with("Transfer-Encoding chunked"));
    cases.refused(MALFORMED, token, "a request line among the fields", with("GET /t/x HTTP/1.1"));
    let value = "RFC 9110 §5.5";
    cases.refused(CONTROL, value, "a NUL in a value", with("X: a\0Transfer-Encoding: chunked"));
    cases.refused(CONTROL, value, "a vertical tab", with("X:\x0bchunked"));
    cases.refused(CONTROL, value, "a DEL", with("X: \x7f"));
    cases.run();
}

#[test]
fn a_request_for_another_protocol_or_another_place_is_refused() {
    let mut cases = Cases::default();
    let line = "RFC 9112 §3";
    cases.refused(MALFORMED, line, "two spaces", with_replaced("GET /t", "GET  /t"));
    cases.refused(MALFORMED, line, "a space in the target", with_replaced("/t", "/t /admin"));
    cases.refused(MALFORMED, line, "two versions", with_replaced("HTTP/1.1", "HTTP/1.1 HTTP/1.1"));
    cases.refused(REQUEST_LINE, line, "tabs", with_replaced("GET /t HTTP/1.1", "GET\t/t\tHTTP/1.1"));
    cases.refused(REQUEST_LINE, line, "a version in lower case", with_replaced("HTTP/1.1", "http/1.1"));
    cases.refused(METHOD, line, "a space in front", with_replaced("GET /t", "GET: x"));
    cases.refused(NO_HTTP, line, "a space at the very front", with_replaced("GET", " GET"));

    let target_rule = "RFC 9112 §3.2";
    cases.refused(CONTROL, target_rule, "a NUL in the target", target("/t\0/admin"));
    cases.refused(MALFORMED, target_rule, "a fragment", target("/t#/admin"));
    cases.refused(MALFORMED, target_rule, "a target that is not ASCII", target("/t/ä"));
    cases.refused(NO_API, "RFC 9112 §3.2.1", "an authority in an origin-form", target("//gateway.example/t"));
    let absolute = "RFC 9112 §3.2.2, RFC 9110 §4.2";
    cases.refused(NO_PATH, absolute, "userinfo", target("http://gateway.example@evil.example/t"));
    cases.refused(NO_PATH, absolute, "a backslash", target("http://evil.example\\@gateway.example/t"));
    cases.refused(NO_PATH, absolute, "no authority", target("http:///t"));
    cases.refused(NO_PATH, absolute, "another scheme", target("file://gateway.example/t"));
    cases.refused(NO_PATH, absolute, "no scheme", target("gateway.example/t"));
    let without_host = Handshake::new("ws://gateway.example/t").without("Host").encode();
    cases.refused(HOST_MISSING, "RFC 9112 §3.2", "an absolute-form instead of Host", without_host);
    let authority = Handshake { method: "CONNECT", ..Handshake::new("backend.example:443") }.encode();
    cases.refused(METHOD, "RFC 9112 §3.2.3, RFC 9110 §9.3.6", "CONNECT and its authority-form", authority);
    let asterisk = Handshake { method: "OPTIONS", ..Handshake::new("*") }.encode();
    cases.refused(METHOD, "RFC 9112 §3.2.4", "OPTIONS and its asterisk-form", asterisk);
    let trace = Handshake { method: "TRACE", ..correct() }.encode();
    cases.refused(METHOD, "RFC 9110 §9.3.8", "TRACE", trace);

    let host = "RFC 9112 §3.2";
    cases.refused(HOST_REPEATED, host, "two hosts", with("Host: admin.example"));
    cases.refused(HOST, host, "a list of hosts", with_only("Host: gateway.example, admin.example"));
    cases.refused(HOST, host, "an empty host", with_only("Host:"));
    cases.refused(HOST, host, "a path in the host", with_only("Host: gateway.example/t"));
    cases.refused(HOST, host, "a folded host", with_only("Host:\r\n gateway.example"));
    cases.refused(HOST, host, "a CR in the host", with_only("Host: gateway.example\rX-Forwarded-Host: a"));

    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    cases.refused(VERSION, "RFC 9113 §3.4", "the preface of HTTP/2", preface);
    let in_disguise = Handshake { method: "PRI", ..correct() }.encode();
    cases.refused(METHOD, "RFC 9113 §3.4", "PRI with a version of 1.1", in_disguise);
    let h2c = correct()
        .with_only("Upgrade: h2c")
        .with_only("Connection: Upgrade, HTTP2-Settings")
        .with("HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA");
    cases.refused(NO_UPGRADE, "RFC 9113 §3.1, RFC 9110 §7.8", "an upgrade to h2c", h2c.encode());
    cases.run();
}

#[test]
fn a_handshake_that_contradicts_itself_is_refused() {
    let mut cases = Cases::default();
    let upgrade = "RFC 6455 §4.2.1";
    cases.refused(NO_UPGRADE, upgrade, "a longer name", with_only("Upgrade: websocket2"));
    cases.refused(NO_UPGRADE, upgrade, "a version behind the name", with_only("Upgrade: websocket/13"));
    cases.refused(NO_UPGRADE, upgrade, "an Upgrade without its option", with_only("Connection: close"));
    cases.refused(NO_UPGRADE, upgrade, "an option in a longer one", with_only("Connection: no-upgrade"));
    let versions = with("Sec-WebSocket-Version: 8");
    cases.refused(WEBSOCKET_VERSION, "RFC 6455 §11.3.5", "two versions", versions);
    let list = with_only("Sec-WebSocket-Version: 13, 8");
    cases.refused(WEBSOCKET_VERSION, "RFC 6455 §4.2.1, §11.3.5", "a list of versions", list);
    let keys = with("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==");
    cases.refused(KEY_REPEATED, "RFC 6455 §11.3.1", "two keys", keys);
    let list = with_only(&format!("Sec-WebSocket-Key: {KEY}, AQIDBAUGBwgJCgsMDQ4PEA=="));
    cases.refused(KEY_MALFORMED, "RFC 6455 §4.2.1", "a list of keys", list);
    let extensions = with("Sec-WebSocket-Extensions: permessage-deflate;;");
    cases.refused(EXTENSIONS, "RFC 6455 §9.1", "a broken list of extensions", extensions);
    cases.run();
}
