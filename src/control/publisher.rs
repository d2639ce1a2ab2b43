//! Publishes what a look at an instance's files has found, and looks after the thread that looks.
//!
//! ```text
//! looker (a thread of its own) ── found ─► publish: one store ─► every front
//! ```
//!
//! The property to trust: the control thread never waits for a file. A catalogue is published whole or not at all: all that can
//! fail comes first, in the looker: files, compile, keys, certificates. The commit is one store that every front reads, so there
//! is no moment at which one worker has another catalogue to offer than the next; an opening ends under the one that it began
//! with, which it holds.
//!
//! A file system that does not answer holds the looker. After a while another one goes on with everything else, what hangs
//! being a fault of whoever needs it; the status page names it ([`watchdog`](crate::process::files::watchdog)).
//!
//! Not here: what is looked at, and when (`looker`), what a publish means to sessions (`instance`).

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::files::looker::{Found, Looker, Outcome, Served, Source};
use super::instance::Instance;
use crate::catalog::timestamp::Timestamp;
use crate::limits::{CATALOG_LOOK_INTERVAL, FAULTS_TOLD_MAX, FILE_PATIENCE};
use crate::observe::publishes::LastPublish;
use crate::process::fatal::end_this_thread_only;
use crate::process::files::watchdog::Watchdog;

/// Takes up the changes of one instance's files.
#[derive(Debug)]
pub struct Publisher {
    source: Source,
    served: Served,
    watchdog: Watchdog,
    /// `None`: there is none, since too many hang or it broke.
    looker: Option<Line>,
    /// When one is started again that broke.
    next_start: Option<Instant>,
    /// Somebody asked for a look and was not told yet what came of it.
    is_asked: bool,
    /// What hung when that was looked at last.
    hung: Vec<String>,
}

/// The line to a looker.
#[derive(Debug)]
struct Line {
    requests: UnboundedSender<bool>,
    found: UnboundedReceiver<Found>,
}

impl Publisher {
    /// Looks at the files of `source`, of which `served` is served already.
    pub fn start(source: Source, served: Served) -> Self {
        let mut publisher = Self {
            source,
            served,
            watchdog: Watchdog::default(),
            looker: None,
            next_start: None,
            is_asked: false,
            hung: Vec::new(),
        };
        publisher.start_looker();
        publisher
    }

    /// Waits until there is something to publish, to refuse or to say. May be dropped at any time: nothing is lost.
    pub async fn found(&mut self) -> Found {
        if let Some(line) = &mut self.looker {
            if let Some(found) = line.found.recv().await {
                return found;
            }
            // Only a broken invariant ends it so.
            tracing::error!(
                "catalogue reload panicked; still serving the previous catalogue; reading the files again in {} s",
                CATALOG_LOOK_INTERVAL.as_secs()
            );
            self.looker = None;
            self.next_start = Some(Instant::now() + CATALOG_LOOK_INTERVAL);
        }
        std::future::pending().await
    }

    /// Gives what a look has found to the workers, or says why not: in the log, and wherever the last publish is shown.
    pub fn publish(&mut self, found: Found, instance: &mut Instance, now: Timestamp) {
        let Found { outcome, served, was_asked } = found;
        self.served = served;
        self.is_asked &= !was_asked;
        let served = self.served.revision;
        let mut last = LastPublish { at: now, revision: served, served, fault_count: 0, faults: Vec::new() };
        match outcome {
            Outcome::Catalogue(tls) => {
                let snapshot = &self.served.snapshot;
                let apis = snapshot.served().len();
                instance.publish(snapshot.clone(), tls);
                tracing::info!(revision = %served, apis, "published the catalogue");
            }
            Outcome::Refused(revision, mut faults) => {
                last.revision = revision;
                last.fault_count = faults.len();
                faults.truncate(FAULTS_TOLD_MAX);
                last.faults = faults;
                log_refusal(last.clone());
            }
            Outcome::Tls(tls) => return instance.publish_tls(tls),
            Outcome::Unchanged => {
                tracing::info!("catalogue unchanged; still serving revision {served}");
                return;
            }
        }
        instance.publishes().note(last);
    }

    /// Looks at everything, at once or behind the look in progress, and tells what came of it though nothing has changed.
    pub fn request_look(&mut self) {
        self.is_asked = true;
        self.request();
    }

    /// Looks whether the look in progress gets on, and sees to it that there is somebody who looks. To be called every second
    /// or so.
    pub fn look_after(&mut self, instance: &Instance, now: Instant) {
        if let Some(path) = self.watchdog.look(now) {
            let patience_s = FILE_PATIENCE.as_secs();
            tracing::error!(
                "{} does not answer for {patience_s} s: what was read of it before stays in use, and other files are looked at on",
                path.display()
            );
            self.looker = None;
        }
        let hung: Vec<String> =
            self.watchdog.hanging().iter().map(|path| path.display().to_string()).collect();
        if hung != self.hung {
            for path in self.hung.iter().filter(|path| !hung.contains(path)) {
                tracing::info!("{path} answers again");
            }
            instance.publishes().note_hanging(hung.clone());
            self.hung = hung;
            self.request();
        }
        if self.looker.is_none() && self.next_start.is_none_or(|at| at <= now) {
            self.next_start = None;
            self.start_looker();
        }
    }

    /// Has everything looked at. Without a looker: the next one begins with that.
    fn request(&mut self) {
        if let Some(line) = &self.looker {
            // It may have broken: that is noticed where it is waited for.
            let _ = line.requests.send(self.is_asked);
        }
    }

    fn start_looker(&mut self) {
        let (requests, requested) = unbounded_channel();
        let (sender, found) = unbounded_channel();
        let looker = Looker::new(self.source.clone(), self.served.clone());
        let run = move || {
            end_this_thread_only();
            if let Err(error) = looker.run(requested, &sender) {
                tracing::error!(%error, "the files cannot be looked at");
            }
        };
        match self.watchdog.spawn("files", run) {
            Ok(()) => self.looker = Some(Line { requests, found }),
            Err(error) => {
                tracing::error!("no file is looked at: {error}");
                self.next_start = Some(Instant::now() + CATALOG_LOOK_INTERVAL);
            }
        }
        if self.is_asked {
            self.request();
        }
    }
}

/// Logs a refusal with its faults, on a thread of its own: there may be a thousand of them, which takes the control thread
/// longer than others should wait for it.
fn log_refusal(refused: LastPublish) {
    tokio::task::spawn_blocking(move || {
        let LastPublish { revision, served, fault_count, faults, .. } = refused;
        tracing::error!(%revision, %served, faults = fault_count, "refused the catalogue");
        for fault in faults {
            tracing::error!("{fault}");
        }
    });
}
