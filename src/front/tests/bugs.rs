//! An opening with a broken invariant: it ends alone, with a 500 if its client can still be answered.

use super::scene::{Scene, Stage, switching};
use super::scripted::{Script, Scripted, ScriptedNetwork};
use crate::front::answer::BackendAnswer;
use crate::front::channel::Channel;
use crate::front::converse::Opened;
use crate::front::opening::Opening;
use crate::front::opening_end::BrokenOpening;
use crate::front::refusal::{BUG_MESSAGE, Refusal};
use crate::front::run::Waiting;
use crate::front::stages::Stopwatch;
use crate::head::Method;
use crate::http1::ResponseHead;
use crate::session::{Cause, CorrelationId, Phase};
use crate::websocket::ReservedBits;
use bytes::Bytes;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::time::Instant;

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

#[tokio::test]
async fn what_a_session_lacks_is_named_before_its_client_gets_a_101() {
    let connection = || Channel::plain(Rc::new(Scripted::accepted(Script::of(Vec::new())).0));
    let front = Stage::new("", ScriptedNetwork::new(Vec::new())).front;
    let peer = SocketAddr::from(([192, 0, 2, 9], 40_000));
    let guard = front.begin_opening(front.take_opening(peer.ip()).unwrap());
    let mut opening = Opening {
        front: Rc::clone(&front),
        socket: connection(),
        id: CorrelationId::from_random([3; 16]),
        peer,
        certificate: None,
        method: Method::Other,
        phase: Phase::Answer,
        stages: Stopwatch::begin(Instant::now()),
        labels: None,
        event: None,
        policy_records: OnceCell::new(),
        guard,
    };
    let head = ResponseHead::parse(switching().into()).unwrap();
    let opened = Opened {
        backend: connection(),
        address: peer,
        answer: BackendAnswer { head, changed: None, behind: Bytes::new() },
        reserved_bits: ReservedBits::None,
    };
    let broken = opening.prepare_hand_over(&opened);
    assert!(matches!(broken, Err(BrokenOpening::HasNoPermit)), "{broken:?}");

    let published = front.published();
    let api = &published.snapshot.served()[0];
    let (permit, pending) = (
        front.budgets.take_session(peer.ip()).unwrap(),
        front.budgets.take_pending(&published.places, api).unwrap(),
    );
    opening.guard.wait_for_backend(Waiting::new(permit, pending));
    let broken = opening.prepare_hand_over(&opened);
    assert!(matches!(broken, Err(BrokenOpening::HasNoLabel)), "{broken:?}");

    opening.labels = published.labels.of_session(api, &crate::catalog::access::Access::default());
    assert!(opening.prepare_hand_over(&opened).is_ok());
}
