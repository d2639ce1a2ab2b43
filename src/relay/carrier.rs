//! One transport connection of a relay: its socket, its receive, its sends.
//!
//! A leg is a byte stream on a carrier ([`LegPlace`]). A carrier knows its legs ([`Streams`]): today exactly one, because a
//! connection has one stream. The slot of a leg tells nothing about the slot of its carrier, and the reverse.
//!
//! Not here: the operations on a carrier (`handle`), and the memory that the kernel may touch, which belongs to the queue and the
//! pool (`ring`).

pub mod at_rest;
pub mod receiving;
pub mod sending;

pub use at_rest::CarrierAtRest;
pub use receiving::{ReceiveEvent, Receiving};
pub use sending::{Fate, SendEvent, Sending, Way};

use super::greedy::Share;
use super::liveness::Watch;
use super::record_layer::RecordLayer;
use super::session_slot::SessionName;
use super::slab::{InSlot, SlotName};
use crate::ring::{BufferPool, Operation, Pipe, SendQueue, Token};
use crate::session::{BrokenInvariant, Gone, Leg, Moment};

/// A carrier, by its slot and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CarrierName(pub SlotName);

impl CarrierName {
    /// The carrier that an operation is on.
    pub fn of(token: Token) -> Self {
        Self(SlotName { index: token.slot(), generation: token.generation() })
    }

    /// Names an operation on it.
    pub fn token(self, operation: Operation) -> Token {
        Token::new(operation, self.0.index, self.0.generation)
    }
}

/// A byte stream on a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(u32);

impl StreamId {
    /// That of a carrier which has no other.
    pub const ONLY: Self = Self(0);
}

/// Where a leg's bytes are: a stream of a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegPlace {
    /// The carrier.
    pub carrier: CarrierName,
    /// Its stream.
    pub stream: StreamId,
}

/// A leg of a session, as its carrier knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegName {
    /// The session.
    pub session: SessionName,
    /// Which of its legs.
    pub leg: Leg,
}

/// The legs on a carrier.
#[derive(Clone, Copy, Debug)]
pub enum Streams {
    /// All that it carries is one leg ([`StreamId::ONLY`]).
    One(LegName),
}

impl Streams {
    /// The leg that the carrier's operations are for.
    pub fn leg(self) -> LegName {
        match self {
            Self::One(leg) => leg,
        }
    }
}

/// Whether a carrier's large sends lend their bytes to the kernel instead of having them copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroCopy {
    /// The next large send does.
    Tried,
    /// The kernel copied them all the same, or refused: it is not tried again.
    SwitchedOff,
}

/// How what comes on a carrier is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As much as there is, many times over.
    Whole,
    /// Heads only: its frames are large, and their rests are spliced.
    Heads {
        /// Receives since the last large frame.
        since_large: u8,
        /// Times that a pipe was filled since its socket was last waited for.
        fills: u8,
        /// It was waited for since then.
        is_awaited: bool,
    },
    /// By plain calls, at the end of a turn, behind all others: it had more than its share of one.
    Rationed {
        /// The largest number of bytes that one call receives, in KiB.
        ration_kib: u8,
    },
}

impl Reading {
    /// Whether one receive brings all that comes, until it ends or is cancelled.
    pub fn is_multishot(self) -> bool {
        self == Self::Whole
    }
}

/// One connection.
#[derive(Debug)]
pub struct Carrier<S> {
    /// Closed when the carrier's slot is freed.
    pub socket: S,
    /// Its own name.
    pub name: CarrierName,
    /// The streams on this carrier.
    pub streams: Streams,
    /// The state of the receive.
    pub receiving: Receiving,
    /// How what comes is received.
    pub reading: Reading,
    /// The state of the send.
    pub sending: Sending,
    /// Whether it is polled for errors while it is not read.
    pub watch: Watch,
    /// Whether its large sends lend their bytes to the kernel.
    pub zero_copy: ZeroCopy,
    /// Operations whose last completion is awaited. The slot is freed when there are none and its session is over.
    pub in_flight: u8,
    /// Those of them that are cancels.
    pub cancels: u8,
    /// It is on the list of those that may hold a backlog.
    pub is_listed: bool,
    /// The connection broke, and this is how: what is read as its end is not one.
    pub broken: Option<Gone>,
    /// A pipe that is not empty. Its content is sent before the queue.
    pub pipe: Option<Pipe>,
    /// The bytes that wait to be sent.
    pub queue: SendQueue,
    /// Since when the send in flight, or what waits behind it, holds received buffers.
    pub holds_since: Moment,
    /// When something of it was read last.
    pub read_at: Moment,
    /// The leg's share of the turn in which it was last read.
    pub share: Share,
    /// The record layer around the bytes. Absent on a plain connection.
    pub record_layer: Option<Box<RecordLayer>>,
}

impl<S> InSlot for Carrier<S> {
    fn generation(&self) -> u32 {
        self.name.0.generation
    }
}

impl<S> Carrier<S> {
    /// A carrier of one leg, on which nothing is in flight.
    pub fn new(name: CarrierName, leg: LegName, socket: S, record_layer: Option<Box<RecordLayer>>) -> Self {
        Self {
            socket,
            name,
            streams: Streams::One(leg),
            receiving: Receiving::Unarmed,
            reading: Reading::Whole,
            sending: Sending::Idle,
            watch: Watch::Off,
            zero_copy: ZeroCopy::Tried,
            in_flight: 0,
            cancels: 0,
            is_listed: false,
            broken: None,
            pipe: None,
            queue: SendQueue::default(),
            holds_since: Moment::ZERO,
            read_at: Moment::ZERO,
            share: Share::default(),
            record_layer,
        }
    }

    /// Bytes of heap that are held for it.
    pub fn heap_bytes(&self, pool: &BufferPool) -> usize {
        self.queue.heap_bytes(pool) + self.record_layer.as_ref().map_or(0, |layer| layer.held_bytes)
    }

    /// Whether anything waits to be sent.
    pub fn owes(&self) -> bool {
        self.pipe.is_some() || !self.queue.is_empty()
    }

    /// Whether bytes may be given to its socket now, past its queue: nothing is queued, or in flight.
    pub fn takes_at_once(&self) -> bool {
        !self.sending.is_in_flight() && !self.owes() && self.broken.is_none()
    }

    /// Returns the meaning of the end of the carrier's stream.
    pub fn end_of_stream(&self) -> Gone {
        let is_closed = self.record_layer.as_ref().is_none_or(|layer| layer.records.is_closed_by_peer());
        match (self.broken, is_closed) {
            // A send took the socket's error: what reads as an end is the end of a broken connection.
            (Some(how), _) => how,
            (None, true) => Gone::Finished,
            (None, false) => Gone::Truncated,
        }
    }

    /// Something happens to its receive.
    ///
    /// # Errors
    /// It cannot be, as things stand. Nothing has changed.
    pub fn receive_event(&mut self, event: ReceiveEvent) -> Result<(), BrokenInvariant> {
        let Some(next) = self.receiving.next(event) else {
            return Err(self.out_of_turn("receive"));
        };
        self.receiving = next;
        Ok(())
    }

    /// Something happens to its send.
    ///
    /// # Errors
    /// It cannot be, as things stand. Nothing has changed.
    pub fn send_event(&mut self, event: SendEvent) -> Result<(), BrokenInvariant> {
        let Some(next) = self.sending.next(event) else {
            return Err(self.out_of_turn("send"));
        };
        self.sending = next;
        Ok(())
    }

    fn out_of_turn(&self, side: &'static str) -> BrokenInvariant {
        BrokenInvariant::OutOfTurn { side, leg: self.streams.leg().leg }
    }

    /// An operation is about to be submitted: its name.
    pub fn begin(&mut self, operation: Operation) -> Token {
        self.in_flight += 1;
        self.name.token(operation)
    }

    /// Takes note of a completion.
    ///
    /// # Errors
    /// No such operation is in flight: the completion is not counted, so that the session waits for those that are.
    pub fn note_completion(&mut self, operation: Operation, has_more: bool) -> Result<(), BrokenInvariant> {
        let is_cancel =
            matches!(operation, Operation::CancelReceive | Operation::CancelSend | Operation::CancelWatch);
        let is_in_flight = match operation {
            Operation::Receive => self.receiving.is_in_flight(),
            Operation::Send => self.sending.is_in_flight(),
            Operation::Watch => self.watch.is_in_flight(),
            Operation::CancelReceive | Operation::CancelSend | Operation::CancelWatch => self.cancels > 0,
            Operation::Mailbox => false,
        };
        if !is_in_flight || self.in_flight == 0 {
            let leg = self.streams.leg().leg;
            return Err(BrokenInvariant::CompletionOfNothing { operation: operation.name(), leg });
        }
        self.cancels -= u8::from(is_cancel);
        // What is more to come of a send is memory that it lent.
        if !has_more || operation == Operation::Send {
            self.in_flight -= 1;
        }
        Ok(())
    }
}
