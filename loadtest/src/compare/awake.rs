//! Keeps the cores from halting while they are measured, and tells how long the others used them.
//!
//! An idle core halts, and has to be woken for the next message. On a virtual machine that is an exit to the hypervisor, which
//! may give the core to somebody else meanwhile: a core that halts thousands of times a second loses a quarter of its time
//! to it, more or less as the neighbours please, and latencies are those of the hypervisor. On bare metal the processor
//! falls into states from which it wakes slowly and at a lower clock. So each core has a process that is never idle and
//! never in anyone's way: under `SCHED_IDLE` (sched(7)) it runs only when nobody else wants to, and gives way at once.
//!
//! Its own processor time (`/proc/PID/schedstat`, nanoseconds) then says exactly what the others used: the window less that
//! time, less what the hypervisor took. `/proc/stat` counts whole ticks by what happens to run at them, and is off by a
//! tenth and more where work comes in step with the tick. Both are reported. The spinner's time is counted there as nice,
//! which is not among what counts as busy.

use super::processes::{Process, on_core};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Whether each terminal session's processes share as one group, whatever their own classes are (sched(7), autogroup):
/// then an idle process of one session would have its fair share beside another's.
const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";

/// While this lives, the cores do not halt.
#[derive(Debug)]
pub(super) struct Awake {
    spinners: Vec<(usize, Process)>,
    _autogroup: Option<Restore>,
}

impl Awake {
    /// Starts a spinner on each core. Turns autogroup off for its life, which takes root's rights where it is on.
    ///
    /// # Errors
    /// Autogroup cannot be turned off, or a spinner cannot be started.
    pub(super) fn keep(cores: &[usize], loadtest: &Path) -> Result<Self> {
        let autogroup = Restore::set(Path::new(AUTOGROUP), "0").with_context(|| {
            format!("cannot write {AUTOGROUP} (be root, or measure with --let-cores-halt)")
        })?;
        let spinner = |core: &usize| {
            let mut command = on_core(*core, Path::new("chrt"));
            command.args(["--idle", "0", "nice", "-n", "19"]).arg(loadtest).arg("spin");
            Ok((*core, Process::spawn("spin", command)?))
        };
        Ok(Self { spinners: cores.iter().map(spinner).collect::<Result<_>>()?, _autogroup: autogroup })
    }

    /// The pid of a core's spinner.
    pub(super) fn pid(&self, core: usize) -> Option<u32> {
        self.spinners.iter().find(|(of, _)| *of == core).map(|(_, spinner)| spinner.pid())
    }
}

/// A setting that gets its old value back.
#[derive(Debug)]
struct Restore {
    file: PathBuf,
    old: String,
}

impl Restore {
    /// Nothing is done where the file is not there or holds the value already.
    fn set(file: &Path, value: &str) -> Result<Option<Self>> {
        let Ok(old) = std::fs::read_to_string(file) else { return Ok(None) };
        if old.trim() == value {
            return Ok(None);
        }
        std::fs::write(file, value)?;
        Ok(Some(Self { file: file.to_owned(), old }))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.file, &self.old);
    }
}

/// Never ends and never waits. No pause instruction: hypervisors take a loop of those for a lock that is waited for.
pub fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_gets_its_old_value_back() {
        let file = std::env::temp_dir().join(format!("ringgate-awake-test-{}", std::process::id()));
        std::fs::write(&file, "1\n").expect("a file");
        let restore = Restore::set(&file, "0").expect("set");
        assert_eq!(std::fs::read_to_string(&file).ok().as_deref(), Some("0"));
        drop(restore);
        assert_eq!(std::fs::read_to_string(&file).ok().as_deref(), Some("1\n"));
        let _ = std::fs::remove_file(&file);
        assert!(Restore::set(&file, "0").is_ok_and(|restore| restore.is_none()));
    }
}
