//! Requests of health checks: a balancer asks for one path, by GET, HEAD or OPTIONS, in HTTP/1.1 or 1.0.
//!
//! They are judged as strictly as any other head, but for the version, the method, and the Host that HTTP/1.0 does not know.
//! Whatever is not such a request is left to the rules of `request`, which name its fault.
//!
//! Not here: the path (`config::health`), and the answer (the front).

use bytes::Bytes;

use super::first_fault::without_leading_crlf;
use super::request::{check_incomplete_head, version_start, with_lines};
use super::version::as_http_1_1;
use crate::head::Target;
use crate::head::authority::is_authority;
use crate::head::fields::Occurrence;

/// A request for the health path, by its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthRequest {
    /// GET.
    Get,
    /// HEAD: the answer has no content.
    Head,
    /// OPTIONS: the answer names the methods.
    Options,
}

impl HealthRequest {
    /// The methods, as `Allow` names them.
    pub const METHODS: &'static str = "GET, HEAD, OPTIONS";

    const ALL: [Self; 3] = [Self::Get, Self::Head, Self::Options];

    fn method(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }

    /// The request for `path` that a whole head is, with any query. `None`: it is another one, or not a correct one.
    pub fn parse(head: &Bytes, path: &str) -> Option<Self> {
        // Most openings are done with at this comparison of some bytes.
        if !may_be_for(head, path) {
            return None;
        }
        // RFC 9110 §6.2: a later minor version is treated as 1.1.
        Self::parse_known_version(head, path)
            .or_else(|| Self::parse_known_version(&as_http_1_1(head, version_start(head)?)?, path))
    }

    fn parse_known_version(head: &Bytes, path: &str) -> Option<Self> {
        with_lines(head, |lines| {
            let request = Self::ALL.into_iter().find(|request| request.method() == lines.method)?;
            let has_host = match lines.headers.occurrence("host") {
                Occurrence::Once(host) => is_authority(host),
                // RFC 9112 §3.2: only a request of 1.1 needs one.
                Occurrence::Absent => lines.minor_version == 0,
                Occurrence::Repeated => false,
            };
            let target = str::from_utf8(lines.target).ok()?;
            let is_of_path =
                matches!(Target::parse(target).0, Target::Origin { path: asked, query: _ } if asked == path);
            (has_host && is_of_path).then_some(request)
        })
    }

    /// Whether a head that has come in part may become such a request. What may not need not be waited for.
    pub fn may_begin(received: &[u8], path: &str) -> bool {
        check_incomplete_head(received).is_ok() && may_be_for(received, path)
    }
}

/// Whether nothing in the first bytes of a request speaks against one for `path`.
fn may_be_for(received: &[u8], path: &str) -> bool {
    let received = if received == b"\r" { b"" } else { without_leading_crlf(received) };
    HealthRequest::ALL.iter().any(|request| {
        let target =
            behind(received, request.method().as_bytes()).and_then(|received| behind(received, b" "));
        let Some(target) = target else { return false };
        let behind_path = behind(target, path.as_bytes());
        // An absolute-form is judged when it is whole.
        behind_path.is_some_and(|rest| rest.first().is_none_or(|byte| matches!(byte, b' ' | b'?')))
            || behind(target, b"http").is_some()
    })
}

/// The bytes behind `expected` at the start of `received`: none if less has come, and that agrees. `None`: it does not.
fn behind<'r>(received: &'r [u8], expected: &[u8]) -> Option<&'r [u8]> {
    let (begun, rest) = received.split_at(received.len().min(expected.len()));
    expected.starts_with(begun).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HEAD_BYTES_MAX;
    use HealthRequest::{Get, Head, Options};

    const PATH: &str = "/status-0123456789abcdef";

    fn parse(head: &str) -> Option<HealthRequest> {
        HealthRequest::parse(&Bytes::copy_from_slice(head.as_bytes()), PATH)
    }

    #[test]
    fn takes_three_methods_in_either_version_and_a_host_only_where_it_has_to_be() {
        for (method, request) in [("GET", Get), ("HEAD", Head), ("OPTIONS", Options)] {
            for target in [PATH, &format!("{PATH}?"), &format!("{PATH}?a=b"), &format!("http://a{PATH}")] {
                for (rest, is_right) in [
                    ("HTTP/1.1\r\nHost: a\r\n", true),
                    ("HTTP/1.7\r\nHost: a\r\nX: y\r\n", true),
                    ("HTTP/1.0\r\n", true),
                    ("HTTP/1.0\r\nHost: a:80\r\nConnection: close\r\nContent-Length: 0\r\n", true),
                    ("HTTP/1.1\r\n", false),
                    ("HTTP/1.1\r\nHost: a\r\nHost: a\r\n", false),
                    ("HTTP/1.0\r\nHost: a\r\nHost: a\r\n", false),
                    ("HTTP/1.0\r\nHost: a b\r\n", false),
                    ("HTTP/1.0\r\nX : y\r\n", false),
                    ("HTTP/1.0\r\n x\r\n", false),
                    ("HTTP/1.0\nX: y\r\n", false),
                    ("HTTP/1.0\r\nContent-Length: 1\r\n", false),
                    ("HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", false),
                    ("HTTP/2.0\r\nHost: a\r\n", false),
                    ("HTTP/0.9\r\n", false),
                ] {
                    let head = format!("{method} {target} {rest}\r\n");
                    assert_eq!(parse(&head), is_right.then_some(request), "{head:?}");
                    assert_eq!(parse(&format!("\r\n{head}")), is_right.then_some(request), "{head:?}");
                }
            }
        }
    }

    #[test]
    fn other_methods_and_other_paths_are_other_requests() {
        for line in [
            "POST /status-0123456789abcdef",
            "get /status-0123456789abcdef",
            "GETS /status-0123456789abcdef",
            "GET /status-0123456789abcde",
            "GET /status-0123456789abcdef0",
            "GET /status-0123456789abcdef/",
            "GET /status-0123456789ABCDEF",
            "GET //status-0123456789abcdef",
            "GET /%73tatus-0123456789abcdef",
            "GET /",
            "GET *",
            "GET ftp://a/status-0123456789abcdef",
        ] {
            assert_eq!(parse(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")), None, "{line}");
        }
        assert_eq!(HealthRequest::parse(&Bytes::from_static(b"GET / HTTP/1.0\r\n\r\n"), "/"), Some(Get));
    }

    #[test]
    fn every_part_of_such_a_request_may_become_one_and_others_are_known_by_their_first_bytes() {
        for line in ["GET", "HEAD", "OPTIONS"] {
            let head = format!("\r\n{line} {PATH}?x HTTP/1.0\r\n\r\n");
            for cut in 0..head.len() {
                assert!(HealthRequest::may_begin(&head.as_bytes()[..cut], PATH), "{:?}", &head[..cut]);
            }
        }
        for begun in
            ["P", "GETT", "GET  ", "GET /t", "GET /status-1", "GET /status-0123456789abcdefg", "\x16", "\n"]
        {
            assert!(!HealthRequest::may_begin(begun.as_bytes(), PATH), "{begun:?}");
        }
        let endless = format!("GET {PATH} HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(!HealthRequest::may_begin(endless.as_bytes(), PATH));
    }
}
