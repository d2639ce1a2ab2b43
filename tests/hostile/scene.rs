//! Where attacks happen, and who must not notice.

use crate::support::backend::{Backend, tungstenite_echo};
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::Raw;
use crate::support::{PATIENCE, TestInstance, api_file, wait_until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest round trip that a neighbour may see: what a stalled worker exceeds, and a busy machine does not.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(3);

/// Round trips that a neighbour makes after an attack before it counts as unharmed.
const ROUND_TRIPS_AFTER: u64 = 20;

/// An instance under attack at `/t`, and a neighbour at `/n`.
pub(crate) struct Scene {
    pub(crate) gateway: Option<TestInstance>,
    /// Where sessions of `/t` go.
    pub(crate) backend: Backend,
    neighbour: Option<Neighbour>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// With further lines of the instance's limits and of the attacked API.
    pub(crate) fn with(instance_lines: &str, api_lines: &str) -> Self {
        let backend = Backend::new();
        let attacked = api_file("t", backend.address, api_lines);
        let other = api_file("n", tungstenite_echo(), "");
        let instance = format!("workers = 1\ndrain_s = 0\n{instance_lines}");
        let gateway = TestInstance::start_with(&instance, &[("t", &attacked), ("n", &other)]);
        let neighbour = Neighbour::start(gateway.address);
        Self { gateway: Some(gateway), backend, neighbour: Some(neighbour) }
    }

    pub(crate) fn gateway(&self) -> &TestInstance {
        self.gateway.as_ref().expect("a scene that goes on")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway().address
    }

    /// The attack is over: the neighbour felt nothing, and all is given back.
    pub(crate) fn end(mut self) {
        self.neighbour.take().expect("a scene that goes on").leave_unharmed();
        let gateway = self.gateway.take().expect("a scene that goes on");
        gateway.wait_for_rest();
        gateway.end();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        assert!(self.neighbour.is_none() || std::thread::panicking(), "a scene that was not ended");
    }
}

/// A session that echoes, one message after the other.
struct Neighbour {
    round_trips: Arc<AtomicU64>,
    is_to_leave: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Neighbour {
    fn start(address: SocketAddr) -> Self {
        let round_trips = Arc::new(AtomicU64::new(0));
        let is_to_leave = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (round_trips, is_to_leave) = (Arc::clone(&round_trips), Arc::clone(&is_to_leave));
            let mut client = Raw::open(address, "/n");
            move || {
                let mut longest = Duration::ZERO;
                while !is_to_leave.load(Ordering::Relaxed) {
                    let number = round_trips.load(Ordering::Relaxed);
                    let message = vec![number as u8; 1 + number as usize % 300];
                    let sent_at = Instant::now();
                    client.send(&client_frame(0x82, &message));
                    client.expect(&server_frame(0x82, &message));
                    longest = longest.max(sent_at.elapsed());
                    round_trips.fetch_add(1, Ordering::Relaxed);
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                longest
            }
        });
        let neighbour = Self { round_trips, is_to_leave, thread };
        neighbour.wait_for(1);
        neighbour
    }

    fn wait_for(&self, more: u64) {
        let wanted = self.round_trips.load(Ordering::Relaxed) + more;
        wait_until("a neighbour that echoes", || {
            self.round_trips.load(Ordering::Relaxed) >= wanted || self.thread.is_finished()
        });
        assert!(!self.thread.is_finished(), "the neighbour's session ended, or lost a byte");
    }

    fn leave_unharmed(self) {
        self.wait_for(ROUND_TRIPS_AFTER);
        self.is_to_leave.store(true, Ordering::Relaxed);
        let longest = self.thread.join().expect("a neighbour whose every byte came back");
        assert!(longest < ROUND_TRIP_MAX, "the neighbour waited {longest:?} for one message");
        const { assert!(ROUND_TRIP_MAX.as_secs() < PATIENCE.as_secs()) };
    }
}

/// The status of an answer, read to its end; 0 if nothing came.
pub(crate) fn status_of(client: &mut Raw) -> u16 {
    let (bytes, _) = client.read_to_end();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "more than one answer: {text}");
    text.get(9..12).map_or(0, |status| status.parse().expect("a status"))
}
