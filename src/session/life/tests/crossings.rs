//! Crossing events: the second one occurs while the session is closing for the first.

use super::driver::{Driver, IDLE_MS, LINGER_MS, STRICT, close, frame, header};
use crate::session::Leg::{self, Downstream, Upstream};
use crate::session::{Cause, Moment};

#[test]
fn close_frames_that_cross_both_pass() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Upstream, &close(Upstream, 1001, "up")).bytes(Downstream, &close(Downstream, 1000, "down"));
    assert_eq!(driver.end(Downstream).queued, close(Upstream, 1001, "up"));
    assert_eq!(driver.end(Upstream).queued, close(Downstream, 1000, "down"));
    driver.endpoints_end();
    driver.assert_ended(Cause::Closed, Some(Upstream));
    assert_eq!(driver.ended.unwrap().close_code, Some(1001));
}

#[test]
fn a_close_frame_cut_in_two_by_a_drain_passes_whole_and_takes_the_place_of_ours() {
    for by in Leg::BOTH {
        let bytes = close(by, 1000, "a long goodbye");
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &bytes[..10]).end_by_ringgate(Cause::Drain).bytes(by, &bytes[10..]);
        assert_eq!(driver.end(by.other()).queued, bytes);
        assert_eq!(driver.end(by).farewell(), Some((1001, "drain".to_owned())));
        driver.endpoints_end();
        driver.assert_ended(Cause::Drain, None);
    }
}

#[test]
fn the_answer_to_our_close_is_dropped_and_lets_the_client_be_shut_down() {
    let mut driver = Driver::new(STRICT);
    driver.end_by_ringgate(Cause::Drain).all_sent();
    let queued = driver.end(Upstream).queued.clone();
    // What was on its way comes first, cut inside a header.
    driver.bytes(Downstream, &frame(Downstream, 0x82, &[0; 200])[..3]);
    driver.bytes(Downstream, &frame(Downstream, 0x82, &[0; 200])[3..]);
    assert!(!driver.end(Downstream).is_shut);
    driver.bytes(Downstream, &close(Downstream, 1001, ""));
    assert!(driver.end(Downstream).is_shut);
    assert_eq!(driver.end(Upstream).queued, queued);
}

#[test]
fn a_reset_while_the_session_closes_leaves_the_other_leg_what_it_is_owed() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = Driver::new(STRICT);
        let last_words = [frame(by, 0x81, b"last"), close(by, 1000, "")].concat();
        driver.bytes(by, &last_words).reset(by);
        assert!(driver.end(by).is_discarded);
        assert_eq!(driver.ended, None);
        driver.all_sent();
        assert_eq!(driver.end(other).sent, last_words.len());
        assert!(!driver.end(other).is_reset);
        driver.bytes(other, &close(other, 1000, "")).finished(other).all_sent();
        assert!(driver.end(other).is_shut);
        driver.assert_ended(Cause::Closed, Some(by));
    }
}

#[test]
fn a_reset_inside_a_frame_while_the_session_drains_becomes_a_reset() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &frame(by, 0x82, &[0; 50])[..20]).end_by_ringgate(Cause::Drain).reset(by);
        assert!(driver.end(by.other()).is_reset);
        driver.assert_ended(Cause::Drain, None);
    }
}

#[test]
fn a_reset_in_the_place_of_an_answer_to_a_close_becomes_a_reset() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &close(by, 1000, "")).all_sent().reset(by.other());
        assert!(driver.end(by).is_reset);
        driver.assert_ended(Cause::Closed, Some(by));
    }
}

#[test]
fn a_fin_inside_a_frame_while_the_session_drains_ends_that_stream_plainly() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver
            .bytes(by, &frame(by, 0x82, &[0; 50])[..20])
            .end_by_ringgate(Cause::Drain)
            .finished(by)
            .all_sent();
        assert_eq!(driver.end(by.other()).farewell(), None);
        assert!(driver.end(by.other()).is_shut);
        assert!(driver.end(by).is_shut, "it got its Close and has ended");
        driver.finished(by.other());
        driver.assert_ended(Cause::Drain, None);
    }
}

#[test]
fn a_fin_without_an_answer_to_a_close_is_a_plain_end() {
    for by in Leg::BOTH {
        let mut driver = Driver::on(STRICT, [true; 2]);
        driver.bytes(by, &close(by, 1000, "")).finished(by.other()).all_sent();
        assert_eq!(driver.end(by).queued, b"");
        assert!(driver.end(by).is_shut && driver.end(by).is_end_said);
        driver.endpoints_end();
        driver.assert_ended(Cause::Closed, Some(by));
    }
}

#[test]
fn a_fault_behind_the_other_legs_close_ends_both_without_a_second_close_to_its_maker() {
    for by in Leg::BOTH {
        let faulty = by.other();
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &close(by, 1000, "")).bytes(faulty, &header(faulty, 0x83, 0)).all_sent();
        assert_eq!(driver.end(faulty).queued, close(by, 1000, ""));
        assert!(driver.end(faulty).is_shut);
        let of_the_backend = Some((1011, "bad gateway".to_owned()));
        assert_eq!(driver.end(by).farewell(), of_the_backend.filter(|_| faulty == Upstream));
        driver.endpoints_end();
        driver.assert_ended(Cause::Closed, Some(by));
    }
}

#[test]
fn a_fault_behind_our_close_lets_the_leg_be_shut_down() {
    for by in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.end_by_ringgate(Cause::Drain).bytes(by, &header(by, 0x83, 0)).all_sent();
        assert!(driver.end(by).is_shut);
        driver.endpoints_end();
        driver.assert_ended(Cause::Drain, None);
    }
}

#[test]
fn a_culprit_that_ends_before_it_could_be_told_is_told_and_shut_down_at_the_boundary() {
    for culprit in Leg::BOTH {
        let innocent = culprit.other();
        let long = frame(innocent, 0x82, &[0; 50]);
        let mut driver = Driver::new(STRICT);
        driver.bytes(innocent, &long[..20]).bytes(culprit, &header(culprit, 0x83, 0)).finished(culprit);
        driver.all_sent().bytes(innocent, &long[20..]).all_sent();
        assert_eq!(driver.end(culprit).farewell(), Some((1002, "frame_fault".to_owned())));
        assert!(driver.end(culprit).is_shut);
        driver.finished(innocent);
        driver.assert_ended(Cause::FrameFault, Some(culprit));
    }
}

#[test]
fn fins_that_cross_are_two_plain_ends() {
    for first in Leg::BOTH {
        let mut driver = Driver::on(STRICT, [true; 2]);
        driver.finished(first).finished(first.other()).all_sent();
        assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).queued.len()), [0, 0]);
        assert!(Leg::BOTH.iter().all(|leg| driver.end(*leg).is_shut && driver.end(*leg).is_end_said));
        driver.assert_ended(Cause::Ended, Some(first));
    }
}

#[test]
fn a_second_fin_changes_nothing() {
    let mut driver = Driver::new(STRICT);
    driver.finished(Downstream);
    let queued = driver.end(Upstream).queued.clone();
    driver.finished(Downstream).all_sent();
    assert_eq!(driver.end(Upstream).queued, queued);
    assert_eq!(driver.ended, None);
}

#[test]
fn ringgate_ends_nothing_that_is_closing_already() {
    for first in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.bytes(first, &close(first, 1000, "")).pass(1000).end_by_ringgate(Cause::Drain);
        assert_eq!(Leg::BOTH.map(|leg| driver.end(leg).farewell()), [None, None]);
        assert_eq!(driver.session.next_deadline(), Moment::from_millis(LINGER_MS));
        driver.pass(LINGER_MS - 1000);
        driver.assert_ended(Cause::Closed, Some(first));
    }
}

#[test]
fn a_deadline_that_fires_early_does_nothing() {
    let mut driver = Driver::new(STRICT);
    let mut effects = Vec::new();
    driver.session.handle_deadline(Moment::from_millis(IDLE_MS - 1), &mut effects);
    assert_eq!(effects, []);
    driver.pass(IDLE_MS - 1).end_by_ringgate(Cause::Drain);
    driver.session.handle_deadline(Moment::from_millis(IDLE_MS + LINGER_MS - 2), &mut effects);
    assert_eq!(effects, []);
}

#[test]
fn a_stalled_frame_holds_a_drain_up_no_longer_than_the_linger_time() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &frame(Downstream, 0x82, &[0; 50])[..20]).end_by_ringgate(Cause::Drain);
    driver.all_sent().finished(Upstream).pass(LINGER_MS);
    assert_eq!(driver.end(Upstream).farewell(), None);
    driver.assert_ended(Cause::Drain, None);
}
