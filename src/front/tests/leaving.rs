//! A client, a backend or this instance that leaves, at every millisecond of an opening.
//!
//! ```text
//! 0          20                     120                  200 ms
//! │ head ... │ dial ............... │ answer ........... │ 101, the relay's
//! ```

use super::scene::{Outcome, Scene, request, switching};
use super::scripted::{Event, Script, Takes};
use crate::limits::CLIENT_WATCH_AFTER_MS;
use crate::session::{Cause, Phase};

const HEAD_COMES_AT: u64 = 20;
const CONNECTED_AT: u64 = 120;
const ANSWER_COMES_AT: u64 = 200;
/// A moment after everything.
const LAST: u64 = 230;

/// An opening with this timeline; the backend's own events follow its answer.
fn scene() -> Scene {
    let request = request();
    let (first, second) = request.split_at(30);
    Scene {
        client: Script::of(vec![
            (0, Event::Bytes(first.to_vec())),
            (HEAD_COMES_AT, Event::Bytes(second.to_vec())),
        ]),
        backends: vec![Script {
            takes: Takes::After(CONNECTED_AT - HEAD_COMES_AT),
            ..Script::of(vec![(ANSWER_COMES_AT - CONNECTED_AT, Event::Bytes(switching()))])
        }],
        drains_at: None,
    }
}

/// Puts an event into a script at its place in time.
fn insert(script: &mut Script, at: u64, event: Event) {
    let place = script.events.partition_point(|(moment, _)| *moment < at);
    script.events.truncate(place);
    script.events.push((at, event));
}

fn assert_came_to(outcome: &Outcome, termination: Option<(Cause, Phase)>, status: u16, what: &str) {
    assert_eq!((outcome.termination, outcome.status()), (termination, status), "{what}");
}

#[test]
fn a_client_may_leave_at_every_moment() {
    for at in 0..LAST {
        for end in [Event::Fin, Event::Reset] {
            let what = format!("{end:?} at {at} ms");
            let mut scene = scene();
            insert(&mut scene.client, at, end);
            let outcome = scene.play();
            // It is looked after from some time after the dial's begin.
            let noticed_at = at.max(HEAD_COMES_AT + CLIENT_WATCH_AFTER_MS);
            if at <= HEAD_COMES_AT {
                assert_came_to(&outcome, Some((Cause::ClientGone, Phase::Head)), 0, &what);
                assert!(outcome.backends.is_empty(), "{what}");
            } else if at < ANSWER_COMES_AT {
                let phase = if noticed_at < CONNECTED_AT { Phase::Dial } else { Phase::Answer };
                if noticed_at != CONNECTED_AT {
                    assert_came_to(&outcome, Some((Cause::ClientGone, phase)), 0, &what);
                }
                assert_eq!(
                    outcome.took_ms, noticed_at,
                    "{what}: the backend's connection does not outlive it"
                );
            } else if at > ANSWER_COMES_AT {
                assert_came_to(&outcome, None, 101, &what);
            }
            assert_eq!(outcome.backends.len(), usize::from(at > HEAD_COMES_AT), "{what}: one dial");
        }
    }
}

#[test]
fn a_backend_may_leave_at_every_moment() {
    for at in 0..LAST - CONNECTED_AT {
        for end in [Event::Fin, Event::Reset] {
            let what = format!("{end:?} at {at} ms");
            let mut scene = scene();
            insert(&mut scene.backends[0], at, end);
            let outcome = scene.play();
            let answers_at = ANSWER_COMES_AT - CONNECTED_AT;
            if at <= answers_at {
                assert_came_to(&outcome, Some((Cause::BackendAnswer, Phase::Answer)), 502, &what);
            } else {
                assert_came_to(&outcome, None, 101, &what);
            }
        }
    }
}

#[test]
fn a_backend_that_refuses_is_502_at_every_moment() {
    let mut scene = scene();
    scene.backends = vec![Script { takes: Takes::Refuses, ..Script::of(Vec::new()) }];
    assert_came_to(&scene.play(), Some((Cause::BackendRefused, Phase::Dial)), 502, "refuses");
}

#[test]
fn a_drain_at_every_moment_refuses_a_head_that_is_not_there_and_finishes_what_has_begun() {
    for at in 0..LAST {
        let mut scene = scene();
        scene.drains_at = Some(at);
        let outcome = scene.play();
        let what = format!("drain at {at} ms");
        if at < HEAD_COMES_AT {
            assert_came_to(&outcome, Some((Cause::Drain, Phase::Head)), 503, &what);
            assert!(outcome.backends.is_empty(), "{what}");
        } else if at > HEAD_COMES_AT {
            assert_came_to(&outcome, None, 101, &what);
        }
    }
}
