//! Heads that come in pieces, and streams that end within them.

use super::scene::{Outcome, Scene, request, switching};
use super::scripted::{Event, Script};
use crate::session::{Cause, Phase};

/// Bytes behind a head.
const BEHIND: &[u8] = b"\x81\x85maskHELLO";

/// Pieces of `bytes`, cut at `cut`, the second one ten milliseconds after the first.
fn in_two(bytes: &[u8], cut: usize) -> Vec<(u64, Event)> {
    let (first, second) = bytes.split_at(cut);
    vec![(0, Event::Bytes(first.to_vec())), (10, Event::Bytes(second.to_vec()))]
}

/// Byte by byte, a millisecond apart.
fn in_bytes(bytes: &[u8]) -> Vec<(u64, Event)> {
    bytes.iter().zip(0..).map(|(byte, at)| (at, Event::Bytes(vec![*byte]))).collect()
}

fn with_behind(head: Vec<u8>) -> Vec<u8> {
    [&head, BEHIND].concat()
}

fn assert_open(outcome: &Outcome, what: &str) {
    assert_eq!((outcome.termination, outcome.status()), (None, 101), "{what}");
}

#[test]
fn a_request_opens_its_session_wherever_it_is_cut() {
    let bytes = with_behind(request());
    for cut in 1..bytes.len() {
        let mut scene = Scene::usual(1, 30);
        scene.client = Script::of(in_two(&bytes, cut));
        let outcome = scene.play();
        assert_open(&outcome, &format!("cut at {cut}"));
        // A second piece that is all behind the head may come when the relay has the socket: it is left there for it.
        let expected = if cut < request().len() { BEHIND } else { &BEHIND[..cut - request().len()] };
        assert_eq!(outcome.early[0], expected, "cut at {cut}");
    }
}

#[test]
fn an_answer_opens_its_session_wherever_it_is_cut() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
    for answer in [switching(), [interim, switching()].concat()] {
        let bytes = with_behind(answer.clone());
        for cut in 1..bytes.len() {
            let mut scene = Scene::usual(1, 0);
            scene.backends = vec![Script::of(in_two(&bytes, cut))];
            let outcome = scene.play();
            assert_open(&outcome, &format!("cut at {cut}"));
            let expected = if cut < answer.len() { BEHIND } else { &BEHIND[..cut - answer.len()] };
            assert_eq!(outcome.early[1], expected, "cut at {cut}");
        }
    }
}

#[test]
fn heads_that_come_byte_by_byte_open_a_session() {
    let mut scene = Scene::usual(1, 0);
    scene.client = Script::of(in_bytes(&with_behind(request())));
    scene.backends = vec![Script::of(in_bytes(&with_behind(switching())))];
    assert_open(&scene.play(), "byte by byte");
}

#[test]
fn a_client_that_leaves_within_its_head_is_told_nothing_and_reaches_no_backend() {
    let request = request();
    for cut in 0..request.len() {
        for end in [Event::Fin, Event::Reset] {
            let mut scene = Scene::usual(1, 0);
            scene.client = Script::of(vec![(0, Event::Bytes(request[..cut].to_vec())), (3, end.clone())]);
            let outcome = scene.play();
            assert_eq!(outcome.termination, Some((Cause::ClientGone, Phase::Head)), "{end:?} at {cut}");
            assert_eq!((outcome.told(), outcome.backends.len()), (String::new(), 0), "{end:?} at {cut}");
        }
    }
}

#[test]
fn a_backend_that_leaves_within_its_answer_is_502() {
    let answer = switching();
    for cut in 0..answer.len() {
        for end in [Event::Fin, Event::Reset] {
            let mut scene = Scene::usual(1, 0);
            scene.backends =
                vec![Script::of(vec![(0, Event::Bytes(answer[..cut].to_vec())), (3, end.clone())])];
            let outcome = scene.play();
            assert_eq!(outcome.termination, Some((Cause::BackendAnswer, Phase::Answer)), "{end:?} at {cut}");
            assert_eq!(outcome.status(), 502, "{end:?} at {cut}");
        }
    }
}

#[test]
fn a_refusal_that_is_passed_on_is_whole_or_shows_that_it_is_not_wherever_its_backend_leaves() {
    let head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n";
    let bytes = [head.as_slice(), b"not me"].concat();
    for cut in 0..=bytes.len() {
        let mut scene = Scene::usual(1, 0);
        scene.backends = vec![Script::of(vec![(0, Event::Bytes(bytes[..cut].to_vec())), (3, Event::Fin)])];
        let outcome = scene.play();
        let is_passed_on = cut >= head.len();
        assert_eq!(outcome.termination, Some((Cause::BackendAnswer, Phase::Answer)), "cut at {cut}");
        assert_eq!(outcome.status(), if is_passed_on { 403 } else { 502 }, "cut at {cut}");
        let is_truncated = is_passed_on && cut < bytes.len();
        assert_eq!(outcome.client.is_reset_on_close.get(), is_truncated, "cut at {cut}");
        if is_passed_on {
            let body = &bytes[head.len()..cut];
            assert!(outcome.told().as_bytes().ends_with(body), "cut at {cut}: {}", outcome.told());
        }
    }
}
