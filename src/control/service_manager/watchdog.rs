//! The service manager's watchdog, which is fed while every front and relay is at work (sd_watchdog_enabled(3)).
//!
//! A thread that has said nothing for half of the watchdog's time is stuck. From then on nothing is fed, and the manager restarts the
//! service when its time is over; unless the thread goes on before.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::WorkerCounters;
use crate::observe::heartbeats::{HEARTBEAT_MS, WorkerThread};

/// Least time of the watchdog, in milliseconds: half of it is twice as long as a thread that is at work may say nothing. Under it
/// ringgate warns, and takes threads for stuck as if it were this long.
const LEAST_MS: u64 = 4 * HEARTBEAT_MS;

/// The watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// After how long without being fed it bites.
    interval_ms: u64,
    /// When it was fed last, in milliseconds of the process's uptime.
    fed_at: Option<u64>,
    /// The threads that were stuck at the last look, by worker.
    stuck: Vec<(usize, WorkerThread)>,
}

impl Watchdog {
    /// The watchdog of this process, by `WATCHDOG_USEC` and `WATCHDOG_PID`. `None`: there is none, or it is another process's.
    ///
    /// # Errors
    /// The value that is no number, or 0.
    pub(super) fn of(usec: Option<&str>, process: Option<&str>, own: u32) -> Result<Option<Self>, String> {
        let Some(usec) = usec else { return Ok(None) };
        if let Some(process) = process
            && process.parse::<u32>().map_err(|_| format!("{process:?}"))? != own
        {
            return Ok(None);
        }
        match usec.parse::<u64>() {
            Ok(usec) if usec > 0 => {
                let interval_ms = usec.div_ceil(1000);
                Ok(Some(Self { interval_ms, fed_at: None, stuck: Vec::new() }))
            }
            Ok(_) | Err(_) => Err(format!("{usec:?}")),
        }
    }

    /// How often it is fed.
    pub(super) fn feeding_interval(&self) -> Duration {
        Duration::from_millis((self.interval_ms / 4).max(1))
    }

    /// For how many milliseconds a thread that is not stuck may say nothing.
    fn patience_ms(&self) -> u64 {
        self.interval_ms.max(LEAST_MS) / 2
    }

    /// A warning if its time is shorter than ringgate can tell whether it works.
    pub(super) fn too_short(&self) -> Option<String> {
        let (interval_ms, least_s) = (self.interval_ms, LEAST_MS / 1000);
        (interval_ms < LEAST_MS).then(|| {
            format!(
                "the watchdog of the service ({interval_ms} ms) is too short to tell whether a thread works: one counts as stuck after \
                 {} s; set WatchdogSec= to {least_s} s or more",
                self.patience_ms() / 1000
            )
        })
    }

    /// Whether it is to be fed at `now_ms`. Logs threads that get stuck, and that none is stuck any more.
    pub(super) fn is_to_be_fed(&mut self, workers: &[Arc<WorkerCounters>], now_ms: u64) -> bool {
        let patience_ms = self.patience_ms();
        let mut stuck = Vec::new();
        for worker in workers {
            for (thread, age_ms) in worker.heartbeats.silent(patience_ms, now_ms) {
                let found = (worker.index(), thread);
                if !self.stuck.contains(&found) {
                    tracing::error!(
                        "thread {}-{} has not been at work for {} s: the service manager's watchdog is not fed until it is, and \
                         restarts the service after {} s without being fed (WatchdogSec=)",
                        thread.name(),
                        worker.index(),
                        age_ms / 1000,
                        self.interval_ms.div_ceil(1000)
                    );
                }
                stuck.push(found);
            }
        }
        if stuck.is_empty() && !self.stuck.is_empty() {
            tracing::info!("every thread is at work again: the service manager's watchdog is fed");
        }
        self.stuck = stuck;
        let is_hungry = self.fed_at.is_none_or(|at| now_ms.saturating_sub(at) >= self.interval_ms / 4);
        self.stuck.is_empty() && is_hungry
    }

    /// It was fed at `now_ms`.
    pub(super) fn fed(&mut self, now_ms: u64) {
        self.fed_at = Some(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Counters;

    fn watchdog(usec: &str) -> Watchdog {
        Watchdog::of(Some(usec), None, 1).expect("a number").expect("a watchdog")
    }

    fn beat(counters: &Counters, now_ms: u64) {
        for worker in counters.workers() {
            WorkerThread::ALL.iter().for_each(|thread| worker.heartbeats.beat(*thread, now_ms));
        }
    }

    #[test]
    fn is_this_process_s_only_if_the_environment_says_so() {
        let is_some = |usec, process| Watchdog::of(usec, process, 7).map(|found| found.is_some());
        assert_eq!(is_some(None, None), Ok(false));
        assert_eq!(is_some(None, Some("7")), Ok(false));
        assert_eq!(is_some(Some("30000000"), None), Ok(true));
        assert_eq!(is_some(Some("30000000"), Some("7")), Ok(true));
        assert_eq!(is_some(Some("30000000"), Some("8")), Ok(false));
        for usec in ["", "0", "-1", "30s", "18446744073709551616"] {
            assert_eq!(is_some(Some(usec), None), Err(format!("{usec:?}")));
        }
        assert_eq!(is_some(Some("30000000"), Some("x")), Err("\"x\"".to_owned()));
    }

    #[test]
    fn is_fed_every_quarter_of_its_time_while_each_stamp_is_younger_than_half_of_it() {
        let counters = Counters::new(2);
        let mut watchdog = watchdog("20000000");
        assert_eq!(watchdog.feeding_interval(), Duration::from_secs(5));
        beat(&counters, 1000);
        assert!(watchdog.is_to_be_fed(counters.workers(), 1000));
        watchdog.fed(1000);
        assert!(!watchdog.is_to_be_fed(counters.workers(), 5_999));
        assert!(watchdog.is_to_be_fed(counters.workers(), 6_000));
        assert!(watchdog.is_to_be_fed(counters.workers(), 11_000));
        assert!(!watchdog.is_to_be_fed(counters.workers(), 11_001), "half of 20 s");
    }

    #[test]
    fn one_thread_of_any_worker_that_is_stuck_keeps_it_hungry_and_one_that_has_ended_does_not() {
        for (worker, thread) in
            [0, 1].into_iter().flat_map(|worker| WorkerThread::ALL.map(|thread| (worker, thread)))
        {
            let counters = Counters::new(2);
            let mut watchdog = watchdog("20000000");
            beat(&counters, 20_000);
            let of_thread = &counters.workers()[worker].heartbeats;
            of_thread.beat(thread, 5_000);
            assert!(!watchdog.is_to_be_fed(counters.workers(), 20_000));
            assert_eq!(watchdog.stuck, [(worker, thread)]);
            of_thread.beat(thread, 20_001);
            assert!(watchdog.is_to_be_fed(counters.workers(), 20_001));
            of_thread.end(thread);
            beat_others(&counters, worker, thread, 90_000);
            assert!(watchdog.is_to_be_fed(counters.workers(), 90_000));
        }
    }

    /// All threads but this one are at work.
    fn beat_others(counters: &Counters, worker: usize, thread: WorkerThread, now_ms: u64) {
        for one in counters.workers() {
            let others =
                WorkerThread::ALL.into_iter().filter(|other| (one.index(), *other) != (worker, thread));
            others.for_each(|other| one.heartbeats.beat(other, now_ms));
        }
    }

    #[test]
    fn a_time_that_is_too_short_is_warned_of_and_takes_no_idle_thread_for_stuck() {
        assert_eq!(watchdog("8000000").too_short(), None);
        let mut short = watchdog("1000000");
        let said = short.too_short().expect("a warning");
        assert!(said.contains("(1000 ms)") && said.contains("set WatchdogSec= to 8 s or more"), "{said}");
        assert_eq!(short.feeding_interval(), Duration::from_millis(250));
        let counters = Counters::new(1);
        beat(&counters, 0);
        assert!(short.is_to_be_fed(counters.workers(), 2 * HEARTBEAT_MS));
        assert!(!short.is_to_be_fed(counters.workers(), 2 * HEARTBEAT_MS + 1));
    }
}
