//! SIGTERM and SIGINT: the first one asks for a drain, every later one for an end at once. SIGUSR1: a report. SIGHUP: a look
//! at the catalogue.
//!
//! The property to trust: a signal that arrives once this exists never kills the process by itself, and none that
//! changes the outcome is lost, however the waiting future is dropped and made anew.
//!
//! Not here: what draining means, what is reported, what a look finds.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Take no new sessions, finish those that are open.
    Drain,
    /// Cut what is left, now.
    AtOnce,
}

/// The two signals, caught from its making to the end of the process.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    was_asked: bool,
}

impl StopSignals {
    /// Catches both signals. The default action is off from then on, also after this was dropped.
    ///
    /// # Errors
    /// The kernel's, when a handler cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O enabled.
    pub fn catch() -> io::Result<StopSignals> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(StopSignals { terminate, interrupt, was_asked: false })
    }

    /// Waits for the next signal. May be dropped at any time.
    ///
    /// Two signals of a kind that arrive between two turns of the runtime count as one, as they do for the kernel.
    pub async fn next(&mut self) -> StopRequest {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if std::mem::replace(&mut self.was_asked, true) { StopRequest::AtOnce } else { StopRequest::Drain }
    }
}

/// A signal that asks for something and ends nothing, caught from its making to the end of the process.
#[derive(Debug)]
pub struct Requests(Signal);

impl Requests {
    /// Requests for a report: SIGUSR1. The default action, which is the end of the process, is off from then on.
    ///
    /// # Errors
    /// The kernel's, when the handler cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O enabled.
    pub fn for_reports() -> io::Result<Self> {
        signal(SignalKind::user_defined1()).map(Self)
    }

    /// Requests for a look at the catalogue's files: SIGHUP. Its default action is off from then on, too.
    ///
    /// # Errors
    /// The kernel's, when the handler cannot be set.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O enabled.
    pub fn for_looks() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
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
    async fn drains_at_the_first_signal_and_stops_at_once_at_every_later_one() {
        let mut signals = StopSignals::catch().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(signals.next().await, StopRequest::Drain);
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(signals.next().await, StopRequest::AtOnce);
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(signals.next().await, StopRequest::AtOnce);

        let mut interrupted = StopSignals::catch().unwrap();
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(interrupted.next().await, StopRequest::Drain);
    }

    #[tokio::test]
    async fn catches_every_request() {
        let mut reports = Requests::for_reports().unwrap();
        let mut looks = Requests::for_looks().unwrap();
        for _ in 0..3 {
            kill_process(getpid(), Signal::USR1).unwrap();
            reports.next().await;
            kill_process(getpid(), Signal::HUP).unwrap();
            looks.next().await;
        }
    }
}
