//! Readers that stop reading: they hold heap under a limit, no buffer that others need, and nobody else feels them. What hides
//! behind them is noticed. And senders that never stop: nobody waits for them.

use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd};
use crate::support::relay::{OPAQUE, STRICT, TestRelay};
use crate::support::wait_until;
use ringgate::limits::PROGRESS_INTERVAL_MS;
use ringgate::limits::{LINE_KIB_PER_TURN, TURN_SHARE_KIB, UNREAD_PATIENCE_MS};
use ringgate::relay::RelayLimits;
use ringgate::session::{Cause, Leg, Phase, SessionLimits};
use ringgate::tls::record::{Aead, DirectionState, LegRecords, Role, Step, Suite, Version};
use std::io::Read as _;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A relay that copies every frame: spliced bytes wait in the socket that they come from, and make no backlog. The tests'
/// connections have small system buffers, so that the relay has to hold the rest.
const COPIES: RelayLimits = RelayLimits {
    backlog_bytes_max: 64 * MIB,
    zero_copy_bytes_min: None,
    splice_bytes_min: None,
    dead_peer_timeout_ms: None,
    turn_share_kib: TURN_SHARE_KIB,
    line_kib_per_turn: LINE_KIB_PER_TURN,
    progress_interval_ms: PROGRESS_INTERVAL_MS,
};

const ROOM: usize = 4096;

const MIB: usize = 1 << 20;

/// A binary frame of so many bytes from a backend.
fn frame(payload_bytes: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload_bytes).map(|n| (n % 251) as u8).collect();
    server_frame(0x82, &payload)
}

/// Sends on a thread of its own, as far as the other side takes it.
fn flood(backend: &Raw, bytes: Vec<u8>) -> JoinHandle<bool> {
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

/// The bytes that one stopped reader of [`each_end_over_the_limit_makes_room_for_an_eighth_of_it`] leaves to the relay, about.
const LEFT_BYTES: usize = 100_000;

#[test]
fn each_end_over_the_limit_makes_room_for_an_eighth_of_it() {
    let limit = 2 * MIB;
    let relay = TestRelay::start(256, RelayLimits { backlog_bytes_max: limit, ..COPIES });
    let ended = |relay: &TestRelay| relay.counters.terminations_of(Cause::SlowReader, Phase::Relay);
    let mut stopped = Vec::new();
    // Each of them holds much less than the eighth, so that one end alone would not make room for it.
    while ended(&relay) == 0 {
        let before = backlog(&relay);
        assert!(before <= limit as u64);
        let (client, mut backend) = relay.open(STRICT, Some(ROOM));
        backend.send(&frame(LEFT_BYTES));
        stopped.push((client, backend));
        wait_until("a backlog, or an end", || backlog(&relay) > before || ended(&relay) > 0);
    }
    assert!(stopped.len() > 15, "{} readers are over the limit", stopped.len());
    wait_until("the backlog of those that are left", || backlog(&relay) <= (limit - limit / 8) as u64);
    assert!(ended(&relay) >= 2, "more than the one that is over the limit");
    assert!(ended(&relay) <= 5, "no more than makes the room");
    drop(stopped);
    relay.end();
}

/// Both ends of a connection's records: the relay's, and its endpoint's.
fn records(role: Role) -> [LegRecords; 2] {
    let suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };
    let state = |byte| DirectionState::from_secret(suite, &vec![byte; suite.secret_bytes()], 0).unwrap();
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    [LegRecords::new(role, state(1), state(2)), LegRecords::new(other, state(2), state(1))]
}

/// The bytes that an endpoint sends, as records if there are any.
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
                    inside[leg as usize] = Some(of_relay.into());
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

/// The source of the bytes to send next.
type Bytes = Box<dyn FnMut() -> Vec<u8> + Send>;

/// Sends what `next` gives, without pause, until its peer is gone; and reads and drops it at the other end.
fn send_endlessly(sender: &Raw, sink: &Raw, mut next: Bytes) -> (Arc<AtomicUsize>, [JoinHandle<()>; 2]) {
    let arrived = Arc::new(AtomicUsize::new(0));
    let (mut sender, mut sink) = (sender.clone_handle(), sink.clone_handle());
    let sends = std::thread::spawn(move || while sender.try_send(&next()) {});
    let count = arrived.clone();
    let reads = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(bytes @ 1..) = sink.stream.read(&mut buffer) {
            count.fetch_add(bytes, Ordering::Relaxed);
        }
    });
    (arrived, [sends, reads])
}

#[test]
fn nobody_waits_for_a_sender_that_never_stops_whatever_it_sends() {
    let [_, endpoint] = records(Role::Server);
    let mut endpoint = Some(endpoint);
    let message = client_frame(0x82, &[7; 64]);
    let mut fragments = client_frame(0x00, &[7]).repeat(10_000);
    fragments.splice(..0, client_frame(0x02, &[7]));
    let mut is_begun = false;
    let kinds: [(&str, bool, Bytes); 5] = [
        ("empty frames", false, Box::new(|| client_frame(0x82, &[]).repeat(10_000))),
        ("pings", false, Box::new(|| client_frame(0x89, &[]).repeat(10_000))),
        (
            "1-byte fragments of one message",
            false,
            Box::new(move || {
                let first = client_frame(0x02, &[7]);
                let all = std::mem::replace(&mut is_begun, true);
                fragments[if all { first.len() } else { 0 }..].to_vec()
            }),
        ),
        ("64 B messages", false, Box::new(|| client_frame(0x82, &[7; 64]).repeat(1_000))),
        (
            "records of one byte",
            true,
            Box::new(move || {
                let bytes = message.iter().cycle().take(10 * message.len());
                bytes.flat_map(|byte| sealed(&mut endpoint, &[*byte])).collect()
            }),
        ),
    ];
    for (what, is_wrapped, next) in kinds {
        // More than one flood could have, if it could have all that there are.
        let relay = TestRelay::start(32, RelayLimits::default());
        let [of_relay, _] = records(Role::Server);
        let inside = is_wrapped.then(|| of_relay.into());
        let [greedy, sink] = relay.open_wrapped(STRICT, [None, None], [inside, None]);
        let (mut client, mut backend) = relay.open(STRICT, None);
        let (arrived, threads) = send_endlessly(&greedy, &sink, next);
        wait_until("a greedy leg", || relay.count(|counters| &counters.rationed) > 0);

        let (asks, answers) = (client_frame(0x81, b"ask"), server_frame(0x81, b"answer"));
        let before = arrived.load(Ordering::Relaxed);
        for _ in 0..200 {
            client.send(&asks);
            backend.expect(&asks);
            backend.send(&answers);
            client.expect(&answers);
        }
        wait_until("its own share for the greedy one", || arrived.load(Ordering::Relaxed) > before);
        println!("{what}: {} bytes meanwhile", arrived.load(Ordering::Relaxed) - before);
        greedy.stream.shutdown(Shutdown::Both).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop((greedy, sink, client, backend));
        relay.end();
    }
}

/// How long nothing is taken of a flood whose way is full.
const FULL: Duration = Duration::from_millis(500);

/// Limits under which nothing but its own end ends a session while a test is patient.
const PATIENT: SessionLimits = SessionLimits { idle_timeout_ms: 600_000, linger_ms: 60_000, ..STRICT };

/// A frame as `from` makes it.
fn frame_of(from: Leg, payload_bytes: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload_bytes).map(|n| (n % 251) as u8).collect();
    match from {
        Leg::Downstream => client_frame(0x82, &payload),
        Leg::Upstream => server_frame(0x82, &payload),
    }
}

/// A session in which one endpoint has sent all that fits on its way to the other one, which does not read: the relay does not
/// read the first one either. Gives the flooder, the one that does not read, and how many bytes are on their way.
fn flooded(relay: &TestRelay, limits: SessionLimits, flooder: Leg, frame: &[u8]) -> (Raw, Raw, usize) {
    let rooms = Leg::BOTH.map(|leg| (leg != flooder).then_some(ROOM));
    let [client, backend] = relay.open_wrapped(limits, rooms, [None, None]);
    let (mut flooder, stopped) = match flooder {
        Leg::Downstream => (client, backend),
        Leg::Upstream => (backend, client),
    };
    let bytes = flooder.flood(frame, FULL);
    (flooder, stopped, bytes)
}

/// The ways in which a flood goes through a relay: copied, spliced, and unseen.
fn ways() -> [(RelayLimits, SessionLimits, usize); 3] {
    let spliced = RelayLimits { splice_bytes_min: Some(32 * 1024), ..COPIES };
    let opaque = SessionLimits { frames: None, ..PATIENT };
    [(COPIES, PATIENT, 1000), (spliced, PATIENT, MIB), (COPIES, opaque, 1000)]
}

#[test]
fn a_reset_that_hides_behind_a_reader_that_stopped_ends_both() {
    for (relay_limits, limits, payload_bytes) in ways() {
        for leg in Leg::BOTH {
            let relay = TestRelay::start(64, relay_limits);
            let frame = frame_of(leg, payload_bytes);
            let (flooder, mut stopped, bytes) = flooded(&relay, limits, leg, &frame);
            let reset_at = Instant::now();
            flooder.reset();
            wait_until("the session's end", || {
                relay.counters.terminations_of(Cause::Reset, Phase::Relay) == 1
            });
            wait_until("its place", || relay.places.taken() == 0);
            // In fact within twice the time that a leg is not read before it is polled.
            assert!(reset_at.elapsed() < Duration::from_secs(10), "{:?}", reset_at.elapsed());
            let (got, end) = stopped.read_to_end();
            assert!(got.len() < bytes && end == StreamEnd::Reset, "{} bytes of {bytes}, {end:?}", got.len());
            relay.end();
        }
    }
}

#[test]
fn a_reset_is_noticed_whether_the_poll_or_the_reset_was_first() {
    let relay = TestRelay::start(64, COPIES);
    let (polled, mut stopped, _) =
        flooded(&relay, PATIENT, Leg::Downstream, &frame_of(Leg::Downstream, 1000));
    // Its poll is in flight by then.
    assert!(polled.clone_handle().is_silent_for(Duration::from_millis(4 * UNREAD_PATIENCE_MS)));
    polled.reset();
    wait_until("the session's end", || relay.counters.terminations_of(Cause::Reset, Phase::Relay) == 1);
    assert_eq!(stopped.read_to_end().1, StreamEnd::Reset);
    relay.end();
}

#[test]
fn an_end_behind_bytes_that_nobody_reads_is_no_error_and_every_byte_arrives() {
    for (relay_limits, limits, payload_bytes) in ways() {
        for leg in Leg::BOTH {
            let relay = TestRelay::start(64, relay_limits);
            let frame = frame_of(leg, payload_bytes);
            let (mut flooder, mut stopped, bytes) = flooded(&relay, limits, leg, &frame);
            flooder.finish();
            // Looked at several times, and left alone.
            assert!(flooder.is_silent_for(Duration::from_millis(4 * UNREAD_PATIENCE_MS)));
            assert_eq!(relay.places.taken(), 1);
            let mut got = Vec::new();
            assert!(stopped.read_up_to(bytes, &mut got));
            assert!(got.iter().zip(frame.iter().cycle()).all(|(got, sent)| got == sent));
            drop((flooder, stopped));
            wait_until("the session's end", || relay.places.taken() == 0);
            assert_eq!(relay.counters.terminations_of(Cause::Ended, Phase::Relay), 1);
            relay.end();
        }
    }
}

#[test]
fn a_leg_that_is_read_again_after_a_long_pause_goes_on_and_ends_as_ever() {
    let relay = TestRelay::start(64, COPIES);
    for leg in Leg::BOTH {
        let frame = frame_of(leg, 1000);
        let (mut flooder, mut stopped, bytes) = flooded(&relay, PATIENT, leg, &frame);
        let rest = frame.len() - bytes % frame.len();
        let mut got = Vec::new();
        assert!(stopped.read_up_to(bytes, &mut got));
        flooder.send(&frame[frame.len() - rest..]);
        stopped.expect(&frame[frame.len() - rest..]);
        // Both directions are in order, and a reset is heard of at once.
        let answer = frame_of(leg.other(), 10);
        stopped.send(&answer);
        flooder.expect(&answer);
        flooder.reset();
        assert_eq!(stopped.read_to_end(), (vec![], StreamEnd::Reset));
    }
    wait_until("both sessions' ends", || relay.counters.terminations_of(Cause::Reset, Phase::Relay) == 2);
    relay.end();
}

#[test]
fn a_reader_that_takes_nothing_for_the_dead_peer_time_out_is_a_slow_reader_though_its_system_answers() {
    for (relay_limits, limits, payload_bytes) in ways() {
        for leg in Leg::BOTH {
            let limits_of_relay = RelayLimits { dead_peer_timeout_ms: Some(2_000), ..relay_limits };
            let relay = TestRelay::start(64, limits_of_relay);
            let frame = frame_of(leg.other(), payload_bytes);
            let begun = Instant::now();
            let (mut flooder, stopped, _) = flooded(&relay, limits, leg.other(), &frame);
            while flooder.is_silent_for(Duration::from_millis(100)) {
                assert!(begun.elapsed() < Duration::from_secs(20), "the session goes on");
            }
            assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
            drop((flooder, stopped));
            wait_until("the session's end", || relay.places.taken() == 0);
            assert_eq!(relay.counters.terminations_of(Cause::SlowReader, Phase::Relay), 1);
            relay.end();
        }
    }
}

#[test]
fn an_idle_session_outlives_the_dead_peer_time_out_while_both_systems_answer_its_probes() {
    let relay = TestRelay::start(64, RelayLimits { dead_peer_timeout_ms: Some(2_000), ..COPIES });
    let (mut client, mut backend) = relay.open(PATIENT, None);
    client.send(&client_frame(0x81, b"before"));
    backend.expect(&client_frame(0x81, b"before"));
    assert!(client.is_silent_for(Duration::from_secs(5)));
    backend.send(&server_frame(0x81, b"after"));
    client.expect(&server_frame(0x81, b"after"));
    drop((client, backend));
    relay.end();
}

#[test]
fn a_reader_that_stopped_is_idle_however_many_messages_come_for_it() {
    let relay = TestRelay::start(64, COPIES);
    let limits = SessionLimits { idle_timeout_ms: 2_000, ..PATIENT };
    let (client, mut backend) = relay.open(limits, Some(ROOM));
    let begun = Instant::now();
    backend.send(&frame(100_000));
    // What comes from the backend does not make up for what the client does not acknowledge.
    while backend.is_silent_for(Duration::from_millis(100)) {
        backend.send(&frame(0));
        assert!(begun.elapsed() < Duration::from_secs(20), "the session goes on");
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    // The first byte of the Close was what broke the silence.
    let close = backend.read(1 + 4 + 2 + "idle".len());
    assert_eq!(close[5..], close_payload(1001, "idle"), "the mask of the tests is zero");
    drop((client, backend));
    wait_until("the session's place", || relay.places.taken() == 0);
    assert_eq!(relay.counters.terminations_of(Cause::Idle, Phase::Relay), 1);
    relay.end();
}
