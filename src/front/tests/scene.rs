//! One opening in a test: its participants, its outcome, and the checks that hold for every opening.

use super::scripted::{Connection, Event, Script, Scripted, ScriptedNetwork, Takes};
use crate::admission::registry::Registry;
use crate::backend::names::Resolver;
use crate::catalog::CatalogFiles;
use crate::catalog::timestamp::Timestamp;
use crate::compiled::compile;
use crate::config::{HealthPath, NamesConfig};
use crate::front::opening::{Accepted, open};
use crate::front::random_source::RandomSource;
use crate::front::{Front, FrontParts, Published};
use crate::observe::event_ring::FrontEvents;
use crate::observe::{LabelRegistry, WorkerCounters};
use crate::relay::{Mailbox, Message, NewSession, Relays};
use crate::session::{Cause, Phase};
use crate::shared_counts::budgets::Budgets;
use crate::tls::setup::TlsSetup;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Deadlines of the scenes, in milliseconds.
pub(super) const HEAD_MS: u64 = 5_000;
pub(super) const DIAL_MS: u64 = 2_000;
pub(super) const ANSWER_MS: u64 = 3_000;

/// RFC 6455 §1.3's key and its accept value.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A correct opening handshake.
pub(super) fn request() -> Vec<u8> {
    format!(
        "GET /t HTTP/1.1\r\nHost: gateway.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// A correct answer to it.
pub(super) fn switching() -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes()
}

/// Policies in every section, which hold a slot and change nothing that anybody sees.
const LETS_EVERYBODY_IN: &str = "<policies><inbound><base/>\
    <limit-concurrency key=\"all\" max-count=\"1\"><set-variable name=\"a\" value=\"1\"/></limit-concurrency></inbound>\
    <outbound><base/><set-header name=\"X-None\" exists-action=\"delete\"/></outbound>\
    <on-error><base/><set-variable name=\"why\" value=\"@(context.LastError.Reason)\"/></on-error></policies>";

/// Who takes part in an opening.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) client: Script,
    /// The script of each dial, in order. More dials than scripts fail the test.
    pub(super) backends: Vec<Script>,
    /// When the drain begins, in milliseconds.
    pub(super) drains_at: Option<u64>,
}

/// A front with one API at `/t`, and what it shares with others.
pub(super) struct Stage {
    pub(super) front: Rc<Front<ScriptedNetwork>>,
    budgets: Budgets,
    counters: Arc<WorkerCounters>,
    mailbox: Arc<Mailbox<Rc<Connection>>>,
    drain: watch::Sender<bool>,
    _published: watch::Sender<Arc<Published>>,
}

impl Stage {
    /// With a policy document for the API, if there is one. It has room for one opening.
    pub(super) fn new(document: &str, network: ScriptedNetwork) -> Self {
        let text = format!(
            "display_name = \"T\"\nurl = \"ws://192.0.2.1:80\"\nsuffix = \"t\"\nsubscription_required = false\n\
             dial_timeout_ms = {DIAL_MS}\nanswer_timeout_ms = {ANSWER_MS}\n"
        );
        let mut files = CatalogFiles::default();
        files.insert("apis/t.toml", text);
        if !document.is_empty() {
            files.insert("policies/apis/t.xml", document);
        }
        let snapshot = Arc::new(compile(&files, None).unwrap());
        let budgets = Budgets::of(1, 1);
        let places = Registry::new(budgets.pending().limit()).publish(&snapshot, Timestamp::from_unix(0));
        let labels = LabelRegistry::new(1).publish(&snapshot);
        let (_published, published) = watch::channel(Arc::new(Published {
            snapshot,
            places: Arc::new(places),
            labels,
            tls: TlsSetup::default(),
        }));
        let (drain, draining) = watch::channel(false);
        let mailbox = Mailbox::new().unwrap();
        let counters = Arc::<WorkerCounters>::default();
        let parts = FrontParts {
            listeners: Vec::new(),
            published,
            draining,
            budgets: budgets.clone(),
            resolver: Resolver::start_with(&Handle::current(), &NamesConfig::default(), |_| async {
                Ok(Vec::new())
            }),
            relays: Relays::new(vec![Arc::clone(&mailbox)]),
            worker: 0,
            events: FrontEvents::off(),
            counters: Arc::clone(&counters),
            head_timeout_ms: HEAD_MS,
            dead_peer_timeout: None,
            root_page: None,
            health_path: Some(HealthPath::default()),
            health_openings_kept: 64,
            sampling: None,
            diagnostics: Arc::default(),
        };
        let (front, _) = Front::new(network, parts, RandomSource::new().unwrap());
        Self { front, budgets, counters, mailbox, drain, _published }
    }
}

/// The outcome of an opening.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Why there is no session; nothing if there is one.
    pub(super) termination: Option<(Cause, Phase)>,
    /// The bytes behind the heads of client and backend, as the relay gets them.
    pub(super) early: [Vec<u8>; 2],
    pub(super) client: Rc<Connection>,
    pub(super) backends: Vec<Rc<Connection>>,
    pub(super) took_ms: u64,
}

impl Scene {
    /// A client that sends a correct request at once, and a backend that answers it after as many milliseconds.
    pub(super) fn usual(connect_ms: u64, answer_ms: u64) -> Self {
        Self {
            client: Script::of(vec![(0, Event::Bytes(request()))]),
            backends: vec![Script {
                takes: Takes::After(connect_ms),
                ..Script::of(vec![(answer_ms, Event::Bytes(switching()))])
            }],
            drains_at: None,
        }
    }

    /// Opens a session, or not; checks what holds for every opening. Policies that let everybody in change nothing about it.
    pub(super) fn play(&self) -> Outcome {
        let outcome = self.play_with("");
        let guarded = self.play_with(LETS_EVERYBODY_IN);
        let seen = |outcome: &Outcome| {
            (
                outcome.termination,
                // When to come again is chosen anew each time, and a second may have passed.
                outcome
                    .told()
                    .lines()
                    .filter(|line| !line.starts_with("Retry-After: ") && !line.starts_with("Date: "))
                    .collect::<String>(),
                outcome.early.clone(),
                outcome.took_ms,
                outcome.backends.len(),
            )
        };
        assert_eq!(seen(&outcome), seen(&guarded), "policies that change nothing: {self:#?}");
        outcome
    }

    /// Plays it with a policy document for the API, if there is one.
    fn play_with(&self, document: &str) -> Outcome {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let run = async { timeout(Duration::from_secs(3_600), self.run(document)).await };
        let outcome = runtime.block_on(run);
        let outcome = outcome.unwrap_or_else(|_| panic!("the opening never ends: {self:#?}"));
        outcome.check(self);
        outcome
    }

    async fn run(&self, document: &str) -> Outcome {
        let begun = Instant::now();
        let network = ScriptedNetwork::new(self.backends.clone());
        let dialled = Rc::clone(&network.dialled);
        let Stage { front, budgets, counters, mailbox, drain, _published } = Stage::new(document, network);
        let peer = SocketAddr::from(([192, 0, 2, 9], 40_000));
        let (socket, client) = Scripted::accepted(self.client.clone());
        let guard = front.begin_opening(front.take_opening(peer.ip()).unwrap());
        let begin_drain = async {
            if let Some(drains_at) = self.drains_at {
                sleep(Duration::from_millis(drains_at)).await;
                drain.send_replace(true);
            }
        };
        let opening = async {
            let accepted =
                Accepted { id: front.random.correlation_id(), peer, listener: 0, at: begun, at_ns: 0 };
            open(Rc::clone(&front), socket, accepted, guard).await;
            Instant::now().duration_since(begun).as_millis() as u64
        };
        let (took_ms, ()) = tokio::join!(opening, begin_drain);
        assert_eq!(budgets.openings_taken(), 0, "an opening that is over keeps its place: {self:#?}");
        let termination = only_termination(&counters);
        let session: Option<Box<NewSession<Rc<Connection>>>> = match mailbox.take() {
            Some(Message::Open(session)) => Some(session),
            _ => None,
        };
        assert_ne!(session.is_some(), termination.is_some(), "one end, and one only: {self:#?}");
        assert_eq!(budgets.sessions().taken(), u32::from(session.is_some()), "places: {self:#?}");
        let slots = usize::from(session.is_some() && !document.is_empty());
        assert_eq!(budgets.slots().keys(), slots, "slots: {self:#?}");
        let early = session.as_ref().map(|session| session.early.clone().map(|bytes| bytes.to_vec()));
        drop(session);
        let held = (budgets.sessions().taken(), budgets.slots().keys());
        assert_eq!(held, (0, 0), "the permit of a session gives back what it holds");
        let backends = dialled.borrow().clone();
        Outcome { termination, early: early.unwrap_or_default(), client, backends, took_ms }
    }
}

fn only_termination(counters: &WorkerCounters) -> Option<(Cause, Phase)> {
    let every = Cause::ALL.iter().flat_map(|cause| Phase::ALL.iter().map(|phase| (*cause, *phase)));
    let mut counted = every.filter(|(cause, phase)| counters.terminations_of(*cause, *phase) > 0);
    let first = counted.next();
    if let Some((cause, phase)) = first {
        assert_eq!(counters.terminations_of(cause, phase), 1, "{cause:?} {phase:?} is counted once");
    }
    assert_eq!(counted.next(), None, "only one outcome is counted, beside {first:?}");
    first
}

impl Outcome {
    /// Returns the answer that the client got.
    pub(super) fn told(&self) -> String {
        String::from_utf8_lossy(&self.client.sent.borrow()).into_owned()
    }

    /// The status of what it was told; 0 if that was nothing.
    pub(super) fn status(&self) -> u16 {
        self.told().get(9..12).map_or(0, |status| status.parse().unwrap())
    }

    fn check(&self, scene: &Scene) {
        let is_open = self.termination.is_none();
        for connection in self.backends.iter().chain([&self.client]) {
            assert!(connection.is_closed.get(), "a connection stays open: {scene:#?}");
            assert!(!connection.is_abandoned.get(), "an operation is dropped in flight: {scene:#?}");
        }
        let handed_over = self.backends.iter().filter(|backend| backend.is_handed_over.get()).count();
        assert_eq!(
            (self.client.is_handed_over.get(), handed_over),
            (is_open, usize::from(is_open)),
            "{scene:#?}"
        );
        let told = self.told();
        assert_eq!(told.matches("HTTP/1.1 ").count(), usize::from(!told.is_empty()), "one answer: {told}");
        let is_at_its_101 = self.termination == Some((Cause::ClientGone, Phase::Answer));
        match self.status() {
            // Only a client that turns out to have left gets one without a session.
            101 => assert!(is_open || is_at_its_101, "a 101 without a session: {scene:#?}"),
            _ => assert!(!is_open, "a session without a 101: {scene:#?}"),
        }
        if is_open {
            self.check_bytes(scene);
        }
    }

    /// Not a byte is lost or made up between what came and what the relay gets.
    fn check_bytes(&self, scene: &Scene) {
        let backend = self.backends.last().expect("a session has a backend");
        for (connection, early) in [&self.client, backend].into_iter().zip(&self.early) {
            let came = connection.scripted_bytes();
            let received = &came[..connection.received.get()];
            assert!(received.ends_with(early), "{scene:#?}");
            let head = &received[..received.len() - early.len()];
            assert!(head.ends_with(b"\r\n\r\n"), "a head is whole: {scene:#?}");
        }
    }
}
