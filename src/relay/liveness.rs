//! Detects endpoints that are gone: polls legs that are not read, tells how a connection broke, and asks what was acknowledged.
//!
//! A receive reports everything that happens to its connection. A leg that is not read has no receive: the other leg takes too
//! little, or buffers are short. A reset would then wait behind unread bytes without being noticed. So after some time without a
//! receive, the socket is polled for errors.
//!
//! ```text
//!        not read               not read for long            the poll tells
//! Off ─────────────► Listed ──────────────────────► Armed ─────────────────► Off, or Spent: both directions
//!  ▲                   │                             │ read, or over                 were over in order
//!  │     read          │                             ▼
//!  └───────────────────┴──── last completion ── Cancelling
//! ```
//!
//! A FIN behind unread bytes is not an error: it is noticed when the bytes are read.
//!
//! Not here: the consequence for the session (`session`), and how the kernel tells one kind of end from another
//! (`ring::peer_state`).

use super::carrier::{CarrierName, ReceiveEvent};
use super::handle::SessionHandle;
use super::run::Relay;
use crate::limits::UNREAD_PATIENCE_MS;
use crate::ring::{Operation, Ring};
use crate::session::{Gone, Leg, Moment};
use std::collections::VecDeque;

/// Whether a carrier that is not read is polled for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It is not.
    Off,
    /// It is on the list of those that were not read: it is looked at again.
    Listed,
    /// A poll is in flight.
    Armed,
    /// The poll is being cancelled: its last completion is awaited.
    Cancelling,
    /// Both directions are over, and nothing more can become of the connection: what it received waits to be read.
    Spent,
}

/// Carriers that were not read, and since when they are on the list: one entry each, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unread(VecDeque<(CarrierName, Moment)>);

impl Unread {
    fn add(&mut self, name: CarrierName, now: Moment) {
        self.0.push_back((name, now));
    }

    /// Takes the oldest one if it is due.
    fn take_due(&mut self, now: Moment) -> Option<CarrierName> {
        self.next_due().filter(|due| *due <= now)?;
        self.0.pop_front().map(|(name, _)| name)
    }

    /// When the oldest one is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.0.front().map(|(_, since)| since.after_millis(UNREAD_PATIENCE_MS))
    }
}

impl Watch {
    /// Whether a poll is in flight.
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Armed | Self::Cancelling)
    }
}

impl<R: Ring> Relay<R> {
    /// Polls carriers for errors that have not been read for long.
    pub(super) fn watch_unread(&mut self) {
        while let Some(name) = self.engine.unread.take_due(self.engine.now) {
            // A session that ended meanwhile may be gone.
            self.with_leg(name, |handle, leg| handle.watch_if_unread(leg));
        }
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    /// A leg may not be read from here on: if so, that is looked at when it has lasted.
    pub(super) fn note_unread(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.watch == Watch::Off && carrier.receiving.is_unread() && !self.slot.session.is_over() {
            carrier.watch = Watch::Listed;
            self.engine.unread.add(carrier.name, self.engine.now);
        }
    }

    /// The leg was listed as not read, and its time has come.
    fn watch_if_unread(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        carrier.watch = Watch::Off;
        if self.slot.session.is_over() || !carrier.receiving.is_unread() {
            return;
        }
        if carrier.read_at.after_millis(UNREAD_PATIENCE_MS) > self.engine.now {
            // It was read meanwhile.
            return self.note_unread(leg);
        }
        carrier.watch = Watch::Armed;
        let token = carrier.begin(Operation::Watch);
        self.engine.ring.await_break(&carrier.socket, token);
    }

    /// The leg is read again, or its session is over: the poll, if there is one, has no purpose any more.
    pub(super) fn unwatch(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.watch == Watch::Armed {
            carrier.watch = Watch::Cancelling;
            self.engine.cancel(carrier, Operation::Watch, Operation::CancelWatch);
        }
    }

    pub(super) fn on_completion_watch(&mut self, leg: Leg, result: i32) {
        let carrier = &mut *self.carriers[leg as usize];
        carrier.watch = Watch::Off;
        let events = result.max(0) as u32;
        // An end of what is received is told too (POLLRDHUP), whether it is asked for or not, and at once when it is there already.
        // It is left to whoever reads. From there on the leg is looked at from time to time.
        let is_told = events & (libc::POLLERR | libc::POLLHUP) as u32 != 0;
        if !is_told || self.slot.session.is_over() || !carrier.receiving.is_unread() {
            return self.note_unread(leg);
        }
        let error = self.engine.ring.take_error(&carrier.socket);
        if error == 0 && self.slot.session.is_shut(leg) {
            carrier.watch = Watch::Spent;
            return;
        }
        // Without an error a connection that was not shut down has broken too: a send took the error, and did not tell it.
        let how = self.how_it_broke(leg, if error == 0 { libc::EPIPE } else { error });
        let carrier = &mut *self.carriers[leg as usize];
        carrier.broken = Some(how);
        let over = carrier.receive_event(ReceiveEvent::End);
        self.check(over);
        self.is_gone(leg, how);
    }

    /// As for the cancel of a receive: one that found nothing is repeated for as long as its poll is in flight and has no purpose.
    pub(super) fn on_completion_cancel_watch(&mut self, leg: Leg, result: i32) {
        let carrier = &mut *self.carriers[leg as usize];
        if result >= 0 || carrier.watch != Watch::Cancelling {
            return;
        }
        if self.slot.session.is_over() || !carrier.receiving.is_unread() {
            self.engine.cancel(carrier, Operation::Watch, Operation::CancelWatch);
        } else {
            carrier.watch = Watch::Armed;
        }
    }

    /// How a leg's connection broke, on which an operation failed with `error`.
    pub(super) fn how_it_broke(&mut self, leg: Leg, error: i32) -> Gone {
        let carrier = &*self.carriers[leg as usize];
        if let Some(how) = carrier.broken {
            return how;
        }
        let state = self.engine.ring.peer_state(&carrier.socket);
        state.how_it_broke(error, self.engine.limits.dead_peer_timeout_ms)
    }

    /// Returns the meaning of the end of a leg's stream.
    pub(super) fn end_of_stream(&mut self, leg: Leg) -> Gone {
        let carrier = &*self.carriers[leg as usize];
        let how = carrier.end_of_stream();
        let is_owed = carrier.owes() || carrier.sending.is_in_flight();
        // A send that got a part through keeps the error that ended it to itself, and the stream reads as ended. Then the
        // connection is closed, which it is not while it is in order and something is owed.
        if is_owed && carrier.broken.is_none() && self.engine.ring.peer_state(&carrier.socket).is_closed {
            return self.how_it_broke(leg, libc::EPIPE);
        }
        how
    }

    /// Asks the system what endpoints have acknowledged, as far as their session wants to know.
    pub(super) fn look_at_acknowledged(&mut self) {
        for leg in Leg::BOTH {
            if self.slot.session.awaits_acknowledged(leg, self.engine.now) {
                let state = self.engine.ring.peer_state(&self.carriers[leg as usize].socket);
                self.slot.session.handle_acknowledged(leg, state.acknowledged(), self.engine.now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::slab::SlotName;

    #[test]
    fn gives_out_the_oldest_first_and_none_before_its_time() {
        let name = |index| CarrierName(SlotName { index, generation: 0 });
        let at = Moment::from_millis;
        let mut unread = Unread::default();
        unread.add(name(0), at(0));
        unread.add(name(1), at(10));
        assert_eq!(unread.next_due(), Some(at(UNREAD_PATIENCE_MS)));
        assert_eq!(unread.take_due(at(UNREAD_PATIENCE_MS - 1)), None);
        assert_eq!(unread.take_due(at(UNREAD_PATIENCE_MS)), Some(name(0)));
        assert_eq!(unread.take_due(at(UNREAD_PATIENCE_MS)), None);
        assert_eq!(unread.take_due(at(UNREAD_PATIENCE_MS + 10)), Some(name(1)));
        assert_eq!(unread.next_due(), None);
    }
}
