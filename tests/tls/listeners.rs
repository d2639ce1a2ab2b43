//! TLS towards clients.

use crate::pki::Authority;
use crate::secured::{accept, connect, expect, read_head, send, trusting};
use crate::support::backend::Backend;
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{Raw, header, request};
use crate::support::{TestInstance, api_file};
use ringgate::session::{Cause, Phase};
use std::sync::Arc;
use tempfile::TempDir;

fn api(backend: &Backend, lines: &str) -> String {
    api_file("t", backend.address, &format!("schemes = [\"wss\"]\n{lines}"))
}

#[test]
fn a_session_over_tls_carries_every_byte_both_ways() {
    let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
    let files = authority.leaf(&["gateway.example"]).write(folder.path(), "own");
    let backend = Backend::new();
    let tls = format!(
        "tls = {{ certificates = [{{ chain = \"{0}/{1}\", key = \"{0}/{2}\" }}] }}",
        folder.path().display(),
        files.chain,
        files.key
    );
    let gateway = TestInstance::start_secured("workers = 1", &tls, &[("t", &api(&backend, ""))]);
    let mut client = connect(gateway.address, &trusting(&authority), "gateway.example");
    send(&mut client, request("/t", "").as_bytes());
    let (mut session, head) = backend.take_request();
    assert_eq!(header(&head, "X-Forwarded-Proto"), Some("https"));
    session.send(crate::support::backend::switching(&head, "").as_bytes());
    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
    for size in [0, 1, 125, 126, 16_360, 16_384, 16_385, 40_000, 65_536, 300_000] {
        let up = client_frame(0x82, &vec![size as u8; size]);
        let down = server_frame(0x82, &vec![size as u8; size]);
        let handle = std::thread::spawn({
            let up = up.clone();
            move || {
                session.expect(&up);
                session
            }
        });
        send(&mut client, &up);
        session = handle.join().unwrap();
        let mut other = session.clone_handle();
        let sender = std::thread::spawn({
            let down = down.clone();
            move || other.send(&down)
        });
        expect(&mut client, &down);
        sender.join().unwrap();
    }
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_session_over_tls_on_both_legs() {
    let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
    let own = authority.leaf(&["gateway.example"]).write(folder.path(), "own");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let backend = Backend::new();
    let at = folder.path().display();
    let tls = format!(
        "tls = {{ certificates = [{{ chain = \"{at}/{}\", key = \"{at}/{}\" }}] }}",
        own.chain, own.key
    );
    let lines = format!("tls = {{ ca = \"{at}/ca.pem\" }}");
    let api = api(&backend, &lines).replace("ws://", "wss://");
    let gateway = TestInstance::start_secured("workers = 1", &tls, &[("t", &api)]);
    let leaf = authority.leaf(&["127.0.0.1"]);
    let server = Arc::new(crate::pki::server_config(&crate::pki::provider(), &leaf));
    let mut client = connect(gateway.address, &trusting(&authority), "gateway.example");
    send(&mut client, request("/t", "").as_bytes());
    let mut session = accept(backend.take().stream, &server);
    let head = read_head(&mut session);
    send(&mut session, crate::support::backend::switching(&head, "").as_bytes());
    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
    for size in [0, 1, 125, 126, 1_000, 16_384, 16_385, 60_000] {
        let up = client_frame(0x82, &vec![size as u8; size]);
        send(&mut client, &up);
        expect(&mut session, &up);
        let down = server_frame(0x82, &vec![size as u8; size]);
        send(&mut session, &down);
        expect(&mut client, &down);
    }
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_balancer_is_answered_under_tls_too_while_every_opening_is_taken() {
    let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
    let files = authority.leaf(&["gateway.example"]).write(folder.path(), "own");
    let backend = Backend::new();
    let tls = format!(
        "tls = {{ certificates = [{{ chain = \"{0}/{1}\", key = \"{0}/{2}\" }}] }}",
        folder.path().display(),
        files.chain,
        files.key
    );
    let lines = "workers = 1\n[limits]\nopenings_max = 1\ntrusted_networks = [\"127.0.0.0/8\"]\nhead_timeout_ms = 120000";
    let gateway = TestInstance::start_secured(lines, &tls, &[("t", &api(&backend, ""))]);
    let answered = |request: &str| {
        let mut client = connect(gateway.address, &trusting(&authority), "gateway.example");
        send(&mut client, request.as_bytes());
        read_head(&mut client)[9..12].to_owned()
    };
    let health = "HEAD /status-0123456789abcdef HTTP/1.0\r\n\r\n";
    assert_eq!(answered(health), "200");
    gateway.wait_for_openings(0);
    // Without a handshake: it holds the one opening.
    let silent = Raw::connect(gateway.address);
    gateway.wait_for_openings(1);
    assert_eq!(answered(health), "200");
    assert_eq!(answered(&request("/t", "")), "503");
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 1);
    drop(silent);
    gateway.wait_for_rest();
    gateway.end();
}
