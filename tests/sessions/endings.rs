//! How sessions end over real sockets: what each endpoint sees, and that nothing is left behind.

use crate::support::TestInstance;
use crate::support::backend::{Backend, Pair};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd};
use ringgate::session::{Cause, Phase};
use std::time::{Duration, Instant};

/// Runs one session with both ends in hand, then waits until the instance is at rest and has counted `cause` once.
fn ends_with(api_lines: &str, cause: Cause, script: impl FnOnce(&mut Raw, &mut Raw)) {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, api_lines);
    let mut pair = Pair::open(gateway.address, &backend);
    script(&mut pair.client, &mut pair.backend);
    drop(pair);
    gateway.wait_for_terminations(cause, Phase::Relay, 1);
    gateway.wait_for_rest();
    gateway.end();
}

/// The Close frame that ringgate sends to a backend, unmasked for the test.
fn read_masked_close(raw: &mut Raw) -> (u16, String) {
    let header = raw.read(6);
    assert_eq!(header[0], 0x88, "a Close frame: {header:02x?}");
    assert_eq!(header[1] & 0x80, 0x80, "masked");
    let payload = raw.read(usize::from(header[1] & 0x7f));
    let payload: Vec<u8> =
        payload.iter().enumerate().map(|(index, byte)| byte ^ header[2 + index % 4]).collect();
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
}

fn read_plain_close(raw: &mut Raw) -> (u16, String) {
    let header = raw.read(2);
    assert_eq!(header[0], 0x88, "a Close frame: {header:02x?}");
    let payload = raw.read(usize::from(header[1]));
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
}

fn close_of(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[test]
fn a_close_handshake_of_the_client_passes_as_it_came_both_ways() {
    ends_with("", Cause::Closed, |client, backend| {
        let close = client_frame(0x88, &close_payload(1000, "bye"));
        client.send(&close);
        backend.expect(&close);
        // What the backend owes comes before its answer.
        backend.send(&server_frame(0x82, b"owed"));
        backend.send(&server_frame(0x88, &close_payload(1000, "bye")));
        client.expect(&server_frame(0x82, b"owed"));
        client.expect(&server_frame(0x88, &close_payload(1000, "bye")));
        // Towards the client ringgate is the server: it ends the connection first.
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_close_handshake_of_the_backend_passes_as_it_came_both_ways() {
    ends_with("", Cause::Closed, |client, backend| {
        let close = server_frame(0x88, &close_payload(4321, "enough"));
        backend.send(&close);
        client.expect(&close);
        let answer = client_frame(0x88, &close_payload(4321, ""));
        client.send(&answer);
        backend.expect(&answer);
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
        backend.finish();
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_close_that_is_never_answered_ends_after_the_linger_time() {
    ends_with("linger_s = 1", Cause::Closed, |client, backend| {
        let started = Instant::now();
        client.send(&client_frame(0x88, &close_payload(1000, "")));
        backend.read(8);
        let _ = client.read_to_end();
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
        let _ = backend.read_to_end();
    });
}

#[test]
fn nothing_follows_a_close_frame() {
    ends_with("", Cause::Closed, |client, backend| {
        let mut bytes = client_frame(0x88, &close_payload(1000, ""));
        let close = bytes.clone();
        bytes.extend(client_frame(0x82, b"too late"));
        client.send(&bytes);
        backend.expect(&close);
        backend.send(&server_frame(0x88, &close_payload(1000, "")));
        client.read(4);
        client.finish();
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_fin_of_the_client_is_a_fin_for_the_backend_whose_answer_still_arrives() {
    ends_with("", Cause::Ended, |client, backend| {
        client.send(&client_frame(0x81, b"last"));
        client.finish();
        assert_eq!(backend.read_to_end(), (client_frame(0x81, b"last"), StreamEnd::Fin));
        let tail = server_frame(0x82, &vec![7; 300_000]);
        backend.send(&tail);
        backend.send(&server_frame(0x88, &close_payload(1000, "")));
        client.expect(&tail);
        client.expect(&server_frame(0x88, &close_payload(1000, "")));
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_fin_of_the_backend_is_a_fin_for_the_client_whose_last_words_still_arrive() {
    ends_with("", Cause::Ended, |client, backend| {
        backend.send(&server_frame(0x81, b"last"));
        backend.finish();
        assert_eq!(client.read_to_end(), (server_frame(0x81, b"last"), StreamEnd::Fin));
        client.send(&client_frame(0x82, b"more"));
        client.send(&client_frame(0x88, &close_payload(1000, "")));
        backend.expect(&client_frame(0x82, b"more"));
        backend.expect(&client_frame(0x88, &close_payload(1000, "")));
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_fin_within_a_frame_is_a_plain_end() {
    ends_with("", Cause::Ended, |client, backend| {
        let frame = client_frame(0x82, &[1; 1000]);
        client.send(&frame[..500]);
        client.finish();
        assert_eq!(backend.read_to_end(), (frame[..500].to_vec(), StreamEnd::Fin));
        backend.send(&server_frame(0x81, b"still there"));
        client.expect(&server_frame(0x81, b"still there"));
        backend.finish();
    });
    ends_with("", Cause::Ended, |client, backend| {
        let frame = server_frame(0x82, &[1; 1000]);
        backend.send(&frame[..500]);
        backend.finish();
        assert_eq!(client.read_to_end(), (frame[..500].to_vec(), StreamEnd::Fin));
        client.finish();
    });
}

#[test]
fn a_fin_within_a_header_is_a_plain_end_without_the_start_of_that_header() {
    ends_with("", Cause::Ended, |client, backend| {
        client.send(&client_frame(0x82, &[1; 1000])[..5]);
        client.finish();
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        backend.finish();
    });
}

#[test]
fn a_reset_becomes_a_reset() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    for resets_client in [true, false] {
        let mut pair = Pair::open(gateway.address, &backend);
        pair.client.send(&client_frame(0x81, b"x"));
        pair.backend.expect(&client_frame(0x81, b"x"));
        let (culprit, mut other) =
            if resets_client { (pair.client, pair.backend) } else { (pair.backend, pair.client) };
        culprit.reset();
        assert_eq!(other.read_to_end(), (vec![], StreamEnd::Reset));
    }
    gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 2);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_frame_fault_of_the_client_is_1002_for_it_and_an_end_for_the_backend() {
    ends_with("", Cause::FrameFault, |client, backend| {
        client.send(&client_frame(0x81, b"fine"));
        client.send(&server_frame(0x81, b"not masked"));
        assert_eq!(backend.read_to_end(), (client_frame(0x81, b"fine"), StreamEnd::Fin));
        assert_eq!(read_plain_close(client), close_of(1002, "frame_fault"));
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
        backend.finish();
    });
}

#[test]
fn a_frame_fault_of_the_backend_is_1002_for_it_and_1011_for_the_client() {
    ends_with("", Cause::FrameFault, |client, backend| {
        backend.send(&server_frame(0x83, b"reserved opcode"));
        assert_eq!(read_plain_close(client), close_of(1011, "bad gateway"));
        assert_eq!(read_masked_close(backend), close_of(1002, "frame_fault"));
        client.finish();
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn the_culprits_close_waits_for_the_end_of_the_frame_that_it_is_being_sent() {
    ends_with("", Cause::FrameFault, |client, backend| {
        let frame = server_frame(0x82, &[5; 1000]);
        backend.send(&frame[..400]);
        client.expect(&frame[..400]);
        client.send(&server_frame(0x81, b"not masked"));
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        // The rest of the frame, and a further one that comes too late.
        backend.send(&frame[400..]);
        backend.send(&server_frame(0x81, b"too late"));
        client.expect(&frame[400..]);
        assert_eq!(read_plain_close(client), close_of(1002, "frame_fault"));
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn sizes_over_the_limits_are_1009() {
    ends_with("frame_bytes_max = 1000", Cause::FrameTooBig, |client, backend| {
        client.send(&client_frame(0x82, &[0; 1000]));
        backend.expect(&client_frame(0x82, &[0; 1000]));
        client.send(&client_frame(0x82, &[0; 1001]));
        assert_eq!(read_plain_close(client), close_of(1009, "frame_too_big"));
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        backend.finish();
    });
    ends_with("message_bytes_max = 1000", Cause::MessageTooBig, |client, backend| {
        backend.send(&server_frame(0x02, &[0; 600]));
        backend.send(&server_frame(0x80, &[0; 401]));
        client.expect(&server_frame(0x02, &[0; 600]));
        assert_eq!(read_plain_close(client), close_of(1011, "bad gateway"));
        assert_eq!(read_masked_close(backend), close_of(1009, "message_too_big"));
        client.finish();
    });
}

#[test]
fn an_idle_session_ends_with_1001_for_both() {
    ends_with("idle_timeout_s = 1", Cause::Idle, |client, backend| {
        let started = Instant::now();
        assert_eq!(read_plain_close(client), close_of(1001, "idle"));
        assert_eq!(read_masked_close(backend), close_of(1001, "idle"));
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
        client.send(&client_frame(0x88, &close_payload(1001, "")));
        backend.send(&server_frame(0x88, &close_payload(1001, "")));
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_session_ends_at_its_longest_life_however_busy_it_is() {
    ends_with("longest_life_s = 1", Cause::LongestLife, |client, backend| {
        let started = Instant::now();
        client.stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut byte = [0; 1];
        while std::io::Read::read(&mut client.stream, &mut byte).is_err() {
            client.send(&client_frame(0x82, b"busy"));
            // What was sent while the session ended stays behind its Close.
            let mut first = [0; 1];
            backend.stream.peek(&mut first).unwrap();
            if first != [0x88] {
                backend.expect(&client_frame(0x82, b"busy"));
            }
        }
        assert_eq!(byte, [0x88]);
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
        assert_eq!(read_masked_close(backend), close_of(1001, "longest_life"));
        backend.finish();
    });
}

#[test]
fn an_opaque_session_passes_anything_and_ends_plainly() {
    ends_with("frames = \"opaque\"", Cause::Ended, |client, backend| {
        client.send(b"not a frame at all");
        backend.expect(b"not a frame at all");
        backend.send(b"\xff\xff\xff");
        client.expect(b"\xff\xff\xff");
        client.finish();
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        backend.send(b"more");
        client.expect(b"more");
        backend.finish();
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    });
}

#[test]
fn a_drain_closes_sessions_at_their_boundary_and_cuts_what_is_left() {
    let backend = Backend::new();
    let api = crate::support::api_file("t", backend.address, "");
    let gateway = TestInstance::start_with("workers = 1\ndrain_s = 2", &[("t", &api)]);
    let mut at_boundary = Pair::open(gateway.address, &backend);
    let mut within_frame = Pair::open(gateway.address, &backend);
    let mut stuck = Pair::open(gateway.address, &backend);
    let frame = server_frame(0x82, &[3; 1000]);
    for pair in [&mut within_frame, &mut stuck] {
        pair.backend.send(&frame[..500]);
        pair.client.expect(&frame[..500]);
    }
    let started = Instant::now();
    gateway.instance.drain();
    assert_eq!(read_plain_close(&mut at_boundary.client), close_of(1001, "drain"));
    assert_eq!(read_masked_close(&mut at_boundary.backend), close_of(1001, "drain"));
    at_boundary.client.send(&client_frame(0x88, &close_payload(1001, "")));
    at_boundary.backend.send(&server_frame(0x88, &close_payload(1001, "")));
    assert_eq!(at_boundary.client.read_to_end(), (vec![], StreamEnd::Fin));

    assert_eq!(read_masked_close(&mut within_frame.backend), close_of(1001, "drain"));
    within_frame.backend.send(&frame[500..]);
    within_frame.client.expect(&frame[500..]);
    assert_eq!(read_plain_close(&mut within_frame.client), close_of(1001, "drain"));

    // This one never comes to a boundary: it ends with the drain, and without a Close.
    let (rest, _) = stuck.client.read_to_end();
    assert_eq!(rest, b"");
    assert!(started.elapsed() >= Duration::from_millis(1800), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    gateway.wait_for_terminations(Cause::Drain, Phase::Relay, 3);
    gateway.end();
}

#[test]
fn a_drained_listener_takes_no_more_connections() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    gateway.instance.drain();
    let address = gateway.address;
    gateway.end();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_reader_that_stops_loses_nothing_and_holds_back_only_its_own_sender() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    let mut slow = Pair::open(gateway.address, &backend);
    let mut other = Pair::open(gateway.address, &backend);
    // More than every buffer on the way together: the sender is held back until the reader goes on.
    let frame = server_frame(0x82, &(0..48_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let expected = frame.clone();
    let sender = std::thread::spawn(move || {
        slow.backend.send(&frame);
        slow.backend
    });
    for _ in 0..200 {
        other.client.send(&client_frame(0x81, b"still served"));
        other.backend.expect(&client_frame(0x81, b"still served"));
    }
    let mut read = 0;
    while read < expected.len() {
        let part = 1_000_000.min(expected.len() - read);
        assert!(slow.client.read(part) == expected[read..read + part], "at {read}");
        read += part;
    }
    drop((sender.join().unwrap(), slow.client, other));
    gateway.wait_for_rest();
    gateway.end();
}
