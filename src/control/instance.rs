//! One running instance: its workers, what they share, and its end.
//!
//! Each worker is a front and a relay on one core. They share snapshots, places and mailboxes, nothing else.

use crate::admission::places::{HolderKind, Places};
use crate::admission::registry::Registry;
use crate::backend::names::Lookups;
use crate::backend::names::Resolver;
use crate::catalog::timestamp::Timestamp;
use crate::compiled::Snapshot;
use crate::config::{InstanceConfig, SessionsFrom};
use crate::control::binding::bind_patiently;
use crate::control::bug_log::log_bugs;
use crate::front::listener::bind_group;
use crate::front::socket::Socket;
use crate::front::{FrontParts, Published, run_front};
use crate::limits::{REVOCATION_SPREAD_MS_MAX, REVOKED_SESSIONS_PER_S, open_files_reserve};
use crate::observe::Counters;
use crate::observe::publishes::Publishes;
use crate::process::cores::{CoreIndex, pin_current_thread, usable_cores};
use crate::process::open_files::{RequestedRoom, TooManySessions, fit, raise_open_files};
use crate::process::scheduling::{give_way, shorten_slice};
use crate::relay::{BugReporter, Mailbox, Message, Relay, RelayLimits, Relays, bug_reports};
use crate::ring::probe::{ProbeError, probe};
use crate::ring::{KernelRing, RingError};
use crate::shared_counts::budgets::Budgets;
use crate::telemetry::Observed;
use crate::tls::setup::TlsSetup;
use rustls::pki_types::UnixTime;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Why an instance did not start. Each names the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel cannot run a relay.
    #[error(transparent)]
    Kernel(#[from] ProbeError),
    /// Too few open files for the sessions.
    #[error(transparent)]
    OpenFiles(#[from] TooManySessions),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {source}; {}", listen_remedy(.source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A relay's ring cannot be set up although the probe could.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// Something that the host is to give.
    #[error("cannot start: {0}")]
    Host(#[from] io::Error),
}

fn listen_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => "stop what listens there, or choose another address",
        Some(libc::EACCES) => {
            "give the process CAP_NET_BIND_SERVICE, or choose a port above net.ipv4.ip_unprivileged_port_start"
        }
        Some(libc::EADDRNOTAVAIL) => "choose an address of this host",
        _ => "check the address",
    }
}

/// How one of a worker's threads ended.
#[derive(Debug)]
enum ThreadEnd {
    Done,
    Failed(String),
}

/// A running instance. Dropping it leaves its threads running: end it with [`Instance::drain`] and [`Instance::ended`].
#[derive(Debug)]
pub struct Instance {
    addresses: Vec<SocketAddr>,
    workers: usize,
    counters: Counters,
    lookups: Arc<Lookups>,
    publishes: Arc<Publishes>,
    budgets: Budgets,
    sessions_from: SessionsFrom,
    registry: Registry,
    mailboxes: Vec<Arc<Mailbox<OwnedFd>>>,
    published: watch::Sender<Arc<Published>>,
    /// Catalogues before that one, which openings in progress may still hold.
    retired: Vec<Arc<Published>>,
    /// Where what takes long is done.
    control: Handle,
    draining: watch::Sender<bool>,
    drain_s: u64,
    ends: mpsc::UnboundedReceiver<ThreadEnd>,
    running: usize,
}

impl Instance {
    /// Starts the workers. Names are resolved on `control`, which must outlive the instance. `other_open_files` is what
    /// else in this process takes descriptors, such as the built-in echo backend.
    ///
    /// # Errors
    /// Why it cannot start; nothing is left open then but threads that end by themselves.
    pub fn start(
        config: &InstanceConfig,
        snapshot: Arc<Snapshot>,
        tls: TlsSetup,
        control: &Handle,
        other_open_files: u64,
    ) -> Result<Self, StartError> {
        probe()?;
        let cores = usable_cores()?;
        let workers = config.workers.map_or(cores.len(), |workers| workers as usize);
        let open_files = raise_open_files()?;
        let reserve = open_files_reserve(workers) + other_open_files;
        let sessions_from = config.limits.sessions_from();
        let asked = RequestedRoom { sessions: sessions_from, openings: config.limits.openings_max };
        let room = fit(asked, open_files, reserve)?;
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let budgets = Budgets::new(&config.limits, count(room.sessions), count(room.openings));
        let (addresses, listeners) = listen(config, workers)?;
        let mut registry = Registry::new(budgets.pending().limit());
        log_notes(&snapshot);
        let published = publication(&mut registry, snapshot, tls, now());
        let (published, published_to_fronts) = watch::channel(published);
        let (draining, draining_of_fronts) = watch::channel(false);
        let (end_sender, ends) = mpsc::unbounded_channel();
        let resolver = Resolver::start(control, &config.names);
        let mut instance = Self {
            addresses,
            workers,
            counters: Counters::new(workers),
            lookups: Arc::clone(resolver.lookups()),
            publishes: Arc::default(),
            budgets,
            sessions_from,
            registry,
            mailboxes: Vec::new(),
            published,
            retired: Vec::new(),
            control: control.clone(),
            draining,
            drain_s: config.drain_s,
            ends,
            running: 0,
        };
        let relay_limits = RelayLimits {
            backlog_bytes_max: (config.limits.backlog_mib_max as usize) << 20,
            zero_copy_bytes_min: config.limits.zero_copy_kib_min.map(|kib| (kib as usize) << 10),
            splice_bytes_min: Some(config.limits.splice_kib_min << 10).filter(|least| *least > 0),
            dead_peer_timeout_ms: config.limits.dead_peer_timeout().map(|timeout| timeout.as_millis() as u64),
        };
        // Every relay is there before the first front, which may give it a session.
        for _ in 0..workers {
            instance.mailboxes.push(Mailbox::new()?);
        }
        let relays = Relays::new(instance.mailboxes.clone());
        let (bug_reporter, bug_reports) = bug_reports();
        control.spawn(log_bugs(bug_reports));
        let core_of = |index: usize| cores[index % cores.len()];
        for index in 0..workers {
            let reporter = bug_reporter.clone();
            instance.start_relay(index, core_of(index), relay_limits, reporter, end_sender.clone())?;
        }
        for (index, listeners) in listeners.into_iter().enumerate() {
            let parts = FrontParts {
                listeners,
                published: published_to_fronts.clone(),
                draining: draining_of_fronts.clone(),
                budgets: instance.budgets.clone(),
                resolver: resolver.clone(),
                relays: Arc::clone(&relays),
                worker: index,
                counters: instance.counters.worker(index),
                head_timeout_ms: config.limits.head_timeout_ms,
                dead_peer_timeout: config.limits.dead_peer_timeout(),
            };
            instance.start_front(index, core_of(index), parts, end_sender.clone())?;
        }
        Ok(instance)
    }

    fn start_relay(
        &mut self,
        index: usize,
        core: CoreIndex,
        limits: RelayLimits,
        reporter: BugReporter,
        ends: mpsc::UnboundedSender<ThreadEnd>,
    ) -> Result<(), StartError> {
        let mailbox = Arc::clone(&self.mailboxes[index]);
        let counters = self.counters.worker(index);
        let wake_up = mailbox.wake_up()?;
        let (started, is_started) = std::sync::mpsc::channel();
        let run = move || {
            pin(core);
            if let Err(error) = shorten_slice() {
                tracing::warn!(%error, "a relay waits for its front's slices");
            }
            // The kernel wants a ring to be made by the thread that uses it.
            match KernelRing::new(wake_up) {
                Ok(ring) => {
                    let _ = started.send(Ok(()));
                    let relay = Relay::new(ring, mailbox, counters, limits).reporting_to(reporter);
                    relay.run().map_err(|error| error.to_string())
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    Ok(())
                }
            }
        };
        self.spawn(format!("relay-{index}"), ends, run)?;
        is_started.recv().map_err(|_| io::Error::other("a relay ended while it started"))??;
        Ok(())
    }

    fn start_front(
        &mut self,
        index: usize,
        core: CoreIndex,
        parts: FrontParts,
        ends: mpsc::UnboundedSender<ThreadEnd>,
    ) -> Result<(), StartError> {
        let run = move || {
            pin(core);
            if let Err(error) = give_way() {
                tracing::warn!(%error, "a front does not give way to its relay");
            }
            run_front(parts).map_err(|error| format!("a front cannot run: {error}"))
        };
        self.spawn(format!("front-{index}"), ends, run)
    }

    fn spawn(
        &mut self,
        name: String,
        ends: mpsc::UnboundedSender<ThreadEnd>,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(), StartError> {
        let label = name.clone();
        thread::Builder::new().name(name).spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let end = match result {
                Ok(Ok(())) => ThreadEnd::Done,
                Ok(Err(message)) => ThreadEnd::Failed(message),
                // In service a panic has ended the process by now (`process::fatal`).
                Err(_) => ThreadEnd::Failed(format!("{label} panicked")),
            };
            // Nobody listens any more if the instance was dropped.
            let _ = ends.send(end);
        })?;
        self.running += 1;
        Ok(())
    }

    /// Where it listens, in the order of the configuration; with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What there is to be read of it, for as long as the reader likes.
    pub fn observed(&self) -> Observed {
        Observed {
            counters: self.counters.clone(),
            budgets: self.budgets.clone(),
            lookups: Arc::clone(&self.lookups),
            publishes: Arc::clone(&self.publishes),
        }
    }

    /// What became of changes of its catalogue, as far as its publisher has told.
    pub fn publishes(&self) -> &Publishes {
        &self.publishes
    }

    /// Its places for sessions.
    pub fn places(&self) -> &Arc<Places> {
        self.budgets.sessions()
    }

    /// Places of APIs, of products or of subscriptions that are taken, over all of them.
    pub fn places_taken_of(&self, kind: HolderKind) -> u64 {
        self.registry.taken(kind)
    }

    /// What openings and sessions are counted against.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// What says how many sessions it holds.
    pub fn sessions_from(&self) -> SessionsFrom {
        self.sessions_from
    }

    /// The catalogue that is served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.borrow().snapshot)
    }

    /// Gives the workers another catalogue; openings in progress end under the one they began with.
    ///
    /// Sessions go on counting against their APIs, products and subscriptions. One whose limit is lower now keeps those it has,
    /// and gets no more until enough have ended. Those that are of what is revoked end, where their API says so.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>, tls: TlsSetup) {
        log_notes(&snapshot);
        self.replace(snapshot, tls);
        self.end_revoked(now());
    }

    /// Gives the workers other certificates or ticket keys for the same catalogue. Open sessions do not notice.
    pub fn publish_tls(&mut self, tls: TlsSetup) {
        self.replace(self.snapshot(), tls);
    }

    /// Ends the sessions that are of what was revoked by a publish, or of a subscription whose end has come by `now`, where
    /// their API says so: over a while, so that not all of their clients come back at once.
    pub fn end_revoked(&mut self, now: Timestamp) {
        self.registry.revoke_ended(now);
        let Some(sessions) = self.registry.take_revoked() else { return };
        let spread_ms = (sessions * 1000 / REVOKED_SESSIONS_PER_S).min(REVOCATION_SPREAD_MS_MAX);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Revoke { spread_ms });
        }
    }

    fn replace(&mut self, snapshot: Arc<Snapshot>, tls: TlsSetup) {
        let published = publication(&mut self.registry, snapshot, tls, now());
        self.retired.push(self.published.send_replace(published));
        self.let_go_of_retired();
    }

    /// Frees the catalogues that no opening holds any more: on a thread that may take long, because the last holder frees, and
    /// a large one would keep a front from its other openings for as long as that takes, and the control thread from signals.
    pub fn let_go_of_retired(&mut self) {
        // No front gets one anew: only openings that began under it hold it.
        let is_held = |retired: &mut Arc<Published>| Arc::strong_count(retired) > 1;
        let released: Vec<_> = self.retired.extract_if(.., |retired| !is_held(retired)).collect();
        if !released.is_empty() {
            self.control.spawn_blocking(move || drop(released));
        }
    }

    /// Takes no more connections, and ends all sessions within the configured `drain_s`.
    ///
    /// What is queued on the listeners is taken and answered; sessions get a Close 1001 at their next boundary, the
    /// first now and the last early enough to be answered; what is left at the end is cut.
    pub fn drain(&self) {
        let cut_after_ms = self.drain_s * 1000;
        // The last session is told while there is still time for its peers to answer.
        let answering_ms = (cut_after_ms / 2).min(crate::limits::LINGER_S_DEFAULT * 1000);
        self.draining.send_replace(true);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Drain { spread_ms: cut_after_ms - answering_ms, cut_after_ms });
        }
    }

    /// Cuts all sessions now: each leg gets a Close 1001 if a boundary is at hand, else a plain end.
    pub fn cut(&self) {
        self.draining.send_replace(true);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Drain { spread_ms: 0, cut_after_ms: 0 });
        }
    }

    /// Waits until all workers have ended. May be dropped and called again.
    ///
    /// # Errors
    /// What a worker failed with. The others may still run: the process is to end.
    pub async fn ended(&mut self) -> Result<(), String> {
        while self.running > 0 {
            match self.ends.recv().await {
                Some(ThreadEnd::Done) => self.running -= 1,
                Some(ThreadEnd::Failed(message)) => return Err(message),
                None => break,
            }
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(UnixTime::now().as_secs())
}

/// Says what there is to say about a catalogue that is published, once.
fn log_notes(snapshot: &Snapshot) {
    for note in snapshot.notes() {
        tracing::info!("{note}");
    }
}

/// A catalogue with the places of its entities, whose limits it sets.
fn publication(
    registry: &mut Registry,
    snapshot: Arc<Snapshot>,
    tls: TlsSetup,
    now: Timestamp,
) -> Arc<Published> {
    let places = registry.publish(&snapshot, now);
    Arc::new(Published { snapshot, places, tls })
}

/// Binds every listener once per worker; gives the addresses and each worker's listeners.
fn listen(
    config: &InstanceConfig,
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<Socket>>), StartError> {
    let mut addresses = Vec::new();
    let dead_peer_timeout = config.limits.dead_peer_timeout();
    let mut of_workers: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &config.listeners {
        let failed = |source| StartError::Listen { address: listener.address, source };
        let bind = || bind_group(listener.address, workers, dead_peer_timeout);
        let group = bind_patiently(listener.address, bind).map_err(failed)?;
        let bound = group.first().map_or(Ok(listener.address), Socket::local_address).map_err(failed)?;
        addresses.push(bound);
        for (of_worker, socket) in of_workers.iter_mut().zip(group) {
            of_worker.push(socket);
        }
    }
    Ok((addresses, of_workers))
}

fn pin(core: CoreIndex) {
    if let Err(error) = pin_current_thread(&[core]) {
        tracing::warn!(%error, core = core.number(), "a thread is not pinned");
    }
}

#[cfg(test)]
mod tests;
