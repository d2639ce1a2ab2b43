//! One transport connection of a session, as the relay drives it: its socket, its receive, its sends.
//!
//! ```text
//!            arm                 MORE missing, and wanted
//! Unarmed ─────────► Armed ◄──────────────────────────┐
//!    ▲                │  │ cancel                     │
//!    │ last completion│  ▼                            │
//!    └────────────────┴─ Cancelling ──────────────────┘
//!    ENOBUFS: Parked, until buffers are back
//! ```
//!
//! A leg is a byte stream on a carrier: today each carrier has one leg.

use super::liveness::Watch;
use crate::ring::{BufferPool, Pipe, SendQueue};
use crate::session::{Gone, Moment};
use crate::tls::record::{HeldRecord, Records};

/// What a carrier's receive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Nothing is in flight.
    Unarmed,
    /// A multishot receive is in flight.
    Armed,
    /// It is being cancelled: its last completion is awaited.
    Cancelling,
    /// It ran out of buffers and waits for its turn.
    Parked,
    /// The stream ended, or broke.
    Over,
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
}

/// One connection of a session.
#[derive(Debug)]
pub struct Carrier<S> {
    /// Closed when the session's slot is freed.
    pub socket: S,
    /// What its receive does.
    pub receive: Receive,
    /// How what comes is received.
    pub reading: Reading,
    /// What is to be sent before the queue, in a pipe that is not empty.
    pub pipe: Option<Pipe>,
    /// What waits to be sent.
    pub queue: SendQueue,
    /// What is in flight is no send: room is waited for, for what is in the pipe.
    pub awaits_room: bool,
    /// It is on the list of carriers whose next send starts at the end of the turn.
    pub is_ready: bool,
    /// Nobody takes what is queued: it is thrown away when no send is in flight.
    pub is_discarding: bool,
    /// Its send is being cancelled.
    pub is_send_cancelled: bool,
    /// Since when the send in flight, or what waits behind it, holds received buffers.
    pub holds_since: Moment,
    /// The connection broke, and this is how: what is read as its end is not one.
    pub broken: Option<Gone>,
    /// When something of it was read last.
    pub read_at: Moment,
    /// Whether it is polled for errors while it is not read.
    pub watch: Watch,
    /// Whether its large sends lend their bytes to the kernel.
    pub zero_copy: ZeroCopy,
    /// The send in flight lends.
    pub is_lending: bool,
    /// It is on the list of those that may hold a backlog.
    pub is_listed: bool,
    /// What its bytes are wrapped in; absent where they are as the session has them.
    pub record_layer: Option<Box<RecordLayer>>,
}

/// How long ago records' keys were used, as far as looks at it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseOfKeys {
    /// Since the last look.
    Recent,
    /// Between the last two looks.
    Past,
    /// What can be made again is dropped.
    Dropped,
}

/// The records around a carrier's bytes.
#[derive(Debug)]
pub struct RecordLayer {
    /// Opens what comes and seals what goes.
    pub records: Box<dyn Records>,
    /// A record whose end has not come.
    pub held: Option<HeldRecord>,
    /// What the pool counts for it.
    pub held_bytes: usize,
    /// Nothing that comes matters any more: it is not opened.
    pub is_input_discarded: bool,
    /// How long ago its keys were used.
    pub use_of_keys: UseOfKeys,
}

impl<S> Carrier<S> {
    /// Bytes of heap that are held for it.
    pub fn heap_bytes(&self, pool: &BufferPool) -> usize {
        self.queue.heap_bytes(pool)
            + self.record_layer.as_ref().map_or(0, |record_layer| record_layer.held_bytes)
    }

    /// Whether bytes may be given to its socket now, past its queue: nothing is queued, or in flight.
    pub fn takes_at_once(&self) -> bool {
        self.queue.is_empty() && !self.queue.is_in_flight() && self.pipe.is_none() && self.broken.is_none()
    }

    /// What the end of its stream means.
    pub fn end_of_stream(&self) -> Gone {
        let is_closed =
            self.record_layer.as_ref().is_none_or(|record_layer| record_layer.records.is_closed_by_peer());
        match (self.broken, is_closed) {
            // A send took the socket's error: what reads as an end is the end of a broken connection.
            (Some(how), _) => how,
            (None, true) => Gone::Finished,
            (None, false) => Gone::Truncated,
        }
    }

    /// A carrier on which nothing is in flight.
    pub fn new(socket: S, records: Option<Box<dyn Records>>) -> Self {
        Self {
            socket,
            receive: Receive::Unarmed,
            reading: Reading::Whole,
            pipe: None,
            queue: SendQueue::default(),
            awaits_room: false,
            is_ready: false,
            is_discarding: false,
            is_send_cancelled: false,
            holds_since: Moment::ZERO,
            broken: None,
            read_at: Moment::ZERO,
            watch: Watch::Off,
            zero_copy: ZeroCopy::Tried,
            is_lending: false,
            is_listed: false,
            record_layer: records.map(|records| {
                Box::new(RecordLayer {
                    records,
                    held: None,
                    held_bytes: 0,
                    is_input_discarded: false,
                    use_of_keys: UseOfKeys::Recent,
                })
            }),
        }
    }
}
