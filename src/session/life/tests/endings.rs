//! Single events that end a session: Close, FIN, reset, deadlines, drain, cut, and limits.

use super::driver::{Driver, IDLE_MS, LINGER_MS, OPAQUE, STRICT, close, frame};
use crate::limits::{OWED_BYTES_HIGH, OWED_BYTES_LOW};
use crate::session::Leg::{self, Downstream, Upstream};
use crate::session::life::SessionLimits;
use crate::session::{Cause, Moment};
use crate::websocket::tally::FrameKind;

#[test]
fn frames_pass_as_they_came_and_are_counted() {
    let mut driver = Driver::new(STRICT);
    for leg in Leg::BOTH {
        let bytes = [frame(leg, 0x81, b"text"), frame(leg, 0x02, b"a"), frame(leg, 0x80, b"b")].concat();
        for byte in &bytes {
            driver.bytes(leg, &[*byte]);
        }
        assert_eq!(driver.end(leg.other()).queued, bytes);
        let tally = driver.session.tally(leg);
        assert_eq!((tally.messages(), tally.frames(FrameKind::BinaryFragment)), (2, 1));
    }
}

#[test]
fn nothing_of_a_frame_passes_before_its_header_is_whole() {
    let mut driver = Driver::new(STRICT);
    let bytes = frame(Downstream, 0x82, &[1; 70_000]);
    driver.bytes(Downstream, &bytes[..13]);
    assert_eq!(driver.end(Upstream).queued, b"");
    driver.bytes(Downstream, &bytes[13..14]);
    assert_eq!(driver.end(Upstream).queued, bytes[..14]);
}

#[test]
fn a_close_handshake_passes_both_ways_and_the_client_is_shut_down_first() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &close(Downstream, 1000, "bye")).all_sent();
    assert_eq!(driver.end(Upstream).queued, close(Downstream, 1000, "bye"));
    assert!(!driver.end(Upstream).is_shut, "a backend ends the connection itself");
    driver.bytes(Upstream, &close(Upstream, 1000, "")).all_sent();
    assert_eq!(driver.end(Downstream).queued, close(Upstream, 1000, ""));
    assert!(driver.end(Downstream).is_shut);
    driver.finished(Upstream).finished(Downstream);
    driver.assert_ended(Cause::Closed, Some(Downstream));
    assert_eq!(driver.ended.unwrap().close_code, Some(1000));
}

#[test]
fn data_that_an_endpoint_owes_before_its_answer_to_a_close_still_passes() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &close(by, 1001, ""));
        let owed = [frame(other, 0x82, &[3; 1000]), close(other, 1001, "")].concat();
        for part in owed.chunks(7) {
            driver.bytes(other, part);
        }
        assert_eq!(driver.end(by).queued, owed);
        driver.endpoints_end();
        driver.assert_ended(Cause::Closed, Some(by));
    }
}

#[test]
fn nothing_behind_a_close_frame_passes() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        let close = close(by, 3000, "");
        driver.bytes(by, &[&close[..], &frame(by, 0x81, b"more")].concat());
        driver.bytes(by, &frame(by, 0x81, b"and more"));
        assert_eq!(driver.end(by.other()).queued, close);
    }
}

#[test]
fn the_first_close_frame_names_the_code_even_if_it_has_none() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &frame(Downstream, 0x88, b"")).bytes(Upstream, &close(Upstream, 1000, ""));
    driver.endpoints_end();
    assert_eq!(driver.ended.unwrap().close_code, None);
}

#[test]
fn a_close_frame_that_must_not_be_sent_is_a_fault_and_does_not_pass() {
    for payload in [&b"\x03\xed"[..], b"\x03\xee", b"x"] {
        for by in Leg::BOTH {
            let mut driver = Driver::new(STRICT);
            driver.bytes(by, &frame(by, 0x88, payload));
            assert_eq!(driver.end(by).farewell(), Some((1002, "frame_fault".to_owned())));
            assert!(driver.end(by.other()).farewell_at.is_none_or(|at| at == 0));
            driver.endpoints_end();
            driver.assert_ended(Cause::FrameFault, Some(by));
            assert_eq!(driver.ended.unwrap().close_code, None);
        }
    }
}

#[test]
fn after_a_fin_inside_a_frame_the_stream_ends_plainly_and_the_other_one_goes_on() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &frame(by, 0x82, &[0; 100])[..50]).finished(by);
        assert!(!driver.end(other).is_shut, "what is owed goes first");
        driver.all_sent();
        assert!(driver.end(other).is_shut);
        let more = [frame(other, 0x81, b"still"), close(other, 1000, "")].concat();
        driver.bytes(other, &more);
        assert_eq!(driver.end(by).queued, more);
        driver.all_sent();
        assert!(driver.end(by).is_shut);
        driver.finished(other);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn a_reset_becomes_a_reset_at_once_whatever_is_owed() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &frame(by, 0x81, b"owed")).reset(by);
        assert!(driver.end(by.other()).is_reset);
        assert_eq!(driver.end(by.other()).sent, 0);
        driver.assert_ended(Cause::Reset, Some(by));
    }
}

#[test]
fn an_idle_session_ends_only_when_no_byte_came_either_way() {
    let mut driver = Driver::new(STRICT);
    for leg in [Downstream, Upstream, Upstream] {
        driver.pass(IDLE_MS - 1).bytes(leg, &frame(leg, 0x89, b""));
        assert!(driver.session.next_deadline() <= Moment::from_millis(driver.now + IDLE_MS));
    }
    driver.pass(IDLE_MS - 1);
    assert_eq!(driver.end(Downstream).farewell(), None);
    driver.pass(1);
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).farewell().unwrap().1), ["idle", "idle"]);
    driver.pass(LINGER_MS);
    driver.assert_ended(Cause::Idle, None);
}

#[test]
fn what_a_slow_reader_takes_keeps_its_session_alive() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Upstream, &frame(Upstream, 0x82, &[7; 1000]));
    for _ in 0..3 {
        driver.pass(IDLE_MS - 1).sent(Downstream, 10);
    }
    driver.pass(IDLE_MS - 1);
    assert_eq!(driver.end(Downstream).farewell(), None);
    driver.pass(1);
    assert_eq!(driver.end(Upstream).farewell(), Some((1001, "idle".to_owned())));
}

#[test]
fn the_longest_life_ends_a_busy_session() {
    let mut driver = Driver::new(SessionLimits { longest_life_ms: Some(3 * IDLE_MS), ..STRICT });
    for _ in 0..5 {
        driver.pass(IDLE_MS / 2).bytes(Upstream, &frame(Upstream, 0x81, b"tick"));
    }
    assert_eq!(driver.end(Upstream).farewell(), None);
    driver.pass(IDLE_MS / 2);
    assert_eq!(driver.end(Upstream).farewell(), Some((1001, "longest_life".to_owned())));
    driver.endpoints_end();
    driver.assert_ended(Cause::LongestLife, None);
}

#[test]
fn activity_does_not_move_the_linger_deadline() {
    let mut driver = Driver::new(STRICT);
    driver.end_by_ringgate(Cause::Drain).pass(LINGER_MS - 1).bytes(Upstream, b"\x89\x00").pass(1);
    driver.assert_ended(Cause::Drain, None);
}

#[test]
fn a_cut_ends_a_session_at_once_and_keeps_the_cause_that_stood() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &frame(Downstream, 0x81, b"owed")).cut(Cause::Drain);
    driver.assert_ended(Cause::Drain, None);

    let mut driver = Driver::new(STRICT);
    driver.finished(Upstream).cut(Cause::Drain);
    driver.assert_ended(Cause::Ended, Some(Upstream));
}

#[test]
fn a_cut_is_a_close_where_a_boundary_is_at_hand_and_a_plain_end_elsewhere() {
    let mut driver = Driver::on(STRICT, [true; 2]);
    driver.bytes(Upstream, &frame(Upstream, 0x81, b"whole")).all_sent();
    driver.bytes(Downstream, &frame(Downstream, 0x82, &[0; 50])[..20]).all_sent().cut(Cause::Drain);
    assert_eq!(driver.end(Downstream).farewell(), Some((1001, "drain".to_owned())));
    assert_eq!(driver.end(Upstream).farewell(), None, "the backend is within a frame");
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).is_end_said), [true; 2]);

    // Where bytes are under way there is no telling where they end: nothing is said behind them.
    let mut driver = Driver::on(STRICT, [true; 2]);
    driver.bytes(Upstream, &frame(Upstream, 0x81, b"owed")).cut(Cause::Drain);
    assert_eq!(driver.end(Downstream).farewell(), None);
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).is_end_said), [false, true]);
    assert_eq!(driver.end(Upstream).farewell(), Some((1001, "drain".to_owned())));
}

#[test]
fn a_cut_adds_nothing_to_what_was_told_before() {
    let mut driver = Driver::on(STRICT, [true; 2]);
    driver.bytes(Upstream, &frame(Upstream, 0x82, &[0; 50])[..20]);
    driver.end_by_ringgate(Cause::LongestLife).all_sent().cut(Cause::Drain);
    assert_eq!(driver.end(Upstream).farewell(), Some((1001, "longest_life".to_owned())));
    assert_eq!(driver.end(Downstream).farewell(), None, "no boundary came");
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).is_end_said), [true; 2]);
    driver.assert_ended(Cause::LongestLife, None);
}

#[test]
fn an_opaque_session_that_is_cut_gets_plain_ends() {
    let mut driver = Driver::on(OPAQUE, [true, false]);
    driver.bytes(Upstream, b"any").all_sent().cut(Cause::Drain);
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).is_end_said), [true, false]);
    assert_eq!(driver.end(Downstream).queued, b"any");
}

#[test]
fn what_completes_after_the_end_has_no_effect() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Upstream, &frame(Upstream, 0x82, &vec![0; OWED_BYTES_HIGH as usize])).cut(Cause::Drain);
    driver.sent(Downstream, OWED_BYTES_HIGH).bytes(Downstream, &frame(Downstream, 0x81, b"late"));
    driver.finished(Downstream).reset(Upstream).end_by_ringgate(Cause::Idle).cut(Cause::Idle).pass(IDLE_MS);
    driver.assert_ended(Cause::Drain, None);
}

#[test]
fn a_leg_is_paused_at_the_high_mark_and_read_again_at_the_low_one() {
    for leg in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        let bytes = frame(leg, 0x82, &vec![0; 2 * OWED_BYTES_HIGH as usize]);
        let high = OWED_BYTES_HIGH as usize;
        driver.bytes(leg, &bytes[..high - 1]);
        assert!(!driver.end(leg).is_paused);
        driver.bytes(leg, &bytes[high - 1..high]);
        assert!(driver.end(leg).is_paused);
        assert!(!driver.end(leg.other()).is_paused, "the other direction has a budget of its own");
        driver.sent(leg.other(), OWED_BYTES_HIGH - OWED_BYTES_LOW - 1);
        assert!(driver.end(leg).is_paused);
        driver.sent(leg.other(), 1);
        assert!(!driver.end(leg).is_paused);
    }
}

#[test]
fn budgets_hold_while_a_session_is_closing() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &close(Downstream, 1000, ""));
    driver.bytes(Upstream, &frame(Upstream, 0x82, &vec![0; OWED_BYTES_HIGH as usize]));
    assert!(driver.end(Upstream).is_paused);
    driver.sent(Downstream, OWED_BYTES_HIGH);
    assert!(!driver.end(Upstream).is_paused);
}

#[test]
fn a_paused_leg_is_read_again_when_the_slow_one_is_lost() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Upstream, &frame(Upstream, 0x82, &vec![0; OWED_BYTES_HIGH as usize]));
    driver.end_by_ringgate(Cause::Drain).reset(Downstream);
    assert!(!driver.end(Upstream).is_paused);
    driver.bytes(Upstream, &close(Upstream, 1001, "")).finished(Upstream).all_sent();
    driver.assert_ended(Cause::Drain, None);
}

#[test]
fn an_opaque_session_relays_anything_and_passes_a_fin_as_a_fin() {
    let mut driver = Driver::new(OPAQUE);
    driver.bytes(Downstream, b"\xff\xff no frame").bytes(Upstream, b"\xfe neither");
    driver.finished(Downstream).all_sent();
    assert_eq!(driver.end(Upstream).queued, b"\xff\xff no frame");
    assert!(driver.end(Upstream).is_shut);
    driver.bytes(Upstream, b" and more").finished(Upstream).all_sent();
    assert_eq!(driver.end(Downstream).queued, b"\xfe neither and more");
    driver.assert_ended(Cause::Ended, Some(Downstream));
}

#[test]
fn an_opaque_session_that_ringgate_ends_gets_plain_ends_behind_what_is_owed() {
    let mut driver = Driver::new(OPAQUE);
    driver.bytes(Upstream, b"owed").end_by_ringgate(Cause::Drain).bytes(Upstream, b"dropped");
    assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).is_shut), [false, true]);
    driver.all_sent();
    assert_eq!(driver.end(Downstream).queued, b"owed");
    assert!(driver.end(Downstream).is_shut);
    driver.finished(Upstream).finished(Downstream);
    driver.assert_ended(Cause::Drain, None);
}

#[test]
fn an_opaque_session_passes_a_reset_as_a_reset() {
    let mut driver = Driver::new(OPAQUE);
    driver.bytes(Upstream, b"owed").reset(Upstream);
    assert!(driver.end(Downstream).is_reset);
    driver.assert_ended(Cause::Reset, Some(Upstream));
}
