//! Requests that two readers could understand in two ways: smuggling, odd targets, other protocols.

use crate::scene::{Scene, status_of};
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{ACCEPT, KEY, Raw, header};
use ringgate::session::{Cause, Phase};

/// What a smuggler wants the backend to take for a request of its own.
const SMUGGLED: &str = "GET /t/smuggled HTTP/1.1\r\nHost: inside\r\n\r\n";

/// A handshake with a request line and further lines of one's own, and bytes behind it.
fn handshake(line: &str, lines: &str, behind: &str) -> Vec<u8> {
    format!(
        "{line}\r\nHost: gateway.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n{behind}"
    )
    .into_bytes()
}

fn with(lines: &str) -> Vec<u8> {
    handshake("GET /t HTTP/1.1", lines, SMUGGLED)
}

fn asking(line: &str) -> Vec<u8> {
    handshake(line, "", "")
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_reaches_no_backend() {
    let table: &[(&str, &str, Vec<u8>, u16)] = &[
        // Where the request ends.
        ("a length", "RFC 9112 §6.3", with("Content-Length: 44\r\n"), 400),
        ("two lengths", "RFC 9112 §6.3", with("Content-Length: 0\r\nContent-Length: 44\r\n"), 400),
        ("a list of lengths", "RFC 9110 §8.6", with("Content-Length: 0, 44\r\n"), 400),
        ("a length with a sign", "RFC 9110 §8.6", with("Content-Length: +0\r\n"), 400),
        ("a negative length", "RFC 9110 §8.6", with("Content-Length: -1\r\n"), 400),
        ("a length in hex", "RFC 9110 §8.6", with("Content-Length: 0x0\r\n"), 400),
        ("an empty length", "RFC 9110 §8.6", with("Content-Length:\r\n"), 400),
        ("chunks", "RFC 9112 §6.1", with("Transfer-Encoding: chunked\r\n"), 400),
        ("length and chunks", "RFC 9112 §6.1", with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("chunks and length", "RFC 9112 §6.1", with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400),
        ("an unknown coding", "RFC 9112 §6.1", with("Transfer-Encoding: xchunked\r\n"), 400),
        ("no coding", "RFC 9112 §6.1", with("Transfer-Encoding: identity\r\n"), 400),
        ("a quoted coding", "RFC 9112 §6.1", with("Transfer-Encoding: \"chunked\"\r\n"), 400),
        ("codings in two lines", "RFC 9112 §6.1", with("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("a coding behind a vertical tab", "RFC 9110 §5.5", with("Transfer-Encoding:\x0bchunked\r\n"), 400),
        // Where a line ends.
        ("a folded coding", "RFC 9112 §5.2", with("Transfer-Encoding:\r\n chunked\r\n"), 400),
        ("a folded line", "RFC 9112 §5.2", with("X-A: a\r\n\tContent-Length: 44\r\n"), 400),
        ("a bare LF before a field", "RFC 9112 §2.2", with("X-A: a\nContent-Length: 44\r\n"), 400),
        ("a bare CR before a field", "RFC 9112 §2.2", with("X-A: a\rContent-Length: 44\r\n"), 400),
        ("bare LFs only", "RFC 9112 §2.2", String::from_utf8(with("")).unwrap().replace("\r\n", "\n").into_bytes(), 400),
        ("a line that begins with a space", "RFC 9112 §2.2", handshake("GET /t HTTP/1.1\r\n X: a", "", ""), 400),
        // What a field is.
        ("a space before the colon", "RFC 9112 §5.1", with("Content-Length : 44\r\n"), 400),
        ("a tab before the colon", "RFC 9112 §5.1", with("Transfer-Encoding\t: chunked\r\n"), 400),
        ("a NUL in a name", "RFC 9110 §5.1", with("Transfer-\0Encoding: chunked\r\n"), 400),
        ("a NUL in a value", "RFC 9110 §5.5", with("X-A: a\0b\r\n"), 400),
        ("no colon", "RFC 9112 §5", with("Transfer-Encoding\r\n"), 400),
        ("no name", "RFC 9112 §5", with(": chunked\r\n"), 400),
        ("a name that is not ASCII", "RFC 9110 §5.1", with("Transfer\u{2010}Encoding: chunked\r\n"), 400),
        // Whom it is for.
        ("two hosts", "RFC 9112 §3.2", with("Host: inside\r\n"), 400),
        ("two hosts alike", "RFC 9112 §3.2", with("Host: gateway.example\r\n"), 400),
        ("a host with a path", "RFC 9112 §3.2", handshake("GET /t HTTP/1.1\r\nHost: a/b", "", ""), 400),
        ("a query for an authority", "RFC 9112 §3.2.3", asking("GET gateway.example:80 HTTP/1.1"), 400),
        ("the asterisk", "RFC 9112 §3.2.4", asking("GET * HTTP/1.1"), 400),
        ("CONNECT", "RFC 9110 §9.3.6", asking("CONNECT inside:22 HTTP/1.1"), 405),
        ("another scheme", "RFC 9112 §3.2.2", asking("GET file:///etc/passwd HTTP/1.1"), 400),
        ("two spaces", "RFC 9112 §3", asking("GET  /t HTTP/1.1"), 400),
        ("a space in the target", "RFC 9112 §3.2", asking("GET /t /u HTTP/1.1"), 400),
        ("a tab for a space", "RFC 9112 §3", asking("GET\t/t HTTP/1.1"), 405),
        ("a fragment", "RFC 9112 §3.2.1", asking("GET /t#x HTTP/1.1"), 400),
        ("a CR in the target", "RFC 9112 §3.2", asking("GET /t\rX HTTP/1.1"), 400),
        ("dots out of the API", "RFC 3986 §5.2.4", asking("GET /t/%2e%2e/n HTTP/1.1"), 400),
        // Which protocol it is.
        ("the preface of HTTP/2", "RFC 9113 §3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), 505),
        ("HTTP/0.9", "RFC 9112 §2.3", b"GET /t\r\n\r\n".to_vec(), 400),
        ("HTTP/1.0", "RFC 6455 §4.1", asking("GET /t HTTP/1.0"), 505),
        ("a version with more digits", "RFC 9112 §2.3", asking("GET /t HTTP/1.10"), 505),
        (
            "an upgrade to h2c",
            "RFC 9113 §3.1",
            format!("GET /t HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{SMUGGLED}").into_bytes(),
            426,
        ),
        ("a key of another length", "RFC 6455 §4.2.1", with("Sec-WebSocket-Key: AAAA\r\n"), 400),
        ("two versions", "RFC 6455 §4.4", with("Sec-WebSocket-Version: 8\r\n"), 426),
    ];
    let scene = Scene::new();
    for (what, section, bytes, status) in table {
        let mut client = Raw::connect(scene.address());
        client.send(bytes);
        assert_eq!(status_of(&mut client), *status, "{what} ({section})");
        assert!(scene.backend.is_untouched(), "{what} ({section}) reached a backend");
    }
    scene.gateway().wait_for_terminations(Cause::HeadFault, Phase::Head, table.len() as u64);
    scene.end();
}

/// Reads what the backend was asked as strictly as any server may.
fn judge(head: &str) -> Vec<(String, String)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    assert!(request.parse(head.as_bytes()).is_ok_and(|status| status.is_complete()), "{head}");
    assert_eq!((request.method, request.version), (Some("GET"), Some(1)), "{head}");
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let fields = request.headers.iter();
    let fields: Vec<_> = fields.map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
    let count = |name: &str| fields.iter().filter(|(found, _)| found == name).count();
    assert_eq!(count("host"), 1, "{head}");
    assert_eq!(count("upgrade"), 1, "{head}");
    assert_eq!(count("connection"), 1, "{head}");
    assert_eq!((count("content-length"), count("transfer-encoding")), (0, 0), "{head}");
    for hop_by_hop in ["te", "trailer", "keep-alive", "proxy-connection", "http2-settings"] {
        assert_eq!(count(hop_by_hop), 0, "{hop_by_hop} in {head}");
    }
    fields
}

#[test]
fn what_has_one_reading_is_passed_on_in_that_one() {
    let table: &[(&str, &str, Vec<u8>)] = &[
        ("the absolute form", "RFC 9112 §3.2.2", asking("GET http://inside/t HTTP/1.1")),
        ("a length of 0", "RFC 9110 §8.6", handshake("GET /t HTTP/1.1", "Content-Length: 0\r\n", "")),
        (
            "h2c beside websocket",
            "RFC 9110 §7.8",
            handshake(
                "GET /t HTTP/1.1",
                "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: HTTP2-Settings\r\n",
                "",
            ),
        ),
        ("an expectation", "RFC 9110 §10.1.1", handshake("GET /t HTTP/1.1", "Expect: 100-continue\r\n", "")),
        (
            "trailers",
            "RFC 9110 §6.6.2",
            handshake("GET /t HTTP/1.1", "TE: trailers\r\nTrailer: Host\r\n", ""),
        ),
        ("a CRLF in percent signs", "RFC 3986 §2.1", asking("GET /t/%0d%0aX:%20y HTTP/1.1")),
        (
            "an underscore",
            "RFC 9110 §5.1",
            handshake("GET /t HTTP/1.1", "Content_Length: 44\r\nTransfer_Encoding: chunked\r\n", ""),
        ),
        ("empty lines in front", "RFC 9112 §2.2", [b"\r\n".to_vec(), asking("GET /t HTTP/1.1")].concat()),
    ];
    let scene = Scene::new();
    for (what, section, bytes) in table {
        println!("{what} ({section})");
        let mut client = Raw::connect(scene.address());
        client.send(bytes);
        let (mut session, head) = scene.backend.take_request();
        let fields = judge(&head);
        assert_eq!(header(&head, "Host"), Some(scene.backend.address.to_string().as_str()), "{what}: {head}");
        assert!(head.starts_with("GET /"), "{what}: {head}");
        assert!(!fields.iter().any(|(_, value)| value.contains(['\r', '\n'])), "{what}: {head}");
        session.send(format!("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "{what}");
        // Nothing stands between the heads and the frames.
        let message = client_frame(0x81, b"one reading");
        client.send(&message);
        session.expect(&message);
    }
    scene.end();
}

#[test]
fn a_field_that_connection_names_goes_no_further_and_takes_none_of_ours_with_it() {
    // RFC 9110 §7.6.1; a client could so take from a backend what the gateway tells it.
    let scene = Scene::new();
    let nominated = "Connection: X-User, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Cookie\r\n\
                     X-User: root\r\nCookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\n";
    let mut client = Raw::connect(scene.address());
    client.send(&handshake("GET /t HTTP/1.1", nominated, ""));
    let (mut session, head) = scene.backend.take_request();
    judge(&head);
    for gone in ["X-User", "Cookie"] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
    assert!(header(&head, "X-Forwarded-For").is_some_and(|value| value.ends_with("127.0.0.1")), "{head}");
    assert_eq!(header(&head, "X-Forwarded-Proto"), Some("http"), "{head}");
    assert_eq!(header(&head, "X-Forwarded-Host"), Some("gateway.example"), "{head}");
    let answer = format!(
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Inside, Set-Cookie\r\nX-Inside: secret\r\n\
         Set-Cookie: a=b\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    session.send(answer.as_bytes());
    let head = client.read_head();
    assert!(header(&head, "X-Inside").is_none() && header(&head, "Set-Cookie").is_none(), "{head}");
    drop((client, session));
    scene.end();
}

#[test]
fn what_a_handshake_needs_cannot_be_taken_away_by_naming_it() {
    let scene = Scene::new();
    for needed in ["Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let mut client = Raw::connect(scene.address());
        client.send(&handshake("GET /t HTTP/1.1", &format!("Connection: {needed}\r\n"), ""));
        let (session, head) = scene.backend.take_request();
        judge(&head);
        assert_eq!(header(&head, "Sec-WebSocket-Key"), Some(KEY), "{needed}: {head}");
        assert_eq!(header(&head, "Sec-WebSocket-Version"), Some("13"), "{needed}: {head}");
        drop((client, session));
    }
    scene.end();
}

#[test]
fn a_request_behind_a_handshake_is_taken_for_frames_and_never_passed_on() {
    // RFC 9112 §9.3.2 has no pipelining behind an upgrade; RFC 6455 §5.2: the first byte's reserved bits.
    let scene = Scene::new();
    let mut client = Raw::connect(scene.address());
    client.send(&handshake("GET /t HTTP/1.1", "", SMUGGLED));
    let mut session = scene.backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.read(2)[0], 0x88, "a Close");
    let (bytes, _) = session.read_to_end();
    assert!(!bytes.windows(3).any(|window| window == b"GET"), "{}", bytes.escape_ascii());
    assert_eq!(bytes.first(), Some(&0x88), "the backend is told with a Close of its own");
    drop((client, session));
    scene.gateway().wait_for_terminations(Cause::FrameFault, Phase::Relay, 1);
    scene.end();
}

#[test]
fn frames_behind_a_handshake_wait_for_the_backends_101() {
    // RFC 6455 §4.1: nothing is a frame before both heads are complete.
    let scene = Scene::new();
    let mut client = Raw::connect(scene.address());
    let message = client_frame(0x82, b"early");
    client.send(&handshake("GET /t HTTP/1.1", "", ""));
    client.send(&message);
    let (mut session, head) = scene.backend.take_request();
    assert!(head.ends_with("\r\n\r\n"));
    session.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let (bytes, _) = session.read_to_end();
    assert_eq!(bytes, b"", "a backend that refuses gets no frame");
    assert_eq!(status_of(&mut client), 403);
    drop((client, session));
    scene.end();
}

#[test]
fn an_answer_to_another_request_does_not_reach_a_client() {
    // A backend's bytes behind its refusal could be the answer to the next request on a connection that is used again.
    let scene = Scene::new();
    let mut client = Raw::connect(scene.address());
    client.send(&handshake("GET /t HTTP/1.1", "", ""));
    let (mut session, _) = scene.backend.take_request();
    session.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    let (bytes, _) = client.read_to_end();
    assert!(bytes.ends_with(b"\r\n\r\nno"), "{}", bytes.escape_ascii());
    let mut second = Raw::connect(scene.address());
    second.send(&handshake("GET /t HTTP/1.1", "", ""));
    let mut other = scene.backend.take_session();
    assert!(second.read_head().starts_with("HTTP/1.1 101 "));
    let message = server_frame(0x81, b"its own");
    other.send(&message);
    second.expect(&message);
    drop((client, session, second, other));
    scene.end();
}
