//! Faults of ringgate's own in a running instance: what ends one session, and what ends the process.

use super::*;
use crate::admission::places::Holder;
use crate::catalog::{CatalogFiles, Name};
use crate::compiled::compile;
use crate::control::files::looker::Start;
use crate::control::files::store;
use crate::limits::PROGRESS_INTERVAL_MS;
use crate::observe::record::record_of_api;
use crate::process::cores::usable_cores;
use crate::process::fatal::child;
use crate::relay::{FaultyRecords, NewSession};
use crate::session::{Cause, Phase, SessionLimits};
use bytes::Bytes;
use rustls::pki_types::UnixTime;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tokio::sync::mpsc;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start() -> Instance {
    let built_in = store::built_in(SocketAddr::from(([127, 0, 0, 1], 9)));
    let Start { mut config, served, .. } = Start::built_in(built_in, UnixTime::now()).unwrap();
    config.workers = Some(1);
    config.status = None;
    config.limits.connections_max = Some(10);
    for listener in &mut config.listeners {
        listener.address = SocketAddr::from(([127, 0, 0, 1], 0));
    }
    let cores = CorePlan::of(&usable_cores().unwrap(), Some(1));
    let listeners = BoundListeners::bind(&config, 1).await.unwrap();
    let (snapshot, tls) = (Arc::clone(&served.snapshot), served.setup());
    let sinks = Sinks::default();
    let parts = InstanceParts {
        cores,
        listeners,
        snapshot,
        tls,
        other_open_files: 0,
        root_page: None,
        sinks,
        progress_interval_ms: PROGRESS_INTERVAL_MS,
    };
    Instance::start(&config, parts, &Handle::current()).unwrap()
}

/// The API that sessions are of.
fn api() -> Arc<Places> {
    let name = Name::parse("orders").unwrap();
    Places::of(Holder { kind: HolderKind::Api, name }, Places::NO_LIMIT)
}

/// Hands a session to the relay, whose client speaks through `records`; gives its client and its backend.
fn open(instance: &Instance, records: Option<FaultyRecords>) -> [TcpStream; 2] {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [(client, client_inside), (backend, backend_inside)] = [0, 1].map(|_| {
        let outside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        outside.set_read_timeout(Some(PATIENCE)).unwrap();
        let (inside, _) = listener.accept().unwrap();
        (outside, OwnedFd::from(inside))
    });
    instance.mailboxes[0].push(Message::Open(Box::new(NewSession {
        sockets: [client_inside, backend_inside],
        early: [Bytes::new(), Bytes::new()],
        records: [records.map(Into::into), None],
        sealed: [Vec::new(), Vec::new()],
        limits: SessionLimits {
            frames: None,
            idle_timeout_ms: 60_000,
            longest_life_ms: None,
            linger_ms: 1_000,
        },
        mask: [0; 4],
        reports_progress: false,
        permit: instance.places().take().unwrap().with_place(api().take_place().unwrap()),
        record: record_of_api("orders"),
    })));
    [client, backend]
}

fn echo_through([client, backend]: &mut [TcpStream; 2]) {
    let mut heard = [0; 4];
    client.write_all(b"ping").unwrap();
    backend.read_exact(&mut heard).unwrap();
    backend.write_all(&heard).unwrap();
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard, *b"ping");
}

/// Takes the lines of a log.
#[derive(Clone)]
struct Lines(mpsc::UnboundedSender<String>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_session_with_a_bug_is_logged_with_its_state_and_ends_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (lines, mut logged) = mpsc::unbounded_channel();
    let lines = Lines(lines);
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
    let _log = tracing::subscriber::set_default(log);
    runtime.block_on(async {
        let mut instance = start().await;
        let mut neighbour = open(&instance, None);
        let mut victim = open(&instance, Some(FaultyRecords::OpensMore));
        victim[0].write_all(b"anything").unwrap();
        for peer in &mut victim {
            let mut heard = Vec::new();
            // The end, or a reset where something stood unread.
            let _ = peer.read_to_end(&mut heard);
            assert_eq!(heard, b"");
        }
        echo_through(&mut neighbour);
        // This thread logs what is reported.
        let is_told = async {
            loop {
                let line = logged.recv().await.unwrap();
                if line.contains("please report this line") {
                    break line;
                }
            }
        };
        let line = tokio::time::timeout(PATIENCE, is_told).await.expect("it is logged");
        for told in [
            "ERROR",
            "api=\"orders\"",
            "id=42424242-4242-4242-8242-424242424242",
            "records of downstream were opened up to byte 9, of 8 that were received",
            "intake: Relayed",
            "outlet: Open",
            "in_flight: 1",
            "receiving: Armed",
        ] {
            assert!(line.contains(told), "{told}: {line}");
        }
        assert_eq!(instance.counters().terminations(Cause::Bug, Phase::Relay), 1);
        assert_eq!(instance.counters().sum(|worker| &worker.broken_invariants), 1);
        assert_eq!(instance.places().taken(), 1, "the neighbour's");
        drop(neighbour);
        instance.drain();
        instance.ended().await.unwrap();
        assert_eq!(instance.places().taken(), 0);
    });
}

#[test]
#[ignore = "ends its process: a_panic_of_a_relay_ends_the_process_at_once runs it in one of its own"]
fn child_has_a_relay_that_panics() {
    child::begin();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let instance = start().await;
        let _neighbour = open(&instance, None);
        let mut session = open(&instance, Some(FaultyRecords::Panics));
        session[0].write_all(b"anything").unwrap();
        // Nobody joins its thread, or asks for its end.
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_panic_of_a_relay_ends_the_process_at_once() {
    let ended = child::run("control::instance::tests::child_has_a_relay_that_panics");
    let told = child::stderr(&ended);
    assert!(child::is_aborted(&ended), "{:?}: {told}", ended.status);
    assert!(
        told.contains("thread relay-0 panicked at ") && told.contains("an invariant of everybody's"),
        "{told}"
    );
}

/// How long the calling thread has run.
#[expect(unsafe_code, reason = "the standard library tells the time of day only")]
fn time_on_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes to `time`, which outlives the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_publish_of_many_subscriptions_leaves_the_control_thread_to_others() {
    const SUBSCRIPTIONS: usize = 10_000;
    let mut files = CatalogFiles::default();
    files.insert("apis/t.toml", "display_name = \"T\"\nurl = \"ws://127.0.0.1:9\"\nsuffix = \"t\"\n");
    for number in 0..SUBSCRIPTIONS {
        let text = format!("display_name = \"S {number}\"\nscope = \"/apis/t\"\n");
        files.insert(&format!("subscriptions/s{number}.toml"), text);
    }
    let snapshot = Arc::new(compile(&files, None).unwrap());
    let begun = time_on_this_thread();
    let _places = Registry::new(10).publish(&snapshot, publication::now());
    let alone = time_on_this_thread() - begun;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut instance = start().await;
        let begun = time_on_this_thread();
        let mut preparation = instance.prepare(snapshot, TlsSetup::default());
        assert_eq!(instance.snapshot().served().len(), 1, "what was served stays meanwhile");
        let prepared = preparation.done().await;
        instance.commit(prepared);
        let took = time_on_this_thread() - begun;
        assert!(took * 5 < alone, "{took:?} of the control thread, and {alone:?} to find the places");
        assert_eq!(instance.snapshot().entities().subscriptions.len(), SUBSCRIPTIONS);
        instance.drain();
        instance.ended().await.unwrap();
    });
}

#[test]
fn a_drain_takes_as_long_as_its_sessions_need_and_no_longer_than_leaves_time_for_their_answers() {
    for (sessions, drain_s, spread_ms) in [
        (0, 30, 0),
        (3, 30, 6),
        (500, 30, 1_000),
        (12_499, 30, 24_998),
        (12_500, 30, 25_000),
        (1_000_000, 30, 25_000),
        (1_000_000, 4, 2_000),
        (3, 0, 0),
        (3, 3600, 6),
        (u64::from(u32::MAX), 3600, 3_595_000),
    ] {
        assert_eq!(
            drain_spread_ms(sessions, drain_s * 1000),
            spread_ms,
            "{sessions} sessions in {drain_s} s"
        );
    }
}
