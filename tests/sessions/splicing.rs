//! The rests of large frames, spliced from socket to socket: what comes out is what went in, whoever stops, ends or breaks.
//!
//! The simulation has the odd moments; here is what the real kernel does.

use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{Raw, StreamEnd};
use crate::support::relay::{OPAQUE, STRICT, TestRelay};
use crate::support::wait_until;
use ringgate::limits::SPLICE_PIPES_PER_RELAY;
use ringgate::relay::RelayLimits;
use ringgate::session::{Cause, Phase, SessionLimits};

const LEAST: u64 = 32 * 1024;
const BULK: usize = 3_000_000;

fn relay(splice_bytes_min: Option<u64>) -> TestRelay {
    TestRelay::start(64, RelayLimits { splice_bytes_min, ..RelayLimits::default() })
}

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// A large frame of a backend.
fn bulk() -> Vec<u8> {
    server_frame(0x82, &payload(BULK))
}

/// Sends from one side while the other one reads.
fn pass(from: &Raw, to: &mut Raw, bytes: &[u8]) {
    std::thread::scope(|scope| {
        let mut from = from.clone_handle();
        scope.spawn(move || from.send(bytes));
        to.expect(bytes);
    });
}

/// Opens a session from whose backend a large frame has come: from the second on, they are received by their heads.
fn open(relay: &TestRelay, limits: SessionLimits, room: Option<usize>) -> (Raw, Raw) {
    let (mut client, backend) = relay.open(limits, room);
    pass(&backend, &mut client, &server_frame(0x82, &payload(100_000)));
    (client, backend)
}

fn spliced(relay: &TestRelay) -> u64 {
    relay.count(|counters| &counters.spliced_bytes)
}

fn ended(relay: &TestRelay, cause: Cause) -> u64 {
    relay.counters.terminations_of(cause, Phase::Relay)
}

#[test]
fn large_frames_pass_byte_by_byte_both_ways_with_small_ones_between_them() {
    let relay = relay(Some(LEAST));
    let (mut client, mut backend) = relay.open(STRICT, None);
    for round in 0..20 {
        let large = payload(BULK / (round + 1));
        let down = [server_frame(0x82, &large), server_frame(0x81, b"ok")].concat();
        pass(&backend, &mut client, &down);
        let up = [client_frame(0x82, &large), client_frame(0x81, b"ok")].concat();
        pass(&client, &mut backend, &up);
    }
    assert!(spliced(&relay) > 2 * BULK as u64, "{}", spliced(&relay));
    drop((client, backend));
    relay.end();
}

#[test]
fn nothing_is_spliced_of_small_frames_of_opaque_streams_and_where_it_is_switched_off() {
    let small: Vec<u8> = server_frame(0x82, &payload(10_000)).repeat(100);
    for (least, limits, bytes) in
        [(Some(LEAST), STRICT, &small), (Some(LEAST), OPAQUE, &bulk()), (None, STRICT, &bulk())]
    {
        let relay = relay(least);
        let (mut client, backend) = relay.open(limits, None);
        pass(&backend, &mut client, bytes);
        assert_eq!(spliced(&relay), 0, "{least:?}");
        drop((client, backend));
        relay.end();
    }
}

#[test]
fn readers_that_stop_take_every_pipe_and_the_others_still_pass_theirs() {
    let relay = relay(Some(LEAST));
    let bytes = bulk();
    let stopped: Vec<_> = (0..2 * SPLICE_PIPES_PER_RELAY)
        .map(|_| {
            let (client, backend) = open(&relay, STRICT, Some(4096));
            let mut sender = backend.clone_handle();
            let bytes = bytes.clone();
            let flood = std::thread::spawn(move || sender.try_send(&bytes));
            (client, backend, flood)
        })
        .collect();
    let (mut client, backend) = open(&relay, STRICT, None);
    pass(&backend, &mut client, &bytes);
    drop((client, backend));
    // Half of them go on where they stopped, the others leave.
    for (index, (mut client, backend, flood)) in stopped.into_iter().enumerate() {
        if index % 2 == 0 {
            client.expect(&bytes);
        }
        drop((client, backend));
        let _ = flood.join().unwrap();
    }
    relay.end();
}

#[test]
fn an_end_in_the_middle_of_a_frame_comes_behind_all_that_was_sent_before_it() {
    let relay = relay(Some(LEAST));
    let (mut client, mut backend) = open(&relay, STRICT, Some(4096));
    let whole = bulk();
    let half = &whole[..BULK / 2];
    std::thread::scope(|scope| {
        let mut sender = backend.clone_handle();
        scope.spawn(move || {
            sender.send(half);
            sender.finish();
        });
        let (received, end) = client.read_to_end();
        assert_eq!(received.len(), half.len());
        assert!(received == half && end == StreamEnd::Fin, "{end:?}");
    });
    client.finish();
    let (_, end) = backend.read_to_end();
    assert_eq!(end, StreamEnd::Fin);
    assert!(spliced(&relay) > 0);
    wait_until("its end", || ended(&relay, Cause::Ended) == 1);
    drop((client, backend));
    relay.end();
}

#[test]
fn whoever_breaks_in_the_middle_of_a_frame_ends_its_session_and_leaves_no_pipe_behind() {
    let relay = relay(Some(LEAST));
    let bytes = bulk();
    for round in 0..3 * SPLICE_PIPES_PER_RELAY as u64 {
        let (client, mut backend) = open(&relay, STRICT, Some(4096));
        let before = spliced(&relay);
        let mut sender = backend.clone_handle();
        let flood = std::thread::spawn({
            let bytes = bytes.clone();
            move || sender.try_send(&bytes)
        });
        wait_until("a spliced byte", || spliced(&relay) > before);
        if round % 2 == 0 {
            client.reset();
            backend.read_to_end();
        } else {
            backend.reset();
            drop(client);
        }
        let _ = flood.join().unwrap();
        wait_until("its end", || ended(&relay, Cause::Reset) == round + 1);
    }
    // All pipes are back, or nothing would be spliced.
    let (mut client, backend) = open(&relay, STRICT, None);
    let before = spliced(&relay);
    pass(&backend, &mut client, &bytes);
    assert!(spliced(&relay) > before);
    drop((client, backend));
    relay.end();
}

#[test]
fn a_session_that_ends_by_its_longest_life_ends_at_the_end_of_a_spliced_frame() {
    let relay = relay(Some(LEAST));
    let limits = SessionLimits { longest_life_ms: Some(300), linger_ms: 20_000, ..STRICT };
    let (mut client, mut backend) = open(&relay, limits, None);
    let bytes = bulk();
    let (first, rest) = bytes.split_at(BULK / 2);
    pass(&backend, &mut client, first);
    // The backend is told at once; the client when its frame is over.
    assert_eq!(backend.read(2), [0x88, 0x8e]);
    pass(&backend, &mut client, rest);
    let close = client.read(4);
    assert_eq!((close[0], &close[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
    assert!(spliced(&relay) > 0);
    drop((client, backend));
    relay.end();
}
