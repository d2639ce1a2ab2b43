//! Bytes behind a handshake belong to the new protocol if there is one, and are dropped otherwise: they are never a second
//! request.
//!
//! RFC 6455 §4.1 lets a client send nothing before the 101, RFC 9112 §9.6 nothing behind an answer that closes.

use crate::neighbour::{Scene, attacked};
use crate::support::backend::switching;
use crate::support::frames::{close_payload, server_frame};
use crate::support::handshake::{read_refusal, without_date};
use crate::support::raw::{Raw, StreamEnd, request};
use ringgate::session::{Cause, Phase};

/// A client that has sent a handshake and at once another one, and what the backend has got of it.
fn ask_twice(scene: &Scene) -> (Raw, Raw, String) {
    let mut client = Raw::connect(scene.gateway.address);
    client.send(&[request("/t/first", ""), request("/t/second", "")].concat().into_bytes());
    let (backend, head) = scene.backend.take_request();
    assert!(head.starts_with("GET /first HTTP/1.1\r\n"), "{head}");
    (client, backend, head)
}

#[test]
fn a_request_behind_a_handshake_that_succeeds_is_a_broken_frame() {
    attacked("", "", |scene| {
        let (mut client, mut backend, head) = ask_twice(scene);
        backend.send(switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        // A `G` is a text frame that is not final, with RSV1, and its mask bit is not set either (RFC 6455 §5.1, §5.2).
        client.expect(&server_frame(0x88, &close_payload(1002, "frame_fault")));
        // The backend has done nothing wrong: it is told of a plain end.
        assert_eq!(backend.read_to_end(), (Vec::new(), StreamEnd::Fin));
        backend.finish();
        drop(client);
        scene.gateway.wait_for_terminations(Cause::FrameFault, Phase::Relay, 1);
        scene.nothing_else_reached_the_backend();
    });
}

#[test]
fn a_request_behind_a_handshake_that_the_backend_refuses_gets_no_answer() {
    attacked("", "", |scene| {
        let (mut client, mut backend, _) = ask_twice(scene);
        backend.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
        let head = without_date(&client.read_head());
        assert_eq!(head, "HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_to_end(), (b"no".to_vec(), StreamEnd::Fin));
        assert_eq!(backend.read_to_end().0, b"", "nothing behind the first request");
        drop(client);
        scene.gateway.wait_for_terminations(Cause::BackendAnswer, Phase::Answer, 1);
        scene.nothing_else_reached_the_backend();
    });
}

#[test]
fn a_request_behind_a_handshake_that_is_never_answered_gets_no_answer_either() {
    attacked("", "answer_timeout_ms = 500", |scene| {
        let (mut client, mut backend, _) = ask_twice(scene);
        read_refusal(&mut client, 504, "the backend did not answer in time");
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        drop(client);
        scene.gateway.wait_for_terminations(Cause::BackendSilent, Phase::Answer, 1);
        scene.nothing_else_reached_the_backend();
    });
}

#[test]
fn what_an_opaque_session_gets_behind_its_handshake_belongs_to_it() {
    attacked("", "frames = \"opaque\"", |scene| {
        let (mut client, mut backend, head) = ask_twice(scene);
        backend.send(switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        backend.expect(request("/t/second", "").as_bytes());
        client.finish();
        backend.finish();
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
        assert_eq!(backend.read_to_end(), (vec![], StreamEnd::Fin));
        scene.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 1);
    });
}
