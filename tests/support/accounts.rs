//! What a server holds while it runs, and has given back when it is over: the last look of every test that runs one.

use ringgate::observe::{Counters, Observed};
use ringgate::session::{Cause, Phase};
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
        Self { before: own_sockets(), backends }
    }

    /// Sockets that are still open of an instance that listened at `address`: its listeners, what they accepted, and its
    /// connections to backends.
    pub fn open_sockets(&self, address: SocketAddr) -> Vec<(SocketAddr, SocketAddr)> {
        let own: HashSet<u64> = own_sockets().difference(&self.before).copied().collect();
        let of_instance = |(local, remote, inode): &(SocketAddr, SocketAddr, u64)| {
            own.contains(inode) && (*local == address || self.backends.contains(remote))
        };
        tcp_sockets().into_iter().filter(of_instance).map(|(local, remote, _)| (local, remote)).collect()
    }
}

/// Every gauge that is not 0, the limits aside.
pub fn held(observed: &Observed) -> Vec<(&'static str, u64)> {
    let gauges = observed
        .figures()
        .into_iter()
        .filter(|figure| figure.about.kind.name() == "gauge" && !figure.about.name.ends_with("_limit"));
    let sums = gauges.flat_map(|figure| {
        let name = figure.about.name;
        figure.series.into_iter().map(move |series| (name, series.sum))
    });
    sums.filter(|(_, sum)| *sum > 0).collect()
}

/// Connections that were accepted, and ends that were counted: each of the former comes to one of the latter.
pub fn connections_and_ends(counters: &Counters) -> (u64, u64) {
    let every = Cause::ALL.iter().flat_map(|cause| Phase::ALL.iter().map(|phase| (*cause, *phase)));
    let ends = every.map(|(cause, phase)| counters.terminations(cause, phase)).sum();
    (counters.sum(|worker| &worker.connections_accepted), ends)
}

/// Inodes of this process's sockets.
fn own_sockets() -> HashSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    // One that is closed meanwhile has no link any more.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Local address, remote address and inode of the TCP sockets over IPv4, from proc_pid_net(5).
fn tcp_sockets() -> Vec<(SocketAddr, SocketAddr, u64)> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let parse = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (socket_address(fields.next()?)?, socket_address(fields.next()?)?);
        Some((local, remote, fields.nth(6)?.parse().ok()?))
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// `0100007F:1F90`: the address in the order of bytes of this machine, the port in that of the network.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some((ip, u16::from_str_radix(port, 16).ok()?).into())
}
