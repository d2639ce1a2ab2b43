//! Where and when a comparison was made, and from what sources.

use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The facts about the machine and the sources that a reader must know. A line that could not be found out says `unknown`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct About {
    /// Of the working copy; ends in `, with changes` if there were any.
    pub commit: String,
    /// When it began, in UTC.
    pub date: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Of the first core.
    pub cpu: String,
    /// Cores that this process may see.
    pub cores: usize,
    /// MiB of memory.
    pub memory_mib: u64,
    /// Cores of proxy and of load.
    pub proxy_core: usize,
    /// Clients and backend.
    pub load_core: usize,
    /// The cargo profile of the measured binary: `dist` for figures that are published.
    pub build: String,
    /// How.
    #[serde(default)]
    pub conditions: Conditions,
}

/// How the machine was set for the comparison.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Conditions {
    /// The cores were kept from halting (`awake`).
    pub kept_awake: bool,
    /// Backend and load had real-time priorities.
    pub real_time_load: bool,
}

impl About {
    /// Asks the machine.
    pub fn find_out(proxy_core: usize, load_core: usize, build: &str, conditions: Conditions) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            commit: commit(),
            date: utc(seconds_of_the_epoch()),
            kernel: or_unknown(kernel.trim()),
            cpu: or_unknown(field(&cpuinfo, "model name").unwrap_or_default()),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory_mib(),
            proxy_core,
            load_core,
            build: build.to_owned(),
            conditions,
        }
    }
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn memory_mib() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        Some(_) | None => format!("{commit}, with changes"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the date of a report")]
fn seconds_of_the_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `YYYY-MM-DD HH:MM UTC`, by the proleptic Gregorian calendar.
fn utc(seconds: u64) -> String {
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_leap_years_and_ends_of_months() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_340), "2000-02-28 23:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59 UTC");
    }
}
