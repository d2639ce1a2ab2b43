//! A relay by itself: sessions are given to it without an opening, on sockets whose buffers the test chooses.

use super::raw::Raw;
use bytes::Bytes;
use ringgate::admission::places::{HolderKind, Places};
use ringgate::catalog::Name;
use ringgate::front::socket::give_up_dead_peers;
use ringgate::observe::{EntityLabel, Logged, SessionLabels, SessionRecord, WorkerCounters};
use ringgate::relay::{Mailbox, Message, NewSession, RecordLayer, Relay, RelayLimits};
use ringgate::ring::KernelRing;
use ringgate::session::{CorrelationId, SessionLimits};
use ringgate::websocket::ReservedBits;
use ringgate::websocket::scanner::FrameRules;
use socket2::SockRef;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Frames are judged and counted, of any size.
pub const STRICT: SessionLimits = SessionLimits {
    frames: Some(FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: u64::MAX,
        message_bytes_max: u64::MAX,
    }),
    idle_timeout_ms: 60_000,
    longest_life_ms: None,
    linger_ms: 1_000,
};

/// Bytes are passed on unseen.
pub const OPAQUE: SessionLimits = SessionLimits { frames: None, ..STRICT };

/// A relay on a thread of its own.
pub struct TestRelay {
    pub counters: Arc<WorkerCounters>,
    pub places: Arc<Places>,
    /// The label of its sessions.
    pub label: Arc<EntityLabel>,
    mailbox: Arc<Mailbox<OwnedFd>>,
    listener: TcpListener,
    thread: JoinHandle<()>,
    /// Its sockets give up dead peers after this time.
    dead_peer_timeout: Option<Duration>,
}

impl TestRelay {
    /// One with so many received buffers.
    pub fn start(buffers: u16, limits: RelayLimits) -> Self {
        let mailbox = Mailbox::<OwnedFd>::new().unwrap();
        let counters = Arc::new(WorkerCounters::default());
        let thread = std::thread::spawn({
            let (mailbox, counters) = (mailbox.clone(), counters.clone());
            move || {
                let ring = KernelRing::with_buffers(mailbox.wake_up().unwrap(), buffers).unwrap();
                Relay::new(ring, mailbox, counters, limits).run().unwrap();
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dead_peer_timeout = limits.dead_peer_timeout_ms.map(Duration::from_millis);
        let label = EntityLabel::new(HolderKind::Api, Name::parse("t").unwrap(), 1).into();
        Self { counters, places: Places::new(100_000), label, mailbox, listener, thread, dead_peer_timeout }
    }

    /// Opens a session; gives its client and its backend. With `room`, the client's connection holds about so many bytes.
    pub fn open(&self, limits: SessionLimits, room: Option<usize>) -> (Raw, Raw) {
        let [client, backend] = self.open_wrapped(limits, [room, None], [None, None]);
        (client, backend)
    }

    /// As [`TestRelay::open`], with as much room for either connection, and with records around their bytes.
    pub fn open_wrapped(
        &self,
        limits: SessionLimits,
        rooms: [Option<usize>; 2],
        records: [Option<Box<RecordLayer>>; 2],
    ) -> [Raw; 2] {
        let [(client, client_inside), (backend, backend_inside)] = rooms.map(|room| self.connection(room));
        self.mailbox.push(Message::Open(Box::new(NewSession {
            sockets: [client_inside, backend_inside],
            early: [Bytes::new(), Bytes::new()],
            records,
            sealed: [Vec::new(), Vec::new()],
            limits,
            mask: [0; 4],
            reports_progress: false,
            permit: self.places.take().unwrap(),
            record: self.record(),
        })));
        [client, backend]
    }

    /// Returns the record of a session.
    fn record(&self) -> SessionRecord {
        let address = self.listener.local_addr().unwrap().into();
        SessionRecord {
            id: CorrelationId::from_random([1; 16]),
            labels: SessionLabels::of_api(Arc::clone(&self.label)),
            api_revision: 1.into(),
            client: address,
            peer: address,
            backend: address,
            opened_at_ms: 0,
            logged: Logged::Whole,
        }
    }

    fn connection(&self, room: Option<usize>) -> (Raw, OwnedFd) {
        let address = self.listener.local_addr().unwrap();
        let outside = match room {
            Some(bytes) => Raw::connect_with_room(address, bytes),
            None => Raw::new(TcpStream::connect(address).unwrap()),
        };
        let (inside, _) = self.listener.accept().unwrap();
        inside.set_nodelay(true).unwrap();
        if let Some(timeout) = self.dead_peer_timeout {
            give_up_dead_peers(SockRef::from(&inside), timeout).unwrap();
        }
        if let Some(bytes) = room {
            SockRef::from(&inside).set_send_buffer_size(bytes).unwrap();
        }
        (outside, inside.into())
    }

    /// The value of a counter.
    pub fn count(&self, counter: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
        counter(&self.counters).load(Ordering::Relaxed)
    }

    /// Waits for the relay's end; the sessions' ends are the test's business. Nothing is held then.
    pub fn end(self) {
        self.mailbox.push(Message::NoMore);
        self.thread.join().unwrap();
        assert_eq!(self.counters.slots.load(Ordering::Relaxed), 0);
        assert_eq!(self.counters.buffers.load(Ordering::Relaxed), 0);
        assert_eq!(self.counters.backlog_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(self.places.taken(), 0);
        assert_eq!(self.label.figures().open(), 0);
    }
}
