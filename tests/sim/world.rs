//! All that is outside the relay: time, connections, sessions as the test knows them, and what they promise.

use super::connection::{Connection, leg_of};
use super::trace::Trace;
use fastrand::Rng;
use ringgate::admission::places::{Holder, HolderKind, Places};
use ringgate::catalog::Name;
use ringgate::observe::EntityLabel;
use ringgate::session::{Leg, SessionLimits};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;

/// A deliberate fault, to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A received buffer is never given back.
    LosesABuffer,
    /// Two pieces of a send change places.
    SwapsTwoPieces,
    /// A piece is sent twice.
    SendsTwice,
    /// A place is taken and not given back.
    ForgetsAPermit,
    /// A session is counted twice when it ends.
    CountsAnEndTwice,
    /// A send says that it sent a byte more than it did.
    MiscountsASend,
    /// A send's memory is overwritten while it is in flight.
    OverwritesASend,
    /// Two bytes change places in a pipe.
    MixesAPipe,
    /// The last completion of a receive is lost.
    LosesACompletion,
    /// No leg is ever read behind the others, whatever it had.
    RationsNobody,
}

/// A session as the test knows it.
#[derive(Debug)]
pub struct Known {
    /// Its own place: taken until the relay gives it back.
    pub places: Arc<Places>,
    pub limits: SessionLimits,
    pub mask: [u8; 4],
    /// When the relay had taken it over.
    pub opened_at: Option<u64>,
    /// When the relay was last told of bytes, either way.
    pub active_at: u64,
    /// When it was told that one of the legs had ended what it sends.
    pub half_closed_at: Option<u64>,
    /// Bytes moved for longer than the linger time after that.
    pub went_on: bool,
    /// It is of the API that may be revoked.
    pub is_revocable: bool,
    /// It has ended, as the relay says.
    pub is_over: bool,
}

/// Everything but the relay and its ring.
#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub now: u64,
    pub rng: Rng,
    pub fault: Option<Fault>,
    pub connections: Vec<Connection>,
    pub sessions: Vec<Known>,
    pub trace: Trace,
    /// The places of the API that revocable sessions are of, besides their own.
    pub api: Arc<Places>,
    /// The label of all sessions.
    pub label: Arc<EntityLabel>,
    /// That API was revoked, and the relay has looked at every session by this time.
    pub revoked_by: Option<u64>,
    /// The relay was told to drain, and cuts what is left at this time.
    pub cuts_at: Option<u64>,
    /// When the system gives up a connection whose peer is silent, or has no room.
    pub dead_peer_timeout_ms: Option<u64>,
    /// Times that the relay heard of a break by polling a leg that it did not read.
    pub hidden_breaks: u64,
    /// Sessions of which the relay was told what cannot be.
    pub broken: BTreeSet<usize>,
    /// Those of them that were not over by then: they end as a bug.
    pub bugs: usize,
    /// How often that is, in permille of turns.
    pub forges: u16,
}

/// An API that ends its sessions when it is revoked.
fn revocable_api() -> Arc<Places> {
    let name = Name::parse("revocable").expect("a name");
    let api = Places::of(Holder { kind: HolderKind::Api, name }, Places::NO_LIMIT);
    api.set_ends_revoked(true);
    api
}

/// The world, in several hands.
pub type Shared = Rc<RefCell<World>>;

impl World {
    /// The relay is told that a leg has ended what it sends, or broke.
    pub fn tell_end(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        connection.is_end_told = true;
        // Under TLS its close_notify said so, which was the last that the relay had of it.
        let is_closed = connection.wrapped.as_ref().is_some_and(|wrapped| wrapped.has_closed);
        let since = if is_closed { connection.heard_at } else { self.now };
        self.sessions[id / 2].half_closed_at.get_or_insert(since);
    }

    /// The relay is told of bytes that moved from or to a leg.
    pub fn move_bytes(&mut self, id: usize) {
        let session = &mut self.sessions[id / 2];
        session.active_at = self.now;
        session.went_on |= session.half_closed_at.is_some_and(|at| self.now > at + session.limits.linger_ms);
    }

    pub fn new(seed: u64, rng: Rng, fault: Option<Fault>) -> Shared {
        Rc::new(RefCell::new(Self {
            seed,
            now: 0,
            rng,
            fault,
            connections: Vec::new(),
            sessions: Vec::new(),
            trace: Trace::new(),
            api: revocable_api(),
            label: EntityLabel::new(HolderKind::Api, Name::parse("all").expect("a name"), 1).into(),
            revoked_by: None,
            cuts_at: None,
            dead_peer_timeout_ms: None,
            hidden_breaks: 0,
            broken: BTreeSet::new(),
            bugs: 0,
            forges: 0,
        }))
    }

    /// The relay is about to be told what cannot be of a session.
    pub fn break_session(&mut self, session: usize, is_over: bool) {
        if self.broken.insert(session) && !is_over {
            self.bugs += 1;
        }
    }

    /// Takes the deliberate fault if it is this one: each is made once.
    pub fn takes_fault(&mut self, fault: Fault) -> bool {
        let is_due = self.fault == Some(fault);
        if is_due {
            self.fault = None;
            self.trace.note(self.now, "THE DELIBERATE FAULT", 0, fault as i64);
        }
        is_due
    }

    /// Lets endpoints do what is due, and the system give up what it waited for; gives when the next one is.
    pub fn act_all(&mut self) -> u64 {
        let timeout_ms = self.dead_peer_timeout_ms;
        for id in 0..self.connections.len() {
            if self.connections[id].endpoint.next_at() <= self.now {
                self.act(id);
            }
            if self.connections[id].given_up_at(timeout_ms).is_some_and(|at| at <= self.now) {
                self.trace.note(self.now, "is given up", id, 0);
                let error = if self.rng.bool() { libc::ETIMEDOUT } else { libc::EHOSTUNREACH };
                self.connections[id].break_with(error, self.now);
            }
        }
        let next_of = |connection: &Connection| {
            connection.given_up_at(timeout_ms).unwrap_or(u64::MAX).min(connection.endpoint.next_at())
        };
        self.connections.iter().map(next_of).min().unwrap_or(u64::MAX)
    }

    /// The system takes bytes of the relay's for an endpoint: they must be the other one's, or a Close frame of ours.
    pub fn take(&mut self, id: usize, bytes: &[u8]) {
        match &mut self.connections[id].wrapped {
            Some(wrapped) => {
                let said = wrapped.read(bytes);
                self.take_said(id, &said);
            }
            None => self.take_said(id, bytes),
        }
        let now = self.now;
        self.connections[id].acknowledge(bytes.len(), 0, now);
    }

    fn take_said(&mut self, id: usize, bytes: &[u8]) {
        let (one, other) = self.connections.split_at_mut(id | 1);
        let (connection, source) = match id & 1 {
            0 => (&mut one[id], &other[0]),
            _ => (&mut other[0], &one[id ^ 1]),
        };
        let before = connection.taken.len();
        connection.taken.extend_from_slice(bytes);
        connection.endpoint.wake_reader(self.now + self.rng.u64(..=connection.endpoint.habits.read_pause_ms));
        if connection.farewell_at.is_none() {
            let passable = &source.script.bytes[..source.script.passable(source.read)];
            let expected = passable.get(before..).unwrap_or_default();
            let common = common_prefix(expected, bytes);
            if common < bytes.len() {
                connection.farewell_at = Some(source.script.boundary_before(before + common));
            }
        }
        if let Some(at) = connection.farewell_at {
            let fault = if source.script.is_opaque {
                Some("something of ours in an opaque stream")
            } else {
                fault_of_farewell(&connection.taken[at..], leg_of(id), self.sessions[id / 2].mask)
            };
            if let Some(fault) = fault {
                let came = source.read;
                let taken = connection.taken.len();
                let last = connection.taken[at..].iter().take(40).collect::<Vec<_>>();
                panic!(
                    "connection {id} got what the other leg did not send ({fault}): byte {at} of {taken}, of {came} that \
                     came: {last:02x?}"
                );
            }
        }
    }

    /// The relay ends what it sends: all that it owed must have been sent.
    pub fn shut(&mut self, id: usize) {
        self.trace.note(self.now, "the relay shuts down", id, 0);
        let (connection, source) = (&self.connections[id], &self.connections[id ^ 1]);
        assert!(!connection.is_shut, "connection {id} is shut down twice");
        assert!(
            !connection.is_closed && !connection.resets_on_close,
            "connection {id} is shut down when closed"
        );
        // Bytes of a leg that was given up are dropped, and so are bytes for one.
        let is_broken_off = |connection: &Connection| {
            connection.wrapped.as_ref().is_some_and(|wrapped| wrapped.is_broken() || wrapped.is_given_up)
        };
        let is_given_up = source.is_broken
            || source.failed_at.is_some()
            || source.resets_on_close
            || is_broken_off(source)
            || is_broken_off(connection)
            || self.broken.contains(&(id / 2));
        if !is_given_up && connection.farewell_at.is_none() && !source.script.is_opaque {
            let owed = source.script.passable(source.read);
            let sent = connection.taken.len();
            assert!(
                sent == owed || connection.is_broken,
                "connection {id} got {sent} bytes of {owed}, then an end"
            );
        }
        self.check_said_end(id);
        let connection = &mut self.connections[id];
        connection.is_shut = true;
        connection.endpoint.wake_reader(self.now + 1);
    }

    /// A connection under TLS that is shut down was told its end (close_notify) if what it was sent is whole, and only then:
    /// a stream that was cut must not pass for a whole one (RFC 8446 §6.1).
    fn check_said_end(&self, id: usize) {
        let (connection, source) = (&self.connections[id], &self.connections[id ^ 1]);
        let Some(wrapped) = connection.wrapped.as_ref().filter(|_| !connection.is_broken) else { return };
        let is_cut = match &source.wrapped {
            Some(of_source) => {
                // A broken connection may read as ended, where a send took its error.
                let is_truncated = source.is_end_told && source.is_truncated();
                is_truncated || of_source.is_broken() || of_source.is_given_up
            }
            None => false,
        };
        assert!(wrapped.is_told_end || is_cut, "connection {id} is shut down without a close_notify");
        // A Close tells it more; ringgate's own end, or a reset, comes before what the other endpoint does.
        let is_ended_otherwise = connection.farewell_at.is_some()
            || source.script.is_opaque
            || source.script.stop_within(source.read).is_some()
            || source.is_broken
            || source.resets_on_close
            || source.failed_at.is_some();
        assert!(
            !wrapped.is_told_end || wrapped.is_given_up || !is_cut || is_ended_otherwise,
            "connection {id} is told a whole stream, of which the end was cut"
        );
    }

    /// The relay closes a connection.
    fn close(&mut self, id: usize) {
        self.trace.note(self.now, "the relay closes", id, 0);
        let connection = &mut self.connections[id];
        assert!(!connection.is_closed, "connection {id} is closed twice");
        connection.is_closed = true;
        assert_eq!(connection.in_flight, 0, "connection {id} is closed with operations in flight");
        let places = &self.sessions[id / 2].places;
        assert!(
            places.taken() >= 1,
            "the place of session {} was given back before its sockets were closed",
            id / 2
        );
    }

    /// Returns the report of a failure.
    pub fn report(&self) -> String {
        format!(
            "seed {}: RINGGATE_SIM_SEED={} RINGGATE_SIM_FORGES={} cargo test --test sim replays -- --ignored --nocapture\n{}",
            self.seed, self.seed, self.forges, self.trace
        )
    }
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    let most = left.len().min(right.len());
    if left[..most] == right[..most] {
        return most;
    }
    left.iter().zip(right).position(|(left, right)| left != right).unwrap_or(most)
}

/// Returns the fault of `bytes`, which should be a Close frame of ringgate's own or the start of one, and nothing more.
fn fault_of_farewell(bytes: &[u8], to: Leg, mask: [u8; 4]) -> Option<&'static str> {
    let is_masked = to == Leg::Upstream;
    let [first, second, rest @ ..] = bytes else {
        return (bytes != [0x88]).then_some("no Close frame");
    };
    if *first != 0x88 || (second & 0x80 != 0) != is_masked {
        return Some("no Close frame of ours");
    }
    let mut payload = rest.to_vec();
    if is_masked {
        let key_bytes = payload.len().min(4);
        if payload[..key_bytes] != mask[..key_bytes] {
            return Some("not the session's mask");
        }
        payload.drain(..key_bytes);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
    if payload.len() > usize::from(second & 0x7f) {
        return Some("something behind the Close frame of ours");
    }
    match payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]])) {
        None | Some(1001 | 1002 | 1008 | 1009 | 1011) => None,
        Some(_) => Some("not a code of ours"),
    }
}

/// A connected socket in the relay's hands: dropping it closes it.
#[derive(Debug)]
pub struct SimSocket {
    pub id: usize,
    world: Shared,
}

impl SimSocket {
    pub fn new(id: usize, world: &Shared) -> Self {
        Self { id, world: Rc::clone(world) }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        // Not while a failure unwinds.
        let Ok(mut world) = self.world.try_borrow_mut() else { return };
        if std::thread::panicking() {
            return;
        }
        if world.connections[self.id].in_flight > 0 {
            // The queue that is in flight aborts the process: before that, this has to be said, behind the test harness's
            // back.
            let _ = writeln!(
                std::io::stderr(),
                "a socket is closed with an operation in flight, {}",
                world.report()
            );
        }
        world.close(self.id);
    }
}

impl World {
    /// Adds a session's two connections; gives the session's number.
    pub fn add_session(&mut self, connections: [Connection; 2], known: Known) -> usize {
        self.connections.extend(connections);
        self.sessions.push(known);
        self.sessions.len() - 1
    }
}
