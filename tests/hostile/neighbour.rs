//! The scene of an attack: an instance with one worker, a backend in the hands of the test, and a neighbour.
//!
//! The neighbour is a session of another API on the same worker that exchanges messages from before the first case to
//! behind the last one. Each must come back byte by byte, in order and soon.

use crate::support::backend::{Backend, Pair, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::session::{Cause, Phase};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that the neighbour may wait for a message to come back: far more than a noisy machine takes, and less than any
/// deadline that a stalled worker would be waiting for.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// Between two messages of the neighbour.
const PACE: Duration = Duration::from_millis(1);

/// An instance under attack, whose API at `/t` leads to `backend`.
pub(crate) struct Scene {
    pub(crate) gateway: TestInstance,
    pub(crate) backend: Backend,
    neighbour: Neighbour,
}

/// Runs attacks on an instance with these `[limits]` and these lines in the file of its API, then ends it.
pub(crate) fn attacked(limits: &str, api_lines: &str, attacks: impl FnOnce(&Scene)) {
    attacked_by(Backend::new(), limits, api_lines, attacks);
}

/// The same with a backend of the test's own making.
pub(crate) fn attacked_by(backend: Backend, limits: &str, api_lines: &str, attacks: impl FnOnce(&Scene)) {
    let scene = Scene::start(backend, limits, api_lines);
    scene.case("all of it", || attacks(&scene));
    scene.end();
}

impl Scene {
    fn start(backend: Backend, limits: &str, api_lines: &str) -> Self {
        let apis = [
            ("t", &*api_file("t", backend.address, api_lines)),
            ("neighbour", &*api_file("neighbour", tungstenite_echo(), "")),
        ];
        let gateway = TestInstance::start_with(&format!("workers = 1\n[limits]\n{limits}"), &apis);
        let neighbour = Neighbour::move_in(gateway.address);
        gateway.wait_for_openings(0);
        Self { gateway, backend, neighbour }
    }

    /// Runs one case, and checks that the neighbour's messages came and went meanwhile.
    pub(crate) fn case<T>(&self, name: &str, attack: impl FnOnce() -> T) -> T {
        println!("{name}");
        let result = attack();
        self.neighbour.check(name);
        result
    }

    /// Opens a session that keeps to every rule, and sees that the backend's next connection is that one: whatever was
    /// sent before has not reached it.
    pub(crate) fn nothing_else_reached_the_backend(&self) {
        let mut client = Raw::connect(self.gateway.address);
        client.send(request("/t/honest", "").as_bytes());
        let (mut backend, head) = self.backend.take_request();
        assert!(head.starts_with("GET /honest HTTP/1.1\r\n"), "the backend got something else: {head}");
        backend.send(crate::support::backend::switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        self.close(Pair { client, backend });
    }

    /// Exchanges a message over a session, ends it by a Close handshake, and waits until that is counted.
    pub(crate) fn close(&self, mut pair: Pair) {
        let closed = self.gateway.terminations(Cause::Closed, Phase::Relay);
        pair.exchange();
        let close = client_frame(0x88, &close_payload(1000, ""));
        pair.client.send(&close);
        pair.backend.expect(&close);
        let answer = server_frame(0x88, &close_payload(1000, ""));
        pair.backend.send(&answer);
        assert_eq!(pair.client.read_to_end(), (answer, StreamEnd::Fin));
        drop(pair);
        self.gateway.wait_for_terminations(Cause::Closed, Phase::Relay, closed + 1);
    }

    fn end(self) {
        self.neighbour.move_out();
        self.gateway.wait_for_rest();
        self.gateway.end();
    }
}

/// A session that minds its own business on a thread of its own.
struct Neighbour {
    log: Arc<Log>,
    leave: Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    exchanged: AtomicU64,
    /// The longest round trip since it was last asked for.
    longest_us: AtomicU64,
}

impl Neighbour {
    fn move_in(gateway: SocketAddr) -> Self {
        let mut client = Raw::open(gateway, "/neighbour");
        let log = Arc::new(Log::default());
        let (leave, left) = channel();
        let thread = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                while left.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                    log.exchange(&mut client);
                }
                client.send(&client_frame(0x88, &close_payload(1000, "")));
                let end = client.read_to_end();
                assert_eq!(end, (server_frame(0x88, &close_payload(1000, "")), StreamEnd::Fin));
            }
        });
        let neighbour = Self { log, leave, thread };
        neighbour.check("a quiet street");
        neighbour
    }

    fn exchanged(&self) -> u64 {
        self.log.exchanged.load(Ordering::SeqCst)
    }

    /// Waits for a message that was sent behind all of the case, and checks that none took long since the last check.
    fn check(&self, case: &str) {
        // The next one may have been sent before.
        let wanted = self.exchanged() + 2;
        wait_until(&format!("{case}: the neighbour's messages"), || {
            assert!(!self.thread.is_finished(), "{case}: the neighbour's session is over");
            self.exchanged() >= wanted
        });
        let longest = Duration::from_micros(self.log.longest_us.swap(0, Ordering::SeqCst));
        assert!(longest < ROUND_TRIP_MAX, "{case}: a message of the neighbour took {longest:?}");
    }

    fn move_out(self) {
        drop(self.leave);
        self.thread.join().expect("a neighbour that lost nothing");
    }
}

impl Log {
    fn exchange(&self, client: &mut Raw) {
        let number = self.exchanged.load(Ordering::SeqCst);
        let mut message = number.to_be_bytes().to_vec();
        message.extend((0..number * 37 % 3000).map(|n| (n % 251) as u8));
        let begun = Instant::now();
        client.send(&client_frame(0x82, &message));
        client.expect(&server_frame(0x82, &message));
        self.longest_us.fetch_max(begun.elapsed().as_micros() as u64, Ordering::SeqCst);
        self.exchanged.store(number + 1, Ordering::SeqCst);
    }
}
