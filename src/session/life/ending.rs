//! The end of a session: the bytes that its legs receive, the bytes that are still owed to them, and the time that this may take.
//!
//! The property to trust: a session has one cause, the first; each leg is told once; and `Ended` is the last effect.
//!
//! Not here: everything before the end (`life`), and what a cause means to a leg (`termination`).

use super::Session;
use super::leg::{Ending, Intake, LegState, Outlet};
use crate::session::effect::{Effect, Effects};
use crate::session::termination::{Cause, Farewell, Phase, Termination};
use crate::session::{Leg, Moment};
use crate::websocket::close::{CloseCode, CloseFrame};

/// Why a session is about to end, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionEnd {
    /// The first one; what comes later does not change it.
    pub(super) cause: Cause,
    /// The leg that caused it; absent if ringgate itself did.
    pub(super) by: Option<Leg>,
    pub(super) linger: Linger,
}

/// How long the end of a session may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Linger {
    /// A leg has ended what it sends: for as long as bytes move either way.
    WhileBytesMove,
    /// Until then, whatever moves.
    Until(Moment),
}

impl Session {
    /// Ringgate ends the session for a reason of its own: each leg that can still be told is told at its next boundary.
    ///
    /// A session that is closing already goes on with that.
    pub fn end_by_ringgate(&mut self, cause: Cause, now: Moment, effects: &mut Effects) {
        if self.is_over || self.is_closing() {
            return;
        }
        self.begin_end(cause, None, now, effects);
        for leg in Leg::BOTH {
            self.tell(leg, cause, None, effects);
        }
        self.settle(effects);
    }

    /// `leg` is owed more than there is room for: it is reset, and the other one told. In a session that is closing already
    /// its cause stays.
    pub fn end_slow_reader(&mut self, leg: Leg, now: Moment, effects: &mut Effects) {
        if self.is_over {
            return;
        }
        self.abandon(leg, Cause::SlowReader, Effect::Reset { leg }, now, effects);
    }

    /// Ends the session at once, whatever is owed: no time is left. `cause` counts unless there is one already.
    ///
    /// A leg at whose boundary nothing is owed gets the Close frame of `cause`; any other that was not told yet, a plain end.
    pub fn cut(&mut self, cause: Cause, now: Moment, effects: &mut Effects) {
        if self.is_over {
            return;
        }
        self.begin_end(cause, None, now, effects);
        for leg in Leg::BOTH {
            if let Farewell::Close(code) | Farewell::LastClose(code) = cause.farewell(leg, None)
                && self.is_boundary_at_hand(leg)
            {
                let frame = self.close_frame(leg, code, cause);
                self.legs[leg as usize].outlet = Outlet::Closed;
                effects.push(Effect::InjectNow { to: leg, frame });
            }
        }
        self.finish(effects);
    }

    /// An invariant of the session does not hold: it ends at once as `bug`, whatever it was about to end of, and is never asked
    /// to do anything again.
    pub fn break_off(&mut self, now: Moment, effects: &mut Effects) {
        if !self.is_over {
            self.end = None;
            self.cut(Cause::Bug, now, effects);
        }
    }

    /// Whether `leg` has been sent everything, and that up to the end of a frame.
    fn is_boundary_at_hand(&self, leg: Leg) -> bool {
        let (state, source) = (&self.legs[leg as usize], &self.legs[leg.other() as usize]);
        let is_open = matches!(state.outlet, Outlet::Open) && self.limits.frames.is_some();
        is_open && state.owed_bytes == 0 && source.scanner.is_at_boundary()
    }

    /// Nothing more comes from `leg`, for `cause`: the other one is told in kind, behind all that it is owed.
    pub(super) fn end_stream(&mut self, leg: Leg, cause: Cause, now: Moment, effects: &mut Effects) {
        let state = &mut self.legs[leg as usize];
        if matches!(state.intake, Intake::Over) {
            return;
        }
        state.intake = Intake::Over;
        self.begin_end(cause, Some(leg), now, effects);
        self.tell(leg.other(), cause, Some(leg), effects);
        self.settle(effects);
    }

    pub(super) fn handle_reset(&mut self, leg: Leg, now: Moment, effects: &mut Effects) {
        let (state, other) = (&self.legs[leg as usize], &self.legs[leg.other() as usize]);
        // It cut what it was sending.
        let cuts_its_stream = matches!(state.intake, Intake::Relayed);
        // It had ended that, all of which is sent, and refuses what the other leg goes on to send.
        let refuses_the_others =
            matches!(other.intake, Intake::Relayed) && matches!(other.outlet, Outlet::Shut);
        if !cuts_its_stream && !refuses_the_others {
            // The other leg gets what it is owed, the Close or the end with which this one has ended before.
            return self.abandon(leg, Cause::Reset, Effect::Discard { leg }, now, effects);
        }
        self.begin_end(Cause::Reset, Some(leg), now, effects);
        for each in Leg::BOTH {
            self.legs[each as usize].intake = Intake::Over;
            self.legs[each as usize].outlet = Outlet::Shut;
        }
        effects.push(Effect::Discard { leg });
        effects.push(Effect::Reset { leg: leg.other() });
        self.finish(effects);
    }

    /// `leg` is lost for `cause`, both ways: nobody takes what it is owed. The other one gets what it is owed, and is told.
    pub(super) fn abandon(
        &mut self,
        leg: Leg,
        cause: Cause,
        discard: Effect,
        now: Moment,
        effects: &mut Effects,
    ) {
        self.begin_end(cause, Some(leg), now, effects);
        let other = leg.other();
        let state = &mut self.legs[leg as usize];
        state.outlet = Outlet::Shut;
        state.owed_bytes = 0;
        effects.push(discard);
        if matches!(self.legs[other as usize].intake, Intake::Relayed) {
            self.legs[other as usize].intake = Intake::Dropped;
        }
        if self.legs[other as usize].is_paused {
            self.resume(other, now, effects);
        }
        self.end_stream(leg, cause, now, effects);
        self.settle(effects);
    }

    /// Tells `leg` what the table says for `cause`, if it was told nothing yet.
    pub(super) fn tell(&mut self, leg: Leg, cause: Cause, by: Option<Leg>, effects: &mut Effects) {
        match cause.farewell(leg, by) {
            Farewell::Close(code) | Farewell::LastClose(code) => {
                self.close_outlet(leg, code, cause, effects);
            }
            Farewell::PlainEnd => self.end_outlet(leg, Ending::Plain),
            Farewell::BareFin => self.end_outlet(leg, Ending::Bare),
            // A Close was passed on with the bytes that it came in; a reset or an alert is no matter of what is queued.
            Farewell::AsItCame | Farewell::Alert | Farewell::Reset | Farewell::Nothing => {}
        }
    }

    /// Ends what is sent to `leg` behind what it is owed, without a Close frame.
    fn end_outlet(&mut self, leg: Leg, ending: Ending) {
        if matches!(self.legs[leg as usize].outlet, Outlet::Open | Outlet::ClosingAt { .. }) {
            self.legs[leg as usize].outlet = Outlet::Finishing(ending);
            let source = &mut self.legs[leg.other() as usize];
            if matches!(source.intake, Intake::Relayed) {
                source.intake = Intake::Ignored;
            }
        }
    }

    /// Ends what is sent to `leg` with a Close frame, now or at the next boundary; an opaque stream with a plain end.
    fn close_outlet(&mut self, leg: Leg, code: CloseCode, cause: Cause, effects: &mut Effects) {
        if !matches!(self.legs[leg as usize].outlet, Outlet::Open) {
            return;
        }
        let source = &self.legs[leg.other() as usize];
        if self.limits.frames.is_some() && source.scanner.is_at_boundary() {
            self.inject_close(leg, code, cause, effects);
        } else if self.limits.frames.is_some() && matches!(source.intake, Intake::Relayed) {
            self.legs[leg as usize].outlet = Outlet::ClosingAt { code, cause };
        } else {
            self.end_outlet(leg, Ending::Plain);
        }
    }

    /// Queues a Close frame of ours; the outgoing stream stands at a boundary.
    pub(super) fn inject_close(&mut self, leg: Leg, code: CloseCode, cause: Cause, effects: &mut Effects) {
        let frame = self.close_frame(leg, code, cause);
        let state = &mut self.legs[leg as usize];
        state.outlet = Outlet::Closed;
        state.owed_bytes += frame.as_bytes().len() as u64;
        effects.push(Effect::Inject { to: leg, frame });
        let source = &mut self.legs[leg.other() as usize];
        if matches!(source.intake, Intake::Relayed) {
            source.intake = Intake::Dropped;
        }
    }

    fn close_frame(&self, to: Leg, code: CloseCode, cause: Cause) -> CloseFrame {
        let mask = match to {
            Leg::Downstream => None,
            Leg::Upstream => Some(self.mask),
        };
        CloseFrame::new(code, cause.close_reason(code), mask)
    }

    /// Whether a Close frame is under way or a leg is lost: the time that is left is fixed.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.end, Some(SessionEnd { linger: Linger::Until(_), .. }))
    }

    /// The session ends for `cause`, unless it does for another one already.
    pub(super) fn begin_end(&mut self, cause: Cause, by: Option<Leg>, now: Moment, effects: &mut Effects) {
        let is_half = matches!(cause, Cause::Ended | Cause::Truncated);
        if self.is_closing() || (is_half && self.end.is_some()) {
            return;
        }
        let linger = if is_half {
            self.active_at = now;
            Linger::WhileBytesMove
        } else {
            Linger::Until(now.after_millis(self.limits.linger_ms))
        };
        self.end.get_or_insert(SessionEnd { cause, by, linger }).linger = linger;
        effects.push(Effect::Deadline(self.next_deadline()));
    }

    /// Takes every step towards the end that the legs' states allow.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        if self.is_over {
            return;
        }
        for leg in Leg::BOTH {
            let state = &mut self.legs[leg as usize];
            let may_finish = match leg {
                // RFC 6455 §7.1.1: the server ends the TCP connection first. Towards a client ringgate is the server;
                // towards a backend it waits for the backend to do so.
                Leg::Downstream => state.close_received,
                Leg::Upstream => false,
            };
            let is_done = may_finish || state.is_broken || matches!(state.intake, Intake::Over);
            if matches!(state.outlet, Outlet::Closed) && is_done {
                state.outlet = Outlet::Finishing(Ending::Plain);
            }
            match state.outlet {
                Outlet::Finishing(Ending::Plain) if state.owed_bytes == 0 && state.is_wrapped => {
                    state.outlet = Outlet::Saying;
                    effects.push(Effect::SayEnd { leg });
                }
                Outlet::Finishing(_) if state.owed_bytes == 0 => {
                    state.outlet = Outlet::Shut;
                    effects.push(Effect::Shutdown { leg });
                }
                Outlet::Open
                | Outlet::ClosingAt { .. }
                | Outlet::Closed
                | Outlet::Finishing(_)
                | Outlet::Saying
                | Outlet::Shut => {}
            }
        }
        let is_over =
            |state: &LegState| matches!(state.intake, Intake::Over) && matches!(state.outlet, Outlet::Shut);
        if self.legs.iter().all(is_over) {
            self.finish(effects);
        }
    }

    /// The session is over. What was not told to a leg before is a plain end, as far as there is room for one now.
    pub(super) fn finish(&mut self, effects: &mut Effects) {
        for leg in Leg::BOTH {
            let state = &self.legs[leg as usize];
            let is_to_be_said = match state.outlet {
                Outlet::Open
                | Outlet::ClosingAt { .. }
                | Outlet::Closed
                | Outlet::Finishing(Ending::Plain) => true,
                Outlet::Finishing(Ending::Bare) | Outlet::Saying | Outlet::Shut => false,
            };
            if is_to_be_said && state.is_wrapped && state.owed_bytes == 0 {
                effects.push(Effect::SayEndNow { leg });
            }
        }
        let (cause, by) = self.end.as_ref().map_or((Cause::Bug, None), |end| (end.cause, end.by));
        self.is_over = true;
        effects.push(Effect::Ended(Termination {
            cause,
            phase: Phase::Relay,
            by,
            close_code: self.close_code(),
        }));
    }
}
