//! The operations in flight on the simulated ring.

use ringgate::ring::{GivenBack, Operation, Token};
use std::collections::VecDeque;

/// The kind of an operation, and its connection.
#[derive(Debug)]
pub enum Kind {
    /// A receive until cancelled, or once, of so many bytes at most.
    Receive {
        once: Option<usize>,
        /// Bytes after which it ends by itself.
        left: Option<usize>,
    },
    /// A wait for something to be received.
    AwaitBytes,
    Send(Sending),
    /// A wait for room; for its queue it is a send of nothing.
    AwaitRoom,
    /// A poll for errors.
    AwaitBreak,
}

/// The content of a pipe, and the connection that it came from.
#[derive(Debug, Default)]
pub struct PipeContent {
    pub bytes: VecDeque<u8>,
    pub is_taken: bool,
}

/// A send: what it read when it began, and how far it has come.
#[derive(Clone, Debug)]
pub struct Sending {
    pub bytes: Vec<u8>,
    /// Where each piece lies in memory, and its length.
    pub pieces: Vec<(usize, usize)>,
    pub done: usize,
    /// Its memory stays with the kernel when it is over.
    pub lends: bool,
}

impl Sending {
    /// The empty send of a wait for room.
    pub fn nothing() -> Self {
        Self { bytes: Vec::new(), pieces: Vec::new(), done: 0, lends: false }
    }
}

/// Memory that the kernel has of a send that is over.
#[derive(Debug)]
pub struct Lent {
    pub token: u64,
    pub connection: usize,
    pub sending: Sending,
}

/// An operation in flight.
#[derive(Debug)]
pub struct InFlight {
    /// Tells operations of one name apart.
    pub serial: u64,
    pub connection: usize,
    pub kind: Kind,
    /// It could not be cancelled: it completes soon, with what it has.
    pub is_finishing: bool,
    /// Cancels of it that the relay was not told the result of.
    pub cancels: u32,
    /// When it was first seen to hold received buffers.
    pub holds_buffers_since: Option<u64>,
}

/// An operation that the relay asked for, in the order of the submission queue.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    Start { token: u64 },
    Cancel { target: u64, serial: u64, token: u64 },
}

/// A completion that the relay was not told yet.
#[derive(Debug)]
pub struct Posted {
    pub token: u64,
    pub result: i32,
    pub has_more: bool,
    pub buffer: Option<u16>,
    /// The name and the serial number of the operation that a cancel's completion is about.
    pub target: Option<(u64, u64)>,
    /// The send that is over.
    pub sent: Option<Sending>,
    /// Memory that comes back, and whether it was copied after all.
    pub given_back: Option<(Sending, GivenBack)>,
    pub connection: Option<usize>,
    /// Its operation waited, and moved nothing.
    pub is_wait: bool,
}

impl Posted {
    /// Whether its operation is over with it. A send is over with what it says first; what more comes of it is memory.
    pub fn ends_its_operation(&self) -> bool {
        let is_send = Token::from_bits(self.token).operation() == Operation::Send;
        self.given_back.is_none() && (!self.has_more || is_send)
    }
}

/// Completions in the order in which the relay is told: those of one operation keep theirs, others may change places.
#[derive(Debug, Default)]
pub struct CompletionQueue(VecDeque<Posted>);

impl CompletionQueue {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one at `place` from the end if that keeps the operation's own order.
    pub fn post(&mut self, posted: Posted, places_from_end: usize) {
        let first = self.0.iter().rposition(|other| other.token == posted.token).map_or(0, |last| last + 1);
        let place = self.0.len().saturating_sub(places_from_end).max(first);
        self.0.insert(place, posted);
    }

    pub fn take(&mut self) -> Option<Posted> {
        self.0.pop_front()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Posted> {
        self.0.iter()
    }
}
