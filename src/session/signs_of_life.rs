//! Decides when a session is idle: by what its endpoints sent, and by what they acknowledged.
//!
//! A successful send tells nothing about the endpoint: the kernel also accepts bytes for an endpoint that vanished long ago. The
//! kernel does know what an endpoint has acknowledged. The shell asks the kernel when [`SignsOfLife::is_look_due`] says so, and
//! passes the answer in: a few times per idle time-out, and only for a leg that was sent something since the last answer.
//!
//! A session is idle when, for its idle time-out,
//!
//! - neither endpoint sent anything, or acknowledged anything that was sent to it; or
//! - one endpoint did neither, and bytes for it stood unacknowledged all that time, whatever the other one sends.

use super::{Leg, Moment};
use crate::export::{ExportFault, FieldReader, FieldWriter};
use crate::limits::IDLE_LOOKS;

/// The bytes that an endpoint has acknowledged, of all that was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Whether it has acknowledged everything that its socket was given.
    pub is_all: bool,
    /// Milliseconds since it last acknowledged bytes that it had not acknowledged before.
    pub ms_ago: u64,
}

#[derive(Clone, Copy, Debug)]
struct LegSigns {
    /// When the endpoint last sent something or, as far as is known, acknowledged something.
    heard_at: Moment,
    /// Something was sent to it, and whether it has acknowledged all of that is not known.
    has_to_acknowledge: bool,
    /// Since when bytes are known to stand unacknowledged, without one of them having been acknowledged since.
    stands_since: Option<Moment>,
}

impl LegSigns {
    /// When the session is idle because of this leg alone, unless the endpoint shows life until then.
    fn idle_at(&self, timeout_ms: u64) -> Option<Moment> {
        self.stands_since.map(|since| since.max(self.heard_at).after_millis(timeout_ms))
    }
}

/// The signs of life of a session's endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignsOfLife {
    legs: [LegSigns; 2],
    look_at: Moment,
}

impl SignsOfLife {
    /// Those of a session that begins: both endpoints were sent a head of their opening handshake just now.
    pub(super) fn new(timeout_ms: u64, now: Moment) -> Self {
        let leg = LegSigns { heard_at: now, has_to_acknowledge: true, stands_since: None };
        Self { legs: [leg; 2], look_at: next_look(timeout_ms, now) }
    }

    /// The endpoint of `leg` sent something.
    pub(super) fn heard(&mut self, leg: Leg, now: Moment) {
        self.legs[leg as usize].heard_at = now;
    }

    /// The socket of `leg` was given something.
    pub(super) fn sent(&mut self, leg: Leg) {
        self.legs[leg as usize].has_to_acknowledge = true;
    }

    /// When the kernel is to be asked, or the session is idle. It moves later by itself.
    pub(super) fn next_deadline(&self, timeout_ms: u64) -> Moment {
        self.idle_at(timeout_ms).min(self.look_at)
    }

    /// Whether the kernel is to be asked what the endpoint of `leg` has acknowledged.
    pub(super) fn is_look_due(&self, leg: Leg, timeout_ms: u64, now: Moment) -> bool {
        self.legs[leg as usize].has_to_acknowledge && self.next_deadline(timeout_ms) <= now
    }

    /// Takes the kernel's answer.
    pub(super) fn acknowledged(&mut self, leg: Leg, acknowledged: Acknowledged, now: Moment) {
        let signs = &mut self.legs[leg as usize];
        let at = now.before_millis(acknowledged.ms_ago);
        signs.heard_at = signs.heard_at.max(at);
        signs.has_to_acknowledge = !acknowledged.is_all;
        signs.stands_since = match signs.stands_since {
            _ if acknowledged.is_all => None,
            Some(since) if at <= since => Some(since),
            // When the oldest of the bytes was sent is not known: from here on it stands.
            Some(_) | None => Some(now),
        };
    }

    /// Whether the session is idle. The kernel was asked about each leg that a look was due for.
    pub(super) fn is_idle(&mut self, timeout_ms: u64, now: Moment) -> bool {
        if self.look_at <= now {
            self.look_at = next_look(timeout_ms, now);
        }
        self.idle_at(timeout_ms) <= now
    }

    /// Writes the signs, relative to `now`.
    pub(super) fn export_fields(&self, writer: &mut FieldWriter, now: Moment) {
        let Self { legs, look_at } = self;
        for LegSigns { heard_at, has_to_acknowledge, stands_since } in legs {
            heard_at.export(writer, "heard_at", now);
            writer.bool("has_to_acknowledge", *has_to_acknowledge);
            writer.option("stands_since", *stands_since, |writer, field, since| {
                since.export(writer, field, now)
            });
        }
        look_at.export(writer, "look_at", now);
    }

    /// Reads what [`SignsOfLife::export_fields`] wrote.
    pub(super) fn import_fields(reader: &mut FieldReader<'_>, now: Moment) -> Result<Self, ExportFault> {
        let mut leg = || {
            Ok(LegSigns {
                heard_at: Moment::import(reader, "heard_at", now)?,
                has_to_acknowledge: reader.bool("has_to_acknowledge")?,
                stands_since: reader
                    .option("stands_since", |reader, field| Moment::import(reader, field, now))?,
            })
        };
        let legs = [leg()?, leg()?];
        Ok(Self { legs, look_at: Moment::import(reader, "look_at", now)? })
    }

    fn idle_at(&self, timeout_ms: u64) -> Moment {
        let [downstream, upstream] = &self.legs;
        let both_at = downstream.heard_at.max(upstream.heard_at).after_millis(timeout_ms);
        self.legs.iter().filter_map(|leg| leg.idle_at(timeout_ms)).fold(both_at, Moment::min)
    }
}

fn next_look(timeout_ms: u64, now: Moment) -> Moment {
    now.after_millis((timeout_ms / IDLE_LOOKS).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Leg::{Downstream, Upstream};

    const TIMEOUT_MS: u64 = 60_000;
    const LOOK_MS: u64 = TIMEOUT_MS / IDLE_LOOKS;
    const ALL: Acknowledged = Acknowledged { is_all: true, ms_ago: 0 };

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    /// Lets time pass to `until`; asks `kernel` when it is to be asked. Gives when the session was idle, and how often the
    /// kernel was asked.
    fn run(
        signs: &mut SignsOfLife,
        (from, until): (u64, u64),
        mut each_ms: impl FnMut(&mut SignsOfLife, u64),
        mut kernel: impl FnMut(Leg, u64) -> Acknowledged,
    ) -> (Option<u64>, usize) {
        let mut looks = 0;
        for ms in from..=until {
            each_ms(signs, ms);
            if signs.next_deadline(TIMEOUT_MS) > at(ms) {
                continue;
            }
            for leg in Leg::BOTH {
                if signs.is_look_due(leg, TIMEOUT_MS, at(ms)) {
                    looks += 1;
                    signs.acknowledged(leg, kernel(leg, ms), at(ms));
                }
            }
            if signs.is_idle(TIMEOUT_MS, at(ms)) {
                return (Some(ms), looks);
            }
        }
        (None, looks)
    }

    #[test]
    fn silence_is_idle_after_the_time_out_and_the_kernel_is_asked_once_about_each_leg() {
        let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
        let kernel = |_, ms| Acknowledged { is_all: true, ms_ago: ms };
        assert_eq!(run(&mut signs, (0, 2 * TIMEOUT_MS), |_, _| {}, kernel), (Some(TIMEOUT_MS), 2));
    }

    #[test]
    fn whoever_sends_is_not_idle_and_nobody_is_asked_about_who_is_sent_nothing() {
        for leg in Leg::BOTH {
            let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
            let talk = |signs: &mut SignsOfLife, ms: u64| {
                if ms.is_multiple_of(TIMEOUT_MS - 1) {
                    signs.heard(leg, at(ms));
                }
            };
            assert_eq!(run(&mut signs, (0, 5 * TIMEOUT_MS), talk, |_, _| ALL), (None, 2));
        }
    }

    #[test]
    fn what_is_acknowledged_is_life_at_the_time_of_its_acknowledgement() {
        let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
        // Nobody sends anything more; a message of before is acknowledged late.
        let kernel = |_, ms: u64| match ms.checked_sub(50_000) {
            Some(ms_ago) => Acknowledged { is_all: true, ms_ago },
            None => Acknowledged { is_all: false, ms_ago: ms },
        };
        assert_eq!(run(&mut signs, (0, 500_000), |_, _| {}, kernel).0, Some(50_000 + TIMEOUT_MS));
    }

    #[test]
    fn a_vanished_endpoint_is_idle_however_often_the_other_one_sends() {
        for sender in Leg::BOTH {
            let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
            signs.acknowledged(Downstream, ALL, at(0));
            signs.acknowledged(Upstream, ALL, at(0));
            let pings = |signs: &mut SignsOfLife, ms: u64| {
                if ms.is_multiple_of(10_000) {
                    signs.heard(sender, at(ms));
                    signs.sent(sender.other());
                }
            };
            let kernel = |_, ms| Acknowledged { is_all: false, ms_ago: ms };
            let (idle, _) = run(&mut signs, (0, 500_000), pings, kernel);
            let idle = idle.expect("it ends");
            assert!((TIMEOUT_MS..=TIMEOUT_MS + LOOK_MS).contains(&idle), "{idle}");
        }
    }

    #[test]
    fn a_message_that_is_not_acknowledged_yet_makes_a_long_silent_reader_not_idle() {
        let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
        // The backend sends just before each look; the client takes a second to acknowledge.
        let talk = |signs: &mut SignsOfLife, ms: u64| {
            if (ms + 1).is_multiple_of(LOOK_MS) {
                signs.heard(Upstream, at(ms));
                signs.sent(Downstream);
            }
        };
        let kernel = |_, ms: u64| {
            let since_sent = (ms + 1) % LOOK_MS;
            let ms_ago = if since_sent < 1_000 { since_sent + LOOK_MS - 1_000 } else { since_sent - 1_000 };
            Acknowledged { is_all: since_sent >= 1_000, ms_ago }
        };
        assert_eq!(run(&mut signs, (0, 20 * TIMEOUT_MS), talk, kernel).0, None);
    }

    #[test]
    fn a_slow_reader_that_acknowledges_now_and_then_is_not_idle() {
        let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
        signs.sent(Downstream);
        let slow = |leg, ms| match leg {
            Downstream => Acknowledged { is_all: false, ms_ago: ms % (TIMEOUT_MS - 1) },
            Upstream => Acknowledged { is_all: true, ms_ago: ms },
        };
        assert_eq!(run(&mut signs, (0, 20 * TIMEOUT_MS), |_, _| {}, slow).0, None);
        // Once it takes nothing more, it is.
        let stopped_at = 20 * TIMEOUT_MS;
        let stopped = |_, ms| Acknowledged { is_all: false, ms_ago: ms - stopped_at };
        let (idle, _) = run(&mut signs, (stopped_at, 25 * TIMEOUT_MS), |_, _| {}, stopped);
        let idle = idle.expect("it ends") - stopped_at;
        assert!((TIMEOUT_MS..=TIMEOUT_MS + LOOK_MS).contains(&idle), "{idle}");
    }

    #[test]
    fn the_kernel_is_asked_a_few_times_per_time_out_however_busy_a_session_is() {
        let mut signs = SignsOfLife::new(TIMEOUT_MS, at(0));
        let busy = |signs: &mut SignsOfLife, ms: u64| {
            for leg in Leg::BOTH {
                signs.heard(leg, at(ms));
                signs.sent(leg);
            }
        };
        let (idle, looks) = run(&mut signs, (0, 10 * TIMEOUT_MS), busy, |_, _| ALL);
        assert_eq!((idle, looks as u64), (None, 10 * IDLE_LOOKS * 2));
    }
}
