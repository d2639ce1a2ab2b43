//! What the service manager is told of an instance: that it serves, reloads or ends, how it is, and that its threads are at work
//! (sd_notify(3), sd_watchdog_enabled(3)).
//!
//! ```text
//! Starting --the instance serves--> Ready --a reload is asked for--> Reloading
//!                                    |  '<------it is answered-----------'
//!                                    '--drain, end--> Stopping
//! ```
//!
//! systemd names its socket in `NOTIFY_SOCKET` and the time of its watchdog in `WATCHDOG_USEC`. Without a socket nothing is told.
//! An instance starts no other process, so these variables need not be taken out of the environment.
//!
//! The property to trust: nothing here waits. What the manager does not take is told again at the next round, as it is by then.
//!
//! Not here: the state of the instance (`serving`), who stamps heartbeats (`observe::heartbeats`).

mod socket;
mod watchdog;

use core::fmt;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use self::socket::NotifySocket;
use self::watchdog::Watchdog;
use crate::catalog::Revision;
use crate::observe::WorkerCounters;
use crate::observe::state::State;
use crate::process::uptime::uptime_ms;

/// The time between two rounds; shorter where the watchdog is.
const ROUND: Duration = Duration::from_secs(1);

/// How often the status line is told anew while only the number of sessions changes.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// For how long the manager waits for the next message of an instance that ends, in place of its own time-out if that is over. Long
/// enough for what comes behind the last round: the end of the log's sinks and of the process.
const STOP_EXTENSION: Duration = Duration::from_secs(15);

/// The state of an instance, for the service manager.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether it serves, drains or ends.
    pub state: State,
    /// Sessions that were opened and whose sockets are not both closed yet.
    pub sessions: u64,
    /// The most sessions.
    pub sessions_max: u64,
    /// The catalogue that is served.
    pub revision: Revision,
    /// The faults for which the files are not served as they are. 0: they are.
    pub fault_count: usize,
    /// How many reloads were asked for since the start.
    pub reloads_asked: u64,
    /// Whether any of them is not answered yet.
    pub is_reloading: bool,
}

impl Standing {
    fn phase(&self) -> Phase {
        match self.state {
            State::Serving if self.is_reloading => Phase::Reloading,
            State::Serving => Phase::Ready,
            State::Draining | State::Ending => Phase::Stopping,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, sessions, sessions_max, revision, fault_count, .. } = self;
        let plural = if *sessions == 1 { "" } else { "s" };
        match state {
            State::Serving => {
                write!(formatter, "serving {sessions} of {sessions_max} sessions, catalogue {revision}")?;
                if *fault_count > 0 {
                    write!(formatter, "; newer files were refused ({fault_count} faults, see the log)")?;
                }
                Ok(())
            }
            State::Draining => write!(formatter, "draining, {sessions} session{plural} left"),
            State::Ending => write!(formatter, "ending, {sessions} session{plural} left"),
        }
    }
}

/// What the manager was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Phase {
    /// The line that tells of it.
    fn line(self) -> Option<&'static str> {
        match self {
            Self::Ready => Some("READY=1\n"),
            Self::Stopping => Some("STOPPING=1\n"),
            // A reload has a message of its own, which says when it began.
            Self::Starting | Self::Reloading => None,
        }
    }
}

/// The service manager that has started this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: NotifySocket,
    watchdog: Option<Watchdog>,
    phase: Phase,
    reloads_told: u64,
    /// The status line that was told last, and when.
    status: Option<(String, Instant)>,
    /// The catalogue that it was about.
    catalogue: Option<(Revision, usize)>,
    is_failing: bool,
}

impl ServiceManager {
    /// The manager that the environment names. `None`: there is none, or it cannot be told anything, which is logged.
    pub fn of_environment() -> Option<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let variable = |name| std::env::var_os(name).map(OsString::into_string).transpose();
        let watchdog = match (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID")) {
            (Ok(usec), Ok(process)) => Watchdog::of(usec.as_deref(), process.as_deref(), std::process::id()),
            (Err(given), _) | (_, Err(given)) => Err(format!("{given:?}")),
        };
        let watchdog = watchdog.unwrap_or_else(|given| {
            tracing::warn!(
                "cannot feed the service manager's watchdog: WATCHDOG_USEC or WATCHDOG_PID is {given}, allowed is a number; \
                 the service manager sets both"
            );
            None
        });
        if let Some(too_short) = watchdog.as_ref().and_then(Watchdog::too_short) {
            tracing::warn!("{too_short}");
        }
        match NotifySocket::named(&name) {
            Ok(socket) => Some(Self::new(socket, watchdog)),
            Err(error) => {
                tracing::warn!(
                    "cannot tell the service manager anything: NOTIFY_SOCKET={}: {error}",
                    name.display()
                );
                None
            }
        }
    }

    fn new(socket: NotifySocket, watchdog: Option<Watchdog>) -> Self {
        Self {
            socket,
            watchdog,
            phase: Phase::Starting,
            reloads_told: 0,
            status: None,
            catalogue: None,
            is_failing: false,
        }
    }

    /// The time from one round to the next.
    pub fn round_interval(&self) -> Duration {
        self.watchdog.as_ref().map_or(ROUND, |watchdog| watchdog.feeding_interval().min(ROUND))
    }

    /// Tells what has changed about the instance. To be called after everything that may have changed it.
    pub fn tell(&mut self, standing: &Standing, now: Instant) {
        self.tell_what(standing, now, false);
    }

    /// Tells how the instance is, and feeds the watchdog if all threads are at work. To be called every
    /// [`ServiceManager::round_interval`].
    pub fn round(&mut self, standing: &Standing, workers: &[Arc<WorkerCounters>], now: Instant) {
        self.tell_what(standing, now, true);
        let now_ms = uptime_ms();
        let is_hungry = self.watchdog.as_mut().is_some_and(|watchdog| watchdog.is_to_be_fed(workers, now_ms));
        if is_hungry
            && self.send("WATCHDOG=1")
            && let Some(watchdog) = &mut self.watchdog
        {
            watchdog.fed(now_ms);
        }
    }

    fn tell_what(&mut self, standing: &Standing, now: Instant, is_round: bool) {
        // A reload that was answered at once is told too: the manager may have asked for it, and wait.
        if standing.state == State::Serving && standing.reloads_asked != self.reloads_told {
            if !self.send(&reloading()) {
                return;
            }
            self.reloads_told = standing.reloads_asked;
            self.phase = Phase::Reloading;
        }
        let phase = standing.phase();
        let mut message = String::new();
        if phase != self.phase {
            message.push_str(phase.line().unwrap_or_default());
        }
        let catalogue = Some((standing.revision, standing.fault_count));
        let is_status_old = is_round
            && self.status.as_ref().is_none_or(|(_, at)| {
                phase == Phase::Stopping || now.saturating_duration_since(*at) >= STATUS_INTERVAL
            });
        let mut status = None;
        if phase != self.phase || catalogue != self.catalogue || is_status_old {
            let text = standing.to_string();
            if self.status.as_ref().is_none_or(|(told, _)| *told != text) {
                message.push_str(&format!("STATUS={text}\n"));
                status = Some(text);
            }
        }
        if phase == Phase::Stopping && (is_round || phase != self.phase) {
            message.push_str(&format!("EXTEND_TIMEOUT_USEC={}\n", STOP_EXTENSION.as_micros()));
        }
        if message.is_empty() || self.send(message.trim_end()) {
            self.phase = phase;
            self.catalogue = catalogue;
            if let Some(status) = status {
                self.status = Some((status, now));
            }
        }
    }

    /// Sends a message, and gives whether the manager has it.
    fn send(&mut self, message: &str) -> bool {
        match self.socket.send(message) {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the service manager takes messages again");
                }
                true
            }
            // It has not read the last ones yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        "cannot tell the service manager how this instance is: {}: {error}; trying again every second",
                        self.socket
                    );
                }
                false
            }
        }
    }
}

/// The message that a reload begins. Its time tells the manager whether it is the one that it has asked for.
fn reloading() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
}

#[cfg(test)]
mod tests;
