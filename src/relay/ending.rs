//! Sessions that ringgate itself ends.
//!
//! Not here: when which is due (`drain`), what a session's legs are told (`session`).

use super::run::{Relay, Source};
use crate::ring::Ring;
use crate::session::Cause;

impl<R: Ring> Relay<R> {
    pub(super) fn end_by_ringgate(&mut self, index: u32, cause: Cause) {
        if let Some(live) = self.sessions.get_mut(index) {
            live.session.end_by_ringgate(cause, self.now, &mut self.effects);
            self.apply_effects(index, Source::Nothing);
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
                self.apply_effects(index, Source::Nothing);
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

    fn next_live(&mut self, from: u32) -> Option<u32> {
        (from..self.sessions.slots()).find(|index| self.sessions.get_mut(*index).is_some())
    }
}
