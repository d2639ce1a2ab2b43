//! Peers that take their time: slow heads, slow readers, slow closers, and what each may hold.

use crate::scene::{Scene, status_of};
use crate::support::backend::Pair;
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{ACCEPT, Raw, StreamEnd, request};
use ringgate::session::{Cause, Phase};
use std::time::Duration;

/// Sends byte by byte, a moment apart, until the other side has had enough.
fn drip(mut raw: Raw, bytes: Vec<u8>) -> std::thread::JoinHandle<Raw> {
    std::thread::spawn(move || {
        for byte in bytes {
            if !raw.try_send(&[byte]) {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        raw
    })
}

#[test]
fn heads_that_drip_in_past_their_deadline_are_408_and_hold_nothing() {
    // RFC 9110 §15.5.9.
    let scene = Scene::with("[limits]\nhead_timeout_ms = 300", "");
    let endless = format!("GET /t HTTP/1.1\r\nHost: h\r\n{}", "X-A: b\r\n".repeat(400)).into_bytes();
    let mut clients: Vec<_> = (0..20).map(|_| Raw::connect(scene.address())).collect();
    let drips: Vec<_> = clients.iter().map(|client| drip(client.clone_handle(), endless.clone())).collect();
    for client in &mut clients {
        assert_eq!(status_of(client), 408);
    }
    drop(clients);
    drips.into_iter().for_each(|drip| drop(drip.join().unwrap()));
    scene.gateway().wait_for_terminations(Cause::HeadFault, Phase::Head, 20);
    assert!(scene.backend.is_untouched());
    scene.end();
}

#[test]
fn a_backend_whose_answer_drips_in_past_its_deadline_is_504() {
    // RFC 9110 §15.6.5.
    let scene = Scene::with("", "answer_timeout_ms = 300");
    let mut client = Raw::connect(scene.address());
    client.send(request("/t", "").as_bytes());
    let (session, _) = scene.backend.take_request();
    let endless = format!("HTTP/1.1 101 S\r\n{}", "X-A: b\r\n".repeat(400)).into_bytes();
    let dripping = drip(session, endless);
    assert_eq!(status_of(&mut client), 504);
    drop(client);
    drop(dripping.join().unwrap());
    scene.gateway().wait_for_terminations(Cause::BackendSilent, Phase::Answer, 1);
    scene.end();
}

#[test]
fn a_refused_body_that_drips_in_is_cut_at_the_deadline_of_the_answer() {
    let scene = Scene::with("", "answer_timeout_ms = 300");
    let mut client = Raw::connect(scene.address());
    client.send(request("/t", "").as_bytes());
    let (mut session, _) = scene.backend.take_request();
    session.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n");
    let dripping = drip(session, vec![b'x'; 4_000]);
    let (told, end) = client.read_to_end();
    assert!(told.starts_with(b"HTTP/1.1 403 "));
    assert_eq!(end, StreamEnd::Reset, "a body that is cut does not look whole");
    drop(client);
    drop(dripping.join().unwrap());
    scene.end();
}

#[test]
fn a_client_that_drips_frames_has_a_session_like_any_other() {
    let scene = Scene::new();
    let Pair { client, mut backend } = Pair::open(scene.address(), &scene.backend);
    let message = client_frame(0x82, &[9; 200]);
    let dripping = drip(client, message.clone());
    backend.expect(&message);
    drop((dripping.join().unwrap(), backend));
    scene.end();
}

#[test]
fn clients_that_stop_reading_hold_back_their_own_senders_only() {
    /// Far more than all buffers on the way hold: 120 MB.
    const FRAMES: usize = 2_000;
    let scene = Scene::with("", "linger_s = 1");
    let pairs: Vec<_> = (0..10).map(|_| Pair::open(scene.address(), &scene.backend)).collect();
    let senders: Vec<_> = pairs
        .into_iter()
        .map(|Pair { client, mut backend }| {
            let sender = std::thread::spawn(move || {
                let frame = server_frame(0x82, &[5; 60_000]);
                (0..FRAMES).take_while(|_| backend.try_send(&frame)).count()
            });
            (client, sender)
        })
        .collect();
    scene.gateway().wait_for_slow_readers();
    assert!(senders.iter().all(|(_, sender)| !sender.is_finished()), "senders are held back");
    for (client, sender) in senders {
        // They leave, and what they never read goes with them.
        client.reset();
        sender.join().unwrap();
    }
    scene.end();
}

#[test]
fn a_close_that_is_never_answered_keeps_a_session_for_its_linger_time_only() {
    // RFC 6455 §7.1.1: the end must not wait for ever.
    let scene = Scene::with("", "linger_s = 1");
    let Pair { mut client, mut backend } = Pair::open(scene.address(), &scene.backend);
    let close = client_frame(0x88, &close_payload(1000, ""));
    client.send(&close);
    backend.expect(&close);
    // The backend goes on as if nothing had been said.
    while backend.try_send(&server_frame(0x82, &[1; 1000])) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    scene.gateway().wait_for_terminations(Cause::Closed, Phase::Relay, 1);
    drop((client, backend));
    scene.end();
}

#[test]
fn sessions_that_never_close_end_at_their_longest_life_and_idle_ones_before() {
    let scene = Scene::with("", "longest_life_s = 2\nidle_timeout_s = 1\nlinger_s = 1");
    let busy = Pair::open(scene.address(), &scene.backend);
    let idle: Vec<_> = (0..20).map(|_| Pair::open(scene.address(), &scene.backend)).collect();
    let Pair { client: mut pinger, backend: mut answerer } = busy;
    // It says as little as it can, for as long as it may.
    while pinger.try_send(&client_frame(0x89, b"")) && answerer.try_send(&server_frame(0x8a, b"")) {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    scene.gateway().wait_for_terminations(Cause::Idle, Phase::Relay, 20);
    scene.gateway().wait_for_terminations(Cause::LongestLife, Phase::Relay, 1);
    drop((idle, pinger, answerer));
    scene.end();
}

#[test]
fn a_backend_that_takes_no_bytes_of_the_request_is_504() {
    let scene = Scene::with("", "answer_timeout_ms = 200");
    let mut clients: Vec<_> = (0..10).map(|_| Raw::connect(scene.address())).collect();
    for client in &mut clients {
        client.send(request("/t", "").as_bytes());
    }
    // Taken by the system, never read.
    let silent: Vec<_> = (0..10).map(|_| scene.backend.take()).collect();
    for client in &mut clients {
        assert_eq!(status_of(client), 504);
    }
    drop((clients, silent));
    scene.end();
}

#[test]
fn a_client_that_does_not_read_its_101_gets_its_session_all_the_same() {
    let scene = Scene::new();
    let mut client = Raw::connect_with_room(scene.address(), 1);
    client.send(request("/t", "").as_bytes());
    let (mut session, _) = scene.backend.take_request();
    let lines = format!("X-Long: {}\r\n", "y".repeat(8_000));
    session.send(format!("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop((client, session));
    scene.end();
}
