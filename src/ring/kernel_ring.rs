//! The real ring: `SINGLE_ISSUER | DEFER_TASKRUN`, multishot receive, one buffer ring, one `io_uring_enter` per turn.
//!
//! The ring is made on the thread that uses it (the kernel insists). Not here: whether the kernel supports all this, which is
//! asked once at the start (`probe`).

use super::buffer_pool::BufferPool;
use super::buffer_ring::{BUFFER_GROUP, BufferRing, REGION_BYTES};
use super::freed_memory::when_memory_is_freed;
use super::locked_memory::{in_pages, ring_bytes};
use super::message_block::MessageBlock;
use super::peer_state::PeerState;
use super::pipe::{Pipe, Pipes};
use super::probe::caps_receives;
use super::send_queue::SendQueue;
use super::token::{Operation, Token};
use super::{Chunk, Completion, GivenBack, Ring, RingError};
use crate::limits::{
    BUFFER_BYTES, BUFFERS_PER_RELAY, RELAY_SUBMISSION_ENTRIES, SEND_PIECES_MAX, TURN_SHARE_KIB,
};
use crate::process::uptime::uptime_ms;
use crate::session::Moment;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use socket2::SockRef;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// Entries of the relay's completion queue. A full one ends multishot receives early; they are armed again.
const RELAY_COMPLETION_ENTRIES: u32 = 16 * 1024;

/// Completions that a wait for one returns at most under `DEFER_TASKRUN` (the kernel's `IO_LOCAL_TW_DEFAULT_MAX`).
const PLAIN_WAIT_COMPLETIONS: usize = 20;

/// Completions that a busy turn asks for. It bounds what one turn can receive, hence how many buffers it needs.
const BUSY_WAIT_COMPLETIONS: usize = 64;

/// Microseconds that a busy turn waits for more completions than one (`min_wait_usec`, Linux 6.12).
const BUSY_WAIT_US: u32 = 1;

/// Asks a zero-copy send to say whether it copied (Linux 6.2); the crate has no name for it.
const IORING_SEND_ZC_REPORT_USAGE: u16 = 1 << 3;

/// The answer, in the result of the completion that gives the memory back.
const IORING_NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;

/// Operations that the emptied overflow list keeps room for.
const OVERFLOW_ROOM_KEPT: usize = 1024;

/// One relay's ring.
pub struct KernelRing {
    ring: IoUring,
    /// Operations that found no room in the submission queue, in order: they are submitted in the turns that follow.
    ///
    /// It is as long as what is in flight at most, which is a few operations a carrier (a receive, a send and a poll for errors,
    /// and the cancels of these): an operation is in flight from [`KernelRing::push`] on.
    overflow: VecDeque<squeue::Entry>,
    pool: BufferPool,
    buffer_ring: Option<BufferRing>,
    /// Written by mailboxes to wake this ring.
    wake_up: OwnedFd,
    #[expect(clippy::vec_box, reason = "the kernel reads a block where it lies: it must not move")]
    spare_blocks: Vec<Box<MessageBlock>>,
    pipes: Pipes,
    last_turn_completions: usize,
    has_min_wait: bool,
    has_receive_caps: bool,
}

/// Locked memory, in bytes, that the ring of a relay takes with its buffer ring where the kernel counts it.
pub const fn relay_ring_bytes() -> u64 {
    ring_bytes(RELAY_SUBMISSION_ENTRIES, RELAY_COMPLETION_ENTRIES) + in_pages(REGION_BYTES as u64)
}

/// Sets up an empty ring with the flags that the relay needs, and so many entries in its submission queue.
pub(super) fn set_up(submission_entries: u32) -> std::io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(RELAY_COMPLETION_ENTRIES)
        .setup_clamp()
        .build(submission_entries)
}

impl KernelRing {
    /// Makes a ring for the calling thread. A write to `wake_up`, an event descriptor, ends a wait with a completion of
    /// [`Operation::Mailbox`].
    ///
    /// # Errors
    /// The kernel refuses one of the steps; `probe` explains why before any relay is started.
    pub fn new(wake_up: OwnedFd) -> Result<Self, RingError> {
        Self::with_buffers(wake_up, BUFFERS_PER_RELAY)
    }

    /// As [`KernelRing::new`], with another number of received buffers.
    ///
    /// # Errors
    /// As [`KernelRing::new`].
    pub fn with_buffers(wake_up: OwnedFd, buffers: u16) -> Result<Self, RingError> {
        Self::with_entries(wake_up, buffers, RELAY_SUBMISSION_ENTRIES)
    }

    /// As [`KernelRing::with_buffers`], with another number of entries in the submission queue.
    ///
    /// # Errors
    /// As [`KernelRing::new`].
    pub fn with_entries(wake_up: OwnedFd, buffers: u16, submission_entries: u32) -> Result<Self, RingError> {
        let at = |operation| move |source| RingError { operation, source };
        let mut ring = when_memory_is_freed(|| set_up(submission_entries)).map_err(at("io_uring_setup"))?;
        let pool = BufferPool::new(buffers).map_err(at("mapping buffers"))?;
        let buffer_ring = when_memory_is_freed(|| BufferRing::register(&ring))
            .map_err(at("registering the buffer ring"))?;
        let has_min_wait = ring.params().is_feature_min_timeout();
        let has_receive_caps = caps_receives(&mut ring).map_err(at("probing receives"))?;
        let mut ring = Self {
            ring,
            overflow: VecDeque::new(),
            pool,
            buffer_ring: Some(buffer_ring),
            wake_up,
            spare_blocks: Vec::new(),
            pipes: Pipes::default(),
            last_turn_completions: 0,
            has_min_wait,
            has_receive_caps,
        };
        ring.watch_wake_up();
        Ok(ring)
    }

    fn watch_wake_up(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.wake_up.as_raw_fd()), libc::POLLIN as u32).multi(true);
        self.push(poll.build(), Token::MAILBOX);
    }

    /// Queues an operation. It keeps its place: a cancel is behind what it cancels.
    fn push(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.to_bits());
        if !self.overflow.is_empty() || !self.submits(&entry) {
            self.overflow.push_back(entry);
        }
    }

    /// Moves what found no room before into the submission queue, as much as there is room for.
    fn submit_overflow(&mut self) {
        while let Some(entry) = self.overflow.pop_front() {
            if !self.submits(&entry) {
                return self.overflow.push_front(entry);
            }
        }
        // After a burst its room goes too.
        if self.overflow.capacity() > OVERFLOW_ROOM_KEPT {
            self.overflow.shrink_to(OVERFLOW_ROOM_KEPT);
        }
    }

    /// Puts an operation into the submission queue, if there is room.
    #[expect(unsafe_code, reason = "queues an operation for the kernel")]
    fn submits(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: every operation's memory outlives its last completion: a receive writes into buffers that the pool has
        // posted, a send reads from a `SendQueue` that is marked as in flight (and from its `MessageBlock`), the others
        // touch no memory of ours.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    fn wait(&self, wait_ms: u64) -> std::io::Result<usize> {
        let limit = types::Timespec::from(Duration::from_millis(wait_ms));
        let mut arguments = types::SubmitArgs::new().timespec(&limit);
        let mut wanted = 1;
        if self.has_min_wait && self.last_turn_completions >= PLAIN_WAIT_COMPLETIONS {
            wanted = BUSY_WAIT_COMPLETIONS;
            arguments = arguments.min_wait_usec(BUSY_WAIT_US);
        }
        self.ring.submitter().submit_with_args(wanted, &arguments)
    }

    fn completion(&mut self, entry: &cqueue::Entry) -> Completion {
        let chunk = match cqueue::buffer_select(entry.flags()) {
            Some(index) => {
                let bytes = entry.result().max(0) as usize;
                if let Some(buffer_ring) = &mut self.buffer_ring {
                    buffer_ring.note_received(bytes);
                }
                self.pool.take_received(index, bytes)
            }
            None => None,
        };
        Completion {
            token: Token::from_bits(entry.user_data()),
            result: entry.result(),
            has_more: cqueue::more(entry.flags()),
            chunk,
            given_back: cqueue::notif(entry.flags()).then(|| {
                let is_copied = entry.result() as u32 & IORING_NOTIF_USAGE_ZC_COPIED != 0;
                if is_copied { GivenBack::Copied } else { GivenBack::Uncopied }
            }),
        }
    }
}

/// A receive until cancelled, or until it had as much as a leg may have of a turn, where the kernel can be told so (Linux 6.17).
///
/// There it lets other sockets go first after each buffer too: without that it goes on for 32 buffers.
pub(super) fn receive_multishot(socket: &OwnedFd, has_caps: bool) -> squeue::Entry {
    let receive = opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), BUFFER_GROUP);
    if !has_caps {
        return receive.build();
    }
    let mut entry = receive.len(BUFFER_BYTES as u32).build();
    set_optlen(&mut entry, TURN_SHARE_KIB * 1024);
    entry
}

/// Sets an operation's field `optlen`, for which the crate has no name.
#[expect(unsafe_code, reason = "writes a field of an entry by its place")]
fn set_optlen(entry: &mut squeue::Entry, bytes: u32) {
    /// Where the kernel has it in `struct io_uring_sqe`, which is part of its interface.
    const OPTLEN_AT: usize = 44;
    const _: () = assert!(size_of::<squeue::Entry>() == 64 && align_of::<squeue::Entry>() >= 4);
    // SAFETY: an entry is that structure (`repr(C)`), and nothing but 64 bytes of integers, of which these are four.
    unsafe { std::ptr::from_mut(entry).cast::<u8>().add(OPTLEN_AT).cast::<u32>().write(bytes) }
}

/// Sends what the socket takes at once of a block's pieces.
#[expect(unsafe_code, reason = "a plain system call on pieces that are where the block says")]
fn send_at_once(socket: &OwnedFd, block: &mut MessageBlock) -> i32 {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the pieces are those of a queue that nothing changes meanwhile, and the call is over when it returns.
    let sent = unsafe {
        if block.len() == 1 {
            let (address, len) = block.first();
            libc::send(socket.as_raw_fd(), address.cast(), len, flags)
        } else {
            libc::sendmsg(socket.as_raw_fd(), block.as_message(), flags)
        }
    };
    if sent >= 0 { sent as i32 } else { -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

/// Receives what the socket has: bytes, 0 at its end, or a negated errno.
#[expect(unsafe_code, reason = "a plain system call on a buffer of ours")]
fn receive_at_once(socket: &OwnedFd, room: &mut [u8]) -> i32 {
    // SAFETY: the call writes within `room`, and is over when it returns.
    let received =
        unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) };
    if received >= 0 {
        received as i32
    } else {
        -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
    }
}

impl Ring for KernelRing {
    type Socket = OwnedFd;

    fn pool(&mut self) -> &mut BufferPool {
        &mut self.pool
    }

    fn now(&mut self) -> Moment {
        Moment::from_millis(uptime_ms())
    }

    fn receive(&mut self, socket: &OwnedFd, token: Token) {
        let receive = receive_multishot(socket, self.has_receive_caps);
        self.push(receive, token);
    }

    fn receive_once(&mut self, socket: &OwnedFd, bytes_max: u32, token: Token) {
        let receive = opcode::Recv::new(types::Fd(socket.as_raw_fd()), std::ptr::null_mut(), bytes_max)
            .buf_group(BUFFER_GROUP);
        self.push(receive.build().flags(squeue::Flags::BUFFER_SELECT), token);
    }

    fn receive_now(&mut self, socket: &OwnedFd, bytes_max: usize) -> Result<Chunk, i32> {
        let mut chunk = self.pool.take_empty().ok_or(-libc::ENOBUFS)?;
        let (buffer, range) = self.pool.room(&chunk);
        let room = &mut buffer[range.start..range.start + bytes_max.min(BUFFER_BYTES)];
        let received = receive_at_once(socket, room);
        if received <= 0 {
            self.pool.release(chunk);
            return Err(received);
        }
        self.pool.place(&mut chunk, range.start..range.start + received as usize);
        Ok(chunk)
    }

    fn await_bytes(&mut self, socket: &OwnedFd, token: Token) {
        let events = libc::POLLIN | libc::POLLRDHUP;
        self.push(opcode::PollAdd::new(types::Fd(socket.as_raw_fd()), events as u32).build(), token);
    }

    fn await_room(&mut self, socket: &OwnedFd, queue: &mut SendQueue, token: Token) {
        queue.begin_wait();
        self.push(opcode::PollAdd::new(types::Fd(socket.as_raw_fd()), libc::POLLOUT as u32).build(), token);
    }

    fn await_break(&mut self, socket: &OwnedFd, token: Token) {
        // What is not asked for is told all the same: POLLERR and POLLHUP.
        self.push(opcode::PollAdd::new(types::Fd(socket.as_raw_fd()), 0).build(), token);
    }

    fn take_error(&mut self, socket: &OwnedFd) -> i32 {
        let error = SockRef::from(socket).take_error().ok().flatten();
        error.and_then(|error| error.raw_os_error()).unwrap_or(0)
    }

    fn peer_state(&mut self, socket: &OwnedFd) -> PeerState {
        PeerState::of(socket)
    }

    fn open_pipes(&mut self) {
        self.pipes = Pipes::open();
    }

    fn take_pipe(&mut self) -> Option<Pipe> {
        self.pipes.take()
    }

    fn return_pipe(&mut self, pipe: Pipe) {
        self.pipes.put_back(pipe);
    }

    fn splice_in(&mut self, socket: &OwnedFd, pipe: &mut Pipe, bytes_max: usize) -> i32 {
        self.pipes.splice_in(socket, pipe, bytes_max)
    }

    fn splice_out(&mut self, socket: &OwnedFd, pipe: &mut Pipe) -> i32 {
        self.pipes.splice_out(socket, pipe)
    }

    fn send(&mut self, socket: &OwnedFd, queue: &mut SendQueue, token: Token) -> Option<i32> {
        let mut block = self.spare_blocks.pop().unwrap_or_else(MessageBlock::new);
        block.clear();
        queue.for_each_piece(&self.pool, SEND_PIECES_MAX, |piece| block.push(piece));
        let result = send_at_once(socket, &mut block);
        if result != -libc::EAGAIN {
            self.spare_blocks.push(block);
            queue.begin_send(None);
            queue.end_send(&mut self.pool, result.max(0) as usize);
            return Some(result);
        }
        let socket = types::Fd(socket.as_raw_fd());
        // MSG_WAITALL: the kernel goes on after a short send, so that one send has one completion. It stops when it is
        // cancelled, with the exact count (Linux 6.1).
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        if block.len() == 1 {
            let (address, len) = block.first();
            self.spare_blocks.push(block);
            queue.begin_send(None);
            self.push(opcode::Send::new(socket, address, len as u32).flags(flags).build(), token);
        } else {
            let message = block.as_message();
            queue.begin_send(Some(block));
            self.push(opcode::SendMsg::new(socket, message).flags(flags as u32).build(), token);
        }
        None
    }

    fn send_zero_copy(&mut self, socket: &OwnedFd, queue: &mut SendQueue, token: Token) {
        let mut block = self.spare_blocks.pop().unwrap_or_else(MessageBlock::new);
        block.clear();
        queue.for_each_lendable(&self.pool, SEND_PIECES_MAX, |piece| block.push(piece));
        let message = block.as_message();
        queue.begin_zero_copy(block);
        let send = opcode::SendMsgZc::new(types::Fd(socket.as_raw_fd()), message)
            .ioprio(IORING_SEND_ZC_REPORT_USAGE)
            .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32);
        self.push(send.build(), token);
    }

    fn take_back(&mut self, lent: Vec<Chunk>) {
        for chunk in lent {
            self.pool.release(chunk);
        }
    }

    fn sent(&mut self, queue: &mut SendQueue, result: i32, is_lent: bool) {
        let sent = result.max(0) as usize;
        let block = if is_lent {
            queue.end_zero_copy(&mut self.pool, sent)
        } else {
            queue.end_send(&mut self.pool, sent)
        };
        self.spare_blocks.extend(block);
    }

    fn cancel(&mut self, target: Token, token: Token) {
        // By user_data: by descriptor the kernel would look through everything that is in flight.
        self.push(opcode::AsyncCancel::new(target.to_bits()).build(), token);
    }

    fn send_now(&mut self, socket: &OwnedFd, bytes: &[u8]) -> usize {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        SockRef::from(socket).send_with_flags(bytes, flags).unwrap_or(0)
    }

    fn shutdown(&mut self, socket: &OwnedFd) {
        // A plain call: the ring's shutdown operation always goes through a kernel worker thread. It fails only if the
        // peer is gone, which the receive on this socket says too.
        let _ = SockRef::from(socket).shutdown(Shutdown::Write);
    }

    fn reset_on_close(&mut self, socket: &OwnedFd) {
        // Fails for no TCP socket.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }

    fn turn(&mut self, wait_ms: u64, completions: &mut Vec<Completion>) -> Result<(), RingError> {
        if let Some(buffer_ring) = &mut self.buffer_ring {
            buffer_ring.top_up(&mut self.pool);
        }
        self.submit_overflow();
        // What found no room is not to wait for completions of what did.
        let wait_ms = if self.overflow.is_empty() { wait_ms } else { 0 };
        if let Err(error) = self.wait(wait_ms) {
            match error.raw_os_error() {
                // The wait is over, a signal came, or the completion queue must be emptied first.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(RingError { operation: "io_uring_enter", source: error }),
            }
        }
        let before = completions.len();
        loop {
            let entry = self.ring.completion().next();
            let Some(entry) = entry else { break };
            let completion = self.completion(&entry);
            if completion.token.operation() == Operation::Mailbox {
                let _ = rustix::io::read(&self.wake_up, &mut [0u8; 8]);
                if !completion.has_more {
                    self.watch_wake_up();
                }
            }
            completions.push(completion);
        }
        self.last_turn_completions = completions.len() - before;
        Ok(())
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        // Idle receives are gone with their sessions; only posted buffers are left, and they come back here. What cannot
        // be given up stays mapped (see `BufferPool::drop`).
        if let Some(buffer_ring) = self.buffer_ring.take()
            && self.pool.lent_out() == 0
            && buffer_ring.close(&self.ring).is_ok()
        {
            self.pool.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    /// A peer, and the socket that is connected to it.
    fn connected() -> (TcpStream, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (peer, OwnedFd::from(listener.accept().unwrap().0))
    }

    /// A ring with so many received buffers.
    fn ring_of(buffers: u16) -> KernelRing {
        let wake_up = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        KernelRing::with_buffers(wake_up, buffers).unwrap()
    }

    /// The events that a poll for errors tells within a second, or none.
    fn events(ring: &mut KernelRing, socket: &OwnedFd) -> Option<i32> {
        let token = Token::new(Operation::Watch, 0, 0);
        ring.await_break(socket, token);
        let mut completions = Vec::new();
        ring.turn(1_000, &mut completions).unwrap();
        completions.iter().find(|completion| completion.token == token).map(|completion| completion.result)
    }

    #[test]
    fn what_finds_no_room_in_the_submission_queue_is_submitted_in_the_turns_that_follow_in_order() {
        const SOCKETS: u32 = 50;
        let wake_up = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap();
        let mut ring = KernelRing::with_entries(wake_up, 1, 4).unwrap();
        let pairs: Vec<_> = (0..SOCKETS).map(|_| std::os::unix::net::UnixStream::pair().unwrap()).collect();
        let sockets: Vec<OwnedFd> =
            pairs.iter().map(|(_, inside)| inside.try_clone().unwrap().into()).collect();
        for (slot, socket) in (0..).zip(&sockets) {
            let token = Token::new(Operation::Receive, slot, 0);
            ring.await_bytes(socket, token);
            // Every other one is cancelled before the kernel has it.
            if slot % 2 == 1 {
                ring.cancel(token, Token::new(Operation::CancelReceive, slot, 0));
            }
        }
        // The poll of the wake-up took one of the four.
        assert_eq!(ring.overflow.len(), 3 * SOCKETS as usize / 2 - 3, "nothing is submitted in between");
        for (mut outside, _) in pairs.iter().map(|(outside, inside)| (outside, inside)).step_by(2) {
            outside.write_all(b"x").unwrap();
        }
        let mut told = HashMap::new();
        let mut turns = 0;
        while told.len() < 3 * SOCKETS as usize / 2 {
            let mut completions = Vec::new();
            ring.turn(10_000, &mut completions).unwrap();
            turns += 1;
            for completion in completions {
                let before = told.insert(completion.token, completion.result);
                assert_eq!(before, None, "{:?} completes once", completion.token);
            }
            assert!(turns <= 2 * SOCKETS, "it goes on");
        }
        assert!(ring.overflow.is_empty());
        for slot in 0..SOCKETS {
            let result = |operation| told.get(&Token::new(operation, slot, 0)).copied();
            if slot % 2 == 0 {
                assert_eq!(result(Operation::Receive), Some(libc::POLLIN.into()));
            } else {
                assert_eq!(result(Operation::CancelReceive), Some(0), "a cancel is behind what it cancels");
                assert_eq!(result(Operation::Receive), Some(-libc::ECANCELED));
            }
        }
    }

    /// Returns the bytes of one multishot receive, until it ends or has brought twice a share, and whether it goes on.
    fn received(ring: &mut KernelRing, socket: &OwnedFd) -> (usize, bool) {
        let token = Token::new(Operation::Receive, 7, 0);
        ring.receive(socket, token);
        let (mut bytes, mut goes_on) = (0, true);
        while goes_on && bytes <= 2 * TURN_SHARE_KIB as usize * 1024 {
            let mut completions = Vec::new();
            ring.turn(1_000, &mut completions).unwrap();
            assert!(!completions.is_empty(), "there is more to be received");
            for completion in completions {
                bytes += completion.result.max(0) as usize;
                goes_on &= completion.has_more;
                completion.chunk.into_iter().for_each(|chunk| ring.pool.release(chunk));
            }
        }
        (bytes, goes_on)
    }

    #[test]
    fn a_receive_ends_after_a_share_where_the_kernel_can_be_told_and_is_the_relays_to_end_elsewhere() {
        let mut ring = ring_of(64);
        let (mut peer, socket) = connected();
        let flood = std::thread::spawn(move || while peer.write_all(&[0; 256 * 1024]).is_ok() {});
        let share = TURN_SHARE_KIB as usize * 1024;
        if ring.has_receive_caps {
            let (bytes, goes_on) = received(&mut ring, &socket);
            // The last of its buffers may hold more than was left of the share.
            assert!((share..share + BUFFER_BYTES).contains(&bytes), "{bytes} bytes");
            assert!(!goes_on);
            // As on Linux before 6.17.
            ring.has_receive_caps = false;
        }
        let (bytes, _) = received(&mut ring, &socket);
        assert!(bytes > share, "{bytes} bytes");
        drop((socket, ring));
        flood.join().unwrap();
    }

    #[test]
    fn what_is_there_is_received_at_once_into_a_free_buffer_and_no_more_than_was_asked_for() {
        let mut ring = ring_of(1);
        let (mut peer, socket) = connected();
        assert_eq!(ring.receive_now(&socket, 4).unwrap_err(), -libc::EAGAIN);
        peer.write_all(b"abcdef").unwrap();
        // Only then are the six bytes sure to be there.
        let stream = TcpStream::from(socket.try_clone().unwrap());
        while stream.peek(&mut [0; 6]).unwrap() < 6 {}
        let chunk = ring.receive_now(&socket, 4).unwrap();
        assert_eq!(ring.pool.bytes(&chunk), b"abcd");
        assert_eq!(ring.receive_now(&socket, 4).unwrap_err(), -libc::ENOBUFS, "the only buffer is lent out");
        ring.pool.release(chunk);
        let chunk = ring.receive_now(&socket, 4).unwrap();
        assert_eq!(ring.pool.bytes(&chunk), b"ef");
        ring.pool.release(chunk);
        peer.shutdown(Shutdown::Write).unwrap();
        let ended = std::iter::repeat_with(|| ring.receive_now(&socket, 4).unwrap_err());
        let mut ended = ended.skip_while(|result| *result == -libc::EAGAIN);
        assert_eq!(ended.next(), Some(0), "the end of what is received");
        assert_eq!(ring.pool.lent_out(), 0, "no buffer is kept where nothing came");
    }

    #[test]
    fn a_poll_for_errors_tells_of_a_reset_and_in_passing_of_an_end_and_not_of_bytes() {
        let mut ring = ring_of(1);
        let pair = || {
            let (mut peer, socket) = connected();
            peer.write_all(b"unread").unwrap();
            (peer, socket)
        };

        let (ended, socket) = pair();
        ended.shutdown(Shutdown::Write).unwrap();
        assert_eq!(events(&mut ring, &socket), Some(libc::POLLRDHUP.into()));
        assert_eq!(ring.take_error(&socket), 0);

        let (reset, socket) = pair();
        SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
        drop(reset);
        let told = events(&mut ring, &socket).expect("a reset is told");
        let both = i32::from(libc::POLLERR | libc::POLLHUP);
        assert_eq!(told & both, both);
        assert_eq!([0, 1].map(|_| ring.take_error(&socket)), [libc::ECONNRESET, 0], "it is told once");

        let (_stays, socket) = pair();
        assert_eq!(events(&mut ring, &socket), None);
    }
}
