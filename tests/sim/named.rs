//! Courses of events with a name, which a seed found or might not find.

use super::arrivals::{Arrival, Plan};
use super::connection::Connection;
use super::endpoint::{Answer, DEAF, EAGER, Endpoint, Habits, Leave};
use super::records::Wrapped;
use super::ring::Odds;
use super::scenario::{SHARES_KIB, Scenario};
use super::script::Script;
use super::simulation::{Simulation, telling};
use super::world::World;
use fastrand::Rng;
use ringgate::limits::{IDLE_LOOKS, RECORD_TIMEOUT_MS, SLOW_SEND_MS, UNREAD_PATIENCE_MS};
use ringgate::session::{BrokenInvariant, Cause, Leg, SessionLimits};
use ringgate::tls::record::Role;
use ringgate::websocket::ReservedBits;
use ringgate::websocket::scanner::FrameRules;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

const CLIENT: usize = 0;
const BACKEND: usize = 1;

const LIMITS: SessionLimits = SessionLimits {
    frames: Some(FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: 1 << 20,
        message_bytes_max: 1 << 20,
    }),
    idle_timeout_ms: 60_000,
    longest_life_ms: None,
    linger_ms: 1_000,
};

/// One that says nothing by itself and stays.
const QUIET: Habits = Habits { answer: Answer::Ignores, ..EAGER };

/// A script of messages with these sizes.
fn messages(from: Leg, sizes: &[usize]) -> Script {
    let mut script = Script::new(from, false);
    for size in sizes {
        script.push_frame(&mut Rng::with_seed(7), 0x82, *size);
    }
    script
}

/// One session over a ring without moods. `early` bytes of the backend's script come with it.
fn one_session(habits: [Habits; 2], scripts: [Script; 2], early: usize, buffers: u16) -> Simulation {
    let [client, backend] = scripts;
    let connections = [
        Connection::new(Endpoint::new(habits[CLIENT], 0), client, 0),
        Connection::new(Endpoint::new(habits[BACKEND], 0), backend, early),
    ];
    let plan = Plan { connections, limits: LIMITS, mask: [9, 8, 7, 6], records: [None, None] };
    let scenario = Scenario {
        odds: Odds::default(),
        buffers,
        posted_max: 4,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms: None,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: vec![(0, Arrival::Session(Box::new(plan))), (0, Arrival::NoMore)],
    };
    Simulation::new(scenario, World::new(0, Rng::with_seed(0), None))
}

/// The session is there and its receives are armed.
fn open(simulation: &mut Simulation) {
    simulation.turn_until("an open session", |world| {
        world.connections.get(CLIENT).is_some_and(|client| client.in_flight > 0)
    });
}

#[test]
fn a_failed_send_loses_nothing_that_stands_unread_in_its_socket() {
    let mut last = messages(Leg::Upstream, &[300]);
    last.push_close(Some(1000), "bye");
    let slow_to_write = Habits { write_pause_ms: 0, ..QUIET };
    let mut simulation =
        one_session([EAGER, slow_to_write], [messages(Leg::Downstream, &[50]), last.clone()], 0, 8);
    let world = simulation.world.clone();
    telling(&world, || {
        // The backend has sent its last message and a Close, and is gone, before the relay reads any of it.
        simulation.turn_until("the session", |world| !world.connections.is_empty());
        {
            let mut world = simulation.world.borrow_mut();
            world.connections[BACKEND].is_held = true;
            world.connections[BACKEND].arrived = last.bytes.len();
            world.leave(BACKEND, Leave::Reset);
        }
        simulation.turn_until("a failed send", |world| world.connections[BACKEND].failed_at.is_some());
        assert!(simulation.world.borrow().connections[CLIENT].taken.is_empty());
        simulation.world.borrow_mut().connections[BACKEND].is_held = false;
        simulation.turn_until("all of it", |world| world.connections[CLIENT].taken == last.bytes);
        // The client answers and ends: nobody is there to hear it.
        simulation.turn_until("the end", |world| world.connections[CLIENT].is_closed);
        assert_eq!(simulation.terminations(Cause::Closed), 1);
        simulation.run();
    });
}

#[test]
fn a_reset_with_nothing_before_it_is_a_reset_though_a_send_took_the_error() {
    let mut simulation =
        one_session([QUIET; 2], [messages(Leg::Downstream, &[50]), messages(Leg::Upstream, &[])], 0, 8);
    let world = simulation.world.clone();
    telling(&world, || {
        simulation.turn_until("the session", |world| !world.connections.is_empty());
        {
            let mut world = simulation.world.borrow_mut();
            world.connections[BACKEND].is_held = true;
            world.leave(BACKEND, Leave::Reset);
        }
        simulation.turn_until("a failed send", |world| world.connections[BACKEND].failed_at.is_some());
        simulation.world.borrow_mut().connections[BACKEND].is_held = false;
        simulation.turn_until("the end", |world| world.connections[CLIENT].is_closed);
        assert_eq!(simulation.terminations(Cause::Reset), 1);
        assert!(simulation.world.borrow().connections[CLIENT].resets_on_close, "a reset becomes a reset");
        simulation.run();
    });
}

#[test]
fn what_waits_behind_early_bytes_that_nobody_takes_is_taken_back_too() {
    // The 101 came with the start of a message; the client reads nothing; more messages follow.
    let script = messages(Leg::Upstream, &[3_000, 20_000, 20_000]);
    let mut simulation = one_session([DEAF, QUIET], [messages(Leg::Downstream, &[]), script], 2_000, 4);
    let world = simulation.world.clone();
    telling(&world, || {
        open(&mut simulation);
        simulation.turn_until("patience that ends", |world| world.now > 2 * SLOW_SEND_MS + 1);
        let pool = simulation.relay.ring_mut().simulated_pool();
        assert_eq!(pool.lent_out(), 0, "a slow reader holds no received buffer");
        assert!(pool.backlog_bytes() > 0);
        simulation.world.borrow_mut().leave(CLIENT, Leave::Reset);
        simulation.run();
    });
}

#[test]
fn a_send_that_fails_on_a_connection_in_order_ends_the_session() {
    let mut simulation =
        one_session([QUIET; 2], [messages(Leg::Downstream, &[50]), messages(Leg::Upstream, &[])], 0, 8);
    let world = simulation.world.clone();
    telling(&world, || {
        simulation.turn_until("the session", |world| !world.connections.is_empty());
        simulation.world.borrow_mut().connections[BACKEND].next_send_fails = Some(libc::ENOMEM);
        simulation.turn_until("a failed send", |world| world.connections[BACKEND].failed_at.is_some());
        simulation.turn_until("the end", |world| world.connections[BACKEND].is_closed);
        assert_eq!(simulation.terminations(Cause::Reset), 1);
        assert!(simulation.world.borrow().now < 1_000, "without waiting for a deadline");
        simulation.run();
    });
}

#[test]
fn a_cancel_that_finds_nothing_is_repeated_for_its_own_operation_only() {
    // Neither reads: both sends are taken back, and both legs are paused.
    let mut simulation = one_session(
        [DEAF; 2],
        [messages(Leg::Downstream, &[5_000]), messages(Leg::Upstream, &[5_000, 5_000])],
        0,
        16,
    );
    let world = simulation.world.clone();
    telling(&world, || {
        simulation.turn_until("the session", |world| !world.connections.is_empty());
        simulation.world.borrow_mut().connections[BACKEND].is_held = true;
        while simulation.counters.sends_taken_back.load(Ordering::Relaxed) == 0 {
            simulation.turn();
        }
        // The receive that is paused for it cannot be cancelled, nor, later, the send of the same leg. Time goes on.
        let odds = Odds { cancel_misses: 100, waits: 40, ..Odds::default() };
        simulation.relay.ring_mut().odds = odds;
        simulation.world.borrow_mut().connections[BACKEND].is_held = false;
        let until = simulation.world.borrow().now + 4 * SLOW_SEND_MS;
        while simulation.world.borrow().now < until {
            simulation.turn();
        }
        simulation.relay.ring_mut().odds = Odds::default();
        simulation.turn_until("no buffer held", |world| world.now > until + SLOW_SEND_MS);
        assert_eq!(simulation.relay.ring_mut().simulated_pool().lent_out(), 0);
        simulation.world.borrow_mut().leave(CLIENT, Leave::Reset);
        simulation.run();
    });
}

#[test]
fn parked_receives_are_armed_in_turn_though_those_before_them_are_idle() {
    let quiet = |at| {
        let connections =
            Leg::BOTH.map(|leg| Connection::new(Endpoint::new(QUIET, at), Script::new(leg, false), 0));
        (
            at,
            Arrival::Session(Box::new(Plan {
                connections,
                limits: LIMITS,
                mask: [0; 4],
                records: [None, None],
            })),
        )
    };
    let hog = [
        Connection::new(Endpoint::new(DEAF, 0), Script::new(Leg::Downstream, false), 0),
        Connection::new(Endpoint::new(QUIET, 0), messages(Leg::Upstream, &[5_000]), 0),
    ];
    let hog = Plan { connections: hog, limits: LIMITS, mask: [0; 4], records: [None, None] };
    let scenario = Scenario {
        odds: Odds { cancel_misses: 100, waits: 8, ..Odds::default() },
        buffers: 1,
        posted_max: 1,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms: None,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: vec![(0, Arrival::Session(Box::new(hog))), quiet(5), quiet(5), quiet(5)],
    };
    let mut simulation = Simulation::new(scenario, World::new(0, Rng::with_seed(0), None));
    let world = simulation.world.clone();
    telling(&world, || {
        // One reader has the only buffer when the other sessions come: their receives are parked.
        simulation.turn_until("parked receives", |world| world.now >= 20);
        assert!(simulation.counters.parked.load(Ordering::Relaxed) >= 4);
        simulation.relay.ring_mut().odds = Odds::default();
        simulation.turn_until("the buffer back", |world| world.now >= 100);
        let message = messages(Leg::Upstream, &[100]);
        let asked_at = simulation.world.borrow().now;
        for session in 1..4 {
            let mut world = simulation.world.borrow_mut();
            let backend = &mut world.connections[session * 2 + BACKEND];
            backend.script = message.clone();
            backend.endpoint.wake_writer(0);
        }
        simulation.turn_until("every message", |world| {
            (1..4).all(|session| world.connections[session * 2 + CLIENT].taken == message.bytes)
        });
        assert!(simulation.world.borrow().now < asked_at + 100, "at once");
        for id in 0..8 {
            simulation.world.borrow_mut().leave(id, Leave::Reset);
        }
        simulation.turn_until("the end", |world| world.connections.iter().all(|all| all.is_closed));
    });
}

#[test]
fn the_end_of_a_broken_connection_is_heard_of_though_its_leg_is_paused() {
    let last = messages(Leg::Upstream, &[60_000, 60_000, 60_000]);
    let mut simulation = one_session([DEAF, QUIET], [messages(Leg::Downstream, &[50]), last], 0, 16);
    let world = simulation.world.clone();
    telling(&world, || {
        // Every receive ends after one completion.
        simulation.relay.ring_mut().odds.receive_ends = 100;
        simulation.turn_until("the session", |world| !world.connections.is_empty());
        {
            let mut world = simulation.world.borrow_mut();
            world.connections[BACKEND].is_held = true;
            world.leave(BACKEND, Leave::Reset);
        }
        simulation.turn_until("a failed send", |world| world.connections[BACKEND].failed_at.is_some());
        // The client takes no more than the start of the last messages: the backend's leg is paused.
        simulation.world.borrow_mut().connections[BACKEND].is_held = false;
        simulation.turn_until("some of it", |world| world.connections[BACKEND].read > 0);
        simulation.world.borrow_mut().connections[BACKEND].is_held = true;
        while simulation.counters.sends_taken_back.load(Ordering::Relaxed) == 0 {
            simulation.turn();
        }
        simulation.world.borrow_mut().connections[BACKEND].is_held = false;
        simulation.turn_until("the end", |world| world.connections[BACKEND].is_closed);
        assert_eq!(simulation.terminations(Cause::Reset), 1);
        assert!(simulation.world.borrow().now < 1_000, "without waiting for a deadline");
        simulation.run();
    });
}

#[test]
fn a_record_that_drips_in_has_until_its_deadline_however_often_a_byte_comes() {
    let rng = &mut Rng::with_seed(3);
    let (mut wrapped, records) = Wrapped::pair(rng, Role::Server);
    wrapped.drips = Some((100, 0));
    let quiet = |script| Connection::new(Endpoint::new(QUIET, 0), script, 0);
    let mut client = quiet(messages(Leg::Downstream, &[5_000]));
    client.wrapped = Some(Box::new(wrapped));
    let plan = Plan {
        connections: [client, quiet(messages(Leg::Upstream, &[]))],
        limits: LIMITS,
        mask: [0; 4],
        records: [Some(records.into()), None],
    };
    let scenario = Scenario {
        odds: Odds::default(),
        buffers: 4,
        posted_max: 2,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms: None,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: vec![(0, Arrival::Session(Box::new(plan))), (0, Arrival::NoMore)],
    };
    let mut simulation = Simulation::new(scenario, World::new(0, Rng::with_seed(0), None));
    let world = simulation.world.clone();
    telling(&world, || {
        simulation
            .turn_until("the end", |world| world.sessions.first().is_some_and(|session| session.is_over));
        let now = simulation.world.borrow().now;
        assert!((RECORD_TIMEOUT_MS..RECORD_TIMEOUT_MS + 3_000).contains(&now), "{now}");
        assert_eq!(simulation.terminations(Cause::RecordFault), 1);
    });
}

#[test]
fn what_a_half_closed_session_still_moves_goes_on_beyond_its_linger_time() {
    for is_wrapped in [false, true] {
        let rng = &mut Rng::with_seed(5);
        // The client ends at once, and listens on.
        let leaves = Habits { after_script: Some(Leave::Finish), ..QUIET };
        let mut client = Connection::new(Endpoint::new(leaves, 0), messages(Leg::Downstream, &[50]), 0);
        let mut records = None;
        if is_wrapped {
            let (wrapped, of_relay) = Wrapped::pair(rng, Role::Server);
            client.wrapped = Some(Box::new(wrapped));
            records = Some(of_relay.into());
        }
        let backend = Connection::new(Endpoint::new(QUIET, 0), messages(Leg::Upstream, &[]), 0);
        let plan =
            Plan { connections: [client, backend], limits: LIMITS, mask: [1; 4], records: [records, None] };
        let scenario = Scenario {
            odds: Odds::default(),
            buffers: 8,
            posted_max: 4,
            backlog_bytes_max: 64 << 20,
            zero_copy_bytes_min: None,
            splice_bytes_min: None,
            dead_peer_timeout_ms: None,
            shares_kib: SHARES_KIB,
            receive_bytes_max: None,
            arrivals: vec![(0, Arrival::Session(Box::new(plan))), (0, Arrival::NoMore)],
        };
        let mut simulation = Simulation::new(scenario, World::new(0, Rng::with_seed(0), None));
        let world = simulation.world.clone();
        telling(&world, || {
            simulation.turn_until("the client's end", |world| {
                world.connections.get(BACKEND).is_some_and(|backend| backend.is_shut)
            });
            for count in 1..=5 {
                let answer = messages(Leg::Upstream, &[300; 5][..count]);
                {
                    let mut world = simulation.world.borrow_mut();
                    let soon = world.now + LIMITS.linger_ms - 100;
                    world.connections[BACKEND].script = answer.clone();
                    world.connections[BACKEND].endpoint.wake_writer(soon);
                }
                simulation.turn_until("a message", |world| world.connections[CLIENT].taken == answer.bytes);
            }
            let last_at = simulation.world.borrow().now;
            assert!(last_at > 3 * LIMITS.linger_ms, "{last_at}");
            simulation.turn_until("the end", |world| world.connections[CLIENT].is_closed);
            let silence = simulation.world.borrow().now - last_at;
            assert!((LIMITS.linger_ms..LIMITS.linger_ms + 500).contains(&silence), "{silence}");
            simulation.run();
        });
    }
}

#[test]
fn a_reset_of_a_leg_whose_receive_is_parked_is_heard_of() {
    let quiet = |at, script| {
        let connections = [
            Connection::new(Endpoint::new(QUIET, at), Script::new(Leg::Downstream, false), 0),
            Connection::new(Endpoint::new(QUIET, at), script, 0),
        ];
        let plan = Plan { connections, limits: LIMITS, mask: [0; 4], records: [None, None] };
        (at, Arrival::Session(Box::new(plan)))
    };
    // The first session's client reads nothing, and the only buffer cannot be taken back from it.
    let hog = [
        Connection::new(Endpoint::new(DEAF, 0), Script::new(Leg::Downstream, false), 0),
        Connection::new(Endpoint::new(QUIET, 0), messages(Leg::Upstream, &[5_000]), 0),
    ];
    let hog = Plan { connections: hog, limits: LIMITS, mask: [0; 4], records: [None, None] };
    let scenario = Scenario {
        odds: Odds { cancel_misses: 100, waits: 8, ..Odds::default() },
        buffers: 1,
        posted_max: 1,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms: None,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: vec![
            (0, Arrival::Session(Box::new(hog))),
            quiet(5, messages(Leg::Upstream, &[100])),
            quiet(5, messages(Leg::Upstream, &[100])),
        ],
    };
    let mut simulation = Simulation::new(scenario, World::new(0, Rng::with_seed(0), None));
    let world = simulation.world.clone();
    telling(&world, || {
        simulation.turn_until("parked receives", |world| world.now >= 20);
        assert!(simulation.counters.parked.load(Ordering::Relaxed) >= 2);
        // One is reset before its leg is polled, the other one while it is. Time goes slowly while cancels are repeated.
        let turn_to = |simulation: &mut Simulation, until: u64| {
            while simulation.world.borrow().now < until {
                simulation.turn();
            }
        };
        simulation.world.borrow_mut().leave(2 + BACKEND, Leave::Reset);
        turn_to(&mut simulation, 30 + UNREAD_PATIENCE_MS);
        assert_eq!(simulation.terminations(Cause::Reset), 1);
        simulation.world.borrow_mut().leave(4 + BACKEND, Leave::Reset);
        turn_to(&mut simulation, 40 + UNREAD_PATIENCE_MS);
        assert_eq!(simulation.terminations(Cause::Reset), 2);
        assert_eq!(simulation.world.borrow().hidden_breaks, 2);
        simulation.relay.ring_mut().odds = Odds::default();
        simulation.world.borrow_mut().leave(BACKEND, Leave::Reset);
        simulation.turn_until("the end", |world| world.connections.iter().all(|all| all.is_closed));
    });
}

/// A client that does not read, and what its backend sends before it leaves: more than there is room for.
fn held_back(leave: Leave) -> Simulation {
    let script = messages(Leg::Upstream, &[200_000; 10]);
    let mut simulation = one_session([DEAF, QUIET], [messages(Leg::Downstream, &[]), script], 0, 16);
    let world = simulation.world.clone();
    telling(&world, || {
        open(&mut simulation);
        simulation.turn_until("a leg that is polled", |world| world.now >= 2 * UNREAD_PATIENCE_MS + 50);
        simulation.world.borrow_mut().leave(BACKEND, leave);
        let now = simulation.world.borrow().now;
        simulation.turn_until("some time", |world| world.now >= now + 2 * UNREAD_PATIENCE_MS);
    });
    simulation
}

#[test]
fn a_reset_behind_a_reader_that_stopped_ends_both_and_an_end_behind_it_ends_none() {
    let simulation = held_back(Leave::Reset);
    assert_eq!(simulation.terminations(Cause::Reset), 1);
    assert!(simulation.world.borrow().connections[CLIENT].resets_on_close);
    simulation.run();

    let mut simulation = held_back(Leave::Finish);
    assert_eq!(Cause::ALL.iter().map(|cause| simulation.terminations(*cause)).sum::<usize>(), 0);
    {
        let mut world = simulation.world.borrow_mut();
        assert!(!world.connections[BACKEND].is_end_told);
        let now = world.now;
        world.connections[CLIENT].endpoint.habits = EAGER;
        world.connections[CLIENT].endpoint.wake_reader(now);
    }
    simulation.turn_until("the end", |world| world.connections[CLIENT].is_closed);
    assert_eq!(simulation.terminations(Cause::Ended), 1);
    let world = simulation.world.borrow();
    let backend = &world.connections[BACKEND];
    assert_eq!(backend.read, backend.arrived, "all that had arrived was read");
    drop(world);
    simulation.run();
}

/// A session of which one endpoint vanishes while the other one sends a message every ten milliseconds.
fn vanished(leg: Leg, dead_peer_timeout_ms: Option<u64>, idle_timeout_ms: u64) -> (Simulation, u64) {
    let talkative = Habits { write_pause_ms: 20, write_bytes: 12, ..QUIET };
    let connections = Leg::BOTH.map(|each| {
        let sizes: &[usize] = if each == leg { &[] } else { &[10; 2_000] };
        Connection::new(Endpoint::new(talkative, 0), messages(each, sizes), 0)
    });
    let limits = SessionLimits { idle_timeout_ms, ..LIMITS };
    let plan = Plan { connections, limits, mask: [1; 4], records: [None, None] };
    let scenario = Scenario {
        odds: Odds::default(),
        buffers: 8,
        posted_max: 4,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: vec![(0, Arrival::Session(Box::new(plan))), (0, Arrival::NoMore)],
    };
    let mut simulation = Simulation::new(scenario, World::new(0, Rng::with_seed(0), None));
    let world = simulation.world.clone();
    let vanished_at = telling(&world, || {
        simulation.turn_until("some messages", |world| world.now >= 100);
        simulation.world.borrow_mut().leave(leg as usize, Leave::Vanish);
        let vanished_at = simulation.world.borrow().now;
        simulation
            .turn_until("the end", |world| world.sessions.first().is_some_and(|session| session.is_over));
        vanished_at
    });
    (simulation, vanished_at)
}

#[test]
fn a_vanished_endpoint_is_a_dead_peer_whoever_talks_to_it() {
    for leg in Leg::BOTH {
        let (simulation, vanished_at) = vanished(leg, Some(2_000), 60_000);
        let took_ms = simulation.world.borrow().now - vanished_at;
        assert!((2_000..2_000 + LIMITS.linger_ms + 200).contains(&took_ms), "{took_ms}");
        assert_eq!(simulation.terminations(Cause::DeadPeer), 1);
        simulation.run();
    }
}

#[test]
fn a_vanished_endpoint_is_idle_where_nobody_gives_it_up() {
    for leg in Leg::BOTH {
        let (simulation, vanished_at) = vanished(leg, None, 2_000);
        let took_ms = simulation.world.borrow().now - vanished_at;
        let most_ms = 2_000 + 2_000 / IDLE_LOOKS + LIMITS.linger_ms + 200;
        assert!((1_900..most_ms).contains(&took_ms), "{took_ms}");
        assert_eq!(simulation.terminations(Cause::Idle), 1);
        simulation.run();
    }
}

/// Sessions whose backends send these messages, over a ring without moods.
fn sessions_of(scripts: &[Script]) -> Simulation {
    let arrivals = scripts.iter().map(|script| {
        let connections = [
            Connection::new(Endpoint::new(EAGER, 0), Script::new(Leg::Downstream, false), 0),
            Connection::new(Endpoint::new(EAGER, 0), script.clone(), 0),
        ];
        let plan = Plan { connections, limits: LIMITS, mask: [9, 8, 7, 6], records: [None, None] };
        (0, Arrival::Session(Box::new(plan)))
    });
    let scenario = Scenario {
        odds: Odds::default(),
        buffers: 16,
        posted_max: 4,
        backlog_bytes_max: 64 << 20,
        zero_copy_bytes_min: None,
        splice_bytes_min: None,
        dead_peer_timeout_ms: None,
        shares_kib: SHARES_KIB,
        receive_bytes_max: None,
        arrivals: arrivals.chain([(0, Arrival::NoMore)]).collect(),
    };
    Simulation::new(scenario, World::new(0, Rng::with_seed(0), None))
}

#[test]
fn a_send_that_says_more_than_was_queued_ends_its_session_only() {
    let mut script = messages(Leg::Upstream, &[300, 5_000, 80_000, 200]);
    script.push_close(Some(1000), "bye");
    let mut simulation = sessions_of(&[script.clone(), script.clone(), script.clone()]);
    let world = simulation.world.clone();
    telling(&world, || {
        simulation.relay.ring_mut().overstates = Some(2 + CLIENT);
        // The books of the others are complete when they end in order.
        simulation.turn_until("the end of the broken one", |world| {
            world.connections.len() == 6 && world.connections[2 + CLIENT].is_closed
        });
        assert_eq!(simulation.terminations(Cause::Bug), 1);
        let report = simulation.reports.take().expect("a report");
        assert!(matches!(
            report.broken,
            BrokenInvariant::SentMoreThanOwed { to: Leg::Downstream, sent, owed } if sent > 1 << 24 && owed < 1 << 20
        ));
        simulation.turn_until("the end of the others", |world| {
            [0, 2].iter().all(|session| world.connections[session * 2 + CLIENT].is_closed)
        });
        for session in [0, 2] {
            assert!(simulation.world.borrow().connections[session * 2 + CLIENT].taken == script.bytes);
        }
        assert_eq!(simulation.terminations(Cause::Closed), 2);
    });
}

#[test]
fn records_that_come_of_a_plain_leg_end_its_session_only() {
    let script = messages(Leg::Upstream, &[300]);
    let mut simulation = sessions_of(std::slice::from_ref(&script));
    let mut connections =
        Leg::BOTH.map(|leg| Connection::new(Endpoint::new(QUIET, 0), messages(leg, &[500]), 0));
    // More has come than is said to be early: it is handed over as records would be.
    connections[BACKEND].arrived = 400;
    let plan = Plan { connections, limits: LIMITS, mask: [0; 4], records: [None, None] };
    let world = simulation.world.clone();
    telling(&world, || {
        let arrivals = &simulation.relay.ring_mut().arrivals;
        arrivals.push(Arrival::Session(Box::new(plan)), &world);
        let broken = world.borrow().sessions.len() - 1;
        world.borrow_mut().break_session(broken, false);
        simulation.turn_until("the end of the broken one", |world| {
            world.connections[broken * 2 + CLIENT].is_closed
                && world.connections[broken * 2 + BACKEND].is_closed
        });
        let report = simulation.reports.take().expect("a report");
        assert_eq!(report.broken, BrokenInvariant::RecordsOfPlainLeg { from: Leg::Upstream });
        let other = 1 - broken;
        simulation.turn_until("the message of the other one", |world| {
            world.connections.get(other * 2 + CLIENT).is_some_and(|client| client.taken == script.bytes)
        });
        simulation.world.borrow_mut().leave(other * 2 + CLIENT, Leave::Reset);
        simulation.turn_until("the end", |world| world.connections.iter().all(|all| all.is_closed));
    });
}

#[test]
fn a_ring_that_fails_is_told_and_frees_nothing_that_the_kernel_reads() {
    let script = messages(Leg::Upstream, &[50_000]);
    let mut simulation = one_session([DEAF, QUIET], [messages(Leg::Downstream, &[]), script], 0, 8);
    let world = simulation.world.clone();
    telling(&world, || {
        open(&mut simulation);
        simulation
            .turn_until("a send that waits for room", |world| world.connections[CLIENT].taken.len() == 1_000);
        simulation.relay.ring_mut().is_dead = true;
        // Dropped with a send in flight, it would abort this process.
        let failure = ManuallyDrop::into_inner(simulation.relay).run().expect_err("a ring that failed");
        assert_eq!(failure.operation, "a simulated turn");
    });
}
