//! The systemd limits of a unit, for a check that does not run in the unit.
//!
//! Not here: the judgement (`control::host`).

use std::process::Command;

use crate::control::host::HostFacts;
use crate::process::files::reason;
use crate::process::host_limits::{CAP_IPC_LOCK, ThreadLimit, ThreadRoom, has_capability};

/// The properties that systemd is asked for.
const PROPERTIES: &str = "LoadState,LimitNOFILE,LimitMEMLOCK,LimitNPROC,TasksMax,User,DynamicUser,AmbientCapabilities,\
                          CapabilityBoundingSet";

/// The first Linux version whose rings count as locked memory, for when that cannot be tried.
const COUNTS_RING_MEMORY: (u32, u32) = (6, 14);

/// Why the limits of a unit are unknown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoUnit {
    /// There is no systemd to ask.
    #[error(
        "cannot ask systemd for the limits of {unit} ({why}); run it on a host with systemd, or leave --unit out and set the limits \
         of this shell with ulimit"
    )]
    NoSystemd {
        /// The unit.
        unit: String,
        /// The error.
        why: String,
    },
    /// systemd does not know it.
    #[error("systemd has no unit {unit} (it is {state}); name one that `systemctl list-unit-files` lists")]
    Unknown {
        /// The unit.
        unit: String,
        /// The unit's state as systemd reports it.
        state: String,
    },
}

/// The limits of a unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnitLimits {
    open_files: u64,
    locked_memory: u64,
    may_lock_any_memory: bool,
    threads: Vec<ThreadRoom>,
}

impl UnitLimits {
    /// Asks systemd.
    ///
    /// # Errors
    /// There is no systemd, or it does not know the unit.
    pub(super) fn of(unit: &str) -> Result<Self, NoUnit> {
        let no_systemd = |why: String| NoUnit::NoSystemd { unit: unit.to_owned(), why };
        let asked = Command::new("systemctl").args(["show", "--property", PROPERTIES, "--", unit]).output();
        let answer = asked.map_err(|error| no_systemd(format!("systemctl: {}", reason(&error))))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            let first = said.lines().next().unwrap_or("systemctl failed and said nothing");
            return Err(no_systemd(first.trim().trim_end_matches('.').to_owned()));
        }
        Self::read(unit, &String::from_utf8_lossy(&answer.stdout))
    }

    /// Reads what `systemctl show` prints.
    fn read(unit: &str, shown: &str) -> Result<Self, NoUnit> {
        let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let state = value("LoadState").unwrap_or("not shown");
        if state != "loaded" {
            return Err(NoUnit::Unknown { unit: unit.to_owned(), state: state.to_owned() });
        }
        // What is no number is "infinity".
        let number = |name: &str| value(name).and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
        let has =
            |name: &str, word: &str| value(name).is_some_and(|text| text.split(' ').any(|one| one == word));
        let is_root =
            matches!(value("User"), None | Some("" | "root" | "0")) && value("DynamicUser") != Some("yes");
        let may_lock_any_memory = if is_root {
            has("CapabilityBoundingSet", "cap_ipc_lock") || value("CapabilityBoundingSet").is_none()
        } else {
            has("AmbientCapabilities", "cap_ipc_lock")
        };
        let rooms = [
            (ThreadLimit::User, if is_root { u64::MAX } else { number("LimitNPROC") }),
            (ThreadLimit::ControlGroup, number("TasksMax")),
        ];
        let threads = rooms.into_iter().filter(|(_, limit)| *limit < u64::MAX);
        Ok(Self {
            open_files: number("LimitNOFILE"),
            locked_memory: number("LimitMEMLOCK"),
            may_lock_any_memory,
            threads: threads.map(|(from, limit)| ThreadRoom { from, limit, used: 0 }).collect(),
        })
    }

    /// Returns the host's facts for the unit: its limits, and otherwise those of this process, which are `own`.
    pub(super) fn on(self, unit: &str, own: HostFacts) -> HostFacts {
        // A process that may lock any memory cannot try what the kernel does to others.
        let is_counted = own.is_ring_memory_counted || has_capability(CAP_IPC_LOCK) && counts_ring_memory();
        HostFacts {
            unit: Some(unit.to_owned()),
            ring: own.ring,
            open_files: self.open_files,
            locked_memory: self.locked_memory,
            is_ring_memory_counted: is_counted && !self.may_lock_any_memory,
            threads: self.threads,
        }
    }
}

fn counts_ring_memory() -> bool {
    version_of(&rustix::system::uname().release().to_string_lossy()) >= COUNTS_RING_MEMORY
}

/// The first two numbers of a kernel's release.
fn version_of(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|character: char| !character.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "LoadState=loaded\nLimitNOFILE=524288\nLimitMEMLOCK=8388608\nLimitNPROC=62793\nTasksMax=18837\n\
                         User=ringgate\nDynamicUser=no\nAmbientCapabilities=cap_net_bind_service\n\
                         CapabilityBoundingSet=cap_net_bind_service\n";

    #[test]
    fn reads_the_limits_that_systemd_shows() {
        let limits = UnitLimits::read("ringgate", SHOWN).expect("a unit");
        let room = |from, limit| ThreadRoom { from, limit, used: 0 };
        let threads = vec![room(ThreadLimit::User, 62_793), room(ThreadLimit::ControlGroup, 18_837)];
        let expected =
            UnitLimits { open_files: 524_288, locked_memory: 8 << 20, may_lock_any_memory: false, threads };
        assert_eq!(limits, expected);
    }

    #[test]
    fn infinity_is_no_limit() {
        let shown = "LoadState=loaded\nLimitNOFILE=infinity\nLimitMEMLOCK=infinity\nLimitNPROC=infinity\nTasksMax=infinity\nUser=a";
        let limits = UnitLimits::read("a", shown).expect("a unit");
        assert_eq!((limits.open_files, limits.locked_memory, limits.threads), (u64::MAX, u64::MAX, vec![]));
    }

    #[test]
    fn root_and_a_unit_with_the_capability_may_lock_any_memory() {
        let with = |lines: &str| {
            UnitLimits::read("a", &format!("LoadState=loaded\n{lines}")).expect("a unit").may_lock_any_memory
        };
        assert!(with("User=\nCapabilityBoundingSet=cap_chown cap_ipc_lock"));
        assert!(!with("User=\nCapabilityBoundingSet=cap_chown"));
        assert!(with("User=a\nAmbientCapabilities=cap_ipc_lock\nCapabilityBoundingSet=cap_ipc_lock"));
        assert!(!with("User=a\nAmbientCapabilities=\nCapabilityBoundingSet=cap_ipc_lock"));
        assert!(!with("User=\nDynamicUser=yes\nCapabilityBoundingSet=cap_ipc_lock"));
    }

    #[test]
    fn a_unit_that_systemd_does_not_know_is_told() {
        let unknown = NoUnit::Unknown { unit: "a".to_owned(), state: "not-found".to_owned() };
        assert_eq!(UnitLimits::read("a", "LoadState=not-found\nLimitNOFILE=1"), Err(unknown));
    }

    #[test]
    fn the_version_of_a_kernel_is_its_first_two_numbers() {
        for (release, version) in
            [("6.14.0-rc1", (6, 14)), ("6.1.0-18-amd64", (6, 1)), ("7", (7, 0)), ("", (0, 0))]
        {
            assert_eq!(version_of(release), version, "{release}");
        }
        assert!((6, 13) < COUNTS_RING_MEMORY && (7, 0) > COUNTS_RING_MEMORY);
    }
}
