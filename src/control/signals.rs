//! Signals, one of the doors for commands: SIGHUP asks for a reload, the first SIGTERM or SIGINT for a drain, every later one for
//! the end at once. SIGUSR1 asks for a report in the log.
//!
//! The property to trust: a signal that arrives once this exists never kills the process by itself, and none that
//! changes the outcome is lost, however the waiting future is dropped and made anew.
//!
//! Not here: what is done about a command (`serving`), what is reported.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::command::Command;

/// The signals that are commands, caught from its making to the end of the process.
#[derive(Debug)]
pub struct CommandSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    was_drain_asked: bool,
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
        Ok(Self { terminate, interrupt, hang_up, was_drain_asked: false })
    }

    /// Waits for the next one, and gives what it asks for. May be dropped at any time.
    ///
    /// Two signals of a kind that arrive between two turns of the runtime count as one, as they do for the kernel.
    pub async fn next(&mut self) -> Command {
        tokio::select! {
            _ = self.terminate.recv() => self.stop(),
            _ = self.interrupt.recv() => self.stop(),
            _ = self.hang_up.recv() => Command::Reload,
        }
    }

    /// Waits until it is asked for an end, whatever else it is asked for meanwhile.
    pub async fn stop_asked(&mut self) {
        while self.next().await == Command::Reload {}
    }

    fn stop(&mut self) -> Command {
        if std::mem::replace(&mut self.was_drain_asked, true) { Command::Terminate } else { Command::Drain }
    }
}

/// Requests for a report, SIGUSR1, caught from its making to the end of the process.
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

    // One test for all: signals go to the whole process, so a second test would see them too.
    #[tokio::test]
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
        }
        // Whatever came before is one signal of its kind for who has not waited.
        interrupted.stop_asked().await;
        kill_process(getpid(), Signal::USR1).unwrap();
        reports.next().await;
    }
}
