//! The parts of a relay that serve all of its sessions: the ring, the clock, the timers, and the lists of carriers with work due.
//!
//! An entry of a list names a carrier by slot and generation. It may be out of date: the reader asks the carrier, or finds it
//! gone.
//!
//! Not here: the sessions and the carriers (`Relay`). They are looked up once, and then worked on together with this (`handle`).

use super::broken::BugReporter;
use super::carrier::{Carrier, CarrierName};
use super::greedy::Line;
use super::key_rest::KeyRest;
use super::liveness::Unread;
use super::reporting::Reporting;
use super::run::RelayLimits;
use super::slow_readers::{Holders, SendWatch};
use super::wheel::Wheel;
use crate::limits::{SLOW_SEND_MS, SLOW_SEND_MS_IN_NEED};
use crate::observe::WorkerCounters;
use crate::observe::entity_cells::Writer;
use crate::observe::event_ring::RelayEvents;
use crate::ring::{Operation, Ring};
use crate::session::{Effects, Moment};
use std::sync::Arc;

pub(super) struct Engine<R: Ring> {
    pub(super) ring: R,
    pub(super) counters: Arc<WorkerCounters>,
    /// Whose cells of a label are its own.
    pub(super) writer: Writer,
    pub(super) now: Moment,
    pub(super) limits: RelayLimits,
    /// The effects of the session in hand; empty between sessions.
    pub(super) effects: Effects,
    /// Carriers whose next send starts at the end of this turn.
    pub(super) ready: Vec<CarrierName>,
    /// When sessions are due, by slot.
    pub(super) wheel: Wheel,
    /// Legs that wait for a plain call: those that had more than their share of a turn, and those that found no posted buffer.
    pub(super) line: Line,
    /// Carriers that were not read.
    pub(super) unread: Unread,
    /// Sends that hold received buffers.
    pub(super) sends: SendWatch,
    /// Carriers that may hold a backlog.
    pub(super) holders: Holders,
    /// The walk that finds records which nobody uses.
    pub(super) key_rest: KeyRest,
    pub(super) bug_reporter: Option<BugReporter>,
    /// Where its events go.
    pub(super) events: RelayEvents,
    pub(super) reporting: Reporting,
}

impl<R: Ring> Engine<R> {
    pub(super) fn new(mut ring: R, counters: Arc<WorkerCounters>, limits: RelayLimits) -> Self {
        let now = ring.now();
        Self {
            ring,
            writer: Writer::relay(counters.index()),
            counters,
            now,
            limits,
            effects: Effects::new(),
            ready: Vec::new(),
            wheel: Wheel::new(now),
            line: Line::default(),
            unread: Unread::default(),
            sends: SendWatch::default(),
            holders: Holders::default(),
            key_rest: KeyRest::default(),
            bug_reporter: None,
            events: RelayEvents::off(),
            reporting: Reporting::every(limits.progress_interval_ms),
        }
    }

    /// Cancels an operation of a carrier by another one, its `cancel`.
    pub(super) fn cancel(
        &mut self,
        carrier: &mut Carrier<R::Socket>,
        operation: Operation,
        cancel: Operation,
    ) {
        let target = carrier.name.token(operation);
        carrier.cancels += 1;
        let token = carrier.begin(cancel);
        self.ring.cancel(target, token);
    }

    /// Schedules the carrier's queue: it goes out at the end of the turn or behind the send in flight. If nobody takes it any
    /// more, it does not go out.
    pub(super) fn is_to_send(&mut self, carrier: &mut Carrier<R::Socket>) {
        let before = carrier.sending;
        carrier.sending = before.queued();
        if carrier.sending != before {
            self.ready.push(carrier.name);
        } else if before.is_discarding() && !before.is_in_flight() {
            carrier.queue.clear(self.ring.pool());
        }
    }

    /// As [`Self::is_to_send`], of received buffers or what stands behind some: whether there were any before says whether the
    /// send in flight holds some from here on.
    pub(super) fn is_queued(&mut self, carrier: &mut Carrier<R::Socket>, held_buffers: bool) {
        // A send of what stands on the heap holds no buffer, but what waits behind it may.
        if carrier.sending.is_in_flight() && !held_buffers {
            self.watch_send(carrier);
        } else {
            self.is_to_send(carrier);
        }
    }

    /// A send began, or got company: from here on it may hold received buffers for so long.
    pub(super) fn watch_send(&mut self, carrier: &mut Carrier<R::Socket>) {
        if carrier.queue.holds_buffers() {
            carrier.holds_since = self.now;
            self.sends.began(carrier.name, self.now);
        }
    }

    /// Milliseconds that a send may hold received buffers.
    pub(super) fn patience_ms(&mut self) -> u64 {
        let pool = self.ring.pool();
        if pool.lent_out() * 2 > pool.buffers() { SLOW_SEND_MS_IN_NEED } else { SLOW_SEND_MS }
    }

    /// From here on the carrier is among those that may hold a backlog.
    pub(super) fn list_holder(&mut self, carrier: &mut Carrier<R::Socket>) {
        if !std::mem::replace(&mut carrier.is_listed, true) {
            self.holders.add(carrier.name);
        }
    }

    /// Records were used: they are looked at when they may have nothing to do any more.
    pub(super) fn note_use_of_keys(&mut self) {
        self.key_rest.note_use(self.now);
    }
}
