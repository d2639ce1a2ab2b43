//! One running instance: its workers, what they share, and its end.
//!
//! Each worker is a front and a relay on one core. They share snapshots, places and mailboxes, nothing else.
//!
//! The property to trust: no call here takes the control thread longer for a large catalogue. Work that grows with the catalogue,
//! such as finding the places of its entities and freeing the previous one, is done on threads that may take long.
//!
//! Not here: when to publish and when to end (`serving`), the threads of the workers (`instance::workers`).

mod publication;
mod workers;

use crate::admission::places::{HolderKind, Places};
use crate::admission::registry::Registry;
use crate::backend::names::Lookups;
use crate::backend::names::Resolver;
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{Diagnostics, Name};
use crate::compiled::Snapshot;
use crate::config::{InstanceConfig, SessionsFrom};
use crate::control::binding::BoundListeners;
use crate::control::bug_log::log_bugs;
use crate::control::host::{NoRingMemory, holder_of};
use crate::front::{FrontParts, Published, RootPage};
use crate::limits::{LINGER_S_DEFAULT, health_openings_kept_by_each, open_files_reserve};
use crate::observe::event_ring::{FrontEvents, RelayEvents, event_rings};
use crate::observe::heartbeats::WorkerThread;
use crate::observe::publishes::Publishes;
use crate::observe::state::{State, StateCell};
use crate::observe::{Counters, LabelRegistry};
use crate::process::cores::{CoreIndex, CorePlan};
use crate::process::files::reason;
use crate::process::open_files::{RequestedRoom, TooManySessions, fit, raise_open_files};
use crate::process::uptime::uptime_ms;
use crate::relay::{Mailbox, Message, RelayLimits, Relays, bug_reports};
use crate::ring::RingError;
use crate::shared_counts::budgets::Budgets;
use crate::telemetry::Observed;
use crate::telemetry::figures::{About, CertificateExpiry, Shown};
use crate::telemetry::observer::{Observer, ObserverFigures};
use crate::telemetry::otlp::OtlpFigures;
use crate::telemetry::rows::RowMaker;
use crate::telemetry::sink::RowSink;
use crate::telemetry::sinks::{AllSinkFigures, Sinks};
use crate::tls::setup::TlsSetup;
pub use publication::{Preparation, Prepared};
use rustls::pki_types::UnixTime;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use workers::{RelayLog, WorkerThreads};

/// Sessions that an instance ends in a second at a drain, or when an entity that they belong to is revoked. Raising it makes both
/// faster, and lets more of their clients come back at once.
const ENDED_SESSIONS_PER_S: u64 = 500;

/// Longest time, in milliseconds, over which the ends of such sessions are spread, however many there are.
const REVOCATION_SPREAD_MS_MAX: u64 = 30_000;

/// Why an instance did not start. Each names the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Too few open files for the sessions.
    #[error(transparent)]
    OpenFiles(#[from] TooManySessions),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {}; {}", reason(.error), listen_remedy(.error, .holder))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's error.
        error: io::Error,
        /// The process that listens there, if that is known.
        holder: Option<i32>,
    },
    /// A relay's ring cannot be set up although the probe could.
    #[error(transparent)]
    Ring(RingError),
    /// The kernel gives no memory for a ring.
    #[error(transparent)]
    RingMemory(#[from] NoRingMemory),
    /// The host does not meet a need.
    #[error("cannot start: {0}")]
    Host(#[from] io::Error),
}

impl StartError {
    /// Makes the error for an address that cannot be listened on.
    pub fn listen(address: SocketAddr, error: io::Error) -> Self {
        let is_held = error.kind() == io::ErrorKind::AddrInUse;
        let holder = is_held.then(|| holder_of(address)).flatten();
        Self::Listen { address, error, holder }
    }
}

impl From<RingError> for StartError {
    fn from(error: RingError) -> Self {
        if NoRingMemory::is_told_by(&error.source) {
            Self::RingMemory(NoRingMemory)
        } else {
            Self::Ring(error)
        }
    }
}

fn listen_remedy(error: &io::Error, holder: &Option<i32>) -> String {
    let remedy = match (error.raw_os_error(), holder) {
        (Some(libc::EADDRINUSE), Some(process)) => {
            return format!("stop what listens there (process {process}), or choose another address");
        }
        (Some(libc::EADDRINUSE), None) => "stop what listens there, or choose another address",
        (Some(libc::EACCES), _) => {
            "give the process CAP_NET_BIND_SERVICE, or choose a port above net.ipv4.ip_unprivileged_port_start"
        }
        (Some(libc::EADDRNOTAVAIL), _) => "choose an address of this host",
        _ => "check the address",
    };
    remedy.to_owned()
}

/// Most expired subscriptions that are revoked in one call, some 100 ns each. The rest wait for the next call.
const SUBSCRIPTIONS_ENDED_AT_ONCE: usize = 4096;

/// The parts that an instance starts with, besides its configuration.
#[derive(Debug)]
pub struct InstanceParts {
    /// Which cores its workers run on; how many workers it has.
    pub cores: CorePlan,
    /// Where it listens, for so many workers.
    pub listeners: BoundListeners,
    /// The catalogue that it begins with.
    pub snapshot: Arc<Snapshot>,
    /// TLS of listeners and backends.
    pub tls: TlsSetup,
    /// Descriptors of other parts of the process, such as the built-in echo backend.
    pub other_open_files: u64,
    /// The page at the root of its listeners. `None`: the root is a path as any other.
    pub root_page: Option<Arc<RootPage>>,
    /// Where rows of the log go. Without any, no events are sent, and there is no observer.
    pub sinks: Sinks,
    /// Milliseconds between two reports of an open session, where its diagnostics ask for them (`PROGRESS_INTERVAL_MS`).
    pub progress_interval_ms: u64,
}

/// A running instance. Dropping it leaves its threads running: end it with [`Instance::drain`] and [`Instance::ended`].
#[derive(Debug)]
pub struct Instance {
    addresses: Vec<SocketAddr>,
    workers: usize,
    counters: Counters,
    lookups: Arc<Lookups>,
    publishes: Arc<Publishes>,
    labels: Arc<LabelRegistry>,
    state: Arc<StateCell>,
    budgets: Budgets,
    sessions_from: SessionsFrom,
    /// `None` while a catalogue is being prepared.
    registry: Option<Registry>,
    mailboxes: Vec<Arc<Mailbox<OwnedFd>>>,
    published: watch::Sender<Arc<Published>>,
    /// What figures are shown of what is published.
    shown: watch::Sender<Shown>,
    about: Arc<About>,
    /// Catalogues before that one, which openings in progress may still hold.
    retired: Vec<Arc<Published>>,
    /// The runtime for operations that take long.
    control: Handle,
    draining: watch::Sender<bool>,
    drain_s: u64,
    sink_figures: AllSinkFigures,
    otlp_figures: OtlpFigures,
    threads: WorkerThreads,
    observed_log: Arc<ObserverFigures>,
    /// `None`: there is no log.
    observer: Option<Observer>,
}

impl Instance {
    /// Starts the workers. Names are resolved on `control`, which must outlive the instance. It takes some milliseconds, and
    /// more for a large catalogue.
    ///
    /// # Errors
    /// Why it cannot start; only threads that end by themselves are left then.
    pub fn start(
        config: &InstanceConfig,
        parts: InstanceParts,
        control: &Handle,
    ) -> Result<Self, StartError> {
        let InstanceParts {
            cores,
            listeners,
            snapshot,
            tls,
            other_open_files,
            root_page,
            sinks,
            progress_interval_ms,
        } = parts;
        let workers = cores.of_workers().len();
        let open_files = raise_open_files()?;
        let reserve = open_files_reserve(workers) + other_open_files;
        let sessions_from = config.limits.sessions_from();
        let asked = RequestedRoom { sessions: sessions_from, openings: config.limits.openings_max };
        let room = fit(asked, open_files, reserve)?;
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let budgets = Budgets::new(&config.limits, count(room.sessions), count(room.openings));
        let registry = Registry::new(budgets.pending().limit());
        let labels = Arc::new(LabelRegistry::new(workers));
        let Prepared { registry, published } = publication::prepare(registry, &labels, snapshot, tls);
        let about = About {
            gateway: config.gateway.as_ref().map(|name| name.to_string()).unwrap_or_default(),
            started_at_s: UnixTime::now().as_secs(),
        };
        let shown = watch::Sender::new(shown_of(&published, &listeners.addresses));
        let (published, published_to_fronts) = watch::channel(published);
        let (draining, draining_of_fronts) = watch::channel(false);
        let resolver = Resolver::start(control, &config.names);
        let mut instance = Self {
            addresses: listeners.addresses,
            workers,
            counters: Counters::new(workers),
            lookups: Arc::clone(resolver.lookups()),
            publishes: Arc::default(),
            labels,
            state: Arc::default(),
            budgets,
            sessions_from,
            registry: Some(registry),
            mailboxes: Vec::new(),
            published,
            shown,
            about: about.into(),
            retired: Vec::new(),
            control: control.clone(),
            draining,
            drain_s: config.drain_s,
            sink_figures: sinks.figures,
            otlp_figures: sinks.otlp,
            threads: WorkerThreads::new(),
            observed_log: Arc::default(),
            observer: None,
        };
        let relay_limits = RelayLimits {
            backlog_bytes_max: (config.limits.backlog_mib_max as usize) << 20,
            zero_copy_bytes_min: config.limits.zero_copy_kib_min.map(|kib| (kib as usize) << 10),
            splice_bytes_min: Some(config.limits.splice_kib_min << 10).filter(|least| *least > 0),
            dead_peer_timeout_ms: config.limits.dead_peer_timeout().map(|timeout| timeout.as_millis() as u64),
            progress_interval_ms,
            ..RelayLimits::default()
        };
        // Every relay is there before the first front, which may give it a session.
        for _ in 0..workers {
            instance.mailboxes.push(Mailbox::new()?);
        }
        let relays = Relays::new(instance.mailboxes.clone());
        let (bug_reporter, bug_reports) = bug_reports();
        control.spawn(log_bugs(bug_reports));
        for worker in instance.counters.workers() {
            WorkerThread::ALL.iter().for_each(|thread| worker.heartbeats.beat(*thread, uptime_ms()));
        }
        let gateway = config.gateway.as_ref().map_or("", Name::as_str);
        let diagnostics = Arc::new(config.diagnostics.clone());
        let events = instance.observe(sinks.sinks, gateway, Arc::clone(&diagnostics), cores.left_over())?;
        let (of_fronts, of_relays): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        for ((index, core), events) in cores.of_workers().iter().enumerate().zip(of_relays) {
            let (mailbox, counters) =
                (Arc::clone(&instance.mailboxes[index]), instance.counters.worker(index));
            let reporter = bug_reporter.clone();
            let log = RelayLog { reporter, events };
            instance.threads.start_relay(index, *core, mailbox, counters, relay_limits, log)?;
        }
        let fronts = listeners.of_workers.into_iter().zip(cores.of_workers()).zip(of_fronts);
        for (index, ((listeners, core), events)) in fronts.enumerate() {
            let parts = FrontParts {
                listeners,
                published: published_to_fronts.clone(),
                draining: draining_of_fronts.clone(),
                budgets: instance.budgets.clone(),
                resolver: resolver.clone(),
                relays: Arc::clone(&relays),
                worker: index,
                counters: instance.counters.worker(index),
                events,
                head_timeout_ms: config.limits.head_timeout_ms,
                dead_peer_timeout: config.limits.dead_peer_timeout(),
                root_page: root_page.clone(),
                health_path: config.health_path.clone(),
                health_openings_kept: health_openings_kept_by_each(workers),
                sampling: config.otlp.as_ref().filter(|otlp| otlp.traces).map(|otlp| otlp.sampling),
                diagnostics: Arc::clone(&diagnostics),
            };
            instance.threads.start_front(index, *core, parts)?;
        }
        Ok(instance)
    }

    /// Starts the observer, if rows are wanted; gives each worker's ends of its rings.
    fn observe(
        &mut self,
        sinks: Vec<Box<dyn RowSink>>,
        gateway: &str,
        diagnostics: Arc<Diagnostics>,
        cores: &[CoreIndex],
    ) -> io::Result<Vec<(FrontEvents, RelayEvents)>> {
        if sinks.is_empty() {
            return Ok((0..self.workers).map(|_| (FrontEvents::off(), RelayEvents::off())).collect());
        }
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for counters in self.counters.workers() {
            let (front, relay, events) = event_rings(counters);
            senders.push((front, relay));
            receivers.push(events);
        }
        let maker = RowMaker::new(gateway, &self.addresses, diagnostics);
        let figures = Arc::clone(&self.observed_log);
        self.observer = Some(Observer::start(receivers, maker, sinks, figures, cores.to_vec())?);
        Ok(senders)
    }

    /// Ends the log, once all workers have ended or are not waited for any longer: what they have sent is written. It takes some
    /// seconds at most. May be dropped and called again.
    pub async fn end_log(&mut self) {
        let Some(observer) = &mut self.observer else { return };
        if !observer.end().await {
            tracing::warn!(
                "the log of openings and sessions was not written to its end in time: its last rows may be lost"
            );
        }
        self.observer = None;
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

    /// Returns everything that can be observed of it; a reader may keep the value.
    pub fn observed(&self) -> Observed {
        Observed {
            counters: self.counters.clone(),
            budgets: self.budgets.clone(),
            lookups: Arc::clone(&self.lookups),
            publishes: Arc::clone(&self.publishes),
            labels: Arc::clone(&self.labels),
            state: Arc::clone(&self.state),
            sinks: self.sink_figures.clone(),
            otlp: self.otlp_figures.clone(),
            observer: Arc::clone(&self.observed_log),
            about: Arc::clone(&self.about),
            shown: self.shown.subscribe(),
        }
    }

    /// Returns its state.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Returns the outcomes of changes of its catalogue, as far as its publisher has reported them.
    pub fn publishes(&self) -> &Publishes {
        &self.publishes
    }

    /// Its places for sessions.
    pub fn places(&self) -> &Arc<Places> {
        self.budgets.sessions()
    }

    /// Places of APIs, of products or of subscriptions that are taken, over all of them; 0 while a catalogue is being prepared.
    pub fn places_taken_of(&self, kind: HolderKind) -> u64 {
        self.registry.as_ref().map_or(0, |registry| registry.taken(kind))
    }

    /// Sessions that were opened and whose sockets are not both closed yet.
    pub fn open_sessions(&self) -> u64 {
        let (all, of_openings) = (self.budgets.sessions().taken(), self.budgets.pending().taken());
        all.saturating_sub(of_openings).into()
    }

    /// Sessions that a drain ends: those that are open, and those that are being opened, from the judged heads of their openings on.
    pub fn sessions_to_end(&self) -> u64 {
        self.budgets.sessions().taken().into()
    }

    /// Returns the budgets for openings and sessions.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Returns the source of its number of sessions.
    pub fn sessions_from(&self) -> SessionsFrom {
        self.sessions_from
    }

    /// The catalogue that is served.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.borrow().snapshot)
    }

    /// Begins to give the workers another catalogue: finds the places of its entities, on a thread that may take long. What is
    /// served stays as it is until [`Instance::commit`].
    ///
    /// # Panics
    /// If one is being prepared and was not committed.
    pub fn prepare(&mut self, snapshot: Arc<Snapshot>, tls: TlsSetup) -> Preparation {
        let registry = self.registry.take().expect("one catalogue is prepared at a time");
        Preparation::begin(&self.control, registry, Arc::clone(&self.labels), snapshot, tls)
    }

    /// Gives the workers the catalogue that was prepared; openings in progress end under the one they began with.
    ///
    /// Sessions go on counting against their APIs, products and subscriptions. One whose limit is lower now keeps those it has,
    /// and gets no more until enough have ended. Those that are of what is revoked end, where their API says so.
    pub fn commit(&mut self, prepared: Prepared) {
        self.registry = Some(prepared.registry);
        self.replace(prepared.published);
        self.end_revoked(publication::now());
    }

    /// Gives the workers other certificates or ticket keys for the same catalogue. Open sessions do not notice.
    pub fn publish_tls(&mut self, tls: TlsSetup) {
        let published = Arc::clone(&self.published.borrow());
        let (snapshot, places) = (Arc::clone(&published.snapshot), Arc::clone(&published.places));
        let labels = Arc::clone(&published.labels);
        self.replace(Arc::new(Published { snapshot, places, labels, tls }));
    }

    /// Ends the sessions that are of what was revoked by a publish, or of a subscription whose end has come by `now`, where
    /// their API says so: over a while, so that not all of their clients come back at once.
    ///
    /// Gives whether there is more to be done, which waits for the next call so that none takes long.
    pub fn end_revoked(&mut self, now: Timestamp) -> bool {
        // What is being prepared looks at the time itself.
        let Some(registry) = &mut self.registry else { return false };
        let is_more = registry.revoke_ended(now, SUBSCRIPTIONS_ENDED_AT_ONCE);
        let Some(sessions) = registry.take_revoked() else { return is_more };
        let spread_ms = (sessions * 1000 / ENDED_SESSIONS_PER_S).min(REVOCATION_SPREAD_MS_MAX);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Revoke { spread_ms });
        }
        is_more
    }

    fn replace(&mut self, published: Arc<Published>) {
        self.shown.send_replace(shown_of(&published, &self.addresses));
        self.retired.push(self.published.send_replace(published));
        self.let_go_of_retired();
    }

    /// Frees the catalogues that no opening holds any more: on a thread that may take long, because the last holder frees, and
    /// a large one would keep a front from its other openings for as long as that takes, and the control thread from signals.
    pub fn let_go_of_retired(&mut self) {
        if self.labels.has_gone() {
            let labels = Arc::clone(&self.labels);
            self.control.spawn_blocking(move || labels.forget_gone());
        }
        // No front gets one anew: only openings that began under it hold it.
        let is_held = |retired: &mut Arc<Published>| Arc::strong_count(retired) > 1;
        let released: Vec<_> = self.retired.extract_if(.., |retired| !is_held(retired)).collect();
        if !released.is_empty() {
            self.control.spawn_blocking(move || drop(released));
        }
    }

    /// Takes no more connections, and ends all sessions: as fast as their count allows, and within the configured `drain_s`. Gives
    /// over how many milliseconds they are told.
    ///
    /// Connections queued on the listeners are still accepted and answered; sessions get a Close 1001 at their next boundary, the
    /// first now and the last early enough to be answered; sessions left after `drain_s` are cut.
    pub fn drain(&self) -> u64 {
        let cut_after_ms = self.drain_s * 1000;
        let spread_ms = drain_spread_ms(self.sessions_to_end(), cut_after_ms);
        self.draining.send_replace(true);
        self.state.set(State::Draining);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Drain { spread_ms, cut_after_ms });
        }
        spread_ms
    }

    /// Cuts all sessions now: each leg gets a Close 1001 if a boundary is at hand, else a plain end.
    pub fn cut(&self) {
        self.draining.send_replace(true);
        self.state.set(State::Ending);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Drain { spread_ms: 0, cut_after_ms: 0 });
        }
    }

    /// Waits until all workers have ended. May be dropped and called again.
    ///
    /// # Errors
    /// The error of a worker that failed. The others may still run: the process is to end.
    pub async fn ended(&mut self) -> Result<(), String> {
        self.threads.ended().await
    }
}

/// What figures are shown of what is published; `addresses` are those of the listeners.
fn shown_of(published: &Published, addresses: &[SocketAddr]) -> Shown {
    let certificates = published.tls.validity.iter().filter_map(|(listener, validity)| {
        Some(CertificateExpiry {
            listener: addresses.get(*listener)?.to_string(),
            name: validity.name.clone(),
            not_after_s: validity.not_after,
        })
    });
    Shown { places: Arc::clone(&published.places), certificates: certificates.collect() }
}

/// Over how many milliseconds a drain tells so many sessions, all of which are to be over after `cut_after_ms`.
fn drain_spread_ms(sessions: u64, cut_after_ms: u64) -> u64 {
    // The last session is told while there is still time for its peers to answer.
    let answering_ms = (cut_after_ms / 2).min(LINGER_S_DEFAULT * 1000);
    (sessions * 1000 / ENDED_SESSIONS_PER_S).min(cut_after_ms - answering_ms)
}

#[cfg(test)]
mod tests;
