//! A client's request head: parsed, checked strictly, refused by the first fault in a fixed order.
//!
//! A `RequestHead` is proof: HTTP/1.1 or a later 1.x, GET, exactly one valid Host, every line as RFC 9112 wants it, no body announced,
//! all within bounds.
//!
//! Not here: what makes it an opening handshake (`websocket::opening`), which API it belongs to (the catalogue).

use core::mem::MaybeUninit;

use bytes::{Buf, Bytes};

use super::first_fault::{
    begins_like_a_request, first_fault, first_fault_of_size, is_target, is_zero_length, without_leading_crlf,
};
use super::head_fault::HeadFault;
use super::lines::{LineFault, has_only_crlf_line_ends};
use super::version::as_http_1_1;
use crate::head::authority::is_authority;
use crate::head::fields::{Headers, Occurrence};
use crate::head::request::RequestHead;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};

/// Judges the bytes received so far of a head that is not whole (`find_head_end` has found no end).
///
/// # Errors
/// `SentNoHttp` at the first byte that cannot begin a request, `HeadTooBig` as soon as the head has no room for its end.
pub fn check_incomplete_head(received: &[u8]) -> Result<(), HeadFault> {
    if !begins_like_a_request(received) {
        return Err(HeadFault::SentNoHttp);
    }
    if received.len() >= HEAD_BYTES_MAX {
        return Err(HeadFault::HeadTooBig);
    }
    Ok(())
}

/// The fault of a head that was not whole in time: one that counts before `NotInTime` if what came of it shows one.
pub fn late_head_fault(received: &[u8]) -> HeadFault {
    first_fault_of_size(received).unwrap_or(HeadFault::NotInTime)
}

impl RequestHead {
    /// Parses one whole head: the bytes up to the end that `find_head_end` has found, nothing behind it.
    ///
    /// # Errors
    /// The first fault in the order of the variants of `HeadFault`, `BrokenLine` being one place in that order.
    pub fn parse(head: Bytes) -> Result<Self, HeadFault> {
        // RFC 9110 §6.2: a later minor version is treated as 1.1. httparse knows none, so it gets the head as one of 1.1.
        // `first_fault` decides what the fault is; the parser only whether there is one. That they agree is tested, and if
        // they did not, the head would still be refused.
        Self::parse_faultless(&head)
            .or_else(|| Self::parse_faultless(&as_http_1_1(&head, version_start(&head)?)?))
            .ok_or_else(|| first_fault(&head).unwrap_or(HeadFault::BrokenLine(LineFault::Malformed)))
    }

    fn parse_faultless(head: &Bytes) -> Option<Self> {
        with_lines(head, |Lines { method, minor_version, target, headers }| {
            let Occurrence::Once(host) = headers.occurrence("host") else { return None };
            let is_right = method == "GET" && minor_version == 1 && is_authority(host);
            is_right.then(|| Self::of(&headers, target, host))
        })
    }
}

/// The parts of a head all of whose lines are as RFC 9112 wants them, and which announces no body.
pub(super) struct Lines<'a> {
    pub(super) method: &'a str,
    /// 0 or 1.
    pub(super) minor_version: u8,
    pub(super) target: &'a [u8],
    pub(super) headers: Headers,
}

/// What `judge` makes of the lines of a whole head within bounds. `None`: one of them breaks a rule, or `judge` says so.
pub(super) fn with_lines<T>(head: &Bytes, judge: impl FnOnce(Lines<'_>) -> Option<T>) -> Option<T> {
    if head.len() > HEAD_BYTES_MAX || !has_only_crlf_line_ends(head) {
        return None;
    }
    let mut head = head.clone();
    if head.starts_with(b"\r\n") {
        head.advance(2);
    }
    // httparse skips any number of empty lines; one is enough (RFC 9112 §2.2).
    if !begins_like_a_request(&head) || head.starts_with(b"\r") {
        return None;
    }

    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let end = request.parse_with_uninit_headers(&head, &mut fields).ok()?;
    if end != httparse::Status::Complete(head.len()) {
        return None;
    }
    let target = request.path?.as_bytes();
    if target.len() > TARGET_BYTES_MAX || !is_target(target) {
        return None;
    }
    let headers = Headers::new(&head, request.headers.iter().map(|field| (field.name, field.value)));
    if announces_body(&headers) {
        return None;
    }
    judge(Lines { method: request.method?, minor_version: request.version?, target, headers })
}

/// Where the version stands in a request line that has one.
pub(super) fn version_start(head: &[u8]) -> Option<usize> {
    let line_start = head.len() - without_leading_crlf(head).len();
    let line_end = line_start + memchr::memchr(b'\r', &head[line_start..])?;
    line_end.checked_sub(b"HTTP/1.1".len())
}

fn announces_body(headers: &Headers) -> bool {
    headers.contains("transfer-encoding")
        || match headers.occurrence("content-length") {
            Occurrence::Absent => false,
            Occurrence::Once(length) => !is_zero_length(length),
            Occurrence::Repeated => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Target;

    fn parse(head: impl Into<Vec<u8>>) -> Result<RequestHead, HeadFault> {
        RequestHead::parse(Bytes::from(head.into()))
    }

    /// A head that differs from one in order in these lines.
    fn with_lines(lines: &str) -> Option<HeadFault> {
        parse(format!("GET /echo HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).err()
    }

    fn with_target(target: &str) -> Result<RequestHead, HeadFault> {
        parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    #[test]
    fn takes_target_host_and_headers_as_they_came() {
        let head =
            parse("\r\nGET /Echo/%2e?q=%zz{} HTTP/1.1\r\nhOsT: example.com:80\r\nX-y: \u{e4} z \r\n\r\n")
                .expect("a head in order");
        assert_eq!(head.target_text(), "/Echo/%2e?q=%zz{}");
        assert_eq!(head.target(), Target::Origin { path: "/Echo/%2e", query: Some("q=%zz{}") });
        assert_eq!(head.host(), "example.com:80");
        let names: Vec<_> = head.headers().iter().map(|header| header.name).collect();
        assert_eq!(names, ["hOsT", "X-y"]);
        assert_eq!(head.headers().occurrence("x-Y"), Occurrence::Once("\u{e4} z".as_bytes()));
    }

    #[test]
    fn lets_an_absolute_target_take_the_place_of_host() {
        let head = with_target("WS://example.com:8080?x").expect("a head in order");
        assert_eq!(head.target(), Target::Origin { path: "/", query: Some("x") });
        assert_eq!(head.host(), "example.com:8080");
        assert_eq!(parse("GET http://b/ HTTP/1.1\r\n\r\n").err(), Some(HeadFault::HostMissing));
        assert_eq!(
            parse("GET http://b/ HTTP/1.1\r\nHost: x y\r\n\r\n").err(),
            Some(HeadFault::HostNotAnAuthority)
        );
    }

    #[test]
    fn debug_shows_neither_query_nor_values() {
        let head = parse("GET /echo?key=secret HTTP/1.1\r\nHost: a\r\nX: secret\r\n\r\n").expect("a head");
        let shown = format!("{head:?}");
        assert!(shown.contains("/echo") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn bounds_the_head_at_16_kib() {
        let head = |len: usize| {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
        };
        assert!(parse(head(16_384)).is_ok());
        assert_eq!(parse(head(16_385)).err(), Some(HeadFault::HeadTooBig));

        let incomplete = head(16_385);
        assert_eq!(check_incomplete_head(&incomplete.as_bytes()[..16_383]), Ok(()));
        assert_eq!(check_incomplete_head(&incomplete.as_bytes()[..16_384]), Err(HeadFault::HeadTooBig));
    }

    #[test]
    fn bounds_the_headers_at_100() {
        let lines = |count: usize| "X: y\r\n".repeat(count - 1);
        assert_eq!(with_lines(&lines(100)), None);
        assert_eq!(with_lines(&lines(101)), Some(HeadFault::TooManyHeaders));
        // A folded line is no header of its own.
        assert_eq!(
            with_lines(&format!("{} z\r\n", lines(100))),
            Some(HeadFault::BrokenLine(LineFault::Folded))
        );
    }

    #[test]
    fn bounds_the_target_at_8_kib() {
        let target = |len: usize| format!("/{}", "x".repeat(len - 1));
        assert!(with_target(&target(8_192)).is_ok());
        assert_eq!(with_target(&target(8_193)).err(), Some(HeadFault::TargetTooLong));
        assert_eq!(parse(format!("GET {}\r\n\r\n", target(8_193))).err(), Some(HeadFault::TargetTooLong));
    }

    #[test]
    fn takes_later_minor_versions_for_http_1_1() {
        let head =
            |version: u8| parse(format!("\r\nGET /a?b HTTP/1.{version}\r\nHost: a\r\nX: HTTP/1.2\r\n\r\n"));
        for version in 1..=9 {
            let head = head(version).unwrap_or_else(|fault| panic!("HTTP/1.{version}: {fault}"));
            assert_eq!((head.target_text(), head.host()), ("/a?b", "a"), "{version}");
            assert_eq!(head.headers().occurrence("x"), Occurrence::Once(b"HTTP/1.2"), "{version}");
        }
        assert_eq!(parse("POST / HTTP/1.2\r\nHost: a\r\n\r\n").err(), Some(HeadFault::MethodNotGet));
        assert_eq!(parse("GET / HTTP/1.2\r\n\r\n").err(), Some(HeadFault::HostMissing));
    }

    #[test]
    fn refuses_other_versions_each_with_its_own_fault() {
        for (fault, versions) in [
            (HeadFault::AskedForHttp10, &["HTTP/1.0", "HTTP/1.0 "][..]),
            (HeadFault::AskedForOtherVersion, &["HTTP/2.0", "HTTP/2", "HTTP/3", "HTTP/0.9", "HTTP/9.1"]),
            (
                HeadFault::NamedNoVersion,
                &["HTTP/11", "HTTP/1.10", "HTTP/", "HTTP/1", "HTTP/1.x", "HTTP/20.0"],
            ),
        ] {
            for version in versions {
                let found = parse(format!("GET / {version}\r\nHost: a\r\n\r\n")).err();
                assert_eq!(found, Some(fault), "{version}");
            }
        }
        assert_eq!(parse("PRI * HTTP/2.0\r\n\r\n").err(), Some(HeadFault::AskedForOtherVersion));
        for line in ["GET /", "GET", "GET / http/1.1", "GET\t/\tHTTP/1.1", "hello world", "GET / XHTTP/1.1"] {
            let fault = parse(format!("{line}\r\nHost: a\r\n\r\n")).err();
            assert_eq!(fault, Some(HeadFault::NamedNoVersion), "{line}");
        }
    }

    #[test]
    fn refuses_every_method_but_get_with_405() {
        for method in ["POST", "HEAD", "OPTIONS", "CONNECT", "get", "GETT", "GE", "G(T", "M-SEARCH"] {
            let fault = parse(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).err();
            assert_eq!(fault, Some(HeadFault::MethodNotGet), "{method}");
        }
    }

    #[test]
    fn wants_exactly_one_host_that_is_an_authority() {
        let table = [
            ("", Some(HeadFault::HostMissing)),
            ("Host: a\r\n", None),
            ("host:[::1]:80 \r\n", None),
            ("Host: a\r\nhost: a\r\n", Some(HeadFault::HostRepeated)),
            ("Host:\r\n", Some(HeadFault::HostNotAnAuthority)),
            ("Host: a, b\r\n", Some(HeadFault::HostNotAnAuthority)),
            ("Host: u@a\r\n", Some(HeadFault::HostNotAnAuthority)),
            ("Host: a:65536\r\n", Some(HeadFault::HostNotAnAuthority)),
            ("Host: http://a\r\n", Some(HeadFault::HostNotAnAuthority)),
        ];
        for (lines, expected) in table {
            assert_eq!(parse(format!("GET / HTTP/1.1\r\n{lines}\r\n")).err(), expected, "{lines}");
        }
    }

    #[test]
    fn refuses_each_broken_line() {
        let table = [
            ("X: y\r\n z\r\n", LineFault::Folded),
            ("X: y\r\n\tz\r\n", LineFault::Folded),
            ("X: y\n", LineFault::BareLineFeed),
            ("X: y\rz\r\n", LineFault::BareCarriageReturn),
            ("X: y\r\r\n", LineFault::BareCarriageReturn),
            ("X: \0\r\n", LineFault::ControlCharacter),
            ("X: \x0b\r\n", LineFault::ControlCharacter),
            ("X: \x7f\r\n", LineFault::ControlCharacter),
            ("X : y\r\n", LineFault::SpaceBeforeColon),
            ("X\r\n", LineFault::Malformed),
            (": y\r\n", LineFault::Malformed),
            ("X y: z\r\n", LineFault::Malformed),
            ("X\0: z\r\n", LineFault::Malformed),
        ];
        for (lines, expected) in table {
            assert_eq!(
                with_lines(lines),
                Some(HeadFault::BrokenLine(expected)),
                "{}",
                lines.escape_default()
            );
        }
        let heads: [(&[u8], LineFault); 9] = [
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", LineFault::BareLineFeed),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", LineFault::BareLineFeed),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\n", LineFault::BareLineFeed),
            (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", LineFault::BareCarriageReturn),
            (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", LineFault::ControlCharacter),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", LineFault::Malformed),
            (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", LineFault::Malformed),
            (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", LineFault::Malformed),
            (b"GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n", LineFault::Folded),
        ];
        for (head, expected) in heads {
            assert_eq!(parse(head).err(), Some(HeadFault::BrokenLine(expected)), "{}", head.escape_ascii());
        }
        for target in ["/a b", "/a#b", "/\u{e4}", "/\x7f", "#"] {
            assert_eq!(with_target(target).err().map(HeadFault::status), Some(400), "{target}");
        }
    }

    #[test]
    fn refuses_a_body() {
        let table = [
            ("Content-Length: 0\r\n", None),
            ("Content-Length: 00\r\n", None),
            ("Content-Length: 1\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length:\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length: -0\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length: +0\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length: 0, 0\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length: 0\r\nContent-Length: 0\r\n", Some(HeadFault::AnnouncedContent)),
            ("Content-Length: 18446744073709551616\r\n", Some(HeadFault::AnnouncedContent)),
            ("Transfer-Encoding: chunked\r\n", Some(HeadFault::AnnouncedTransferEncoding)),
            ("transfer-encoding:\r\n", Some(HeadFault::AnnouncedTransferEncoding)),
        ];
        for (lines, expected) in table {
            assert_eq!(with_lines(lines), expected, "{lines}");
        }
    }

    #[test]
    fn knows_at_the_first_byte_what_is_no_request() {
        for begun in [&b""[..], b"G", b"\r", b"\r\n", b"\r\nG", b"PRI * HTTP/2.0\r\n"] {
            assert_eq!(check_incomplete_head(begun), Ok(()), "{}", begun.escape_ascii());
        }
        for other in [&b"\x16\x03\x01"[..], b"\x80", b" GET", b"\n", b"\rG", b"\r\n\r", b"\0", b"{", b"\r\n "]
        {
            assert_eq!(check_incomplete_head(other), Err(HeadFault::SentNoHttp), "{}", other.escape_ascii());
        }
        assert_eq!(parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(HeadFault::SentNoHttp));
        assert_eq!(parse("\n").err(), Some(HeadFault::SentNoHttp));
    }

    #[test]
    fn a_late_head_answers_with_the_faults_of_size_first() {
        assert_eq!(late_head_fault(b""), HeadFault::NotInTime);
        assert_eq!(late_head_fault(b"POST / HTTP/1.0\r\nHost"), HeadFault::NotInTime);
        let target = "x".repeat(8_192);
        assert_eq!(late_head_fault(format!("GET /{target}").as_bytes()), HeadFault::TargetTooLong);
        let lines = "X: y\r\n".repeat(101);
        assert_eq!(
            late_head_fault(format!("GET /{target} HTTP/1.1\r\n{lines}").as_bytes()),
            HeadFault::TooManyHeaders
        );
    }

    #[test]
    fn refuses_what_is_not_exactly_one_whole_head() {
        for head in ["", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\nx"] {
            assert_eq!(parse(head).err(), Some(HeadFault::BrokenLine(LineFault::Malformed)), "{head}");
        }
    }
}
