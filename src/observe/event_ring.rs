//! Rings of events: each front and each relay has one, which it alone writes and the observer alone reads.
//!
//! The property to trust: whoever sends an event never waits, and makes no system call. Where the ring is full, because the observer
//! does not get to run or a sink of its keeps it, the event is dropped and counted (`front_events_dropped`, `relay_events_dropped`).
//!
//! Not here: when the rings are read (`telemetry::observer`).

use super::counters::{WorkerCounters, add};
use super::events::{OpeningEnded, RelayEvent};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

/// Events of a front that wait for the observer. Over it: dropped.
///
/// A second of the peak: a core that opens sessions and does nothing else opens less than 8,000 a second (an opening costs
/// 120 µs or more of it), each of which is one event. The ring takes 64 KiB; an event is some 0.5 KiB, and holds its request's
/// head, usually of 4 KiB: 40 MiB for each worker if the observer stands still.
pub const FRONT_EVENTS_MAX: usize = 8 * 1024;

/// Events of a relay that wait for the observer. Over it: dropped.
///
/// A second of the peak: as many sessions end as are opened, and each has two events. The ring takes 4.5 MiB for each worker, from
/// the time on when so many events have come.
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
    fn send(&mut self, event: T) {
        if self.producer.push(event).is_err() {
            add((self.dropped)(&self.counters), 1);
        }
    }
}

/// Where a front leaves its events.
#[derive(Debug, Default)]
pub struct FrontEvents(Option<Sender<Box<OpeningEnded>>>);

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
    (FrontEvents(Some(front)), RelayEvents(Some(relay)), WorkerEvents { worker, fronts, relays })
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
        self.fronts.pop().ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::events::{Carried, SessionProgress};
    use crate::observe::record::record_of_api;
    use std::sync::atomic::Ordering;

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
