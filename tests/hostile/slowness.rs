//! Peers that take their time: each has a deadline that no progress of theirs moves, and holds up nobody but itself.

use crate::neighbour::{Scene, attacked, attacked_by};
use crate::support::backend::{Backend, Pair, switching};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::{Handshake, read_refusal};
use crate::support::raw::{Raw, StreamEnd, request};
use ringgate::session::{Cause, Phase};
use std::io::{ErrorKind, Write as _};
use std::thread;
use std::time::{Duration, Instant};

/// Between two bytes of a peer that drips.
const PACE: Duration = Duration::from_millis(10);

/// The longest delay of a deadline on a noisy machine.
const LATE: Duration = Duration::from_secs(3);

/// Waits for bytes or an end, and leaves them where they are; says whether nothing came.
fn hears_nothing(raw: &Raw, time: Duration) -> bool {
    raw.stream.set_read_timeout(Some(time)).unwrap();
    let result = raw.stream.peek(&mut [0]);
    raw.stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    result.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}

/// Sends byte by byte until all is sent or the other side says something.
fn drip(raw: &mut Raw, bytes: &[u8]) {
    for byte in bytes {
        if !raw.try_send(&[*byte]) || !hears_nothing(raw, PACE) {
            return;
        }
    }
}

/// Checks that what `attack` does takes about as long as a deadline.
fn ends_at(deadline: Duration, attack: impl FnOnce()) {
    let begun = Instant::now();
    attack();
    let took = begun.elapsed();
    assert!(took >= deadline && took < deadline + LATE, "{took:?} at a deadline of {deadline:?}");
}

/// A handshake that takes far longer than its deadline to drip.
fn long_head() -> Vec<u8> {
    (0..80).fold(Handshake::new("/t"), |head, index| head.with(format!("X-{index}: y"))).encode()
}

#[test]
fn a_head_that_drips_has_no_longer_than_one_that_never_comes() {
    let whole = long_head();
    let last = whole.len() - 1;
    let carriage_returns: Vec<u8> = whole.iter().copied().filter(|&byte| byte != b'\n').collect();
    let long_target = request(&format!("/t/{}", "x".repeat(4000)), "").into_bytes();
    attacked("head_timeout_ms = 300", "", |scene| {
        // What comes at once, and what drips behind it.
        let cases: [(&str, &[u8], &[u8]); 6] = [
            ("fields", &whole[..40], &whole[40..]),
            ("a target", &long_target[..6], &long_target[6..]),
            ("a first byte and no more", b"", b"G"),
            ("an empty line in front", b"", b"\r\n"),
            ("all but the last byte", &whole[..last], b""),
            ("a head with bare CRs alone", &carriage_returns, &carriage_returns),
        ];
        for (index, (name, at_once, dripping)) in (1..).zip(cases) {
            scene.case(&format!("{name} (RFC 9110 §15.5.9)"), || {
                ends_at(Duration::from_millis(300), || {
                    let mut client = Raw::connect(scene.gateway.address);
                    client.send(at_once);
                    drip(&mut client, dripping);
                    read_refusal(&mut client, 408, "Request head not complete in time");
                });
                scene.gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, index);
            });
        }
        scene.nothing_else_reached_the_backend();
    });
}

#[test]
fn many_heads_that_drip_do_not_hold_each_other_up() {
    attacked("head_timeout_ms = 500", "", |scene| {
        let head = long_head();
        let mut clients: Vec<Raw> = (0..50).map(|_| Raw::connect(scene.gateway.address)).collect();
        ends_at(Duration::from_millis(400), || {
            // Each gets a byte in turn until the first is answered.
            for byte in &head[..head.len() - 1] {
                for client in &mut clients {
                    client.try_send(&[*byte]);
                }
                if !hears_nothing(&clients[0], PACE) {
                    break;
                }
            }
            for client in &mut clients {
                assert!(client.read_head().starts_with("HTTP/1.1 408 "));
            }
        });
        drop(clients);
        scene.gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, 50);
        scene.nothing_else_reached_the_backend();
    });
}

/// Asks at `/t`; gives the client and the backend's end, which has read the request.
fn ask(scene: &Scene) -> (Raw, Raw) {
    let mut client = Raw::connect(scene.gateway.address);
    client.send(request("/t", "").as_bytes());
    (client, scene.backend.take_request().0)
}

#[test]
fn an_answer_that_drips_has_no_longer_than_one_that_never_comes() {
    let head = switching(&request("/t", ""), &"X: y\r\n".repeat(80));
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(8);
    let refusal = format!("HTTP/1.1 403 No\r\n{}\r\n", "X: y\r\n".repeat(80));
    attacked("", "answer_timeout_ms = 300", |scene| {
        for (index, (name, dripping)) in
            (1..).zip([("a 101", head), ("interim answers", interim), ("a refusal", refusal)])
        {
            scene.case(&format!("{name} (RFC 9110 §15.6.5)"), || {
                ends_at(Duration::from_millis(300), || {
                    let (mut client, mut backend) = ask(scene);
                    drip(&mut backend, dripping.as_bytes());
                    read_refusal(&mut client, 504, "the backend did not answer in time");
                    assert_eq!(backend.read_to_end().0, b"");
                });
                scene.gateway.wait_for_terminations(Cause::BackendSilent, Phase::Answer, index);
            });
        }
    });
}

#[test]
fn a_passed_on_body_that_drips_ends_at_the_deadline_of_the_answer_as_a_truncated_one() {
    attacked("", "answer_timeout_ms = 300", |scene| {
        let chunk = "1\r\nx\r\n".repeat(1000);
        for (index, (name, lines, dripping)) in (1..).zip([
            ("with a length", "Content-Length: 1000\r\n", "x".repeat(999)),
            ("in chunks", "Transfer-Encoding: chunked\r\n", chunk),
            ("without a length", "", "x".repeat(1000)),
        ]) {
            scene.case(&format!("a body {name} (RFC 9112 §8)"), || {
                ends_at(Duration::from_millis(300), || {
                    let (mut client, mut backend) = ask(scene);
                    backend.send(format!("HTTP/1.1 403 No\r\n{lines}\r\n").as_bytes());
                    drip(&mut backend, dripping.as_bytes());
                    let head = client.read_head();
                    assert!(head.starts_with("HTTP/1.1 403 No\r\n"), "{head}");
                    let (body, end) = client.read_to_end();
                    let passed = body.iter().filter(|&&byte| byte == b'x').count();
                    assert!(passed > 0 && passed < 999, "{passed} bytes");
                    assert_eq!(end, StreamEnd::Reset);
                });
                scene.gateway.wait_for_terminations(Cause::BackendAnswer, Phase::Answer, index);
            });
        }
    });
}

#[test]
fn a_backend_that_never_takes_its_request_is_504() {
    attacked_by(Backend::with_room(1), "", "answer_timeout_ms = 300", |scene| {
        let mut client = Raw::connect(scene.gateway.address);
        let lines = format!("X: {}\r\n", "x".repeat(15 * 1024));
        // RFC 9110 §15.6.5. What pipelines behind it does not help.
        client.send(&[request("/t", &lines).as_bytes(), &[b'y'; 64 * 1024]].concat());
        let backend = scene.backend.take();
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        drop((client, backend));
        scene.gateway.wait_for_terminations(Cause::BackendSilent, Phase::Answer, 1);
    });
}

#[test]
fn a_frame_that_drips_does_not_outlive_its_session() {
    attacked("", "longest_life_s = 1\nlinger_s = 1", |scene| {
        let Pair { mut client, mut backend } = Pair::open(scene.gateway.address, &scene.backend);
        let frame = client_frame(0x82, &[0; 100_000]);
        ends_at(Duration::from_millis(1800), || {
            let answer = thread::scope(|scope| {
                let mut writer = client.clone_handle();
                scope.spawn(move || {
                    for byte in &frame {
                        if !writer.try_send(&[*byte]) {
                            return;
                        }
                        // Nothing is ever read here: this is the pace.
                        thread::park_timeout(PACE);
                    }
                });
                // No Close may stand within the frame (RFC 6455 §5.5.1), and that one never ends: the backend is cut.
                assert_eq!(backend.read_to_end().0[0], 0x82);
                client.read_to_end().0
            });
            assert_eq!(answer, server_frame(0x88, &close_payload(1001, "longest_life")));
        });
        drop((client, backend));
        scene.gateway.wait_for_terminations(Cause::LongestLife, Phase::Relay, 1);
    });
}

/// Frames that are more together than every buffer on their way holds. Each is small enough to be copied: the rest of a larger one
/// would stay in the socket that it came from, and hold nothing of the relay's.
fn many_frames() -> Vec<u8> {
    let payload: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    server_frame(0x82, &payload).repeat(600)
}

#[test]
fn readers_that_stop_are_let_go_when_they_hold_too_much_and_the_others_lose_nothing() {
    const READERS: usize = 8;
    attacked("backlog_mib_max = 2", "linger_s = 1", |scene| {
        let frames = many_frames();
        let mut clients = Vec::new();
        let mut backends = Vec::new();
        for _ in 0..READERS {
            let mut client = Raw::connect_with_room(scene.gateway.address, 4096);
            client.send(request("/t", "").as_bytes());
            backends.push(scene.backend.take_session());
            assert!(client.read_head().starts_with("HTTP/1.1 101 "));
            clients.push(client);
        }
        let cut = thread::scope(|scope| {
            for backend in &mut backends {
                let frames = &frames;
                scope.spawn(move || backend.try_send(frames));
            }
            crate::support::wait_until("a reader that is let go", || {
                scene.gateway.terminations(Cause::SlowReader, Phase::Relay) > 0
            });
            scene.case("those that are left read again (RFC 6455 §10.4)", || {
                let mut cut = 0;
                for client in &mut clients {
                    let mut bytes = Vec::new();
                    let is_whole = client.read_up_to(frames.len(), &mut bytes);
                    assert!(frames.starts_with(&bytes), "{} bytes that are not the backend's", bytes.len());
                    cut += u64::from(!is_whole);
                }
                cut
            })
        });
        assert!(cut < READERS as u64, "nobody was left");
        drop((clients, backends));
        scene.gateway.wait_for_terminations(Cause::SlowReader, Phase::Relay, cut);
    });
}

#[test]
fn readers_that_stop_within_a_large_frame_hold_too_little_to_be_let_go_and_get_all_of_it() {
    const READERS: usize = 8;
    attacked("backlog_mib_max = 2", "linger_s = 1", |scene| {
        let payload: Vec<u8> = (0..12_000_000u32).map(|n| (n % 251) as u8).collect();
        let frame = server_frame(0x82, &payload);
        let mut pairs: Vec<_> =
            (0..READERS).map(|_| Pair::open(scene.gateway.address, &scene.backend)).collect();
        thread::scope(|scope| {
            let mut clients = Vec::new();
            for Pair { client, backend } in &mut pairs {
                let frame = &frame;
                scope.spawn(move || backend.try_send(frame));
                clients.push(client);
            }
            // The last one is read when all others have stood still for as long as this takes.
            for client in clients {
                let mut bytes = Vec::new();
                assert!(client.read_up_to(frame.len(), &mut bytes), "a reader was let go");
                assert!(bytes == frame);
            }
        });
        assert_eq!(scene.gateway.terminations(Cause::SlowReader, Phase::Relay), 0);
        drop(pairs);
    });
}

#[test]
fn a_backend_that_stops_reading_holds_back_its_own_client_only() {
    attacked_by(Backend::with_room(4096), "", "", |scene| {
        let Pair { mut client, mut backend } = Pair::open(scene.gateway.address, &scene.backend);
        let frame = client_frame(0x82, &vec![7; 48_000_000]);
        client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while sent < frame.len()
            && let Ok(more) = client.stream.write(&frame[sent..])
        {
            sent += more;
        }
        assert!(sent < frame.len(), "nothing held it back");
        scene.case("it reads again (RFC 6455 §10.4)", || {
            let mut taken = Vec::new();
            client.finish();
            assert!(!backend.read_up_to(frame.len(), &mut taken));
            assert!(taken == frame[..sent], "{} of {sent} bytes", taken.len());
            // The client has ended within its frame, the backend ends without a Close.
            backend.finish();
            assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
        });
        scene.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 1);
    });
}
