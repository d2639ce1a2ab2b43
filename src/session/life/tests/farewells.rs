//! Every row of the termination table that can occur after the 101, at every position of the two streams.

use super::driver::{
    Driver, FRAME_BYTES_MAX, IDLE_MS, LINGER_MS, MESSAGE_BYTES_MAX, STRICT, close, frame, header,
};
use crate::session::life::{Gone, SessionLimits};
use crate::session::termination::Farewell;
use crate::session::{Cause, Leg};
use crate::websocket::close::CloseCode;
use crate::websocket::scanner::FrameRules;

/// Where a stream stands when a cause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Untouched,
    BetweenFrames,
    InsideFrame,
    InsideHeader,
    InsideMessage,
}

impl Standing {
    const ALL: [Self; 5] =
        [Self::Untouched, Self::BetweenFrames, Self::InsideFrame, Self::InsideHeader, Self::InsideMessage];

    /// Returns the bytes that `from` sends first, the number of them that pass, and the bytes that complete the frame.
    fn prelude(self, from: Leg) -> (Vec<u8>, usize, Vec<u8>) {
        let mut first = frame(from, 0x81, b"hello");
        let whole = first.len();
        let next = frame(from, 0x82, &[7; 300]);
        match self {
            Self::Untouched => (Vec::new(), 0, Vec::new()),
            Self::BetweenFrames => (first, whole, Vec::new()),
            Self::InsideFrame => {
                first.extend_from_slice(&next[..100]);
                (first, whole + 100, next[100..].to_vec())
            }
            Self::InsideHeader => {
                first.extend_from_slice(&next[..3]);
                (first, whole, next[3..].to_vec())
            }
            Self::InsideMessage => {
                let fragment = frame(from, 0x01, b"frag");
                let len = fragment.len();
                (fragment, len, Vec::new())
            }
        }
    }

    /// The first byte of a data frame that is allowed next.
    fn data(self) -> u8 {
        if self == Self::InsideMessage { 0x80 } else { 0x82 }
    }
}

/// Limits under which a declared frame, or the message that it makes alone, is too big.
fn limits(cause: Cause) -> SessionLimits {
    let rules = STRICT.frames.unwrap();
    let message_bytes_max =
        if cause == Cause::MessageTooBig { FRAME_BYTES_MAX - 1 } else { MESSAGE_BYTES_MAX };
    SessionLimits {
        frames: Some(FrameRules { message_bytes_max, ..rules }),
        longest_life_ms: (cause == Cause::LongestLife).then_some(IDLE_MS / 2),
        ..STRICT
    }
}

/// Makes `cause` stand, by `by` if an endpoint is its cause; gives what that endpoint sent for it. `None`: the cause
/// cannot stand after the 101.
fn provoke(driver: &mut Driver, cause: Cause, by: Leg, standing: Standing) -> Option<Vec<u8>> {
    let (_, _, rest) = standing.prelude(by);
    let last_words = match cause {
        Cause::Closed => [rest, close(by, 4_000, "done")].concat(),
        Cause::FrameFault => [rest, header(by, 0x83, 5)].concat(),
        Cause::FrameTooBig => [rest, header(by, standing.data(), FRAME_BYTES_MAX + 1)].concat(),
        Cause::MessageTooBig => [rest, header(by, standing.data(), FRAME_BYTES_MAX)].concat(),
        Cause::Ended => {
            driver.finished(by);
            return Some(Vec::new());
        }
        Cause::Truncated => {
            driver.gone(by, Gone::Truncated);
            return Some(Vec::new());
        }
        Cause::RecordFault => {
            driver.record_fault(by);
            return Some(Vec::new());
        }
        Cause::Reset => {
            driver.reset(by);
            return Some(Vec::new());
        }
        Cause::DeadPeer => {
            driver.gone(by, Gone::Dead);
            return Some(Vec::new());
        }
        Cause::Idle => {
            driver.pass(IDLE_MS);
            return Some(Vec::new());
        }
        Cause::LongestLife => {
            driver.pass(IDLE_MS / 2);
            return Some(Vec::new());
        }
        Cause::SlowReader => {
            driver.end_slow_reader(by);
            return Some(Vec::new());
        }
        Cause::Drain | Cause::Revoked => {
            driver.end_by_ringgate(cause);
            return Some(Vec::new());
        }
        Cause::Bug => {
            driver.all_sent().cut(cause);
            return Some(Vec::new());
        }
        Cause::InstanceFull
        | Cause::ApiFull
        | Cause::ProductFull
        | Cause::SubscriptionFull
        | Cause::SourceFull
        | Cause::OpeningsFull
        | Cause::BackendBusy
        | Cause::NoLocalPort
        | Cause::HeadFault
        | Cause::TlsFault
        | Cause::NoApi
        | Cause::Key
        | Cause::RefusedByPolicy
        | Cause::BackendRefused
        | Cause::BackendTls
        | Cause::BackendAnswer
        | Cause::BackendSilent
        | Cause::ClientGone => return None,
    };
    driver.bytes(by, &last_words);
    Some(last_words)
}

fn is_by_ringgate(cause: Cause) -> bool {
    matches!(cause, Cause::Idle | Cause::LongestLife | Cause::Drain | Cause::Revoked | Cause::Bug)
}

#[test]
fn every_cause_ends_both_legs_as_the_table_says_wherever_their_streams_stand() {
    for cause in Cause::ALL {
        for by in Leg::BOTH {
            for own in Standing::ALL {
                for others in Standing::ALL {
                    for is_wrapped in [[false; 2], [true; 2], [true, false], [false, true]] {
                        check(cause, by, own, others, is_wrapped);
                    }
                }
            }
        }
    }
}

fn check(cause: Cause, by: Leg, own: Standing, others: Standing, is_wrapped: [bool; 2]) {
    let what = format!(
        "{cause:?} by {by:?}, which is {own:?}; the other leg is {others:?}; records: {is_wrapped:?}"
    );
    let mut driver = Driver::on(limits(cause), is_wrapped);
    let other = by.other();
    driver.bytes(by, &own.prelude(by).0);
    driver.bytes(other, &others.prelude(other).0);
    assert_eq!(driver.end(other).queued.len(), own.prelude(by).1, "{what}");
    let Some(last_words) = provoke(&mut driver, cause, by, own) else {
        let nothing = Leg::BOTH.map(|leg| cause.farewell(leg, Some(by)));
        assert_eq!(nothing, [Farewell::Nothing; 2], "{what}");
        return;
    };
    let culprit = (!is_by_ringgate(cause)).then_some(by);
    let said = |code: CloseCode| Some((code.number(), cause.close_reason(code).to_owned()));

    // The leg that `by` sends to: `by`'s stream does not go on where an endpoint is the cause.
    match cause.farewell(other, culprit) {
        Farewell::AsItCame => {
            let whole = [own.prelude(by).0, last_words].concat();
            assert_eq!(driver.end(other).queued, whole, "{what}");
            assert_eq!(driver.end(other).farewell(), None, "{what}");
        }
        Farewell::Reset => {
            assert!(driver.end(other).is_reset, "{what}");
            driver.assert_ended(cause, culprit);
            return;
        }
        Farewell::LastClose(code) => {
            // The session is over: each leg was told what could be told at once.
            for (leg, standing) in [(other, own), (by, others)] {
                let is_at_hand = standing != Standing::InsideFrame;
                assert_eq!(driver.end(leg).farewell(), said(code).filter(|_| is_at_hand), "{what}");
                assert_eq!(driver.end(leg).is_end_said, is_wrapped[leg as usize], "{what}");
            }
            driver.assert_ended(cause, None);
            return;
        }
        Farewell::PlainEnd | Farewell::BareFin => {
            let is_plain = cause.farewell(other, culprit) == Farewell::PlainEnd;
            driver.all_sent();
            assert_eq!(driver.end(other).farewell(), None, "{what}");
            assert!(driver.end(other).is_shut, "{what}");
            assert_eq!(driver.end(other).is_end_said, is_plain && is_wrapped[other as usize], "{what}");
        }
        Farewell::Close(code) => {
            if culprit.is_none() && own == Standing::InsideFrame {
                assert_eq!(driver.end(other).farewell(), None, "{what}");
                let rest = own.prelude(by).2;
                driver.bytes(by, &rest[..10]);
                assert_eq!(driver.end(other).farewell(), None, "{what}");
                driver.bytes(by, &[&rest[10..], &frame(by, own.data(), b"dropped")].concat());
            }
            assert_eq!(driver.end(other).farewell(), said(code), "{what}");
        }
        Farewell::Alert | Farewell::Nothing => panic!("never to the other leg: {what}"),
    }

    // The leg that `by` is: told when the other leg's stream comes to a boundary.
    match cause.farewell(by, culprit) {
        Farewell::Close(code) => {
            if others == Standing::InsideFrame {
                assert_eq!(driver.end(by).farewell(), None, "{what}");
                let rest = others.prelude(other).2;
                driver.bytes(other, &rest);
            }
            assert_eq!(driver.end(by).farewell(), said(code), "{what}");
        }
        Farewell::Nothing => assert_eq!(driver.end(by).farewell(), None, "{what}"),
        Farewell::Reset => assert!(driver.end(by).is_reset, "{what}"),
        // The relay says it, past the queue.
        Farewell::Alert => assert!(driver.end(by).is_discarded && !driver.end(by).is_end_said, "{what}"),
        Farewell::AsItCame | Farewell::LastClose(_) | Farewell::PlainEnd | Farewell::BareFin => {
            panic!("never to the culprit: {what}")
        }
    }

    // What the endpoints do then changes nothing of the cause.
    driver.pass(LINGER_MS - 1);
    assert_eq!(driver.ended, None, "{what}");
    driver.endpoints_end();
    driver.assert_ended(cause, culprit);
}

#[test]
fn a_culprit_that_is_told_late_is_shut_down_as_soon_as_its_close_is_sent() {
    for culprit in Leg::BOTH {
        let innocent = culprit.other();
        let mut driver = Driver::new(STRICT);
        let (start, _, rest) = Standing::InsideFrame.prelude(innocent);
        driver.bytes(innocent, &start).bytes(culprit, &header(culprit, 0x83, 0)).all_sent();
        let is_told = driver.end(innocent).farewell().is_some() || driver.end(innocent).is_shut;
        assert!(is_told, "the innocent leg is told at once");
        assert!(!driver.end(culprit).is_shut);
        driver.bytes(innocent, &rest).all_sent();
        assert_eq!(driver.end(culprit).farewell(), Some((1002, "frame_fault".to_owned())));
        assert!(driver.end(culprit).is_shut);
    }
}

#[test]
fn a_close_towards_the_backend_is_masked_and_one_towards_the_client_is_not() {
    let mut driver = Driver::new(STRICT);
    driver.end_by_ringgate(Cause::Drain);
    let read = Leg::BOTH.map(|leg| super::driver::read_frames(&driver.end(leg).queued).0.remove(0));
    assert_eq!(read.each_ref().map(|frame| frame.is_masked), [false, true]);
    for frame in read {
        assert_eq!((frame.first, &frame.payload[..]), (0x88, &b"\x03\xe9drain"[..]));
    }
    assert_eq!(driver.end(Leg::Upstream).queued[2..6], super::driver::MASK);
}

#[test]
fn both_legs_inside_frames_are_each_told_at_their_own_boundary() {
    for first in Leg::BOTH {
        let second = first.other();
        let mut driver = Driver::new(STRICT);
        for leg in Leg::BOTH {
            driver.bytes(leg, &Standing::InsideFrame.prelude(leg).0);
        }
        driver.end_by_ringgate(Cause::Drain);
        driver.bytes(first, &Standing::InsideFrame.prelude(first).2);
        let told = |driver: &Driver, leg: Leg| driver.end(leg).farewell().map(|(code, _)| code);
        assert_eq!((told(&driver, second), told(&driver, first)), (Some(1001), None));
        driver.bytes(second, &Standing::InsideFrame.prelude(second).2);
        assert_eq!(told(&driver, first), Some(1001));
    }
}
