//! Tests of the record layer's effects on a session: added bytes, cut records, and wrong records.

use super::driver::{Driver, OPAQUE, STRICT, frame};
use crate::limits::{OWED_BYTES_HIGH, RECORD_TIMEOUT_MS};
use crate::session::Cause;
use crate::session::Leg::{self, Downstream, Upstream};
use crate::session::life::Gone;

#[test]
fn a_record_that_is_not_finished_in_time_ends_the_session() {
    for limits in [STRICT, OPAQUE] {
        let mut driver = Driver::new(limits);
        driver.pass(5).within_record(Downstream, true).pass(RECORD_TIMEOUT_MS - 1);
        assert!(!driver.end(Downstream).is_discarded);
        driver.pass(1);
        assert!(driver.end(Downstream).is_discarded);
        driver.all_sent().finished(Upstream);
        driver.assert_ended(Cause::RecordFault, Some(Downstream));
    }
}

#[test]
fn a_record_that_is_finished_is_forgotten_and_the_next_one_has_its_own_time() {
    let mut driver = Driver::new(STRICT);
    driver.within_record(Upstream, true).pass(RECORD_TIMEOUT_MS - 1).within_record(Upstream, false);
    driver.pass(1).within_record(Upstream, true).pass(RECORD_TIMEOUT_MS - 1);
    assert!(!driver.end(Upstream).is_discarded);
    driver.pass(1);
    assert!(driver.end(Upstream).is_discarded);
}

#[test]
fn a_leg_that_is_not_read_cannot_finish_its_record_and_has_its_time_afterwards() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Downstream, &frame(Downstream, 0x82, &vec![1; OWED_BYTES_HIGH as usize]));
    driver.within_record(Downstream, true);
    assert!(driver.end(Downstream).is_paused);
    driver.pass(RECORD_TIMEOUT_MS);
    assert!(!driver.end(Downstream).is_discarded);
    driver.all_sent().pass(RECORD_TIMEOUT_MS - 1);
    assert!(!driver.end(Downstream).is_paused && !driver.end(Downstream).is_discarded);
    driver.pass(1);
    assert!(driver.end(Downstream).is_discarded);
}

#[test]
fn what_a_record_adds_is_owed_too() {
    let mut driver = Driver::new(OPAQUE);
    driver.bytes(Downstream, b"some bytes");
    driver.session.handle_wrapped(Upstream, 22);
    driver.finished(Downstream).sent(Upstream, 10);
    assert!(!driver.end(Upstream).is_shut, "22 of 32 bytes are still owed");
}

#[test]
fn a_stream_that_ends_without_its_close_notify_ends_so_on_the_other_leg_too() {
    for (how, cause) in [(Gone::Finished, Cause::Ended), (Gone::Truncated, Cause::Truncated)] {
        for by in Leg::BOTH {
            let mut driver = Driver::on(STRICT, [true; 2]);
            driver.bytes(by, &frame(by, 0x81, b"last")).gone(by, how).all_sent();
            let other = driver.end(by.other());
            assert!(other.is_shut);
            assert_eq!(other.is_end_said, cause == Cause::Ended);
            assert_eq!(other.queued, frame(by, 0x81, b"last"));
            driver.endpoints_end();
            driver.assert_ended(cause, Some(by));
        }
    }
}

#[test]
fn the_end_of_the_records_is_owed_like_all_before_it_and_fin_comes_behind_it() {
    let mut driver = Driver::on(STRICT, [false, true]);
    driver.bytes(Downstream, &frame(Downstream, 0x81, b"last")).finished(Downstream);
    let last_bytes = driver.end(Upstream).owed();
    assert!(!driver.end(Upstream).is_end_said);
    driver.sent(Upstream, last_bytes);
    assert!(driver.end(Upstream).is_end_said && !driver.end(Upstream).is_shut);
    driver.sent(Upstream, driver.end(Upstream).owed() - 1);
    assert!(!driver.end(Upstream).is_shut);
    driver.sent(Upstream, 1);
    assert!(driver.end(Upstream).is_shut);
}

#[test]
fn nothing_is_said_to_a_leg_whose_records_broke_and_the_other_one_ends_barely() {
    for by in Leg::BOTH {
        let mut driver = Driver::on(STRICT, [true; 2]);
        driver.bytes(by, &frame(by, 0x81, b"owed")).record_fault(by).all_sent();
        assert!(driver.end(by).is_discarded && !driver.end(by).is_end_said);
        let other = driver.end(by.other());
        assert_eq!(other.queued, frame(by, 0x81, b"owed"));
        assert!(other.is_shut && !other.is_end_said);
    }
}
