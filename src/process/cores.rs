//! The cores that this process may use, their assignment to threads, and pinning a thread.
//!
//! A core that the process was not given (`taskset`, `CPUAffinity=` of the unit, a cpuset) is never listed here, so no thread is
//! pinned to it.
//!
//! Not here: a CPU quota (`CPUQuota=`), which limits time and not cores.

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

/// Which cores the threads of an instance run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorePlan {
    of_workers: Vec<CoreIndex>,
    left_over: Vec<CoreIndex>,
}

impl CorePlan {
    /// A core for each of so many workers, in turn where there are fewer cores; `None`: a worker for each core.
    ///
    /// # Panics
    /// If `usable` is empty, which [`usable_cores`] never gives.
    pub fn of(usable: &[CoreIndex], workers: Option<usize>) -> Self {
        let workers = workers.unwrap_or(usable.len());
        Self {
            of_workers: usable.iter().copied().cycle().take(workers).collect(),
            left_over: usable.get(workers..).unwrap_or_default().to_vec(),
        }
    }

    /// The core of each worker.
    pub fn of_workers(&self) -> &[CoreIndex] {
        &self.of_workers
    }

    /// The cores that no worker is on, for what may not take time from a worker. Empty: there are none, and such threads run
    /// wherever there is room.
    pub fn left_over(&self) -> &[CoreIndex] {
        &self.left_over
    }
}

/// Lets the calling thread, and the threads that it starts from then on, run on these cores only.
///
/// # Errors
/// The kernel's; `EINVAL` when the cores were taken away since they were listed, or when there are none.
pub fn pin_current_thread(cores: &[CoreIndex]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(core.0));
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
            pin_current_thread(&[core]).unwrap();
            (usable_cores().unwrap(), rustix::thread::sched_getcpu())
        });
        assert_eq!(pinned.join().unwrap(), (vec![core], core.number()));
        assert_eq!(usable_cores().unwrap(), before);
    }

    #[test]
    fn refuses_a_core_that_does_not_exist() {
        let refused = std::thread::spawn(|| pin_current_thread(&[CoreIndex(CpuSet::MAX_CPU - 1)]));
        assert!(refused.join().unwrap().is_err());
    }

    #[test]
    fn what_is_no_workers_gets_cores_of_its_own_only_where_there_are_more_than_workers() {
        let cores = |numbers: &[usize]| numbers.iter().map(|number| CoreIndex(*number)).collect::<Vec<_>>();
        for (usable, workers, of_workers, left_over) in [
            (&[3][..], None, &[3][..], &[][..]),
            (&[0, 1], None, &[0, 1], &[]),
            (&[0, 1], Some(1), &[0], &[1]),
            (&[0, 2, 5, 7], Some(2), &[0, 2], &[5, 7]),
            (&[0, 1], Some(5), &[0, 1, 0, 1, 0], &[]),
        ] {
            let plan = CorePlan::of(&cores(usable), workers);
            assert_eq!(plan.of_workers(), cores(of_workers), "{usable:?}, {workers:?}");
            assert_eq!(plan.left_over(), cores(left_over), "{usable:?}, {workers:?}");
        }
    }
}
