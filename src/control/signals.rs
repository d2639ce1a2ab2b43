//! Signals, one of the sources of commands: SIGHUP asks for a reload, the first SIGTERM or SIGINT for a drain, every later one for
//! an immediate end. SIGUSR1 asks for a report in the log.
//!
//! A stop that comes within [`SAME_STOP`] of the first one counts as the same stop: a terminal sends SIGINT both to a process and to
//! its parent, which passes it on.
//!
//! The property to trust: once this exists, no signal kills the process by itself, and no signal that changes the outcome is
//! lost, even if the waiting future is dropped and made anew.
//!
//! Not here: carrying a command out (`serving`), the content of a report.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::command::Command;

/// How long after the first SIGTERM or SIGINT another one has no effect.
pub const SAME_STOP: Duration = Duration::from_millis(500);

/// The signals that are commands, caught from the creation of this value to the end of the process.
#[derive(Debug)]
pub struct CommandSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// When the first stop came.
    stopped: Option<Instant>,
}

impl CommandSignals {
    /// Catches them. Their default action is off from then on, also after this was dropped.
    ///
    /// # Errors
    /// The kernel's, when a handler cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O enabled.
    pub fn catch() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hang_up, stopped: None })
    }

    /// Waits for the next one, and gives what it asks for. May be dropped at any time.
    ///
    /// Two signals of a kind that arrive between two turns of the runtime count as one, as they do for the kernel.
    pub async fn next(&mut self) -> Command {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hang_up.recv() => return Command::Reload,
            }
            if let Some(command) = self.stop(Instant::now()) {
                return command;
            }
        }
    }

    /// Waits until a signal asks for an end, and ignores requests for a reload meanwhile.
    pub async fn stop_asked(&mut self) {
        while self.next().await == Command::Reload {}
    }

    /// Returns the command that a stop at `now` stands for.
    fn stop(&mut self, now: Instant) -> Option<Command> {
        match self.stopped {
            None => {
                self.stopped = Some(now);
                Some(Command::Drain)
            }
            Some(first) if now.saturating_duration_since(first) < SAME_STOP => None,
            Some(_) => Some(Command::Terminate),
        }
    }
}

/// Requests for a report, SIGUSR1, caught from the creation of this value to the end of the process.
#[derive(Debug)]
pub struct ReportRequests(Signal);

impl ReportRequests {
    /// Catches them. The default action, which is the end of the process, is off from then on.
    ///
    /// # Errors
    /// The kernel's, when the handler cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O enabled.
    pub fn catch() -> io::Result<Self> {
        signal(SignalKind::user_defined1()).map(Self)
    }

    /// Waits for the next one. May be dropped at any time. Several between two turns of the runtime count as one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stop_within_half_a_second_of_the_first_is_the_same_one() {
        let mut signals = CommandSignals::catch().unwrap();
        let first = Instant::now();
        let asked = [0, 0, 1, 499, 500, 501, 900].map(|ms| signals.stop(first + Duration::from_millis(ms)));
        let (drain, terminate) = (Some(Command::Drain), Some(Command::Terminate));
        assert_eq!(asked, [drain, None, None, None, terminate, terminate, terminate]);
    }

    // One test for all: signals go to the whole process, so a second test would see them too. Time passes only where the test says so.
    #[tokio::test(start_paused = true)]
    async fn drains_at_the_first_stop_and_ends_at_once_at_every_later_one_and_reloads_at_any_time() {
        let mut signals = CommandSignals::catch().unwrap();
        let mut interrupted = CommandSignals::catch().unwrap();
        let mut reports = ReportRequests::catch().unwrap();
        for (sent, asked) in [
            (Signal::HUP, Command::Reload),
            (Signal::TERM, Command::Drain),
            (Signal::INT, Command::Terminate),
            (Signal::HUP, Command::Reload),
            (Signal::TERM, Command::Terminate),
        ] {
            kill_process(getpid(), sent).unwrap();
            assert_eq!(signals.next().await, asked, "{sent:?}");
            tokio::time::advance(SAME_STOP).await;
        }
        // Whatever came before is one signal of its kind for who has not waited.
        interrupted.stop_asked().await;
        kill_process(getpid(), Signal::USR1).unwrap();
        reports.next().await;
    }
}
