//! What the records around a session's bytes do to it: what they add, where they are cut, and what is wrong with them.

use super::driver::{Driver, IDLE_MS, LINGER_MS, OPAQUE, STRICT, frame};
use crate::limits::{OWED_BYTES_HIGH, RECORD_TIMEOUT_MS};
use crate::session::Cause;
use crate::session::Leg::{Downstream, Upstream};
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
fn a_stream_that_ends_without_its_close_notify_is_told_from_a_clean_end() {
    for (how, cause) in [(Gone::Finished, Cause::Ended), (Gone::Truncated, Cause::Truncated)] {
        let mut driver = Driver::new(STRICT);
        driver.gone(Downstream, how).endpoints_end().pass(IDLE_MS).pass(LINGER_MS);
        driver.assert_ended(cause, Some(Downstream));
        assert_eq!(driver.end(Upstream).farewell().map(|(code, _)| code), Some(1001));
    }
}
