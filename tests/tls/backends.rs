//! TLS towards backends: whom ringgate trusts, what it shows, and what a failure comes to.

use crate::pki::{Authority, Leaf, mutual_server_config, provider, server_config};
use crate::secured::{accept, expect, read_head, send};
use crate::support::backend::{Backend, switching};
use crate::support::frames::{client_frame, server_frame};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, Served};
use crate::support::{TestInstance, api_file};
use aws_lc_rs::digest::{SHA256, digest};
use ringgate::session::{Cause, Phase};
use rustls::{HandshakeKind, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;

/// Where backends are, as a certificate has it.
pub(crate) const HOST: &str = "127.0.0.1";

const FAILED: &str = "the backend's TLS handshake failed";

pub(crate) fn api(backend: &Backend, tls: &str) -> String {
    let lines = format!("answer_timeout_ms = 2000\ndial_timeout_ms = 2000\nlinger_s = 1\n{tls}");
    api_file("t", backend.address, &lines).replace("ws://", "wss://")
}

pub(crate) fn gateway(api: &str) -> TestInstance {
    TestInstance::start_with("workers = 1\ndrain_s = 0", &[("t", api)])
}

/// The line by which an API trusts an authority.
pub(crate) fn trusts(folder: &Path, authority: &Authority) -> String {
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    format!("tls = {{ ca = \"{}\" }}", file.display())
}

/// Takes the next connection under TLS, and tries to read the request.
fn try_handshake(backend: &Backend, config: ServerConfig) -> JoinHandle<bool> {
    let stream = backend.take().stream;
    std::thread::spawn(move || {
        let mut server = accept(stream, &Arc::new(config));
        server.conn.complete_io(&mut server.sock).is_ok()
            && std::io::Read::read(&mut server, &mut [0]).is_ok_and(|bytes| bytes > 0)
    })
}

fn pin_of(leaf: &Leaf) -> String {
    let bytes = digest(&SHA256, leaf.certificate.der());
    let hex: String = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tls = {{ pin = \"{hex}\" }}")
}

#[test]
fn only_a_certificate_that_is_trusted_and_for_the_host_opens_a_session() {
    let (authority, strange) = (Authority::new("ca"), Authority::new("strange"));
    let middle = authority.intermediate("middle");
    let folder = TempDir::new().unwrap();
    let trusts = trusts(folder.path(), &authority);
    let future = authority.leaf_with(&[HOST], |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    let pinned = strange.leaf(&[HOST]);
    let table: [(&str, &str, Leaf, Option<&str>); 9] = [
        ("right", &trusts, authority.leaf(&[HOST]), None),
        ("expired", &trusts, authority.expired_leaf(&[HOST]), Some("expired")),
        ("not valid yet", &trusts, future, Some("not_valid_yet")),
        ("another address", &trusts, authority.leaf(&["127.0.0.2"]), Some("wrong_name")),
        ("a name, no address", &trusts, authority.leaf(&["localhost"]), Some("wrong_name")),
        ("a strange authority", &trusts, strange.leaf(&[HOST]), Some("untrusted")),
        ("an intermediate that is missing", &trusts, middle.leaf(&[HOST]), Some("untrusted")),
        ("not of the system's authorities", "", authority.leaf(&[HOST]), Some("untrusted")),
        ("not the pinned one", &pin_of(&strange.leaf(&[HOST])), strange.leaf(&[HOST]), Some("wrong_pin")),
    ];
    let right_pin = ("the pinned one of a strange authority", pin_of(&pinned), pinned, None);
    let right_pin = (right_pin.0, right_pin.1.as_str(), right_pin.2, right_pin.3);
    for (what, tls, leaf, check) in table.into_iter().chain([right_pin]) {
        let backend = Backend::new();
        let instance = "workers = 1\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
        let served = Served::start(&Configuration::new(instance, &api(&backend, tls)));
        let mut client = Raw::connect(served.address);
        client.send(request("/t", "").as_bytes());
        let handshake = try_handshake(&backend, server_config(&provider(), &leaf));
        match check {
            None => assert!(handshake.join().unwrap(), "{what}"),
            Some(check) => {
                read_refusal(&mut client, 502, FAILED);
                let said = served.wait_until_said("TLS with a backend failed");
                assert!(said.contains(&format!("check=\"{check}\"")), "{what}: {said}");
                assert!(!handshake.join().unwrap(), "{what}: no byte of the request is sent");
            }
        }
    }
}

#[test]
fn a_failure_is_counted_by_its_cause() {
    let (authority, backend) = (Authority::new("ca"), Backend::new());
    let gateway = gateway(&api(&backend, ""));
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    let handshake = try_handshake(&backend, server_config(&provider(), &authority.leaf(&[HOST])));
    read_refusal(&mut client, 502, FAILED);
    handshake.join().unwrap();
    drop(client);
    gateway.wait_for_terminations(Cause::BackendTls, Phase::Dial, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_backend_that_speaks_no_tls_or_breaks_off_is_502_and_a_silent_one_504() {
    let backend = Backend::new();
    let gateway = gateway(&api(&backend, ""));
    for (what, status) in [("plain", 502), ("gone", 502), ("reset", 502), ("silent", 504)] {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "").as_bytes());
        let mut session = backend.take();
        let kept = match what {
            "plain" => {
                session.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                Some(session)
            }
            "gone" => {
                drop(session);
                None
            }
            "reset" => {
                session.reset();
                None
            }
            _ => Some(session),
        };
        let (told, _) = client.read_to_end();
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {told}");
        drop(kept);
    }
    gateway.wait_for_terminations(Cause::BackendSilent, Phase::Dial, 1);
    // A connection that is gone before its dial was looked at is one that was refused.
    let failed = || {
        let of = |cause| gateway.terminations(cause, Phase::Dial);
        of(Cause::BackendTls) + of(Cause::BackendRefused)
    };
    crate::support::wait_until("three failures", || failed() == 3);
    assert!(gateway.terminations(Cause::BackendTls, Phase::Dial) >= 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_backend_that_wants_a_certificate_gets_the_one_of_the_api() {
    let (authority, clients, folder) =
        (Authority::new("ca"), Authority::new("clients"), TempDir::new().unwrap());
    let at = folder.path().display();
    let files = clients.leaf(&["ringgate"]).write(folder.path(), "own");
    let ca = trusts(folder.path(), &authority);
    let shown = ca.replace(
        " }",
        &format!(", certificate = {{ chain = \"{at}/{}\", key = \"{at}/{}\" }} }}", files.chain, files.key),
    );
    for (tls, is_taken) in [(shown, true), (ca, false)] {
        let backend = Backend::new();
        let gateway = gateway(&api(&backend, &tls));
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "").as_bytes());
        let config = mutual_server_config(&authority.leaf(&[HOST]), &clients);
        assert_eq!(try_handshake(&backend, config).join().unwrap(), is_taken, "{tls}");
        let (told, _) = client.read_to_end();
        assert!(told.starts_with(b"HTTP/1.1 502 "), "{}", told.escape_ascii());
        drop(client);
        gateway.wait_for_rest();
        gateway.end();
    }
}

#[test]
fn the_next_session_of_a_backend_resumes() {
    let (authority, folder, backend) = (Authority::new("ca"), TempDir::new().unwrap(), Backend::new());
    let gateway = gateway(&api(&backend, &trusts(folder.path(), &authority)));
    let mut config = server_config(&provider(), &authority.leaf(&[HOST]));
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let config = Arc::new(config);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "").as_bytes());
        let mut session = accept(backend.take().stream, &config);
        let head = read_head(&mut session);
        send(&mut session, switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        assert_eq!(session.conn.handshake_kind(), Some(expected));
        let (up, down) = (client_frame(0x82, b"up"), server_frame(0x82, b"down"));
        client.send(&up);
        expect(&mut session, &up);
        send(&mut session, &down);
        client.expect(&down);
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}
