//! A handle on one session: its slot, its carriers, and the parts of the relay that serve all sessions.
//!
//! A session is looked up once for each completion, timer or message ([`Relay::with_leg`], [`Relay::with_session`]). Everything
//! that is done with it is done through the handle. The session still exists at the end of that work; only then is its slot
//! freed.
//!
//! This module has the steps that several occasions share: starting and cancelling receives and sends, and the session's end. The
//! steps of one occasion are in its own module: `completions`, `effects`, `arrivals`, `sealing`, `splicing`, `liveness`,
//! `slow_readers`, `ending`, `broken`.

use super::carrier::{Carrier, CarrierName, LegName, Reading, ReceiveEvent, Receiving, SendEvent};
use super::engine::Engine;
use super::run::Relay;
use super::session_slot::{SessionName, SessionSlot};
use crate::ring::{Operation, Ring};
use crate::session::{BrokenInvariant, Leg, Termination};

pub(super) struct SessionHandle<'a, R: Ring> {
    pub(super) name: SessionName,
    pub(super) slot: &'a mut SessionSlot,
    /// Downstream, upstream.
    pub(super) carriers: [&'a mut Carrier<R::Socket>; 2],
    pub(super) engine: &'a mut Engine<R>,
    /// Legs whose keys turned out to be used up, and that are not ended yet.
    pub(super) key_exhausted: [bool; 2],
}

impl<R: Ring> Relay<R> {
    /// Works on a session, and frees its slot if it is over then. `None`: it is gone.
    pub(super) fn with_session<T>(
        &mut self,
        name: SessionName,
        step: impl FnOnce(&mut SessionHandle<'_, R>) -> T,
    ) -> Option<T> {
        let slot = self.sessions.get_mut(name.0)?;
        let carriers = self.carriers.pair_mut(slot.legs.map(|place| place.carrier.0));
        let carriers = carriers.expect("the carriers of a session are there for as long as it is");
        let engine = &mut self.engine;
        let mut handle = SessionHandle { name, slot, carriers, engine, key_exhausted: [false; 2] };
        let done = step(&mut handle);
        if handle.is_to_be_freed() {
            self.free(name);
        }
        Some(done)
    }

    /// Works on the session whose leg is on a carrier. `None`: the carrier is gone.
    pub(super) fn with_leg<T>(
        &mut self,
        name: CarrierName,
        step: impl FnOnce(&mut SessionHandle<'_, R>, Leg) -> T,
    ) -> Option<T> {
        let LegName { session, leg } = self.carriers.get_mut(name.0)?.streams.leg();
        let done = self.with_session(session, |handle| step(handle, leg));
        assert!(done.is_some(), "the session of a carrier is there for as long as that is");
        done
    }

    /// Frees the slots of a session and of its carriers, of which nothing is in flight: both descriptors close, then the permit goes
    /// back.
    fn free(&mut self, name: SessionName) {
        let slot = self.sessions.remove(name.0).expect("a session that is freed was just worked on");
        self.engine.wheel.cancel(name.0.index);
        self.mailbox.session_is_gone();
        if slot.session.reports_progress() {
            self.engine.reporting.is_gone();
        }
        for place in slot.legs {
            let carrier = self.carriers.remove(place.carrier.0);
            let Carrier { socket, mut queue, record_layer, .. } =
                carrier.expect("the carriers of a session are there for as long as it is");
            let pool = self.engine.ring.pool();
            queue.clear(pool);
            if let Some(layer) = record_layer {
                pool.remove_backlog(layer.held_bytes);
            }
            if let Some(lent) = queue.take_lent() {
                self.left_behind.insert(place.carrier.token(Operation::Send), lent);
            }
            drop(socket);
        }
        drop(slot.permit);
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    fn is_to_be_freed(&self) -> bool {
        self.slot.session.is_over() && self.carriers.iter().all(|carrier| carrier.in_flight == 0)
    }

    /// Ends the session if one of its invariants does not hold.
    pub(super) fn check(&mut self, checked: Result<(), BrokenInvariant>) {
        if let Err(broken) = checked {
            self.break_off(broken);
        }
    }

    pub(super) fn arm_if_wanted(&mut self, leg: Leg) {
        let carrier = &*self.carriers[leg as usize];
        if carrier.receiving == Receiving::Armed {
            return;
        }
        if carrier.receiving == Receiving::Unarmed && self.is_to_be_read(leg) {
            self.receive(leg);
        }
        self.note_unread(leg);
    }

    /// Whether what a leg sends is wanted now.
    pub(super) fn is_to_be_read(&self, leg: Leg) -> bool {
        let session = &self.slot.session;
        // What is left in a broken connection's socket is little, and its end is to be heard of.
        let is_broken = self.carriers[leg as usize].broken.is_some();
        !session.is_over() && (is_broken || !session.is_paused(leg))
    }

    /// Resumes reading from `leg`. A splice from it may have waited for the bytes that were queued before it.
    pub(super) fn go_on_reading(&mut self, leg: Leg) {
        if matches!(self.carriers[leg as usize].reading, Reading::Heads { .. }) {
            self.arm_if_wanted(leg);
        }
    }

    /// Cancels the receive from a leg, if one is in flight that is not being cancelled.
    pub(super) fn stop_receiving(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.receiving == Receiving::Armed {
            let cancelled = carrier.receive_event(ReceiveEvent::Cancel);
            self.engine.cancel(carrier, Operation::Receive, Operation::CancelReceive);
            self.check(cancelled);
        }
    }

    /// Cancels the send to a leg that has held received buffers for too long: when it is over, what is left moves to the heap.
    pub(super) fn take_back_send(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        let was_cancelled = carrier.sending.is_cancelled();
        let late = carrier.send_event(SendEvent::Late);
        if late.is_ok() && !was_cancelled {
            self.engine.cancel(carrier, Operation::Send, Operation::CancelSend);
        }
        self.check(late);
    }

    /// Nobody takes what is queued towards a leg: it is thrown away, a send in flight is cancelled.
    pub(super) fn discard(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        if let Some(layer) = &mut carrier.record_layer {
            layer.discard_input(self.engine.ring.pool());
        }
        if let Some(pipe) = carrier.pipe.take() {
            self.engine.ring.return_pipe(pipe);
        }
        let was_cancelled = carrier.sending.is_cancelled();
        carrier.sending = carrier.sending.discarded();
        if !carrier.sending.is_in_flight() {
            carrier.queue.clear(self.engine.ring.pool());
        } else {
            carrier.queue.uncount_backlog(self.engine.ring.pool());
            if !was_cancelled {
                self.engine.cancel(carrier, Operation::Send, Operation::CancelSend);
            }
        }
        self.go_on_reading(leg.other());
    }

    /// The session is over: nothing new is started, what is in flight is cancelled.
    pub(super) fn end(&mut self, termination: Termination) {
        self.slot.has_ended = true;
        self.slot.account.count_end(self.engine.writer, &termination);
        self.engine.counters.count_termination(termination.cause, termination.phase);
        for leg in Leg::BOTH {
            self.engine.counters.count_tally(leg, self.slot.session.tally(leg));
        }
        self.report_terminated(termination);
        self.engine.wheel.cancel(self.name.0.index);
        for leg in Leg::BOTH {
            self.discard(leg);
            self.stop_receiving(leg);
            self.unwatch(leg);
        }
    }
}
