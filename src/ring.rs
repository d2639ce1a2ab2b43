//! The relay's interface to the kernel: one io_uring ring, its received buffers, and the queues of bytes to send.
//!
//! Nearly all unsafe code is below this module. The property to trust: memory that the kernel may touch is owned by the pool, or
//! by a [`SendQueue`] that refuses to be dropped while a send is in flight.
//!
//! [`Ring`] is the part that the relay needs. [`KernelRing`] is the real one; a simulated one drives the same relay in tests.
//!
//! Not here: the meaning of the bytes (`session`), and when to read or send (`relay`).

mod backlog;
pub mod buffer_pool;
mod buffer_ring;
pub mod freed_memory;
pub mod kernel_ring;
pub mod locked_memory;
pub mod message_block;
pub mod peer_state;
pub mod pipe;
pub mod probe;
pub mod send_queue;
pub mod token;

pub use buffer_pool::{BufferPool, Chunk};
pub use kernel_ring::{KernelRing, relay_ring_bytes};
pub use peer_state::PeerState;
pub use pipe::Pipe;
pub use send_queue::SendQueue;
pub use token::{Operation, Token};

use crate::session::Moment;

/// The end, or one shot, of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation it belongs to.
    pub token: Token,
    /// Bytes, or a negated errno.
    pub result: i32,
    /// More completions of the same operation follow (multishot).
    pub has_more: bool,
    /// The bytes that were received.
    pub chunk: Option<Chunk>,
    /// Set when the memory of a [`Ring::send_zero_copy`] comes back.
    pub given_back: Option<GivenBack>,
}

/// The treatment that the kernel gave to memory that it was to send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// It sent from there.
    Uncopied,
    /// It copied it, for all that it was asked not to: so does a loopback, and a network card that cannot gather.
    Copied,
}

/// The ring failed as a whole: no session can go on.
#[derive(Debug, thiserror::Error)]
#[error("the relay's ring failed in {operation}: {source}")]
pub struct RingError {
    /// The call that failed.
    pub operation: &'static str,
    /// The kernel's error.
    pub source: std::io::Error,
}

/// The operations that a relay needs of a ring. They are queued, and submitted by [`Ring::turn`].
pub trait Ring {
    /// A connected socket; dropping it closes it.
    type Socket;

    /// The received buffers.
    fn pool(&mut self) -> &mut BufferPool;

    /// The time: virtual in a simulation.
    fn now(&mut self) -> Moment;

    /// Receives from `socket` until cancelled, ended or out of buffers: many completions for one operation.
    fn receive(&mut self, socket: &Self::Socket, token: Token);

    /// As [`Ring::receive`], but once, and at most so many bytes: one completion.
    fn receive_once(&mut self, socket: &Self::Socket, bytes_max: u32, token: Token);

    /// Receives what `socket` has, at most so many bytes, into a free buffer: no operation, and none is in flight.
    ///
    /// # Errors
    /// The error is the value that a receive's completion would have in place of bytes: 0 at the end of the stream, or a negated
    /// errno. EAGAIN: there is nothing now. ENOBUFS: no buffer is free.
    fn receive_now(&mut self, socket: &Self::Socket, bytes_max: usize) -> Result<Chunk, i32>;

    /// Waits until `socket` has bytes or an end to tell of: one completion, with a positive result and without bytes.
    fn await_bytes(&mut self, socket: &Self::Socket, token: Token);

    /// Waits until `socket` takes bytes, or has broken: one completion, with a positive result. For its queue a send is in
    /// flight until [`Ring::sent`], of nothing.
    fn await_room(&mut self, socket: &Self::Socket, queue: &mut SendQueue, token: Token);

    /// Waits until `socket` has broken, or both its directions are over: one completion, with the poll's events as its result.
    /// An end of what is received is none, nor are bytes.
    fn await_break(&mut self, socket: &Self::Socket, token: Token);

    /// The error that `socket` broke with; 0 if there is none, or it was told before. It is not told again.
    fn take_error(&mut self, socket: &Self::Socket) -> i32;

    /// Returns the kernel's facts about the peer of `socket`.
    fn peer_state(&mut self, socket: &Self::Socket) -> PeerState;

    /// Opens the pipes. Without it there are none.
    fn open_pipes(&mut self);

    /// An empty pipe; none if all are taken.
    fn take_pipe(&mut self) -> Option<Pipe>;

    /// Gives a pipe back, and what is in it up.
    fn return_pipe(&mut self, pipe: Pipe);

    /// Moves at most so many bytes that `socket` has received into `pipe`. Gives how many, 0 at the end of what is received,
    /// or a negated errno: EAGAIN if there are none now.
    fn splice_in(&mut self, socket: &Self::Socket, pipe: &mut Pipe, bytes_max: usize) -> i32;

    /// Sends what `socket` takes at once of what is in `pipe`. Gives how many bytes, or a negated errno: EAGAIN if it
    /// takes none now.
    fn splice_out(&mut self, socket: &Self::Socket, pipe: &mut Pipe) -> i32;

    /// Sends what is at the front of `queue`. What the socket takes at once is sent when this returns: it has left the
    /// queue, and the result is that of a send (bytes, or a negated errno). `None`: the socket took nothing, and a send is in
    /// flight, of all that is at the front or until cancelled: one completion, then [`Ring::sent`].
    fn send(&mut self, socket: &Self::Socket, queue: &mut SendQueue, token: Token) -> Option<i32>;

    /// As an operation of [`Ring::send`], of the received buffers at the front, that lends them to the kernel instead of copying
    /// them. Its completion says what was sent, with more to come, and the send is over with it; the buffers come back with another
    /// one ([`Completion::given_back`], then [`Ring::take_back`]), when the peer's system has acknowledged them or later. One
    /// that fails before it began has but one completion, without more.
    fn send_zero_copy(&mut self, socket: &Self::Socket, queue: &mut SendQueue, token: Token);

    /// Takes back what was lent.
    fn take_back(&mut self, lent: Vec<Chunk>);

    /// Takes the result of a send back into its queue: what was sent leaves it. Its buffers return to the pool, or, where
    /// they are lent and more is to come, are with the queue as lent ([`SendQueue::take_lent`]).
    fn sent(&mut self, queue: &mut SendQueue, result: i32, is_lent: bool);

    /// Cancels the operation `target`; it still has a last completion of its own, and so has the cancel.
    fn cancel(&mut self, target: Token, token: Token);

    /// Sends what the system takes of `bytes` at once; gives how many. Nothing is in flight on the socket, or queued for it.
    fn send_now(&mut self, socket: &Self::Socket, bytes: &[u8]) -> usize;

    /// Ends what is sent to the peer (FIN).
    fn shutdown(&mut self, socket: &Self::Socket);

    /// Makes the close of `socket` a reset.
    fn reset_on_close(&mut self, socket: &Self::Socket);

    /// Submits what is queued, waits for completions for at most `wait_ms` (for none if 0), and appends them.
    ///
    /// # Errors
    /// The ring cannot be entered; nothing can be relied on any more.
    fn turn(&mut self, wait_ms: u64, completions: &mut Vec<Completion>) -> Result<(), RingError>;
}
