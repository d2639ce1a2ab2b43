//! Broken invariants: each is returned as an error, and only the session's end follows.

use super::driver::{IDLE_MS, OPAQUE, STRICT, frame};
use crate::session::life::{Ending, Gone, Intake, Outlet, Session};
use crate::session::{BrokenInvariant, Cause, Effect, Effects, Leg, Moment, Phase, Termination};
use crate::websocket::scanner::PassedTooMuch;

const NOW: Moment = Moment::ZERO;

fn session() -> (Session, Effects) {
    (Session::new(STRICT, [1; 4], NOW), Effects::new())
}

#[test]
fn bytes_are_relayed_to_a_leg_only_while_it_takes_them() {
    for leg in Leg::BOTH {
        for outlet in [Outlet::Closed, Outlet::Finishing(Ending::Plain), Outlet::Saying, Outlet::Shut] {
            let (mut session, mut effects) = session();
            session.legs[leg.other() as usize].outlet = outlet;
            let handled = session.handle_bytes(leg, &frame(leg, 0x82, b"abc"), NOW, &mut effects);
            assert_eq!(handled, Err(BrokenInvariant::RelaysToClosedLeg { from: leg }), "{outlet:?}");
            assert_eq!(effects, [], "nothing of it goes anywhere");
        }
    }
}

#[test]
fn a_leg_takes_no_more_than_it_is_owed() {
    for (queued, sent, is_broken) in
        [(0, 1, true), (8, 7, false), (8, 8, false), (8, 9, true), (8, u64::MAX, true)]
    {
        let (mut session, mut effects) = session();
        let bytes = vec![0; queued];
        session.limits.frames = None;
        session.handle_bytes(Leg::Downstream, &bytes, NOW, &mut effects).unwrap();
        let handled = session.handle_sent(Leg::Upstream, sent, NOW, &mut effects);
        let broken = BrokenInvariant::SentMoreThanOwed { to: Leg::Upstream, sent, owed: queued as u64 };
        assert_eq!(handled, if is_broken { Err(broken) } else { Ok(()) }, "{sent} of {queued}");
    }
}

#[test]
fn a_send_to_a_leg_that_was_given_up_may_still_be_told() {
    let (mut session, mut effects) = session();
    session.handle_bytes(Leg::Upstream, &frame(Leg::Upstream, 0x82, &[7; 100]), NOW, &mut effects).unwrap();
    session.end_slow_reader(Leg::Downstream, NOW, &mut effects);
    assert_eq!(session.handle_sent(Leg::Downstream, 50, NOW, &mut effects), Ok(()));
}

#[test]
fn no_more_than_a_frames_payload_passes_unseen_and_nothing_of_a_close() {
    let message = frame(Leg::Downstream, 0x82, &[7; 100]);
    let mut close = frame(Leg::Downstream, 0x88, &[0x03, 0xe8, 1, 2, 3]);
    close.truncate(9);
    for (bytes, payload_left) in [(&message[..20], 86), (&close[..], 0)] {
        let (mut session, mut effects) = session();
        session.handle_bytes(Leg::Downstream, bytes, NOW, &mut effects).unwrap();
        let passed = PassedTooMuch { bytes: payload_left + 1, payload_left };
        assert_eq!(
            session.handle_passed(Leg::Downstream, payload_left + 1, NOW, &mut effects),
            Err(BrokenInvariant::PassedMoreThanPayload { from: Leg::Downstream, passed })
        );
        let (mut session, mut effects) = self::session();
        session.handle_bytes(Leg::Downstream, bytes, NOW, &mut effects).unwrap();
        assert_eq!(session.handle_passed(Leg::Downstream, payload_left, NOW, &mut effects), Ok(()));
    }
}

#[test]
fn a_session_that_is_broken_off_ends_as_a_bug_whatever_it_was_about_to_end_of() {
    type Before = fn(&mut Session, &mut Effects);
    let before: [Before; 5] = [
        |_, _| {},
        |session, effects| session.end_by_ringgate(Cause::Drain, NOW, effects),
        |session, effects| session.handle_gone(Leg::Upstream, Gone::Finished, NOW, effects),
        |session, effects| {
            session
                .handle_bytes(Leg::Upstream, &frame(Leg::Upstream, 0x82, b"abc")[..3], NOW, effects)
                .unwrap();
        },
        |session, _| {
            for leg in &mut session.legs {
                (leg.intake, leg.outlet, leg.owed_bytes) = (Intake::Relayed, Outlet::Shut, u64::MAX);
            }
        },
    ];
    for limits in [STRICT, OPAQUE] {
        for before in before {
            let (mut session, mut effects) = (Session::new(limits, [1; 4], NOW), Effects::new());
            before(&mut session, &mut effects);
            effects.clear();
            session.break_off(NOW, &mut effects);
            let bug = Termination { cause: Cause::Bug, phase: Phase::Relay, by: None, close_code: None };
            assert_eq!(effects.last(), Some(&Effect::Ended(bug)));
            assert!(session.is_over());
            // From then on nothing that happens to it matters.
            effects.clear();
            session.break_off(NOW, &mut effects);
            session.handle_bytes(Leg::Downstream, b"whatever", NOW, &mut effects).unwrap();
            session.handle_sent(Leg::Downstream, 1 << 40, NOW, &mut effects).unwrap();
            session.handle_gone(Leg::Downstream, Gone::Reset, NOW, &mut effects);
            session.handle_deadline(Moment::from_millis(2 * IDLE_MS), &mut effects);
            assert_eq!(effects, []);
        }
    }
}

#[test]
fn what_is_shown_of_a_session_is_nothing_that_was_said_on_it_and_no_key() {
    let mut session = Session::new(STRICT, [0xa1, 0xb2, 0xc3, 0xd4], NOW);
    let header = &frame(Leg::Downstream, 0x82, b"abc")[..5];
    session.handle_bytes(Leg::Downstream, header, NOW, &mut Effects::new()).unwrap();
    let shown = format!("{session:?}");
    assert!(shown.contains("held_bytes: 5") && shown.contains("intake: Relayed"), "{shown}");
    for secret in ["161", "178", "195", "212", "[130", "mask"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
