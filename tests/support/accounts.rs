//! The resources that a server holds while it runs, and must have returned at its end: the last check of every test that runs
//! one.

use ringgate::observe::Counters;
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::Observed;
use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

/// The sockets that an instance may have, as far as this process can tell whose they are.
///
/// Tests of one binary run side by side, so a count of all descriptors says nothing; a socket's addresses do.
pub struct Accounts {
    /// Sockets that were there before the instance, so they are the test's.
    before: HashSet<u64>,
    backends: Vec<SocketAddr>,
}

impl Accounts {
    /// Opened before the instance starts, which is to reach these backends.
    pub fn open(backends: Vec<SocketAddr>) -> Self {
        Self { before: sockets(SELF), backends }
    }

    /// Sockets that are still open of an instance that listened at `address`: its listeners, what they accepted, and its
    /// connections to backends.
    pub fn open_sockets(&self, address: SocketAddr) -> Vec<(SocketAddr, SocketAddr)> {
        let is_of_instance = |socket: &TcpSocket| {
            !self.before.contains(&socket.inode)
                && (socket.local == address || self.backends.contains(&socket.remote))
        };
        let sockets = tcp_sockets(SELF).into_iter().filter(is_of_instance);
        sockets.map(|socket| (socket.local, socket.remote)).collect()
    }
}

/// Every gauge that is not 0, the limits aside, and the state of the instance.
pub fn held(observed: &Observed) -> Vec<(&'static str, u64)> {
    let gauges = observed
        .figures()
        .into_iter()
        .filter(|figure| figure.info.kind.name() == "gauge" && !figure.info.name.ends_with("_limit"))
        .filter(|figure| figure.info.name != "draining");
    let sums = gauges.flat_map(|figure| {
        let name = figure.info.name;
        figure.series.into_iter().map(move |series| (name, series.sum))
    });
    sums.filter(|(_, sum)| *sum > 0).collect()
}

/// Connections that were accepted, and ends that were counted, with the health checks: each of the former comes to one of the latter.
pub fn connections_and_ends(counters: &Counters) -> (u64, u64) {
    let every = Cause::ALL.iter().flat_map(|cause| Phase::ALL.iter().map(|phase| (*cause, *phase)));
    let ends: u64 = every.map(|(cause, phase)| counters.terminations(cause, phase)).sum();
    let checks = counters.sum(|worker| &worker.health_checks);
    (counters.sum(|worker| &worker.connections_accepted), ends + checks)
}

/// Connections that a process has, local and remote.
pub fn connections_of(process: &str) -> Vec<(SocketAddr, SocketAddr)> {
    let connected = tcp_sockets(process).into_iter().filter(|socket| !socket.is_listening);
    connected.map(|socket| (socket.local, socket.remote)).collect()
}

/// This process, by its name in /proc.
const SELF: &str = "self";

/// One line of the kernel's table.
struct TcpSocket {
    local: SocketAddr,
    remote: SocketAddr,
    is_listening: bool,
    inode: u64,
}

/// Inodes of a process's sockets. One that has ended meanwhile has none, and no table below either.
fn sockets(process: &str) -> HashSet<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else { return HashSet::new() };
    // One that is closed meanwhile has no link any more.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// A process's TCP sockets over IPv4 (proc_pid_net(5)).
fn tcp_sockets(process: &str) -> Vec<TcpSocket> {
    const LISTENING: &str = "0A";
    let own = sockets(process);
    let Ok(table) = fs::read_to_string(format!("/proc/{process}/net/tcp")) else { return Vec::new() };
    let parse = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, local, remote, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        Some(TcpSocket {
            local: socket_address(local)?,
            remote: socket_address(remote)?,
            is_listening: state == LISTENING,
            inode: inode.parse().ok().filter(|inode| own.contains(inode))?,
        })
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// `0100007F:1F90`: the address in the order of bytes of this machine, the port in that of the network.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some((ip, u16::from_str_radix(port, 16).ok()?).into())
}
