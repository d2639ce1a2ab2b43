//! Makes a front thread give way: SCHED_BATCH and a positive nice value.
//!
//! A storm of handshakes on a core must not be felt by the sessions that its relay carries. SCHED_BATCH keeps a thread
//! that wakes up from taking the core away from the one that runs; the nice value decides how they share it.
//!
//! Neither needs a privilege, and both concern the calling thread and what it starts from then on. A refusal (a seccomp
//! filter) leaves the gateway working, only less even: report it, do not stop.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};

/// Nice value of a front thread: it gets about a third of the weight of a thread at 0 while both want the core.
const FRONT_NICE: i32 = 5;

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum SchedulingFault {
    /// The policy stayed as it was; the nice value was not tried.
    #[error("cannot make the thread SCHED_BATCH: {0}")]
    KeptItsPolicy(#[source] io::Error),
    /// The thread is SCHED_BATCH, but as nice as it was.
    #[error("cannot set the nice value of the thread to {FRONT_NICE}: {0}")]
    KeptItsNiceValue(#[source] io::Error),
}

/// Makes the calling thread SCHED_BATCH with nice +5; a thread that is nicer already stays so.
///
/// # Errors
/// What the kernel refused; not fatal.
pub fn give_way() -> Result<(), SchedulingFault> {
    set_batch().map_err(SchedulingFault::KeptItsPolicy)?;
    set_nice().map_err(SchedulingFault::KeptItsNiceValue)
}

/// Raises the nice value of the calling thread, which is what "the process", unnamed, means to these calls on Linux.
fn set_nice() -> io::Result<()> {
    // Lowering it, when the unit started the process nicer than that, would need a privilege and miss the point.
    if getpriority_process(None)? < FRONT_NICE {
        setpriority_process(None, FRONT_NICE)?;
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
    fn leaves_a_thread_that_is_nicer_already_as_it_is() {
        let changed = std::thread::spawn(|| {
            setpriority_process(None, 15).unwrap();
            give_way().unwrap();
            policy_and_nice()
        });
        assert_eq!(changed.join().unwrap(), (libc::SCHED_BATCH, 15));
    }
}
