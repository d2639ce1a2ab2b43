//! The harness over TLS: every byte compared, corruption caught, and resumed handshakes counted as what they are.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and makes real delays"
)]

use ringgate_loadtest::backend::Backend;
use ringgate_loadtest::load::{self, Target, TlsTarget};
use ringgate_loadtest::plan::Plan;
use ringgate_loadtest::result::RunResult;
use ringgate_loadtest::tls::credentials::Credentials;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

fn backend(credentials: Option<&Credentials>) -> SocketAddr {
    let backend = Backend::listen_with("127.0.0.1:0".parse().unwrap(), credentials).unwrap();
    let address = backend.address().unwrap();
    thread::spawn(move || backend.serve());
    address
}

/// The harness's own echo, with TLS and without.
fn target(credentials: &Credentials) -> Target {
    let tls = TlsTarget { address: backend(Some(credentials)), credentials: credentials.clone() };
    Target {
        name: "t".into(),
        address: backend(None),
        tls: Some(tls),
        pids: vec![],
        core: None,
        load_core: None,
    }
}

fn run(target: &Target, lines: &str) -> RunResult {
    let plan =
        Plan::parse(&format!("title = \"t\"\nmeasures = \"tail\"\ntls = \"clients\"\n{lines}")).unwrap();
    if plan.verify {
        load::verify::run(&plan, "t", target, 7).unwrap()
    } else {
        load::run(&plan, "t", target, 7).unwrap()
    }
}

const SIZES: &str =
    "sizes = [{ bytes = 0 }, { bytes = 64 }, { bytes = 16384 }, { bytes = 65536 }, { bytes = 1048576 }]";

#[test]
fn every_byte_comes_back_in_both_modes() {
    let target = target(&Credentials::make().unwrap());
    for lines in ["verify = true\nduration_s = 1", "duration_s = 1\nwarmup_s = 0"] {
        let result = run(&target, &format!("{lines}\n[steady]\nsessions = 4\n{SIZES}"));
        assert_eq!(result.faults, Vec::<String>::new());
        assert!(result.messages > 20, "{}", result.messages);
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused_in_both_modes() {
    let mut target = target(&Credentials::make().unwrap());
    target.tls.as_mut().unwrap().credentials = Credentials::make().unwrap();
    let verified =
        run(&target, "verify = true\nduration_s = 0.3\n[steady]\nsessions = 1\nsizes = [{ bytes = 64 }]");
    assert!(verified.faults[0].contains("invalid peer certificate"), "{:?}", verified.faults);
    let result =
        run(&target, "duration_s = 0.3\nwarmup_s = 0\n[churn]\nrate_per_s = 20\nat_once = 5\nbytes = 64");
    assert!(result.faults[0].contains("invalid peer certificate"), "{:?}", result.faults);
    assert_eq!(result.sessions, 0);
}

/// A proxy without keys that changes a byte of what the backend sends, far behind the handshake.
fn corrupting(backend: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let upstream = TcpStream::connect(backend).unwrap();
            upstream.set_nodelay(true).unwrap();
            client.set_nodelay(true).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || corrupt(upstream, client));
        }
    });
    address
}

fn corrupt(mut from: TcpStream, mut to: TcpStream) {
    const AT: usize = 50_000;
    let (mut buffer, mut passed) = ([0; 65_536], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if (passed..passed + count).contains(&AT) {
            buffer[AT - passed] ^= 1;
        }
        passed += count;
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn a_byte_that_was_changed_on_the_way_is_caught_in_both_modes() {
    let mut target = target(&Credentials::make().unwrap());
    let tls = target.tls.as_mut().unwrap();
    tls.address = corrupting(tls.address);
    for lines in ["verify = true\nduration_s = 0.5", "duration_s = 0.5\nwarmup_s = 0"] {
        let result = run(&target, &format!("{lines}\n[steady]\nsessions = 2\nsizes = [{{ bytes = 16384 }}]"));
        assert!(!result.faults.is_empty() && !result.thrown_out.is_empty(), "{lines}");
    }
}

const CHURN: &str = "warmup_s = 0.5\nduration_s = 1\n[churn]\nrate_per_s = 100\nat_once = 50\nbytes = 64";

#[test]
fn handshakes_are_counted_as_what_they_are() {
    let target = target(&Credentials::make().unwrap());
    let full = run(&target, CHURN);
    assert_eq!(full.faults, Vec::<String>::new());
    let handshakes = full.handshakes.unwrap();
    assert!(handshakes.full.abs_diff(full.sessions) < 20 && full.sessions > 60, "{full:?}");
    assert_eq!(handshakes.resumed, 0);

    let resumed = run(&target, &format!("{CHURN}\nhandshake = \"resumed\""));
    assert_eq!(resumed.faults, Vec::<String>::new());
    let handshakes = resumed.handshakes.unwrap();
    assert!(handshakes.resumed.abs_diff(resumed.sessions) < 20 && resumed.sessions > 60, "{resumed:?}");
    assert!(handshakes.resumed_share() > 0.95, "{handshakes:?}");
}

#[test]
fn plain_sessions_beside_others_have_a_latency_of_their_own() {
    let target = target(&Credentials::make().unwrap());
    let steady = "[steady]\nsessions = 20\nplain_sessions = 10\nrate_per_s = 1000\nsizes = [{ bytes = 64 }]";
    let result = run(&target, &format!("duration_s = 0.5\nwarmup_s = 0.1\n{steady}"));
    assert_eq!(result.faults, Vec::<String>::new());
    assert!(result.latency.is_some() && result.plain_latency.is_some());
    let verified = run(&target, &format!("verify = true\nduration_s = 0.3\n{steady}"));
    assert_eq!(verified.faults, Vec::<String>::new());
}
