//! Child processes: started on a core, waited for with a deadline, ended by the pid that was started.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest that a process may take to answer on its port.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// Longest that a process may take to end after SIGTERM; then it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at something that no event announces.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

/// A command that runs on one core and is ended if this program is killed. Both tools become the program in the end, so the
/// pid is the program's.
pub(super) fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c"]).arg(core.to_string()).arg(program);
    command
}

impl Process {
    /// Starts a server and waits until it answers on `address`. Its output goes to a file.
    ///
    /// # Errors
    /// Somebody else is on the address, or the server does not answer in time.
    pub(crate) fn start_server(
        name: &str,
        mut command: Command,
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        if answers(address) {
            bail!("cannot start {name}: something else listens on {address} already");
        }
        let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut process = Self::spawn(name, command)?;
        let answered = wait_until(START_PATIENCE, || {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended at once with {status}");
            }
            Ok(answers(address))
        });
        match answered {
            Ok(true) => Ok(process),
            Ok(false) => bail!("{name} does not answer on {address} within {START_PATIENCE:?}{}", tail(log)),
            Err(error) => bail!("{error:#}{}", tail(log)),
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// It did not within `patience`; then it is ended.
    pub(crate) fn end(self, patience: Duration) -> Result<ExitStatus> {
        self.terminate();
        self.wait(patience)
    }

    fn terminate(&self) {
        // The child has not been waited for, so its pid cannot be another's.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It did not within `patience`; then it is ended.
    pub(super) fn wait(mut self, patience: Duration) -> Result<ExitStatus> {
        let mut ended = None;
        wait_until(patience, || {
            ended = self.child.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.with_context(|| format!("{} did not end within {patience:?}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.terminate();
        let ended = wait_until(STOP_PATIENCE, || Ok(self.child.try_wait()?.is_some()));
        if !matches!(ended, Ok(true)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end and returns what it prints.
///
/// # Errors
/// It fails; what it printed on stderr is in the error.
pub(crate) fn output_of<A: AsRef<OsStr>>(
    program: &Path,
    arguments: &[A],
    environment: &[(&str, &OsStr)],
) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let words: Vec<String> =
            arguments.iter().map(|argument| argument.as_ref().to_string_lossy().into_owned()).collect();
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} {} failed: {}", program.display(), words.join(" "), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether somebody accepts connections there.
fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("; its last lines: {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
}

#[expect(clippy::disallowed_methods, reason = "a shell that waits for processes")]
fn wait_until(patience: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while !condition()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleep(seconds: &str) -> Process {
        let mut command = on_core(0, Path::new("sleep"));
        command.arg(seconds);
        Process::spawn("sleep", command).expect("setpriv, taskset and sleep")
    }

    #[test]
    fn a_process_is_itself_on_its_core_and_ends_when_dropped() {
        let process = sleep("60");
        let proc = format!("/proc/{}", process.pid());
        let status = || std::fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let is_sleep = wait_until(START_PATIENCE, || Ok(status().starts_with("Name:\tsleep")));
        assert!(matches!(is_sleep, Ok(true)), "{}", status());
        assert!(status().contains("Cpus_allowed_list:\t0\n"));
        drop(process);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn a_process_that_does_not_end_in_time_is_an_error() {
        assert!(sleep("60").wait(Duration::from_millis(50)).is_err());
        assert!(sleep("0").wait(Duration::from_secs(10)).is_ok_and(|status| status.success()));
    }

    #[test]
    fn a_server_that_ends_or_whose_address_is_taken_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let log = std::env::temp_dir().join(format!("ringgate-processes-test-{}", std::process::id()));
        let start = |address| Process::start_server("false", on_core(0, Path::new("false")), address, &log);
        assert!(start(address).is_err_and(|error| error.to_string().contains("something else listens")));
        drop(taken);
        assert!(start(address).is_err_and(|error| format!("{error:#}").contains("ended at once")));
        let _ = std::fs::remove_file(&log);
    }
}
