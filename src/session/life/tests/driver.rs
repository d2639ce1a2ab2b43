//! Carries out a session's effects as a relay does, into plain vectors, and checks the session's promises after every call.
//!
//! It names the crate from outside, because the fuzzer uses it too.

use ringgate::limits::{OWED_BYTES_HIGH, OWED_BYTES_LOW};
use ringgate::session::life::{Gone, Session, SessionLimits};
use ringgate::session::{Acknowledged, Cause, Effect, Effects, Leg, Moment, Termination};
use ringgate::websocket::reserved_bits::ReservedBits;
use ringgate::websocket::scanner::FrameRules;

pub(super) const IDLE_MS: u64 = 60_000;
pub(super) const LINGER_MS: u64 = 5_000;
pub(super) const FRAME_BYTES_MAX: u64 = 2 * 1024 * 1024;
pub(super) const MESSAGE_BYTES_MAX: u64 = 3 * 1024 * 1024;
pub(super) const MASK: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];

/// Bytes of a close_notify, sealed.
const ALERT_BYTES: usize = 24;

pub(super) const STRICT: SessionLimits = SessionLimits {
    frames: Some(FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: FRAME_BYTES_MAX,
        message_bytes_max: MESSAGE_BYTES_MAX,
    }),
    idle_timeout_ms: IDLE_MS,
    longest_life_ms: None,
    linger_ms: LINGER_MS,
};

pub(super) const OPAQUE: SessionLimits = SessionLimits { frames: None, ..STRICT };

/// A whole frame as `from` makes it: a client's is masked.
pub(super) fn frame(from: Leg, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(from, first, payload.len() as u64);
    let mask = if from == Leg::Downstream { [1, 2, 3, 4] } else { [0; 4] };
    bytes.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A header as `from` makes it, in as few bytes as the length takes.
pub(super) fn header(from: Leg, first: u8, payload_bytes: u64) -> Vec<u8> {
    let bit = if from == Leg::Downstream { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload_bytes {
        0..=125 => bytes.push(bit | payload_bytes as u8),
        126..=65_535 => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&payload_bytes.to_be_bytes());
        }
    }
    if from == Leg::Downstream {
        bytes.extend_from_slice(&[1, 2, 3, 4]);
    }
    bytes
}

pub(super) fn close(from: Leg, code: u16, reason: &str) -> Vec<u8> {
    frame(from, 0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A frame read back: first byte, whether it was masked, payload unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) first: u8,
    pub(super) is_masked: bool,
    pub(super) payload: Vec<u8>,
}

/// Reads whole frames; gives also how many bytes of an unfinished one are behind them. Shares no code with the scanner.
pub(super) fn read_frames(bytes: &[u8]) -> (Vec<Read>, usize) {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((read, len)) = read_frame(rest) {
        frames.push(read);
        rest = &rest[len..];
    }
    (frames, rest.len())
}

fn read_frame(bytes: &[u8]) -> Option<(Read, usize)> {
    let short = usize::from(bytes.get(1)? & 0x7f);
    let (length, mut at) = match short {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        short => (short, 2),
    };
    let is_masked = bytes[1] & 0x80 != 0;
    let mut mask = [0; 4];
    if is_masked {
        mask = bytes.get(at..at + 4)?.try_into().ok()?;
        at += 4;
    }
    let payload = bytes.get(at..at.checked_add(length)?)?;
    let payload = payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((Read { first: bytes[0], is_masked, payload }, at + length))
}

/// The record of one leg: what was done to it, and what came from it.
#[derive(Default)]
pub(super) struct End {
    /// All that it sent.
    pub(super) came: Vec<u8>,
    /// All that was queued towards it.
    pub(super) queued: Vec<u8>,
    /// How much of that, and of the end of its records, it took.
    pub(super) sent: usize,
    /// Bytes of the end of its records (close_notify), once that is queued.
    said_bytes: usize,
    /// The end of its records was queued, or sent at once.
    pub(super) is_end_said: bool,
    /// How much of that came from the other leg, once a Close frame of ours is queued behind it.
    pub(super) farewell_at: Option<usize>,
    pub(super) is_paused: bool,
    /// It was said to have fallen behind, and has taken nothing since.
    pub(super) is_slow: bool,
    pub(super) is_shut: bool,
    pub(super) is_discarded: bool,
    pub(super) is_reset: bool,
    /// Its FIN or reset was told to the session.
    pub(super) is_gone: bool,
    /// It has vanished: it acknowledges nothing more.
    pub(super) is_vanished: bool,
    /// When it last acknowledged something, and how much it was sent when it vanished.
    acknowledged_at: u64,
    acknowledged: usize,
}

impl End {
    pub(super) fn owed(&self) -> u64 {
        if self.is_discarded { 0 } else { (self.queued.len() + self.said_bytes - self.sent) as u64 }
    }

    /// The Close frame of ours: its code and reason.
    pub(super) fn farewell(&self) -> Option<(u16, String)> {
        let (frames, rest) = read_frames(&self.queued[self.farewell_at?..]);
        assert_eq!((frames.len(), rest, frames[0].first), (1, 0, 0x88), "{frames:?}");
        let (code, reason) = frames[0].payload.split_at(2);
        Some((u16::from_be_bytes([code[0], code[1]]), String::from_utf8(reason.to_vec()).unwrap()))
    }
}

pub(super) struct Driver {
    pub(super) session: Session,
    pub(super) ends: [End; 2],
    /// Milliseconds since the session began.
    pub(super) now: u64,
    pub(super) ended: Option<Termination>,
    /// All effects so far, each with what `now` was; deadlines count from `now`.
    pub(super) effects_made: Vec<(u64, Effect)>,
    /// How often the session has moved.
    pub(super) moves: usize,
    /// The value of `now` when the clock of the session's process began.
    clock_began_at: u64,
    is_opaque: bool,
    /// The deadline, as a relay's timer wheel holds it.
    deadline: Moment,
    effects: Effects,
}

impl Driver {
    /// A session on plain connections.
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self::on(limits, [false; 2])
    }

    /// A session some of whose legs are wrapped in records.
    pub(super) fn on(limits: SessionLimits, is_wrapped: [bool; 2]) -> Self {
        let session = Session::new(limits, MASK, Moment::ZERO).with_records(is_wrapped);
        Self {
            deadline: session.next_deadline(),
            session,
            ends: Default::default(),
            now: 0,
            ended: None,
            effects_made: Vec::new(),
            moves: 0,
            clock_began_at: 0,
            is_opaque: limits.frames.is_none(),
            effects: Effects::new(),
        }
    }

    pub(super) fn end(&self, leg: Leg) -> &End {
        &self.ends[leg as usize]
    }

    fn end_mut(&mut self, leg: Leg) -> &mut End {
        &mut self.ends[leg as usize]
    }

    pub(super) fn bytes(&mut self, from: Leg, bytes: &[u8]) -> &mut Self {
        self.end_mut(from).came.extend_from_slice(bytes);
        let queued_before = self.end(from.other()).queued.len();
        self.session.handle_bytes(from, bytes, self.moment(), &mut self.effects).unwrap();
        self.carry_out(bytes);
        let target = self.end(from.other());
        if target.queued.len() > queued_before && target.owed() >= OWED_BYTES_HIGH && self.ended.is_none() {
            let is_ours = target.farewell_at.is_some();
            assert!(self.end(from).is_paused || is_ours, "{from:?} is read on although too much is owed");
        }
        self
    }

    pub(super) fn sent(&mut self, to: Leg, bytes: u64) -> &mut Self {
        let bytes = bytes.min(self.end(to).owed());
        if bytes > 0 && self.ended.is_some() {
            // What an ended session owed is thrown away.
            self.end_mut(to).is_discarded = true;
        } else if bytes > 0 {
            let now = self.now;
            let end = self.end_mut(to);
            end.sent += bytes as usize;
            end.is_slow = false;
            if !end.is_vanished {
                (end.acknowledged, end.acknowledged_at) = (end.sent, now);
            }
            self.session.handle_sent(to, bytes, self.moment(), &mut self.effects).unwrap();
            self.carry_out(&[]);
        }
        self
    }

    pub(super) fn all_sent(&mut self) -> &mut Self {
        while Leg::BOTH.iter().any(|leg| self.end(*leg).owed() > 0) {
            self.sent(Leg::Downstream, u64::MAX).sent(Leg::Upstream, u64::MAX);
        }
        self
    }

    pub(super) fn gone(&mut self, leg: Leg, how: Gone) -> &mut Self {
        self.end_mut(leg).is_gone = true;
        self.session.handle_gone(leg, how, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    pub(super) fn finished(&mut self, leg: Leg) -> &mut Self {
        self.gone(leg, Gone::Finished)
    }

    pub(super) fn reset(&mut self, leg: Leg) -> &mut Self {
        self.gone(leg, Gone::Reset)
    }

    /// From here on `leg` acknowledges nothing.
    pub(super) fn vanished(&mut self, leg: Leg) -> &mut Self {
        self.end_mut(leg).is_vanished = true;
        self
    }

    /// Time passes; the deadline fires when the timer that a relay would have set is due.
    pub(super) fn pass(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        while self.ended.is_none() && self.deadline <= self.moment() {
            for leg in Leg::BOTH {
                if self.session.awaits_acknowledged(leg, self.moment()) {
                    let end = self.end(leg);
                    let is_all = end.acknowledged == end.sent;
                    let acknowledged = Acknowledged { is_all, ms_ago: self.now - end.acknowledged_at };
                    self.session.handle_acknowledged(leg, acknowledged, self.moment());
                }
            }
            self.session.handle_deadline(self.moment(), &mut self.effects);
            self.deadline = self.session.next_deadline();
            self.carry_out(&[]);
        }
        self
    }

    pub(super) fn slow(&mut self, leg: Leg) -> &mut Self {
        if self.end(leg).owed() > 0 && self.ended.is_none() {
            self.end_mut(leg).is_slow = true;
            self.session.handle_slow(leg, &mut self.effects);
            self.carry_out(&[]);
        }
        self
    }

    pub(super) fn end_slow_reader(&mut self, leg: Leg) -> &mut Self {
        self.session.end_slow_reader(leg, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    /// Sets whether the bytes from `leg` end within a record.
    pub(super) fn within_record(&mut self, leg: Leg, is_within: bool) -> &mut Self {
        self.session.handle_cut(leg, is_within, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    pub(super) fn record_fault(&mut self, leg: Leg) -> &mut Self {
        self.end_mut(leg).is_gone = true;
        self.session.handle_record_fault(leg, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    pub(super) fn end_by_ringgate(&mut self, cause: Cause) -> &mut Self {
        self.session.end_by_ringgate(cause, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    pub(super) fn cut(&mut self, cause: Cause) -> &mut Self {
        self.session.cut(cause, self.moment(), &mut self.effects);
        self.carry_out(&[]);
        self
    }

    /// Every leg that is still there answers a Close that it got and ends, as endpoints do; all is sent.
    pub(super) fn endpoints_end(&mut self) -> &mut Self {
        self.all_sent();
        for leg in Leg::BOTH {
            if !self.end(leg).is_gone {
                self.finished(leg);
            }
            self.all_sent();
        }
        self
    }

    /// The session goes on in another process, whose clock has just begun. One that is over stays.
    pub(super) fn moved(&mut self) -> &mut Self {
        let Some(exported) = self.session.export(self.moment()) else {
            assert!(self.ended.is_some(), "a session that is not over can move");
            return self;
        };
        self.moves += 1;
        self.clock_began_at = self.now;
        self.session = Session::import(&exported, self.moment()).expect("what was exported is imported");
        self.deadline = self.session.next_deadline();
        let again = self.session.export(self.moment());
        assert_eq!(again.as_deref(), Some(&*exported), "nothing is lost on the way");
        self.check();
        self
    }

    #[track_caller]
    pub(super) fn assert_ended(&self, cause: Cause, by: Option<Leg>) {
        let ended = self.ended.expect("the session has ended");
        assert_eq!((ended.cause, ended.by), (cause, by));
    }

    pub(super) fn moment(&self) -> Moment {
        Moment::from_millis(self.now - self.clock_began_at)
    }

    fn note(&mut self, effect: &Effect) {
        let mut effect = effect.clone();
        if let Effect::Deadline(at) = &mut effect {
            *at = Moment::from_millis(at.millis_since(self.moment()));
        }
        self.effects_made.push((self.now, effect));
    }

    fn carry_out(&mut self, bytes: &[u8]) {
        let mut forwards = 0;
        for effect in std::mem::take(&mut self.effects) {
            assert_eq!(self.ended, None, "nothing follows Ended, but {effect:?} did");
            self.note(&effect);
            match effect {
                Effect::Forward { to, held, range } => {
                    forwards += 1;
                    let end = self.end_mut(to);
                    assert!(end.is_open(), "forwarded to {to:?}, which takes nothing more");
                    end.queued.extend_from_slice(held.as_bytes());
                    end.queued.extend_from_slice(&bytes[range]);
                }
                Effect::Inject { to, frame } => {
                    assert!(!self.is_opaque, "an opaque session knows no boundary");
                    let end = self.end_mut(to);
                    assert!(end.is_open(), "a Close of ours to {to:?}, which takes nothing more");
                    let (_, unfinished) = read_frames(&end.queued);
                    assert_eq!(unfinished, 0, "the Close of ours to {to:?} stands inside a frame");
                    end.farewell_at = Some(end.queued.len());
                    end.queued.extend_from_slice(frame.as_bytes());
                }
                Effect::InjectNow { to, frame } => {
                    assert!(!self.is_opaque, "an opaque session knows no boundary");
                    let end = self.end_mut(to);
                    assert!(
                        end.is_open() && end.owed() == 0,
                        "a last Close to {to:?}, which is owed something"
                    );
                    let (_, unfinished) = read_frames(&end.queued);
                    assert_eq!(unfinished, 0, "the last Close to {to:?} stands inside a frame");
                    end.farewell_at = Some(end.queued.len());
                    end.queued.extend_from_slice(frame.as_bytes());
                    end.sent = end.queued.len();
                }
                Effect::SayEnd { leg } => {
                    let end = self.end_mut(leg);
                    assert_eq!(end.owed(), 0, "the end of the records is said with bytes owed");
                    assert!(!std::mem::replace(&mut end.is_end_said, true), "an end said twice");
                    assert!(
                        !end.is_shut && !end.is_discarded,
                        "an end said to {leg:?}, which takes nothing more"
                    );
                    end.said_bytes = ALERT_BYTES;
                    self.session.handle_end_said(leg, ALERT_BYTES as u64);
                }
                Effect::SayEndNow { leg } => {
                    let end = self.end_mut(leg);
                    assert_eq!(end.owed(), 0, "the end of the records is said with bytes owed");
                    assert!(!std::mem::replace(&mut end.is_end_said, true), "an end said twice");
                    assert!(
                        !end.is_shut && !end.is_discarded,
                        "an end said to {leg:?}, which takes nothing more"
                    );
                }
                Effect::Pause { leg } => {
                    assert!(!std::mem::replace(&mut self.end_mut(leg).is_paused, true), "paused twice");
                }
                Effect::Resume { leg } => {
                    assert!(std::mem::replace(&mut self.end_mut(leg).is_paused, false), "resumed twice");
                }
                Effect::Shutdown { leg } => {
                    let end = self.end_mut(leg);
                    assert_eq!(end.owed(), 0, "shut down with bytes owed");
                    assert!(!std::mem::replace(&mut end.is_shut, true), "shut down twice");
                    assert!(!end.is_discarded, "shut down when nobody takes it any more");
                }
                Effect::Discard { leg } => self.end_mut(leg).is_discarded = true,
                Effect::Reset { leg } => {
                    self.end_mut(leg).is_discarded = true;
                    self.end_mut(leg).is_reset = true;
                }
                Effect::Deadline(at) => self.deadline = at,
                Effect::Ended(termination) => self.ended = Some(termination),
            }
        }
        assert!(forwards <= 1, "one call forwards once");
        self.check();
    }

    /// Checks the invariants that hold after every call.
    fn check(&self) {
        assert_eq!(self.session.is_over(), self.ended.is_some());
        for leg in Leg::BOTH {
            let (end, source) = (self.end(leg), self.end(leg.other()));
            let relayed = &end.queued[..end.farewell_at.unwrap_or(end.queued.len())];
            assert!(source.came.starts_with(relayed), "{leg:?} gets what the other leg sent");
            if self.ended.is_some() {
                continue;
            }
            assert_eq!(self.session.is_paused(leg), end.is_paused);
            if self.end(leg.other()).owed() <= OWED_BYTES_LOW && !self.end(leg.other()).is_slow {
                assert!(!end.is_paused, "{leg:?} stays paused although little is owed to the other leg");
            }
            if end.is_gone && end.farewell_at.is_some() && end.owed() == 0 {
                assert!(end.is_shut || end.is_discarded, "{leg:?} was told and is gone, and hangs");
            }
            if self.is_opaque {
                assert_eq!(self.session.tally(leg), &Default::default(), "an opaque session counts nothing");
            }
            // The timer fires no later than the session needs it to.
            assert!(self.deadline <= self.session.next_deadline(), "a deadline moved earlier unsaid");
        }
    }
}

impl End {
    fn is_open(&self) -> bool {
        self.farewell_at.is_none() && !self.is_shut && !self.is_discarded && !self.is_end_said
    }
}
