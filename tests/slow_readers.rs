//! Readers that stop reading: they hold heap under a limit, no buffer that others need, and nobody else feels them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use ringgate::relay::RelayLimits;
use ringgate::session::{Cause, Leg, Phase};
use ringgate::tls::record::{Aead, DirectionState, LegRecords, Records, Role, Step, Suite, Version};
use support::frames::{client_frame, server_frame};
use support::raw::{Raw, StreamEnd};
use support::relay::{OPAQUE, STRICT, TestRelay};
use support::wait_until;

/// What a connection's system buffers hold, about, in these tests: little, so that the relay has to hold the rest.
/// What is spliced waits in the socket that it comes from, and makes no backlog.
const COPIES: RelayLimits =
    RelayLimits { backlog_bytes_max: 64 * MIB, zero_copy_bytes_min: None, splice_bytes_min: None };

const ROOM: usize = 4096;

const MIB: usize = 1 << 20;

/// A binary frame of so many bytes from a backend.
fn frame(payload_bytes: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload_bytes).map(|n| (n % 251) as u8).collect();
    server_frame(0x82, &payload)
}

/// Sends on a thread of its own, as far as the other side takes it.
fn flood(backend: &Raw, bytes: Vec<u8>) -> std::thread::JoinHandle<bool> {
    let mut backend = backend.clone_handle();
    std::thread::spawn(move || backend.try_send(&bytes))
}

fn taken_back(relay: &TestRelay) -> u64 {
    relay.count(|counters| &counters.sends_taken_back)
}

fn backlog(relay: &TestRelay) -> u64 {
    relay.count(|counters| &counters.backlog_bytes)
}

#[test]
fn a_reader_that_stops_holds_no_buffer_and_gets_everything_when_it_reads_again() {
    // Four buffers: one slow reader could hold them all.
    let relay = TestRelay::start(4, COPIES);
    let (mut slow, slow_backend) = relay.open(OPAQUE, Some(ROOM));
    let (mut client, mut backend) = relay.open(OPAQUE, None);
    let bytes: Vec<u8> = (0..4_000_000u32).map(|n| (n % 253) as u8).collect();
    let sender = flood(&slow_backend, bytes.clone());
    wait_until("a send that was taken back", || taken_back(&relay) > 0);

    // The slow one still does not read; the others go on.
    for round in 0..50u8 {
        client.send(&[round; 10_000]);
        backend.expect(&[round; 10_000]);
        backend.send(&[round; 20_000]);
        client.expect(&[round; 20_000]);
    }
    assert!(backlog(&relay) > 0);

    let mut read = 0;
    while read < bytes.len() {
        let part = 100_000.min(bytes.len() - read);
        assert!(slow.read(part) == bytes[read..read + part], "at {read}");
        read += part;
    }
    assert!(sender.join().unwrap());
    wait_until("an empty backlog", || backlog(&relay) == 0);
    drop((slow, slow_backend, client, backend));
    relay.end();
}

#[test]
fn a_backend_that_stops_reading_is_no_different() {
    let relay = TestRelay::start(4, COPIES);
    // The roles are turned round: the slow side is the second socket.
    let (client, mut backend) = relay.open(OPAQUE, None);
    let bytes: Vec<u8> = (0..30_000_000u32).map(|n| (n % 249) as u8).collect();
    let sender = flood(&client, bytes.clone());
    wait_until("a send that was taken back", || taken_back(&relay) > 0);
    let mut read = 0;
    while read < bytes.len() {
        let part = 100_000.min(bytes.len() - read);
        assert!(backend.read(part) == bytes[read..read + part], "at {read}");
        read += part;
    }
    assert!(sender.join().unwrap());
    drop((client, backend));
    relay.end();
}

#[test]
fn the_session_that_holds_most_is_ended_and_nobody_else() {
    let relay = TestRelay::start(64, RelayLimits { backlog_bytes_max: MIB / 2, ..COPIES });
    let (mut modest, mut modest_backend) = relay.open(STRICT, Some(ROOM));
    let (mut neighbour, mut neighbour_backend) = relay.open(STRICT, None);
    let small = frame(100_000);
    modest_backend.send(&small);
    wait_until("the modest reader's backlog", || backlog(&relay) > 0);

    let (mut greedy, mut greedy_backend) = relay.open(STRICT, Some(ROOM));
    // It goes on to send when its session has been ended.
    let sender = flood(&greedy_backend, [frame(2 * MIB), frame(2 * MIB)].concat());
    wait_until("the greedy reader's end", || {
        relay.counters.terminations_of(Cause::SlowReader, Phase::Relay) == 1
    });

    // The culprit is reset, after what its system already had.
    let (_, end) = greedy.read_to_end();
    assert_eq!(end, StreamEnd::Reset);
    // Its backend gets an end, as if the client had left, and is read on.
    assert_eq!(greedy_backend.read_to_end(), (vec![], StreamEnd::Fin));
    sender.join().unwrap();

    // The others feel nothing.
    assert!(backlog(&relay) > 0 && backlog(&relay) <= (MIB / 2) as u64);
    neighbour_backend.send(&frame(5));
    neighbour.expect(&frame(5));
    modest.expect(&small);
    assert_eq!(relay.counters.terminations_of(Cause::SlowReader, Phase::Relay), 1);
    drop((modest, modest_backend, neighbour, neighbour_backend, greedy, greedy_backend));
    relay.end();
}

#[test]
fn any_number_of_stopped_readers_stay_within_the_limit_and_the_others_go_on() {
    const READERS: usize = 200;
    let limit = 8 * MIB;
    let relay = TestRelay::start(256, RelayLimits { backlog_bytes_max: limit, ..COPIES });
    let stopped: Vec<_> = (0..READERS).map(|_| relay.open(STRICT, Some(ROOM))).collect();
    let (mut client, mut backend) = relay.open(STRICT, None);
    let message = frame(MIB);
    let senders: Vec<_> = stopped.iter().map(|(_, backend)| flood(backend, message.clone())).collect();
    wait_until("sessions that were ended", || {
        relay.counters.terminations_of(Cause::SlowReader, Phase::Relay) > 0
    });
    for _ in 0..100 {
        backend.send(&frame(64));
        client.expect(&frame(64));
        assert!(backlog(&relay) <= limit as u64);
    }
    let ended = relay.counters.terminations_of(Cause::SlowReader, Phase::Relay);
    assert!(ended < READERS as u64, "some go on");
    // Whoever was not ended gets its message whole.
    let mut whole = 0;
    let readers: Vec<_> = stopped
        .into_iter()
        .map(|(mut client, backend)| {
            let message = message.clone();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                let is_whole = client.read_up_to(message.len(), &mut got) && got == message;
                assert!(message.starts_with(&got), "what came is what was sent");
                drop(backend);
                is_whole
            })
        })
        .collect();
    for reader in readers {
        whole += u64::from(reader.join().unwrap());
    }
    let ended = relay.counters.terminations_of(Cause::SlowReader, Phase::Relay);
    assert_eq!(whole, READERS as u64 - ended);
    for sender in senders {
        sender.join().unwrap();
    }
    drop((client, backend));
    relay.end();
}

/// Both ends of a connection's records: the relay's, and its endpoint's.
fn records(role: Role) -> [LegRecords; 2] {
    let suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };
    let state = |byte| DirectionState::from_secret(suite, &vec![byte; suite.secret_bytes()], 0).unwrap();
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    [LegRecords::new(role, state(1), state(2)), LegRecords::new(other, state(2), state(1))]
}

/// What an endpoint sends, as records if there are any.
fn sealed(records: &mut Option<LegRecords>, bytes: &[u8]) -> Vec<u8> {
    let Some(records) = records else { return bytes.to_vec() };
    let mut sealed = vec![0; records.sealed_bytes(bytes.len())];
    let len = records.seal(&[bytes], &mut sealed).unwrap();
    sealed.truncate(len);
    sealed
}

#[test]
fn a_slow_reader_is_reset_and_the_other_leg_ends_plainly() {
    for by in Leg::BOTH {
        for is_wrapped in [[false; 2], [true; 2], [true, false], [false, true]] {
            println!("by {}, under TLS: {is_wrapped:?}", by.name());
            let relay = TestRelay::start(64, RelayLimits { backlog_bytes_max: MIB / 4, ..COPIES });
            let mut inside = [None, None];
            let mut outside = [None, None];
            for (leg, role) in [(Leg::Downstream, Role::Server), (Leg::Upstream, Role::Client)] {
                if is_wrapped[leg as usize] {
                    let [of_relay, of_endpoint] = records(role);
                    inside[leg as usize] = Some(Box::new(of_relay) as Box<dyn Records>);
                    outside[leg as usize] = Some(of_endpoint);
                }
            }
            let mut rooms = [None, None];
            rooms[by as usize] = Some(ROOM);
            let mut raws = Vec::from(relay.open_wrapped(STRICT, rooms, inside));
            let mut innocent = raws.remove(by.other() as usize);
            let mut culprit = raws.remove(0);
            let frame = match by {
                Leg::Downstream => server_frame(0x82, &[5; 20_000]),
                Leg::Upstream => client_frame(0x82, &[5; 20_000]),
            };
            // It goes on to send when its session was ended.
            let sender = flood(&innocent, sealed(&mut outside[by.other() as usize], &frame.repeat(100)));
            wait_until("the end", || relay.counters.terminations_of(Cause::SlowReader, Phase::Relay) == 1);
            assert_eq!(culprit.read_to_end().1, StreamEnd::Reset);
            let (mut told, end) = innocent.read_to_end();
            assert_eq!(end, StreamEnd::Fin);
            match &mut outside[by.other() as usize] {
                Some(records) => {
                    let step = records.open(&mut told, &mut 0).unwrap();
                    assert_eq!(step, Step::Closed, "a close_notify, and nothing before it");
                }
                None => assert_eq!(told, b""),
            }
            sender.join().unwrap();
            drop((culprit, innocent));
            relay.end();
        }
    }
}
