//! Every deadline of an opening: its consequence, and its exact moment.

use super::scene::{ANSWER_MS, DIAL_MS, HEAD_MS, Scene, request};
use super::scripted::{Event, Script, Takes};
use crate::limits::{FAREWELL_DRAIN_MS, FAREWELL_SEND_MS};
use crate::session::{Cause, Phase};

/// Plays it; gives the outcome, the status that the client was told, and when it was over, in milliseconds.
fn play(scene: &Scene) -> (Option<(Cause, Phase)>, u16, u64) {
    let outcome = scene.play();
    (outcome.termination, outcome.status(), outcome.took_ms)
}

fn silent() -> Script {
    Script::of(Vec::new())
}

/// A backend that never answers and does not even take the request.
fn deaf() -> Script {
    Script { room_bytes: 10, ..silent() }
}

fn with_backend(backend: Script) -> Scene {
    Scene { backends: vec![backend], ..Scene::usual(0, 0) }
}

#[test]
fn a_head_has_until_its_deadline() {
    for bytes in [&b""[..], b"GET /t HT", b"GET /t HTTP/1.1\r\nHost: gateway.example\r\n"] {
        let client = Script::of(vec![(0, Event::Bytes(bytes.to_vec()))]);
        let scene = Scene { client, ..Scene::usual(0, 0) };
        let ended = HEAD_MS + FAREWELL_DRAIN_MS;
        assert_eq!(play(&scene), (Some((Cause::HeadFault, Phase::Head)), 408, ended), "{bytes:?}");
    }
}

#[test]
fn a_head_that_comes_a_moment_before_its_deadline_opens_a_session() {
    let mut scene = Scene::usual(0, 0);
    scene.client = Script::of(vec![(HEAD_MS - 1, Event::Bytes(request()))]);
    assert_eq!(play(&scene), (None, 101, HEAD_MS - 1));
}

#[test]
fn a_dial_has_until_its_deadline() {
    let late = Script { takes: Takes::Never, ..silent() };
    let ended = DIAL_MS + FAREWELL_DRAIN_MS;
    assert_eq!(play(&with_backend(late)), (Some((Cause::BackendSilent, Phase::Dial)), 504, ended));
    let mut scene = Scene::usual(DIAL_MS - 1, 0);
    assert_eq!(play(&scene), (None, 101, DIAL_MS - 1));
    scene.backends[0].takes = Takes::After(DIAL_MS + 1);
    assert_eq!(play(&scene), (Some((Cause::BackendSilent, Phase::Dial)), 504, ended));
}

#[test]
fn an_answer_has_until_its_deadline() {
    let ended = ANSWER_MS + FAREWELL_DRAIN_MS;
    for backend in [silent(), deaf(), Script::of(vec![(5, Event::Bytes(b"HTTP/1.1 101 Sw".to_vec()))])] {
        let answered = play(&with_backend(backend.clone()));
        assert_eq!(answered, (Some((Cause::BackendSilent, Phase::Answer)), 504, ended), "{backend:?}");
    }
    assert_eq!(play(&Scene::usual(7, ANSWER_MS - 1)), (None, 101, ANSWER_MS + 6));
}

#[test]
fn interim_answers_do_not_move_the_deadline() {
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    let answers = (0..6).map(|index| (index * 700, Event::Bytes(interim.clone())));
    let ended = ANSWER_MS + FAREWELL_DRAIN_MS;
    let scene = with_backend(Script::of(answers.collect()));
    assert_eq!(play(&scene), (Some((Cause::BackendSilent, Phase::Answer)), 504, ended));
}

#[test]
fn a_body_that_is_passed_on_has_until_the_deadline_of_the_answer() {
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked", "X-Until: close"] {
        let head = format!("HTTP/1.1 403 Forbidden\r\n{framing}\r\n\r\n");
        let scene = with_backend(Script::of(vec![(0, Event::Bytes(head.into_bytes()))]));
        let outcome = scene.play();
        assert_eq!((outcome.status(), outcome.client.is_reset_on_close.get()), (403, true), "{framing}");
        assert_eq!(outcome.took_ms, ANSWER_MS + FAREWELL_DRAIN_MS, "{framing}");
    }
}

#[test]
fn a_client_that_does_not_take_its_101_is_given_up() {
    let mut scene = Scene::usual(0, 0);
    scene.client.room_bytes = 20;
    assert_eq!(play(&scene), (Some((Cause::ClientGone, Phase::Answer)), 101, FAREWELL_SEND_MS));
}

#[test]
fn a_client_that_does_not_take_its_refusal_is_given_up() {
    let mut scene = with_backend(Script { takes: Takes::Refuses, ..silent() });
    scene.client.room_bytes = 20;
    assert_eq!(play(&scene), (Some((Cause::BackendRefused, Phase::Dial)), 502, FAREWELL_SEND_MS));
}

#[test]
fn a_refused_client_may_leave_before_the_time_that_it_has_for_reading() {
    let mut scene = with_backend(Script { takes: Takes::Refuses, ..silent() });
    scene.client.events.push((300, Event::Fin));
    assert_eq!(play(&scene), (Some((Cause::BackendRefused, Phase::Dial)), 502, 300));
}
