//! Thousands of sessions and openings end by every cause; then permits, slots, buffers and descriptors are where they
//! were. One test, alone in its process, because it counts descriptors.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use ringgate::session::{Cause, Phase};
use support::backend::{Backend, switching};
use support::frames::{client_frame, close_payload, server_frame};
use support::raw::{Raw, header, request};
use support::{TestInstance, wait_until};

/// Behaves as a header of the request asks.
fn behave(mut raw: Raw) {
    let head = raw.read_head();
    let script = header(&head, "X-Script").unwrap_or("").to_owned();
    match script.as_str() {
        "refuse" => return raw.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        "hang_up" => return,
        "reset_before" => return raw.reset(),
        "wrong_accept" => {
            return raw.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOA=\r\n\r\n",
            );
        }
        _ => raw.send(switching(&head, "").as_bytes()),
    }
    match script.as_str() {
        "close" => raw.send(&server_frame(0x88, &close_payload(1000, ""))),
        "fin" => raw.finish(),
        "fin_within_frame" => {
            raw.send(&server_frame(0x82, &[0; 1000])[..700]);
            raw.finish();
        }
        "reset" => return raw.reset(),
        "fault" => raw.send(b"\x83\x00"),
        "too_big" => raw.send(&server_frame(0x82, &[0; 5000])),
        _ => {}
    }
    let _ = std::io::copy(&mut raw.stream, &mut std::io::sink());
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn whatever_ends_sessions_everything_comes_back() {
    const ROUNDS: u64 = 120;
    let backend = Backend::new().serve(behave);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let api = support::api_file(
        "t",
        backend,
        "linger_s = 1\nidle_timeout_s = 1\nframe_bytes_max = 4096\nanswer_timeout_ms = 2000",
    );
    let gone = support::api_file("gone", closed, "");
    let gateway = TestInstance::start_with("workers = 2\n", &[("t", &api), ("gone", &gone)]);
    let open = |script: &str| {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", &format!("X-Script: {script}\r\n")).as_bytes());
        client
    };
    // One session first: what the process opens once is open then.
    drop(open("close").read_head());
    gateway.wait_for_rest();
    wait_until("threads of the first session", || descriptors() > 0);
    let before = descriptors();

    for round in 0..ROUNDS {
        let mut clients = Vec::new();
        // Causes on the backend's side, and those before the 101.
        for script in [
            "close",
            "fin",
            "fin_within_frame",
            "reset",
            "fault",
            "too_big",
            "refuse",
            "hang_up",
            "reset_before",
            "wrong_accept",
        ] {
            clients.push(open(script));
        }
        // Causes on the client's side.
        for what in 0..6 {
            let mut client = open("stay");
            if what < 5 {
                client.read_head();
            }
            match what {
                0 => client.send(&client_frame(0x88, &close_payload(1000, ""))),
                1 => client.finish(),
                2 => {
                    client.reset();
                    continue;
                }
                3 => client.send(b"\x81\x01x"),
                4 => client.send(&client_frame(0x82, &[0; 5000])),
                // Left while the opening is in progress, or just behind it.
                _ => {}
            }
            clients.push(client);
        }
        let mut refused = Raw::connect(gateway.address);
        refused.send(request("/nowhere", "").as_bytes());
        clients.push(refused);
        let mut unreachable = Raw::connect(gateway.address);
        unreachable.send(request("/gone", "").as_bytes());
        clients.push(unreachable);
        let mut faulty = Raw::connect(gateway.address);
        faulty.send(b"POST / HTTP/1.1\r\n\r\n");
        clients.push(faulty);
        // Some wait for what they are told, some leave at once.
        if round % 2 == 0 {
            for client in &mut clients {
                client.finish_if_open();
                let _ = client.stream.set_read_timeout(Some(std::time::Duration::from_millis(1)));
                let mut sink = [0; 1024];
                let _ = std::io::Read::read(&mut client.stream, &mut sink);
            }
        }
    }
    // A session that nobody ends is ended as idle.
    let mut idle = open("stay");
    idle.read_head();
    let _ = idle.read_to_end();
    drop(idle);

    gateway.wait_for_rest();
    wait_until("descriptors at their start value", || descriptors() <= before);
    assert!(gateway.terminations(Cause::Idle, Phase::Relay) >= 1);
    for cause in [Cause::Closed, Cause::Ended, Cause::Reset, Cause::FrameFault, Cause::FrameTooBig] {
        let count = gateway.terminations(cause, Phase::Relay);
        assert!(count >= ROUNDS / 2, "{}: {count}", cause.name());
    }
    for (cause, phase) in [
        (Cause::BackendRefused, Phase::Dial),
        (Cause::BackendAnswer, Phase::Answer),
        (Cause::NoApi, Phase::Head),
        (Cause::HeadFault, Phase::Head),
    ] {
        let count = gateway.terminations(cause, phase);
        assert!(count >= ROUNDS / 2, "{} in {}: {count}", cause.name(), phase.name());
    }
    gateway.end();
}
