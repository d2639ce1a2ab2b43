//! Many at once: connections beyond every bound, handshakes that are broken off, frames that cost more than they carry, and
//! sessions that never close. Each of them is counted once, nothing of them stays, and the neighbour's messages go on.

use crate::neighbour::{Scene, attacked};
use crate::support::backend::Pair;
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::wait_until;
use ringgate::session::{Cause, Phase};
use std::thread;
use std::time::{Duration, Instant};

const FLOOD: u64 = 300;

/// The flood comes from one address, which may have all of them.
const FEW_OPENINGS: &str = "openings_max = 8\nhead_timeout_ms = 500\ntrusted_networks = [\"127.0.0.0/8\"]";

/// Openings that came to nothing so far, whatever for.
fn refused(scene: &Scene) -> u64 {
    let of_cause = |cause: &Cause| -> u64 {
        let phases = [Phase::Head, Phase::Dial, Phase::Answer];
        phases.iter().map(|phase| scene.gateway.terminations(*cause, *phase)).sum()
    };
    Cause::ALL.iter().map(of_cause).sum()
}

/// Waits until each of so many openings has come to nothing, and sees that a correct one still succeeds.
fn all_came_to_nothing(scene: &Scene, count: u64) {
    wait_until("a flood that is over", || refused(scene) >= count);
    assert_eq!(refused(scene), count, "each is counted once");
    scene.gateway.wait_for_openings(0);
    scene.nothing_else_reached_the_backend();
}

#[test]
fn connections_beyond_the_openings_are_told_so_and_the_others_have_their_deadline() {
    let half = request("/t", "").into_bytes();
    attacked(FEW_OPENINGS, "", |scene| {
        let floods: [(&str, &[u8]); 3] =
            [("silent", b""), ("a first byte", b"G"), ("half a head", &half[..half.len() / 2])];
        for (round, (name, beginning)) in (1..).zip(floods) {
            scene.case(&format!("{name} (RFC 9110 §15.5.9, §15.6.4)"), || {
                let mut clients: Vec<Raw> = (0..FLOOD)
                    .map(|_| {
                        let mut client = Raw::connect(scene.gateway.address);
                        client.try_send(beginning);
                        client
                    })
                    .collect();
                let mut told = 0;
                for client in &mut clients {
                    let (answer, end) = client.read_to_end();
                    // Who is closed at once while its head is on its way may lose the answer to a reset.
                    let is_told =
                        [&b"HTTP/1.1 503 "[..], b"HTTP/1.1 408 "].iter().any(|head| answer.starts_with(head));
                    assert!(is_told || end == StreamEnd::Reset, "{}", answer.escape_ascii());
                    told += u64::from(is_told);
                }
                assert!(told > 0 && scene.gateway.terminations(Cause::OpeningsFull, Phase::Head) > 0);
                drop(clients);
                all_came_to_nothing(scene, round * FLOOD);
            });
        }
    });
}

#[derive(Clone, Copy)]
enum Leaves {
    Orderly,
    ByReset,
}

fn leave(mut client: Raw, how: Leaves) {
    match how {
        Leaves::Orderly => client.finish_if_open(),
        Leaves::ByReset => client.reset(),
    }
}

#[test]
fn connections_that_leave_at_once_keep_no_opening() {
    let half = request("/t", "").into_bytes();
    let floods: [(&str, &[u8], Leaves); 4] = [
        ("nothing and a reset", b"", Leaves::ByReset),
        ("nothing and an end", b"", Leaves::Orderly),
        ("half a head and a reset", &half[..50], Leaves::ByReset),
        ("half a head and an end", &half[..50], Leaves::Orderly),
    ];
    attacked(FEW_OPENINGS, "", |scene| {
        for (round, (name, beginning, how)) in (1..).zip(floods) {
            scene.case(&format!("{name} (RFC 9112 §8)"), || {
                for _ in 0..FLOOD {
                    let mut client = Raw::connect(scene.gateway.address);
                    client.try_send(beginning);
                    leave(client, how);
                }
                all_came_to_nothing(scene, round * FLOOD);
            });
        }
    });
}

/// How far a client of a storm gets before it resets.
#[derive(Clone, Copy, Debug)]
enum Until {
    Handshake,
    Answer,
    HalfAFrame,
}

#[test]
fn a_storm_of_handshakes_that_are_reset_leaves_nothing_behind() {
    attacked("", "", |scene| {
        for until in [Until::Handshake, Until::Answer, Until::HalfAFrame] {
            scene.case(&format!("{until:?} (RFC 6455 §7.2.1)"), || {
                let address = scene.gateway.address;
                thread::scope(|scope| {
                    for _ in 0..4 {
                        scope.spawn(move || (0..FLOOD / 4).for_each(|_| handshake_and_reset(address, until)));
                    }
                });
                // At the neighbour's own API, whose session is the only one that is left.
                wait_until("one session", || scene.gateway.instance.places().taken() == 1);
                scene.gateway.wait_for_openings(0);
            });
        }
        let ended = scene.gateway.terminations(Cause::Reset, Phase::Relay);
        assert!(ended >= 2 * FLOOD, "{ended} of those that had their answer");
        let accepted = scene.gateway.instance.counters().sum(|worker| &worker.connections_accepted);
        let opened = scene.gateway.instance.counters().sum(|worker| &worker.sessions_opened);
        assert_eq!((accepted, opened + refused(scene)), (3 * FLOOD + 1, 3 * FLOOD + 1));
    });
}

fn handshake_and_reset(gateway: std::net::SocketAddr, until: Until) {
    let mut client = Raw::connect(gateway);
    client.send(request("/neighbour", "").as_bytes());
    match until {
        Until::Handshake => {}
        Until::Answer | Until::HalfAFrame => assert!(client.read_head().starts_with("HTTP/1.1 101 ")),
    }
    if matches!(until, Until::HalfAFrame) {
        client.send(&client_frame(0x82, &[0; 500])[..200]);
    }
    client.reset();
}

#[test]
fn clients_beyond_the_places_of_the_instance_are_told_so() {
    attacked("connections_max = 3", "", |scene| {
        // The neighbour has one place.
        let held: Vec<Pair> = (0..2).map(|_| Pair::open(scene.gateway.address, &scene.backend)).collect();
        scene.case("a rush (RFC 9110 §15.6.4)", || {
            for _ in 0..FLOOD {
                let mut client = Raw::connect(scene.gateway.address);
                client.send(request("/neighbour", "").as_bytes());
                assert!(client.read_head().starts_with("HTTP/1.1 503 "));
            }
        });
        scene.gateway.wait_for_terminations(Cause::InstanceFull, Phase::Head, FLOOD);
        held.into_iter().for_each(|pair| scene.close(pair));
        scene.nothing_else_reached_the_backend();
    });
}

/// Makes a frame of one side out of its first byte and its payload.
type Encode = fn(u8, &[u8]) -> Vec<u8>;

/// Frames of a flood, and how often they are sent.
struct Flood {
    name: &'static str,
    rule: &'static str,
    frames: fn(Encode) -> Vec<u8>,
    times: usize,
}

const FRAME_FLOODS: [Flood; 5] = [
    Flood { name: "empty pings", rule: "§5.5.2", frames: |frame| frame(0x89, b""), times: 40_000 },
    Flood {
        name: "pings of 125 bytes",
        rule: "§5.5.2",
        frames: |frame| frame(0x89, &[b'p'; 125]),
        times: 20_000,
    },
    Flood {
        name: "pongs that nobody asked for",
        rule: "§5.5.3",
        frames: |frame| frame(0x8a, b""),
        times: 40_000,
    },
    Flood {
        name: "fragments of a byte with pings between",
        rule: "§5.4",
        frames: |frame| [frame(0x00, b"f"), frame(0x89, b"")].concat(),
        times: 20_000,
    },
    Flood { name: "empty fragments", rule: "§5.4", frames: |frame| frame(0x00, b""), times: 40_000 },
];

#[test]
fn frames_that_carry_next_to_nothing_pass_one_by_one_from_either_side() {
    attacked("", "message_bytes_max = 100000", |scene| {
        for flood in FRAME_FLOODS {
            for is_from_client in [true, false] {
                let side = if is_from_client { "client" } else { "backend" };
                scene.case(&format!("{} of a {side} (RFC 6455 {})", flood.name, flood.rule), || {
                    let Pair { mut client, mut backend } = Pair::open(scene.gateway.address, &scene.backend);
                    let (frame, sender, reader): (Encode, _, _) = match is_from_client {
                        true => (client_frame, &mut client, &mut backend),
                        false => (server_frame, &mut backend, &mut client),
                    };
                    let first = frame(0x01, b"");
                    let bytes =
                        [first, (flood.frames)(frame).repeat(flood.times), frame(0x80, b"end")].concat();
                    thread::scope(|scope| {
                        scope.spawn(|| sender.send(&bytes));
                        reader.expect(&bytes);
                    });
                    scene.close(Pair { client, backend });
                });
            }
        }
    });
}

#[test]
fn a_flood_of_fragments_ends_at_the_largest_message() {
    attacked("", "message_bytes_max = 1000", |scene| {
        let Pair { mut client, mut backend } = Pair::open(scene.gateway.address, &scene.backend);
        let fragments = [client_frame(0x02, b"f"), client_frame(0x00, b"f").repeat(999)].concat();
        // RFC 6455 §10.4: a limit on the size of a message after its reassembly.
        client.send(&[&fragments[..], &client_frame(0x00, b"f")].concat());
        backend.expect(&fragments);
        client.expect(&server_frame(0x88, &close_payload(1009, "message_too_big")));
        drop((client, backend));
        scene.gateway.wait_for_terminations(Cause::MessageTooBig, Phase::Relay, 1);
    });
}

#[test]
fn pings_whose_pongs_nobody_reads_hold_up_nobody_else() {
    attacked("", "", |scene| {
        let mut client = Raw::open(scene.gateway.address, "/neighbour");
        client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let pings = client_frame(0x89, &[b'p'; 125]).repeat(500);
        scene.case("unread pongs (RFC 6455 §5.5.2, §10.4)", || {
            let mut sent = 0;
            while sent < 200 && client.try_send(&pings) {
                sent += 1;
            }
            assert!(sent > 0);
        });
        client.reset();
        scene.gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
    });
}

/// How a peer makes no end of a session that is over.
#[derive(Clone, Copy, Debug)]
enum NeverEnds {
    SaysNothing,
    AnswersAndStays,
    GoesOnSending,
    ReadsNothing,
    IsWithinAFrame,
}

const NEVER_ENDS: [NeverEnds; 5] = [
    NeverEnds::SaysNothing,
    NeverEnds::AnswersAndStays,
    NeverEnds::GoesOnSending,
    NeverEnds::ReadsNothing,
    NeverEnds::IsWithinAFrame,
];

#[test]
fn sessions_that_never_close_are_cut_when_they_have_lingered() {
    const SESSIONS_OF_EACH: usize = 20;
    attacked("", "linger_s = 1", |scene| {
        let mut sessions: Vec<(NeverEnds, Pair)> = NEVER_ENDS
            .iter()
            .flat_map(|how| [*how; SESSIONS_OF_EACH])
            .map(|how| (how, Pair::open(scene.gateway.address, &scene.backend)))
            .collect();
        scene.case("they linger (RFC 6455 §7.1.1, §7.1.7)", || {
            let begun = Instant::now();
            for (how, pair) in &mut sessions {
                refuse_to_end(pair, *how);
            }
            let closed = || scene.gateway.terminations(Cause::Closed, Phase::Relay);
            wait_until("sessions that are cut", || {
                for (how, pair) in &mut sessions {
                    if matches!(how, NeverEnds::GoesOnSending) {
                        pair.backend.try_send(&server_frame(0x82, b"and on"));
                    }
                }
                closed() >= sessions.len() as u64
            });
            let took = begun.elapsed();
            assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
        });
        for (how, pair) in &mut sessions {
            // Their own end never came: it is ringgate's that they see.
            println!("{how:?}");
            pair.client.read_to_end();
            pair.backend.read_to_end();
        }
        wait_until("one session", || scene.gateway.instance.places().taken() == 1);
    });
}

/// Begins a Close handshake of which nothing comes.
fn refuse_to_end(Pair { client, backend }: &mut Pair, how: NeverEnds) {
    let close = client_frame(0x88, &close_payload(1000, ""));
    if matches!(how, NeverEnds::IsWithinAFrame) {
        backend.send(&server_frame(0x82, &[0; 100])[..50]);
    }
    if matches!(how, NeverEnds::ReadsNothing) {
        backend.send(&server_frame(0x82, &[0; 100_000]));
    }
    client.send(&close);
    if !matches!(how, NeverEnds::ReadsNothing) {
        backend.expect(&close);
    }
    if matches!(how, NeverEnds::AnswersAndStays) {
        backend.send(&server_frame(0x88, &close_payload(1000, "")));
    }
}
