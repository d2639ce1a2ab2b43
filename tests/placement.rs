//! Which relay a session goes to when all connections come to one front, and that none is lost at the drain.
//!
//! The workers are put together by hand, each front with a port of its own: so the test, not a hash, says which front
//! gets a connection.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use ringgate::admission::registry::Registry;
use ringgate::backend::names::Resolver;
use ringgate::catalog::CatalogFiles;
use ringgate::catalog::timestamp::Timestamp;
use ringgate::compiled::compile;
use ringgate::config::NamesConfig;
use ringgate::front::listener::bind_group;
use ringgate::front::{FrontParts, Published, run_front};
use ringgate::observe::event_ring::FrontEvents;
use ringgate::observe::{Counters, LabelRegistry};
use ringgate::process::open_files::raise_open_files;
use ringgate::relay::{Mailbox, Message, Relay, RelayLimits, Relays};
use ringgate::ring::KernelRing;
use ringgate::shared_counts::budgets::Budgets;
use ringgate::tls::setup::TlsSetup;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use support::backend::{Backend, Pair, switching};
use support::frames::{client_frame, close_payload, server_frame};
use support::raw::{Raw, request};
use support::{api_file, wait_until};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Two workers, each front listening on a port of its own.
struct Workers {
    addresses: Vec<SocketAddr>,
    fronts: Vec<JoinHandle<()>>,
    relays: Vec<JoinHandle<()>>,
    mailboxes: Vec<Arc<Mailbox<OwnedFd>>>,
    counters: Counters,
    budgets: Budgets,
    draining: watch::Sender<bool>,
    _published: watch::Sender<Arc<Published>>,
    _control: Runtime,
}

impl Workers {
    /// Two workers with one API at `/t`, to `backend`.
    fn start(backend: &Backend) -> Self {
        raise_open_files().unwrap();
        let control =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut files = CatalogFiles::default();
        files.insert("apis/t.toml", api_file("t", backend.address, ""));
        let snapshot = compile(&files, None).unwrap();
        let places = Registry::new(1000).publish(&snapshot, Timestamp::from_unix(0));
        let labels = LabelRegistry::new(2).publish(&snapshot);
        let published = Arc::new(Published {
            snapshot: Arc::new(snapshot),
            places: Arc::new(places),
            labels,
            tls: TlsSetup::default(),
        });
        let (published, published_to_fronts) = watch::channel(published);
        let (draining, draining_of_fronts) = watch::channel(false);
        let mailboxes: Vec<_> = (0..2).map(|_| Mailbox::new().unwrap()).collect();
        let counters = Counters::new(2);
        let budgets = Budgets::of(1000, 1000);
        let resolver = Resolver::start(control.handle(), &NamesConfig::default());
        let hold = Relays::new(mailboxes.clone());

        let mut relays = Vec::new();
        for (index, mailbox) in mailboxes.iter().enumerate() {
            let mailbox = Arc::clone(mailbox);
            let counters = counters.worker(index);
            relays.push(thread::spawn(move || {
                let ring = KernelRing::with_buffers(mailbox.wake_up().unwrap(), 64).unwrap();
                Relay::new(ring, mailbox, counters, RelayLimits::default()).run().unwrap();
            }));
        }
        let (mut addresses, mut fronts) = (Vec::new(), Vec::new());
        for worker in 0..2 {
            let listeners = bind_group("127.0.0.1:0".parse().unwrap(), 1, None).unwrap();
            addresses.push(listeners[0].local_address().unwrap());
            let parts = FrontParts {
                events: FrontEvents::off(),
                listeners,
                published: published_to_fronts.clone(),
                draining: draining_of_fronts.clone(),
                budgets: budgets.clone(),
                resolver: resolver.clone(),
                relays: Arc::clone(&hold),
                worker,
                counters: counters.worker(worker),
                head_timeout_ms: 10_000,
                dead_peer_timeout: None,
                root_page: None,
                health_path: None,
                health_openings_kept: 0,
                sampling: None,
                diagnostics: Arc::default(),
            };
            fronts.push(thread::spawn(move || run_front(parts).unwrap()));
        }
        Self {
            addresses,
            fronts,
            relays,
            mailboxes,
            counters,
            budgets,
            draining,
            _published: published,
            _control: control,
        }
    }

    /// Sessions of each relay.
    fn slots(&self) -> [u64; 2] {
        [0, 1].map(|worker| self.counters.worker(worker).slots.load(Ordering::Relaxed))
    }

    /// Waits until the relays carry so many sessions together, and says how many each has.
    fn slots_when(&self, sessions: u64) -> [u64; 2] {
        wait_until(&format!("{sessions} sessions"), || self.slots().iter().sum::<u64>() == sessions);
        self.slots()
    }

    /// Begins the drain, as an instance does.
    fn drain(&self) {
        self.draining.send_replace(true);
        for mailbox in &self.mailboxes {
            mailbox.push(Message::Drain { spread_ms: 0, cut_after_ms: 20_000 });
        }
    }

    /// Begins the drain, if that was not done, and waits for the end of every thread.
    fn end(self) {
        self.draining.send_replace(true);
        for thread in self.fronts.into_iter().chain(self.relays) {
            thread.join().unwrap();
        }
        assert_eq!(self.budgets.sessions().taken(), 0);
    }
}

/// Sends a message each way.
fn exchange(client: &mut Raw, session: &mut Raw) {
    let sent = client_frame(0x82, b"to the backend");
    client.send(&sent);
    session.expect(&sent);
    let sent = server_frame(0x82, b"to the client");
    session.send(&sent);
    client.expect(&sent);
}

#[test]
fn sessions_of_one_front_are_spread_over_the_relays_past_the_slack() {
    let backend = Backend::new();
    let workers = Workers::start(&backend);
    let open = || Pair::open(workers.addresses[0], &backend);
    let mut sessions: Vec<_> = (0..200).map(|_| open()).collect();
    // Without giving any away it would be 200 and 0. The slack is 64: its own 65, and from there on by turns.
    assert_eq!(workers.slots_when(200), [132, 68]);
    let given_away =
        |worker: usize| workers.counters.worker(worker).sessions_given_away.load(Ordering::Relaxed);
    // The front counts a moment after the relay may have it.
    wait_until("the count of sessions given away", || [given_away(0), given_away(1)] == [68, 0]);
    for Pair { client, backend } in &mut sessions {
        exchange(client, backend);
    }

    // What is gone counts no more: the next sessions stay where they are opened.
    drop(sessions);
    assert_eq!(workers.slots_when(0), [0, 0]);
    let sessions: Vec<_> = (0..65).map(|_| open()).collect();
    assert_eq!(workers.slots_when(65), [65, 0]);
    drop(sessions);
    workers.end();
}

#[test]
fn a_session_that_opens_after_the_other_front_has_left_still_finds_that_ones_relay() {
    let backend = Backend::new();
    let mut workers = Workers::start(&backend);
    let mut sessions: Vec<_> = (0..65).map(|_| Pair::open(workers.addresses[0], &backend)).collect();
    assert_eq!(workers.slots_when(65), [65, 0]);
    let mut client = Raw::connect(workers.addresses[0]);
    client.send(request("/t", "").as_bytes());
    let (mut session, head) = backend.take_request();

    // The other front has no opening, so it leaves at once; its relay has no session, and has to stay.
    workers.draining.send_replace(true);
    workers.fronts.remove(1).join().unwrap();
    for Pair { client, backend } in &mut sessions {
        exchange(client, backend);
    }
    assert!(!workers.relays[1].is_finished());
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    exchange(&mut client, &mut session);
    assert_eq!(workers.slots_when(66), [65, 1]);

    drop((sessions, client, session));
    workers.end();
}

#[test]
fn a_drain_ends_sessions_on_whichever_relay_they_are_also_one_that_opens_meanwhile() {
    let backend = Backend::new();
    let workers = Workers::start(&backend);
    let mut sessions: Vec<_> = (0..71).map(|_| Pair::open(workers.addresses[0], &backend)).collect();
    assert_eq!(workers.slots_when(71), [68, 3]);
    let mut client = Raw::connect(workers.addresses[0]);
    client.send(request("/t", "").as_bytes());
    let (mut session, head) = backend.take_request();

    workers.drain();
    let close = server_frame(0x88, &close_payload(1001, "drain"));
    for Pair { client, .. } in &mut sessions {
        client.expect(&close);
    }
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.expect(&close);

    drop((sessions, client, session));
    workers.end();
}
