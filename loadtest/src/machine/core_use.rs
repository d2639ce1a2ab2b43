//! How busy a core was.

use super::{CoreTimes, core_times, scheduled_us};
use crate::poller::now_ns;

/// A core to look at.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Its number.
    pub number: usize,
    /// Pid of the process that keeps it from halting (`compare::awake`): what that does not get is busy time.
    pub spinner: Option<u32>,
}

/// The use of a core up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct CoreUse {
    at_ns: u64,
    times: CoreTimes,
    spun_us: Option<f64>,
}

/// The use of a core between two moments.
#[derive(Clone, Copy, Debug)]
pub struct CoreUsed {
    /// Time between them, in µs.
    pub elapsed_us: f64,
    /// Neither idle, nor stolen, nor spun, in µs; by ticks if there is no spinner.
    pub busy_us: f64,
    /// The same by the ticks of /proc/stat, in µs.
    pub by_ticks_us: f64,
    /// Taken by the hypervisor, in µs.
    pub stolen_us: f64,
    /// Whether a spinner told.
    pub is_exact: bool,
}

impl CoreUse {
    /// Looks.
    pub fn read(core: Core) -> Self {
        Self { at_ns: now_ns(), times: core_times(core.number), spun_us: core.spinner.and_then(scheduled_us) }
    }

    /// Returns the use since an earlier reading.
    pub fn since(&self, before: &Self) -> CoreUsed {
        let elapsed_us = (self.at_ns - before.at_ns) as f64 / 1e3;
        let by_ticks_us = self.times.busy_us - before.times.busy_us;
        let stolen_us = self.times.stolen_us - before.times.stolen_us;
        let by_spinner = self.spun_us.zip(before.spun_us).map(|(after, before_us)| {
            let idle_us = self.times.idle_us - before.times.idle_us;
            (elapsed_us - (after - before_us) - idle_us - stolen_us).max(0.0)
        });
        CoreUsed {
            elapsed_us,
            busy_us: by_spinner.unwrap_or(by_ticks_us),
            by_ticks_us,
            stolen_us,
            is_exact: by_spinner.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, busy: f64, idle: f64, stolen: f64, spun: Option<f64>) -> CoreUse {
        let times = CoreTimes { busy_us: busy, idle_us: idle, stolen_us: stolen };
        CoreUse { at_ns: ms * 1_000_000, times, spun_us: spun }
    }

    #[test]
    fn what_a_spinner_did_not_get_is_busy() {
        let used = at(1_100, 30_000.0, 0.0, 20_000.0, Some(50_000.0)).since(&at(
            1_000,
            0.0,
            0.0,
            0.0,
            Some(9_500.0),
        ));
        assert_eq!((used.elapsed_us, used.busy_us, used.by_ticks_us), (100_000.0, 39_500.0, 30_000.0));
        assert!(used.is_exact);
    }

    #[test]
    fn without_a_spinner_ticks_tell() {
        let used = at(1_100, 30_000.0, 50_000.0, 20_000.0, None).since(&at(1_000, 0.0, 0.0, 0.0, None));
        assert_eq!((used.busy_us, used.stolen_us), (30_000.0, 20_000.0));
        assert!(!used.is_exact);
    }
}
