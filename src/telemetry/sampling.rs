//! Leaves out what sampling leaves out, and finds out which of it is logged all the same, because it failed.
//!
//! An opening of which only failures are logged is held until its session has ended, and becomes rows then or is let go of. So
//! the log has all of a connection or nothing, but for progress rows. Where there is no room to hold it, a session that fails has
//! the rows of its end alone.
//!
//! Not here: who is sampled (`observe::sampling`).

use super::open_sessions::OpenSessions;
use crate::limits::HEAD_READ_BYTES;
use crate::observe::Logged;
use crate::observe::events::{OpeningEnded, RelayEvent, SessionClosing};
use crate::session::CorrelationId;
use std::sync::Arc;

/// Bytes of openings that are held, for all workers together: some 50,000 usual ones. Over it, the oldest are let go of.
const HELD_BYTES_MAX: usize = 64 << 20;

/// An opening whose session is open, and the beginning of its end.
#[derive(Debug)]
pub struct Held {
    /// The worker that opened it.
    pub worker: usize,
    /// The event of its opening.
    pub opening: Box<OpeningEnded>,
    /// The event of the beginning of its end, and the worker that carries it.
    pub closing: Option<(usize, SessionClosing)>,
}

/// What becomes of an opening.
#[derive(Debug)]
pub enum JudgedOpening {
    /// It is logged.
    Logged(Box<OpeningEnded>),
    /// It counts alone.
    LeftOut(Box<OpeningEnded>),
    /// Its session decides. These were let go of for it, and count alone.
    Held {
        /// The oldest that were held.
        let_go: Vec<Box<Held>>,
    },
}

/// What becomes of the event of a session.
#[derive(Debug)]
pub enum JudgedSession {
    /// It is logged, behind what was held of the session.
    Logged(Option<Box<Held>>, RelayEvent),
    /// It counts alone, and so does what was held of the session.
    LeftOut(Option<Box<Held>>, RelayEvent),
    /// The end of the session decides.
    Held,
}

/// Decides which events become rows.
#[derive(Debug)]
pub struct Sampler {
    held: OpenSessions<CorrelationId, Box<Held>>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::holding(HELD_BYTES_MAX)
    }
}

impl Sampler {
    /// One that holds so many bytes of openings.
    fn holding(bytes: usize) -> Self {
        Self { held: OpenSessions::new(bytes) }
    }

    /// Judges the event of an opening, which a front of `worker` has sent.
    pub fn judge_opening(&mut self, worker: usize, mut opening: Box<OpeningEnded>) -> JudgedOpening {
        match (opening.logged, opening.termination) {
            (Logged::Whole, _) | (Logged::IfFailed, Some(_)) => JudgedOpening::Logged(opening),
            (Logged::Not, _) => JudgedOpening::LeftOut(opening),
            (Logged::IfFailed, None) => {
                // Its head came in a buffer of several KiB.
                opening.request = opening.request.map(|request| Arc::new(request.compact()));
                let (id, size) = (opening.id, size_of_held(&opening));
                let let_go = self.held.keep(id, size, Box::new(Held { worker, opening, closing: None }));
                JudgedOpening::Held { let_go }
            }
        }
    }

    /// Judges the event of a session, which the relay of `worker` has sent.
    pub fn judge_session(&mut self, worker: usize, event: RelayEvent) -> JudgedSession {
        match (event.record().logged, event) {
            (Logged::Whole, event) => JudgedSession::Logged(None, event),
            (Logged::Not, event) => JudgedSession::LeftOut(None, event),
            (Logged::IfFailed, RelayEvent::Terminated(terminated)) => {
                let held = self.held.take(&terminated.record.id);
                let is_failure = terminated.termination.cause.is_failure();
                let event = RelayEvent::Terminated(terminated);
                if is_failure {
                    JudgedSession::Logged(held, event)
                } else {
                    JudgedSession::LeftOut(held, event)
                }
            }
            (Logged::IfFailed, RelayEvent::Closing(closing)) => {
                if let Some(held) = self.held.get_mut(&closing.record.id) {
                    held.closing = Some((worker, closing));
                }
                JudgedSession::Held
            }
            (Logged::IfFailed, event @ RelayEvent::Progress(_)) => JudgedSession::LeftOut(None, event),
        }
    }

    /// Takes all that is held.
    pub fn take_all(&mut self) -> Vec<Box<Held>> {
        self.held.take_all()
    }
}

/// The memory that a held opening takes: its request is no longer in the buffer that it came in.
fn size_of_held(opening: &OpeningEnded) -> usize {
    let unused = opening.request.as_ref().map_or(0, |request| {
        let bytes = request.len_bytes();
        bytes.next_multiple_of(HEAD_READ_BYTES) - bytes
    });
    opening.bytes() - unused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::events::{Carried, SessionProgress, SessionTerminated, opening_of_tests};
    use crate::observe::record::record_of_api;
    use crate::session::{Cause, Phase, Termination};

    fn opening(number: u8, logged: Logged, termination: Option<(Cause, Phase)>) -> Box<OpeningEnded> {
        Box::new(OpeningEnded { id: id(number), logged, ..opening_of_tests(termination) })
    }

    fn id(number: u8) -> CorrelationId {
        CorrelationId::from_random([number; 16])
    }

    fn record(number: u8, logged: Logged) -> crate::observe::SessionRecord {
        crate::observe::SessionRecord { id: id(number), logged, ..record_of_api("chat") }
    }

    fn closing(number: u8, logged: Logged) -> RelayEvent {
        let record = record(number, logged);
        RelayEvent::Closing(SessionClosing { at_ns: 1, record, cause: Cause::Reset, by: None })
    }

    fn progress(number: u8, logged: Logged) -> RelayEvent {
        let record = record(number, logged);
        RelayEvent::Progress(SessionProgress { at_ns: 1, record, carried: Carried::default() })
    }

    fn terminated(number: u8, logged: Logged, cause: Cause) -> RelayEvent {
        RelayEvent::Terminated(SessionTerminated {
            at_ns: 2,
            record: record(number, logged),
            termination: Termination { cause, phase: Phase::Relay, by: None, close_code: None },
            is_at_once: false,
            carried: Carried::default(),
            closes: [None, None],
        })
    }

    fn is_logged(judged: JudgedSession) -> bool {
        matches!(judged, JudgedSession::Logged(None, _))
    }

    #[test]
    fn what_is_sampled_is_logged_at_once_and_what_is_not_counts_alone() {
        let mut sampler = Sampler::default();
        let judged = sampler.judge_opening(0, opening(1, Logged::Whole, None));
        assert!(matches!(judged, JudgedOpening::Logged(_)));
        assert!(is_logged(sampler.judge_session(0, closing(1, Logged::Whole))));
        assert!(is_logged(sampler.judge_session(0, progress(1, Logged::Whole))));
        assert!(is_logged(sampler.judge_session(0, terminated(1, Logged::Whole, Cause::Closed))));
        for termination in [None, Some((Cause::Key, Phase::Head))] {
            let judged = sampler.judge_opening(0, opening(2, Logged::Not, termination));
            assert!(matches!(judged, JudgedOpening::LeftOut(_)));
        }
        let judged = sampler.judge_session(0, terminated(2, Logged::Not, Cause::Reset));
        assert!(matches!(judged, JudgedSession::LeftOut(None, RelayEvent::Terminated(_))));
    }

    #[test]
    fn a_session_that_fails_is_logged_whole_at_its_end_and_another_is_not() {
        let mut sampler = Sampler::default();
        let judged = sampler.judge_opening(0, opening(1, Logged::IfFailed, Some((Cause::Key, Phase::Head))));
        assert!(matches!(judged, JudgedOpening::Logged(_)));
        for number in [2, 3, 4] {
            let judged = sampler.judge_opening(1, opening(number, Logged::IfFailed, None));
            assert!(matches!(judged, JudgedOpening::Held { let_go } if let_go.is_empty()));
            let judged = sampler.judge_session(4, closing(number, Logged::IfFailed));
            assert!(matches!(judged, JudgedSession::Held));
        }
        let JudgedSession::Logged(Some(held), RelayEvent::Terminated(_)) =
            sampler.judge_session(4, terminated(2, Logged::IfFailed, Cause::Reset))
        else {
            panic!("it failed")
        };
        assert_eq!(
            (held.worker, held.opening.id, held.closing.map(|(worker, _)| worker)),
            (1, id(2), Some(4))
        );
        let judged = sampler.judge_session(4, terminated(3, Logged::IfFailed, Cause::Closed));
        assert!(matches!(judged, JudgedSession::LeftOut(Some(_), RelayEvent::Terminated(_))));
        assert_eq!(sampler.take_all().iter().map(|held| held.opening.id).collect::<Vec<_>>(), [id(4)]);
        assert!(sampler.held.is_empty());
    }

    #[test]
    fn where_there_is_no_room_the_oldest_counts_alone_but_for_the_end_of_its_session() {
        let one = size_of_held(&opening(1, Logged::IfFailed, None));
        let mut sampler = Sampler::holding(2 * one);
        for number in 1..=3 {
            let JudgedOpening::Held { let_go } =
                sampler.judge_opening(0, opening(number, Logged::IfFailed, None))
            else {
                panic!("its session decides")
            };
            let let_go: Vec<_> = let_go.iter().map(|held| held.opening.id).collect();
            assert_eq!(let_go, if number == 3 { vec![id(1)] } else { Vec::new() });
        }
        let failed = terminated(1, Logged::IfFailed, Cause::Reset);
        assert!(is_logged(sampler.judge_session(0, failed)), "without its opening");
        let failed = terminated(3, Logged::IfFailed, Cause::Reset);
        assert!(matches!(sampler.judge_session(0, failed), JudgedSession::Logged(Some(_), _)));
    }

    #[test]
    fn what_is_held_takes_no_more_memory_than_its_request() {
        let head = b"GET /t HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut buffer = Vec::with_capacity(16 * 1024);
        buffer.extend_from_slice(head);
        let request = crate::head::RequestHead::parse(buffer.into()).unwrap();
        let mut event = opening(1, Logged::IfFailed, None);
        event.request = Some(Arc::new(request));
        let received = event.bytes();
        let mut sampler = Sampler::default();
        assert!(matches!(sampler.judge_opening(0, event), JudgedOpening::Held { .. }));
        let held = sampler.held.take(&id(1)).unwrap();
        assert_eq!(received - size_of_held(&held.opening), HEAD_READ_BYTES - head.len());
        let request = held.opening.request.unwrap();
        assert_eq!((request.target_text(), request.host(), request.headers().len()), ("/t", "h", 1));
    }
}
