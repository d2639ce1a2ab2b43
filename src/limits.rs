//! Every compiled-in bound, with its unit, and how they relate.
//!
//! A bound that an operator may change has its default and its allowed range here too; where it is read from is said
//! by the configuration reference in the README.

use core::time::Duration;

/// Largest request or response head, in bytes, its final empty line included. Over it: 431 (a backend's head: 502).
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields in one head. Over it: 431 (a backend's head: 502).
pub const HEADERS_MAX: usize = 100;

/// Longest request target, in bytes. Over it: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Bytes owed to one leg at which the other one is no longer read. Default 512 KiB.
///
/// It bounds what a session holds in received buffers per direction (one burst beyond it may be on its way). Raising it
/// buys throughput of large messages on long paths, at so many bytes of the relay's buffers for each slow reader.
pub const OWED_BYTES_HIGH: u64 = 512 * 1024;

/// Bytes owed to one leg at which the other one is read again.
pub const OWED_BYTES_LOW: u64 = 128 * 1024;

const _: () = assert!(OWED_BYTES_LOW < OWED_BYTES_HIGH);

/// Bytes that one received buffer holds. 64 KiB: bulk then moves in few large sends, and a small message touches only
/// the first lines of its buffer.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes in front of a received buffer, for the start of a header that an earlier buffer ended with.
pub const BUFFER_HEADROOM_BYTES: usize = 64;

/// Bytes behind a received buffer, so that the buffers' first lines do not all fall into the same sets of the cache.
pub const BUFFER_SKEW_BYTES: usize = 192;

/// Received buffers of one relay: 64 MiB of address space, of which only what was used takes memory.
pub const BUFFERS_PER_RELAY: u16 = 1024;

/// Received buffers that are posted to the kernel at once; a power of two. They are what one turn can receive.
pub const BUFFERS_POSTED: u16 = 256;

const _: () = assert!(BUFFER_HEADROOM_BYTES > crate::websocket::scanner::HELD_BYTES_MAX);
const _: () = assert!(BUFFERS_POSTED.is_power_of_two() && BUFFERS_POSTED <= BUFFERS_PER_RELAY);
const _: () = assert!(BUFFER_BYTES < u32::MAX as usize);

/// Most pieces in one vectored send (`iovec`s of a `sendmsg`; the system's IOV_MAX is 1,024).
pub const SEND_PIECES_MAX: usize = 64;

/// Entries of the relay's submission queue. More operations than that in one turn are submitted in between.
pub const RELAY_SUBMISSION_ENTRIES: u32 = 1024;

/// Entries of the relay's completion queue. A full one ends multishot receives early; they are armed again.
pub const RELAY_COMPLETION_ENTRIES: u32 = 16 * 1024;
/// Connections that one listener's queue holds until its worker accepts them. The kernel caps it at
/// `net.core.somaxconn`; over it, the kernel drops the client's SYN, which the client repeats a second later.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Open files of one session: the client's socket and the backend's.
pub const OPEN_FILES_PER_SESSION: u64 = 2;

/// Open files that are never given to sessions: logs, catalogue, admin API, look-ups, the control runtime.
const OPEN_FILES_RESERVE: u64 = 256;

/// Open files per worker that are never given to sessions: its listeners, rings, wake-ups, and refusals that linger.
const OPEN_FILES_RESERVE_PER_WORKER: u64 = 64;

/// Open files that an instance of `workers` keeps back from its sessions. Checked at the start: the limit of open files
/// less this, halved, is the most sessions that may be configured, and the default.
pub const fn open_files_reserve(workers: usize) -> u64 {
    OPEN_FILES_RESERVE + OPEN_FILES_RESERVE_PER_WORKER * workers as u64
}

/// Questions that may wait for the resolver's task to take them, which it does at once. Over it: the fault `IsBusy`.
pub const RESOLVER_QUEUE_MAX: usize = 4096;

/// Askers that may wait for look-ups in progress, over all names. Over it: the fault `IsBusy`. About 100 bytes each.
pub const RESOLVER_WAITERS_MAX: usize = 64 * 1024;

/// Look-ups in progress at once, each on a blocking thread of the control runtime (which has 512). Over it, a name that
/// is neither known nor being looked up gets the fault `IsBusy`.
pub const RESOLVER_LOOKUPS_MAX: usize = 64;

/// Names whose addresses are remembered. Over it the oldest answer is forgotten. About 1 KiB each at most.
pub const RESOLVER_ANSWERS_MAX: usize = 1024;

/// Addresses of one name that are tried; the rest are ignored.
pub const RESOLVER_ADDRESSES_MAX: usize = 16;

/// How long the addresses of a name are used. Raising it spares look-ups and keeps dialling a backend that has moved.
pub const RESOLVER_ANSWER_LIFETIME: Duration = Duration::from_secs(5);

/// Largest message, and largest frame, in bytes, that the built-in echo backend takes. Over it: it
/// drops the connection, without a Close.
pub const ECHO_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a connection to the built-in echo backend may take over its opening handshake. Over it: closed.
pub const ECHO_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the built-in echo backend waits after an accept that failed, before it tries again.
pub const ECHO_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
