//! Checks between two turns: the relay's books against those of the ring and the world.

use super::connection::Connection;
use super::operation::{InFlight, Kind};
use super::ring::SimRing;
use super::script::Stop;
use super::simulation::Simulation;
use super::world::World;
use ringgate::limits::{BUFFER_BYTES, IDLE_LOOKS, OWED_BYTES_HIGH, SLOW_SEND_MS, UNREAD_PATIENCE_MS};
use ringgate::relay::Relay;
use ringgate::relay::carrier::{Reading, Receiving};
use ringgate::relay::liveness::Watch;
use ringgate::ring::{Chunk, Operation, Pipe};
use ringgate::session::{Cause, Phase};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds beyond its linger time that a session may take to end: a wheel's tick, and completions that take long.
const OVERTIME_MS: u64 = 500;

/// Operations of one carrier that may be in flight: a receive, a send and a poll for errors, a cancel of each, and a cancel or
/// two of operations that were over before it.
const IN_FLIGHT_MAX: u32 = 8;

/// A carrier as it was between two turns.
struct Carrier {
    connection: usize,
    user: (u32, u32),
    receive_token: u64,
    send_token: u64,
    watch_token: u64,
    watch: Watch,
    in_flight: u32,
    is_over: bool,
    is_paused: bool,
    receiving: Receiving,
    buffers: Vec<u16>,
    lent: Vec<u16>,
    queued_bytes: usize,
    backlog_bytes: usize,
    is_sending: bool,
    is_discarding: bool,
    /// Its frames are received by their heads.
    is_spliced: bool,
    pipe: Option<(u16, usize)>,
}

fn carriers(relay: &mut Relay<SimRing>) -> Vec<Carrier> {
    let mut carriers = Vec::new();
    relay.for_each_carrier(|seen| {
        let name = seen.carrier.name;
        let token = |operation| name.token(operation).to_bits();
        let queue = &seen.carrier.queue;
        let mut buffers = Vec::new();
        queue.for_each_buffer(seen.pool, |index| buffers.push(index));
        let lent = queue.lent().iter().map(Chunk::index).collect();
        let mut queued_bytes = 0;
        queue.for_each_piece(seen.pool, usize::MAX, |piece| queued_bytes += piece.len());
        assert_eq!(queue.is_in_flight(), seen.carrier.sending.is_in_flight(), "{:?}", seen.carrier.sending);
        queued_bytes += seen.carrier.pipe.as_ref().map_or(0, Pipe::bytes);
        carriers.push(Carrier {
            connection: seen.carrier.socket.id,
            user: (name.0.index, name.0.generation),
            receive_token: token(Operation::Receive),
            send_token: token(Operation::Send),
            watch_token: token(Operation::Watch),
            watch: seen.carrier.watch,
            in_flight: seen.carrier.in_flight.into(),
            is_over: seen.session.is_over(),
            is_paused: seen.session.is_paused(seen.leg),
            receiving: seen.carrier.receiving,
            buffers,
            lent,
            queued_bytes,
            backlog_bytes: seen.carrier.heap_bytes(seen.pool),
            is_sending: queue.is_in_flight(),
            is_discarding: seen.carrier.sending.is_discarding(),
            is_spliced: matches!(seen.carrier.reading, Reading::Heads { .. }),
            pipe: seen.carrier.pipe.as_ref().map(|pipe| (pipe.number(), pipe.bytes())),
        });
    });
    carriers
}

impl Simulation {
    /// Everything that must hold between two turns.
    pub fn check(&mut self) {
        let carriers = carriers(&mut self.relay);
        let backlog_bytes_max = self.backlog_bytes_max;
        let left_behind: Vec<u16> = self.relay.left_behind().map(Chunk::index).collect();
        let ring = self.relay.ring_mut();
        check_buffers(ring, &carriers, &left_behind, backlog_bytes_max);
        check_operations(ring, &carriers);
        let has_parked =
            carriers.iter().any(|carrier| carrier.receiving == Receiving::Parked && !carrier.is_over);
        ring.has_needless_wait = has_parked && {
            let pool = ring.simulated_pool();
            pool.lent_out() < pool.buffers()
        };
        check_pipes(ring, &carriers);
        check_shares(ring, &carriers, self.turn_share_kib);
        check_line(ring, &carriers, &mut self.passed_over);
        check_calls(ring, self.line_kib_per_turn);
        for pair in carriers.chunks(2) {
            for (carrier, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                check_carrier(ring, carrier, other);
            }
        }
        check_late_sends(ring, &carriers);
        let mut world = self.world.borrow_mut();
        let now = world.now;
        for carrier in &carriers {
            let number = carrier.connection / 2;
            world.sessions[number].opened_at.get_or_insert(now);
            if carrier.is_over && !world.sessions[number].is_over {
                check_half_closed(&world, number);
                world.sessions[number].is_over = true;
            }
        }
        for pair in carriers.chunks(2) {
            check_progress(&world, pair);
        }
        check_places(&world);
        self.check_ends(&world, &carriers);
        check_failed(&world);
        check_broken(&world);
        check_limits(&world);
    }

    pub fn terminations(&self, cause: Cause) -> usize {
        Phase::ALL.iter().map(|phase| self.counters.terminations_of(cause, *phase) as usize).sum()
    }

    /// Each session ends once, and is counted once.
    fn check_ends(&self, world: &World, carriers: &[Carrier]) {
        let counted: usize = Cause::ALL.iter().map(|cause| self.terminations(*cause)).sum();
        let freed = world.connections.iter().filter(|connection| connection.is_closed).count() / 2;
        let over = carriers.iter().filter(|carrier| carrier.is_over).count() / 2;
        assert_eq!(counted, freed + over, "terminations counted, and sessions that ended");
        assert_eq!(self.terminations(Cause::Bug), world.bugs, "bugs counted, and sessions that were broken");
        if world.cuts_at.is_none() {
            assert_eq!(self.terminations(Cause::Drain), 0, "a drain was counted before there was one");
        }
        if world.revoked_by.is_none() {
            assert_eq!(self.terminations(Cause::Revoked), 0, "one was revoked before anything was");
        }
    }

    /// No cause is counted more often than it can have been.
    pub fn check_causes(&self) {
        let world = self.world.borrow();
        let sessions = world.connections.len() / 2;
        let count = |holds: &dyn Fn(usize) -> bool| {
            (0..sessions).filter(|session| holds(session * 2) || holds(session * 2 + 1)).count()
        };
        let stopped = |wanted: Stop| {
            count(&|id| {
                let connection = &world.connections[id];
                !connection.script.is_opaque && connection.script.stop_within(connection.read) == Some(wanted)
            })
        };
        let of = |id: usize| &world.connections[id];
        let most = [
            (Cause::Closed, stopped(Stop::Close)),
            (Cause::FrameFault, stopped(Stop::Fault(Cause::FrameFault))),
            (Cause::FrameTooBig, stopped(Stop::Fault(Cause::FrameTooBig))),
            (Cause::MessageTooBig, stopped(Stop::Fault(Cause::MessageTooBig))),
            (
                Cause::Ended,
                count(&|id| {
                    let is_told_end = of(id).is_end_told && (of(id).is_finished || of(id).has_hidden_error);
                    // Under TLS it is said before the connection's own end.
                    is_told_end || of(id).wrapped.as_ref().is_some_and(|wrapped| wrapped.has_closed)
                }),
            ),
            (Cause::Truncated, count(&|id| of(id).is_end_told && of(id).is_truncated())),
            (
                Cause::RecordFault,
                count(&|id| of(id).wrapped.as_ref().is_some_and(|wrapped| wrapped.is_broken())),
            ),
            (Cause::Reset, count(&|id| of(id).is_broken || of(id).failed_at.is_some())),
            (Cause::SlowReader, count(&|id| of(id).resets_on_close || is_given_up(of(id)))),
            (
                Cause::DeadPeer,
                count(&|id| {
                    let is_silent = of(id).vanished_at.is_some() || world.dead_peer_timeout_ms.is_none();
                    is_silent && is_given_up(of(id))
                }),
            ),
            (Cause::Idle, sessions),
            (Cause::LongestLife, sessions),
            (Cause::Drain, sessions),
            (Cause::Revoked, world.sessions.iter().filter(|session| session.is_revocable).count()),
            (Cause::Bug, world.bugs),
        ];
        for cause in Cause::ALL {
            let most = most.iter().find(|(of, _)| *of == cause).map_or(0, |(_, most)| *most);
            let counted = self.terminations(cause);
            assert!(counted <= most, "{counted} sessions ended as {}, of {most} that can have", cause.name());
        }
    }
}

/// Whether the system has given a connection up.
fn is_given_up(connection: &Connection) -> bool {
    connection.broke.is_some_and(|(_, error)| error != libc::ECONNRESET)
}

/// Every buffer is in one place, and the heap is within its limit.
fn check_buffers(ring: &SimRing, carriers: &[Carrier], left_behind: &[u16], backlog_bytes_max: usize) {
    let pool = ring.simulated_pool();
    let mut seen: BTreeSet<u16> = BTreeSet::new();
    for index in ring.held_by_kernel() {
        assert!(seen.insert(index), "buffer {index} is posted twice");
    }
    assert_eq!(seen.len(), pool.posted(), "posted buffers");
    let in_queues = carriers.iter().flat_map(|carrier| carrier.buffers.iter().chain(&carrier.lent));
    for index in in_queues.chain(left_behind) {
        assert!(seen.insert(*index), "buffer {index} is in two places");
    }
    assert_eq!(seen.len() - pool.posted(), pool.lent_out(), "buffers in queues, and buffers lent out");
    let backlog: usize = carriers.iter().map(|carrier| carrier.backlog_bytes).sum();
    assert_eq!(backlog, pool.backlog_bytes(), "bytes of backlogs, and what the pool counts of them");
    assert!(backlog <= backlog_bytes_max, "backlogs of {backlog} bytes are over their limit");
}

/// Every pipe that is taken stands before one queue, with all that is in it.
fn check_pipes(ring: &SimRing, carriers: &[Carrier]) {
    let held: BTreeMap<_, _> = carriers.iter().filter_map(|carrier| carrier.pipe).collect();
    let taken: BTreeMap<_, _> = (0..)
        .zip(&ring.pipes)
        .filter(|(_, pipe)| pipe.is_taken)
        .map(|(number, pipe)| (number, pipe.bytes.len()))
        .collect();
    assert_eq!(held, taken, "pipes of carriers, and pipes that are taken, by their bytes");
    assert_eq!(
        held.len(),
        carriers.iter().filter(|carrier| carrier.pipe.is_some()).count(),
        "a pipe is in two places"
    );
    assert!(held.values().all(|bytes| *bytes > 0), "an empty pipe is kept");
}

/// Whoever had more than its share of a turn is not received like the others from there on.
fn check_shares(ring: &SimRing, carriers: &[Carrier], share_kib: u32) {
    for carrier in carriers {
        let told = ring.told_bytes.get(&carrier.connection).copied().unwrap_or(0);
        // One whose turn came in the same turn, and that had nothing more to say, is received again.
        let is_served =
            ring.read_at_once.contains(&carrier.connection) || ring.read_parked.contains(&carrier.connection);
        let is_greedy = told > share_kib as usize * 1024 && !is_served;
        let is_greedy = is_greedy && !carrier.is_spliced && !carrier.is_over;
        let id = carrier.connection;
        assert!(
            !is_greedy || carrier.receiving != Receiving::Armed,
            "connection {id} had {told} bytes of a turn, of {share_kib} KiB, and is received like the others"
        );
    }
}

/// Nobody is read by two plain calls in a turn, and those that wait for one are read in turn: none is passed over again and again.
fn check_line(ring: &mut SimRing, carriers: &[Carrier], passed_over: &mut BTreeMap<usize, usize>) {
    let waiting = |state| -> BTreeSet<usize> {
        let waiting = carriers.iter().filter(|carrier| carrier.receiving == state && !carrier.is_over);
        waiting.map(|carrier| carrier.connection).collect()
    };
    let (in_line, parked) = (waiting(Receiving::InLine), waiting(Receiving::Parked));
    let read: BTreeSet<_> = ring.read_at_once.iter().chain(&ring.read_parked).copied().collect();
    assert_eq!(
        read.len(),
        ring.read_at_once.len() + ring.read_parked.len(),
        "a leg is read twice in a turn: {:?}, {:?}",
        ring.read_at_once,
        ring.read_parked
    );
    // The last quarter of the buffers is not for them.
    ring.has_line = !in_line.is_empty() && ring.pool.lent_out() * 4 <= ring.pool.buffers() * 3;
    passed_over.retain(|id, _| in_line.contains(id) || parked.contains(id));
    passed_over.retain(|id, _| !read.contains(id));
    for (waiting, others) in [(&in_line, &ring.read_at_once), (&parked, &ring.read_parked)] {
        for id in waiting.difference(&read) {
            let times = passed_over.entry(*id).or_default();
            *times += others.len();
            // All others may be before it, and be read again when a leg that is paused lets them.
            assert!(
                *times <= 3 * carriers.len(),
                "connection {id} waits for its turn, and was passed over {times} times"
            );
        }
    }
}

/// A turn reads no more by plain calls than it has time for: the last call may go beyond that.
fn check_calls(ring: &SimRing, line_kib: u32) {
    for (bytes, whose) in ring.bytes_at_once.iter().zip(["greedy legs", "legs without a posted buffer"]) {
        let most = line_kib as usize * 1024 + BUFFER_BYTES;
        assert!(*bytes <= most, "{bytes} bytes of {whose} were read in a turn, of {line_kib} KiB");
    }
}

/// The relay awaits exactly what is in flight.
fn check_operations(ring: &SimRing, carriers: &[Carrier]) {
    let awaited: BTreeMap<_, _> = carriers.iter().map(|carrier| (carrier.user, carrier.in_flight)).collect();
    let open: BTreeMap<_, _> =
        ring.open.iter().filter(|(_, count)| **count > 0).map(|(user, count)| (*user, *count)).collect();
    let awaited: BTreeMap<_, _> = awaited.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        awaited, open,
        "operations that the relay awaits, and those in flight, by slot and generation"
    );
}

/// Nothing hangs: what can be read is being read, what waits to be sent is being sent.
fn check_carrier(ring: &SimRing, carrier: &Carrier, other: &Carrier) {
    let id = carrier.connection;
    let is_open = |token: u64| ring.in_flight.contains_key(&token) || ring.is_over_untold(token);
    let is_received = carrier.receiving.is_in_flight();
    assert_eq!(is_open(carrier.receive_token), is_received, "connection {id} is {:?}", carrier.receiving);
    assert_eq!(is_open(carrier.send_token), carrier.is_sending, "a send of connection {id} is in flight");
    let is_watched = carrier.watch.is_in_flight();
    assert_eq!(
        is_open(carrier.watch_token),
        is_watched,
        "the watch of connection {id} is {:?}",
        carrier.watch
    );
    let burst_bytes = (ring.simulated_pool().buffers() + 1) * BUFFER_BYTES;
    let most = OWED_BYTES_HIGH as usize + burst_bytes;
    assert!(carrier.queued_bytes <= most, "connection {id} is owed {} bytes", carrier.queued_bytes);
    assert!(
        carrier.in_flight <= IN_FLIGHT_MAX,
        "connection {id} has {} operations in flight",
        carrier.in_flight
    );
    if carrier.is_over {
        assert!(
            carrier.in_flight + other.in_flight > 0,
            "the session of connection {id} is over, awaits nothing, and is not freed"
        );
        assert!(carrier.is_sending || carrier.queued_bytes == 0, "an ended session owes bytes");
        return;
    }
    // What is to be spliced waits until all that was before it is gone.
    let waits_to_be_spliced = carrier.is_spliced && other.is_sending;
    let is_read = carrier.is_paused || carrier.receiving != Receiving::Unarmed || waits_to_be_spliced;
    assert!(is_read, "connection {id} is not read, and nobody will change that");
    let is_looked_at = !carrier.receiving.is_unread() || carrier.watch != Watch::Off;
    assert!(is_looked_at, "connection {id} is not read, and nobody would hear of a reset");
    let is_sent = carrier.queued_bytes == 0 || carrier.is_sending;
    assert!(is_sent, "{} bytes for connection {id} wait, and nobody sends them", carrier.queued_bytes);
    assert!(carrier.buffers.is_empty() || carrier.is_sending || !carrier.is_discarding);
}

/// An end is passed on as soon as everything that was owed is sent, and nobody is held back without need.
fn check_progress(world: &World, pair: &[Carrier]) {
    if pair[0].is_over {
        return;
    }
    let connection = |index: usize| &world.connections[pair[index].connection];
    let has_ended = |index: usize| connection(index).is_end_told;
    let is_sent = |index: usize| pair[index].queued_bytes == 0;
    let (number, both) = (pair[0].connection / 2, [0, 1]);
    assert!(
        !both.iter().all(|index| has_ended(*index) && is_sent(*index)),
        "both legs of session {number} have ended, nothing is owed, and it goes on"
    );
    for (index, other) in [(0, 1), (1, 0)] {
        let (target, source) = (connection(index), &connection(other).script);
        if !is_sent(index) || pair[index].is_discarding {
            continue;
        }
        let id = pair[index].connection;
        let is_close_passed =
            source.close_end().is_some_and(|end| !source.is_opaque && target.taken.len() >= end);
        let is_told = target.is_shut || target.farewell_at.is_some() || is_close_passed;
        assert!(!has_ended(other) || is_told, "connection {id} is not told that the other leg ended");
        assert!(!pair[other].is_paused, "connection {id} is owed nothing, and the other leg is not read");
    }
}

/// A session of which a leg had ended, and nothing else had happened, was not over before the other one had ended too, or
/// nothing had moved for as long as it may.
fn check_half_closed(world: &World, number: usize) {
    let (session, now) = (&world.sessions[number], world.now);
    let pair = [number * 2, number * 2 + 1].map(|id| &world.connections[id]);
    let is_ended_otherwise = |connection: &Connection| {
        connection.is_broken
            || connection.failed_at.is_some()
            || connection.resets_on_close
            || connection.farewell_at.is_some()
            || (!connection.script.is_opaque && connection.script.stop_within(connection.read).is_some())
            || connection.wrapped.as_ref().is_some_and(|wrapped| wrapped.is_broken() || wrapped.is_given_up)
    };
    let life_until = session.limits.longest_life_ms.map(|life_ms| session.opened_at.unwrap_or(0) + life_ms);
    let by_ringgate = [life_until, world.cuts_at.map(|_| 0), world.revoked_by.map(|_| 0)];
    // An idle session that is never at a boundary is told nothing that could be seen.
    let may_be_idle = session.limits.idle_timeout_ms < 60_000;
    let is_by_ringgate = by_ringgate.into_iter().flatten().any(|at| at <= now) || may_be_idle;
    let Some(half_closed_at) = session.half_closed_at else { return };
    if is_by_ringgate || world.broken.contains(&number) || pair.into_iter().any(is_ended_otherwise) {
        return;
    }
    let have_both_ended = pair.iter().all(|connection| {
        // Under TLS it is said before the connection's own end.
        connection.is_end_told || connection.wrapped.as_ref().is_some_and(|wrapped| wrapped.has_closed)
    });
    assert!(
        have_both_ended || now >= session.active_at.max(half_closed_at) + session.limits.linger_ms,
        "session {number} was half closed at {half_closed_at}, had bytes at {}, and is over at {now}: {:?}",
        session.active_at,
        session.limits
    );
}

/// Whoever takes long is cancelled, until it holds no buffer and, when its session is over, is no more.
fn check_late_sends(ring: &mut SimRing, carriers: &[Carrier]) {
    let now = ring.world.borrow().now;
    for carrier in carriers {
        if let Some(operation) = ring.in_flight.get_mut(&carrier.send_token) {
            let is_held = !carrier.buffers.is_empty();
            let since = is_held.then(|| operation.holds_buffers_since.unwrap_or(now));
            operation.holds_buffers_since = since;
            let is_late = since.is_some_and(|since| now >= since + SLOW_SEND_MS);
            let is_cancelled = operation.cancels > 0;
            let id = carrier.connection;
            assert!(
                is_cancelled || !is_late,
                "a send of connection {id} has held {} buffers since {since:?}, now {now}, and is not taken back",
                carrier.buffers.len()
            );
            assert!(
                is_cancelled || !carrier.is_over,
                "the session of {id} is over, and its send is not cancelled"
            );
        }
        if let Some(InFlight { cancels: 0, kind: Kind::Receive { .. } | Kind::AwaitBytes, .. }) =
            ring.in_flight.get(&carrier.receive_token)
        {
            let id = carrier.connection;
            assert!(
                !carrier.is_over,
                "the session of connection {id} is over, and its receive is not cancelled"
            );
        }
        if ring.in_flight.get(&carrier.watch_token).is_some_and(|operation| operation.cancels == 0) {
            let (id, is_read) = (carrier.connection, carrier.receiving == Receiving::Armed);
            assert!(!carrier.is_over && !is_read, "connection {id} is polled for errors for nothing");
        }
    }
}

/// A place is taken until both sockets are closed, and not longer.
fn check_places(world: &World) {
    let is_open = |number: usize| !world.connections[number * 2].is_closed;
    let revocable = world.sessions.iter().enumerate().filter(|(_, session)| session.is_revocable);
    let open = revocable.filter(|(number, _)| is_open(*number)).count();
    assert_eq!(world.api.taken() as usize, open, "places of the api that may be revoked");
    for (number, session) in world.sessions.iter().enumerate() {
        let closed = [0, 1].map(|leg| world.connections[number * 2 + leg].is_closed);
        assert_eq!(closed[0], closed[1], "one socket of session {number} is closed");
        let taken = session.places.taken();
        assert_eq!(
            taken,
            u32::from(!closed[0]),
            "places of session {number}, whose sockets are closed: {}",
            closed[0]
        );
    }
}

/// A session whose endpoint takes nothing any more does not live on.
fn check_failed(world: &World) {
    for (id, connection) in world.connections.iter().enumerate() {
        let session = &world.sessions[id / 2];
        let is_over = session.is_over || connection.is_closed;
        if let Some(failed_at) = connection.failed_at.filter(|_| !is_over) {
            let until = failed_at + session.limits.linger_ms + OVERTIME_MS;
            assert!(
                world.now <= until,
                "an operation on connection {id} failed at {failed_at}, and its session goes on"
            );
        }
    }
}

/// A connection that breaks is noticed, whether its leg is read or not.
fn check_broken(world: &World) {
    for (id, connection) in world.connections.iter().enumerate() {
        let session = &world.sessions[id / 2];
        let is_over = session.is_over || connection.is_closed || connection.is_held;
        let Some((broke_at, _)) = connection.broke.filter(|_| !is_over && !connection.is_end_told) else {
            continue;
        };
        let Some(opened_at) = session.opened_at else { continue };
        let until = broke_at.max(opened_at) + 3 * UNREAD_PATIENCE_MS + OVERTIME_MS;
        assert!(world.now <= until, "connection {id} broke at {broke_at}, and nobody has noticed");
    }
}

/// No session lives longer than its limits, or the drain, allow.
fn check_limits(world: &World) {
    for (number, session) in world.sessions.iter().enumerate() {
        let is_over = session.is_over || world.connections[number * 2].is_closed;
        let Some(opened_at) = session.opened_at.filter(|_| !is_over) else { continue };
        let limits = &session.limits;
        let legs = [&world.connections[number * 2], &world.connections[number * 2 + 1]];
        let signs_at = legs.map(|leg| leg.heard_at.max(leg.acknowledged_at));
        let life_ends_at = limits.longest_life_ms.map(|life_ms| opened_at + life_ms);
        // A half-closed session goes on for as long as bytes move, whoever takes them. A leg that ends while ringgate closes the
        // session changes nothing: its time counts from before.
        let is_half_closed = session.half_closed_at.is_some();
        let idle_at = signs_at[0].max(signs_at[1]) + limits.idle_timeout_ms;
        let may_be_closing = world.cuts_at.is_some()
            || session.half_closed_at.is_some_and(|at| at >= idle_at)
            || world.revoked_by.is_some_and(|_| session.is_revocable)
            || life_ends_at.is_some_and(|ends_at| session.half_closed_at.is_some_and(|at| at >= ends_at));
        let sign_at = signs_at[0].max(signs_at[1]);
        let silent_at = match session.half_closed_at {
            None => sign_at + limits.idle_timeout_ms,
            Some(_) if may_be_closing => sign_at.max(session.active_at) + limits.idle_timeout_ms,
            // What endpoints acknowledge kept it alive until then, and does no longer.
            Some(half_closed_at) => half_closed_at.max(session.active_at + limits.idle_timeout_ms),
        };
        let idle_until = silent_at + limits.linger_ms;
        // Bytes that stand unacknowledged are idle too, whatever the other leg does; a look tells since when, about.
        let stands_until = legs.iter().zip(signs_at).filter_map(|(leg, sign_at)| {
            let since = leg.stands_since.filter(|_| !is_half_closed)?.max(sign_at);
            Some(since + limits.idle_timeout_ms + limits.idle_timeout_ms / IDLE_LOOKS + limits.linger_ms)
        });
        let life_until = life_ends_at.map(|ends_at| ends_at + limits.linger_ms);
        let cut_at = world.cuts_at.map(|at| at.max(opened_at));
        let revoked_by = world.revoked_by.filter(|_| session.is_revocable);
        let revoked_until = revoked_by.map(|by| by.max(opened_at) + limits.linger_ms);
        for (limit, until) in [
            ("idle", Some(idle_until)),
            ("what stands unacknowledged", stands_until.min()),
            ("longest life", life_until),
            ("drain", cut_at),
            ("its revocation", revoked_until),
        ] {
            let is_late = until.is_some_and(|until| world.now > until + OVERTIME_MS);
            assert!(
                !is_late,
                "session {number} lives on, beyond {limit}: {until:?}, now {}; {session:?}",
                world.now
            );
        }
    }
}
