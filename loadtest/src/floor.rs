//! The least that user space can do on a ring: bytes from one socket to the other, with no parsing and no rules.
//!
//! It reads no head and no frame: the backend's own 101 passes through. It has no time-outs, no limits, no counters, and
//! holds back no sender but by running out of buffers. It is a yardstick, not a proxy: whether it counts as a floor is
//! decided in each comparison by what it costs beside nginx.
//!
//! One thread, one ring: multishot accept and receive, 64 KiB buffers, what came meanwhile joined into one send.

#![expect(unsafe_code, reason = "a bare ring is what this file is about")]

use anyhow::{Context, Result};
use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

const BUFFER_BYTES: usize = 64 * 1024;
/// From one buffer to the next: a little more than the buffer, so that not all begin in the same set of the cache.
const STRIDE_BYTES: usize = BUFFER_BYTES + 256;
const BUFFERS: u16 = 2048;
const POSTED: u16 = 256;
const PIECES_MAX: usize = 64;
const NOTHING: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

const ACCEPT: u64 = 0;
const CONNECT: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;

/// One socket of a pair, and what waits to be sent on it.
struct Side {
    socket: OwnedFd,
    queue: VecDeque<(u16, usize, usize)>,
    message: Box<(libc::msghdr, [libc::iovec; PIECES_MAX])>,
    is_sending: bool,
    is_receiving: bool,
    /// Its receive ran out of buffers and waits for some.
    is_parked: bool,
    /// Its peer sent FIN, or it broke.
    is_over: bool,
}

struct Pair {
    sides: [Side; 2],
    address: Box<SockAddr>,
    in_flight: usize,
    is_broken: bool,
}

/// A relay in progress.
struct Floor {
    ring: IoUring,
    listener: Socket,
    backend: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    memory: *mut u8,
    entries: *mut BufRingEntry,
    tail: u16,
    posted: usize,
    spare: Vec<u16>,
    parked: VecDeque<(usize, usize)>,
    ready: Vec<(usize, usize)>,
}

/// Relays every connection to `listen` to `backend`, until the process ends.
///
/// # Errors
/// The kernel's, when the ring cannot go on.
pub fn run(listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        },
    );
    let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.set_tcp_nodelay(true)?;
    listener.bind(&listen.into())?;
    listener.listen(4096)?;
    let address = listener.local_addr()?.as_socket().context("an address")?;
    let mut floor = Floor::new(listener, backend)?;
    println!("listening on {address}");
    loop {
        floor.turn()?;
    }
}

fn token(operation: u64, pair: usize, side: usize) -> u64 {
    (pair as u64) << 8 | (side as u64) << 4 | operation
}

impl Floor {
    fn new(listener: Socket, backend: SocketAddr) -> Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(16 * 1024)
            .build(1024)?;
        let map = |bytes| {
            // SAFETY: a fresh mapping that lives as long as the process.
            unsafe {
                mmap_anonymous(
                    std::ptr::null_mut(),
                    bytes,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE,
                )
            }
        };
        let memory = map(usize::from(BUFFERS) * STRIDE_BYTES)?.cast();
        let entries: *mut BufRingEntry = map(usize::from(POSTED) * size_of::<BufRingEntry>())?.cast();
        // SAFETY: the region holds POSTED entries and is never unmapped.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, POSTED, 0, 0) }?;
        let mut floor = Self {
            ring,
            listener,
            backend,
            pairs: Vec::new(),
            free: Vec::new(),
            memory,
            entries,
            tail: 0,
            posted: 0,
            spare: (0..BUFFERS).rev().collect(),
            parked: VecDeque::new(),
            ready: Vec::new(),
        };
        floor.accept();
        Ok(floor)
    }

    fn turn(&mut self) -> Result<()> {
        self.post();
        let limit = Timespec::new().sec(1);
        match self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit)) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            let entry = self.ring.completion().next();
            let Some(entry) = entry else { break };
            self.complete(&entry);
        }
        for (pair, side) in std::mem::take(&mut self.ready) {
            self.send(pair, side);
        }
        while !self.spare.is_empty()
            && let Some((pair, side)) = self.parked.pop_front()
        {
            let is_parked = match self.pairs.get_mut(pair) {
                Some(Some(live)) => std::mem::take(&mut live.sides[side].is_parked),
                _ => false,
            };
            if is_parked {
                self.receive(pair, side);
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry, token: u64) {
        let entry = entry.user_data(token);
        // SAFETY: buffers and entries are never unmapped; a message, an address and a socket belong to a pair, which is
        // dropped only when nothing is in flight on it.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            let _ = self.ring.submit();
        }
    }

    fn post(&mut self) {
        let before = self.tail;
        while self.posted < usize::from(POSTED)
            && let Some(buffer) = self.spare.pop()
        {
            // SAFETY: within the mapped entries; the kernel does not read behind the published tail.
            let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & (POSTED - 1))) };
            entry.set_addr(self.address(buffer) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            self.posted += 1;
        }
        if self.tail != before {
            // SAFETY: the tail lies in the mapped entries, and only this thread writes it.
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) }
                .store(self.tail, Ordering::Release);
        }
    }

    fn address(&self, buffer: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(buffer) * STRIDE_BYTES)
    }

    fn accept(&mut self) {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        self.push(accept.build(), token(ACCEPT, 0, 0));
    }

    fn complete(&mut self, entry: &cqueue::Entry) {
        let has_more = cqueue::more(entry.flags());
        let (operation, pair, side) = (
            entry.user_data() & 0xf,
            (entry.user_data() >> 8) as usize,
            (entry.user_data() >> 4 & 0xf) as usize,
        );
        if operation == ACCEPT {
            if entry.result() >= 0 {
                // SAFETY: a completion of an accept carries a fresh descriptor.
                self.connect(unsafe { OwnedFd::from_raw_fd(entry.result()) });
            }
            if !has_more {
                self.accept();
            }
            return;
        }
        let buffer = cqueue::buffer_select(entry.flags());
        if buffer.is_some() {
            self.posted -= 1;
        }
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        if !has_more {
            live.in_flight -= 1;
        }
        match operation {
            CONNECT if entry.result() == 0 => {
                self.receive(pair, 0);
                self.receive(pair, 1);
            }
            CONNECT => self.break_pair(pair),
            RECEIVE => self.received(pair, side, entry.result(), buffer, has_more),
            _ => self.sent(pair, side, entry.result()),
        }
        self.free_if_over(pair);
    }

    fn connect(&mut self, client: OwnedFd) {
        let Ok(socket) = Socket::new(Domain::for_address(self.backend), Type::STREAM, None) else { return };
        let _ = socket.set_tcp_nodelay(true);
        let pair = self.free.pop().unwrap_or(self.pairs.len());
        if pair == self.pairs.len() {
            self.pairs.push(None);
        }
        let side = |socket| Side {
            socket,
            queue: VecDeque::new(),
            // SAFETY: a message header of zeros is an empty one.
            message: Box::new((unsafe { std::mem::zeroed() }, [NOTHING; PIECES_MAX])),
            is_sending: false,
            is_receiving: false,
            is_parked: false,
            is_over: false,
        };
        let live = Pair {
            sides: [side(client), side(socket.into())],
            address: Box::new(self.backend.into()),
            in_flight: 1,
            is_broken: false,
        };
        let connect = opcode::Connect::new(
            Fd(live.sides[1].socket.as_raw_fd()),
            live.address.as_ptr().cast(),
            live.address.len(),
        );
        let connect = connect.build();
        self.pairs[pair] = Some(live);
        self.push(connect, token(CONNECT, pair, 1));
    }

    fn receive(&mut self, pair: usize, side: usize) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        if live.sides[side].is_over || live.sides[side].is_receiving || live.is_broken {
            return;
        }
        live.sides[side].is_receiving = true;
        live.in_flight += 1;
        let receive = opcode::RecvMulti::new(Fd(live.sides[side].socket.as_raw_fd()), 0).build();
        self.push(receive, token(RECEIVE, pair, side));
    }

    fn received(&mut self, pair: usize, side: usize, result: i32, buffer: Option<u16>, has_more: bool) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        live.sides[side].is_receiving = has_more;
        match (result, buffer) {
            (1.., Some(buffer)) if !live.is_broken => {
                let other = &mut live.sides[1 - side];
                other.queue.push_back((buffer, 0, result as usize));
                if other.queue.len() == 1 && !other.is_sending {
                    self.ready.push((pair, 1 - side));
                }
            }
            (_, Some(buffer)) => self.spare.push(buffer),
            (0, None) => {
                live.sides[side].is_over = true;
                self.finish_if_sent(pair, 1 - side);
            }
            (error, None) if error == -libc::ENOBUFS => {
                live.sides[side].is_parked = true;
                return self.parked.push_back((pair, side));
            }
            (_, None) => self.break_pair(pair),
        }
        if !has_more {
            self.receive(pair, side);
        }
    }

    fn send(&mut self, pair: usize, side: usize) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        let target = &mut live.sides[side];
        if target.is_sending || target.queue.is_empty() || live.is_broken {
            return;
        }
        target.is_sending = true;
        live.in_flight += 1;
        let socket = Fd(target.socket.as_raw_fd());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let memory = self.memory;
        let at = |buffer: u16, start: usize| memory.wrapping_add(usize::from(buffer) * STRIDE_BYTES + start);
        let entry = if let [(buffer, start, len)] = *target.queue.make_contiguous() {
            opcode::Send::new(socket, at(buffer, start), len as u32).flags(flags).build()
        } else {
            let (header, pieces) = &mut *target.message;
            header.msg_iovlen = 0;
            for (piece, (buffer, start, len)) in pieces.iter_mut().zip(&target.queue) {
                *piece = libc::iovec { iov_base: at(*buffer, *start).cast(), iov_len: *len };
                header.msg_iovlen += 1;
            }
            header.msg_iov = pieces.as_mut_ptr();
            opcode::SendMsg::new(socket, &raw const *header).flags(flags as u32).build()
        };
        self.push(entry, token(SEND, pair, side));
    }

    fn sent(&mut self, pair: usize, side: usize, result: i32) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        let target = &mut live.sides[side];
        target.is_sending = false;
        let mut left = result.max(0) as usize;
        while let Some((buffer, start, len)) = target.queue.front_mut() {
            if left < *len {
                *start += left;
                *len -= left;
                break;
            }
            left -= *len;
            self.spare.push(*buffer);
            target.queue.pop_front();
        }
        if result < 0 {
            self.break_pair(pair);
        } else if target.queue.is_empty() {
            self.finish_if_sent(pair, side);
        } else {
            self.ready.push((pair, side));
        }
    }

    /// Passes a FIN on when all before it is sent.
    fn finish_if_sent(&mut self, pair: usize, side: usize) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        let target = &live.sides[side];
        if live.sides[1 - side].is_over && target.queue.is_empty() && !target.is_sending {
            let _ = SockRef::from(&target.socket).shutdown(Shutdown::Write);
        }
    }

    /// A reset becomes a reset.
    fn break_pair(&mut self, pair: usize) {
        let Some(Some(live)) = self.pairs.get_mut(pair) else { return };
        live.is_broken = true;
        for side in &mut live.sides {
            side.is_over = true;
            let _ = SockRef::from(&side.socket).set_linger(Some(std::time::Duration::ZERO));
            let _ = SockRef::from(&side.socket).shutdown(Shutdown::Both);
            if !side.is_sending {
                self.spare.extend(side.queue.drain(..).map(|(buffer, ..)| buffer));
            }
        }
    }

    fn free_if_over(&mut self, pair: usize) {
        let is_over = self.pairs[pair].as_ref().is_some_and(|live| {
            live.in_flight == 0
                && live.sides.iter().all(|side| side.is_over && (live.is_broken || side.queue.is_empty()))
        });
        if is_over && let Some(live) = self.pairs[pair].take() {
            for side in live.sides {
                self.spare.extend(side.queue.iter().map(|(buffer, ..)| *buffer));
            }
            self.free.push(pair);
        }
    }
}
