//! The loop of a relay: turn after turn, each of which handles everything that is due.
//!
//! Not here: handling a completion (`completions`), and carrying out a session's effects (`effects`).

use super::broken::BugReporter;
use super::carrier::{Carrier, Fate, SendEvent, Sending, Way};
use super::drain::Drain;
use super::effects::PayloadOrigin;
use super::engine::Engine;
use super::handle::SessionHandle;
use super::lending::is_to_lend;
use super::mailbox::Mailbox;
use super::session_slot::{SessionName, SessionSlot};
use super::slab::Slab;
use super::walk::Walk;
use crate::limits::PROGRESS_INTERVAL_MS;
use crate::limits::{
    BACKLOG_MIB_MAX_DEFAULT, DEAD_PEER_TIMEOUT_S_DEFAULT, LINE_KIB_PER_TURN, SPLICE_KIB_MIN_DEFAULT,
    TURN_SHARE_KIB,
};
use crate::observe::WorkerCounters;
use crate::observe::counters::TURN_BOUNDS;
use crate::observe::heartbeats::{HEARTBEAT_MS, WorkerThread};
use crate::ring::{Chunk, Completion, Operation, Ring, RingError, Token};
use crate::session::{BrokenInvariant, Leg};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Longest wait of one turn, in milliseconds, when nothing is due: an idle relay says that often that it is not stuck.
const TURN_WAIT_MS_MAX: u64 = HEARTBEAT_MS;

/// The limits of a relay.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// Bytes of heap for readers that have fallen behind.
    pub backlog_bytes_max: usize,
    /// Smallest send, in bytes, that is tried without copying it into the kernel. `None`: none is.
    pub zero_copy_bytes_min: Option<usize>,
    /// Smallest frame payload, in bytes, whose rest may be spliced. `None`: none is.
    pub splice_bytes_min: Option<u64>,
    /// Milliseconds after which the kernel gives up a connection whose peer is silent or takes nothing, as the sockets were
    /// told. `None`: they were told of none.
    pub dead_peer_timeout_ms: Option<u64>,
    /// Cost of a leg in one turn above which it is read after all others, in KiB of bulk that take as long.
    pub turn_share_kib: u32,
    /// Cost of all these legs together in one turn, in the same unit.
    pub line_kib_per_turn: u32,
    /// Milliseconds between two reports of an open session that is to be reported.
    pub progress_interval_ms: u64,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            backlog_bytes_max: (BACKLOG_MIB_MAX_DEFAULT as usize) << 20,
            zero_copy_bytes_min: None,
            splice_bytes_min: Some(SPLICE_KIB_MIN_DEFAULT << 10),
            dead_peer_timeout_ms: Some(DEAD_PEER_TIMEOUT_S_DEFAULT * 1_000),
            turn_share_kib: TURN_SHARE_KIB,
            line_kib_per_turn: LINE_KIB_PER_TURN,
            progress_interval_ms: PROGRESS_INTERVAL_MS,
        }
    }
}

/// A relay: its sessions, their carriers, its ring, and what is due.
///
/// The carriers stand before the ring: they are dropped first, and a send that is still in flight then aborts the process
/// before its buffers are gone.
pub struct Relay<R: Ring> {
    pub(super) sessions: Slab<SessionSlot>,
    pub(super) carriers: Slab<Carrier<R::Socket>>,
    pub(super) engine: Engine<R>,
    pub(super) mailbox: Arc<Mailbox<R::Socket>>,
    /// Memory of ended carriers that the kernel still reads, by the send that lent it.
    pub(super) left_behind: HashMap<Token, Vec<Chunk>>,
    completions: Vec<Completion>,
    due: Vec<u32>,
    pub(super) drain: Option<Drain>,
    pub(super) revocation: Option<Walk>,
    pub(super) no_more_come: bool,
}

impl<R: Ring> Relay<R> {
    /// A relay without sessions.
    pub fn new(
        mut ring: R,
        mailbox: Arc<Mailbox<R::Socket>>,
        counters: Arc<WorkerCounters>,
        limits: RelayLimits,
    ) -> Self {
        if limits.splice_bytes_min.is_some() {
            ring.open_pipes();
        }
        counters.buffers_limit.store(ring.pool().buffers() as u64, Ordering::Relaxed);
        counters.backlog_bytes_limit.store(limits.backlog_bytes_max as u64, Ordering::Relaxed);
        Self {
            sessions: Slab::default(),
            carriers: Slab::default(),
            engine: Engine::new(ring, counters, limits),
            mailbox,
            left_behind: HashMap::new(),
            completions: Vec::new(),
            due: Vec::new(),
            drain: None,
            revocation: None,
            no_more_come: false,
        }
    }

    /// Leaves a report of each session that is ended for a broken invariant there.
    pub fn reporting_to(mut self, reporter: BugReporter) -> Self {
        self.engine.bug_reporter = Some(reporter);
        self
    }

    /// Carries sessions until no more come and none is left.
    ///
    /// # Errors
    /// The ring failed; all sessions are lost. Nothing of the relay is freed then: the kernel may still be at work with it, and
    /// the process is to end.
    pub fn run(self) -> Result<(), RingError> {
        let mut relay = ManuallyDrop::new(self);
        while !relay.is_done() {
            relay.turn()?;
        }
        drop(ManuallyDrop::into_inner(relay));
        Ok(())
    }

    /// Whether no session is left and none can come.
    pub fn is_done(&self) -> bool {
        self.no_more_come && self.sessions.is_empty()
    }

    /// The ring, for a simulation.
    pub fn ring_mut(&mut self) -> &mut R {
        &mut self.engine.ring
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// The ring failed.
    pub fn turn(&mut self) -> Result<(), RingError> {
        let mut completions = std::mem::take(&mut self.completions);
        let wait_ms = self.wait_ms();
        self.engine.ring.turn(wait_ms, &mut completions)?;
        self.engine.now = self.engine.ring.now();
        self.engine.counters.heartbeats.beat(WorkerThread::Relay, self.engine.now.as_millis());
        self.engine.counters.turns.count(completions.len() as u64, &TURN_BOUNDS);
        self.engine.line.begin_turn();
        for completion in completions.drain(..) {
            self.on_completion(completion);
        }
        self.completions = completions;
        self.expire();
        self.step_drain();
        self.step_revocation();
        self.step_reporting();
        self.take_back_late_sends();
        self.start_sends();
        self.read_greedy();
        self.read_parked();
        self.end_largest_holders();
        self.watch_unread();
        // What greedy legs sent, and what is spliced, is to be sent at once.
        self.start_sends();
        self.step_key_rest();
        self.publish_gauges();
        Ok(())
    }

    fn publish_gauges(&mut self) {
        let Engine { ring, counters, .. } = &mut self.engine;
        counters.slots.store(self.sessions.len() as u64, Ordering::Relaxed);
        counters.buffers.store(ring.pool().lent_out() as u64, Ordering::Relaxed);
        counters.backlog_bytes.store(ring.pool().backlog_bytes() as u64, Ordering::Relaxed);
    }

    fn wait_ms(&mut self) -> u64 {
        let engine = &mut self.engine;
        if engine.line.has_greedy() && !engine.keeps_buffers_back() {
            return 0;
        }
        if engine.line.has_parked() && engine.has_free_buffer() {
            return 0;
        }
        let drain_at = self.drain.as_ref().map(Drain::next_at);
        let revoke_at = self.revocation.as_ref().and_then(Walk::next_at);
        let patience_ms = engine.patience_ms();
        let late_at = engine.sends.next_late(patience_ms);
        let unread_at = engine.unread.next_due();
        let (report_at, rest_at) = (engine.reporting.next_at(), engine.key_rest.next_at());
        let next = [engine.wheel.next_expiry(), drain_at, revoke_at, report_at, late_at, unread_at, rest_at]
            .into_iter()
            .flatten()
            .min();
        next.map_or(TURN_WAIT_MS_MAX, |next| next.millis_since(engine.now).clamp(1, TURN_WAIT_MS_MAX))
    }

    /// Starts one send for every carrier that got something to send in this turn: all of it goes in one.
    fn start_sends(&mut self) {
        let mut at = 0;
        // By place: what a socket takes at once may make more ready behind.
        while let Some(name) = self.engine.ready.get(at).copied() {
            at += 1;
            // A session that ended in this turn may be gone.
            self.with_leg(name, |handle, leg| handle.start_send(leg));
        }
        self.engine.ready.clear();
    }

    /// Lets sessions whose time has come do what is due.
    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.engine.wheel.expire(self.engine.now, &mut due);
        for index in due.drain(..) {
            let name = self.sessions.name_at(index);
            let name = name.expect("a session's timer is cancelled when its slot is freed");
            self.with_session(SessionName(name), |handle| handle.on_deadline());
        }
        self.due = due;
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    fn on_deadline(&mut self) {
        self.look_at_acknowledged();
        self.slot.session.handle_deadline(self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
        if !self.slot.session.is_over() {
            self.engine.wheel.schedule(self.name.0.index, self.slot.session.next_deadline());
        }
    }

    /// Sends what waits, if it is still wanted.
    fn start_send(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.sending != Sending::Ready {
            // It was discarded meanwhile.
            return;
        }
        if carrier.pipe.is_some() {
            return self.send_pipe(leg);
        }
        let least = self.engine.limits.zero_copy_bytes_min;
        if least.is_some_and(|least| is_to_lend(carrier, least, self.engine.ring.pool())) {
            return self.lend(leg);
        }
        if carrier.queue.is_empty() {
            return self.break_off(BrokenInvariant::OutOfTurn { side: "send", leg });
        }
        let token = carrier.name.token(Operation::Send);
        match self.engine.ring.send(&carrier.socket, &mut carrier.queue, token) {
            Some(result) => self.sent_at_once(leg, result),
            None => self.began_send(leg, Way::Copy),
        }
    }

    /// An operation of a send is submitted: its last completion is awaited.
    pub(super) fn began_send(&mut self, leg: Leg, way: Way) {
        let carrier = &mut *self.carriers[leg as usize];
        carrier.begin(Operation::Send);
        let began = carrier.send_event(SendEvent::Began(way));
        self.engine.watch_send(carrier);
        self.check(began);
    }

    /// A socket took at once what it was given, or has failed.
    pub(super) fn sent_at_once(&mut self, leg: Leg, result: i32) {
        let sent = self.carriers[leg as usize].send_event(SendEvent::SentAtOnce);
        self.check(sent);
        self.is_sent(leg, Fate::Wanted, result);
    }
}
