//! What comes to a relay through its mailbox: sessions to carry, and what is to become of those it has.
//!
//! Not here: how a message gets into the mailbox (`mailbox`), and what comes of a drain or a revocation (`ending`).

use super::carrier::Carrier;
use super::drain::Drain;
use super::mailbox::{Message, NewSession};
use super::revocation::Revocation;
use super::run::{PayloadOrigin, Relay, SessionSlot};
use crate::limits::TLS_REST_MS;
use crate::observe::counters::add;
use crate::ring::Ring;
use crate::session::{Cause, Leg, Session};

impl<R: Ring> Relay<R> {
    /// Does what its messages say, oldest first.
    pub(super) fn take_messages(&mut self) {
        self.mailbox.begin_taking();
        while let Some(message) = self.mailbox.take() {
            match message {
                Message::Open(new) => self.open(*new),
                Message::Drain { spread_ms, cut_after_ms } => {
                    self.drain = Some(Drain::new(self.now, self.sessions.len(), spread_ms, cut_after_ms));
                }
                Message::Revoke { spread_ms } => {
                    let of = (self.sessions.slots(), self.sessions.len());
                    self.revocation = Some(Revocation::new(self.now, of, spread_ms, self.revocation));
                }
                Message::NoMore => self.no_more_come = true,
            }
        }
    }

    fn open(&mut self, new: NewSession<R::Socket>) {
        let NewSession { sockets, early, records, sealed, limits, mask, permit } = new;
        let is_wrapped = records.each_ref().map(Option::is_some);
        let session = Session::new(limits, mask, self.now).with_records(is_wrapped);
        let deadline = session.next_deadline();
        let ([client, backend], [client_records, backend_records]) = (sockets, records);
        let is_any_wrapped = is_wrapped.contains(&true);
        self.idle_ciphers_at =
            self.idle_ciphers_at.or(is_any_wrapped.then(|| self.now.after_millis(TLS_REST_MS)));
        let carriers = [Carrier::new(client, client_records), Carrier::new(backend, backend_records)];
        let live = SessionSlot {
            session,
            carriers,
            in_flight: 0,
            cancels: 0,
            has_ended: false,
            is_broken_off: false,
            permit,
        };
        // Dropping the session closes its sockets: a table of 16 million slots is beyond every limit.
        let Some((index, _)) = self.sessions.insert(live) else { return self.mailbox.session_is_gone() };
        add(&self.counters.sessions_opened, 1);
        self.wheel.schedule(index, deadline);
        for (leg, bytes) in Leg::BOTH.into_iter().zip(early) {
            if let Some(live) = self.sessions.get_mut(index).filter(|_| !bytes.is_empty()) {
                let handled = live.session.handle_bytes(leg, &bytes, self.now, &mut self.effects);
                self.carry_out(index, handled, PayloadOrigin::Early(bytes));
            }
        }
        for (leg, bytes) in Leg::BOTH.into_iter().zip(sealed) {
            self.on_early_records(index, leg, bytes);
        }
        if self.drain.is_some() {
            self.end_by_ringgate(index, Cause::Drain);
        }
        self.end_if_revoked(index);
        for leg in Leg::BOTH {
            self.arm_if_wanted(index, leg);
        }
        self.free_if_over(index);
    }
}
