//! Pipes that move bytes from socket to socket without copying them.
//!
//! Plain system calls: the ring's splice operation always goes through a kernel worker thread.
//!
//! Not here: which bytes may take this way (`relay::splicing`).

use crate::limits::{SPLICE_PIPE_BYTES, SPLICE_PIPES_PER_RELAY};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

/// A pipe in use: one direction of one session. It goes back to its ring ([`super::Ring::return_pipe`]).
#[derive(Debug)]
pub struct Pipe {
    /// Its number and one: never 0, so that a pipe that is not there, which every carrier has, takes no more room.
    number_and_one: NonZeroU16,
    /// A pipe has room for far less than 4 GiB (`SPLICE_PIPE_BYTES`).
    bytes: u32,
}

impl Pipe {
    /// The empty pipe of that number.
    pub fn new(number: u16) -> Self {
        Self { number_and_one: NonZeroU16::MIN.saturating_add(number), bytes: 0 }
    }

    /// Which of its ring's pipes it is.
    pub fn number(&self) -> u16 {
        self.number_and_one.get() - 1
    }

    /// Bytes that are in it.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// So many bytes went in.
    pub fn filled(&mut self, bytes: usize) {
        self.bytes += bytes as u32;
    }

    /// So many bytes went out: no more than there are, because no more are asked for (splice(2)).
    pub fn emptied(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u32);
    }
}

const _: () = assert!(size_of::<Option<Pipe>>() == 8 && SPLICE_PIPES_PER_RELAY < u16::MAX as usize);

/// Both ends of a pipe.
#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Ends {
    fn open() -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A smaller one does it too, in more turns.
        let _ = fcntl_setpipe_size(&write, SPLICE_PIPE_BYTES);
        Some(Self { read, write })
    }
}

/// The pipes of a relay: opened at once, so that its open files do not come and go with its load.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    /// `None`: it could not be opened; that is tried again when it is needed.
    ends: Vec<Option<Ends>>,
    free: Vec<u16>,
}

impl Pipes {
    pub(super) fn open() -> Self {
        let ends = (0..SPLICE_PIPES_PER_RELAY).map(|_| Ends::open()).collect();
        Self { ends, free: (0..SPLICE_PIPES_PER_RELAY as u16).rev().collect() }
    }

    pub(super) fn take(&mut self) -> Option<Pipe> {
        let number = self.free.pop()?;
        let ends = &mut self.ends[usize::from(number)];
        if ends.is_none() {
            *ends = Ends::open();
        }
        if ends.is_none() {
            self.free.push(number);
            return None;
        }
        Some(Pipe::new(number))
    }

    pub(super) fn put_back(&mut self, pipe: Pipe) {
        if pipe.bytes() > 0 {
            // What is in it goes with it.
            let ends = &mut self.ends[usize::from(pipe.number())];
            *ends = None;
            *ends = Ends::open();
        }
        self.free.push(pipe.number());
    }

    pub(super) fn splice_in(&self, socket: &OwnedFd, pipe: &mut Pipe, bytes_max: usize) -> i32 {
        let Some(ends) = &self.ends[usize::from(pipe.number())] else { return -libc::EBADF };
        // A splice waits for a socket that is not set to non-blocking, whatever its flags say (Linux, tcp_splice_read), and
        // sockets of a ring are not. It does not wait when there is something.
        if rustix::io::ioctl_fionread(socket).unwrap_or(0) == 0 {
            return -libc::EAGAIN;
        }
        let moved = move_bytes(socket, &ends.write, bytes_max);
        pipe.filled(moved.max(0) as usize);
        moved
    }

    pub(super) fn splice_out(&self, socket: &OwnedFd, pipe: &mut Pipe) -> i32 {
        let Some(ends) = &self.ends[usize::from(pipe.number())] else { return -libc::EBADF };
        // Whether a splice waits for room is for the socket to say too (Linux, splice_to_socket); sockets of a ring must not be
        // non-blocking, or its operations would not wait. Operations of this ring go on in its turns only, hence not in between.
        if rustix::io::ioctl_fionbio(socket, true).is_err() {
            return -libc::EBADF;
        }
        // Towards a broken connection this raises SIGPIPE, which Rust's runtime ignores.
        let moved = move_bytes(&ends.read, socket, pipe.bytes());
        let _ = rustix::io::ioctl_fionbio(socket, false);
        pipe.emptied(moved.max(0) as usize);
        moved
    }
}

fn move_bytes(from: &OwnedFd, to: &OwnedFd, bytes_max: usize) -> i32 {
    match splice(from, None, to, None, bytes_max, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
        Ok(moved) => moved as i32,
        Err(error) => -Errno::raw_os_error(error),
    }
}
