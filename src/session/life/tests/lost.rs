//! Endpoints that vanish without a word, with a silent or a talking other side.

use super::driver::{Driver, IDLE_MS, OPAQUE, STRICT, close, frame};
use crate::limits::{IDLE_LOOKS, OWED_BYTES_HIGH};
use crate::session::life::Gone;
use crate::session::{Cause, Leg};

#[test]
fn an_endpoint_that_is_lost_ends_the_session_and_the_other_one_gets_what_it_is_owed() {
    for limits in [STRICT, OPAQUE] {
        for leg in Leg::BOTH {
            for (how, cause) in [(Gone::Dead, Cause::DeadPeer), (Gone::Stalled, Cause::SlowReader)] {
                let mut driver = Driver::new(limits);
                let owed = frame(leg, 0x82, &[7; 100]);
                driver.bytes(leg, &owed).gone(leg, how);
                assert!(
                    driver.end(leg).is_discarded && !driver.end(leg).is_reset,
                    "there is nobody to reset"
                );
                assert!(!driver.end(leg.other()).is_discarded, "what came before is owed");
                assert!(driver.end(leg.other()).queued.starts_with(&owed));
                driver.endpoints_end();
                driver.assert_ended(cause, Some(leg));
            }
        }
    }
}

#[test]
fn a_lost_endpoint_holds_nobody_back() {
    for leg in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.bytes(leg.other(), &frame(leg.other(), 0x82, &vec![0; OWED_BYTES_HIGH as usize]));
        assert!(driver.end(leg.other()).is_paused);
        driver.gone(leg, Gone::Dead);
        assert!(!driver.end(leg.other()).is_paused);
        driver.endpoints_end();
        driver.assert_ended(Cause::DeadPeer, Some(leg));
    }
}

#[test]
fn an_endpoint_that_is_lost_while_a_session_closes_does_not_change_its_cause() {
    let mut driver = Driver::new(STRICT);
    driver.bytes(Leg::Upstream, &close(Leg::Upstream, 1000, "bye")).gone(Leg::Downstream, Gone::Dead);
    driver.finished(Leg::Upstream).all_sent();
    driver.assert_ended(Cause::Closed, Some(Leg::Upstream));
}

#[test]
fn pings_to_an_endpoint_that_vanished_keep_no_session() {
    for leg in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        driver.vanished(leg);
        let mut passed = 0;
        while driver.end(leg.other()).farewell_at.is_none() {
            driver.pass(IDLE_MS / 10).bytes(leg.other(), &frame(leg.other(), 0x89, b"ping")).all_sent();
            passed += IDLE_MS / 10;
            assert!(passed <= 2 * IDLE_MS, "the session goes on");
        }
        assert!(passed >= IDLE_MS);
        assert!(passed <= IDLE_MS + IDLE_MS / 10 + IDLE_MS / IDLE_LOOKS + IDLE_MS / 10, "{passed}");
        assert_eq!(driver.end(leg.other()).farewell(), Some((1001, "idle".to_owned())));
    }
}

#[test]
fn what_one_endpoint_sends_and_the_other_only_acknowledges_is_life() {
    for leg in Leg::BOTH {
        let mut driver = Driver::new(STRICT);
        for _ in 0..100 {
            driver.pass(IDLE_MS - 1).bytes(leg, &frame(leg, 0x82, b"news")).all_sent();
        }
        assert_eq!(driver.end(leg).farewell(), None);
        driver.pass(IDLE_MS);
        assert_eq!(driver.end(leg).farewell(), Some((1001, "idle".to_owned())));
    }
}
