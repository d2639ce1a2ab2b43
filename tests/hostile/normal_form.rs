//! Odd requests that are correct all the same: what reaches the backend has one reading only.
//!
//! The backend's head is compared byte by byte with the one it should be, and httparse, which knows nothing of ringgate, has
//! to find the same in it: one Host, no body, no field of another connection. Nothing stands between it and the first frame.

use crate::neighbour::attacked;
use crate::support::backend::{Pair, switching};
use crate::support::handshake::Handshake;
use crate::support::raw::{KEY, Raw};
use std::net::SocketAddr;

struct Case {
    name: &'static str,
    rule: &'static str,
    bytes: Vec<u8>,
    /// The target of the request to the backend.
    target: &'static str,
    /// Whom the client spoke to.
    host: &'static str,
    /// The fields behind those of every handshake.
    fields: Vec<&'static str>,
}

impl Case {
    fn head(&self, backend: SocketAddr) -> String {
        let mut lines = vec![
            format!("GET {} HTTP/1.1", self.target),
            format!("Host: {backend}"),
            "Sec-WebSocket-Version: 13".to_owned(),
            format!("Sec-WebSocket-Key: {KEY}"),
        ];
        lines.extend(self.fields.iter().map(|&field| field.to_owned()));
        lines.extend([
            "X-Forwarded-For: 127.0.0.1".to_owned(),
            "X-Forwarded-Proto: http".to_owned(),
            format!("X-Forwarded-Host: {}", self.host),
            "Connection: Upgrade".to_owned(),
            "Upgrade: websocket".to_owned(),
        ]);
        lines.iter().map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n"
    }
}

/// Fields of one connection: none of the client's may be in the backend's head.
const OF_ONE_CONNECTION: [&str; 9] = [
    "Transfer-Encoding",
    "Content-Length",
    "TE",
    "Trailer",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "HTTP2-Settings",
];

/// Reads a head by another parser, and checks that it can be read in one way only.
fn assert_unambiguous(head: &str) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let end = request.parse(head.as_bytes()).expect("a head that parses");
    assert_eq!(end, httparse::Status::Complete(head.len()), "{head}");
    assert_eq!((request.method, request.version), (Some("GET"), Some(1)), "{head}");
    let values = |name: &str| -> Vec<&[u8]> {
        let of_name = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        of_name.map(|field| field.value).collect()
    };
    for once in ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        assert_eq!(values(once).len(), 1, "{once} in {head}");
    }
    assert_eq!(values("Connection"), [b"Upgrade"], "{head}");
    assert_eq!(values("Upgrade"), [b"websocket"], "{head}");
    for gone in OF_ONE_CONNECTION {
        assert!(values(gone).is_empty(), "{gone} in {head}");
    }
}

fn run(cases: &[Case]) {
    attacked("", "", |scene| {
        for case in cases {
            scene.case(&format!("{} ({})", case.name, case.rule), || {
                let mut client = Raw::connect(scene.gateway.address);
                client.send(&case.bytes);
                let (mut backend, head) = scene.backend.take_request();
                assert_eq!(head, case.head(scene.backend.address));
                assert_unambiguous(&head);
                backend.send(switching(&head, "").as_bytes());
                assert!(client.read_head().starts_with("HTTP/1.1 101 "));
                scene.close(Pair { client, backend });
            });
        }
    });
}

fn correct() -> Handshake {
    Handshake::new("/t")
}

/// A handshake whose further lines become these fields.
fn case(
    rule: &'static str,
    name: &'static str,
    handshake: &Handshake,
    fields: impl Into<Vec<&'static str>>,
) -> Case {
    Case {
        name,
        rule,
        bytes: handshake.encode(),
        target: "/",
        host: "gateway.example",
        fields: fields.into(),
    }
}

#[test]
fn fields_that_a_client_nominates_end_at_the_gateway_and_no_others() {
    let rule = "RFC 9110 §7.6.1";
    let only = |line: &str| correct().with_only(line);
    run(&[
        case(
            rule,
            "a field nominated in an untidy list",
            &only("Connection: ,Upgrade ,,\tx-INTERNAL\t,").with("X-Internal: a").with("x-internal: b"),
            [],
        ),
        case(
            rule,
            "a field nominated on a line behind it",
            &correct().with("X-Internal: a").with("Connection: X-Internal"),
            [],
        ),
        case(
            rule,
            "credentials",
            &only("Connection: Upgrade, Authorization, Cookie")
                .with("Authorization: Basic eA==")
                .with("Cookie: a=b")
                .with("X: y"),
            ["X: y"],
        ),
        case(
            rule,
            "a field whose name only begins like a nominated one",
            &only("Connection: Upgrade, X-In").with("X-Internal: a").with("X-I: b"),
            ["X-Internal: a", "X-I: b"],
        ),
        case(
            rule,
            "an option that is no name",
            &only("Connection: Upgrade, \"X-Internal\"").with("X-Internal: a"),
            ["X-Internal: a"],
        ),
        case(
            "RFC 6455 §4.1, RFC 9112 §3.2",
            "the handshake itself, nominated",
            &only("Connection: Upgrade, Host, Sec-WebSocket-Key, sec-websocket-version"),
            [],
        ),
        case(
            rule,
            "the protection of where it comes from",
            &only("Connection: Upgrade, Forwarded, X-Forwarded-For").with("Forwarded: for=192.0.2.1"),
            ["Forwarded: for=192.0.2.1"],
        ),
        case(rule, "a wish to close beside the upgrade", &only("Connection: close, Upgrade"), []),
        case(
            rule,
            "no body, nominated",
            &correct().with("Content-Length: 0").with("Connection: content-length"),
            [],
        ),
        case("RFC 9110 §10.1.4", "trailers", &only("Connection: Upgrade, TE").with("TE: trailers"), []),
        case("RFC 9110 §10.1.4", "trailers that nobody nominated", &correct().with("TE: trailers"), []),
    ]);
}

#[test]
fn an_upgrade_to_several_protocols_becomes_one_to_websocket() {
    let rule = "RFC 9110 §7.8";
    let settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA";
    run(&[
        case(
            rule,
            "h2c first",
            &correct()
                .with_only("Upgrade: h2c, websocket")
                .with_only("Connection: Upgrade, HTTP2-Settings")
                .with(settings),
            [],
        ),
        case(
            rule,
            "h2c last, on a line of its own, its settings not nominated",
            &correct().with("Upgrade: h2c").with(settings),
            [],
        ),
        case(
            rule,
            "the same twice",
            &correct().with("upgrade: WebSocket").with("connection: upgrade, keep-alive"),
            [],
        ),
    ]);
}

#[test]
fn an_odd_but_correct_head_passes_in_its_normal_form() {
    let field = "RFC 9110 §5.1, §5.3, §5.5";
    let absolute = |target, host, seen| Case {
        target: seen,
        host,
        ..case("RFC 9112 §3.2.2", "an absolute-form", &Handshake::new(target), [])
    };
    let origin = |name, target, seen| Case {
        target: seen,
        ..case("RFC 9112 §3.2.1, RFC 3986 §2.1", name, &Handshake::new(target), [])
    };
    let mut after_an_empty_line = case("RFC 9112 §2.2", "an empty line in front", &correct(), []);
    after_an_empty_line.bytes.splice(..0, *b"\r\n");
    run(&[
        after_an_empty_line,
        absolute("http://other.example:81/t/x?y", "other.example:81", "/x?y"),
        absolute("WS://other.example/t", "other.example", "/"),
        absolute("http://[::1]/t/http://admin.example/", "[::1]", "/http://admin.example/"),
        origin("an encoded line end", "/t/%0d%0aX:%20y?%0D%0A", "/%0d%0aX:%20y?%0D%0A"),
        origin("an encoded NUL", "/t/%00?%00", "/%00?%00"),
        origin("an encoded slash and question mark", "/t/a%2fb%3fc", "/a%2fb%3fc"),
        case(
            field,
            "bytes that are not ASCII, and white space",
            &correct().with("X:\t ä\tb \t").with("Y:"),
            ["X: ä\tb", "Y: "],
        ),
        case(field, "a field twice", &correct().with("X: b").with("x: a"), ["X: b", "x: a"]),
        case(
            field,
            "names that only look like others",
            &correct().with("Transfer_Encoding: chunked").with("Content_Length: 5"),
            ["Transfer_Encoding: chunked", "Content_Length: 5"],
        ),
        case(
            "RFC 9110 §10.1.1",
            "an expectation",
            &correct().with("Expect: 100-continue"),
            ["Expect: 100-continue"],
        ),
    ]);
}
