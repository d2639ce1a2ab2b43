//! The threads of the workers: how they start, and how they end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use super::StartError;
use crate::control::host::NoRingMemory;
use crate::front::{FrontParts, run_front};
use crate::observe::WorkerCounters;
use crate::observe::event_ring::RelayEvents;
use crate::observe::heartbeats::WorkerThread;
use crate::process::cores::{CoreIndex, pin_current_thread};
use crate::process::scheduling::{give_way, shorten_slice};
use crate::relay::{BugReporter, Mailbox, Relay, RelayLimits};
use crate::ring::KernelRing;

/// The end of one of a worker's threads.
#[derive(Debug)]
enum ThreadEnd {
    Done,
    Failed(String),
}

/// Where a relay leaves what is to be logged.
pub(super) struct RelayLog {
    pub(super) reporter: BugReporter,
    pub(super) events: RelayEvents,
}

/// The threads of all workers that have not ended yet.
#[derive(Debug)]
pub(super) struct WorkerThreads {
    end_sender: mpsc::UnboundedSender<ThreadEnd>,
    ends: mpsc::UnboundedReceiver<ThreadEnd>,
    running: usize,
}

impl WorkerThreads {
    pub(super) fn new() -> Self {
        let (end_sender, ends) = mpsc::unbounded_channel();
        Self { end_sender, ends, running: 0 }
    }

    /// Starts the relay of the worker `index`, and waits until it has its ring.
    pub(super) fn start_relay(
        &mut self,
        index: usize,
        core: CoreIndex,
        mailbox: Arc<Mailbox<OwnedFd>>,
        counters: Arc<WorkerCounters>,
        limits: RelayLimits,
        log: RelayLog,
    ) -> Result<(), StartError> {
        let wake_up = mailbox.wake_up()?;
        let (started, is_started) = std::sync::mpsc::channel();
        let beats = Arc::clone(&counters);
        let run = move || {
            pin(core);
            if let Err(error) = shorten_slice() {
                tracing::warn!(%error, "cannot shorten the time slice of a relay; its sessions wait longer for the front on the same core");
            }
            // The kernel wants a ring to be made by the thread that uses it.
            match KernelRing::new(wake_up) {
                Ok(ring) => {
                    let _ = started.send(Ok(()));
                    let relay = Relay::new(ring, mailbox, counters, limits);
                    let relay = relay.reporting_to(log.reporter).sending_events_to(log.events);
                    let ended = relay.run().map_err(|error| error.to_string());
                    beats.heartbeats.end(WorkerThread::Relay);
                    ended
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    Ok(())
                }
            }
        };
        self.spawn(format!("relay-{index}"), run)?;
        is_started.recv().map_err(|_| io::Error::other("a relay ended while it started"))??;
        Ok(())
    }

    /// Starts the front of the worker `index`.
    pub(super) fn start_front(
        &mut self,
        index: usize,
        core: CoreIndex,
        parts: FrontParts,
    ) -> Result<(), StartError> {
        let beats = Arc::clone(&parts.counters);
        let run = move || {
            pin(core);
            if let Err(error) = give_way() {
                tracing::warn!(%error, "cannot lower the priority of a front; it competes with the relay on the same core");
            }
            let ended = run_front(parts);
            beats.heartbeats.end(WorkerThread::Front);
            ended.map_err(|error| {
                if NoRingMemory::is_told_by(&error) {
                    NoRingMemory.to_string()
                } else {
                    format!("a front cannot run: {error}")
                }
            })
        };
        self.spawn(format!("front-{index}"), run)
    }

    fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(), StartError> {
        let (label, ends) = (name.clone(), self.end_sender.clone());
        thread::Builder::new().name(name).spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let end = match result {
                Ok(Ok(())) => ThreadEnd::Done,
                Ok(Err(message)) => ThreadEnd::Failed(message),
                // In service a panic has ended the process by now (`process::fatal`).
                Err(_) => ThreadEnd::Failed(format!("{label} panicked")),
            };
            // Nobody listens any more if the instance was dropped.
            let _ = ends.send(end);
        })?;
        self.running += 1;
        Ok(())
    }

    /// Waits until all have ended. May be dropped and called again.
    ///
    /// # Errors
    /// The error of a thread that failed. The others may still run.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        while self.running > 0 {
            match self.ends.recv().await {
                Some(ThreadEnd::Done) => self.running -= 1,
                Some(ThreadEnd::Failed(message)) => return Err(message),
                None => break,
            }
        }
        Ok(())
    }
}

fn pin(core: CoreIndex) {
    if let Err(error) = pin_current_thread(&[core]) {
        tracing::warn!(%error, core = core.number(), "a thread is not pinned");
    }
}
