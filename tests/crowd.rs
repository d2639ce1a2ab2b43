//! Many sessions at once, with an independent WebSocket implementation at both ends.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use futures_util::{SinkExt, StreamExt};
use ringgate::session::{Cause, Leg, Phase};
use ringgate::websocket::tally::FrameKind;
use support::TestInstance;
use support::backend::tokio_echo;
use tokio_tungstenite::tungstenite::Message;

/// A message whose content tells session and round.
fn message(session: usize, round: usize) -> Message {
    let len = [5, 125, 126, 4_000, 70_000][(session + round) % 5];
    let content: Vec<u8> = (0..len).map(|index| (session * 7 + round * 3 + index) as u8).collect();
    if session.is_multiple_of(2) {
        Message::binary(content)
    } else {
        Message::text(content.iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>())
    }
}

#[test]
fn two_thousand_sessions_get_their_own_messages_back() {
    const SESSIONS: usize = 2_000;
    const ROUNDS: usize = 4;
    rlimit_for(SESSIONS * 5);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let backend = runtime.block_on(tokio_echo());
    let api = support::api_file("t", backend, "");
    // They may all be in progress at once, on a slow machine, and are of one network.
    let limits = "[limits]\nopenings_max = 2000\ntrusted_networks = [\"127.0.0.1\"]";
    let gateway = TestInstance::start_with(&format!("workers = 2\n{limits}"), &[("t", &api)]);
    let url = format!("ws://{}/t", gateway.address);
    runtime.block_on(async {
        let all_open = std::sync::Arc::new(tokio::sync::Barrier::new(SESSIONS));
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|session| {
                let (url, all_open) = (url.clone(), all_open.clone());
                tokio::spawn(async move {
                    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("a session");
                    all_open.wait().await;
                    for round in 0..ROUNDS {
                        let sent = message(session, round);
                        socket.send(sent.clone()).await.expect("a sent message");
                        let got = socket.next().await.expect("a message").expect("a correct one");
                        assert!(got == sent, "session {session}, round {round}");
                    }
                    socket.close(None).await.expect("a sent Close");
                    while let Some(Ok(_)) = socket.next().await {}
                })
            })
            .collect();
        // The first fault ends the wait: the others would wait at the barrier for the one that is missing.
        futures_util::future::try_join_all(sessions).await.expect("sessions without a fault");
    });
    gateway.wait_for_terminations(Cause::Closed, Phase::Relay, SESSIONS as u64);
    gateway.wait_for_rest();
    let counters = gateway.instance.counters();
    for leg in Leg::BOTH {
        let messages =
            counters.frames(leg, FrameKind::Utf8Message) + counters.frames(leg, FrameKind::BinaryMessage);
        assert_eq!(messages, (SESSIONS * ROUNDS) as u64, "{}", leg.name());
        assert_eq!(counters.frames(leg, FrameKind::Close), SESSIONS as u64);
    }
    gateway.end();
}

/// The test holds five descriptors for each session in this one process.
fn rlimit_for(descriptors: usize) {
    let limit = ringgate::process::open_files::raise_open_files().unwrap();
    assert!(
        limit > descriptors as u64 + 500,
        "this test needs {descriptors} open files; the limit is {limit}"
    );
}
