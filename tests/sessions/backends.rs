//! Backends that misbehave: their view of an opening, and the answer to the client.

use crate::support::backend::{Backend, Deaf, closed_port, switching};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::{Handshake, read_refusal, without_date};
use crate::support::raw::{ACCEPT, KEY, Raw, StreamEnd, header, request};
use crate::support::{TestInstance, api_file};
use ringgate::limits::CLIENT_WATCH_AFTER_MS;
use ringgate::session::{Cause, Phase};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const WRONG: &str = "the backend's answer is not a correct opening handshake";

/// The longest time of an opening that an event ends before its deadline.
const SOON: Duration = Duration::from_secs(3);

/// Largest body that is passed on.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// An instance with one place, so that one that is lost shows, and one API at `/t`.
fn gateway_to(backend: SocketAddr, api_lines: &str) -> TestInstance {
    let instance_lines = "workers = 1\ndrain_s = 0\n[limits]\nconnections_max = 1";
    TestInstance::start_with(instance_lines, &[("t", &api_file("t", backend, api_lines))])
}

/// A client that has asked for `/t`.
fn ask(gateway: &TestInstance) -> Raw {
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    client
}

/// Ends an instance whose only opening came to `cause` in `phase`.
fn end_after(gateway: TestInstance, cause: Cause, phase: Phase) {
    gateway.wait_for_terminations(cause, phase, 1);
    gateway.wait_for_rest();
    gateway.end();
}

/// How a backend goes on after the bytes of its answer.
#[derive(Clone, Copy)]
enum Then {
    Stays,
    Ends,
    Resets,
}

/// Lets a backend answer with `answer`, and gives what the client got, head and body, and how its stream ended.
fn pass_on(answer: &[u8], then: Then, api_lines: &str) -> (String, Vec<u8>, StreamEnd) {
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, api_lines);
    let mut client = ask(&gateway);
    let (mut session, _) = backend.take_request();
    // A gateway that has enough may leave while a long answer is still being sent.
    session.try_send(answer);
    let session = match then {
        Then::Stays => Some(session),
        Then::Ends => {
            session.finish_if_open();
            Some(session)
        }
        Then::Resets => {
            session.reset();
            None
        }
    };
    let head = client.read_head();
    let (body, end) = client.read_to_end();
    drop(client);
    if let Some(mut session) = session {
        session.read_to_end();
    }
    end_after(gateway, Cause::BackendAnswer, Phase::Answer);
    (head, body, end)
}

#[test]
fn the_backend_gets_end_to_end_fields_in_order_and_spelling_and_its_own_host() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let api = api.replace(&format!("ws://{}", backend.address), &format!("ws://{}/base", backend.address));
    let gateway = TestInstance::start_with("workers = 1", &[("t", &api)]);
    let mut client = Raw::connect(gateway.address);
    client.send(
        format!(
            "GET /t/x%20y?a=b&c HTTP/1.1\r\n\
             x-FIRST: 1\r\n\
             hOst: gateway.example:81\r\n\
             Upgrade: h2c, WebSocket\r\n\
             Connection: keep-alive, X-Hop\r\n\
             connection: UPGRADE\r\n\
             Keep-Alive: timeout=5\r\n\
             X-Hop: gone\r\n\
             Proxy-Connection: keep-alive\r\n\
             Proxy-Authorization: Basic eA==\r\n\
             TE: trailers\r\n\
             Trailer: X-T\r\n\
             Content-Length: 0\r\n\
             Cookie: a=b\r\n\
             x-forwarded-for: 192.0.2.1\r\n\
             Origin: http://a.example\r\n\
             Cookie:c=d\r\n\
             sec-websocket-KEY: {KEY}\r\n\
             Sec-WebSocket-Protocol: b, a\r\n\
             Sec-WebSocket-Protocol: c\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x\r\n\r\n"
        )
        .as_bytes(),
    );
    let (mut session, head) = backend.take_request();
    assert_eq!(
        head,
        format!(
            "GET /base/x%20y?a=b&c HTTP/1.1\r\n\
             x-FIRST: 1\r\n\
             hOst: {}\r\n\
             Cookie: a=b\r\n\
             x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n\
             Origin: http://a.example\r\n\
             Cookie: c=d\r\n\
             sec-websocket-KEY: {KEY}\r\n\
             Sec-WebSocket-Protocol: b, a\r\n\
             Sec-WebSocket-Protocol: c\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x\r\n\
             X-Forwarded-Proto: http\r\n\
             X-Forwarded-Host: gateway.example:81\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n",
            backend.address
        )
    );
    session.send(
        format!(
            "HTTP/1.1 101 Here you are\r\n\
             x-OWN: 1\r\n\
             upgrade: WebSocket\r\n\
             Connection: Upgrade, X-Hop\r\n\
             X-Hop: gone\r\n\
             Keep-Alive: timeout=5\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: a\r\n\
             Set-Cookie: a=b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(
        without_date(&client.read_head()),
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Connection: Upgrade\r\n\
             Upgrade: websocket\r\n\
             x-OWN: 1\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: a\r\n\
             Set-Cookie: a=b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
    );
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_backend_that_refuses_connections_is_502() {
    let gateway = gateway_to(closed_port(), "");
    for opening in 1..=3 {
        let mut client = ask(&gateway);
        let head = read_refusal(&mut client, 502, "the backend cannot be reached");
        assert_eq!(header(&head, "Retry-After"), None);
        gateway.wait_for_terminations(Cause::BackendRefused, Phase::Dial, opening);
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_backend_that_takes_no_connection_is_504_at_the_dial_deadline() {
    let deaf = Deaf::new();
    let gateway = gateway_to(deaf.address, "dial_timeout_ms = 200");
    let begun = Instant::now();
    let mut client = ask(&gateway);
    read_refusal(&mut client, 504, "the backend did not take the connection in time");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < SOON, "after {took:?}");
    drop(client);
    end_after(gateway, Cause::BackendSilent, Phase::Dial);
}

#[test]
fn a_backend_that_does_not_answer_is_504_at_the_answer_deadline() {
    for part in
        ["", "H", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n", "HTTP/1.1 100 \r\n\r\n"]
    {
        let backend = Backend::new();
        let gateway = gateway_to(backend.address, "answer_timeout_ms = 200");
        let begun = Instant::now();
        let mut client = ask(&gateway);
        let (mut session, _) = backend.take_request();
        session.send(part.as_bytes());
        read_refusal(&mut client, 504, "the backend did not answer in time");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(200) && took < SOON, "after {took:?}");
        assert_eq!(session.read_to_end(), (vec![], StreamEnd::Fin), "the backend is let go");
        drop(client);
        end_after(gateway, Cause::BackendSilent, Phase::Answer);
    }
}

#[test]
fn an_answer_that_is_no_correct_handshake_is_502() {
    let correct = || Handshake {
        method: "HTTP/1.1",
        target: "101".to_owned(),
        version: "Switching Protocols",
        lines: vec![
            "Upgrade: websocket".to_owned(),
            "Connection: Upgrade".to_owned(),
            format!("Sec-WebSocket-Accept: {ACCEPT}"),
        ],
    };
    let interims =
        |count: usize| [b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count), correct().encode()].concat();
    let table: &[(&str, Vec<u8>)] = &[
        ("wrong accept", correct().with_only("Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=").encode()),
        ("no accept", correct().without("Sec-WebSocket-Accept").encode()),
        ("accept twice", correct().with(format!("Sec-WebSocket-Accept: {ACCEPT}")).encode()),
        ("no Upgrade", correct().without("Upgrade").encode()),
        ("another protocol", correct().with_only("Upgrade: h2c").encode()),
        ("no Connection", correct().without("Connection").encode()),
        ("Content-Length", correct().with("Content-Length: 5").encode()),
        ("Transfer-Encoding", correct().with("Transfer-Encoding: chunked").encode()),
        ("subprotocol never offered", correct().with("Sec-WebSocket-Protocol: a").encode()),
        ("extension never offered", correct().with("Sec-WebSocket-Extensions: permessage-deflate").encode()),
        ("HTTP/1.0", Handshake { method: "HTTP/1.0", ..correct() }.encode()),
        ("HTTP/2", Handshake { method: "HTTP/2", ..correct() }.encode()),
        ("status of two digits", Handshake { target: "10".to_owned(), ..correct() }.encode()),
        ("a folded line", correct().with(" folded").encode()),
        ("a bare LF", correct().with("X: a\nY: b").encode()),
        ("a NUL", correct().with("X: \0").encode()),
        ("garbage", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("a TLS alert", vec![0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]),
        ("an over-long head", correct().with(format!("X: {}", "x".repeat(17 * 1024))).encode()),
        (
            "too many fields",
            (0..101).fold(correct(), |head, index| head.with(format!("X-{index}: 1"))).encode(),
        ),
        ("too many interim answers", interims(9)),
        ("two lengths", b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec()),
        (
            "length and chunks",
            b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        ),
        ("a broken chunk", b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
    ];
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    for (what, answer) in table {
        let mut client = ask(&gateway);
        let (mut session, _) = backend.take_request();
        session.send(answer);
        println!("{what}");
        read_refusal(&mut client, 502, WRONG);
        assert_eq!(session.read_to_end().0, b"", "the backend is let go");
    }
    gateway.wait_for_terminations(Cause::BackendAnswer, Phase::Answer, table.len() as u64);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_backend_that_leaves_before_its_head_is_complete_is_502() {
    for part in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"] {
        for resets in [false, true] {
            let backend = Backend::new();
            let gateway = gateway_to(backend.address, "");
            let mut client = ask(&gateway);
            let (mut session, _) = backend.take_request();
            session.send(part.as_bytes());
            if resets {
                session.reset()
            } else {
                drop(session)
            }
            read_refusal(&mut client, 502, WRONG);
            drop(client);
            end_after(gateway, Cause::BackendAnswer, Phase::Answer);
        }
    }
}

#[test]
fn interim_answers_before_the_101_are_skipped() {
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    let frame = server_frame(0x82, b"early");
    for in_one_piece in [true, false] {
        let mut client = ask(&gateway);
        let (mut session, head) = backend.take_request();
        let interims = [
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(7),
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned(),
        ];
        let whole = [interims.concat().as_bytes(), switching(&head, "").as_bytes(), &frame].concat();
        for piece in whole.chunks(if in_one_piece { whole.len() } else { 7 }) {
            session.send(piece);
        }
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 ") && header(&head, "Link").is_none(), "{head}");
        client.expect(&frame);
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}

#[test]
fn no_byte_behind_either_head_is_lost() {
    for payload_bytes in [1, 100, 5_000, 200 * 1024] {
        let backend = Backend::new();
        let gateway = gateway_to(backend.address, "");
        let payload: Vec<u8> = (0..payload_bytes).map(|index| (index % 251) as u8).collect();
        let (to_backend, to_client) = (client_frame(0x82, &payload), server_frame(0x82, &payload));
        let mut client = Raw::connect(gateway.address);
        thread::scope(|scope| {
            // Large ones are taken only when the session is open.
            let mut sender = Raw::new(client.stream.try_clone().unwrap());
            let bytes = [request("/t", "").as_bytes(), &to_backend].concat();
            scope.spawn(move || sender.send(&bytes));
            let (mut session, head) = backend.take_request();
            let mut sender = Raw::new(session.stream.try_clone().unwrap());
            let bytes = [switching(&head, "").as_bytes(), &to_client].concat();
            scope.spawn(move || sender.send(&bytes));
            assert!(client.read_head().starts_with("HTTP/1.1 101 "));
            client.expect(&to_client);
            session.expect(&to_backend);
        });
        drop(client);
        gateway.wait_for_rest();
        gateway.end();
    }
}

#[test]
fn a_frame_header_that_is_cut_at_the_end_of_a_head_is_joined_again() {
    let (to_backend, to_client) = (client_frame(0x82, &[b'c'; 300]), server_frame(0x82, &[b'b'; 300]));
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    for cut in 1..=4 {
        let mut client = Raw::connect(gateway.address);
        client.send(&[request("/t", "").as_bytes(), &to_backend[..cut]].concat());
        let (mut session, head) = backend.take_request();
        session.send(&[switching(&head, "").as_bytes(), &to_client[..cut]].concat());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        client.send(&to_backend[cut..]);
        session.send(&to_client[cut..]);
        client.expect(&to_client);
        session.expect(&to_backend);
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}

#[test]
fn another_status_is_passed_on_with_its_fields_and_its_body() {
    let fields = "X-Own: 1\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: gone\r\n";
    let passed = |status: &str, length: &str| {
        format!("HTTP/1.1 {status}\r\nX-Own: 1\r\n{length}Connection: close\r\n\r\n")
    };
    let whole = "Content-Length: 5\r\n";
    for (answer, then, head, body) in [
        (
            format!("403 No way\r\n{fields}Content-Length: 5\r\n\r\nabcde"),
            Then::Stays,
            passed("403 No way", whole),
            "abcde",
        ),
        // What is behind the declared end is not the answer's.
        (
            format!("404 \r\n{fields}Content-Length: 5\r\n\r\nabcdefg"),
            Then::Stays,
            passed("404 ", whole),
            "abcde",
        ),
        (
            format!(
                "500 X\r\n{fields}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nT: 1\r\n\r\n"
            ),
            Then::Stays,
            passed("500 X", whole),
            "abcde",
        ),
        (format!("200 OK\r\n{fields}\r\nabcde"), Then::Ends, passed("200 OK", whole), "abcde"),
        (
            format!("200 OK\r\n{fields}Content-Length: 0\r\n\r\n"),
            Then::Stays,
            passed("200 OK", "Content-Length: 0\r\n"),
            "",
        ),
        (format!("204 None\r\n{fields}\r\n"), Then::Stays, passed("204 None", ""), ""),
        (format!("304 Same\r\n{fields}Content-Length: 9\r\n\r\n"), Then::Stays, passed("304 Same", ""), ""),
    ] {
        let (got, got_body, end) = pass_on(format!("HTTP/1.1 {answer}").as_bytes(), then, "");
        assert_eq!((without_date(&got), got_body, end), (head, body.as_bytes().to_vec(), StreamEnd::Fin));
    }
}

/// RFC 9110 §6.6.1: who forwards an answer without a Date adds one.
#[test]
fn the_date_of_a_backend_is_passed_on_and_an_answer_without_one_gets_one() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (head, ..) = pass_on(
        format!("HTTP/1.1 403 No\r\nDATE: {date}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        Then::Stays,
        "",
    );
    assert_eq!(
        head,
        format!("HTTP/1.1 403 No\r\nDATE: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    );
    let (head, ..) = pass_on(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", Then::Stays, "");
    assert_eq!(without_date(&head), "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    for (lines, came) in [(format!("Date: {date}\r\n"), Some(date)), (String::new(), None)] {
        let mut client = ask(&gateway);
        let (mut session, head) = backend.take_request();
        session.send(switching(&head, &lines).as_bytes());
        let head = client.read_head();
        match came {
            Some(date) => assert_eq!(header(&head, "Date"), Some(date), "{head}"),
            None => assert_eq!(header(&without_date(&head), "Date"), None, "{head}"),
        }
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}

#[test]
fn a_challenge_a_redirect_and_an_upgrade_demand_reach_the_client() {
    let (head, ..) = pass_on(
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"b\"\r\nContent-Length: 0\r\n\r\n",
        Then::Stays,
        "",
    );
    assert_eq!(header(&head, "WWW-Authenticate"), Some("Basic realm=\"b\""));
    let (head, ..) = pass_on(
        b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        Then::Stays,
        "",
    );
    assert_eq!(header(&head, "Location"), Some("http://other.example/"));
    assert_eq!(header(&head, "Set-Cookie"), Some("a=b"));
    let (head, ..) = pass_on(
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
        Then::Stays,
        "",
    );
    assert_eq!(header(&head, "Upgrade"), Some("websocket"));
    assert_eq!(header(&head, "Connection"), Some("upgrade, close"));
}

/// The same body in the three ways to frame one, and how the backend goes on.
fn framed(body: &[u8]) -> [(Vec<u8>, Then); 3] {
    let with_length = format!("HTTP/1.1 403 No\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunks = body
        .chunks(5_000)
        .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    let chunked = [
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        chunks.collect::<Vec<_>>().concat(),
    ];
    [
        ([with_length.as_bytes(), body].concat(), Then::Stays),
        ([&chunked.concat()[..], b"0\r\n\r\n"].concat(), Then::Stays),
        ([b"HTTP/1.1 403 No\r\n\r\n", body].concat(), Then::Ends),
    ]
}

#[test]
fn a_body_of_just_the_most_that_is_passed_on_comes_whole() {
    let body = vec![b'b'; BODY_BYTES_MAX];
    for (answer, then) in framed(&body) {
        let (head, got, end) = pass_on(&answer, then, "");
        assert_eq!(header(&head, "Content-Length"), Some("65536"));
        assert!(got == body && end == StreamEnd::Fin, "{} bytes, {end:?}", got.len());
    }
}

/// The length that was declared stays, or chunks end without the last one; and the stream ends in a reset.
fn assert_truncated((head, got, end): (String, Vec<u8>, StreamEnd), declared: Option<usize>, body: &[u8]) {
    let declared = declared.map(|bytes| bytes.to_string());
    assert_eq!(header(&head, "Content-Length"), declared.as_deref(), "{head}");
    let expected = if declared.is_some() {
        body.to_vec()
    } else {
        assert_eq!(header(&head, "Transfer-Encoding"), Some("chunked"), "{head}");
        [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
    };
    assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    assert_eq!(end, StreamEnd::Reset);
}

#[test]
fn a_longer_body_ends_in_a_truncation_that_shows() {
    for bytes in [BODY_BYTES_MAX + 1, 3 * BODY_BYTES_MAX] {
        let body = vec![b'b'; bytes];
        for (index, (answer, then)) in framed(&body).into_iter().enumerate() {
            let declared = (index == 0).then_some(bytes);
            assert_truncated(pass_on(&answer, then, ""), declared, &body[..BODY_BYTES_MAX]);
        }
    }
}

#[test]
fn a_body_that_stops_short_ends_in_a_truncation_that_shows() {
    let with_length = b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nabcde";
    let chunked = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";
    let until_close = b"HTTP/1.1 403 No\r\n\r\nabcde";
    for then in [Then::Stays, Then::Ends] {
        let lines = "answer_timeout_ms = 300";
        assert_truncated(pass_on(with_length, then, lines), Some(9), b"abcde");
        assert_truncated(pass_on(chunked, then, lines), None, b"abcde");
    }
    // Without a length, an orderly end is the end of the body; to stay silent is none.
    assert_truncated(pass_on(until_close, Then::Stays, "answer_timeout_ms = 300"), None, b"abcde");
}

#[test]
fn a_reset_within_a_body_without_length_is_no_end_of_it() {
    let (head, _, end) = pass_on(b"HTTP/1.1 403 No\r\nX-Own: 1\r\n\r\n", Then::Resets, "");
    // The reset may overtake the head.
    if head.starts_with("HTTP/1.1 403 ") {
        assert_eq!((header(&head, "Transfer-Encoding"), end), (Some("chunked"), StreamEnd::Reset), "{head}");
    } else {
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

/// Bytes that wait behind the head must not bring the reset forward: it would take away what a slow client still owes.
#[test]
fn a_truncated_answer_reaches_a_slow_client_that_has_sent_much_behind_its_head() {
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    let mut client = Raw::connect_with_room(gateway.address, 4 * 1024);
    client.send(&[request("/t", "").as_bytes(), &[b'x'; 32 * 1024]].concat());
    let (mut session, _) = backend.take_request();
    let body = vec![b'b'; 2 * BODY_BYTES_MAX];
    session.try_send(&framed(&body)[0].0);
    let head = client.read_head();
    let (got, end) = client.read_to_end();
    assert_truncated((head, got, end), Some(body.len()), &body[..BODY_BYTES_MAX]);
    drop((client, session));
    end_after(gateway, Cause::BackendAnswer, Phase::Answer);
}

#[test]
fn a_backend_that_does_not_take_the_request_is_504_at_the_answer_deadline() {
    let backend = Backend::with_room(1);
    let gateway = gateway_to(backend.address, "answer_timeout_ms = 200");
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", &format!("X: {}\r\n", "x".repeat(15 * 1024))).as_bytes());
    let session = backend.take();
    read_refusal(&mut client, 504, "the backend did not answer in time");
    drop((client, session));
    end_after(gateway, Cause::BackendSilent, Phase::Answer);
}

#[test]
fn a_name_is_dialled_at_the_address_that_answers() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "").replace("ws://127.0.0.1", "ws://localhost");
    let gateway = TestInstance::start_with("workers = 1", &[("t", &api)]);
    let mut client = ask(&gateway);
    let (mut session, head) = backend.take_request();
    assert_eq!(header(&head, "Host"), Some(format!("localhost:{}", backend.address.port()).as_str()));
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_name_without_an_address_is_502() {
    let api = api_file("t", closed_port(), "dial_timeout_ms = 20000")
        .replace("ws://127.0.0.1", "ws://nowhere.invalid");
    let gateway = TestInstance::start_with("workers = 1", &[("t", &api)]);
    let mut client = ask(&gateway);
    read_refusal(&mut client, 502, "the backend's name cannot be resolved");
    drop(client);
    end_after(gateway, Cause::BackendRefused, Phase::Dial);
}

/// How a client leaves.
fn leave(mut client: Raw, resets: bool) -> Option<Raw> {
    if resets {
        client.reset();
        return None;
    }
    client.finish();
    Some(client)
}

#[test]
fn a_client_that_leaves_during_the_dial_ends_it() {
    for resets in [false, true] {
        let deaf = Deaf::new();
        let gateway = gateway_to(deaf.address, "dial_timeout_ms = 60000");
        let begun = Instant::now();
        let client = leave(ask(&gateway), resets);
        if let Some(mut client) = client {
            assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin), "nothing more is sent");
        }
        end_after(gateway, Cause::ClientGone, Phase::Dial);
        assert!(begun.elapsed() < SOON, "after {:?}", begun.elapsed());
    }
}

#[test]
fn a_client_that_leaves_while_the_backend_is_silent_ends_the_backends_connection() {
    let parts = ["", "HTTP/1.1 101 Switching", "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nabc"];
    for part in parts {
        for resets in [false, true] {
            let backend = Backend::new();
            let gateway = gateway_to(backend.address, "answer_timeout_ms = 60000");
            let begun = Instant::now();
            let client = ask(&gateway);
            let (mut session, _) = backend.take_request();
            session.send(part.as_bytes());
            let client = leave(client, resets);
            assert_eq!(session.read_to_end(), (vec![], StreamEnd::Fin));
            if let Some(mut client) = client {
                assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin), "nothing more is sent");
            }
            end_after(gateway, Cause::ClientGone, Phase::Answer);
            assert!(begun.elapsed() < SOON, "after {:?}", begun.elapsed());
        }
    }
}

/// A watch on the client begins when a backend takes its time; it must neither take bytes nor stay on the socket.
#[test]
fn a_client_whose_backend_took_its_time_gets_its_session_and_loses_no_byte() {
    let backend = Backend::new();
    let gateway = gateway_to(backend.address, "");
    let frames: Vec<Vec<u8>> = (0..3).map(|index| client_frame(0x82, &[index; 10])).collect();
    let mut client = Raw::connect(gateway.address);
    client.send(&[request("/t", "").as_bytes(), &frames[0]].concat());
    let (mut session, head) = backend.take_request();
    assert!(
        session.is_silent_for(Duration::from_millis(2 * CLIENT_WATCH_AFTER_MS)),
        "no frame before the 101"
    );
    client.send(&frames[1]);
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.send(&frames[2]);
    session.expect(&frames.concat());
    session.send(&server_frame(0x82, b"back"));
    client.expect(&server_frame(0x82, b"back"));
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_opening_in_progress_at_the_drain_is_finished_and_its_session_is_told_to_go() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let gateway = TestInstance::start_with("workers = 1\ndrain_s = 5", &[("t", &api)]);
    let mut client = ask(&gateway);
    let (mut session, head) = backend.take_request();
    gateway.instance.drain();
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.expect(&server_frame(0x88, &close_payload(1001, "drain")));
    drop((client, session));
    end_after(gateway, Cause::Drain, Phase::Relay);
}
