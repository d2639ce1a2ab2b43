//! Rings of events: each front and each relay has one, which it alone writes and the observer alone reads.
//!
//! The property to trust: whoever sends an event never waits, and makes no system call. Where the ring is full, because the observer
//! does not get to run or a sink of its keeps it, the event is dropped and counted (`front_events_dropped`, `relay_events_dropped`).
//!
//! Not here: when the rings are read (`telemetry::observer`).

use super::counters::{WorkerCounters, add};
use super::events::{Asked, LegFields, OpeningEnded, OpeningFailure, RelayEvent};
use crate::catalog::request_name::HeaderName;
use crate::head::{Headers, RequestHead};
use crate::limits::HEAD_READ_BYTES;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

/// Events of a front that wait for the observer. Over it: dropped.
///
/// A second of the peak: a core that opens sessions and does nothing else opens less than 8,000 a second (an opening costs
/// 120 µs or more of it), each of which is one event. The ring takes 64 KiB; an event is some 0.5 KiB, and holds its request's
/// head, usually of 4 KiB.
pub const FRONT_EVENTS_MAX: usize = 8 * 1024;

/// Bytes of the events of a front that wait for the observer. Over it: dropped. All that the ring may hold of usual size fit.
pub const FRONT_EVENTS_BYTES_MAX: usize = 48 << 20;

/// Events of a relay that wait for the observer. Over it: dropped.
///
/// A second of the peak: as many sessions end as are opened, and each has two events. The ring takes 4.5 MiB for each worker, from
/// the time on when so many events have come, and another 4.5 MiB if each of them has two Close frames with the longest reasons.
pub const RELAY_EVENTS_MAX: usize = 16 * 1024;

/// Nanoseconds since 1970, for the time of an event.
pub fn wall_ns() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the clock of events, which say the time of day")]
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// The writer's end of a ring.
#[derive(Debug)]
struct Sender<T> {
    producer: Producer<T>,
    counters: Arc<WorkerCounters>,
    dropped: fn(&WorkerCounters) -> &AtomicU64,
}

impl<T> Sender<T> {
    /// Says whether there was room.
    fn send(&mut self, event: T) -> bool {
        let is_sent = self.producer.push(event).is_ok();
        if !is_sent {
            self.drop_one();
        }
        is_sent
    }

    fn drop_one(&self) {
        add((self.dropped)(&self.counters), 1);
    }
}

/// The writer's end of a front's ring, which has a bound in bytes too.
#[derive(Debug)]
struct FrontSender {
    sender: Sender<Box<OpeningEnded>>,
    bytes_max: usize,
    /// Bytes of all events that were sent. It wraps around, as the reader's does.
    sent_bytes: usize,
    /// Bytes of all events that the reader has taken.
    taken_bytes: Arc<AtomicUsize>,
}

impl FrontSender {
    fn send(&mut self, event: Box<OpeningEnded>) {
        let bytes = event.bytes();
        let waiting = self.sent_bytes.wrapping_sub(self.taken_bytes.load(Ordering::Relaxed));
        if waiting + bytes > self.bytes_max {
            self.sender.drop_one();
        } else if self.sender.send(event) {
            self.sent_bytes = self.sent_bytes.wrapping_add(bytes);
        }
    }
}

/// Where a front leaves its events.
#[derive(Debug, Default)]
pub struct FrontEvents(Option<FrontSender>);

impl FrontEvents {
    /// Nowhere: nobody wants them.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether anybody wants them.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves an event, if anybody wants it and there is room.
    pub fn send(&mut self, event: Box<OpeningEnded>) {
        if let Some(sender) = &mut self.0 {
            sender.send(event);
        }
    }
}

/// Where a relay leaves its events.
#[derive(Debug, Default)]
pub struct RelayEvents(Option<Sender<RelayEvent>>);

impl RelayEvents {
    /// Nowhere: nobody wants them.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether anybody wants them.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves an event, if anybody wants it and there is room.
    pub fn send(&mut self, event: RelayEvent) {
        if let Some(sender) = &mut self.0 {
            sender.send(event);
        }
    }
}

/// The reader's end of a worker's rings.
#[derive(Debug)]
pub struct WorkerEvents {
    /// Which worker it is.
    pub worker: usize,
    fronts: Consumer<Box<OpeningEnded>>,
    taken_bytes: Arc<AtomicUsize>,
    relays: Consumer<RelayEvent>,
}

/// The rings of a worker, with the default sizes.
pub fn event_rings(counters: &Arc<WorkerCounters>) -> (FrontEvents, RelayEvents, WorkerEvents) {
    event_rings_of(counters, FRONT_EVENTS_MAX, RELAY_EVENTS_MAX)
}

/// The rings of a worker, for so many events each.
pub fn event_rings_of(
    counters: &Arc<WorkerCounters>,
    front_events_max: usize,
    relay_events_max: usize,
) -> (FrontEvents, RelayEvents, WorkerEvents) {
    let (front, fronts) = RingBuffer::new(front_events_max);
    let (relay, relays) = RingBuffer::new(relay_events_max);
    let front = Sender {
        producer: front,
        counters: Arc::clone(counters),
        dropped: |counters| &counters.front_events_dropped,
    };
    let relay = Sender {
        producer: relay,
        counters: Arc::clone(counters),
        dropped: |counters| &counters.relay_events_dropped,
    };
    let worker = counters.index();
    let taken_bytes = Arc::<AtomicUsize>::default();
    let front = FrontSender {
        sender: front,
        bytes_max: FRONT_EVENTS_BYTES_MAX,
        sent_bytes: 0,
        taken_bytes: Arc::clone(&taken_bytes),
    };
    (FrontEvents(Some(front)), RelayEvents(Some(relay)), WorkerEvents { worker, fronts, taken_bytes, relays })
}

impl WorkerEvents {
    /// How many events of the relay wait.
    pub fn relay_events(&self) -> usize {
        self.relays.slots()
    }

    /// How many events of the front wait.
    pub fn front_events(&self) -> usize {
        self.fronts.slots()
    }

    /// The oldest event of the front.
    pub fn take_front(&mut self) -> Option<Box<OpeningEnded>> {
        let event = self.fronts.pop().ok()?;
        // It alone writes it.
        let taken = self.taken_bytes.load(Ordering::Relaxed).wrapping_add(event.bytes());
        self.taken_bytes.store(taken, Ordering::Relaxed);
        Some(event)
    }

    /// The oldest event of the relay.
    pub fn take_relay(&mut self) -> Option<RelayEvent> {
        self.relays.pop().ok()
    }

    /// Whether both writers are gone, and nothing waits.
    pub fn are_over(&self) -> bool {
        // In this order: what was sent before the writer went is seen.
        let is_abandoned = self.fronts.is_abandoned() && self.relays.is_abandoned();
        is_abandoned && self.fronts.is_empty() && self.relays.is_empty()
    }
}

impl OpeningEnded {
    /// Bytes of memory that it keeps, without what it shares with the catalogue.
    pub fn bytes(&self) -> usize {
        // A field that is added has to say here what it keeps.
        let Self {
            id: _,
            accepted_at_ns: _,
            times: _,
            listener: _,
            peer: _,
            client: _,
            is_secured: _,
            tls_version: _,
            server_name,
            method,
            protocol: _,
            request,
            request_bytes: _,
            api: _,
            subscription: _,
            labels: _,
            asked,
            told: _,
            failure,
            policy_records,
            trace: _,
            fields,
            logged: _,
            termination: _,
        } = self;
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let failure = match failure {
            None => 0,
            Some(OpeningFailure::Refused(message)) => message.capacity(),
            Some(OpeningFailure::Key(_)) => 0,
            Some(OpeningFailure::Policy(error)) => size_of_val(&**error) + error.message.capacity(),
        };
        size_of::<Self>()
            + text(server_name)
            + text(method)
            + request.as_ref().map_or(0, |request| bytes_of_request(request))
            + asked.as_ref().map_or(0, bytes_of_asked)
            + failure
            + policy_records.bytes()
            + fields.as_ref().map_or(0, |fields| bytes_of_fields(fields))
    }
}

/// Bytes of a field's name and value beside their texts.
const FIELD_BYTES: usize = size_of::<(HeaderName, Box<[u8]>)>();

/// Those of the buffer that it was received in, and of where its fields stand in it.
fn bytes_of_request(request: &RequestHead) -> usize {
    let headers = request.headers();
    let fields = headers.len() * Headers::FIELD_BYTES;
    size_of_val(request) + headers.head().len().next_multiple_of(HEAD_READ_BYTES) + fields
}

fn bytes_of_fields(fields: &LegFields) -> usize {
    let LegFields { response, backend_request, backend_response, pipeline: _ } = fields;
    let named = |(name, value): &(HeaderName, Box<[u8]>)| name.as_str().len() + value.len() + FIELD_BYTES;
    let answer = backend_response.as_ref().map_or(0, |headers| {
        headers.head().len().next_multiple_of(HEAD_READ_BYTES) + headers.len() * Headers::FIELD_BYTES
    });
    size_of_val(fields) + response.iter().chain(backend_request).map(named).sum::<usize>() + answer
}

fn bytes_of_asked(asked: &Asked) -> usize {
    let Asked { backend, target, address: _, is_sent: _, status: _, subprotocol, extensions } = asked;
    backend
        .as_ref()
        .map_or(0, |backend| size_of_val(&**backend) + backend.path.len() + backend.authority.len())
        + target.capacity()
        + subprotocol.as_ref().map_or(0, |name| name.len())
        + extensions.iter().map(|extension| size_of_val(extension) + extension.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HEAD_BYTES_MAX;
    use crate::observe::events::{Carried, SessionProgress, opening_of_tests};
    use crate::observe::record::record_of_api;
    use bytes::Bytes;
    use std::sync::atomic::Ordering;

    /// An opening with this head.
    fn opening(request: &Arc<RequestHead>) -> Box<OpeningEnded> {
        Box::new(OpeningEnded { request: Some(Arc::clone(request)), ..opening_of_tests(None) })
    }

    /// A request whose head has so many bytes.
    fn request(bytes: usize) -> Arc<RequestHead> {
        let begin = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        let head = format!("{begin}{}\r\n\r\n", "x".repeat(bytes - begin.len() - 4));
        Arc::new(RequestHead::parse(Bytes::from(head)).unwrap())
    }

    /// Fills the ring of a front with such openings; gives how many it took.
    fn taken_of(request: &Arc<RequestHead>) -> usize {
        let counters = Arc::new(WorkerCounters::default());
        let (mut front, _relay, mut events) = event_rings(&counters);
        let dropped = || counters.front_events_dropped.load(Ordering::Relaxed) as usize;
        for round in 0..2 {
            let before = dropped();
            (0..FRONT_EVENTS_MAX).for_each(|_| front.send(opening(request)));
            let waiting = events.front_events();
            assert_eq!(waiting + (dropped() - before), FRONT_EVENTS_MAX);
            assert!(waiting * opening(request).bytes() <= FRONT_EVENTS_BYTES_MAX);
            let taken = std::iter::from_fn(|| events.take_front()).count();
            assert_eq!(taken, waiting, "round {round}: what was taken has made room");
        }
        FRONT_EVENTS_MAX - dropped() / 2
    }

    #[test]
    fn events_with_the_largest_heads_fill_a_ring_by_their_bytes_and_usual_ones_by_their_number() {
        assert_eq!(taken_of(&request(700)), FRONT_EVENTS_MAX);
        let largest = request(HEAD_BYTES_MAX);
        let fitting = FRONT_EVENTS_BYTES_MAX / opening(&largest).bytes();
        assert!(opening(&largest).bytes() > HEAD_BYTES_MAX && fitting < FRONT_EVENTS_MAX / 2);
        assert_eq!(taken_of(&largest), fitting);
    }

    fn progress(at_ns: u64) -> RelayEvent {
        let record = record_of_api("chat");
        RelayEvent::Progress(SessionProgress { at_ns, record, carried: Carried::default() })
    }

    #[test]
    fn what_finds_the_ring_full_is_dropped_and_counted_and_the_rest_comes_in_order() {
        let counters = Arc::new(WorkerCounters::default());
        let (front, mut relay, mut events) = event_rings_of(&counters, 1, 3);
        for at_ns in 0..5 {
            relay.send(progress(at_ns));
        }
        assert_eq!(counters.relay_events_dropped.load(Ordering::Relaxed), 2);
        assert_eq!(counters.front_events_dropped.load(Ordering::Relaxed), 0);
        drop(front);
        assert!(!events.are_over(), "the relay is there");
        drop(relay);
        assert!(!events.are_over(), "events wait");
        let mut taken = Vec::new();
        while let Some(RelayEvent::Progress(SessionProgress { at_ns, .. })) = events.take_relay() {
            taken.push(at_ns);
        }
        assert_eq!(taken, [0, 1, 2]);
        assert!(events.are_over());
    }

    #[test]
    fn without_a_reader_nothing_is_sent() {
        let mut relay = RelayEvents::off();
        assert!(!relay.is_on());
        relay.send(progress(0));
    }
}
