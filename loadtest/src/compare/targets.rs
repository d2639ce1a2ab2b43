//! The targets of a comparison: each is started afresh for each run, on the core of the proxy, and stopped after it.

use super::attempts::{Comparison, FLOOR, RINGGATE, TargetAbout};
use super::gateway_files::GatewayFiles;
use super::processes::{Process, on_core, output_of};
use crate::plan::{Plan, Tls};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where ringgate listens.
const RINGGATE_PORT: u16 = 8100;
/// Where it speaks TLS.
const RINGGATE_TLS_PORT: u16 = 8200;
/// Where the bare relay listens.
const FLOOR_PORT: u16 = 8110;

/// Real-time priority of the backend, above the load's.
const BACKEND_PRIORITY: u8 = 2;

/// Whether processes may get real-time priorities.
pub(super) fn may_be_real_time() -> bool {
    let status = Command::new("chrt")
        .args(["--fifo", "1", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// How to start targets.
#[derive(Debug)]
pub(super) struct Targets {
    /// `peers.sh`.
    pub(super) peers: PathBuf,
    /// The measured binary.
    pub(super) ringgate: PathBuf,
    /// Other builds of it, each a target by the name of its file.
    pub(super) others: Vec<PathBuf>,
    /// This binary.
    pub(super) loadtest: PathBuf,
    /// Configuration files and logs go here.
    pub(super) scratch: PathBuf,
    /// Folder of the credentials that every target and the backend show.
    pub(super) credentials: PathBuf,
    /// Where everything is relayed to.
    pub(super) backend: SocketAddr,
    /// But for greedy sessions.
    pub(super) greedy_backend: SocketAddr,
    /// The core of the proxy.
    pub(super) proxy_core: usize,
    /// The core of clients and backend.
    pub(super) load_core: usize,
    /// Whether [`may_be_real_time`].
    pub(super) may_be_real_time: bool,
}

/// A target that runs. It is stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Running<'a> {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Where it speaks TLS, if the plan asks for it.
    pub(super) tls_address: Option<SocketAddr>,
    /// All its processes.
    pub(super) pids: Vec<u32>,
    _held: Held<'a>,
}

#[derive(Debug)]
enum Held<'a> {
    Ours { _process: Process },
    Peer { _peer: StartedPeer<'a> },
}

#[derive(Debug)]
struct StartedPeer<'a> {
    targets: &'a Targets,
    name: String,
}

impl Targets {
    /// Names of all that can be measured on this machine.
    pub(super) fn found(&self) -> Vec<String> {
        let mut names = vec![RINGGATE.to_owned(), FLOOR.to_owned()];
        names.extend(self.others.iter().filter_map(|other| file_name(other)).map(str::to_owned));
        // Without peers ours are still measured; the report then has no ratios.
        if let Ok(found) = self.ask_peers(&["found"]) {
            names.extend(found.split_whitespace().map(str::to_owned));
        }
        names
    }

    /// Returns the version that each target reports.
    ///
    /// # Errors
    /// A target does not exist or is not installed.
    pub(super) fn about(&self, names: &[String]) -> Result<Vec<TargetAbout>> {
        names
            .iter()
            .map(|name| {
                let version = match (name.as_str(), self.build(name)) {
                    (_, Some(binary)) => output_of(binary, &["--version"], &[]).with_context(|| {
                        format!(
                            "cannot run {} (cargo build --profile dist --workspace builds it)",
                            binary.display()
                        )
                    })?,
                    (FLOOR, None) => format!("of ringgate-loadtest {}", env!("CARGO_PKG_VERSION")),
                    (peer, None) => self.ask_peers(&["version", peer])?,
                };
                Ok(TargetAbout { name: name.clone(), version })
            })
            .collect()
    }

    /// The backends of a plan, on the core of the load.
    ///
    /// # Errors
    /// One does not start, or the plan's name of the backend is not a name of its address.
    pub(super) fn start_backends(&self, plan: &Plan) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        let addresses = match &plan.backend_name {
            None => vec![self.backend],
            Some(name) => named_addresses(name, self.backend)?,
        };
        for (index, address) in addresses.into_iter().enumerate() {
            let mut command = self.load_command(BACKEND_PRIORITY);
            command.arg("echo").arg("--listen").arg(address.to_string());
            if plan.tls == Some(Tls::Both) {
                command.arg("--tls").arg(&self.credentials);
            }
            let log = self.scratch.join(format!("echo-{index}.log"));
            processes.push(Process::start_server("echo", command, address, &log)?);
        }
        if plan.greedy.is_some() {
            // Like greedy sessions themselves (`load::greedy`) it is an ordinary process, behind all that are real-time.
            let address = self.greedy_backend;
            let mut command = on_core(self.load_core, &self.loadtest);
            command.arg("echo").arg("--listen").arg(address.to_string());
            let log = self.scratch.join("greedy-backend.log");
            processes.push(Process::start_server("the greedy sessions' backend", command, address, &log)?);
        }
        Ok(processes)
    }

    /// This program, on the load's core. Backend and load share it: each would wait for the other's time slice to end,
    /// milliseconds that are not the proxy's. With real-time priorities (sched(7), where one may) the backend, which never
    /// works long, goes first, and the load at once behind it.
    pub(super) fn load_command(&self, priority: u8) -> Command {
        if !self.may_be_real_time {
            return on_core(self.load_core, &self.loadtest);
        }
        let mut command = on_core(self.load_core, Path::new("chrt"));
        command.arg("--fifo").arg(priority.to_string()).arg(&self.loadtest);
        command
    }

    /// A target, on the core of the proxy.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(&self, name: &str, plan: &Plan) -> Result<Running<'_>> {
        match (name, self.build(name)) {
            (_, Some(binary)) => self.start_ringgate(name, binary, plan),
            (FLOOR, None) => self.start_floor(),
            (peer, None) => self.start_peer(peer, plan),
        }
    }

    /// The build of ringgate that has this name as a target.
    fn build(&self, name: &str) -> Option<&Path> {
        if name == RINGGATE {
            return Some(&self.ringgate);
        }
        self.others.iter().map(PathBuf::as_path).find(|other| file_name(other) == Some(name))
    }

    fn start_ringgate(&self, name: &str, binary: &Path, plan: &Plan) -> Result<Running<'_>> {
        let address = SocketAddr::from(([127, 0, 0, 1], RINGGATE_PORT));
        let tls_address = plan.tls.map(|_| SocketAddr::from(([127, 0, 0, 1], RINGGATE_TLS_PORT)));
        let files = GatewayFiles {
            listener: address,
            tls_listener: tls_address,
            backend: self.backend,
            greedy_backend: self.greedy_backend,
            credentials: &self.credentials,
        };
        let config = files.write(&self.scratch.join(RINGGATE), plan)?;
        let mut command = on_core(self.proxy_core, binary);
        command.arg("serve").arg("--config").arg(config);
        Ok(Running { tls_address, ..self.own(name, command, address)? })
    }

    fn start_floor(&self) -> Result<Running<'_>> {
        let address = SocketAddr::from(([127, 0, 0, 1], FLOOR_PORT));
        let mut command = on_core(self.proxy_core, &self.loadtest);
        command.arg("floor").arg("--listen").arg(address.to_string());
        command.arg("--backend").arg(self.backend.to_string());
        self.own(FLOOR, command, address)
    }

    fn own(&self, name: &str, command: Command, address: SocketAddr) -> Result<Running<'_>> {
        let log = self.scratch.join(format!("{name}.log"));
        let process = Process::start_server(name, command, address, &log)?;
        let pids = vec![process.pid()];
        Ok(Running { address, tls_address: None, pids, _held: Held::Ours { _process: process } })
    }

    fn start_peer(&self, name: &str, plan: &Plan) -> Result<Running<'_>> {
        let (backend, greedy_backend) = (self.backend.to_string(), self.greedy_backend.to_string());
        let mut environment = vec![
            ("PEERS_BACKEND", OsStr::new(&backend)),
            ("PEERS_BACKEND_NAME", OsStr::new(plan.backend_name.as_deref().unwrap_or_default())),
            ("PEERS_BACKEND_TLS", OsStr::new(if plan.tls == Some(Tls::Both) { "1" } else { "" })),
            ("PEERS_TLS", self.credentials.as_os_str()),
        ];
        if plan.greedy.is_some() {
            environment.push(("PEERS_GREEDY_BACKEND", OsStr::new(&greedy_backend)));
        }
        output_of(&self.peers, &["start", name, &self.proxy_core.to_string()], &environment)?;
        let peer = StartedPeer { targets: self, name: name.to_owned() };
        let address = |what: &str| {
            let url = self.ask_peers(&[what, name])?;
            let address = url.rsplit('/').next().unwrap_or_default().replace("localhost", "127.0.0.1");
            address.parse::<SocketAddr>().with_context(|| format!("{url} is no address"))
        };
        let tls_address = plan.tls.map(|_| address("tlsurl")).transpose()?;
        let pids: Vec<u32> =
            self.ask_peers(&["pids", name])?.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        ensure!(!pids.is_empty(), "{name} has no processes");
        Ok(Running { address: address("url")?, tls_address, pids, _held: Held::Peer { _peer: peer } })
    }

    fn ask_peers(&self, arguments: &[&str]) -> Result<String> {
        output_of(&self.peers, arguments, &[])
    }

    /// Checks that names are of targets that exist, and that no peer runs that we did not start.
    ///
    /// # Errors
    /// Which does not.
    pub(super) fn check(&self, names: &[String]) -> Result<()> {
        let found = self.found();
        for name in names {
            let hint = if Comparison::is_peer(name) { "; peers/install.sh installs peers" } else { "" };
            ensure!(found.contains(name), "there is no {name} here (found: {}){hint}", found.join(", "));
            if Comparison::is_peer(name) {
                let status = self.ask_peers(&["status"])?;
                let runs = status.lines().any(|line| line.starts_with(&format!("{name} up")));
                let peers = self.peers.display();
                ensure!(!runs, "{name} runs already; `{peers} stop {name}` ends it");
            }
        }
        Ok(())
    }
}

/// Where the backend has to listen that has a name: wherever the name leads, lest a proxy find nobody there and try the next.
fn named_addresses(name: &str, backend: SocketAddr) -> Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = (name, backend.port())
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {name}, which the plan has as the backend's name"))?
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    ensure!(
        addresses.contains(&backend) && addresses.iter().all(|address| address.ip().is_loopback()),
        "{name}, which the plan has as the backend's name, leads to {addresses:?}; it has to lead to {backend}, and to \
         loopback addresses only"
    );
    Ok(addresses)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

impl Drop for StartedPeer<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.targets.ask_peers(&["stop", &self.name]) {
            eprintln!("cannot stop {}: {error:#}", self.name);
        }
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one among the machine's temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ringgate-loadtest-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_listens_wherever_its_name_leads_and_a_name_that_leads_elsewhere_is_refused() {
        let backend: SocketAddr = "127.0.0.1:9001".parse().expect("an address");
        let addresses = named_addresses("localhost", backend).expect("localhost");
        assert!(addresses.contains(&backend) && addresses.iter().all(|address| address.port() == 9001));
        let elsewhere = "127.9.9.9:9001".parse().expect("an address");
        assert!(named_addresses("localhost", elsewhere).is_err());
        let public = "192.0.2.1:9001".parse().expect("an address");
        assert!(named_addresses("192.0.2.1", public).is_err());
    }
}
