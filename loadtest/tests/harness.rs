//! The harness itself: it must notice a proxy that does wrong, and charge a server for the time in which it stalls.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and makes real delays"
)]

use ringgate_loadtest::backend::Backend;
use ringgate_loadtest::load::{self, Target};
use ringgate_loadtest::plan::Plan;
use ringgate_loadtest::result::RunResult;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// A server's frame of 64 bytes of payload.
const FRAME_BYTES: usize = 2 + 64;

/// What a proxy does to the frames towards the client; it gets one frame at a time, and its number.
type Deed = Arc<dyn Fn(u64, Vec<u8>, &mut Vec<u8>) + Send + Sync>;

fn backend() -> SocketAddr {
    let backend = Backend::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = backend.address().unwrap();
    thread::spawn(move || backend.serve());
    address
}

/// A proxy that relays bytes, and does something to each frame of the backend.
fn proxy(deed: Deed) -> SocketAddr {
    let backend = backend();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let upstream = TcpStream::connect(backend).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let deed = Arc::clone(&deed);
            thread::spawn(move || relay_frames(upstream, client, &deed));
        }
    });
    address
}

fn relay_frames(mut from: TcpStream, mut to: TcpStream, deed: &Deed) {
    let mut held = Vec::new();
    let mut buffer = [0; 65_536];
    let mut is_behind_head = false;
    let mut number = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        held.extend_from_slice(&buffer[..count]);
        let mut out = Vec::new();
        if !is_behind_head {
            let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            out.extend(held.drain(..end + 4));
            is_behind_head = true;
        }
        while held.len() >= FRAME_BYTES {
            deed(number, held.drain(..FRAME_BYTES).collect(), &mut out);
            number += 1;
        }
        if to.write_all(&out).is_err() {
            return;
        }
    }
}

fn run(target: SocketAddr, lines: &str) -> RunResult {
    let plan = Plan::parse(&format!(
        "title = \"t\"\nmeasures = \"tail\"\nwarmup_s = 0\n{lines}\nsizes = [{{ bytes = 64 }}]\n"
    ))
    .unwrap();
    let target =
        Target { name: "t".into(), address: target, tls: None, pids: vec![], core: None, load_core: None };
    if plan.verify {
        load::verify::run(&plan, "t", &target, 7).unwrap()
    } else {
        load::run(&plan, "t", &target, 7).unwrap()
    }
}

const VERIFY: &str = "verify = true\nduration_s = 0.5\n[steady]\nsessions = 3";
const FAST: &str = "duration_s = 0.5\n[steady]\nsessions = 3\nrate_per_s = 1000";

#[test]
fn an_honest_proxy_has_no_faults() {
    let honest = proxy(Arc::new(|_, frame, out| out.extend(frame)));
    for lines in [VERIFY, FAST] {
        let result = run(honest, lines);
        assert_eq!(result.faults, Vec::<String>::new());
        assert!(result.messages > 100, "{}", result.messages);
    }
}

#[test]
fn a_proxy_that_corrupts_is_caught() {
    let corrupts = proxy(Arc::new(|number, mut frame, out| {
        if number == 20 {
            frame[40] ^= 1;
        }
        out.extend(frame);
    }));
    let result = run(corrupts, VERIFY);
    assert!(result.faults.iter().any(|fault| fault.contains("other contents")), "{:?}", result.faults);
    assert!(!result.thrown_out.is_empty());
}

#[test]
fn a_proxy_that_drops_is_caught_in_both_modes() {
    let drops = proxy(Arc::new(|number, frame, out| {
        if number != 20 {
            out.extend(frame);
        }
    }));
    for lines in [VERIFY, FAST] {
        let result = run(drops, lines);
        assert!(!result.faults.is_empty() && !result.thrown_out.is_empty(), "{lines}");
    }
}

#[test]
fn a_proxy_that_reorders_is_caught() {
    let kept = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let first: Arc<OnceLock<Vec<u8>>> = Arc::new(OnceLock::new());
    let reorders = proxy(Arc::new(move |number, frame, out| {
        // One frame of one session changes places with the next of it.
        if number == 20 && first.set(frame.clone()).is_ok() {
            kept.store(true, std::sync::atomic::Ordering::SeqCst);
            return;
        }
        out.extend(frame);
        if number == 21 && kept.swap(false, std::sync::atomic::Ordering::SeqCst) {
            out.extend(first.get().unwrap());
        }
    }));
    let result = run(reorders, "verify = true\nduration_s = 0.5\n[steady]\nsessions = 1");
    assert!(result.faults.iter().any(|fault| fault.contains("out of order")), "{:?}", result.faults);
}

#[test]
fn an_open_loop_charges_a_stall_to_all_that_was_to_be_sent_meanwhile() {
    const STALL: Duration = Duration::from_millis(400);
    let started: Arc<OnceLock<Instant>> = Arc::default();
    let stalls = proxy(Arc::new(move |_, frame, out| {
        let since = started.get_or_init(Instant::now).elapsed();
        // From half a second to nine tenths nothing gets through.
        if let Some(left) = (Duration::from_millis(500) + STALL).checked_sub(since)
            && left < STALL
        {
            thread::park_timeout(left);
        }
        out.extend(frame);
    }));
    let result = run(stalls, "duration_s = 2\n[steady]\nsessions = 1\nrate_per_s = 1000");
    let latency = result.latency.unwrap();
    assert_eq!(result.faults, Vec::<String>::new());
    // A fifth of the messages was to be sent in the stall and waited for half of it in the mean.
    assert!((1900..=2100).contains(&result.messages), "{}", result.messages);
    assert!(latency.p50_us < 100_000.0, "{latency:?}");
    assert!(latency.p99_us > 300_000.0, "{latency:?}");
}

#[test]
fn churn_and_push_count_what_they_do() {
    let target =
        Target { name: "t".into(), address: backend(), tls: None, pids: vec![], core: None, load_core: None };
    let plan = Plan::parse(
        "title = \"t\"\nmeasures = \"tail\"\nwarmup_s = 0.2\nduration_s = 1\n[churn]\nrate_per_s = 200\nat_once = 50\nbytes = 100\n[push]\nsessions = 10\nbytes = 200\nrate_per_s = 50",
    )
    .unwrap();
    let result = load::run(&plan, "t", &target, 1).unwrap();
    assert_eq!(result.faults, Vec::<String>::new());
    assert!((150..=250).contains(&result.sessions), "{}", result.sessions);
    assert!((400..=600).contains(&result.messages), "{}", result.messages);
}
