//! One session from the 101 to its end.
//!
//! ```text
//!                 ┌───────── Close, fault, deadline, drain, slow reader ─────────┐
//!                 │                                                              ▼
//!             Relaying ──FIN──► HalfClosed ──Close, fault, life, drain, ...──► Closing
//!                 │               │    │                                         │
//!               reset    reset ───┘    └─ both legs over,                        └─ both legs over, or linger
//!                 ▼        ▼              or no byte for the linger time            time over, or reset
//!                 └────────┴───────────────────┴──► Ended ◄──────────────────────┘
//! ```
//!
//! *HalfClosed*: one leg has sent its FIN, which was passed on to the other leg in kind. The other leg's bytes are relayed for as
//! long as bytes move. *Closing*: a Close frame is under way, or a leg is lost. The remaining time is fixed.
//!
//! The first cause is the cause of the session. Later events change the bytes that the legs receive and the length of the end.
//!
//! The property to trust: the bytes that leave on a leg are a prefix of the bytes that came from the other one, plus at
//! most one Close frame of ringgate's own, which stands on a frame boundary and is the last thing that leaves.
//!
//! Each leg has an intake and an outlet (`leg`).
//!
//! Not here: the end of a session (`ending`), and the export to another process (`export`).

mod ending;
mod export;
mod leg;

use self::ending::{Linger, SessionEnd};
use self::leg::{Ending, Intake, LegState, Outlet};
use super::effect::{Effect, Effects};
use super::invariant::BrokenInvariant;
use super::signs_of_life::{Acknowledged, SignsOfLife};
use super::termination::Cause;
use super::{Leg, Moment};
use crate::limits::{OWED_BYTES_HIGH, OWED_BYTES_LOW, RECORD_TIMEOUT_MS};
use crate::websocket::frame::{FrameFault, Sender};
use crate::websocket::received_close::ReceivedClose;
use crate::websocket::scanner::{FrameRules, Held, ScanStop};
use crate::websocket::tally::Tally;

/// The limits of a session: sizes and times. They are copied from the API, so that a session keeps no snapshot alive.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// How frames are judged; absent for an opaque session, which gets plain ends only and no counts.
    pub frames: Option<FrameRules>,
    /// Milliseconds without a sign of life after which the session ends (`idle`): nothing came and nothing was acknowledged,
    /// or one endpoint acknowledged nothing of what stood unacknowledged.
    pub idle_timeout_ms: u64,
    /// Milliseconds after which the session ends whatever it does (`longest_life`); absent for none.
    pub longest_life_ms: Option<u64>,
    /// Milliseconds that a session has for its end: from the first Close or fault to both legs' ends. When one leg has only
    /// ended what it sends (FIN): milliseconds without a byte either way after which the session ends.
    pub linger_ms: u64,
}

/// How a leg went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// An orderly end of what it sends (FIN).
    Finished,
    /// An end of what it sends without the close_notify that TLS has for it.
    Truncated,
    /// A reset, or the connection broke.
    Reset,
    /// Its system acknowledged nothing for so long that the connection was given up.
    Dead,
    /// Its system answered, and took nothing for so long that the connection was given up.
    Stalled,
}

/// The state of one session. Each call appends what is to be done to `effects`; the caller carries it out in order.
///
/// A call that finds a broken invariant says so instead: what it has appended until then is void, and [`Session::break_off`]
/// is all that may follow.
#[derive(Clone)]
pub struct Session {
    legs: [LegState; 2],
    limits: SessionLimits,
    /// Masks the one frame that ringgate may make towards the backend; from a random source (RFC 6455 §5.3).
    mask: [u8; 4],
    life_until: Option<Moment>,
    signs: SignsOfLife,
    /// When bytes moved last, either way; what a socket took counts, whoever takes it.
    active_at: Moment,
    end: Option<SessionEnd>,
    /// The leg whose Close frame came first.
    closed_first: Option<Leg>,
    /// Its counts are reported once in a while ([`Session::reporting_progress`]).
    reports_progress: bool,
    is_over: bool,
}

/// Without the mask, which is a secret, and without anything that a peer said.
impl core::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("end", &self.end)
            .field("closed_first", &self.closed_first)
            .field("is_over", &self.is_over)
            .field("is_opaque", &self.limits.frames.is_none())
            .field("active_at", &self.active_at)
            .field("downstream", &self.legs[0])
            .field("upstream", &self.legs[1])
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session whose 101 has just been sent.
    pub fn new(limits: SessionLimits, mask: [u8; 4], now: Moment) -> Self {
        Self {
            legs: [LegState::new(Sender::Client), LegState::new(Sender::Server)],
            limits,
            mask,
            life_until: limits.longest_life_ms.map(|millis| now.after_millis(millis)),
            signs: SignsOfLife::new(limits.idle_timeout_ms, now),
            active_at: now,
            end: None,
            closed_first: None,
            reports_progress: false,
            is_over: false,
        }
    }

    /// The bytes of these legs are wrapped in records, which say when they end.
    #[must_use]
    pub fn with_records(mut self, is_wrapped: [bool; 2]) -> Self {
        for leg in Leg::BOTH {
            self.legs[leg as usize].is_wrapped = is_wrapped[leg as usize];
        }
        self
    }

    /// Its counts so far are reported every [`PROGRESS_INTERVAL_MS`](crate::limits::PROGRESS_INTERVAL_MS), if `is_reported`.
    /// Default: they are not.
    #[must_use]
    pub fn reporting_progress(mut self, is_reported: bool) -> Self {
        self.reports_progress = is_reported;
        self
    }

    /// Whether its counts are to be reported once in a while.
    pub fn reports_progress(&self) -> bool {
        self.reports_progress
    }

    /// Why the session ends, and the leg that it comes from (absent if ringgate itself ends it), once that stands.
    pub fn ending(&self) -> Option<(Cause, Option<Leg>)> {
        self.end.as_ref().map(|end| (end.cause, end.by))
    }

    /// Bytes of `leg` that were queued towards the other one, heads of frames included.
    pub fn relayed_bytes(&self, leg: Leg) -> u64 {
        self.legs[leg as usize].relayed_bytes
    }

    /// The Close frame that `leg` has sent, if it has a code.
    pub fn close_of(&self, leg: Leg) -> Option<&ReceivedClose> {
        let state = &self.legs[leg as usize];
        state.scanner.close().filter(|_| state.close_received)
    }

    /// Takes the Close frames that the legs sent, for whoever reports the session's end.
    pub fn take_closes(&mut self) -> [Option<Box<ReceivedClose>>; 2] {
        self.legs.each_mut().map(|state| state.scanner.take_close().filter(|_| state.close_received))
    }

    /// The code of the first Close frame that a leg sent, if one did and had one.
    fn close_code(&self) -> Option<u16> {
        self.closed_first.and_then(|leg| self.close_of(leg)).map(ReceivedClose::code)
    }

    /// Whether `leg` is not to be read for now.
    pub fn is_paused(&self, leg: Leg) -> bool {
        self.legs[leg as usize].is_paused
    }

    /// Whether the last effect, `Ended`, was made.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether nothing more is to be sent to `leg`, not even by the records around its bytes.
    pub fn is_shut(&self, leg: Leg) -> bool {
        self.is_over || matches!(self.legs[leg as usize].outlet, Outlet::Shut)
    }

    /// Returns the counts of what `leg` has sent so far, by kind. They stay zero for an opaque session.
    pub fn tally(&self, leg: Leg) -> &Tally {
        self.legs[leg as usize].scanner.tally()
    }

    /// When [`Session::handle_deadline`] is due. It moves later by itself; earlier only with `Effect::Deadline`.
    pub fn next_deadline(&self) -> Moment {
        let silent_until = match self.end.as_ref().map(|end| end.linger) {
            Some(Linger::Until(until)) => return until,
            Some(Linger::WhileBytesMove) => {
                self.active_at.after_millis(self.limits.linger_ms.min(self.limits.idle_timeout_ms))
            }
            None => self.signs.next_deadline(self.limits.idle_timeout_ms),
        };
        let cut_until = Leg::BOTH.map(|leg| self.cut_until(leg));
        cut_until.into_iter().chain([self.life_until]).flatten().fold(silent_until, Moment::min)
    }

    /// When the incomplete record of a leg is late. A leg that is not read cannot finish one.
    fn cut_until(&self, leg: Leg) -> Option<Moment> {
        let state = &self.legs[leg as usize];
        state.cut_since.filter(|_| !state.is_paused).map(|since| since.after_millis(RECORD_TIMEOUT_MS))
    }

    /// Bytes came from `leg`.
    ///
    /// # Errors
    /// The session is broken.
    pub fn handle_bytes(
        &mut self,
        leg: Leg,
        bytes: &[u8],
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), BrokenInvariant> {
        if self.is_over {
            return Ok(());
        }
        self.signs.heard(leg, now);
        self.active_at = now;
        match self.legs[leg as usize].intake {
            Intake::Relayed => {
                let outlet = &self.legs[leg.other() as usize].outlet;
                if !matches!(outlet, Outlet::Open | Outlet::ClosingAt { .. }) {
                    return Err(BrokenInvariant::RelaysToClosedLeg { from: leg });
                }
                self.relay_bytes(leg, bytes, now, effects);
            }
            Intake::Dropped => self.drop_bytes(leg, bytes, effects),
            Intake::Ignored | Intake::Over => {}
        }
        Ok(())
    }

    /// Payload of a frame that `leg` is sending, in bytes, that may go to the other leg without being looked at. 0: what comes
    /// is to be handed to [`Session::handle_bytes`].
    pub fn unseen_bytes(&self, leg: Leg) -> u64 {
        let state = &self.legs[leg as usize];
        let is_relayed = matches!(state.intake, Intake::Relayed) && !self.is_over;
        if is_relayed && self.limits.frames.is_some() { state.scanner.payload_left() } else { 0 }
    }

    /// The largest payload, in bytes, that a frame of `leg` declared since this was last asked.
    pub fn take_largest_frame(&mut self, leg: Leg) -> u64 {
        self.legs[leg as usize].scanner.take_largest()
    }

    /// How many frames of `leg` began since this was last asked; 0 for an opaque session.
    pub fn take_frames(&mut self, leg: Leg) -> u32 {
        self.legs[leg as usize].scanner.take_frames()
    }

    /// So many bytes of `leg`, at most [`Session::unseen_bytes`], are on their way to the other one: there is nothing to
    /// forward.
    ///
    /// # Errors
    /// The session is broken.
    pub fn handle_passed(
        &mut self,
        leg: Leg,
        bytes: u64,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), BrokenInvariant> {
        self.signs.heard(leg, now);
        self.active_at = now;
        self.legs[leg as usize]
            .scanner
            .pass_unseen(bytes)
            .map_err(|passed| BrokenInvariant::PassedMoreThanPayload { from: leg, passed })?;
        self.owe(leg, bytes, effects);
        let other = leg.other();
        if let Outlet::ClosingAt { code, cause } = self.legs[other as usize].outlet
            && self.legs[leg as usize].scanner.is_at_boundary()
        {
            self.inject_close(other, code, cause, effects);
            self.settle(effects);
        }
        Ok(())
    }

    /// So many of the bytes queued towards `leg` were sent.
    ///
    /// # Errors
    /// The session is broken.
    pub fn handle_sent(
        &mut self,
        leg: Leg,
        bytes: u64,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<(), BrokenInvariant> {
        self.signs.sent(leg);
        self.active_at = now;
        if self.is_over {
            return Ok(());
        }
        let state = &mut self.legs[leg as usize];
        // To a leg that was given up nothing is owed, though a send to it may have been in flight.
        if bytes > state.owed_bytes && !matches!(state.outlet, Outlet::Shut) {
            return Err(BrokenInvariant::SentMoreThanOwed { to: leg, sent: bytes, owed: state.owed_bytes });
        }
        state.owed_bytes = state.owed_bytes.saturating_sub(bytes);
        let (owed, outlet) = (state.owed_bytes, state.outlet);
        let source = leg.other();
        if owed <= OWED_BYTES_LOW && self.legs[source as usize].is_paused {
            self.resume(source, now, effects);
        }
        if owed == 0 && matches!(outlet, Outlet::Finishing(_)) {
            self.settle(effects);
        }
        Ok(())
    }

    /// `leg` ended what it sends, or broke.
    pub fn handle_gone(&mut self, leg: Leg, how: Gone, now: Moment, effects: &mut Effects) {
        if self.is_over {
            return;
        }
        match how {
            Gone::Finished => self.end_stream(leg, Cause::Ended, now, effects),
            Gone::Truncated => self.end_stream(leg, Cause::Truncated, now, effects),
            Gone::Reset => self.handle_reset(leg, now, effects),
            Gone::Dead => self.abandon(leg, Cause::DeadPeer, Effect::Discard { leg }, now, effects),
            Gone::Stalled => self.abandon(leg, Cause::SlowReader, Effect::Discard { leg }, now, effects),
        }
    }

    /// The end of the records towards `leg`, which [`Effect::SayEnd`] asked for, is queued: so many bytes, at least one.
    pub fn handle_end_said(&mut self, leg: Leg, bytes: u64) {
        debug_assert!(bytes > 0, "an end of records of no bytes");
        let state = &mut self.legs[leg as usize];
        state.owed_bytes += bytes;
        if matches!(state.outlet, Outlet::Saying) {
            state.outlet = Outlet::Finishing(Ending::Bare);
        }
    }

    /// Counts the bytes that a record layer adds to those queued towards `leg`: they are owed like the others.
    pub fn handle_wrapped(&mut self, leg: Leg, added_bytes: u64) {
        self.legs[leg as usize].owed_bytes += added_bytes;
    }

    /// Notes whether the bytes from `leg` end within a record, or at the end of one.
    pub fn handle_cut(&mut self, leg: Leg, is_within_record: bool, now: Moment, effects: &mut Effects) {
        self.legs[leg as usize].cut_since = is_within_record.then_some(now);
        if is_within_record && !self.is_over && !self.is_closing() {
            effects.push(Effect::Deadline(self.next_deadline()));
        }
    }

    /// `leg` sent a record that is wrong: nothing more of it can be understood, and it takes nothing more.
    pub fn handle_record_fault(&mut self, leg: Leg, now: Moment, effects: &mut Effects) {
        if self.is_over {
            return;
        }
        self.abandon(leg, Cause::RecordFault, Effect::Discard { leg }, now, effects);
    }

    /// Whether [`Session::handle_acknowledged`] is to be called before [`Session::handle_deadline`].
    pub fn awaits_acknowledged(&self, leg: Leg, now: Moment) -> bool {
        let is_open = self.end.is_none() && !self.is_over;
        is_open && self.signs.is_look_due(leg, self.limits.idle_timeout_ms, now)
    }

    /// Takes the number of bytes that the endpoint of `leg` has acknowledged.
    pub fn handle_acknowledged(&mut self, leg: Leg, acknowledged: Acknowledged, now: Moment) {
        self.signs.acknowledged(leg, acknowledged, now);
    }

    /// A deadline may have passed.
    pub fn handle_deadline(&mut self, now: Moment, effects: &mut Effects) {
        if self.is_over || now < self.next_deadline() {
            return;
        }
        if self.is_closing() {
            self.finish(effects);
        } else if self.life_until.is_some_and(|life_until| life_until <= now) {
            self.end_by_ringgate(Cause::LongestLife, now, effects);
        } else if let Some(leg) =
            Leg::BOTH.into_iter().find(|leg| self.cut_until(*leg).is_some_and(|until| until <= now))
        {
            self.handle_record_fault(leg, now, effects);
        } else if self.end.is_some() {
            // What was left of a half-closed session has fallen silent.
            self.finish(effects);
        } else if self.signs.is_idle(self.limits.idle_timeout_ms, now) {
            self.end_by_ringgate(Cause::Idle, now, effects);
        }
    }

    /// `leg` has fallen behind, and what it is owed waits where there is little room: the other one is not read until some
    /// of that is taken.
    pub fn handle_slow(&mut self, leg: Leg, effects: &mut Effects) {
        let source = leg.other();
        if self.is_over || self.is_closing() || self.legs[source as usize].is_paused {
            return;
        }
        self.legs[source as usize].is_paused = true;
        effects.push(Effect::Pause { leg: source });
    }

    fn relay_bytes(&mut self, leg: Leg, bytes: &[u8], now: Moment, effects: &mut Effects) {
        let Some(rules) = self.limits.frames else {
            return self.forward(leg, Held::default(), bytes.len(), effects);
        };
        let other = leg.other();
        if let Outlet::ClosingAt { code, cause } = self.legs[other as usize].outlet {
            let (passing, stop) = self.legs[leg as usize].scanner.finish_frame(bytes);
            self.forward(leg, Held::default(), passing, effects);
            if let Some(ScanStop::Closed(_)) = stop {
                self.handle_close_frame(leg, now, effects);
            } else if self.legs[leg as usize].scanner.is_at_boundary() {
                self.inject_close(other, code, cause, effects);
                self.drop_bytes(leg, &bytes[passing..], effects);
                // The leg that was just told may have been done for long.
                self.settle(effects);
            }
            return;
        }
        let scan = self.legs[leg as usize].scanner.scan(bytes, &rules);
        self.forward(leg, scan.held, scan.forward_bytes, effects);
        match scan.stop {
            None => {}
            Some(ScanStop::Closed(_)) => self.handle_close_frame(leg, now, effects),
            Some(ScanStop::Fault(fault)) => self.handle_fault(leg, fault, now, effects),
        }
    }

    /// The other leg takes nothing more: what still comes only matters as far as it holds a Close frame.
    fn drop_bytes(&mut self, leg: Leg, bytes: &[u8], effects: &mut Effects) {
        let Some(rules) = self.limits.frames else { return };
        let state = &mut self.legs[leg as usize];
        match state.scanner.scan(bytes, &rules).stop {
            None => {}
            Some(ScanStop::Closed(_)) => {
                state.intake = Intake::Ignored;
                self.note_close(leg);
                self.settle(effects);
            }
            Some(ScanStop::Fault(_)) => {
                state.intake = Intake::Ignored;
                state.is_broken = true;
                self.settle(effects);
            }
        }
    }

    fn forward(&mut self, from: Leg, held: Held, bytes: usize, effects: &mut Effects) {
        let queued = (held.as_bytes().len() + bytes) as u64;
        if queued == 0 {
            return;
        }
        effects.push(Effect::Forward { to: from.other(), held, range: 0..bytes });
        self.owe(from, queued, effects);
    }

    /// So much more of what `from` sent is on its way to the other leg.
    fn owe(&mut self, from: Leg, queued: u64, effects: &mut Effects) {
        let to = from.other();
        self.legs[from as usize].relayed_bytes += queued;
        let target = &mut self.legs[to as usize];
        target.owed_bytes += queued;
        if target.owed_bytes >= OWED_BYTES_HIGH && !self.legs[from as usize].is_paused {
            self.legs[from as usize].is_paused = true;
            effects.push(Effect::Pause { leg: from });
        }
    }

    /// A Close frame of `leg` was passed on to the other one, as it came.
    fn handle_close_frame(&mut self, leg: Leg, now: Moment, effects: &mut Effects) {
        self.legs[leg as usize].intake = Intake::Ignored;
        self.note_close(leg);
        self.legs[leg.other() as usize].outlet = Outlet::Closed;
        self.begin_end(Cause::Closed, Some(leg), now, effects);
        self.settle(effects);
    }

    /// Notes whose Close frame came first: an answer to one without a code does not stand in for it.
    fn note_close(&mut self, leg: Leg) {
        self.closed_first.get_or_insert(leg);
        self.legs[leg as usize].close_received = true;
    }

    fn handle_fault(&mut self, leg: Leg, fault: FrameFault, now: Moment, effects: &mut Effects) {
        let state = &mut self.legs[leg as usize];
        state.intake = Intake::Ignored;
        state.is_broken = true;
        let cause = match fault {
            FrameFault::FrameTooBig(_) => Cause::FrameTooBig,
            FrameFault::MessageTooBig(_) => Cause::MessageTooBig,
            FrameFault::ReservedBitSet
            | FrameFault::UnknownOpcode(_)
            | FrameFault::NotMasked
            | FrameFault::Masked
            | FrameFault::LengthNotMinimal
            | FrameFault::LengthTopBitSet
            | FrameFault::ControlFrameTooLong
            | FrameFault::ControlFrameFragmented
            | FrameFault::ContinuationWithoutMessage
            | FrameFault::MessageInsideMessage
            | FrameFault::ClosePayloadOfOneByte
            | FrameFault::CloseCodeNotAllowed(_) => Cause::FrameFault,
        };
        self.begin_end(cause, Some(leg), now, effects);
        // The fault was found at a header, so the stream towards the other leg stands at a boundary. One of the legs may have
        // been told something before: then it hears nothing more.
        for told in [leg, leg.other()] {
            self.tell(told, cause, Some(leg), effects);
        }
        self.settle(effects);
    }

    fn resume(&mut self, leg: Leg, now: Moment, effects: &mut Effects) {
        let state = &mut self.legs[leg as usize];
        state.is_paused = false;
        effects.push(Effect::Resume { leg });
        if state.cut_since.is_some() {
            state.cut_since = Some(now);
            if !self.is_closing() {
                effects.push(Effect::Deadline(self.next_deadline()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
