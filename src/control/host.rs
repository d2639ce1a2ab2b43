//! Whether the host meets the needs of an instance: gathered in one place, judged by one function, for `serve` and for `check --host`.
//!
//! ```text
//! this process, or a systemd unit ─► HostFacts ─┐
//!                                               ├─► judge ─► faults, warnings
//! the instance file ─────────────► HostNeeds ───┘
//! ```
//!
//! The property to trust: [`judge`] depends on its arguments alone, so `serve` and `check --host` give one verdict in the same words.
//!
//! Not here: addresses (`addresses`), and the limits of a unit (`cli::check`).

pub mod addresses;
mod holder;

use core::fmt;
use std::io;

pub use holder::holder_of;

use crate::config::{InstanceConfig, SessionsFrom};
use crate::control::files::looker::lines;
use crate::front::front_ring_bytes;
use crate::limits::open_files_reserve;
use crate::process::host_limits::{
    ThreadLimit, ThreadRoom, raise_locked_memory, thread_rooms, without_locked_memory,
};
use crate::process::open_files::{RequestedRoom, TooManySessions, fit, open_files_hard};
use crate::ring::probe::{ProbeError, probe, ring_memory_is_counted};
use crate::ring::relay_ring_bytes;
use crate::telemetry::sinks::SINK_THREADS_MAX;

/// Threads of an instance besides the two of each worker: the control thread, the log, the services, the observer, the files, those
/// that wait for files and names, and those that write rows of the log.
const THREADS_BESIDES_WORKERS: u64 = 9 + SINK_THREADS_MAX;

/// Numbers of sessions below this are worth a warning, where only the limit of open files determines them.
const FEW_SESSIONS: u64 = 1_000;

/// The facts of a host that instances depend on.
#[derive(Debug)]
pub struct HostFacts {
    /// The unit whose limits these are. `None`: they are this process's.
    pub unit: Option<String>,
    /// Whether the kernel can run a relay.
    pub ring: Result<(), ProbeError>,
    /// The most open files.
    pub open_files: u64,
    /// The most locked memory, in bytes.
    pub locked_memory: u64,
    /// Whether the kernel counts the memory of rings as locked: since Linux 6.14, unless the process has CAP_IPC_LOCK.
    pub is_ring_memory_counted: bool,
    /// The limits of threads.
    pub threads: Vec<ThreadRoom>,
}

/// The needs of an instance.
#[derive(Clone, Copy, Debug)]
pub struct HostNeeds {
    /// Its workers.
    pub workers: usize,
    /// Its sessions and openings.
    pub room: RequestedRoom,
    /// Open files of other parts of the process, such as the built-in echo backend.
    pub other_open_files: u64,
}

/// A need that the host does not meet. Each fault names the need, the actual value, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum HostFault {
    /// The kernel cannot run a relay.
    #[error(transparent)]
    Ring(#[from] ProbeError),
    /// Too few open files for the sessions.
    #[error(transparent)]
    OpenFiles(#[from] TooManySessions),
    /// Too little memory may be locked for the rings of the workers.
    #[error(transparent)]
    LockedMemory(#[from] TooLittleLockedMemory),
    /// Too few threads.
    #[error(transparent)]
    Threads(#[from] TooFewThreads),
}

/// Rings that do not fit in the limit of locked memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot hold the rings of {workers} worker{}: they need {} KiB of locked memory, and the limit is {} KiB; raise \
     LimitMEMLOCK= in the unit or ulimit -l to {} KiB or more{}",
    plural(*.workers as u64), .needed.div_ceil(1024), .limit / 1024, .needed.div_ceil(1024), fewer_workers(*.limit)
)]
pub struct TooLittleLockedMemory {
    /// The workers.
    pub workers: usize,
    /// Bytes needed.
    pub needed: u64,
    /// Bytes available.
    pub limit: u64,
}

/// A refusal of memory for a ring by the kernel, although the earlier check found room for it: other processes of the user
/// have locked memory too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the kernel gives no memory for the ring of a worker; raise LimitMEMLOCK= in the unit or ulimit -l, which count all processes of \
     the user, or lower workers"
)]
pub struct NoRingMemory;

impl NoRingMemory {
    /// Whether an error of the kernel means this.
    pub fn is_told_by(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ENOMEM)
    }
}

/// Threads that do not fit in a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewThreads {
    /// The workers.
    pub workers: usize,
    /// Threads that the instance needs.
    pub needed: u64,
    /// The limit that they exceed.
    pub room: ThreadRoom,
}

impl core::error::Error for TooFewThreads {}

impl fmt::Display for TooFewThreads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, needed, room: ThreadRoom { from, limit, used } } = self;
        let (whose, remedy) = match from {
            ThreadLimit::User => ("the user", "LimitNPROC= in the unit or ulimit -u"),
            ThreadLimit::ControlGroup => ("the control group", "TasksMax= in the unit or pids.max"),
        };
        write!(
            formatter,
            "cannot start the {needed} threads of {workers} worker{}: {whose} may have {limit} and has {used}; raise {remedy} to {} \
             or more, or lower workers",
            plural(*workers as u64),
            needed + used
        )
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The alternative remedy, if the limit has room for any worker.
fn fewer_workers(limit: u64) -> String {
    match limit.saturating_sub(relay_ring_bytes()) / ring_bytes_per_worker() {
        0 => String::new(),
        workers => format!(", or lower workers to {workers}"),
    }
}

/// Locked memory of one worker, in bytes: the rings of its relay and its front.
fn ring_bytes_per_worker() -> u64 {
    relay_ring_bytes() + front_ring_bytes()
}

/// Locked memory that the rings of so many workers need, in bytes. The test ring of the start may not be freed yet, and counts
/// as well.
pub fn ring_bytes(workers: usize) -> u64 {
    workers as u64 * ring_bytes_per_worker() + relay_ring_bytes()
}

/// The faults that keep an instance from starting on the host, a line each.
#[derive(Debug, thiserror::Error)]
#[error("cannot start on this host{}", lines(.0))]
pub struct HostLacks(pub Vec<HostFault>);

impl HostNeeds {
    /// Returns the needs of an instance of `config` with so many workers.
    pub fn of(config: &InstanceConfig, workers: usize, other_open_files: u64) -> Self {
        let limits = &config.limits;
        let room = RequestedRoom { sessions: limits.sessions_from(), openings: limits.openings_max };
        Self { workers, room, other_open_files }
    }
}

impl HostFacts {
    /// Gathers the facts of this process with its soft limits at the hard ones; raises the limit of locked memory for that.
    pub fn of_this_process() -> Self {
        let ring = probe();
        let is_ring_memory_counted =
            ring.is_ok() && without_locked_memory(ring_memory_is_counted).unwrap_or(false);
        Self {
            unit: None,
            ring,
            open_files: open_files_hard(),
            locked_memory: raise_locked_memory(),
            is_ring_memory_counted,
            threads: thread_rooms(),
        }
    }
}

/// The faults and warnings about a host.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Faults that keep an instance from starting.
    pub faults: Vec<HostFault>,
    /// Conditions with which it would start, but which are probably not intended.
    pub warnings: Vec<String>,
}

/// Judges whether the host meets the needs of an instance.
pub fn judge(facts: HostFacts, needs: &HostNeeds) -> Judgement {
    let HostFacts { unit, ring, open_files, locked_memory, is_ring_memory_counted, threads } = facts;
    let workers = needs.workers;
    let mut judgement = Judgement::default();
    judgement.faults.extend(ring.err().map(HostFault::from));
    match fit(needs.room, open_files, open_files_reserve(workers) + needs.other_open_files) {
        Err(fault) => judgement.faults.push(fault.into()),
        Ok(room) if needs.room.sessions == SessionsFrom::OpenFiles && room.sessions < FEW_SESSIONS => {
            let whose = unit.map(|unit| format!(" of {unit}")).unwrap_or_default();
            judgement.warnings.push(format!(
                "only {} session{} will fit: the limit of open files{whose} is {open_files}; raise LimitNOFILE= in the unit or \
                 ulimit -n, or set limits.connections_max to say that this is enough",
                room.sessions,
                plural(room.sessions)
            ));
        }
        Ok(_) => {}
    }
    let needed = ring_bytes(workers);
    if is_ring_memory_counted && needed > locked_memory {
        judgement.faults.push(TooLittleLockedMemory { workers, needed, limit: locked_memory }.into());
    }
    let needed = 2 * workers as u64 + THREADS_BESIDES_WORKERS;
    let full = threads.into_iter().find(|room| room.used.saturating_add(needed) > room.limit);
    judgement.faults.extend(full.map(|room| TooFewThreads { workers, needed, room }.into()));
    judgement
}

#[cfg(test)]
mod tests;
