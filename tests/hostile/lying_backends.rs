//! Backends whose answers lie: a client gets a 502, or an answer that has one reading only; never what a lie smuggles.
//!
//! Not here: slow ones (`slowness`), and what they do after a correct 101 (`broken_frames`).

use crate::neighbour::{Scene, attacked};
use crate::support::backend::{Pair, switching};
use crate::support::handshake::{Handshake, read_refusal, without_date};
use crate::support::raw::{ACCEPT, Raw, StreamEnd, request};
use ringgate::limits::REFUSED_BODY_BYTES_MAX;
use ringgate::session::{Cause, Phase};
use std::thread;

const WRONG: &str = "the backend's answer is not a correct opening handshake";

/// The answer that a lying backend wants to smuggle to the client.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";

/// A correct 101 for the key of the tests, to be spoilt.
fn correct() -> Handshake {
    Handshake {
        method: "HTTP/1.1",
        target: "101".to_owned(),
        version: "Switching Protocols",
        lines: vec![
            "Upgrade: websocket".to_owned(),
            "Connection: Upgrade".to_owned(),
            format!("Sec-WebSocket-Accept: {ACCEPT}"),
        ],
    }
}

/// Asks at `/t`; gives the client and the backend's end, which has read the request.
fn ask(scene: &Scene) -> (Raw, Raw) {
    let mut client = Raw::connect(scene.gateway.address);
    client.send(request("/t", "").as_bytes());
    (client, scene.backend.take_request().0)
}

/// Lets the backend answer, hands the client over, and checks that the backend is let go and what is counted.
fn answered(scene: &Scene, answer: &[u8], check: impl FnOnce(&mut Raw)) {
    let before = scene.gateway.terminations(Cause::BackendAnswer, Phase::Answer);
    let (mut client, mut backend) = ask(scene);
    backend.try_send(answer);
    check(&mut client);
    assert_eq!(backend.read_to_end().0, b"", "the backend is let go");
    drop(client);
    scene.gateway.wait_for_terminations(Cause::BackendAnswer, Phase::Answer, before + 1);
}

/// Name, rule, answer: the client gets a 502 instead.
type Lie = (&'static str, &'static str, Vec<u8>);

fn all_are_502(lies: &[Lie]) {
    attacked("", "", |scene| {
        for (name, rule, answer) in lies {
            scene.case(&format!("{name} ({rule})"), || {
                answered(scene, answer, |client| drop(read_refusal(client, 502, WRONG)));
            });
        }
    });
}

#[test]
fn a_101_that_is_not_the_one_that_was_asked_for_is_502() {
    let with = |line: &str| correct().with(line).encode();
    let only = |line: &str| correct().with_only(line).encode();
    let accept = |value: &str| only(&format!("Sec-WebSocket-Accept: {value}"));
    let status = |status: &str| Handshake { target: status.to_owned(), ..correct() }.encode();
    let interim = |interim: &str| [interim.as_bytes(), &correct().encode()].concat();
    let accept_rule = "RFC 6455 §4.1, §4.2.2";
    let upgrade_rule = "RFC 6455 §4.1, RFC 9110 §7.8";
    let body_rule = "RFC 9110 §8.6, RFC 9112 §6.1";
    let line_rule = "RFC 9112 §4";
    let interim_rule = "RFC 9110 §15.2";
    all_are_502(&[
        ("accept for another key", accept_rule, accept("HSmrc0sMlYUkAGmm5OPpG2HaGWk=")),
        ("accept in lower case", accept_rule, accept(&ACCEPT.to_lowercase())),
        ("the key as accept", accept_rule, accept(crate::support::raw::KEY)),
        ("accept and more", accept_rule, accept(&format!("{ACCEPT}, {ACCEPT}"))),
        ("accept in quotes", accept_rule, accept(&format!("\"{ACCEPT}\""))),
        ("an empty accept", accept_rule, accept("")),
        ("a folded accept", "RFC 9112 §5.2", accept(&format!("\r\n {ACCEPT}"))),
        ("two accepts", "RFC 6455 §11.3.3", with("Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=")),
        ("a second protocol", upgrade_rule, only("Upgrade: websocket, h2c")),
        ("a second protocol on a line of its own", upgrade_rule, with("Upgrade: h2c")),
        ("a longer protocol", upgrade_rule, only("Upgrade: websocket2")),
        ("an option in a longer one", upgrade_rule, only("Connection: no-upgrade")),
        ("an extension nobody asked for", "RFC 6455 §9.1", with("Sec-WebSocket-Extensions: x-lie")),
        ("a subprotocol nobody asked for", "RFC 6455 §4.1", with("Sec-WebSocket-Protocol: ")),
        ("a body of no bytes", body_rule, with("Content-Length: 0")),
        ("a body in chunks", body_rule, with("Transfer-Encoding: chunked")),
        ("four digits", line_rule, status("1010")),
        ("a leading zero", line_rule, status("0101")),
        ("a status beyond all classes", "RFC 9110 §15", status("600")),
        ("two spaces", line_rule, Handshake { method: "HTTP/1.1 ", ..correct() }.encode()),
        ("a version in lower case", line_rule, Handshake { method: "http/1.1", ..correct() }.encode()),
        ("an empty line in front", "RFC 9112 §2.2", interim("\r\n")),
        (
            "an interim answer with a body",
            interim_rule,
            interim("HTTP/1.1 100 C\r\nContent-Length: 2\r\n\r\nno"),
        ),
        ("a broken interim answer", interim_rule, interim("HTTP/1.1 103 E\r\nX: a\nY: b\r\n\r\n")),
        ("another 101 as interim answer", interim_rule, interim("HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n")),
        ("a frame and no answer", line_rule, b"\x81\x05hello".to_vec()),
        ("a preface of HTTP/2", "RFC 9113 §3.4", b"\0\0\0\x04\0\0\0\0\0".to_vec()),
    ]);
}

#[test]
fn an_answer_that_would_split_in_two_is_502() {
    let with = |line: &str| correct().with(line).encode();
    let reason = |reason| Handshake { version: reason, ..correct() }.encode();
    let refusal =
        |lines: &str, body: &str| format!("HTTP/1.1 403 No\r\n{lines}\r\n{body}{SMUGGLED}").into_bytes();
    let chunks = |chunks: &str| refusal("Transfer-Encoding: chunked\r\n", chunks);
    let split = "RFC 9112 §2.2, §11.1";
    let value = "RFC 9110 §5.5";
    let length = "RFC 9112 §6.3";
    let chunk = "RFC 9112 §7.1";
    all_are_502(&[
        ("a field behind a bare CR", split, with("X: a\rSet-Cookie: b")),
        ("a field behind a bare LF", split, with("X: a\nSet-Cookie: b")),
        ("an answer behind bare LFs", split, with("X: a\n\nHTTP/1.1 200 OK")),
        ("two CRs before a LF", split, with("X: a\r\r\nSet-Cookie: b")),
        ("a field in a folded line", "RFC 9112 §5.2", with("X: a\r\n\tSet-Cookie: b")),
        ("white space in front of the first field", "RFC 9112 §2.2", reason("S\r\n X: a")),
        ("a CR in the reason", split, reason("S\rSet-Cookie: b")),
        ("a LF in the reason", split, reason("S\nSet-Cookie: b")),
        ("a NUL in the reason", "RFC 9112 §4", reason("S\0")),
        ("a NUL in a value", value, with("Set-Cookie: a\0b")),
        ("a NUL in a name", "RFC 9110 §5.1", with("X\0: a")),
        ("an escape sequence", value, with("X: \x1b[2J")),
        ("a space before the colon", "RFC 9112 §5.1", with("Set-Cookie : a")),
        ("no colon", "RFC 9112 §5", with("Set-Cookie")),
        ("two lengths", length, refusal("Content-Length: 0\r\nContent-Length: 99\r\n", "")),
        ("a list of two lengths", length, refusal("Content-Length: 0, 99\r\n", "")),
        ("a negative length", length, refusal("Content-Length: -1\r\n", "")),
        ("a length beyond 64 bits", length, refusal("Content-Length: 18446744073709551616\r\n", "")),
        (
            "a length and chunks",
            length,
            refusal("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"),
        ),
        ("chunks twice", "RFC 9112 §6.1", refusal("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
        (
            "a coding nobody asked for",
            "RFC 9112 §6.1",
            refusal("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunks that are not the last coding",
            "RFC 9112 §6.3",
            refusal("Transfer-Encoding: chunked, gzip\r\n", ""),
        ),
        ("a chunk with a sign", chunk, chunks("+2\r\nno\r\n0\r\n\r\n")),
        ("a chunk with a prefix", chunk, chunks("0x2\r\nno\r\n0\r\n\r\n")),
        ("a chunk beyond 64 bits", chunk, chunks("10000000000000002\r\nno\r\n0\r\n\r\n")),
        ("a chunk behind a bare LF", chunk, chunks("2\nno\r\n0\r\n\r\n")),
        ("a chunk that is longer than it says", chunk, chunks("1\r\nno\r\n0\r\n\r\n")),
        ("a bare CR in a chunk's extension", chunk, chunks("2;a\rb\r\nno\r\n0\r\n\r\n")),
        ("a bare LF in the trailers", "RFC 9112 §7.1.2", chunks("0\r\nX: a\nY: b\r\n\r\n")),
    ]);
}

#[test]
fn what_is_passed_on_has_one_length_and_no_field_of_another_connection() {
    let answer =
        |status: &str, lines: &str, body: &str| format!("HTTP/1.1 {status}\r\n{lines}\r\n{body}{SMUGGLED}");
    let got = |status: &str, lines: &str| format!("HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n");
    let two = "Content-Length: 2\r\n";
    let table = [
        (
            "an answer behind the answer",
            "RFC 9112 §11.1",
            answer("403 No", two, "no"),
            got("403 No", two),
            "no",
        ),
        (
            "an answer behind chunks",
            "RFC 9112 §11.1",
            answer("403 No", "Transfer-Encoding: chunked\r\n", "2\r\nno\r\n0\r\n\r\n"),
            got("403 No", two),
            "no",
        ),
        ("a body behind a 204", "RFC 9112 §6.3", answer("204 No", two, "no"), got("204 No", ""), ""),
        ("a body behind a 304", "RFC 9112 §6.3", answer("304 No", two, "no"), got("304 No", ""), ""),
        (
            "the same length thrice",
            "RFC 9110 §8.6",
            answer("403 No", "Content-Length: 2, 2\r\ncontent-length: 02\r\n", "no"),
            got("403 No", two),
            "no",
        ),
        (
            "trailers",
            "RFC 9110 §6.5.1",
            answer(
                "403 No",
                "Trailer: Set-Cookie\r\nTransfer-Encoding: chunked\r\n",
                "2;a=\"b\"\r\nno\r\n0\r\nSet-Cookie: a\r\n\r\n",
            ),
            got("403 No", two),
            "no",
        ),
        (
            "nominated fields",
            "RFC 9110 §7.6.1",
            answer(
                "403 No",
                &format!(
                    "X-Internal: a\r\nConnection: keep-alive, x-internal\r\nConnection: X-Two\r\n{two}X-Two: b\r\nX: c\r\n"
                ),
                "no",
            ),
            got("403 No", &format!("X: c\r\n{two}")),
            "no",
        ),
        (
            "a nominated length",
            "RFC 9110 §7.6.1, §8.6",
            answer("403 No", &format!("Connection: Content-Length\r\n{two}"), "no"),
            got("403 No", two),
            "no",
        ),
        (
            "fields for a proxy",
            "RFC 9110 §11.7.1",
            answer(
                "407 No",
                &format!("Proxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\n{two}"),
                "no",
            ),
            got("407 No", two),
            "no",
        ),
        (
            "a refusal dressed as a switch",
            "RFC 9110 §15.2.2",
            answer("200 OK", &format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{two}"), "ok"),
            got("200 OK", two),
            "ok",
        ),
    ];
    attacked("", "", |scene| {
        for (name, rule, answer, head, body) in &table {
            scene.case(&format!("{name} ({rule})"), || {
                answered(scene, answer.as_bytes(), |client| {
                    assert_eq!(without_date(&client.read_head()), *head);
                    assert_eq!(client.read_to_end(), (body.as_bytes().to_vec(), StreamEnd::Fin));
                });
            });
        }
    });
}

#[test]
fn fields_that_a_backend_nominates_in_its_101_do_not_reach_the_client() {
    attacked("", "", |scene| {
        let (mut client, mut backend) = ask(scene);
        let lines = "Connection: X-Internal, Set-Cookie,,sec-websocket-accept\r\nX-Internal: a\r\nSet-Cookie: b\r\n\
                     x-internal: c\r\nKeep-Alive: 5\r\nTrailer: X\r\nProxy-Authenticate: Basic\r\nX: d\r\n";
        backend.send(switching(&request("/t", ""), lines).as_bytes());
        let expected = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nX: d\r\n\r\n"
        );
        assert_eq!(without_date(&client.read_head()), expected);
        scene.close(Pair { client, backend });
    });
}

/// Lets the backend send a beginning and then the same for ever, until the gateway has had enough.
fn endlessly(scene: &Scene, beginning: &str, more: &str, check: impl FnOnce(&mut Raw)) {
    let before = scene.gateway.terminations(Cause::BackendAnswer, Phase::Answer);
    let (mut client, mut backend) = ask(scene);
    thread::scope(|scope| {
        scope.spawn(|| {
            let more = more.repeat(8 * 1024 / more.len());
            backend.send(beginning.as_bytes());
            while backend.try_send(more.as_bytes()) {}
        });
        check(&mut client);
    });
    drop(client);
    scene.gateway.wait_for_terminations(Cause::BackendAnswer, Phase::Answer, before + 1);
}

/// Attacks by the length of a part.
const LENGTHS: &str = "RFC 9110 §17.5";

#[test]
fn an_answer_without_an_end_is_cut_off() {
    let chunked = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    attacked("", "", |scene| {
        for (name, rule, beginning, more) in [
            ("a reason", LENGTHS, "HTTP/1.1 101 ", "no"),
            ("a field", LENGTHS, "HTTP/1.1 101 S\r\nX: ", "y"),
            ("fields", "RFC 9110 §5.4", "HTTP/1.1 403 No\r\n", "X: y\r\n"),
            ("interim answers", "RFC 9110 §15.2", "", "HTTP/1.1 100 Continue\r\n\r\n"),
            ("a chunk's extension", "RFC 9112 §7.1.1", &format!("{chunked}2;"), "x"),
            ("trailers", "RFC 9112 §7.1.2", &format!("{chunked}0\r\n"), "X: y\r\n"),
        ] {
            scene.case(&format!("{name} ({rule})"), || {
                endlessly(scene, beginning, more, |client| drop(read_refusal(client, 502, WRONG)));
            });
        }
        for (name, beginning, more) in [
            ("chunks", chunked, "1\r\nx\r\n"),
            ("a chunk", &format!("{chunked}ffffffffffffffff\r\n"), "x"),
            ("a body with a length", "HTTP/1.1 403 No\r\nContent-Length: 18446744073709551615\r\n\r\n", "x"),
            ("a body without one", "HTTP/1.1 403 No\r\n\r\n", "x"),
        ] {
            // RFC 9112 §8: the client can tell that this is not all of it.
            scene.case(&format!("{name} (RFC 9112 §8)"), || {
                endlessly(scene, beginning, more, |client| {
                    let head = client.read_head();
                    assert!(head.starts_with("HTTP/1.1 403 No\r\n"), "{head}");
                    let (body, end) = client.read_to_end();
                    let passed = body.iter().filter(|&&byte| byte == b'x').count();
                    assert_eq!((passed, end), (REFUSED_BODY_BYTES_MAX, StreamEnd::Reset), "{head}");
                });
            });
        }
    });
}
