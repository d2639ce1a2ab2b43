//! Backends that say what is not so: 101s nobody asked for, heads that split, answers without end, frames cut short.

use crate::scene::{Scene, status_of};
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{ACCEPT, Raw, StreamEnd, request};
use ringgate::session::{Cause, Phase};

/// A 101 with these lines, as they stand.
fn answer(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 101 S\r\n{lines}\r\n").into_bytes()
}

/// A correct 101 with further lines.
fn correct(lines: &str) -> Vec<u8> {
    answer(&format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{lines}"))
}

fn ask(scene: &Scene, lines: &str) -> Raw {
    let mut client = Raw::connect(scene.address());
    client.send(request("/t", lines).as_bytes());
    client
}

#[test]
fn what_is_no_answer_to_this_handshake_is_502_and_nothing_of_it_reaches_the_client() {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let table: &[(&str, &str, Vec<u8>)] = &[
        ("a bare 101", "RFC 9110 §15.2.2", answer("")),
        (
            "a 101 to h2c",
            "RFC 6455 §4.1",
            answer(&format!("Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")),
        ),
        (
            "a 101 that does not say Connection",
            "RFC 6455 §4.1",
            answer(&format!("Upgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")),
        ),
        ("no accept value", "RFC 6455 §4.1", answer(upgrade)),
        (
            "the key for an accept value",
            "RFC 6455 §4.1",
            answer(&format!("{upgrade}Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        ),
        (
            "an accept value in lower case",
            "RFC 6455 §4.1",
            answer(&format!("{upgrade}Sec-WebSocket-Accept: {}\r\n", ACCEPT.to_lowercase())),
        ),
        ("two accept values", "RFC 6455 §11.3.3", correct(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"))),
        ("a subprotocol that nobody offered", "RFC 6455 §4.1", correct("Sec-WebSocket-Protocol: evil\r\n")),
        (
            "two subprotocols",
            "RFC 6455 §11.3.4",
            correct("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"),
        ),
        (
            "an extension that nobody offered",
            "RFC 6455 §9.1",
            correct("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ),
        ("a 101 with a length", "RFC 9110 §8.6", correct("Content-Length: 5\r\n")),
        ("a 101 in chunks", "RFC 9112 §6.1", correct("Transfer-Encoding: chunked\r\n")),
        ("a head that is split by a bare LF", "RFC 9112 §2.2", correct("X: a\nSet-Cookie: evil=1\r\n")),
        ("a head that is split by a bare CR", "RFC 9112 §2.2", correct("X: a\rSet-Cookie: evil=1\r\n")),
        ("a folded line", "RFC 9112 §5.2", correct("X: a\r\n Set-Cookie: evil=1\r\n")),
        ("a NUL", "RFC 9110 §5.5", correct("X: a\0b\r\n")),
        ("a space before the colon", "RFC 9112 §5.1", correct("Set-Cookie : evil=1\r\n")),
        (
            "a head without end",
            "a bound of ringgate's",
            [answer("").split_off(0), b"X: y\r\n".repeat(4_000)].concat(),
        ),
        (
            "a line without end",
            "a bound of ringgate's",
            [b"HTTP/1.1 101 ".to_vec(), vec![b'x'; 20_000]].concat(),
        ),
        ("fields without end", "a bound of ringgate's", correct(&"X: y\r\n".repeat(120))),
        ("interim answers without end", "RFC 9110 §15.2", b"HTTP/1.1 102 Processing\r\n\r\n".repeat(20)),
        ("HTTP/1.0", "RFC 6455 §4.1", b"HTTP/1.0 101 S\r\n\r\n".to_vec()),
        ("HTTP/2", "RFC 9113 §3.4", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80".to_vec()),
        ("another protocol", "RFC 9112 §2.3", b"220 mail.example ESMTP\r\n\r\n".to_vec()),
        ("a request", "RFC 9112 §4", b"GET /t HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
        (
            "length and chunks",
            "RFC 9112 §6.3",
            b"HTTP/1.1 403 F\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        ),
        (
            "two lengths",
            "RFC 9112 §6.3",
            b"HTTP/1.1 403 F\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        ),
        (
            "chunks that are none",
            "RFC 9112 §7.1",
            b"HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\nevil".to_vec(),
        ),
    ];
    let scene = Scene::new();
    for (what, section, bytes) in table {
        let mut client = ask(&scene, "");
        let (mut session, _) = scene.backend.take_request();
        // It may be let go before all of it is taken.
        session.try_send(bytes);
        drop(session);
        let (told, end) = client.read_to_end();
        let told = String::from_utf8_lossy(&told);
        assert!(told.starts_with("HTTP/1.1 502 "), "{what} ({section}): {told}");
        assert!(!told.contains("evil") && !told.contains("Set-Cookie"), "{what} ({section}): {told}");
        assert_eq!(end, StreamEnd::Fin, "{what} ({section})");
    }
    scene.gateway().wait_for_terminations(Cause::BackendAnswer, Phase::Answer, table.len() as u64);
    scene.end();
}

#[test]
fn an_answer_that_comes_before_it_was_asked_for_is_judged_like_any_other() {
    // The backend cannot know the key yet: RFC 6455 §4.2.2.
    let scene = Scene::new();
    let mut client = Raw::connect(scene.address());
    client.send(request("/t", "").as_bytes());
    let mut session = scene.backend.take();
    session.try_send(&answer(&format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}=\r\n",
        "A".repeat(27)
    )));
    assert_eq!(status_of(&mut client), 502);
    drop((client, session));
    scene.end();
}

#[test]
fn an_endless_refusal_is_cut_where_it_shows() {
    let scene = Scene::new();
    for framing in ["", "Transfer-Encoding: chunked\r\n", "Content-Length: 1000000000\r\n"] {
        let mut client = ask(&scene, "");
        let (mut session, _) = scene.backend.take_request();
        session.send(format!("HTTP/1.1 503 Busy\r\n{framing}\r\n").as_bytes());
        let piece = if framing.starts_with('T') {
            [b"1000\r\n".to_vec(), vec![b'x'; 4096], b"\r\n".to_vec()].concat()
        } else {
            vec![b'x'; 4096]
        };
        let sender = std::thread::spawn(move || while session.try_send(&piece) {});
        let (told, end) = client.read_to_end();
        assert!(told.starts_with(b"HTTP/1.1 503 ") && told.len() < 70_000, "{framing}: {} bytes", told.len());
        assert_eq!(end, StreamEnd::Reset, "{framing}: a body that is cut does not look whole");
        sender.join().unwrap();
    }
    scene.end();
}

#[test]
fn frames_that_no_server_may_send_end_their_session_only() {
    let table: &[(&str, &str, Vec<u8>)] = &[
        ("a masked frame", "RFC 6455 §5.1", client_frame(0x81, b"x")),
        ("a reserved bit", "RFC 6455 §5.2", server_frame(0xc1, b"x")),
        ("an unknown opcode", "RFC 6455 §5.2", server_frame(0x83, b"x")),
        ("a length in too many bytes", "RFC 6455 §5.2", vec![0x82, 126, 0, 5]),
        ("a length of 2^63", "RFC 6455 §5.2", vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("a long ping", "RFC 6455 §5.5", vec![0x89, 126, 0, 126]),
        ("a ping in pieces", "RFC 6455 §5.5", vec![0x09, 0]),
        ("a continuation of nothing", "RFC 6455 §5.4", server_frame(0x80, b"x")),
        (
            "a message within a message",
            "RFC 6455 §5.4",
            [server_frame(0x01, b"x"), server_frame(0x81, b"y")].concat(),
        ),
        ("half a close code", "RFC 6455 §5.5.1", server_frame(0x88, b"x")),
        ("a close code of no endpoint", "RFC 6455 §7.4.1", server_frame(0x88, &1006u16.to_be_bytes())),
    ];
    let scene = Scene::with("", "linger_s = 1");
    for (what, section, bytes) in table {
        let mut client = ask(&scene, "");
        let mut session = scene.backend.take_session();
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        session.send(bytes);
        // 1011 "bad gateway", and nothing of the frame.
        let passed = if *what == "a message within a message" { &bytes[..3] } else { &[] };
        client.expect(passed);
        let told = client.read(15);
        assert_eq!(told[..4], [0x88, 13, 0x03, 0xf3], "{what} ({section}): {told:02x?}");
        assert_eq!(session.read(1), [0x88], "{what} ({section})");
    }
    scene.gateway().wait_for_terminations(Cause::FrameFault, Phase::Relay, table.len() as u64);
    scene.end();
}

#[test]
fn a_backend_that_ends_within_a_frame_leaves_no_message_that_looks_whole() {
    // RFC 6455 §7.1.7: a connection that ends so is one that failed.
    let frame = server_frame(0x82, &[7; 1000]);
    let scene = Scene::with("", "linger_s = 1");
    for cut in [1, 2, 3, 4, 5, 500, 1003] {
        for resets in [false, true] {
            let mut client = ask(&scene, "");
            let mut session = scene.backend.take_session();
            assert!(client.read_head().starts_with("HTTP/1.1 101 "));
            session.send(&frame[..cut]);
            if resets {
                session.reset();
            } else {
                drop(session);
            }
            let (told, _) = client.read_to_end();
            let is_within = cut >= 4 && !resets;
            if is_within {
                assert_eq!(told, frame[..cut], "{cut} bytes, and an end");
            } else if !resets {
                assert_eq!(told.first(), Some(&0x88), "{cut} bytes of a header: a Close");
            } else {
                assert!(frame.starts_with(&told), "{cut} bytes, then a reset");
            }
        }
    }
    scene.end();
}
