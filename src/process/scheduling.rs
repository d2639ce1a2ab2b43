//! Priorities of threads: a relay comes first (a short slice), then its front (SCHED_BATCH and a positive nice value), and the
//! services last (a larger nice value).
//!
//! A storm of handshakes on a core must not be felt by the sessions of its relay. SCHED_BATCH keeps a thread that wakes up from
//! preempting the running one; the nice value decides how they share the core. A running thread may finish its slice,
//! milliseconds, before one that wakes up gets the core, unless that one's own slice is shorter (EEVDF, Linux 6.12).
//!
//! None of these needs a privilege. They apply to the calling thread and to threads that it starts later. If the kernel refuses
//! one (a seccomp filter), the gateway works all the same, only less evenly: report it and go on.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};

/// Slice of a relay thread: the shortest that the kernel takes. A turn of a relay seldom takes longer.
const RELAY_SLICE_NS: u64 = 100_000;

/// Nice value of a front thread: it gets about a third of the weight of a thread at 0 while both want the core.
const FRONT_NICE: i32 = 5;

/// Nice value of the thread of the services: it gets about a tenth of the weight of a thread at 0 while both want the core.
const SERVICES_NICE: i32 = 10;

/// The call that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum SchedulingFault {
    /// The policy stayed as it was; the nice value was not tried.
    #[error("cannot make the thread SCHED_BATCH: {0}")]
    KeptItsPolicy(#[source] io::Error),
    /// The thread is SCHED_BATCH, but as nice as it was.
    #[error("cannot set the nice value of the thread to {FRONT_NICE}: {0}")]
    KeptItsNiceValue(#[source] io::Error),
}

/// Gives the calling thread a short slice, so that it gets the core soon when it wakes up. Linux before 6.12 takes the call and
/// changes nothing.
///
/// # Errors
/// The kernel's refusal; not fatal.
#[expect(unsafe_code, reason = "rustix has no call for a slice")]
pub fn shorten_slice() -> io::Result<()> {
    // `struct sched_attr` of sched_setattr(2) in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: getpriority_process(None)?,
        priority: 0,
        runtime: RELAY_SLICE_NS,
        deadline: 0,
        period: 0,
    };
    // SAFETY: 0 is the calling thread; the kernel reads `size` bytes at `attributes`, which outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the calling thread SCHED_BATCH with nice +5; a thread that is nicer already stays so.
///
/// # Errors
/// The kernel's refusal; not fatal.
pub fn give_way() -> Result<(), SchedulingFault> {
    set_batch().map_err(SchedulingFault::KeptItsPolicy)?;
    set_nice(FRONT_NICE).map_err(SchedulingFault::KeptItsNiceValue)
}

/// Makes the calling thread nice +10, for work that nothing waits for which carries or opens sessions; a thread that is nicer
/// already stays so.
///
/// # Errors
/// The kernel's refusal; not fatal.
pub fn come_last() -> io::Result<()> {
    set_nice(SERVICES_NICE)
}

/// Makes the calling thread SCHED_BATCH with nice +10, for work in batches that nothing waits for; a thread that is nicer already
/// stays so.
///
/// # Errors
/// The kernel's refusal; not fatal.
pub fn come_last_in_batches() -> io::Result<()> {
    set_batch()?;
    come_last()
}

/// Raises the nice value of the calling thread, which is what "the process", unnamed, means to these calls on Linux.
fn set_nice(nice: i32) -> io::Result<()> {
    // Lowering it, when the unit started the process nicer than that, would need a privilege and miss the point.
    if getpriority_process(None)? < nice {
        setpriority_process(None, nice)?;
    }
    Ok(())
}

/// Puts the calling thread under SCHED_BATCH.
#[expect(unsafe_code, reason = "rustix has no call for the scheduling policy")]
fn set_batch() -> io::Result<()> {
    // The only priority that this policy takes, and the struct's only field: an int.
    let priority: libc::c_int = 0;
    // The system call and not libc's function, which some C libraries only pretend to have.
    // SAFETY: 0 is the calling thread; the kernel reads one int at `priority`, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const priority) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy and nice value of the calling thread, from `proc_pid_stat(5)`: fields 41 and 19.
    fn policy_and_nice() -> (i32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').expect("the second field is in parentheses");
        let field = |number: usize| fields.split_whitespace().nth(number - 3).unwrap().parse().unwrap();
        (field(41), field(19))
    }

    #[test]
    fn makes_one_thread_give_way_and_leaves_the_others_alone() {
        let before = policy_and_nice();
        let changed = std::thread::spawn(|| {
            give_way().unwrap();
            policy_and_nice()
        });
        assert_eq!(changed.join().unwrap(), (libc::SCHED_BATCH, before.1.max(FRONT_NICE)));
        assert_eq!(policy_and_nice(), before);
    }

    #[test]
    fn what_comes_last_is_nicer_than_a_front_and_stays_under_its_policy() {
        let before = policy_and_nice();
        let changed = std::thread::spawn(|| {
            come_last().unwrap();
            policy_and_nice()
        });
        assert_eq!(changed.join().unwrap(), (before.0, before.1.max(SERVICES_NICE)));
        const { assert!(SERVICES_NICE > FRONT_NICE) };
    }

    #[test]
    fn what_comes_last_in_batches_is_as_nice_and_wakes_up_without_preempting() {
        let before = policy_and_nice();
        let changed = std::thread::spawn(|| {
            come_last_in_batches().unwrap();
            policy_and_nice()
        });
        assert_eq!(changed.join().unwrap(), (libc::SCHED_BATCH, before.1.max(SERVICES_NICE)));
    }

    #[test]
    fn a_short_slice_changes_neither_policy_nor_nice_value() {
        let changed = std::thread::spawn(|| {
            setpriority_process(None, 3).unwrap();
            shorten_slice().unwrap();
            (policy_and_nice(), slice_ns())
        });
        let (after, slice) = changed.join().unwrap();
        assert_eq!(after, (libc::SCHED_OTHER, 3));
        // Kernels before 6.12 have no slices of threads' own and say 0.
        assert!(slice == Some(RELAY_SLICE_NS) || slice == Some(0) || slice.is_none(), "{slice:?}");
    }

    /// The slice of the calling thread as `/proc` shows it where the kernel is built to.
    fn slice_ns() -> Option<u64> {
        let text = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = text.lines().find(|line| line.starts_with("se.slice"))?;
        line.rsplit(':').next()?.trim().parse().ok()
    }

    #[test]
    fn leaves_a_thread_that_is_nicer_already_as_it_is() {
        let changed = std::thread::spawn(|| {
            setpriority_process(None, 15).unwrap();
            give_way().unwrap();
            policy_and_nice()
        });
        assert_eq!(changed.join().unwrap(), (libc::SCHED_BATCH, 15));
    }
}
