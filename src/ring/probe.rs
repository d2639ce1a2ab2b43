//! Asks the kernel at the start whether a relay can run on it, and says in one message what is missing and how to fix it.
//!
//! Linux 6.1 is the oldest kernel that works: `DEFER_TASKRUN` is the newest feature that the relay cannot do without, so its
//! setup flag is the test. Newer features are used where the ring's feature bits offer them. Version strings decide nothing.

use super::buffer_ring::BufferRing;
use super::freed_memory::when_memory_is_freed;
use super::kernel_ring::{receive_multishot, set_up};
use crate::limits::RELAY_SUBMISSION_ENTRIES;
use io_uring::{IoUring, Probe, opcode};
use std::io;
use std::os::fd::OwnedFd;

/// Why no relay can run here, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// `kernel.io_uring_disabled` is 1 or 2 (Linux 6.6).
    #[error(
        "cannot set up ring: io_uring disabled (kernel.io_uring_disabled={0}); set it to 0 with sysctl, or, if it is 1, run in the group of kernel.io_uring_group"
    )]
    Disabled(u8),
    /// The call is refused although the kernel has it.
    #[error(
        "cannot set up ring: io_uring_setup is not permitted; a seccomp filter refuses it (in a container or a unit's SystemCallFilter): allow io_uring_setup, io_uring_enter and io_uring_register"
    )]
    NotPermitted,
    /// The kernel was built without it, or a filter hides it.
    #[error(
        "cannot set up ring: this kernel has no io_uring, or a seccomp filter hides it; use Linux 6.1 or newer built with CONFIG_IO_URING, and allow its calls"
    )]
    Missing,
    /// The kernel is too old.
    #[error(
        "cannot set up ring: this kernel ({release}) is too old, it has no {lacking}; use Linux 6.1 or newer"
    )]
    TooOld {
        /// The release that `uname` reports.
        release: String,
        /// The missing feature.
        lacking: &'static str,
    },
    /// Locked memory counts against a limit (before Linux 5.12 always, later in some set-ups).
    #[error("cannot set up ring: not enough lockable memory; raise LimitMEMLOCK in the unit, or ulimit -l")]
    NoMemory,
    /// Too few descriptors are left.
    #[error("cannot set up ring: too many open files; raise LimitNOFILE in the unit, or ulimit -n")]
    NoDescriptors,
    /// Something else.
    #[error("cannot set up ring: {0}")]
    Other(io::Error),
}

impl ProbeError {
    /// Reads a refused set-up: what the call said, and `kernel.io_uring_disabled` if the kernel has it.
    pub fn from_set_up(error: io::Error, disabled: Option<u8>, release: &str) -> Self {
        match (error.raw_os_error(), disabled) {
            (Some(libc::EPERM), Some(level @ 1..)) => Self::Disabled(level),
            (Some(libc::EPERM | libc::EACCES), _) => Self::NotPermitted,
            (Some(libc::ENOSYS), _) => Self::Missing,
            (Some(libc::EINVAL), _) => {
                Self::TooOld { release: release.to_owned(), lacking: "deferred task work (DEFER_TASKRUN)" }
            }
            (Some(libc::ENOMEM), _) => Self::NoMemory,
            (Some(libc::EMFILE | libc::ENFILE), _) => Self::NoDescriptors,
            _ => Self::Other(error),
        }
    }
}

/// Sets up a ring and throws it away.
///
/// # Errors
/// Why it cannot be, and what the operator can do.
pub fn probe() -> Result<(), ProbeError> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let ring = when_memory_is_freed(|| set_up(RELAY_SUBMISSION_ENTRIES))
        .map_err(|error| ProbeError::from_set_up(error, disabled_level(), &release))?;
    let mut operations = Probe::new();
    ring.submitter().register_probe(&mut operations).map_err(ProbeError::Other)?;
    for (code, lacking) in [
        (opcode::RecvMulti::CODE, "receive operation"),
        (opcode::Send::CODE, "send operation"),
        (opcode::SendMsg::CODE, "vectored send operation"),
        (opcode::AsyncCancel::CODE, "cancel operation"),
        (opcode::PollAdd::CODE, "poll operation"),
    ] {
        if !operations.is_supported(code) {
            return Err(ProbeError::TooOld { release, lacking });
        }
    }
    let buffer_ring =
        BufferRing::register(&ring).map_err(|_| ProbeError::TooOld { release, lacking: "buffer rings" })?;
    buffer_ring.close(&ring).map_err(ProbeError::Other)
}

/// Whether the kernel counts a ring's memory as locked by this process. To be asked while the process may lock none.
pub fn ring_memory_is_counted() -> bool {
    set_up(RELAY_SUBMISSION_ENTRIES).is_err_and(|error| error.raw_os_error() == Some(libc::ENOMEM))
}

/// Whether a multishot receive may be told when to let others go first, and when to end (Linux 6.17). Older kernels refuse the fields.
///
/// # Errors
/// No descriptor is left for it, or the ring failed.
#[expect(unsafe_code, reason = "queues an operation for the kernel")]
pub(super) fn caps_receives(ring: &mut IoUring) -> io::Result<bool> {
    let (inside, _) = std::os::unix::net::UnixStream::pair()?;
    let inside = OwnedFd::from(inside);
    // Its other end is gone: it is answered at once, whatever the kernel makes of the fields.
    let receive = receive_multishot(&inside, true);
    // SAFETY: no buffer is posted, so it writes to none; its socket outlives its only completion, which is awaited.
    unsafe { ring.submission().push(&receive) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let answer = ring.completion().next();
    Ok(answer.is_some_and(|answer| answer.result() != -libc::EINVAL))
}

fn disabled_level() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_remedy() {
        let message = |errno, disabled| {
            ProbeError::from_set_up(io::Error::from_raw_os_error(errno), disabled, "5.15.0").to_string()
        };
        for (errno, disabled, parts) in [
            (libc::EPERM, Some(2), ["kernel.io_uring_disabled=2", "set it to 0"]),
            (libc::EPERM, Some(1), ["kernel.io_uring_disabled=1", "io_uring_group"]),
            (libc::EPERM, Some(0), ["seccomp", "allow io_uring_setup"]),
            (libc::EPERM, None, ["seccomp", "allow io_uring_setup"]),
            (libc::ENOSYS, None, ["no io_uring", "Linux 6.1"]),
            (libc::EINVAL, None, ["5.15.0", "Linux 6.1"]),
            (libc::ENOMEM, None, ["lockable memory", "LimitMEMLOCK"]),
            (libc::EMFILE, None, ["open files", "LimitNOFILE"]),
        ] {
            let message = message(errno, disabled);
            for part in parts {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn this_kernel_can_run_a_relay() {
        probe().expect("the tests need a kernel with io_uring");
    }
}
