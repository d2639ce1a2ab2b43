//! The cores that this process may use, and pinning a thread to one of them.
//!
//! A core that the process was not given (`taskset`, `CPUAffinity=` of the unit, a cpuset) is never named here, so it
//! is never pinned to.
//!
//! Not here: a CPU quota (`CPUQuota=`), which limits time and not cores; and which thread goes where.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The number of a core, as the kernel counts them; at most [`CpuSet::MAX_CPU`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreIndex(usize);

impl CoreIndex {
    /// The kernel's number, for logs.
    pub fn number(self) -> usize {
        self.0
    }
}

/// The cores that the calling thread may run on, in ascending order; never empty.
///
/// Ask on the main thread before anything is pinned: threads inherit what the thread that starts them has.
///
/// # Errors
/// The kernel's; `EINVAL` on a host with more cores than a [`CpuSet`] can hold.
pub fn usable_cores() -> io::Result<Vec<CoreIndex>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).map(CoreIndex).collect())
}

/// Lets the calling thread, and the threads that it starts from then on, run on `core` only.
///
/// # Errors
/// The kernel's; `EINVAL` when the core was taken away since it was listed.
pub fn pin_current_thread(core: CoreIndex) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core.0);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_one_thread_and_leaves_the_others_alone() {
        let before = usable_cores().unwrap();
        let core = *before.last().expect("a running thread has a core");
        let pinned = std::thread::spawn(move || {
            pin_current_thread(core).unwrap();
            (usable_cores().unwrap(), rustix::thread::sched_getcpu())
        });
        assert_eq!(pinned.join().unwrap(), (vec![core], core.number()));
        assert_eq!(usable_cores().unwrap(), before);
    }

    #[test]
    fn refuses_a_core_that_does_not_exist() {
        let refused = std::thread::spawn(|| pin_current_thread(CoreIndex(CpuSet::MAX_CPU - 1)));
        assert!(refused.join().unwrap().is_err());
    }
}
