//! The gateway that is soaked: started with a configuration of its own, looked at from outside, ended by SIGTERM.

use super::plan::SoakPlan;
use crate::compare::processes::Process;
use crate::machine::{process_us, slab_kib};
use crate::poller::now_ns;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest that the status page may take to answer.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the connection to the status page is closed.
const CLOSED_INTERVAL: Duration = Duration::from_millis(1);
/// Seconds without a byte after which the gateway would end a session: the idle crowd is to stay for the whole run.
const IDLE_TIMEOUT_S: u64 = 604_800;
/// Size from which on a mapping is told by itself, in KiB.
const LARGE_KIB: u64 = 16 * 1024;
/// Looks in a row that must be the same before a run begins, at which distance, and how many there are at most.
const STILL_LOOKS: usize = 10;
const STILL_INTERVAL: Duration = Duration::from_millis(50);
const STILL_LOOKS_MAX: usize = 200;
/// Where the status page's part by worker begins.
const BY_WORKER: &str = "# What is not 0, by worker.";

/// Where to find who is soaked.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// Where its status page is; the bare relay has none.
    pub status: Option<SocketAddr>,
}

/// The observations of it at a moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct SubjectFigures {
    /// Resident memory in KiB, counted page by page (`smaps`): `status` may be off by some hundred.
    pub rss_kib: u64,
    /// Anonymous memory of it in KiB: heap, stacks, the pool.
    pub anonymous_kib: u64,
    /// Anonymous mappings of 16 MiB and more, each with its size and what of it is resident, in KiB: heaps and pools.
    pub large_mappings_kib: Vec<[u64; 2]>,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads, those that the kernel makes for its rings too.
    pub threads: u64,
    /// Kernel slab of the whole machine in KiB: sockets of every process are in it.
    pub slab_kib: u64,
    /// Processor time from its start, in µs.
    pub cpu_us: f64,
    /// The status page's figures over all workers, by name and labels; those with labels only where they are not 0.
    pub status: BTreeMap<String, u64>,
    /// Why the status page could not be read.
    pub status_failure: Option<String>,
}

impl Subject {
    /// Waits until it looks the same for a while: it answers as soon as its first worker listens, and others are still to
    /// come. If it never does, that shows at the end.
    fn wait_until_still(&self) {
        let state = || {
            let SubjectFigures { descriptors, threads, status, .. } = self.look();
            (descriptors, threads, status)
        };
        let (mut before, mut same) = (state(), 0);
        for _ in 0..STILL_LOOKS_MAX {
            std::thread::park_timeout(STILL_INTERVAL);
            let now = state();
            same = if now == before { same + 1 } else { 0 };
            before = now;
            if same == STILL_LOOKS {
                return;
            }
        }
    }

    /// Looks. Descriptors before the status page, whose connection has one; it is closed at both ends when this returns, so that
    /// no later look counts it.
    pub fn look(&self) -> SubjectFigures {
        let proc = PathBuf::from(format!("/proc/{}", self.pid));
        let mappings = mappings(&read_to_string(proc.join("smaps")).unwrap_or_default());
        let entries = |of: &str| std::fs::read_dir(proc.join(of)).map_or(0, |entries| entries.count() as u64);
        let (descriptors, threads) = (entries("fd"), entries("task"));
        let (status, status_failure) =
            match self.status.map(|status| read_status(self.pid, status, STATUS_PATIENCE)) {
                None => (BTreeMap::new(), None),
                Some(Ok(status)) => (status, None),
                Some(Err(error)) => (BTreeMap::new(), Some(format!("{error:#}"))),
            };
        SubjectFigures {
            rss_kib: mappings.iter().map(|mapping| mapping.rss_kib).sum(),
            anonymous_kib: mappings.iter().map(|mapping| mapping.anonymous_kib).sum(),
            large_mappings_kib: mappings
                .iter()
                .filter(|mapping| mapping.is_nameless && mapping.size_kib >= LARGE_KIB)
                .map(|mapping| [mapping.size_kib, mapping.rss_kib])
                .collect(),
            descriptors,
            threads,
            slab_kib: slab_kib(),
            cpu_us: process_us(&[self.pid]),
            status,
            status_failure,
        }
    }
}

impl SubjectFigures {
    /// Whether it has no status page at all.
    pub fn has_no_status(&self) -> bool {
        self.status.is_empty() && self.status_failure.is_none()
    }
}

/// A mapping of the process (proc(5), `smaps`).
#[derive(Debug, Default, PartialEq, Eq)]
struct Mapping {
    is_nameless: bool,
    size_kib: u64,
    rss_kib: u64,
    anonymous_kib: u64,
}

fn mappings(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        let mut fields = line.split_whitespace();
        let Some(label) = fields.next() else { continue };
        if !label.ends_with(':') {
            // address, permissions, offset, device, inode, and a name if it has one
            mappings.push(Mapping { is_nameless: fields.count() == 4, ..Mapping::default() });
            continue;
        }
        let (Some(mapping), Some(kib)) =
            (mappings.last_mut(), fields.next().and_then(|kib| kib.parse().ok()))
        else {
            continue;
        };
        match label {
            "Size:" => mapping.size_kib = kib,
            "Rss:" => mapping.rss_kib = kib,
            "Anonymous:" => mapping.anonymous_kib = kib,
            _ => {}
        }
    }
    mappings
}

/// Reads the status page of a process, and waits until the process has closed the connection.
fn read_status(pid: u32, address: SocketAddr, patience: Duration) -> Result<BTreeMap<String, u64>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, page) = answer.split_once("\r\n\r\n").context("the status page has no head")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "the status page says {head}");
    let figures = parse_status(page);
    anyhow::ensure!(!figures.is_empty(), "the status page has no figures");
    // It is told by its inode while both ends are open.
    let connection = inode_of(pid, address, stream.local_addr()?);
    drop(stream);
    let Some(connection) = connection else { return Ok(figures) };
    let begun = now_ns();
    while has_socket(pid, connection) {
        let waited = Duration::from_nanos(now_ns() - begun);
        anyhow::ensure!(
            waited < patience,
            "the status page keeps its connection for {waited:?} after its client has left"
        );
        std::thread::park_timeout(CLOSED_INTERVAL);
    }
    Ok(figures)
}

/// The inode of a process's socket between these addresses (proc(5), `net/tcp`). `None`: it has closed it already.
fn inode_of(pid: u32, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let hexadecimal = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
        }
        SocketAddr::V6(_) => None,
    };
    let (local, remote) = (hexadecimal(local)?, hexadecimal(remote)?);
    let table = read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = fields.next() == Some(&local) && fields.next() == Some(&remote);
        is_it.then(|| fields.nth(6)?.parse().ok())?.filter(|inode| *inode != 0)
    })
}

fn has_socket(pid: u32, inode: u64) -> bool {
    let name = format!("socket:[{inode}]");
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == name.as_str()))
}

fn parse_status(page: &str) -> BTreeMap<String, u64> {
    page.lines()
        .take_while(|line| *line != BY_WORKER)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .filter(|(name, value)| *value > 0 || !name.contains('{'))
        .collect()
}

/// Starts a ringgate with a status page, in front of `backend`. Its files and its log are in `folder`.
///
/// # Errors
/// It does not start.
pub(super) fn start(
    ringgate: &Path,
    plan: &SoakPlan,
    backend: SocketAddr,
    folder: &Path,
) -> Result<(Process, Subject)> {
    let [address, status] = free_addresses()?;
    let apis = folder.join("catalog").join("apis");
    std::fs::create_dir_all(&apis).with_context(|| format!("cannot make {}", apis.display()))?;
    let file = folder.join("ringgate.toml");
    std::fs::write(&file, instance(plan, address, status))?;
    std::fs::write(apis.join("soak.toml"), api(plan, backend))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(ringgate).arg("serve").arg("--config").arg(file);
    let process = Process::start_server("ringgate", command, address, &folder.join("ringgate.log"))?;
    let subject = Subject { address, pid: process.pid(), status: Some(status) };
    subject.wait_until_still();
    Ok((process, subject))
}

/// Limits that nobody comes near and that are counted nevertheless.
fn instance(plan: &SoakPlan, address: SocketAddr, status: SocketAddr) -> String {
    let sessions = sessions_max(plan);
    format!(
        "workers = {}\ndrain_s = 0\n\n[[listeners]]\naddress = \"{address}\"\n\n[status]\naddress = \"{status}\"\n\n\
         [limits]\nconnections_max = {sessions}\nsource_connections_max = {sessions}\nopenings_max = {openings}\n\
         openings_per_source_max = {openings}\nhead_timeout_ms = 120000\n",
        plan.workers,
        // One network has half of them at most while their requests are awaited, and all clients are of one.
        openings = 2 * (plan.churn.at_once + 512),
    )
}

/// No more sessions than the plan has at once, and some: places that do not come back end in refusals. Times that the gateway gives
/// its peers are as long as they may be: on a busy machine this harness stands still for seconds, which is no fault of the gateway's.
/// Nothing of the plan runs into one, so what is left at a rest was left for another reason.
fn api(plan: &SoakPlan, backend: SocketAddr) -> String {
    format!(
        "display_name = \"Soak\"\nurl = \"ws://{backend}\"\nsuffix = \"\"\nsubscription_required = false\n\
         connections_max = {}\nidle_timeout_s = {IDLE_TIMEOUT_S}\ndial_timeout_ms = 120000\nanswer_timeout_ms = 240000\n\
         linger_s = 60\n",
        sessions_max(plan)
    )
}

/// Slow readers last for their pause and the time to read on, which is at most as long again.
fn sessions_max(plan: &SoakPlan) -> usize {
    let groups = 2.0 * plan.slow.stop_s[1] / plan.slow.every_s + 2.0;
    plan.standing_sessions() + 2 * plan.churn.at_once + plan.slow.sessions * groups.ceil() as usize
}

fn free_addresses() -> Result<[SocketAddr; 2]> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let (one, other) = (listen()?, listen()?);
    Ok([one.local_addr()?, other.local_addr()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart_by_their_names_and_sizes() {
        let smaps = "7f00-7f10 rw-p 00000000 00:00 0 \nSize:  65924 kB\nRss:  3200 kB\nAnonymous:  3100 kB\n\
                     VmFlags: rd wr mr\n5562-5578 r-xp 000a 00:2b 103    /a binary\nSize: 20000 kB\nRss: 5 kB\n\
                     Anonymous: 0 kB\n";
        let nameless = Mapping { is_nameless: true, size_kib: 65_924, rss_kib: 3_200, anonymous_kib: 3_100 };
        let named = Mapping { is_nameless: false, size_kib: 20_000, rss_kib: 5, anonymous_kib: 0 };
        assert_eq!(mappings(smaps), [nameless, named]);
    }

    #[test]
    fn the_page_is_read_without_its_part_by_worker_and_without_empty_labels() {
        let page = "# openings (gauge, openings): in progress.\nopenings 0\n\nterminations{cause=\"bug\"} 0\n\
                    terminations{cause=\"closed\"} 7\n\n# What is not 0, by worker.\nslots{worker=\"0\"} 3\n";
        let figures: Vec<(String, u64)> = parse_status(page).into_iter().collect();
        assert_eq!(figures, [("openings".to_owned(), 0), ("terminations{cause=\"closed\"}".to_owned(), 7)]);
    }

    /// A status page in this process that answers one reader, and closes its connection when it is told to. Gives its address and
    /// its connection.
    fn status_page(close: std::sync::mpsc::Receiver<()>) -> (SocketAddr, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a reader");
            let _ = stream.read(&mut [0; 1000]);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nopenings 3\n").expect("written");
            stream.shutdown(std::net::Shutdown::Write).expect("shut down");
            assert_eq!(stream.read(&mut [0; 1000]).unwrap_or(0), 0, "the reader leaves");
            let _ = close.recv();
        });
        (address, serving)
    }

    /// A gateway on a busy machine closes it late; the next look must not count it.
    #[test]
    fn a_look_is_over_when_its_own_connection_is_closed_at_both_ends() {
        let (tell, told) = std::sync::mpsc::channel();
        let (address, serving) = status_page(told);
        let reading = std::thread::spawn(move || read_status(std::process::id(), address, STATUS_PATIENCE));
        std::thread::park_timeout(Duration::from_millis(100));
        assert!(!reading.is_finished(), "the other end is open");
        drop(tell);
        let figures = reading.join().expect("a look").expect("figures");
        assert_eq!(figures.get("openings"), Some(&3));
        serving.join().expect("closed");
    }

    #[test]
    fn a_status_page_that_keeps_its_connection_is_a_failure() {
        let (_tell, told) = std::sync::mpsc::channel();
        let (address, _) = status_page(told);
        let failure =
            read_status(std::process::id(), address, Duration::from_millis(200)).expect_err("it stays open");
        assert!(failure.to_string().contains("keeps its connection"), "{failure}");
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let seen = Subject { address, pid: std::process::id(), status: None }.look();
        assert!(seen.rss_kib > 0 && seen.anonymous_kib > 0 && seen.descriptors > 2, "{seen:?}");
        assert!(seen.has_no_status());
    }
}
