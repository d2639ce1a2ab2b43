//! Sessions that ringgate ends itself: all of them at a drain, some of them at a revocation.
//!
//! Not here: the time at which each session ends (`drain`, `walk`), and the bytes that its legs receive (`session`).

use super::effects::PayloadOrigin;
use super::handle::SessionHandle;
use super::run::Relay;
use super::session_slot::SessionName;
use crate::ring::Ring;
use crate::session::Cause;

impl<R: Ring> Relay<R> {
    pub(super) fn step_drain(&mut self) {
        let Some(mut drain) = self.drain else { return };
        let is_cut = drain.is_cut_due(self.engine.now);
        while is_cut || drain.take_due(self.engine.now) {
            let Some(name) = self.next_session(drain.cursor) else { break };
            drain.cursor = name.0.index + 1;
            // Those that were cut in an earlier turn may stay for many: until their last operation is over.
            if is_cut && self.sessions.get_mut(name.0).is_some_and(|slot| slot.session.is_over()) {
                continue;
            }
            self.with_session(name, |handle| {
                if is_cut { handle.cut(Cause::Drain) } else { handle.end_by_ringgate(Cause::Drain) }
            });
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
        while let Some(index) = revocation.take_due(self.engine.now) {
            if let Some(name) = self.sessions.name_at(index) {
                revocation.note_session(self.engine.now);
                self.with_session(SessionName(name), |handle| handle.end_if_revoked());
            }
        }
        self.revocation = revocation.next_at().is_some().then_some(revocation);
    }

    /// The session in the first slot from `from` on that has one.
    fn next_session(&self, from: u32) -> Option<SessionName> {
        (from..self.sessions.slots()).find_map(|index| self.sessions.name_at(index)).map(SessionName)
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    pub(super) fn end_by_ringgate(&mut self, cause: Cause) {
        self.slot.session.end_by_ringgate(cause, self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
    }

    pub(super) fn end_if_revoked(&mut self) {
        if self.slot.permit.is_revoked() {
            self.end_by_ringgate(Cause::Revoked);
        }
    }

    /// Ends the session at once, whatever is owed.
    pub(super) fn cut(&mut self, cause: Cause) {
        self.slot.session.cut(cause, self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
    }
}
