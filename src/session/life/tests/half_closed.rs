//! Half-closed sessions: one leg has sent its FIN; the other leg's bytes go on for as long as bytes move; every other cause still
//! ends the session.

use super::driver::{Driver, FRAME_BYTES_MAX, IDLE_MS, LINGER_MS, OPAQUE, STRICT, close, frame, header};
use crate::limits::{OWED_BYTES_HIGH, OWED_BYTES_LOW, RECORD_TIMEOUT_MS};
use crate::session::Leg::{self, Downstream, Upstream};
use crate::session::life::{Gone, SessionLimits};
use crate::session::{Cause, Moment};

/// A session under TLS whose leg `by` has ended; all of that is passed on.
fn half_closed_by(by: Leg, limits: SessionLimits) -> Driver {
    let mut driver = Driver::on(limits, [true; 2]);
    driver.finished(by).all_sent();
    assert!(driver.end(by.other()).is_shut && driver.end(by.other()).is_end_said);
    driver
}

fn said(driver: &Driver, leg: Leg) -> Option<(u16, String)> {
    driver.end(leg).farewell()
}

fn told(code: u16, reason: &str) -> Option<(u16, String)> {
    Some((code, reason.to_owned()))
}

#[test]
fn the_other_direction_goes_on_for_as_long_as_bytes_come_and_ends_after_silence() {
    for how in [Gone::Finished, Gone::Truncated] {
        for limits in [STRICT, OPAQUE] {
            for by in Leg::BOTH {
                let other = by.other();
                let mut driver = Driver::on(limits, [true; 2]);
                // However long ago the last byte came: the silence begins with the FIN.
                driver.pass(IDLE_MS - 1).gone(by, how).all_sent();
                let mut sent = Vec::new();
                for _ in 0..20 {
                    driver.pass(LINGER_MS - 1).bytes(other, &frame(other, 0x81, b"still")).all_sent();
                    sent.extend(frame(other, 0x81, b"still"));
                }
                assert_eq!(driver.end(by).queued, sent);
                driver.pass(LINGER_MS - 1);
                assert_eq!(driver.ended, None);
                driver.pass(1);
                let cause = if how == Gone::Finished { Cause::Ended } else { Cause::Truncated };
                driver.assert_ended(cause, Some(by));
                assert!(driver.end(by).is_end_said, "a plain end for who still listened");
                assert_eq!(said(&driver, by), None);
            }
        }
    }
}

#[test]
fn a_reader_that_takes_a_little_at_a_time_is_waited_for() {
    for by in Leg::BOTH {
        for ends_too in [false, true] {
            let other = by.other();
            let mut driver = half_closed_by(by, STRICT);
            driver.bytes(other, &frame(other, 0x82, &[1; 1000]));
            if ends_too {
                driver.finished(other);
            }
            while driver.end(by).owed() > 100 {
                driver.pass(LINGER_MS - 1).sent(by, 100);
            }
            assert_eq!(driver.ended, None);
            driver.all_sent();
            assert_eq!(driver.end(by).queued, frame(other, 0x82, &[1; 1000]));
            assert_eq!(driver.ended.is_some(), ends_too);
        }
    }
}

#[test]
fn a_reader_that_takes_nothing_is_not_waited_for_longer_than_the_linger_time() {
    for by in Leg::BOTH {
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(by.other(), &frame(by.other(), 0x82, &[1; 1000])).finished(by.other());
        driver.pass(LINGER_MS - 1);
        assert_eq!(driver.ended, None);
        driver.pass(1);
        driver.assert_ended(Cause::Ended, Some(by));
        assert!(!driver.end(by).is_end_said, "what it was owed did not come whole");
    }
}

#[test]
fn an_idle_time_that_is_shorter_than_the_linger_time_counts() {
    let mut driver = half_closed_by(Downstream, SessionLimits { idle_timeout_ms: LINGER_MS / 5, ..STRICT });
    driver.pass(LINGER_MS / 5 - 1);
    assert_eq!(driver.ended, None);
    driver.pass(1);
    driver.assert_ended(Cause::Ended, Some(Downstream));
}

#[test]
fn what_ringgate_ends_is_told_to_the_leg_that_listens_and_then_the_time_is_fixed() {
    for (cause, for_client) in [(Cause::Drain, 1001), (Cause::Revoked, 1008), (Cause::LongestLife, 1001)] {
        for by in Leg::BOTH {
            let other = by.other();
            let limits = SessionLimits { longest_life_ms: Some(LINGER_MS / 2), ..STRICT };
            let mut driver = half_closed_by(by, limits);
            let data = frame(other, 0x82, &[5; 50]);
            driver.bytes(other, &data[..20]);
            if cause == Cause::LongestLife {
                driver.pass(LINGER_MS / 2);
            } else {
                driver.end_by_ringgate(cause);
            }
            assert_eq!(said(&driver, by), None, "not within a frame");
            driver.bytes(other, &data[20..]).all_sent();
            let code = if by == Downstream { for_client } else { 1001 };
            assert_eq!(said(&driver, by), told(code, cause.name()));
            assert!(driver.end(by).is_shut);
            let began = driver.now;
            assert_eq!(driver.session.next_deadline(), Moment::from_millis(began + LINGER_MS));
            driver.pass(LINGER_MS - 1).bytes(other, &frame(other, 0x82, b"dropped")).pass(1);
            driver.assert_ended(Cause::Ended, Some(by));
        }
    }
}

#[test]
fn a_close_frame_in_the_other_direction_passes_and_then_the_time_is_fixed() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.pass(LINGER_MS - 1).bytes(other, &close(other, 4_000, "done")).all_sent();
        assert_eq!(driver.end(by).queued, close(other, 4_000, "done"));
        assert!(driver.end(by).is_shut && driver.end(by).is_end_said);
        driver.pass(LINGER_MS - 1).bytes(other, b"more");
        assert_eq!(driver.ended, None);
        driver.pass(1);
        driver.assert_ended(Cause::Ended, Some(by));
        assert_eq!(driver.ended.unwrap().close_code, Some(4_000));
    }
}

#[test]
fn faults_of_framing_in_the_other_direction_are_told_as_the_table_says() {
    for (first, payload_bytes) in [(0x83, 5), (0x82, FRAME_BYTES_MAX + 1)] {
        for by in Leg::BOTH {
            let other = by.other();
            let mut driver = half_closed_by(by, STRICT);
            driver.bytes(other, &header(other, first, payload_bytes)).all_sent();
            let of_the_backend = told(1011, "bad gateway");
            assert_eq!(said(&driver, by), of_the_backend.filter(|_| other == Upstream));
            assert!(driver.end(by).is_shut && driver.end(by).is_end_said);
            driver.pass(LINGER_MS);
            driver.assert_ended(Cause::Ended, Some(by));
        }
    }
}

#[test]
fn a_reset_of_the_leg_that_sends_becomes_a_reset() {
    for by in Leg::BOTH {
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(by.other(), &frame(by.other(), 0x81, b"owed")).reset(by.other());
        assert!(driver.end(by).is_reset);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn a_reset_of_the_leg_that_had_ended_becomes_a_reset_behind_all_that_it_had_sent() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(other, &frame(other, 0x81, b"nobody listens")).reset(by);
        assert!(driver.end(other).is_reset);
        driver.assert_ended(Cause::Ended, Some(by));

        // What it sent before its end is owed still: that comes first, and its end.
        let mut driver = Driver::on(STRICT, [true; 2]);
        driver.bytes(by, &frame(by, 0x81, b"last")).finished(by).reset(by);
        assert!(!driver.end(other).is_reset);
        driver.bytes(other, &frame(other, 0x81, b"dropped")).all_sent();
        assert_eq!(driver.end(other).sent, driver.end(other).queued.len() + 24);
        assert!(driver.end(other).is_shut && driver.end(other).is_end_said);
        driver.pass(LINGER_MS);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn a_reset_of_a_leg_when_both_have_ended_leaves_the_other_one_all_that_it_is_owed() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = Driver::new(STRICT);
        driver.bytes(by, &frame(by, 0x81, b"last")).finished(by).finished(other).reset(by).all_sent();
        assert_eq!(driver.end(other).sent, frame(by, 0x81, b"last").len());
        assert!(driver.end(other).is_shut && !driver.end(other).is_reset);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn a_leg_that_takes_too_little_is_reset() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(other, &frame(other, 0x82, &[1; 1000])).end_slow_reader(by);
        assert!(driver.end(by).is_reset);
        assert!(!driver.end(other).is_reset, "it had its plain end before");
        driver.finished(other);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn back_pressure_holds_the_leg_that_sends() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(other, &frame(other, 0x82, &vec![0; OWED_BYTES_HIGH as usize]));
        assert!(driver.end(other).is_paused);
        let owed_bytes = driver.end(by).owed();
        driver.pass(LINGER_MS - 1).sent(by, owed_bytes - OWED_BYTES_LOW);
        assert!(!driver.end(other).is_paused);
        driver.slow(by);
        assert!(driver.end(other).is_paused, "one that has fallen behind holds it too");
        driver.pass(LINGER_MS - 1).all_sent();
        assert!(!driver.end(other).is_paused);
    }
}

#[test]
fn a_record_that_is_not_finished_in_time_ends_the_leg_that_listens_barely() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(other, &frame(other, 0x81, b"whole")).within_record(other, true);
        let until = driver.now + RECORD_TIMEOUT_MS;
        // Its bytes drip in.
        while driver.now + LINGER_MS < until {
            driver.pass(LINGER_MS - 1).bytes(other, b"");
        }
        driver.pass(until - driver.now).all_sent();
        assert!(driver.end(other).is_discarded);
        assert_eq!(driver.end(by).queued, frame(other, 0x81, b"whole"));
        assert!(driver.end(by).is_shut && !driver.end(by).is_end_said);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}

#[test]
fn what_completes_after_the_silence_has_no_effect() {
    for by in Leg::BOTH {
        let other = by.other();
        let mut driver = half_closed_by(by, STRICT);
        driver.bytes(other, &frame(other, 0x81, b"owed")).pass(LINGER_MS);
        driver.assert_ended(Cause::Ended, Some(by));
        driver.within_record(other, true).bytes(other, b"late").sent(by, 1).slow(by).finished(other);
        driver
            .reset(by)
            .end_by_ringgate(Cause::Drain)
            .end_slow_reader(by)
            .record_fault(other)
            .cut(Cause::Drain);
        driver.pass(IDLE_MS);
    }
}

#[test]
fn a_cut_is_told_to_the_leg_that_listens() {
    for by in Leg::BOTH {
        let mut driver = half_closed_by(by, STRICT);
        driver.cut(Cause::Drain);
        assert_eq!(said(&driver, by), told(1001, "drain"));
        assert_eq!(said(&driver, by.other()), None);
        driver.assert_ended(Cause::Ended, Some(by));
    }
}
