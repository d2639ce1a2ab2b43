//! Sessions that ringgate itself ends: all of them at a drain, and those that are revoked.
//!
//! Not here: when which is due (`drain`, `revocation`), what a session's legs are told (`session`).

use super::run::{PayloadOrigin, Relay};
use crate::ring::Ring;
use crate::session::Cause;

impl<R: Ring> Relay<R> {
    pub(super) fn end_by_ringgate(&mut self, index: u32, cause: Cause) {
        if let Some(live) = self.sessions.get_mut(index) {
            live.session.end_by_ringgate(cause, self.now, &mut self.effects);
            self.apply_effects(index, PayloadOrigin::Nothing);
        }
    }

    pub(super) fn step_drain(&mut self) {
        let Some(mut drain) = self.drain else { return };
        let is_cut = drain.is_cut_due(self.now);
        while is_cut || drain.take_due(self.now) {
            let Some(index) = self.next_live(drain.cursor) else { break };
            drain.cursor = index + 1;
            if is_cut {
                if let Some(live) = self.sessions.get_mut(index) {
                    live.session.cut(Cause::Drain, self.now, &mut self.effects);
                }
                self.apply_effects(index, PayloadOrigin::Nothing);
                self.free_if_over(index);
            } else {
                self.end_by_ringgate(index, Cause::Drain);
            }
        }
        if is_cut {
            // What comes from here on is cut in the next turn.
            drain.cursor = 0;
        }
        self.drain = Some(drain);
    }

    pub(super) fn step_revocation(&mut self) {
        let Some(mut revocation) = self.revocation.take() else { return };
        revocation.begin_turn();
        while let Some(index) = revocation.take_due(self.now) {
            if self.sessions.get_mut(index).is_some() {
                revocation.note_session(self.now);
                self.end_if_revoked(index);
            }
        }
        self.revocation = revocation.next_at().is_some().then_some(revocation);
    }

    pub(super) fn end_if_revoked(&mut self, index: u32) {
        if self.sessions.get_mut(index).is_some_and(|live| live.permit.is_revoked()) {
            self.end_by_ringgate(index, Cause::Revoked);
        }
    }

    fn next_live(&mut self, from: u32) -> Option<u32> {
        (from..self.sessions.slots()).find(|index| self.sessions.get_mut(*index).is_some())
    }
}
