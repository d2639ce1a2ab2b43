//! Shared parts of the tests that run a whole instance: an instance on a port of its own, raw clients, raw backends, frames.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests wait for real events with real deadlines, and fail by panicking"
)]

pub mod accounts;
pub mod backend;
pub mod frames;
pub mod handshake;
pub mod log_rows;
pub mod otlp;
pub mod raw;
pub mod relay;
pub mod served;

use accounts::{Accounts, connections_and_ends, held};
use log_rows::{AllRows, LogRows, collecting};
use ringgate::admission::places::HolderKind;
use ringgate::catalog::subscription_key::KeyHasher;
use ringgate::catalog::{BackendHost, CatalogFiles};
use ringgate::compiled::{Snapshot, compile};
use ringgate::config::{InstanceConfig, parse_instance};
use ringgate::control::binding::BoundListeners;
use ringgate::control::files::tls_files::TlsFiles;
use ringgate::control::instance::{Instance, InstanceParts};
use ringgate::process::cores::{CorePlan, usable_cores};
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::sinks::Sinks;
use ringgate::tls::setup::TlsSetup;
use rustls::pki_types::UnixTime;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest that a test waits for something that is to happen: 20 s, or what `RINGGATE_TEST_PATIENCE_S` said when the test was built.
/// An emulated machine needs more.
pub const PATIENCE: Duration = Duration::from_secs(match option_env!("RINGGATE_TEST_PATIENCE_S") {
    None => 20,
    Some(seconds) => match u64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds,
        Err(_) => panic!("RINGGATE_TEST_PATIENCE_S is not a number of seconds"),
    },
});

/// Waits until `condition` holds; panics with `what` if it does not in time.
///
/// For state that no event announces; the interval is short so that nobody waits for long.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(comes_true(condition), "{what}: not within {PATIENCE:?}");
}

/// Whether `condition` comes to hold while a test is patient.
pub fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    true
}

/// Milliseconds between two reports of an open session, so that no test waits for the minute that they are apart in service.
pub const PROGRESS_INTERVAL_MS: u64 = 50;

/// A running instance with one listener on loopback. Its test is over with [`TestInstance::end`], not without.
pub struct TestInstance {
    pub instance: Instance,
    pub address: SocketAddr,
    runtime: Runtime,
    tls: TlsFiles,
    accounts: Accounts,
    /// The rows of its log, if they are collected.
    rows: Option<LogRows>,
    is_ended: bool,
}

impl TestInstance {
    /// One API at `/t`, open to all, to `backend`, with further lines of its file.
    pub fn start(backend: SocketAddr, api_lines: &str) -> Self {
        Self::start_with("workers = 1", &[("t", &api_file("t", backend, api_lines))])
    }

    /// Lines of the instance's file, and API files by name.
    pub fn start_with(instance_lines: &str, apis: &[(&str, &str)]) -> Self {
        Self::start_secured(instance_lines, "", apis)
    }

    /// As [`TestInstance::start_with`], with further lines of the listener.
    pub fn start_secured(instance_lines: &str, listener_lines: &str, apis: &[(&str, &str)]) -> Self {
        Self::start_on(instance_lines, listener_lines, snapshot(&files_of(apis)))
    }

    /// Any files of a catalogue, by path. Keys are hashed as [`key_hash`] does.
    pub fn start_catalog(instance_lines: &str, files: &[(&str, &str)]) -> Self {
        Self::start_on(instance_lines, "", snapshot(files))
    }

    /// One API at `/t`, with a log of the test's own: its rows are not collected.
    pub fn start_logging(instance_lines: &str, api: &str, sinks: Sinks) -> Self {
        Self::start_all(instance_lines, "", snapshot(&files_of(&[("t", api)])), (sinks, None))
    }

    /// Any files of a catalogue, by path, with a log of the test's own.
    pub fn start_catalog_logging(instance_lines: &str, files: &[(&str, &str)], sinks: Sinks) -> Self {
        Self::start_all(instance_lines, "", snapshot(files), (sinks, None))
    }

    fn start_on(instance_lines: &str, listener_lines: &str, snapshot: Snapshot) -> Self {
        let (sinks, rows) = collecting();
        Self::start_all(instance_lines, listener_lines, snapshot, (sinks, Some(rows)))
    }

    fn start_all(
        instance_lines: &str,
        listener_lines: &str,
        snapshot: Snapshot,
        (sinks, rows): (Sinks, Option<LogRows>),
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a control runtime");
        let text = format!("{instance_lines}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener_lines}\n");
        let config: InstanceConfig = parse_instance("ringgate.toml", &text).expect("a correct instance file");
        let snapshot = snapshot.with_default_schemes(config.default_schemes());
        let accounts = Accounts::open(backends(&snapshot));
        let tls = TlsFiles::load(&config, &snapshot, Path::new(""), UnixTime::now());
        let tls = tls.expect("correct files of certificates");
        let setup = tls.setup(&snapshot);
        let usable = usable_cores().expect("the cores of this process");
        let cores = CorePlan::of(&usable, config.workers.map(|workers| workers as usize));
        let listeners = runtime.block_on(BoundListeners::bind(&config, cores.of_workers().len()));
        let listeners = listeners.expect("addresses that are free");
        let parts = InstanceParts {
            cores,
            listeners,
            snapshot: snapshot.into(),
            tls: setup,
            other_open_files: 0,
            root_page: None,
            sinks,
            progress_interval_ms: PROGRESS_INTERVAL_MS,
        };
        let instance = Instance::start(&config, parts, runtime.handle()).expect("an instance that starts");
        let address = instance.addresses()[0];
        Self { instance, address, runtime, tls, accounts, rows, is_ended: false }
    }

    /// Gives it another catalogue: API files by name.
    pub fn publish(&mut self, apis: &[(&str, &str)]) {
        self.publish_catalog(&files_of(apis));
    }

    /// Gives it another catalogue: any files, by path.
    pub fn publish_catalog(&mut self, files: &[(impl AsRef<str>, &str)]) {
        let snapshot = snapshot(files);
        self.tls.take_up(&snapshot).expect("correct files of certificates");
        let setup = self.tls.setup(&snapshot);
        self.publish_snapshot(snapshot.into(), setup);
    }

    /// Gives it another catalogue.
    pub fn publish_snapshot(&mut self, snapshot: Arc<Snapshot>, setup: TlsSetup) {
        let mut preparation = self.instance.prepare(snapshot, setup);
        let prepared = self.runtime.block_on(preparation.done());
        self.instance.commit(prepared);
    }

    /// Looks at its files of certificates, and takes up those that have changed.
    pub fn look_at_tls_files(&mut self) {
        if self.tls.look(UnixTime::now(), false) {
            let setup = self.tls.setup(&self.instance.snapshot());
            self.instance.publish_tls(setup);
        }
    }

    /// How often an opening or a session ended with a cause in a phase.
    pub fn terminations(&self, cause: Cause, phase: Phase) -> u64 {
        self.instance.counters().terminations(cause, phase)
    }

    /// Waits until so many ended with a cause in a phase.
    pub fn wait_for_terminations(&self, cause: Cause, phase: Phase, count: u64) {
        if !comes_true(|| self.terminations(cause, phase) >= count) {
            let wanted = format!("{count} × {} in {}", cause.name(), phase.name());
            panic!("{wanted}: not within {PATIENCE:?}; counted: {:?}", self.all_terminations());
        }
        assert_eq!(self.terminations(cause, phase), count, "{} in {}", cause.name(), phase.name());
    }

    /// Every end that was counted, by cause and phase.
    fn all_terminations(&self) -> Vec<String> {
        let mut all = Vec::new();
        for cause in Cause::ALL {
            for phase in Phase::ALL {
                match self.terminations(cause, phase) {
                    0 => {}
                    count => all.push(format!("{count} × {} in {}", cause.name(), phase.name())),
                }
            }
        }
        all
    }

    /// Waits until so many sessions were opened.
    pub fn wait_for_sessions(&self, count: u64) {
        wait_until(&format!("{count} sessions"), || {
            self.instance.counters().sum(|worker| &worker.sessions_opened) >= count
        });
    }

    /// Waits until nothing is open any more: no opening, no slot, no buffer, no place.
    pub fn wait_for_rest(&self) {
        wait_until("an instance at rest", || {
            self.instance.counters().is_at_rest()
                && self.instance.places().taken() == 0
                && self.instance.budgets().openings_taken() == 0
        });
    }

    /// Waits until exactly so many openings are in progress.
    pub fn wait_for_openings(&self, count: u32) {
        wait_until(&format!("{count} openings"), || self.instance.budgets().openings_taken() == count);
    }

    /// Drains it, waits for its end, and looks whether all that it held is given back, and whether its log is whole. Gives the rows.
    pub fn end(mut self) -> AllRows {
        self.instance.drain();
        let instance = &mut self.instance;
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE * 2, instance.ended()).await })
            .expect("an instance that ends")
            .expect("workers that end well");
        self.runtime.block_on(self.instance.end_log());
        self.is_ended = true;
        assert_eq!(held(&self.instance.observed()), [], "held by an instance that is over");
        assert_eq!(self.instance.budgets().slots().keys(), 0, "keys with a slot taken");
        for kind in HolderKind::ALL {
            assert_eq!(self.instance.places_taken_of(kind), 0, "places of {kind:?}");
        }
        let labels = self.instance.observed().labels;
        let figures = |kind| labels.all_of(kind).into_iter().map(|label| label.figures());
        for kind in HolderKind::ALL {
            assert!(figures(kind).all(|figures| figures.open() == 0), "sessions by {kind:?}");
        }
        let opened: u64 = figures(HolderKind::Api).map(|figures| figures.opened).sum();
        let all_opened = self.instance.counters().sum(|worker| &worker.sessions_opened);
        // An API that is gone is forgotten with its figures.
        assert!(opened <= all_opened, "{opened} sessions by API, {all_opened} in all");
        let (connections, ends) = connections_and_ends(self.instance.counters());
        assert_eq!(connections, ends, "each connection comes to one end");
        let open = self.accounts.open_sockets(self.address);
        assert!(open.is_empty(), "an instance that is over has open sockets, local and remote: {open:?}");
        let rows = self.rows.as_ref().map(LogRows::all);
        if let Some(rows) = &rows {
            rows.check(&self.instance.observed());
        }
        rows.unwrap_or_default()
    }
}

impl Drop for TestInstance {
    fn drop(&mut self) {
        assert!(self.is_ended || std::thread::panicking(), "a test that does not end its instance");
    }
}

/// Where the APIs' backends are, as far as their addresses are written out.
fn backends(snapshot: &Snapshot) -> Vec<SocketAddr> {
    let address = |host: &BackendHost| match host {
        BackendHost::Ip(address) => Some(*address),
        BackendHost::Name(_) => None,
    };
    let backends = snapshot.served().iter().map(|api| &api.backend);
    backends.filter_map(|backend| Some((address(&backend.host)?, backend.port).into())).collect()
}

/// API files by name, as files by path.
fn files_of<'t>(apis: &[(&str, &'t str)]) -> Vec<(String, &'t str)> {
    apis.iter().map(|(name, text)| (format!("apis/{name}.toml"), *text)).collect()
}

fn snapshot(files: &[(impl AsRef<str>, &str)]) -> Snapshot {
    let mut made = CatalogFiles::default();
    for (path, text) in files {
        made.insert(path.as_ref(), *text);
    }
    compile(&made, None).expect("a correct catalogue").with_key_hasher(key_hasher())
}

fn key_hasher() -> KeyHasher {
    KeyHasher::new(&[7; 32])
}

/// The hash of a key, as the file of a subscription has it.
pub fn key_hash(key: &str) -> String {
    key_hasher().text_of(key.as_bytes())
}

/// The file of an active subscription.
pub fn subscription_file(scope: &str, key: &str, lines: &str) -> String {
    let hash = key_hash(key);
    format!("display_name = \"Test\"\nscope = \"{scope}\"\nprimary_key_hash = \"{hash}\"\n{lines}\n")
}

/// The file of an API that needs a key.
pub fn locked_api_file(suffix: &str, backend: SocketAddr, lines: &str) -> String {
    api_file(suffix, backend, lines).replace("subscription_required = false", "subscription_required = true")
}

/// The file of an API that is open to all.
pub fn api_file(suffix: &str, backend: SocketAddr, lines: &str) -> String {
    format!(
        "display_name = \"Test\"\nurl = \"ws://{backend}\"\nsuffix = \"{suffix}\"\nsubscription_required = false\n{lines}\n"
    )
}
