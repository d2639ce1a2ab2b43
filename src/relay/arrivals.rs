//! Messages from a relay's mailbox: new sessions, and orders for the sessions it has.
//!
//! Not here: how a message gets into the mailbox (`mailbox`), and what comes of a drain or a revocation (`ending`).

use super::account::Account;
use super::carrier::{Carrier, CarrierName, LegName, LegPlace, StreamId};
use super::drain::Drain;
use super::effects::PayloadOrigin;
use super::handle::SessionHandle;
use super::mailbox::{Message, NewSession};
use super::record_layer::RecordLayer;
use super::run::Relay;
use super::session_slot::{SessionName, SessionSlot};
use super::walk::Walk;
use crate::observe::counters::add;
use crate::ring::Ring;
use crate::session::{Cause, Leg, Session};
use bytes::Bytes;

impl<R: Ring> Relay<R> {
    /// Does what its messages say, oldest first.
    pub(super) fn take_messages(&mut self) {
        self.mailbox.begin_taking();
        while let Some(message) = self.mailbox.take() {
            match message {
                Message::Open(new) => self.open(*new),
                Message::Drain { spread_ms, cut_after_ms } => {
                    self.drain =
                        Some(Drain::new(self.engine.now, self.sessions.len(), spread_ms, cut_after_ms));
                }
                Message::Revoke { spread_ms } => {
                    let of = (self.sessions.slots(), self.sessions.len());
                    self.revocation = Some(Walk::new(self.engine.now, of, spread_ms, self.revocation));
                }
                Message::NoMore => self.no_more_come = true,
            }
        }
    }

    fn open(&mut self, new: NewSession<R::Socket>) {
        let NewSession { sockets, early, records, sealed, limits, mask, reports_progress, permit, record } =
            new;
        let has_records = records.each_ref().map(Option::is_some);
        let now = self.engine.now;
        if has_records.contains(&true) {
            self.engine.note_use_of_keys();
        }
        // Dropping the session closes its sockets: slabs of 16 million slots are beyond every limit.
        let Some(name) = self.sessions.make_room().map(SessionName) else {
            return self.mailbox.session_is_gone();
        };
        let mut places = [None; 2];
        for ((leg, socket), records) in Leg::BOTH.into_iter().zip(sockets).zip(records) {
            places[leg as usize] = self.add_carrier(LegName { session: name, leg }, socket, records);
        }
        let [Some(downstream), Some(upstream)] = places else {
            for place in places.into_iter().flatten() {
                self.carriers.remove(place.carrier.0);
            }
            return self.mailbox.session_is_gone();
        };
        let session = Session::new(limits, mask, now);
        let session = session.with_records(has_records).reporting_progress(reports_progress);
        if reports_progress {
            self.engine.reporting.opened(now);
        }
        let account = Account::open(record, self.engine.writer, &session);
        self.sessions.insert(|name| SessionSlot {
            generation: name.generation,
            session,
            legs: [downstream, upstream],
            has_ended: false,
            is_broken_off: false,
            is_closing_noted: false,
            permit,
            account,
        });
        add(&self.engine.counters.sessions_opened, 1);
        let is_draining = self.drain.is_some();
        let begun = self.with_session(name, |handle| handle.begin(early, sealed, is_draining));
        begun.expect("a session that was put into its slot is there");
    }

    /// A new carrier of one leg.
    fn add_carrier(
        &mut self,
        leg: LegName,
        socket: R::Socket,
        records: Option<Box<RecordLayer>>,
    ) -> Option<LegPlace> {
        let carrier = self.carriers.insert(|name| Carrier::new(CarrierName(name), leg, socket, records))?;
        Some(LegPlace { carrier: CarrierName(carrier), stream: StreamId::ONLY })
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    /// The session's first steps, with what came before it did.
    fn begin(&mut self, early: [Bytes; 2], sealed: [Vec<u8>; 2], is_draining: bool) {
        self.engine.wheel.schedule(self.name.0.index, self.slot.session.next_deadline());
        for (leg, bytes) in Leg::BOTH.into_iter().zip(early) {
            if !bytes.is_empty() {
                let now = self.engine.now;
                let handled = self.slot.session.handle_bytes(leg, &bytes, now, &mut self.engine.effects);
                self.carry_out(handled, PayloadOrigin::Early(bytes));
            }
        }
        for (leg, bytes) in Leg::BOTH.into_iter().zip(sealed) {
            self.on_early_records(leg, bytes);
        }
        if is_draining {
            self.end_by_ringgate(Cause::Drain);
        }
        self.end_if_revoked();
        for leg in Leg::BOTH {
            self.arm_if_wanted(leg);
        }
    }
}
