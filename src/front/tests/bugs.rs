//! An opening with a broken invariant: it ends alone, with a 500 where there is anyone to tell.

use super::scene::Scene;
use crate::front::refusal::{BUG_MESSAGE, Refusal};
use crate::session::{Cause, Phase};

#[test]
fn an_operation_that_was_forgotten_on_either_connection_is_500_and_a_bug() {
    for is_backends in [false, true] {
        let mut scene = Scene::usual(10, 20);
        if is_backends {
            scene.backends[0].forgets_operation = true;
        } else {
            scene.client.forgets_operation = true;
        }
        // That its places come back and its connections are closed is checked for every opening.
        let outcome = scene.play();
        assert_eq!((outcome.termination, outcome.status()), (Some((Cause::Bug, Phase::Answer)), 500));
        assert!(outcome.told().contains(BUG_MESSAGE), "{}", outcome.told());
    }
}

#[test]
fn a_refusal_for_a_cause_without_an_answer_is_a_bug() {
    for cause in [Cause::Closed, Cause::Idle, Cause::ClientGone, Cause::Bug] {
        let refusal = Refusal::of(cause, "whatever");
        assert_eq!((refusal.cause, refusal.status), (Cause::Bug, 500), "{cause:?}");
    }
}
