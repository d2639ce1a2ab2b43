//! Readiness of many sockets (epoll), and the clock that both ends share.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Nanoseconds of the monotonic clock; the same in every process of the machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The readiness of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number it was added with.
    pub key: u64,
    /// Bytes, or an end, can be read.
    pub is_readable: bool,
    /// Bytes can be written.
    pub is_writable: bool,
}

/// Most events that one wait takes.
const EVENTS_MAX: usize = 1024;

/// A set of watched sockets.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches a socket, for reading and, if `wants_write`, for writing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, socket: impl AsFd, key: u64, wants_write: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key), flags(wants_write))?)
    }

    /// Changes what a socket is watched for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn modify(&self, socket: impl AsFd, key: u64, wants_write: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(key), flags(wants_write))?)
    }

    /// Watches a socket no more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits until `until_ns` at the latest (to the nanosecond by `epoll_pwait2`, Linux 5.11: rustix has it behind a feature,
    /// and rounds up to a millisecond without it) for sockets to become ready, and appends them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, until_ns: u64, ready: &mut Vec<Ready>) -> io::Result<()> {
        let left = until_ns.saturating_sub(now_ns());
        let limit =
            Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 };
        let mut events = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            let is_over = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
            Ready {
                key: event.data.u64(),
                is_readable: is_over || flags.contains(EventFlags::IN),
                is_writable: is_over || flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

fn flags(wants_write: bool) -> EventFlags {
    if wants_write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}
