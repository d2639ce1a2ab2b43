//! Limits at their edge: of the instance, of an API, of a source, and of openings in progress.
//!
//! Clients and backends are the witnesses: the backend never holds one session more than the limit, and when all have left,
//! exactly as many get in again.

use crate::support::backend::{Backend, CountingBackend, Pair, closed_port, switching};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::{is_to_come_again, read_refusal};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::{TestInstance, api_file, locked_api_file, subscription_file, wait_until};
use ringgate::limits::{OWED_BYTES_HIGH, UNSENT_BYTES_MAX};
use ringgate::session::{Cause, Leg, Phase};
use socket2::SockRef;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// The limit of every storm, and how many threads go at it how often.
const LIMIT: u32 = 3;
const THREADS: u32 = 8;
const ROUNDS: u32 = 60;

/// How many clients ask at the same moment and keep what they get.
const RUSHING: usize = 24;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));

/// A session's end is its backend's Close, however busy the machine is.
const UNHURRIED: &str = "linger_s = 60";

/// The answer to a client at a limit.
#[derive(Clone, Copy)]
struct Full {
    status: u16,
    message: &'static str,
    /// The header with the key, where one is needed.
    key_line: &'static str,
}

impl Full {
    const fn of(status: u16, message: &'static str) -> Self {
        Self { status, message, key_line: "" }
    }

    const fn with_key(message: &'static str) -> Self {
        Self { status: 503, message, key_line: "Ocp-Apim-Subscription-Key: key\r\n" }
    }
}

const INSTANCE_FULL: Full =
    Full::of(503, "this instance holds as many connections as it may (connections_max = 3)");
const API_FULL: Full = Full::of(503, "this API holds as many connections as it may (connections_max = 3)");
const PRODUCT_FULL: Full =
    Full::with_key("this product holds as many connections as it may (connections_max = 3)");
const SUBSCRIPTION_FULL: Full =
    Full::with_key("this subscription holds as many connections as it may (connections_max = 3)");
const SOURCE_FULL: Full =
    Full::of(429, "your network holds as many connections as it may (source_connections_max = 3)");

/// Asks for a session at `/t`: a client that has it, or nothing if it was told that there is no place.
fn try_open(gateway: SocketAddr, from: IpAddr, full: Full) -> Option<Raw> {
    let mut client = Raw::connect_from(from, gateway);
    client.send(request("/t", full.key_line).as_bytes());
    let head = client.read_head();
    if head.starts_with("HTTP/1.1 101 ") {
        return Some(client);
    }
    let Full { status, message, .. } = full;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(is_to_come_again(&head), "{head}");
    let body = format!("{{ \"statusCode\": {status}, \"message\": \"{message}\" }}");
    assert_eq!(client.read_to_end(), (body.into_bytes(), StreamEnd::Fin));
    None
}

fn open(gateway: SocketAddr, from: IpAddr, full: Full) -> Raw {
    try_open(gateway, from, full).expect("a place")
}

/// Ends a session by a Close, and waits for the backend's.
fn close(mut client: Raw) {
    client.send(&client_frame(0x88, &close_payload(1000, "")));
    let end = client.read_to_end();
    assert_eq!(end, (server_frame(0x88, &close_payload(1000, "")), StreamEnd::Fin));
}

/// Many clients ask at the same moment: those that got a session, which they keep.
fn rush(gateway: SocketAddr, sources: &[IpAddr], full: Full) -> Vec<Raw> {
    let start = Barrier::new(RUSHING);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..RUSHING)
            .map(|index| {
                let (start, from) = (&start, sources[index % sources.len()]);
                scope.spawn(move || {
                    start.wait();
                    try_open(gateway, from, full)
                })
            })
            .collect();
        asking.into_iter().filter_map(|client| client.join().unwrap()).collect()
    })
}

/// Opens and closes sessions on many threads, whose clients take turns at `sources`; then checks twice that exactly as
/// many as the limit get in of many at once, and that a single place that comes back is given again.
fn storm(gateway: &TestInstance, backend: &CountingBackend, sources: &[IpAddr], full: Full) {
    let address = gateway.address;
    let (opened, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (opened, refused) = (&opened, &refused);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let from = sources[(thread + round) as usize % sources.len()];
                    match try_open(address, from, full) {
                        Some(client) => {
                            opened.fetch_add(1, Ordering::Relaxed);
                            close(client);
                        }
                        None => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    let (opened, refused) = (opened.into_inner(), refused.into_inner());
    assert!(opened >= LIMIT && refused > 0, "{opened} opened, {refused} refused: that was no storm");
    assert!(backend.most() <= LIMIT, "{} sessions at once", backend.most());
    gateway.wait_for_rest();

    for _ in 0..2 {
        let held = rush(address, sources, full);
        assert_eq!(held.len(), LIMIT as usize);
        assert_eq!((backend.held(), backend.most()), (LIMIT, LIMIT));
        held.into_iter().for_each(close);
        gateway.wait_for_rest();
    }

    let mut held: Vec<Raw> = (0..LIMIT).map(|_| open(address, sources[0], full)).collect();
    assert_eq!(backend.held(), LIMIT);
    assert!(try_open(address, sources[0], full).is_none(), "one more than the limit");
    close(held.pop().unwrap());
    wait_until("a place that came back", || {
        try_open(address, sources[0], full).map(|client| held.push(client)).is_some()
    });
    assert!(try_open(address, sources[0], full).is_none(), "one more than the limit");
    assert_eq!((backend.held(), backend.most()), (LIMIT, LIMIT));
    held.into_iter().for_each(close);
}

#[test]
fn an_instance_never_holds_one_session_more_than_its_limit_nor_one_less() {
    let backend = CountingBackend::start();
    let gateway = TestInstance::start_with(
        "workers = 2\n[limits]\ntier = \"basic\"\nconnections_max = 3",
        &[("t", &api_file("t", backend.address, UNHURRIED))],
    );
    storm(&gateway, &backend, &[HERE, THERE], INSTANCE_FULL);
    assert!(gateway.terminations(Cause::InstanceFull, Phase::Head) > 0);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_api_never_holds_one_session_more_than_its_limit_nor_one_less() {
    let (backend, other) = (CountingBackend::start(), CountingBackend::start());
    let gateway = TestInstance::start_with(
        "workers = 2",
        &[
            ("t", &api_file("t", backend.address, &format!("{UNHURRIED}\nconnections_max = 3"))),
            ("other", &api_file("other", other.address, UNHURRIED)),
        ],
    );
    // Sessions of another API are not in the way.
    let others: Vec<Raw> = (0..5).map(|_| Raw::open(gateway.address, "/other")).collect();
    others.into_iter().for_each(close);
    gateway.wait_for_rest();
    storm(&gateway, &backend, &[HERE, THERE], API_FULL);
    assert!(gateway.terminations(Cause::ApiFull, Phase::Head) > 0);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_product_and_a_subscription_never_hold_one_session_more_than_their_limits_nor_one_less() {
    for (product_lines, subscription_lines, full, cause) in [
        ("connections_max = 3", "connections_max = 50", PRODUCT_FULL, Cause::ProductFull),
        ("connections_max = 50", "connections_max = 3", SUBSCRIPTION_FULL, Cause::SubscriptionFull),
    ] {
        let backend = CountingBackend::start();
        let gateway = TestInstance::start_catalog(
            "workers = 2",
            &[
                (
                    "apis/t.toml",
                    &locked_api_file("t", backend.address, &format!("{UNHURRIED}\nproducts = [\"p\"]")),
                ),
                ("products/p.toml", &format!("display_name = \"P\"\n{product_lines}")),
                ("subscriptions/s.toml", &subscription_file("/products/p", "key", subscription_lines)),
            ],
        );
        storm(&gateway, &backend, &[HERE, THERE], full);
        assert!(gateway.terminations(cause, Phase::Head) > 0);
        gateway.wait_for_rest();
        gateway.end();
    }
}

#[test]
fn a_source_network_never_holds_one_session_more_than_its_limit_nor_one_less() {
    let backend = CountingBackend::start();
    let gateway = TestInstance::start_with(
        "workers = 2\n[limits]\nsource_connections_max = 3\nsource_prefix_ipv4 = 24",
        &[("t", &api_file("t", backend.address, UNHURRIED))],
    );
    // Both are of 127.0.0.0/24.
    storm(&gateway, &backend, &[HERE, THERE], SOURCE_FULL);
    assert!(gateway.terminations(Cause::SourceFull, Phase::Head) > 0);
    gateway.wait_for_rest();

    let held: Vec<Raw> = (0..LIMIT).map(|_| open(gateway.address, HERE, SOURCE_FULL)).collect();
    assert!(try_open(gateway.address, THERE, SOURCE_FULL).is_none(), "the same network");
    let others: Vec<Raw> = (0..LIMIT).map(|_| open(gateway.address, ELSEWHERE, SOURCE_FULL)).collect();
    assert!(try_open(gateway.address, ELSEWHERE, SOURCE_FULL).is_none(), "another one, full as well");
    held.into_iter().chain(others).for_each(close);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_ipv6_client_is_counted_by_its_own_network() {
    let backend = CountingBackend::start();
    let gateway = TestInstance::start_with(
        "workers = 2\n[limits]\nsource_connections_max = 3\n[[listeners]]\naddress = \"[::1]:0\"",
        &[("t", &api_file("t", backend.address, UNHURRIED))],
    );
    let addresses = gateway.instance.addresses().to_vec();
    let held: Vec<Raw> = [(addresses[0], IpAddr::V6(Ipv6Addr::LOCALHOST)), (addresses[1], HERE)]
        .into_iter()
        .flat_map(|(address, from)| {
            let held: Vec<Raw> = (0..LIMIT).map(|_| open(address, from, SOURCE_FULL)).collect();
            assert!(try_open(address, from, SOURCE_FULL).is_none(), "{from} has all its places");
            held
        })
        .collect();
    assert_eq!(backend.held(), 2 * LIMIT);
    held.into_iter().for_each(close);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_publish_changes_an_apis_limit_and_its_sessions_go_on_counting() {
    let backend = Backend::new();
    let api = |lines: &str| api_file("t", backend.address, lines);
    let mut gateway = TestInstance::start_with("workers = 2", &[("t", &api(""))]);
    let mut pairs: Vec<Pair> = (0..3).map(|_| Pair::open(gateway.address, &backend)).collect();

    gateway.publish(&[("t", &api("connections_max = 2"))]);
    let full = |limit: u32| {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "").as_bytes());
        let message = format!("this API holds as many connections as it may (connections_max = {limit})");
        let head = read_refusal(&mut client, 503, &message);
        assert!(is_to_come_again(&head), "{head}");
    };
    full(2);
    // Those that live stay, all three.
    pairs.iter_mut().for_each(Pair::exchange);
    for left in [2, 1] {
        drop(pairs.pop());
        wait_until("a place that came back", || gateway.instance.places().taken() == left);
        if left == 2 {
            full(2);
        }
    }
    pairs.push(Pair::open(gateway.address, &backend));
    full(2);

    // A catalogue without it, and one with it again.
    gateway.publish(&[]);
    gateway.publish(&[("t", &api("connections_max = 3"))]);
    pairs.push(Pair::open(gateway.address, &backend));
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    read_refusal(&mut client, 503, API_FULL.message);
    drop((client, pairs));
    gateway.wait_for_rest();
    gateway.end();
}

/// The most that one side can write towards a side that does not read: the unsent bytes ([`UNSENT_BYTES_MAX`]), the relay's share
/// ([`OWED_BYTES_HIGH`]), and 1.25 MiB that the kernel has received and nobody reads. The kernel tunes the last part by how fast
/// the socket was read before, so it is asked of the session that could write least. Without a bound on unsent bytes it is 3.5 to
/// 5.9 MB.
const TAKEN_BYTES_MAX: usize = UNSENT_BYTES_MAX as usize + OWED_BYTES_HIGH as usize + (5 << 18);

/// Room of the endpoints' own sockets, so that what is written is ringgate's to hold.
const ROOM: usize = 16 * 1024;

#[test]
fn either_side_is_held_soon_when_the_other_one_has_stopped_reading() {
    const SESSIONS: usize = 8;
    for by in Leg::BOTH {
        for payload_bytes in [1_000, 65_536] {
            let backend = Backend::with_room(ROOM);
            let gateway = TestInstance::start(backend.address, "");
            let frame = match by {
                Leg::Downstream => client_frame(0x82, &vec![1; payload_bytes]),
                Leg::Upstream => server_frame(0x82, &vec![1; payload_bytes]),
            };
            let mut least = usize::MAX;
            let mut pairs = Vec::new();
            for _ in 0..SESSIONS {
                let mut client = Raw::connect_with_room(gateway.address, ROOM);
                client.send(request("/t", "").as_bytes());
                let backend = backend.take_session();
                assert!(client.read_head().starts_with("HTTP/1.1 101 "));
                let mut pair = Pair { client, backend };
                let sender = if by == Leg::Downstream { &mut pair.client } else { &mut pair.backend };
                SockRef::from(&sender.stream).set_send_buffer_size(ROOM).unwrap();
                least = least.min(sender.flood(&frame, Duration::from_millis(500)));
                pairs.push(pair);
            }
            let whose = format!("by {}, frames of {payload_bytes} bytes: {least} bytes", by.name());
            println!("{whose}");
            assert!(least <= TAKEN_BYTES_MAX, "{whose}");
            assert!(least >= OWED_BYTES_HIGH as usize / 2, "{whose}");
            drop(pairs);
            gateway.wait_for_rest();
            gateway.end();
        }
    }
}

#[test]
fn an_api_that_is_full_still_tells_a_wrong_request_what_is_wrong_with_it() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "connections_max = 1");
    let pair = Pair::open(gateway.address, &backend);
    let mut client = Raw::connect(gateway.address);
    client.send(b"GET /t HTTP/1.1\r\nHost: gateway.example\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 426 "));
    drop((client, pair));
    gateway.wait_for_rest();
    gateway.end();
}

const OPENINGS_FULL: &str = "this instance has as many openings in progress as it may (openings_max = 3)";
/// With these lines one address may have all places of openings that read a head.
const ONE_SOURCE: &str = "trusted_networks = [\"127.0.0.0/8\"]\nhead_timeout_ms = 120000";
const OPENINGS_OF_SOURCE_FULL: &str =
    "your network has as many openings in progress as it may (openings_per_source_max = 2)";

/// A connection that sends nothing is told that there is no opening for it, when it has not asked for the health path in time.
fn is_turned_away(client: &mut Raw, status: u16, message: &str) {
    let head = read_refusal(client, status, message);
    assert!(is_to_come_again(&head), "{head}");
}

#[test]
fn connections_that_say_nothing_hold_no_more_than_openings_max() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        &format!("workers = 1\n[limits]\nopenings_max = 3\n{ONE_SOURCE}"),
        &[("t", &api_file("t", backend.address, ""))],
    );
    let mut silent: Vec<Raw> = (0..3).map(|_| Raw::connect(gateway.address)).collect();
    gateway.wait_for_openings(3);
    let mut next = Raw::connect(gateway.address);
    is_turned_away(&mut next, 503, OPENINGS_FULL);
    // One that sends its head at once gets the same answer, and can read all of it.
    let mut hasty = Raw::connect(gateway.address);
    hasty.send(request("/t", "").as_bytes());
    is_turned_away(&mut hasty, 503, OPENINGS_FULL);
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 2);

    drop(silent.pop());
    gateway.wait_for_openings(2);
    // Sessions are no openings: as many as come get in, one after the other.
    let pairs: Vec<Pair> = (0..5)
        .map(|_| {
            let pair = Pair::open(gateway.address, &backend);
            gateway.wait_for_openings(2);
            pair
        })
        .collect();
    drop((silent, next, hasty, pairs));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_session_goes_on_while_openings_are_full_and_more_are_turned_away() {
    const TURNED_AWAY: u64 = 200;
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        &format!("workers = 1\n[limits]\nopenings_max = 3\n{ONE_SOURCE}"),
        &[("t", &api_file("t", backend.address, ""))],
    );
    let mut pair = Pair::open(gateway.address, &backend);
    gateway.wait_for_openings(0);
    let silent: Vec<Raw> = (0..3).map(|_| Raw::connect(gateway.address)).collect();
    gateway.wait_for_openings(3);
    let address = gateway.address;
    thread::scope(|scope| {
        let flood = scope.spawn(move || {
            for _ in 0..TURNED_AWAY {
                let mut client = Raw::connect(address);
                // Its first byte tells that it asks for no health path: it is not waited for.
                client.send(b"P");
                is_turned_away(&mut client, 503, OPENINGS_FULL);
            }
        });
        while !flood.is_finished() {
            pair.exchange();
        }
    });
    pair.exchange();
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, TURNED_AWAY);
    gateway.wait_for_openings(3);
    drop((silent, pair));
    gateway.wait_for_rest();
    gateway.end();
}

/// Many clients at once, from threads, that send whole heads for `path`.
fn ask_all_at_once(gateway: &TestInstance, path: &str, count: usize) -> Vec<Raw> {
    thread::scope(|scope| {
        let asking: Vec<_> = (0..count).map(|_| scope.spawn(|| ask(gateway, path))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A client that has sent a whole head for `path`.
fn ask(gateway: &TestInstance, path: &str) -> Raw {
    let mut client = Raw::connect(gateway.address);
    client.send(request(path, "").as_bytes());
    client
}

/// The clients that were not told anything yet, and how many were.
fn who_still_waits(mut clients: Vec<Raw>) -> (Vec<Raw>, usize) {
    let told = clients.extract_if(.., |client| !client.is_silent_for(Duration::from_millis(100))).count();
    (clients, told)
}

/// Answers openings that wait, and sees that each becomes a session.
fn answer(waiting: Vec<(Raw, String)>, clients: &mut [Raw]) -> Vec<Raw> {
    assert_eq!(waiting.len(), clients.len());
    let answered = waiting.into_iter().map(|(mut session, head)| {
        session.send(switching(&head, "").as_bytes());
        session
    });
    let sessions = answered.collect();
    for client in clients {
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    }
    sessions
}

#[test]
fn all_workers_together_have_no_more_openings_than_openings_max() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        &format!("workers = 2\n[limits]\nopenings_max = 3\n{ONE_SOURCE}"),
        &[("t", &api_file("t", backend.address, ""))],
    );
    for round in 1..=2 {
        let connecting = Barrier::new(10);
        let clients: Vec<Raw> = thread::scope(|scope| {
            let connect = || {
                connecting.wait();
                Raw::connect(gateway.address)
            };
            let threads: Vec<_> = (0..10).map(|_| scope.spawn(connect)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 7 * round);
        gateway.wait_for_openings(3);
        drop(clients);
        gateway.wait_for_rest();
    }
    gateway.end();
}

/// The message where the instance has as many openings waiting for backends as it may.
fn pending_full(limit: u32) -> String {
    format!(
        "this instance has as many openings waiting for backends as it may (pending_openings_max = {limit})"
    )
}

fn backend_busy(limit: u32) -> String {
    format!(
        "this API has used up its share of openings that wait for a backend (pending_openings_max = {limit})"
    )
}

#[test]
fn all_workers_together_have_no_more_openings_of_an_api_waiting_than_its_file_says() {
    let (backend, other) = (Backend::new(), CountingBackend::start());
    let gateway = TestInstance::start_with(
        "workers = 2",
        &[
            ("t", &api_file("t", backend.address, "pending_openings_max = 3\nanswer_timeout_ms = 60000")),
            ("other", &api_file("other", other.address, UNHURRIED)),
        ],
    );
    for round in 1..=2 {
        // The backend keeps those that get through waiting for its answer.
        let (mut clients, told) = who_still_waits(ask_all_at_once(&gateway, "/t", RUSHING));
        assert_eq!((clients.len(), told), (3, RUSHING - 3));
        gateway.wait_for_terminations(
            Cause::BackendBusy,
            Phase::Head,
            round * (RUSHING as u64 - 3) + round - 1,
        );
        let mut refused = ask(&gateway, "/t");
        is_turned_away(&mut refused, 503, &backend_busy(3));
        drop(refused);
        gateway.wait_for_openings(3);
        // Another API is not in the way, and this one is not in its.
        close(Raw::open(gateway.address, "/other"));
        let waiting: Vec<_> = (0..3).map(|_| backend.take_request()).collect();
        let sessions = answer(waiting, &mut clients);
        // Sessions wait for nothing: as many as come get in, one after the other.
        let more = Pair::open(gateway.address, &backend);
        drop((clients, sessions, more));
        gateway.wait_for_rest();
    }
    gateway.end();
}

#[test]
fn an_api_borrows_what_the_others_leave_and_never_what_their_shares_need() {
    let (slow, other) = (Backend::new(), Backend::new());
    let waits = "answer_timeout_ms = 60000";
    let gateway = TestInstance::start_with(
        "workers = 2\n[limits]\npending_openings_max = 8",
        &[("t", &api_file("t", slow.address, waits)), ("other", &api_file("other", other.address, waits))],
    );
    // Its own quarter, and all but the other's.
    let (mut clients, told) = who_still_waits(ask_all_at_once(&gateway, "/t", RUSHING));
    assert_eq!((clients.len(), told), (6, RUSHING - 6));
    is_turned_away(&mut ask(&gateway, "/t"), 503, &backend_busy(2));
    let (others, told) = who_still_waits(ask_all_at_once(&gateway, "/other", 5));
    assert_eq!((others.len(), told), (2, 3), "its own quarter is left");
    is_turned_away(&mut ask(&gateway, "/other"), 503, &backend_busy(2));
    gateway.wait_for_terminations(Cause::BackendBusy, Phase::Head, RUSHING as u64 - 6 + 3 + 2);

    // What comes back goes to whoever has not used up its share.
    let waiting: Vec<_> = (0..6).map(|_| slow.take_request()).collect();
    let sessions = answer(waiting, &mut clients);
    gateway.wait_for_openings(2);
    let (borrowing, told) = who_still_waits(ask_all_at_once(&gateway, "/other", 5));
    assert_eq!((borrowing.len(), told), (4, 1), "the other one borrows as well");
    drop((clients, sessions, others, borrowing));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_instance_has_no_more_openings_waiting_than_it_may_whatever_its_apis_may() {
    let backend = Backend::new();
    let api =
        |suffix| api_file(suffix, backend.address, "pending_openings_max = 2\nanswer_timeout_ms = 60000");
    let gateway = TestInstance::start_with(
        "workers = 2\n[limits]\npending_openings_max = 3",
        &[("t", &api("t")), ("other", &api("other"))],
    );
    let clients = [ask(&gateway, "/t"), ask(&gateway, "/t"), ask(&gateway, "/other")];
    let waiting: Vec<_> = clients.iter().map(|_| backend.take_request()).collect();
    is_turned_away(&mut ask(&gateway, "/other"), 503, &pending_full(3));
    is_turned_away(&mut ask(&gateway, "/t"), 503, &backend_busy(2));
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 1);
    gateway.wait_for_terminations(Cause::BackendBusy, Phase::Head, 1);
    drop((clients, waiting));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_publish_changes_how_many_openings_may_wait_and_those_that_do_go_on_counting() {
    let backend = Backend::new();
    let api = |limit: u32| {
        let lines = format!("pending_openings_max = {limit}\nanswer_timeout_ms = 60000");
        api_file("t", backend.address, &lines)
    };
    let mut gateway = TestInstance::start_with("workers = 2", &[("t", &api(3))]);
    // One by one, so that the backend's ends are in the order of the clients.
    let (mut clients, mut waiting): (Vec<Raw>, Vec<_>) =
        (0..3).map(|_| (ask(&gateway, "/t"), backend.take_request())).unzip();
    gateway.publish(&[("t", &api(2))]);
    is_turned_away(&mut ask(&gateway, "/t"), 503, &backend_busy(2));
    let mut sessions = answer(waiting.split_off(2), &mut clients[2..]);
    gateway.wait_for_openings(2);
    is_turned_away(&mut ask(&gateway, "/t"), 503, &backend_busy(2));
    gateway.publish(&[("t", &api(3))]);
    clients.push(ask(&gateway, "/t"));
    waiting.push(backend.take_request());
    sessions.extend(waiting.into_iter().map(|(raw, _)| raw));
    drop((clients, sessions));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn openings_that_read_a_head_and_openings_that_wait_for_a_backend_take_no_place_of_each_other() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        &format!("workers = 1\n[limits]\nopenings_max = 2\npending_openings_max = 5\n{ONE_SOURCE}"),
        &[("t", &api_file("t", backend.address, "answer_timeout_ms = 60000"))],
    );
    let places = || {
        let budgets = gateway.instance.budgets();
        (budgets.openings().taken(), budgets.pending().taken())
    };
    // More wait for the backend than may read a head, because none does both.
    let mut clients = Vec::new();
    let mut waiting = Vec::new();
    for count in 1..=5 {
        clients.push(ask(&gateway, "/t"));
        waiting.push(backend.take_request());
        assert_eq!(places(), (0, count));
    }
    let silent: Vec<Raw> = (0..2).map(|_| Raw::connect(gateway.address)).collect();
    wait_until("two that read a head", || places() == (2, 5));
    is_turned_away(&mut Raw::connect(gateway.address), 503, &OPENINGS_FULL.replace('3', "2"));
    let sessions = answer(waiting, &mut clients);
    wait_until("none that waits", || places() == (2, 0));
    drop((silent, sessions, clients));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_opening_whose_backend_failed_keeps_its_places_until_its_connection_is_closed() {
    let gateway = TestInstance::start_with("workers = 1", &[("t", &api_file("t", closed_port(), ""))]);
    let places = || {
        let instance = &gateway.instance;
        (
            instance.places().taken(),
            instance.budgets().openings().taken(),
            instance.budgets().pending().taken(),
        )
    };
    let mut refused = ask(&gateway, "/t");
    assert!(refused.read_head().starts_with("HTTP/1.1 502 "));
    // Its descriptor is one of those that the session would have had.
    assert_eq!(places(), (1, 0, 1));
    drop(refused);
    wait_until("places that came back", || places() == (0, 0, 0));
    gateway.wait_for_rest();
    gateway.end();
}

const SHARE_OF_SOURCE_USED_UP: &str =
    "your network has as many openings that wait for a request as its share allows (openings_max = 8)";

#[test]
fn a_source_network_reads_no_more_heads_than_stay_free_for_the_others() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        "workers = 1\n[limits]\nopenings_max = 8\nhead_timeout_ms = 120000\nsource_prefix_ipv4 = 24",
        &[("t", &api_file("t", backend.address, ""))],
    );
    // Both are of 127.0.0.0/24.
    let mut silent: Vec<Raw> =
        [HERE, THERE, HERE, THERE].map(|from| Raw::connect_from(from, gateway.address)).into();
    gateway.wait_for_openings(4);
    for from in [HERE, THERE] {
        let mut client = Raw::connect_from(from, gateway.address);
        is_turned_away(&mut client, 429, SHARE_OF_SOURCE_USED_UP);
    }
    gateway.wait_for_terminations(Cause::SourceFull, Phase::Head, 2);
    // Others get in, and hold no more than what is left for them then.
    let mut other = Raw::connect_from(ELSEWHERE, gateway.address);
    other.send(request("/t", "").as_bytes());
    let session = backend.take_session();
    assert!(other.read_head().starts_with("HTTP/1.1 101 "));
    gateway.wait_for_openings(4);
    silent.extend((0..2).map(|_| Raw::connect_from(ELSEWHERE, gateway.address)));
    gateway.wait_for_openings(6);
    is_turned_away(&mut Raw::connect_from(ELSEWHERE, gateway.address), 429, SHARE_OF_SOURCE_USED_UP);
    // What leaves is free again.
    silent.truncate(2);
    gateway.wait_for_openings(2);
    let pair = Pair::open(gateway.address, &backend);
    drop((silent, other, session, pair));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn where_all_openings_are_taken_the_one_that_waited_longest_gives_way_to_a_network_that_has_none() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        "workers = 1\n[limits]\nopenings_max = 3\nhead_timeout_ms = 120000",
        &[("t", &api_file("t", backend.address, ""))],
    );
    let connect = |host| Raw::connect_from([127, 0, 0, host].into(), gateway.address);
    let given_way = || gateway.instance.counters().sum(|worker| &worker.openings_given_way);
    let mut silent = Vec::new();
    for host in 1..=3 {
        silent.push(connect(host));
        gateway.wait_for_openings(u32::from(host));
    }
    // Half a head is none.
    silent[0].send(&request("/t", "").as_bytes()[..40]);
    // A network that has a place makes nobody give way.
    is_turned_away(&mut connect(2), 503, OPENINGS_FULL);
    assert_eq!(given_way(), 0);

    let mut polite = connect(4);
    let mut first = silent.remove(0);
    let (told, _) = first.read_to_end();
    assert!(told.starts_with(b"HTTP/1.1 503 "), "{}", told.escape_ascii());
    polite.send(request("/t", "").as_bytes());
    let session = backend.take_session();
    assert!(polite.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(given_way(), 1);
    gateway.wait_for_openings(2);
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 2);
    // The others wait on.
    assert!(silent.iter_mut().all(|client| client.is_silent_for(Duration::from_millis(50))));
    drop((first, silent, polite, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn one_source_cannot_take_all_openings_where_it_is_bounded() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(
        "workers = 1\n[limits]\nopenings_per_source_max = 2\nhead_timeout_ms = 120000",
        &[("t", &api_file("t", backend.address, ""))],
    );
    let mut silent: Vec<Raw> = (0..2).map(|_| Raw::connect(gateway.address)).collect();
    gateway.wait_for_openings(2);
    is_turned_away(&mut Raw::connect(gateway.address), 429, OPENINGS_OF_SOURCE_FULL);
    gateway.wait_for_terminations(Cause::SourceFull, Phase::Head, 1);
    let mut other = Raw::connect_from(THERE, gateway.address);
    other.send(request("/t", "").as_bytes());
    let session = backend.take_session();
    assert!(other.read_head().starts_with("HTTP/1.1 101 "));
    gateway.wait_for_openings(2);
    drop(silent.pop());
    gateway.wait_for_openings(1);
    let pair = Pair::open(gateway.address, &backend);
    drop((silent, other, session, pair));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_refused_request_keeps_its_opening_until_its_connection_is_closed() {
    let gateway = TestInstance::start_with(
        "workers = 1\n[limits]\nopenings_max = 3",
        &[("t", &api_file("t", closed_port(), ""))],
    );
    let mut refused = Raw::connect(gateway.address);
    refused.send(request("/nowhere", "").as_bytes());
    refused.read_head();
    gateway.wait_for_openings(1);
    drop(refused);
    gateway.wait_for_openings(0);
    gateway.wait_for_rest();
    gateway.end();
}
