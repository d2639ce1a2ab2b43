//! The events of a relay's sessions: what begins to end, what has ended, and, where an API asks for it, what open ones have carried.
//!
//! The relay copies numbers, takes what the session has already made, and formats nothing.
//!
//! Not here: what an event has (`observe::events`), and counters (`account`, `handle`).

use super::handle::SessionHandle;
use super::run::Relay;
use super::session_slot::SessionName;
use super::walk::Walk;
use crate::observe::event_ring::{RelayEvents, wall_ns};
use crate::observe::events::{Carried, RelayEvent, SessionClosing, SessionProgress, SessionTerminated};
use crate::ring::Ring;
use crate::session::{Leg, Moment, Session, Termination};
use crate::websocket::tally::FrameKind;

/// The rounds of reports of open sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reporting {
    /// Milliseconds between the beginnings of two rounds.
    interval_ms: u64,
    /// Sessions that are to be reported.
    sessions: usize,
    /// When the next round begins, while there are any.
    next_round_at: Moment,
    /// The round in progress.
    round: Option<Walk>,
}

impl Reporting {
    /// Rounds that begin so many milliseconds apart.
    pub(super) fn every(interval_ms: u64) -> Self {
        Self { interval_ms, sessions: 0, next_round_at: Moment::default(), round: None }
    }

    /// A session that is to be reported was opened.
    pub(super) fn opened(&mut self, now: Moment) {
        if self.sessions == 0 {
            self.next_round_at = now.after_millis(self.interval_ms);
        }
        self.sessions += 1;
    }

    /// One of them is gone.
    pub(super) fn is_gone(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    /// When something is to be done next.
    pub(super) fn next_at(&self) -> Option<Moment> {
        if self.sessions == 0 {
            return None;
        }
        Some(self.round.as_ref().and_then(Walk::next_at).unwrap_or(self.next_round_at))
    }

    /// The round to go on with at `now`, past so many slots with so many sessions.
    fn take_round(&mut self, now: Moment, of: (u32, usize)) -> Option<Walk> {
        if self.sessions == 0 {
            self.round = None;
            return None;
        }
        let round = self.round.take();
        if round.is_some() || now < self.next_round_at {
            return round;
        }
        self.next_round_at = now.after_millis(self.interval_ms);
        // A round is over before the next one begins, however many sessions there are.
        Some(Walk::new(now, of, self.interval_ms * 3 / 4, None))
    }
}

impl<R: Ring> Relay<R> {
    /// Leaves its events there.
    pub fn sending_events_to(mut self, events: RelayEvents) -> Self {
        self.engine.events = events;
        self
    }

    /// Reports what open sessions have carried, if it is time to.
    pub(super) fn step_reporting(&mut self) {
        let now = self.engine.now;
        let of = (self.sessions.slots(), self.sessions.len());
        let Some(mut round) = self.engine.reporting.take_round(now, of) else { return };
        round.begin_turn();
        while let Some(index) = round.take_due(now) {
            if let Some(name) = self.sessions.name_at(index) {
                round.note_session(now);
                self.with_session(SessionName(name), |handle| handle.report_progress());
            }
        }
        self.engine.reporting.round = round.next_at().is_some().then_some(round);
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    fn report_progress(&mut self) {
        let slot = &*self.slot;
        if !slot.session.reports_progress() || slot.has_ended {
            return;
        }
        let (record, carried) = (slot.account.record().clone(), carried(&slot.session));
        let progress = SessionProgress { at_ns: wall_ns(), record, carried };
        self.engine.events.send(RelayEvent::Progress(progress));
    }

    /// Reports that the session begins to end, once, if it does.
    pub(super) fn report_closing(&mut self) {
        if self.slot.is_closing_noted {
            return;
        }
        let Some((cause, by)) = self.slot.session.ending() else { return };
        self.slot.is_closing_noted = true;
        if self.engine.events.is_on() {
            let record = self.slot.account.record().clone();
            let closing = SessionClosing { at_ns: wall_ns(), record, cause, by };
            self.engine.events.send(RelayEvent::Closing(closing));
        }
    }

    /// Reports that the session has ended.
    pub(super) fn report_terminated(&mut self, termination: Termination) {
        let is_at_once = !std::mem::replace(&mut self.slot.is_closing_noted, true);
        if !self.engine.events.is_on() {
            return;
        }
        let (record, carried) = (self.slot.account.record().clone(), carried(&self.slot.session));
        let closes = self.slot.session.take_closes();
        let terminated =
            SessionTerminated { at_ns: wall_ns(), record, termination, is_at_once, carried, closes };
        self.engine.events.send(RelayEvent::Terminated(terminated));
    }
}

/// What the legs of a session have sent.
fn carried(session: &Session) -> Carried {
    Carried {
        frames: Leg::BOTH.map(|leg| FrameKind::ALL.map(|kind| session.tally(leg).frames(kind))),
        bytes: Leg::BOTH.map(|leg| session.relayed_bytes(leg)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PROGRESS_INTERVAL_MS;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn rounds_begin_an_interval_apart_while_there_is_anything_to_be_reported() {
        let mut reporting = Reporting::every(PROGRESS_INTERVAL_MS);
        assert_eq!(reporting.next_at(), None);
        assert!(reporting.take_round(at(1_000_000), (64, 3)).is_none());
        reporting.opened(at(5));
        reporting.opened(at(30_000));
        assert_eq!(reporting.next_at(), Some(at(5 + PROGRESS_INTERVAL_MS)));
        assert!(reporting.take_round(at(PROGRESS_INTERVAL_MS), (64, 3)).is_none());
        let begun = at(5 + PROGRESS_INTERVAL_MS);
        assert!(reporting.take_round(begun, (64, 3)).is_some());
        assert_eq!(reporting.next_at(), Some(begun.after_millis(PROGRESS_INTERVAL_MS)));
        reporting.is_gone();
        reporting.is_gone();
        assert_eq!(reporting.next_at(), None);
    }
}
