//! The harness itself: it must notice a proxy that does wrong, and charge a server for the time in which it stalls.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and makes real delays"
)]

use ringgate_loadtest::backend::Backend;
use ringgate_loadtest::compare::gateway_files::GatewayFiles;
use ringgate_loadtest::load::{self, Target};
use ringgate_loadtest::plan::Plan;
use ringgate_loadtest::result::RunResult;
use ringgate_loadtest::wire::ACCEPT;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A server's frame of 64 bytes of payload.
const FRAME_BYTES: usize = 2 + 64;

/// A proxy's manipulation of the frames towards the client; it gets one frame at a time, and its number.
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
    if plan.verify {
        load::verify::run(&plan, "t", &named(target), 7).unwrap()
    } else {
        run_plan(target, &plan)
    }
}

fn named(address: SocketAddr) -> Target {
    Target { name: "t".into(), address, tls: None, pids: vec![], core: None, load_core: None }
}

fn run_plan(target: SocketAddr, plan: &Plan) -> RunResult {
    load::run(plan, "t", &named(target), 7).unwrap()
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
    let plan = Plan::parse(
        "title = \"t\"\nmeasures = \"tail\"\nwarmup_s = 0.2\nduration_s = 1\n[churn]\nrate_per_s = 200\nat_once = 50\nbytes = 100\n[push]\nsessions = 10\nbytes = 200\nrate_per_s = 50",
    )
    .unwrap();
    let result = run_plan(backend(), &plan);
    assert_eq!(result.faults, Vec::<String>::new());
    assert!((150..=250).contains(&result.sessions), "{}", result.sessions);
    assert!((400..=600).contains(&result.messages), "{}", result.messages);
}

/// A plan of the folder, with a window in which it can be seen to work and nothing can be measured.
fn brief(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(format!("{name}.toml"));
    let mut plan = Plan::read(&path).unwrap();
    (plan.warmup_s, plan.duration_s) = (0.1, 0.4);
    plan
}

const GREEDY: [&str; 8] = [
    "greedy-empty-frames",
    "greedy-byte-fragments",
    "greedy-64b-1",
    "greedy-64b-8",
    "greedy-16kib-1",
    "greedy-16kib-8",
    "greedy-1mib",
    "greedy-stopped-readers",
];

const OPENINGS: [&str; 4] =
    ["new-sessions-saturated", "new-sessions-saturated-reset", "new-sessions-named", "new-sessions-policies"];

/// How many echoes are answered, and how soon, depends on the target and the machine, and is nothing to assert.
fn check_greedy(name: &str, result: &RunResult) {
    assert_eq!(result.faults, Vec::<String>::new(), "{name}");
    let greedy = result.greedy.unwrap();
    assert!(greedy.asked > 0 && greedy.answered <= greedy.asked, "{name}: {greedy:?}");
    assert_eq!(greedy.sent_bytes > 0, name != "greedy-stopped-readers", "{name}: {greedy:?}");
    assert!(result.latency.is_some(), "{name}");
}

#[test]
fn greedy_sessions_and_those_beside_them_go_to_the_backend_each_as_the_plan_says() {
    for name in GREEDY {
        check_greedy(name, &run_plan(backend(), &brief(name)));
    }
}

/// A ringgate with the files of a plan; `None` if none was built.
struct Gateway {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Gateway {
    fn start(name: &str, plan: &Plan) -> Option<Self> {
        let binary = Path::new(env!("CARGO_BIN_EXE_ringgate-loadtest")).with_file_name("ringgate");
        if !binary.exists() {
            eprintln!("SKIPPED {name} over ringgate: {} was not built", binary.display());
            return None;
        }
        let folder = std::env::temp_dir().join(format!("ringgate-harness-{name}-{}", std::process::id()));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let files = GatewayFiles {
            listener: address,
            tls_listener: None,
            backend: backend(),
            greedy_backend: backend(),
            credentials: &folder,
        };
        let config = files.write(&folder, plan).unwrap();
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut gateway = Self { child, address, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            assert!(gateway.child.try_wait().unwrap().is_none(), "{name}: ringgate ended at its start");
            assert!(Instant::now() < deadline, "{name}: ringgate does not listen");
            thread::yield_now();
        }
        Some(gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn every_plan_with_greedy_sessions_runs_over_a_ringgate_with_two_apis() {
    for name in GREEDY {
        let plan = brief(name);
        let Some(gateway) = Gateway::start(name, &plan) else { return };
        check_greedy(name, &run_plan(gateway.address, &plan));
    }
}

#[test]
fn every_plan_of_new_sessions_runs_over_a_ringgate_whose_files_are_those_of_the_plan() {
    for name in OPENINGS {
        let plan = brief(name);
        let Some(gateway) = Gateway::start(name, &plan) else { return };
        let file = |file: &str| std::fs::read_to_string(gateway.folder.join("catalog").join(file));
        assert_eq!(file("policies/apis/echo.xml").ok(), plan.policies, "{name}");
        let is_named = file("apis/echo.toml").unwrap().contains("ws://localhost:");
        assert_eq!(is_named, name == "new-sessions-named", "{name}");
        let result = run_plan(gateway.address, &plan);
        assert_eq!(result.faults, Vec::<String>::new(), "{name}");
        assert!(result.sessions > 0, "{name}");
    }
}

const BESIDE_GREEDY: &str = "title = \"t\"\nmeasures = \"echoes\"\nwarmup_s = 0\nduration_s = 0.5\n[greedy]\nsessions = 1\n\
    does = \"send_empty_frames\"\n[steady]\nsessions = 3\nrate_per_s = 500\nsizes = [{ bytes = 64 }]\n";

#[test]
fn an_echo_that_never_comes_beside_greedy_sessions_is_late_and_no_fault() {
    let holds_back = proxy(Arc::new(|number, frame, out| {
        if number < 5 {
            out.extend(frame);
        }
    }));
    let result = run_plan(holds_back, &Plan::parse(BESIDE_GREEDY).unwrap());
    let greedy = result.greedy.unwrap();
    assert_eq!(result.faults, Vec::<String>::new());
    assert!(greedy.answered <= 15, "five for each session: {greedy:?}");
    assert!(greedy.never_answered > 100, "{greedy:?}");
    // It was waited for, and for how long is what is known of its latency.
    assert!(result.latency.unwrap().p99_us > 1e6, "{:?}", result.latency);
}

#[test]
fn a_greedy_session_that_is_ended_is_a_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, backend) = (listener.local_addr().unwrap(), backend());
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut upstream = TcpStream::connect(backend).unwrap();
                let (mut from, mut to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                let mut buffer = [0; 65_536];
                let mut is_greedy = false;
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    // Behind its head it is cut.
                    if is_greedy {
                        let _ = client.shutdown(Shutdown::Both);
                        return;
                    }
                    is_greedy = buffer.starts_with(b"GET /greedy/");
                    upstream.write_all(&buffer[..count]).unwrap();
                }
            });
        }
    });
    let result = run_plan(address, &Plan::parse(BESIDE_GREEDY).unwrap());
    assert!(result.faults.iter().any(|fault| fault.contains("a greedy session")), "{:?}", result.faults);
    assert!(!result.thrown_out.is_empty() && result.greedy.is_none());
}

/// The bytes behind a session's head, and the error that it ended with.
type Ended = (Vec<u8>, Option<ErrorKind>);

/// A server that says how each session ended.
fn witness() -> (SocketAddr, mpsc::Receiver<Ended>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            );
            // The last session of a run is over before it is answered.
            let _ = client.write_all(answer.as_bytes());
            let mut came = Vec::new();
            let mut buffer = [0; 64];
            let error = loop {
                match client.read(&mut buffer) {
                    Ok(0) => break None,
                    Ok(count) => came.extend_from_slice(&buffer[..count]),
                    Err(error) => break Some(error.kind()),
                }
                if came.first() == Some(&0x88) {
                    // RFC 6455 §5.5.1: the answer to a Close is a Close.
                    let _ = client.write_all(&[0x88, 2, 0x03, 0xe8]);
                }
            };
            let _ = tell.send((came, error));
        }
    });
    (address, told)
}

#[test]
fn new_sessions_without_a_message_end_with_a_reset_or_a_close_as_the_plan_says() {
    for (end, closes) in [("reset", false), ("close", true)] {
        let (address, told) = witness();
        let plan = Plan::parse(&format!(
            "title = \"t\"\nmeasures = \"cost_per_session\"\nwarmup_s = 0\nduration_s = 0.3\n[churn]\nat_once = 1\n\
             end = \"{end}\""
        ))
        .unwrap();
        let result = run_plan(address, &plan);
        assert_eq!(result.faults, Vec::<String>::new(), "{end}");
        assert!(result.sessions > 1, "a closed loop goes on: {}", result.sessions);
        let (came, error) = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(came.first() == Some(&0x88), closes, "{end}: {came:?}");
        assert_eq!(error, (!closes).then_some(ErrorKind::ConnectionReset), "{end}");
    }
}
