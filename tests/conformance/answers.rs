//! The rules of RFC 9110 and RFC 9112 for the answer to a request that is no opening handshake, one row per rule.

use bytes::Bytes;
use ringgate::head::{HttpDate, Method, RequestHead};
use ringgate::http1::encode::encode_refusal;
use ringgate::http1::{ResponseHead, find_head_end};
use ringgate::websocket::opening::check_request;

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

struct Row {
    section: &'static str,
    rule: &'static str,
    /// The request line.
    line: &'static str,
    fields: String,
    /// `None`: it is a handshake.
    status: Option<u16>,
    /// Fields that the answer has to have.
    wanted: &'static [(&'static str, &'static str)],
}

fn rows() -> Vec<Row> {
    let host = || format!("Host: a\r\n{HANDSHAKE}");
    let row =
        |section, rule, line, fields, status, wanted| Row { section, rule, line, fields, status, wanted };
    let upgrade: &[_] = &[("Upgrade", "websocket"), ("Connection", "upgrade, close")];
    vec![
        row("9110 §6.2", "a later minor version is one's own", "GET / HTTP/1.2", host(), None, &[]),
        row("9110 §6.2", "up to the last", "GET / HTTP/1.9", host(), None, &[]),
        row("9110 §6.2, §9.1", "with its rules", "POST / HTTP/1.9", host(), Some(405), &[("Allow", "GET")]),
        row("9110 §7.8, §15.5.22", "no upgrade in HTTP/1.0", "GET / HTTP/1.0", host(), Some(426), upgrade),
        row("9110 §15.6.6", "another major version", "GET / HTTP/2.0", host(), Some(505), &[]),
        row("9110 §15.6.6", "an earlier one", "GET / HTTP/0.9", host(), Some(505), &[]),
        row("9112 §2.3", "a version has two digits", "GET / HTTP/1.10", host(), Some(400), &[]),
        row("9112 §3", "a request line has a version", "GET /", host(), Some(400), &[]),
        row("9112 §3.2", "a request has a Host", "GET / HTTP/1.1", HANDSHAKE.to_owned(), Some(400), &[]),
        row(
            "9110 §15.5.6",
            "405 says what is allowed",
            "PUT / HTTP/1.1",
            host(),
            Some(405),
            &[("Allow", "GET")],
        ),
        row("9110 §9.3.2", "HEAD gets a head", "HEAD / HTTP/1.1", host(), Some(405), &[("Allow", "GET")]),
        row("9110 §9.3.2", "whatever is wrong", "HEAD / HTTP/1.0", host(), Some(426), upgrade),
        row("9110 §9.3.2", "with its version too", "HEAD / HTTP/3.0", host(), Some(505), &[]),
        row("9110 §9.3.2", "and its version malformed", "HEAD / HTTP/1.x", host(), Some(400), &[]),
        row(
            "9110 §9.1",
            "methods are case-sensitive",
            "head / HTTP/1.1",
            host(),
            Some(405),
            &[("Allow", "GET")],
        ),
        row(
            "9110 §15.5.22",
            "no upgrade asked for",
            "GET / HTTP/1.1",
            "Host: a\r\n".to_owned(),
            Some(426),
            upgrade,
        ),
    ]
}

#[test]
fn every_request_has_its_answer_with_a_date_and_a_body_unless_it_is_head() {
    let date = HttpDate::from_unix(784_111_777);
    for Row { section, rule, line, fields, status, wanted } in rows() {
        let what = format!("RFC {section}, {rule}: {line}");
        let request = Bytes::from(format!("{line}\r\n{fields}\r\n"));
        let method = Method::begun_by(&request);
        let fault = RequestHead::parse(request).and_then(|request| check_request(&request)).err();
        assert_eq!(fault.map(|fault| fault.status()), status, "{what}");
        let Some(fault) = fault else { continue };
        let answer =
            encode_refusal(fault.status(), fault.response_headers(), fault.message(), method, &date).freeze();
        let head_end = find_head_end(&answer, 0).expect("a head");
        let head = ResponseHead::parse(answer.slice(..head_end)).expect("a head in order");
        for (name, value) in wanted.iter().chain(&[("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]) {
            assert_eq!(
                head.headers().get_all(name).collect::<Vec<_>>(),
                [value.as_bytes()],
                "{what}: {name}"
            );
        }
        assert_eq!(answer.len() > head_end, !line.starts_with("HEAD "), "{what}");
        let length = (answer.len() - head_end).to_string();
        let declared: Vec<_> = head.headers().get_all("Content-Length").collect();
        let expected = if line.starts_with("HEAD ") { vec![] } else { vec![length.as_bytes()] };
        assert_eq!(declared, expected, "{what}");
    }
}
