//! One front: a tokio-uring runtime on its own thread, its listeners, and the openings in progress.

use super::accept::accept_until_drain;
use super::answer_date::AnswerDate;
use super::kept_openings::KeptOpenings;
use super::random_source::RandomSource;
use super::readers::{Reader, Readers};
use super::root_page::RootPage;
use super::socket::Socket;
use super::source_addresses::AddressTurns;
use super::stream::{Handle, Host, Network};
use crate::admission::pending::PendingPlaces;
use crate::admission::permit::Permit;
use crate::admission::registry::PublishedPlaces;
use crate::admission::source::SourcePlace;
use crate::backend::names::Resolver;
use crate::catalog::Diagnostics;
use crate::compiled::Snapshot;
use crate::config::HealthPath;
use crate::head::trace_context::Sampling;
use crate::limits::TURNED_AWAY_LINGERING_MAX;
use crate::observe::WorkerCounters;
use crate::observe::counters::add;
use crate::observe::entity_cells::Writer;
use crate::observe::event_ring::FrontEvents;
use crate::observe::heartbeats::{HEARTBEAT_MS, WorkerThread};
use crate::observe::labels::{PublishedLabels, SessionLabels};
use crate::policy::slot::Slot;
use crate::process::uptime::uptime_ms;
use crate::relay::{NewSession, Relays};
use crate::ring::freed_memory::when_memory_is_freed;
use crate::ring::locked_memory::ring_bytes;
use crate::session::{Cause, Phase};
use crate::shared_counts::Shed;
use crate::shared_counts::budgets::{Budgets, OpeningPlaces};
use crate::tls::setup::TlsSetup;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Entries of a front's submission queue.
const FRONT_SUBMISSION_ENTRIES: u32 = 1024;

/// A catalogue as the fronts get it.
#[derive(Debug)]
pub struct Published {
    /// The snapshot that is served.
    pub snapshot: Arc<Snapshot>,
    /// The places of every API, product and subscription in it.
    pub places: Arc<PublishedPlaces>,
    /// The label of every API, product and subscription in it.
    pub labels: Arc<PublishedLabels>,
    /// TLS of listeners and backends.
    pub tls: TlsSetup,
}

/// The parts of a front. Everything that workers share comes in here.
#[derive(Debug)]
pub struct FrontParts<H = OwnedFd> {
    /// Its own listeners; other workers have others on the same ports.
    pub listeners: Vec<Socket>,
    /// The catalogue, as it was published last.
    pub published: watch::Receiver<Arc<Published>>,
    /// Turns true at the drain.
    pub draining: watch::Receiver<bool>,
    /// Places of openings and sessions.
    pub budgets: Budgets,
    /// Resolves backends' names on the control thread.
    pub resolver: Resolver,
    /// The relays that take over what is opened here. Let go of when the front ends: the last front's end is the relays'.
    pub relays: Arc<Relays<H>>,
    /// Which of them is this worker's own.
    pub worker: usize,
    /// This worker's counters.
    pub counters: Arc<WorkerCounters>,
    /// Where its events go.
    pub events: FrontEvents,
    /// Milliseconds in which a request head must be complete.
    pub head_timeout_ms: u64,
    /// After how long the connection to a silent backend is given up. `None`: never. Listeners have it from their bind.
    pub dead_peer_timeout: Option<Duration>,
    /// The page at the root. `None`: the root is a path as any other.
    pub root_page: Option<Arc<RootPage>>,
    /// The path of health checks. `None`: there is none.
    pub health_path: Option<HealthPath>,
    /// Openings that are kept for that path.
    pub health_openings_kept: usize,
    /// Openings have traces, of which this share is sampled. `None`: they have none, and what requests say of traces is passed on as it
    /// is.
    pub sampling: Option<Sampling>,
    /// What the log has of openings and sessions, where the API does not say otherwise.
    pub diagnostics: Arc<Diagnostics>,
}

/// One front's state, shared by its tasks.
#[derive(Debug)]
pub(super) struct Front<N: Network = Host> {
    pub(super) network: N,
    published: watch::Receiver<Arc<Published>>,
    draining: watch::Receiver<bool>,
    pub(super) budgets: Budgets,
    pub(super) resolver: Resolver,
    pub(super) address_turns: AddressTurns,
    relays: Arc<Relays<Handle<N>>>,
    worker: usize,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) events: RefCell<FrontEvents>,
    pub(super) head_timeout_ms: u64,
    pub(super) root_page: Option<Arc<RootPage>>,
    pub(super) health_path: Option<HealthPath>,
    pub(super) diagnostics: Arc<Diagnostics>,
    pub(super) readers: Readers,
    pub(super) kept_openings: KeptOpenings,
    pub(super) date: AnswerDate,
    pub(super) random: RandomSource,
    pub(super) sampling: Option<Sampling>,
    openings: Cell<usize>,
    /// Connections that were turned away and linger.
    lingering: Cell<usize>,
    opening_ended: Notify,
}

/// Held by an opening while it is in progress, until its sockets are closed or handed over.
#[derive(Debug)]
pub(super) struct OpeningGuard<N: Network = Host> {
    front: Rc<Front<N>>,
    reader: Rc<Reader>,
    /// From the judged head on, instead of the reader's place.
    waiting: Option<Waiting>,
    _of_source: Option<SourcePlace>,
}

/// The places of an opening that waits for its backend.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The places of the session to be: they have the descriptors of both sockets.
    permit: Permit,
    _pending: PendingPlaces,
}

impl Waiting {
    /// The places for opening a session with `permit`.
    pub(super) fn new(permit: Permit, pending: PendingPlaces) -> Self {
        Self { permit, _pending: pending }
    }
}

impl<N: Network> OpeningGuard<N> {
    /// The opening, as long as its request is awaited.
    pub(super) fn reader(&self) -> &Rc<Reader> {
        &self.reader
    }

    /// The head is judged: from here on the opening waits for its backend, and another one may read a head.
    pub(super) fn wait_for_backend(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
        self.reader.give_back();
    }

    /// The session will hold these slots.
    pub(super) fn hold(&mut self, slots: Vec<Slot>) {
        if let Some(waiting) = &mut self.waiting {
            waiting.permit.hold(slots);
        }
    }

    /// Whether there is a permit for the session.
    pub(super) fn has_permit(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the permit of the session to be, if the opening has got so far.
    pub(super) fn take_permit(&mut self) -> Option<Permit> {
        self.waiting.take().map(|waiting| waiting.permit)
    }
}

impl<N: Network> Drop for OpeningGuard<N> {
    fn drop(&mut self) {
        let front = &self.front;
        front.readers.end(&self.reader);
        front.openings.set(front.openings.get() - 1);
        front.counters.openings.store(front.openings.get() as u64, Ordering::Relaxed);
        front.opening_ended.notify_waiters();
    }
}

/// Held by a connection that was turned away and lingers.
#[derive(Debug)]
pub(super) struct LingeringGuard<N: Network = Host>(Rc<Front<N>>);

impl<N: Network> Drop for LingeringGuard<N> {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
        self.0.opening_ended.notify_waiters();
    }
}

impl<N: Network> Front<N> {
    /// The front of these parts, and its listeners, which nobody accepts from yet.
    pub(super) fn new(
        network: N,
        parts: FrontParts<Handle<N>>,
        random: RandomSource,
    ) -> (Rc<Self>, Vec<Socket>) {
        let FrontParts {
            listeners,
            published,
            draining,
            budgets,
            resolver,
            relays,
            worker,
            counters,
            events,
            head_timeout_ms,
            dead_peer_timeout: _,
            root_page,
            health_path,
            health_openings_kept,
            sampling,
            diagnostics,
        } = parts;
        let front = Rc::new(Self {
            network,
            published,
            draining,
            budgets,
            resolver,
            address_turns: AddressTurns::default(),
            relays,
            worker,
            counters,
            events: RefCell::new(events),
            head_timeout_ms,
            root_page,
            health_path,
            diagnostics,
            readers: Readers::default(),
            kept_openings: KeptOpenings::new(health_openings_kept),
            date: AnswerDate::default(),
            random,
            sampling,
            openings: Cell::new(0),
            lingering: Cell::new(0),
            opening_ended: Notify::new(),
        });
        (front, listeners)
    }

    /// The catalogue that an opening begins and ends with.
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Completes when the drain begins; at once if it has.
    pub(super) async fn drain_begun(&self) {
        let mut draining = self.draining.clone();
        // The sender lives until the instance is gone, and with it this front.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    }

    /// Takes what an opening from `peer` needs to read its head. Where all is taken, one that still waits for its own gives way.
    pub(super) fn take_opening(&self, peer: IpAddr) -> Result<OpeningPlaces, Shed> {
        self.budgets.take_opening(peer, || {
            let place = self.readers.make_room()?;
            add(&self.counters.openings_given_way, 1);
            Some(place)
        })
    }

    pub(super) fn begin_opening(self: &Rc<Self>, places: OpeningPlaces) -> OpeningGuard<N> {
        self.openings.set(self.openings.get() + 1);
        self.counters.openings.store(self.openings.get() as u64, Ordering::Relaxed);
        let OpeningPlaces { reading, of_source } = places;
        OpeningGuard {
            front: Rc::clone(self),
            reader: self.readers.begin(reading),
            waiting: None,
            _of_source: of_source,
        }
    }

    /// Lets one more connection linger that was turned away, if not too many do.
    pub(super) fn begin_lingering(self: &Rc<Self>) -> Option<LingeringGuard<N>> {
        let lingering = self.lingering.get();
        (lingering < TURNED_AWAY_LINGERING_MAX).then(|| {
            self.lingering.set(lingering + 1);
            LingeringGuard(Rc::clone(self))
        })
    }

    /// Counts an opening that opened no session: by worker, and under what it would have been a session of, as far as it was known.
    pub(super) fn count_termination(&self, cause: Cause, phase: Phase, labels: Option<&SessionLabels>) {
        self.counters.count_termination(cause, phase);
        let cells = labels.into_iter().flat_map(SessionLabels::iter);
        for cells in cells.filter_map(|label| label.cells(Writer::front(self.worker))) {
            cells.count_termination(cause);
        }
    }

    /// Gives an opened session to a relay.
    pub(super) fn hand_over(&self, session: NewSession<Handle<N>>) {
        if self.relays.hand_over(self.worker, Box::new(session)) != self.worker {
            add(&self.counters.sessions_given_away, 1);
        }
    }

    /// A kept opening is over.
    pub(super) fn kept_opening_ended(&self) {
        self.opening_ended.notify_waiters();
    }

    async fn openings_over(&self) {
        while self.openings.get() > 0 || self.lingering.get() > 0 || self.kept_openings.taken() > 0 {
            self.opening_ended.notified().await;
        }
    }
}

/// Locked memory, in bytes, that the ring of a front takes where the kernel counts it.
pub const fn front_ring_bytes() -> u64 {
    ring_bytes(FRONT_SUBMISSION_ENTRIES, 2 * FRONT_SUBMISSION_ENTRIES)
}

/// Says again and again that the thread of the front is at work, however little there is to do.
async fn keep_beating(counters: Arc<WorkerCounters>) {
    let mut beats = tokio::time::interval(Duration::from_millis(HEARTBEAT_MS / 2));
    loop {
        beats.tick().await;
        counters.heartbeats.beat(WorkerThread::Front, uptime_ms());
    }
}

/// Runs a front on the calling thread until the drain is begun and its last opening is over.
///
/// # Errors
/// The runtime cannot be set up, or the kernel has no random bytes.
pub fn run_front(parts: FrontParts) -> std::io::Result<()> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_coop_taskrun().setup_single_issuer().setup_submit_all();
    let mut builder = tokio_uring::builder();
    builder.entries(FRONT_SUBMISSION_ENTRIES).uring_builder(&ring);
    let runtime = when_memory_is_freed(|| tokio_uring::Runtime::new(&builder))?;
    let random = RandomSource::new()?;
    let network = Host { dead_peer_timeout: parts.dead_peer_timeout };
    runtime.block_on(async {
        let (front, listeners) = Front::new(network, parts, random);
        tokio_uring::spawn(keep_beating(Arc::clone(&front.counters)));
        let accepting: Vec<_> = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| {
                tokio_uring::spawn(accept_until_drain(Rc::clone(&front), listener, index))
            })
            .collect();
        for task in accepting {
            // A task ends early only by a panic, which the panic hook has told.
            let _ = task.await;
        }
        front.openings_over().await;
        // With the front its hold on the relays is dropped: from here on it has nothing to give them.
    });
    Ok(())
}
