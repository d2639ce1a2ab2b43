//! The loop, and what is done for each completion and each effect.

use super::broken::BugReporter;
use super::carrier::{Carrier, Reading, Receive, ZeroCopy};
use super::drain::Drain;
use super::lending::is_to_lend;
use super::liveness::Unread;
use super::mailbox::Mailbox;
use super::revocation::Revocation;
use super::session_table::SessionTable;
use super::slow_readers::{CarrierName, Holders, SendWatch};
use super::wheel::Wheel;
use crate::admission::permit::Permit;
use crate::limits::{BACKLOG_MIB_MAX_DEFAULT, DEAD_PEER_TIMEOUT_S_DEFAULT, SPLICE_KIB_MIN_DEFAULT};
use crate::observe::WorkerCounters;
use crate::observe::counters::add;
use crate::ring::{Chunk, Completion, Operation, Ring, RingError, Token};
use crate::session::{BrokenInvariant, Cause, Effect, Effects, Gone, Leg, Moment, Session, Termination};
use crate::tls::record::Alert;
use bytes::Bytes;
use core::ops::Range;
use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Longest wait of one turn, in milliseconds, when nothing is due.
const TURN_WAIT_MS_MAX: u64 = 60_000;

/// What a relay takes on.
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
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            backlog_bytes_max: (BACKLOG_MIB_MAX_DEFAULT as usize) << 20,
            zero_copy_bytes_min: None,
            splice_bytes_min: Some(SPLICE_KIB_MIN_DEFAULT << 10),
            dead_peer_timeout_ms: Some(DEAD_PEER_TIMEOUT_S_DEFAULT * 1_000),
        }
    }
}

/// One session in its slot.
pub(super) struct SessionSlot<S> {
    pub(super) session: Session,
    pub(super) carriers: [Carrier<S>; 2],
    /// Operations whose last completion is awaited. The slot is freed when it is 0 and the session is over.
    pub(super) in_flight: u8,
    /// Those of them that are cancels.
    pub(super) cancels: u8,
    /// Its end is counted, and what it has in flight is cancelled.
    pub(super) has_ended: bool,
    /// One of its invariants does not hold.
    pub(super) is_broken_off: bool,
    /// Given back with the slot, when both descriptors are closed.
    pub(super) permit: Permit,
}

/// Where the bytes of an effect stand.
pub(super) enum PayloadOrigin {
    Nothing,
    Chunk(Chunk),
    /// Bytes that came before the session.
    Early(Bytes),
    /// Bytes on the heap.
    Heap(Bytes),
}

impl PayloadOrigin {
    /// Checks that `range` of it can go to a leg.
    ///
    /// # Errors
    /// It has not so many bytes, or none at all.
    pub(super) fn check(&self, to: Leg, range: &Range<usize>) -> Result<(), BrokenInvariant> {
        let came = match self {
            Self::Nothing => return Err(BrokenInvariant::ForwardsNothing { to }),
            Self::Chunk(chunk) => chunk.len(),
            Self::Early(bytes) | Self::Heap(bytes) => bytes.len(),
        };
        if range.end > came {
            return Err(BrokenInvariant::ForwardsMoreThanCame { to, forwarded: range.end, came });
        }
        Ok(())
    }
}

/// A relay: its ring, its sessions, and what is due.
///
/// The sessions stand before the ring: they are dropped first, and a send that is still in flight then aborts the process
/// before its buffers are gone.
pub struct Relay<R: Ring> {
    pub(super) sessions: SessionTable<SessionSlot<R::Socket>>,
    pub(super) ring: R,
    pub(super) mailbox: Arc<Mailbox<R::Socket>>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) wheel: Wheel,
    pub(super) now: Moment,
    /// Carriers whose next send starts at the end of this turn.
    pub(super) ready: Vec<(u32, Leg)>,
    /// Receives that wait for buffers, oldest first. An entry may be outdated: its carrier says so.
    parked: VecDeque<(u32, Leg)>,
    pub(super) limits: RelayLimits,
    /// Legs that were not read.
    pub(super) unread: Unread,
    /// Sends that hold received buffers.
    pub(super) sends: SendWatch,
    /// Carriers that may hold a backlog.
    pub(super) holders: Holders,
    /// What the kernel still reads of sessions that are gone, by the sends that lent it.
    pub(super) left_behind: HashMap<Token, Vec<Chunk>>,
    completions: Vec<Completion>,
    pub(super) effects: Effects,
    due: Vec<u32>,
    pub(super) drain: Option<Drain>,
    pub(super) revocation: Option<Revocation>,
    pub(super) no_more_come: bool,
    /// When records are looked at that may have nothing to do.
    pub(super) idle_ciphers_at: Option<Moment>,
    /// Legs whose keys are used up.
    pub(super) key_exhausted: Vec<(u32, Leg)>,
    /// Sessions whose invariants turned out to be broken in this turn.
    pub(super) broken_off: Vec<u32>,
    pub(super) bug_reporter: Option<BugReporter>,
}

impl<R: Ring> Relay<R> {
    /// A relay without sessions.
    pub fn new(
        mut ring: R,
        mailbox: Arc<Mailbox<R::Socket>>,
        counters: Arc<WorkerCounters>,
        limits: RelayLimits,
    ) -> Self {
        let now = ring.now();
        if limits.splice_bytes_min.is_some() {
            ring.open_pipes();
        }
        counters.buffers_limit.store(ring.pool().buffers() as u64, Ordering::Relaxed);
        counters.backlog_bytes_limit.store(limits.backlog_bytes_max as u64, Ordering::Relaxed);
        Self {
            ring,
            mailbox,
            counters,
            sessions: SessionTable::default(),
            wheel: Wheel::new(now),
            now,
            ready: Vec::new(),
            parked: VecDeque::new(),
            limits,
            unread: Unread::default(),
            sends: SendWatch::default(),
            holders: Holders::default(),
            left_behind: HashMap::new(),
            completions: Vec::new(),
            effects: Effects::new(),
            due: Vec::new(),
            drain: None,
            revocation: None,
            no_more_come: false,
            idle_ciphers_at: None,
            key_exhausted: Vec::new(),
            broken_off: Vec::new(),
            bug_reporter: None,
        }
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
        &mut self.ring
    }

    /// One turn of the loop.
    ///
    /// # Errors
    /// The ring failed.
    pub fn turn(&mut self) -> Result<(), RingError> {
        let mut completions = std::mem::take(&mut self.completions);
        let wait_ms = self.wait_ms();
        self.ring.turn(wait_ms, &mut completions)?;
        self.now = self.ring.now();
        for completion in completions.drain(..) {
            self.on_completion(completion);
        }
        self.completions = completions;
        self.expire();
        self.step_drain();
        self.step_revocation();
        self.take_back_late_sends();
        self.end_largest_holders();
        self.start_sends();
        self.rearm_parked();
        self.watch_unread();
        // What is spliced needs no buffer, and is to be sent at once.
        self.start_sends();
        self.free_idle_ciphers();
        self.free_broken_off();
        self.counters.slots.store(self.sessions.len() as u64, Ordering::Relaxed);
        self.counters.buffers.store(self.ring.pool().lent_out() as u64, Ordering::Relaxed);
        self.counters.backlog_bytes.store(self.ring.pool().backlog_bytes() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn wait_ms(&mut self) -> u64 {
        let pool = self.ring.pool();
        if !self.parked.is_empty() && pool.lent_out() < pool.buffers() {
            // Those that were armed again may have nothing to say: the next ones do not wait for them.
            return 1;
        }
        let drain_at = self.drain.as_ref().map(Drain::next_at);
        let revoke_at = self.revocation.as_ref().and_then(Revocation::next_at);
        let patience_ms = self.patience_ms();
        let late_at = self.sends.next_late(patience_ms);
        let unread_at = self.unread.next_due();
        let next = [self.wheel.next_expiry(), drain_at, revoke_at, late_at, unread_at, self.idle_ciphers_at]
            .into_iter()
            .flatten()
            .min();
        next.map_or(TURN_WAIT_MS_MAX, |next| next.millis_since(self.now).clamp(1, TURN_WAIT_MS_MAX))
    }

    pub(super) fn on_completion(&mut self, completion: Completion) {
        let token = completion.token;
        if token.operation() == Operation::Mailbox {
            return self.take_messages();
        }
        if let Some(given_back) = completion.given_back {
            return self.on_completion_given_back(token, given_back);
        }
        let index = token.slot();
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index).filter(|_| generation == token.generation()) else {
            // A slot is freed only after the last completion of each operation of its session. Where one comes after that,
            // sockets and memory were given away while the kernel was at work with them, and there is no session that could
            // end for it: the books of the ring are broken, and with them all that rests on them.
            panic!("a completion of an operation whose session is gone: {completion:?}");
        };
        if let Err(broken) = live.note_completion(token.operation(), token.leg(), completion.has_more) {
            return self.on_broken_completion(index, completion, broken);
        }
        match token.operation() {
            Operation::Receive => self.on_completion_receive(index, token.leg(), completion),
            Operation::Send => {
                self.on_completion_send(index, token.leg(), completion.result, completion.has_more);
            }
            Operation::CancelReceive => {
                self.on_completion_cancel_receive(index, token.leg(), completion.result);
            }
            Operation::CancelSend => self.on_completion_cancel_send(index, token.leg(), completion.result),
            Operation::Watch => self.on_completion_watch(index, token.leg(), completion.result),
            Operation::CancelWatch => self.on_completion_cancel_watch(index, token.leg(), completion.result),
            Operation::Mailbox => {}
        }
        self.free_if_over(index);
    }

    /// A cancel that found its operation is done with: that has a last completion of its own. One that found nothing came
    /// too late, or, rarely, at a moment when the kernel was about to retry the operation: then it is asked again.
    fn on_completion_cancel_receive(&mut self, index: u32, leg: Leg, result: i32) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        if result >= 0 || carrier.receive != Receive::Cancelling {
            return;
        }
        if live.session.is_over() || live.session.is_paused(leg) {
            self.cancel(index, Operation::Receive, leg);
        } else {
            carrier.receive = Receive::Armed;
        }
    }

    /// As for a receive. Each repeats its own kind only, so that there are never more cancels than operations.
    fn on_completion_cancel_send(&mut self, index: u32, leg: Leg, result: i32) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &live.carriers[leg as usize];
        if result < 0 && carrier.is_send_cancelled && carrier.queue.is_in_flight() {
            self.cancel(index, Operation::Send, leg);
        }
    }

    fn on_completion_receive(&mut self, index: u32, leg: Leg, completion: Completion) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        carrier.read_at = self.now;
        if !completion.has_more {
            carrier.receive = Receive::Unarmed;
        }
        if let Some(chunk) = completion.chunk {
            self.on_bytes(index, leg, chunk);
            self.choose_reading(index, leg);
            let Some(live) = self.sessions.get_mut(index) else { return };
            let carrier = &live.carriers[leg as usize];
            if carrier.receive == Receive::Armed && carrier.reading != Reading::Whole {
                self.cancel_receive(index, leg);
            }
        } else if completion.result == -libc::ENOBUFS {
            // The bytes stay in the socket; the receive is armed again when buffers are back.
            live.carriers[leg as usize].receive = Receive::Parked;
            self.parked.push_back((index, leg));
            add(&self.counters.parked, 1);
            self.note_unread(index, leg);
            return;
        } else if completion.result == 0 {
            live.carriers[leg as usize].receive = Receive::Over;
            let how = self.end_of_stream(index, leg);
            self.is_gone(index, leg, how);
        } else if completion.result > 0 && live.carriers[leg as usize].reading == Reading::Whole {
            // Only a wait for bytes completes without them, and only heads are waited for.
            return self.break_off(
                index,
                BrokenInvariant::ReceivedWithoutBytes { from: leg, bytes: completion.result },
            );
        } else if completion.result < 0 && !is_to_be_repeated(completion.result) {
            live.carriers[leg as usize].receive = Receive::Over;
            let how = self.how_it_broke(index, leg, -completion.result);
            self.is_gone(index, leg, how);
        }
        self.arm_if_wanted(index, leg);
    }

    fn is_gone(&mut self, index: u32, leg: Leg, how: Gone) {
        if let Some(live) = self.sessions.get_mut(index) {
            live.session.handle_gone(leg, how, self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
        }
    }

    fn on_completion_send(&mut self, index: u32, leg: Leg, mut result: i32, is_lent: bool) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        if std::mem::take(&mut carrier.awaits_room) {
            result = result.min(0);
        }
        let was_to_lend = std::mem::take(&mut carrier.is_lending);
        // Of which memory, and until when, nobody would know.
        assert!(was_to_lend || !is_lent, "the kernel keeps memory of a send that lent none");
        self.ring.sent(&mut carrier.queue, result, is_lent);
        if was_to_lend && !is_lent {
            // It failed before it began, for want of memory that may be pinned or of a way to do it: so it is copied.
            carrier.zero_copy = ZeroCopy::SwitchedOff;
            if !is_of_the_connection(result) {
                result = -libc::EAGAIN;
            }
        }
        if is_lent && carrier.queue.heap_bytes(self.ring.pool()) > 0 {
            self.list_holder(index, leg);
        }
        self.is_sent(index, leg, result);
    }

    /// A send is over, and what it sent has left the queue.
    pub(super) fn is_sent(&mut self, index: u32, leg: Leg, result: i32) {
        let has_failed = result < 0 && !is_to_be_repeated(result);
        let how = has_failed.then(|| self.how_it_broke(index, leg, -result));
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        let was_cancelled = std::mem::take(&mut carrier.is_send_cancelled);
        let mut handled = Ok(());
        if result > 0 {
            handled = live.session.handle_sent(leg, result as u64, self.now, &mut self.effects);
        } else if let Some(how) = how {
            carrier.broken = Some(how);
            carrier.is_discarding = true;
            // Bytes may stand unread in the socket, a last message and a Close before a reset: then its receive reports
            // the end, behind them.
            let is_read = matches!(carrier.receive, Receive::Armed | Receive::Cancelling | Receive::Parked);
            if !is_of_the_connection(result) || !is_read || live.session.is_paused(leg) {
                live.session.handle_gone(leg, how, self.now, &mut self.effects);
            }
        }
        if carrier.is_discarding {
            carrier.queue.clear(self.ring.pool());
            if let Some(pipe) = carrier.pipe.take() {
                self.ring.return_pipe(pipe);
            }
        } else if was_cancelled && carrier.queue.holds_buffers() {
            carrier.queue.move_to_heap(self.ring.pool());
            live.session.handle_slow(leg, &mut self.effects);
            self.list_holder(index, leg);
            add(&self.counters.sends_taken_back, 1);
        }
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        if carrier.pipe.is_some() || !carrier.queue.is_empty() {
            Self::mark_ready(&mut self.ready, index, leg, carrier);
        }
        if !self.effects.is_empty() || handled.is_err() {
            self.carry_out(index, handled, PayloadOrigin::Nothing);
        }
        self.go_on_reading(index, leg.other());
    }

    /// Carries out what the session wants, or ends it if it found itself broken.
    pub(super) fn carry_out(
        &mut self,
        index: u32,
        handled: Result<(), BrokenInvariant>,
        source: PayloadOrigin,
    ) {
        match handled {
            Ok(()) => self.apply_effects(index, source),
            Err(broken) => {
                if let PayloadOrigin::Chunk(chunk) = source {
                    self.ring.pool().release(chunk);
                }
                self.break_off(index, broken);
            }
        }
    }

    /// Carries out what the session wants, in order. The source's bytes are forwarded or given back.
    pub(super) fn apply_effects(&mut self, index: u32, mut source: PayloadOrigin) {
        let mut effects = std::mem::take(&mut self.effects);
        let applied = effects.drain(..).try_for_each(|effect| self.apply(index, effect, &mut source));
        self.effects = effects;
        if let PayloadOrigin::Chunk(chunk) = source {
            self.ring.pool().release(chunk);
        }
        if let Err(broken) = applied {
            self.break_off(index, broken);
        }
        if !self.key_exhausted.is_empty() {
            self.end_key_exhausted();
        }
    }

    fn apply(
        &mut self,
        index: u32,
        effect: Effect,
        source: &mut PayloadOrigin,
    ) -> Result<(), BrokenInvariant> {
        let Some(live) = self.sessions.get_mut(index) else { return Ok(()) };
        if live.has_ended {
            // What a broken session still wants is void.
            return if live.is_broken_off { Ok(()) } else { Err(BrokenInvariant::EffectBehindEnd) };
        }
        match effect {
            Effect::Forward { to, held, range } => {
                let carrier = &mut live.carriers[to as usize];
                source.check(to, &range)?;
                if carrier.queue.has_farewell() {
                    return Err(BrokenInvariant::ForwardsBehindClose { to });
                }
                if carrier.record_layer.is_some() {
                    return self.forward_sealed(index, to, &held, range, source);
                }
                let held_buffers = carrier.queue.holds_buffers();
                match std::mem::replace(source, PayloadOrigin::Nothing) {
                    PayloadOrigin::Chunk(mut chunk) => {
                        chunk.truncate(range.end);
                        chunk.advance(range.start);
                        if !held.as_bytes().is_empty()
                            && !self.ring.pool().prepend(&mut chunk, held.as_bytes())
                        {
                            *source = PayloadOrigin::Chunk(chunk);
                            return Err(BrokenInvariant::HeaderHasNoRoom { to });
                        }
                        carrier.queue.push(self.ring.pool(), chunk);
                    }
                    PayloadOrigin::Early(_) if !carrier.queue.is_empty() || !held.as_bytes().is_empty() => {
                        return Err(BrokenInvariant::EarlyBytesComeLate { to });
                    }
                    PayloadOrigin::Early(bytes) => carrier.queue.push_early(bytes.slice(range)),
                    PayloadOrigin::Heap(bytes) => {
                        let held = Bytes::copy_from_slice(held.as_bytes());
                        carrier.queue.push_heap(self.ring.pool(), held);
                        carrier.queue.push_heap(self.ring.pool(), bytes.slice(range));
                        self.list_holder(index, to);
                    }
                    PayloadOrigin::Nothing => {}
                }
                self.is_queued(index, to, held_buffers);
            }
            Effect::Inject { to, frame } => {
                let sealed = self.seal_farewell(index, to, frame.as_bytes())?;
                let Some(live) = self.sessions.get_mut(index) else { return Ok(()) };
                let carrier = &mut live.carriers[to as usize];
                if carrier.queue.has_farewell() {
                    return Err(BrokenInvariant::ForwardsBehindClose { to });
                }
                carrier.queue.push_farewell(sealed);
                Self::mark_ready(&mut self.ready, index, to, carrier);
            }
            Effect::Pause { leg } => {
                let carrier = &live.carriers[leg as usize];
                if carrier.receive == Receive::Armed && carrier.broken.is_none() {
                    self.cancel_receive(index, leg);
                }
            }
            Effect::Resume { leg } => self.arm_if_wanted(index, leg),
            Effect::InjectNow { to, frame } => self.say_now(index, to, frame.as_bytes())?,
            Effect::SayEnd { leg } => self.queue_end(index, leg)?,
            Effect::SayEndNow { leg } => {
                self.say_end(index, leg, Alert::CloseNotify);
            }
            Effect::Shutdown { leg } => self.ring.shutdown(&live.carriers[leg as usize].socket),
            Effect::Discard { leg } => self.discard(index, leg),
            Effect::Reset { leg } => {
                self.ring.reset_on_close(&live.carriers[leg as usize].socket);
                self.discard(index, leg);
            }
            Effect::Deadline(at) => self.wheel.schedule(index, at),
            Effect::Ended(termination) => {
                // It is a bug only where one was found.
                let has_cause = termination.cause != Cause::Bug || live.is_broken_off;
                if !has_cause || !live.session.is_over() {
                    return Err(BrokenInvariant::EndsWithoutCause);
                }
                self.end(index, termination);
            }
        }
        Ok(())
    }

    /// Nobody takes what is queued towards a leg: it is thrown away, a send in flight is cancelled.
    fn discard(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        carrier.is_discarding = true;
        if let Some(record_layer) = &mut carrier.record_layer {
            record_layer.discard_input(self.ring.pool());
        }
        if let Some(pipe) = carrier.pipe.take() {
            self.ring.return_pipe(pipe);
        }
        if carrier.queue.is_in_flight() {
            carrier.queue.uncount_backlog(self.ring.pool());
            self.cancel_send(index, leg);
        } else {
            carrier.queue.clear(self.ring.pool());
        }
        self.go_on_reading(index, leg.other());
    }

    /// What is to be spliced from `leg` may have waited for what was queued before it.
    fn go_on_reading(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        if live.carriers[leg as usize].reading != Reading::Whole {
            self.arm_if_wanted(index, leg);
        }
    }

    pub(super) fn cancel_send(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        if !std::mem::replace(&mut live.carriers[leg as usize].is_send_cancelled, true) {
            self.cancel(index, Operation::Send, leg);
        }
    }

    /// Something was queued towards a leg, whose queue held received buffers before or did not.
    pub(super) fn is_queued(&mut self, index: u32, leg: Leg, held_buffers: bool) {
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        // A send of what stands on the heap holds no buffer, but what waits behind it may from here on.
        if carrier.queue.is_in_flight() && !held_buffers {
            self.watch_send(CarrierName { index, generation, leg });
        } else {
            Self::mark_ready(&mut self.ready, index, leg, carrier);
        }
    }

    pub(super) fn mark_ready(
        ready: &mut Vec<(u32, Leg)>,
        index: u32,
        leg: Leg,
        carrier: &mut Carrier<R::Socket>,
    ) {
        if !carrier.is_ready && !carrier.queue.is_in_flight() {
            carrier.is_ready = true;
            ready.push((index, leg));
        }
    }

    /// The session is over: nothing new is started, what is in flight is cancelled.
    pub(super) fn end(&mut self, index: u32, termination: Termination) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        live.has_ended = true;
        self.counters.count_termination(termination.cause, termination.phase);
        for leg in Leg::BOTH {
            self.counters.count_tally(leg, live.session.tally(leg));
        }
        self.wheel.cancel(index);
        for leg in Leg::BOTH {
            self.discard(index, leg);
            let Some(live) = self.sessions.get_mut(index) else { return };
            if live.carriers[leg as usize].receive == Receive::Armed {
                self.cancel_receive(index, leg);
            }
            self.unwatch(index, leg);
        }
    }

    fn cancel_receive(&mut self, index: u32, leg: Leg) {
        if let Some(live) = self.sessions.get_mut(index) {
            live.carriers[leg as usize].receive = Receive::Cancelling;
            self.cancel(index, Operation::Receive, leg);
        }
    }

    pub(super) fn cancel(&mut self, index: u32, operation: Operation, leg: Leg) {
        let generation = self.sessions.generation(index);
        let cancel = match operation {
            Operation::Send => Operation::CancelSend,
            Operation::Watch => Operation::CancelWatch,
            Operation::Receive
            | Operation::CancelReceive
            | Operation::CancelSend
            | Operation::CancelWatch
            | Operation::Mailbox => Operation::CancelReceive,
        };
        if let Some(live) = self.sessions.get_mut(index) {
            live.in_flight += 1;
            live.cancels += 1;
            self.ring.cancel(
                Token::new(operation, index, generation, leg),
                Token::new(cancel, index, generation, leg),
            );
        }
    }

    pub(super) fn free_if_over(&mut self, index: u32) {
        let generation = self.sessions.generation(index);
        let is_free =
            self.sessions.get_mut(index).is_some_and(|live| live.session.is_over() && live.in_flight == 0);
        if is_free && let Some(live) = self.sessions.remove(index) {
            self.wheel.cancel(index);
            self.mailbox.session_is_gone();
            for (leg, carrier) in Leg::BOTH.into_iter().zip(live.carriers) {
                let Carrier { socket, mut queue, record_layer, .. } = carrier;
                queue.clear(self.ring.pool());
                if let Some(lent) = queue.take_lent() {
                    self.left_behind.insert(Token::new(Operation::Send, index, generation, leg), lent);
                }
                if let Some(record_layer) = record_layer {
                    self.ring.pool().remove_backlog(record_layer.held_bytes);
                }
                drop(socket);
            }
        }
    }

    pub(super) fn arm_if_wanted(&mut self, index: u32, leg: Leg) {
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &live.carriers[leg as usize];
        if carrier.receive == Receive::Armed {
            return;
        }
        // What is left in a broken connection's socket is little, and its end is to be heard of.
        let is_wanted = !live.session.is_over() && (carrier.broken.is_some() || !live.session.is_paused(leg));
        if carrier.receive == Receive::Unarmed && is_wanted {
            self.receive(index, leg);
        }
        self.note_unread(index, leg);
    }

    /// Starts one send for every carrier that got something to send in this turn: all of it goes in one.
    fn start_sends(&mut self) {
        let mut at = 0;
        // By place: what a socket takes at once may make more ready behind.
        while let Some((index, leg)) = self.ready.get(at).copied() {
            at += 1;
            let generation = self.sessions.generation(index);
            let Some(live) = self.sessions.get_mut(index) else { continue };
            let carrier = &mut live.carriers[leg as usize];
            if !std::mem::take(&mut carrier.is_ready) || carrier.queue.is_in_flight() {
                continue;
            }
            if carrier.pipe.is_some() {
                self.send_pipe(index, leg);
                continue;
            }
            if carrier.queue.is_empty() {
                continue;
            }
            if carrier.is_discarding {
                carrier.queue.clear(self.ring.pool());
                continue;
            }
            let token = Token::new(Operation::Send, index, generation, leg);
            if self
                .limits
                .zero_copy_bytes_min
                .is_some_and(|least| is_to_lend(carrier, least, self.ring.pool()))
            {
                self.lend(index, leg);
                continue;
            }
            match self.ring.send(&carrier.socket, &mut carrier.queue, token) {
                Some(result) => {
                    self.is_sent(index, leg, result);
                    self.free_if_over(index);
                }
                None => {
                    live.in_flight += 1;
                    self.watch_send(CarrierName { index, generation, leg });
                }
            }
        }
        self.ready.clear();
    }

    /// Arms parked receives again, oldest first, as many as there are buffers for.
    fn rearm_parked(&mut self) {
        let pool = self.ring.pool();
        let mut buffers = pool.buffers() - pool.lent_out();
        while buffers > 0
            && let Some((index, leg)) = self.parked.pop_front()
        {
            let Some(live) = self.sessions.get_mut(index) else { continue };
            let carrier = &mut live.carriers[leg as usize];
            if carrier.receive == Receive::Parked {
                carrier.receive = Receive::Unarmed;
                self.arm_if_wanted(index, leg);
                buffers -= 1;
            }
        }
    }

    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(self.now, &mut due);
        for index in due.drain(..) {
            self.look_at_acknowledged(index);
            let Some(live) = self.sessions.get_mut(index) else { continue };
            live.session.handle_deadline(self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
            if let Some(live) = self.sessions.get_mut(index).filter(|live| !live.session.is_over()) {
                self.wheel.schedule(index, live.session.next_deadline());
            }
            self.free_if_over(index);
        }
        self.due = due;
    }
}

/// The carrier of that name, if it is still there.
pub(super) fn named<S>(
    sessions: &mut SessionTable<SessionSlot<S>>,
    name: CarrierName,
) -> Option<&mut Carrier<S>> {
    if sessions.generation(name.index) != name.generation {
        return None;
    }
    Some(&mut sessions.get_mut(name.index)?.carriers[name.leg as usize])
}

/// Whether a failed send says that the connection is over, so that its receive will hear of an end too. Other failures,
/// as for lack of memory, leave a connection that reads as if nothing had happened.
fn is_of_the_connection(result: i32) -> bool {
    matches!(
        -result,
        libc::ECONNRESET | libc::EPIPE | libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH
    )
}

/// Whether a failed operation says nothing about the connection: it was cancelled, or interrupted.
fn is_to_be_repeated(result: i32) -> bool {
    matches!(-result, libc::ECANCELED | libc::EINTR | libc::EAGAIN)
}
