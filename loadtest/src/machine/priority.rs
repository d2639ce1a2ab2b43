//! Priorities on the load's core.

use rustix::process::{getpriority_process, setpriority_process};
use std::io;

/// Nice value of what gives way. The greedy sessions' own backend has 0, so that it keeps up with them.
const NICE: i32 = 10;

/// Makes the calling thread an ordinary one that is nice: whoever has a real-time priority goes before it, and so does
/// every other ordinary process.
///
/// It must not be real-time at a low priority, as it never waits: the kernel holds a core that real-time threads fill back
/// for 50 ms of each second (sched(7), `sched_rt_runtime_us`; since Linux 6.12 the fair server), those of higher priority
/// among them.
///
/// # Errors
/// The kernel's.
pub fn give_way() -> io::Result<()> {
    set_ordinary()?;
    // One that is nicer already stays so: less nice takes a privilege.
    if getpriority_process(None)? < NICE {
        setpriority_process(None, NICE)?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "rustix has no call for the scheduling policy")]
fn set_ordinary() -> io::Result<()> {
    // The only priority that this policy takes, and the struct's only field.
    let priority: libc::c_int = 0;
    // SAFETY: 0 is the calling thread; the kernel reads one int at `priority`, which outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const priority) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy and nice value of the calling thread, from `proc_pid_stat(5)`: fields 41 and 19.
    fn policy_and_nice() -> (i32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("/proc");
        let (_, fields) = stat.rsplit_once(')').expect("the second field is in parentheses");
        let field = |number: usize| {
            fields.split_whitespace().nth(number - 3).and_then(|field| field.parse().ok()).expect("a field")
        };
        (field(41), field(19))
    }

    #[test]
    fn one_thread_gives_way_and_the_others_stay_as_they_are() {
        let before = policy_and_nice();
        let changed = std::thread::spawn(|| {
            give_way().expect("no right is needed for less");
            policy_and_nice()
        });
        assert_eq!(changed.join().expect("the thread"), (libc::SCHED_OTHER, before.1.max(NICE)));
        assert_eq!(policy_and_nice(), before);
    }
}
