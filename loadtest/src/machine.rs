//! The processor's and the memory's use: /proc, read at the edges of a window.

pub mod core_use;
pub mod priority;

use std::fs::read_to_string;

/// Microseconds of one tick of /proc/stat (`USER_HZ` is 100 on every Linux that matters).
const TICK_US: f64 = 10_000.0;

/// Time of one core since boot, in µs.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreTimes {
    /// user, system, irq, softirq; nice is left out, since what keeps the core awake has it (`compare::awake`). Counted by
    /// the tick: work in step with it is missed or counted whole, so that a window must hold many ticks.
    pub busy_us: f64,
    /// Idle, and waiting for a disk.
    pub idle_us: f64,
    /// Taken by the hypervisor.
    pub stolen_us: f64,
}

/// Reads one core's times; zero if there is no such core.
pub fn core_times(core: usize) -> CoreTimes {
    parse_core_times(&read_to_string("/proc/stat").unwrap_or_default(), core)
}

fn parse_core_times(stat: &str, core: usize) -> CoreTimes {
    let label = format!("cpu{core}");
    let fields: Vec<f64> = stat
        .lines()
        .find_map(|line| line.strip_prefix(label.as_str())?.strip_prefix(' '))
        .map(|fields| fields.split_whitespace().filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // user nice system idle iowait irq softirq steal
    let sum =
        |indices: &[usize]| indices.iter().filter_map(|index| fields.get(*index)).sum::<f64>() * TICK_US;
    CoreTimes { busy_us: sum(&[0, 2, 5, 6]), idle_us: sum(&[3, 4]), stolen_us: sum(&[7]) }
}

/// User and system time of processes, in µs.
pub fn process_us(pids: &[u32]) -> f64 {
    pids.iter()
        .filter_map(|pid| read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| {
            // The name may hold spaces and parentheses: the fields count from behind the last one.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
        })
        .sum::<f64>()
        * TICK_US
}

/// Processor time of one process's first thread by the scheduler's own count, in µs.
pub fn scheduled_us(pid: u32) -> Option<f64> {
    let schedstat = read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(schedstat.split_whitespace().next()?.parse::<f64>().ok()? / 1e3)
}

/// Resident memory of processes, in KiB.
pub fn rss_kib(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| kib_of(&format!("/proc/{pid}/status"), "VmRSS:")).sum()
}

/// Kernel slab of the machine, in KiB.
pub fn slab_kib() -> u64 {
    kib_of("/proc/meminfo", "Slab:").unwrap_or(0)
}

fn kib_of(file: &str, label: &str) -> Option<u64> {
    read_to_string(file)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix(label)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_busy_and_leaves_idle_out() {
        let stat = "cpu  9 9 9 9\ncpu0 10 1 20 1000 50 3 4 7 0 0\ncpu01 9 9 9 9\n";
        let times = parse_core_times(stat, 0);
        assert_eq!((times.busy_us, times.stolen_us), (370_000.0, 70_000.0));
        assert_eq!(parse_core_times(stat, 5).busy_us, 0.0);
    }

    #[test]
    fn reads_this_process() {
        assert!(rss_kib(&[std::process::id()]) > 0);
        assert!(slab_kib() > 0);
    }
}
