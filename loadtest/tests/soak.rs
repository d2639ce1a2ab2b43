//! A soak of a few seconds: of the bare relay, of a ringgate if one was built, and of proxies that do wrong.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for processes"
)]

use ringgate_loadtest::backend::Backend;
use ringgate_loadtest::soak::plan::SoakPlan;
use ringgate_loadtest::soak::record::{Begun, Machine, Record};
use ringgate_loadtest::soak::soak_subject;
use ringgate_loadtest::soak::subject::Subject;
use ringgate_loadtest::soak::verdict::{Check, Verdict};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

/// Everything of the committed plan in small. Its slope of memory has no bound: that of seconds says nothing.
const PLAN: &str = "\
title = \"a soak of seconds\"
duration_s = 1.6
sample_every_s = 0.1
warmup_s = 0.0
rest_every_s = 0.8
settle_s = 0.4
quiet_s = 0.1
rss_slope_kib_per_h_max = 1e9
rss_steps_kib_max = 1e9
pool_buffer_kib = 64
workers = 2
[steady]
sessions = 5
rate_per_s = 500
sizes = [{ bytes = 64, weight = 3 }, { bytes = 65536 }]
[idle]
sessions = 20
[churn]
rate_per_s = 150
at_once = 50
bytes = 300
mid_frame_share = 0.2
in_opening_share = 0.2
[slow]
every_s = 0.15
sessions = 4
bytes = 600000
stop_s = [0.05, 0.2]
reset_share = 0.4
";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ringgate-soak-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn backend() -> SocketAddr {
    let backend = Backend::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = backend.address().unwrap();
    thread::spawn(move || backend.serve());
    address
}

fn soak(name: &str, subject: Subject, end: impl FnOnce() -> anyhow::Result<i32>) -> Record {
    let folder = Folder::new(name);
    let plan = SoakPlan::parse(PLAN).unwrap();
    let about = Machine::default();
    let begun = Begun { about, version: name.to_owned(), plan, plan_text: PLAN.to_owned(), seed: 3 };
    soak_subject(begun, subject, &folder.0, end).unwrap()
}

fn failed(record: &Record) -> Vec<Check> {
    Verdict::of(record).checks.into_iter().filter(|check| !check.passed).collect()
}

#[test]
fn the_bare_relay_is_flat() {
    let backend = backend().to_string();
    let mut floor = Command::new(env!("CARGO_BIN_EXE_ringgate-loadtest"))
        .args(["floor", "--listen", "127.0.0.1:0", "--backend", &backend])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(floor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let subject = Subject { address, pid: floor.id(), status: None };
    let record = soak("floor", subject, || {
        floor.kill()?;
        floor.wait()?;
        Ok(0)
    });
    assert!(failed(&record).is_empty(), "{:?}", failed(&record));
    assert!(record.rests().len() >= 3, "{}", record.rests().len());
    let round_trips: u64 = record.samples.iter().map(|sample| sample.own.round_trips).sum();
    assert!(round_trips > 500, "{round_trips}");
}

#[test]
fn a_ringgate_is_flat() {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_ringgate-loadtest"));
    let ringgate = loadtest.with_file_name("ringgate");
    if !ringgate.exists() {
        eprintln!("SKIPPED a_ringgate_is_flat: {} was not built", ringgate.display());
        return;
    }
    let folder = Folder::new("ringgate");
    let plan = folder.0.join("plan.toml");
    std::fs::write(&plan, PLAN).unwrap();
    let output = folder.0.join("soak");
    let soak = |arguments: &[&Path]| {
        Command::new(loadtest).arg("soak").args(arguments).stderr(Stdio::inherit()).output().unwrap()
    };
    let run = soak(&[&plan, Path::new("--output"), &output]);
    let table = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{table}");
    assert!(table.contains("ok   slots, places, pool: 25 slots and places"), "{table}");
    for file in ["results.json", "table.txt", "soak.svg", "report.html"] {
        std::fs::remove_file(output.join(file)).unwrap();
    }
    let again = soak(&[Path::new("--report"), &output]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), table);
    assert_eq!(std::fs::read_to_string(output.join("table.txt")).unwrap(), table);
}

/// Relays bytes, and does something to what comes from the backend; where the deed says `false` the session ends.
fn proxy(deed: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static) -> SocketAddr {
    let backend = backend();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let deed = Arc::new(deed);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let upstream = TcpStream::connect(backend).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let deed = Arc::clone(&deed);
            thread::spawn(move || relay(upstream, client, &*deed));
        }
    });
    address
}

fn relay(mut from: TcpStream, mut to: TcpStream, deed: impl Fn(&mut [u8]) -> bool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !deed(&mut buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// Returns the failed checks of a proxy in this process, except for descriptors and memory, which are those of the whole process.
fn failed_of_proxy(name: &str, deed: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static) -> Vec<Check> {
    let subject = Subject { address: proxy(deed), pid: std::process::id(), status: None };
    let mut failed = failed(&soak(name, subject, || Ok(0)));
    failed.retain(|check| !["descriptors", "memory"].contains(&check.name));
    failed
}

#[test]
fn an_honest_proxy_has_no_faults() {
    let failed = failed_of_proxy("honest", |_| true);
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_byte_that_changes_is_caught() {
    let failed = failed_of_proxy("changes", |bytes| {
        // The end of a large message.
        if bytes.len() > 20_000 {
            bytes[15_000] ^= 1;
        }
        true
    });
    assert!(
        failed.iter().any(|check| check.name == "faults" && check.words.contains("other contents")),
        "{failed:?}"
    );
}

#[test]
fn a_steady_session_that_ends_is_caught() {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let failed = failed_of_proxy("ends", move |bytes| {
        let is_message = bytes.len() == 66;
        !(is_message && is_first.swap(false, std::sync::atomic::Ordering::Relaxed))
    });
    let words = |name: &str| failed.iter().find(|check| check.name == name).map(|check| check.words.clone());
    assert!(words("faults").is_some_and(|words| words.contains("a Steady session")), "{failed:?}");
    assert!(words("sessions").is_some_and(|words| words.contains("4 steady sessions")), "{failed:?}");
}
