//! Publishes the findings of looks at an instance's files, supervises the thread that looks, and answers those who asked.
//!
//! ```text
//! looker (a thread of its own) ── report ─► prepare (a thread that may take long) ─► commit: one store ─► every front
//! ```
//!
//! The property to trust: the control thread never waits for a file, nor for a large catalogue. A catalogue is published whole or
//! not at all: every step that can fail comes first, in the looker: files, compile, keys, certificates. The commit is one store that
//! every front reads, so that all workers offer the new catalogue from the same moment; an opening ends under the catalogue that it
//! began with, which it holds. Each request for a look is answered once, by a look that began after it.
//!
//! A file system that does not answer blocks the looker. After a while another looker takes over for all other files; the blocked
//! path counts as a fault of those who need it, and the status page names it ([`watchdog`](crate::process::files::watchdog)).
//!
//! Not here: which files are looked at, and when (`files::looker`), the effect of a publish on sessions (`instance`).

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::command::{Asker, Progress, Reply};
use super::files::looker::{Faults, InstanceFiles, LookReport, Looker, ReloadOutcome, Served};
use super::instance::{Instance, Preparation, Prepared};
use crate::catalog::Revision;
use crate::catalog::timestamp::Timestamp;
use crate::limits::{CATALOG_LOOK_INTERVAL, FAULTS_TOLD_MAX, FILE_PATIENCE};
use crate::observe::publishes::LastPublish;
use crate::process::fatal::end_this_thread_only;
use crate::process::files::watchdog::Watchdog;

/// Most askers that wait for a look at a time. Over it, the newest is refused.
const ASKERS_MAX: usize = 64;

/// Publishes the changes of one instance's files.
#[derive(Debug)]
pub struct Publisher {
    files: InstanceFiles,
    served: Arc<Served>,
    watchdog: Watchdog,
    /// The looker. `None`: there is none, because too many hang or it panicked.
    looker: Option<LookerLine>,
    /// When a looker that panicked is started again.
    next_start: Option<Instant>,
    /// A catalogue that is about to be published. No other report is taken meanwhile.
    preparing: Option<Preparing>,
    /// The number of the newest request for a look.
    asked: u64,
    /// The askers that wait for the result of a look, with the number of the request.
    askers: VecDeque<(u64, Asker)>,
    /// The paths that hung at the last check.
    hung: Vec<String>,
}

/// The channels to and from a looker.
#[derive(Debug)]
struct LookerLine {
    requests: UnboundedSender<u64>,
    reports: UnboundedReceiver<LookReport>,
}

#[derive(Debug)]
struct Preparing {
    preparation: Preparation,
    /// Its changes, in words.
    changed: String,
    /// The number of the newest request that it answers.
    answers: u64,
    /// The faults of files of TLS, for those requests.
    tls_faults: Faults,
}

/// An event for a publisher.
#[derive(Debug)]
pub enum PublisherEvent {
    /// A look at the files has findings.
    Looked(LookReport),
    /// A catalogue is prepared.
    Prepared(Prepared),
    /// The thread that looks at files panicked.
    LookerBroke,
}

impl Publisher {
    /// Starts to look at these files; `served` is already served.
    pub fn start(files: InstanceFiles, served: Arc<Served>) -> Self {
        let mut publisher = Self {
            files,
            served,
            watchdog: Watchdog::default(),
            looker: None,
            next_start: None,
            preparing: None,
            asked: 0,
            askers: VecDeque::new(),
            hung: Vec::new(),
        };
        publisher.start_looker();
        publisher
    }

    /// Waits for the next event. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> PublisherEvent {
        if let Some(preparing) = &mut self.preparing {
            return PublisherEvent::Prepared(preparing.preparation.done().await);
        }
        match &mut self.looker {
            Some(line) => {
                line.reports.recv().await.map_or(PublisherEvent::LookerBroke, PublisherEvent::Looked)
            }
            None => std::future::pending().await,
        }
    }

    /// Handles an event: gives the findings of a look to the workers, or reports why not: in the log, wherever the last publish is
    /// shown, and to the askers.
    pub fn handle(&mut self, event: PublisherEvent, instance: &mut Instance, now: Timestamp) {
        match event {
            PublisherEvent::Looked(report) => self.handle_report(report, instance, now),
            PublisherEvent::Prepared(prepared) => self.commit(prepared, instance, now),
            PublisherEvent::LookerBroke => self.handle_broken_looker(),
        }
    }

    fn handle_report(&mut self, report: LookReport, instance: &mut Instance, now: Timestamp) {
        let LookReport { outcome, served, answers, tls_faults } = report;
        let before = std::mem::replace(&mut self.served, served);
        // With thousands of backends and faults it may be much.
        tokio::task::spawn_blocking(move || drop(before));
        let revision = self.served.revision;
        match outcome {
            ReloadOutcome::Catalogue(tls, changed) => {
                let preparation = instance.prepare(Arc::clone(&self.served.snapshot), tls);
                self.preparing = Some(Preparing { preparation, changed, answers, tls_faults });
            }
            ReloadOutcome::Refused(refused, faults) => {
                let told = faults.iter().take(FAULTS_TOLD_MAX).cloned().collect();
                let last = LastPublish {
                    at: now,
                    revision: refused,
                    served: revision,
                    fault_count: faults.len(),
                    faults: told,
                };
                log_refusal(refused, revision, Arc::clone(&faults));
                instance.publishes().note(last);
                let all: Faults = if tls_faults.is_empty() {
                    Arc::clone(&faults)
                } else {
                    faults.iter().chain(tls_faults.iter()).cloned().collect()
                };
                self.reply(answers, || Reply::ReloadRefused {
                    revision: refused,
                    served: revision,
                    faults: Arc::clone(&all),
                });
                tokio::task::spawn_blocking(move || drop(faults));
            }
            ReloadOutcome::Tls(tls) => instance.publish_tls(tls),
            ReloadOutcome::Unchanged => {
                tracing::info!("catalogue unchanged; still serving revision {revision}");
                self.reply_served(answers, &tls_faults, false);
            }
        }
    }

    fn commit(&mut self, prepared: Prepared, instance: &mut Instance, now: Timestamp) {
        instance.commit(prepared);
        let (revision, apis) = (self.served.revision, self.served.snapshot.served().len());
        let preparing = self.preparing.take();
        let changed = preparing.as_ref().map(|preparing| preparing.changed.as_str()).unwrap_or_default();
        tracing::info!(%revision, apis, "published the catalogue: {changed}");
        instance.publishes().note(LastPublish {
            at: now,
            revision,
            served: revision,
            fault_count: 0,
            faults: Vec::new(),
        });
        if let Some(Preparing { answers, tls_faults, .. }) = preparing {
            self.reply_served(answers, &tls_faults, true);
        }
    }

    /// Tells all askers whose request is answered that the catalogue is served as its files are, and the faults of files of TLS.
    fn reply_served(&mut self, answers: u64, tls_faults: &Faults, is_new: bool) {
        let (revision, apis) = (self.served.revision, self.served.snapshot.served().len());
        self.reply(answers, || {
            if tls_faults.is_empty() {
                Reply::Reloaded { revision, apis, is_new }
            } else {
                Reply::TlsRefused { revision, is_new, faults: Arc::clone(tls_faults) }
            }
        });
    }

    /// Replies to all askers whose request is answered.
    fn reply(&mut self, answers: u64, reply: impl Fn() -> Reply) {
        while let Some((_, asker)) = self.askers.pop_front_if(|(number, _)| *number <= answers) {
            asker.reply(reply());
        }
    }

    /// Handles the end of the looker, which only a broken invariant causes.
    fn handle_broken_looker(&mut self) {
        tracing::error!(
            "catalogue reload panicked; still serving the previous catalogue; reading the files again in {} s",
            CATALOG_LOOK_INTERVAL.as_secs()
        );
        self.looker = None;
        self.next_start = Some(Instant::now() + CATALOG_LOOK_INTERVAL);
        self.reply(u64::MAX, || {
            Reply::NotReloaded("reading the catalogue panicked, which is a bug: see the log")
        });
    }

    /// Requests a look at everything, at once or after the look in progress, which is answered even if nothing has changed.
    pub fn request_look(&mut self, asker: Asker) {
        // A signal has nobody who waits: the newest one stands for those before it.
        self.askers.retain(|(_, known)| !(known.is_gone() || known.is_log() && asker.is_log()));
        if self.askers.len() == ASKERS_MAX {
            return asker.reply(Reply::NotReloaded("too many wait for a look at the files already"));
        }
        self.asked += 1;
        self.askers.push_back((self.asked, asker));
        if self.looker.is_none() {
            // Who asks does not wait for the next try.
            self.next_start = None;
            self.start_looker();
        } else {
            self.request();
        }
    }

    /// Whether anybody waits for the result of a look.
    pub fn is_asked(&self) -> bool {
        !self.askers.is_empty()
    }

    /// Tells waiting askers that the look is still in progress.
    pub fn tell_askers(&self, progress: Progress) {
        self.askers.iter().for_each(|(_, asker)| asker.tell(progress));
    }

    /// Ends the looks. Waiting askers are told.
    pub fn end(&mut self, why: &'static str) {
        self.reply(u64::MAX, || Reply::NotReloaded(why));
    }

    /// Checks whether the look in progress advances, and starts another looker if there is none. To be called about every second.
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

    /// Requests a look at everything. Without a looker: the next one begins with that.
    fn request(&mut self) {
        if let Some(line) = &self.looker {
            // It may have broken: that is noticed where it is waited for. A request of a number that was answered is one of nobody's.
            let number = if self.askers.is_empty() { 0 } else { self.asked };
            let _ = line.requests.send(number);
        }
    }

    fn start_looker(&mut self) {
        let (requests, requested) = unbounded_channel();
        let (sender, reports) = unbounded_channel();
        let (files, served) = (self.files.clone(), Arc::clone(&self.served));
        let run = move || {
            end_this_thread_only();
            let looker = Looker::new(files, &served);
            drop(served);
            if let Err(error) = looker.run(requested, &sender) {
                tracing::error!(%error, "cannot watch or read the files");
            }
        };
        match self.watchdog.spawn("files", run) {
            Ok(()) => {
                self.looker = Some(LookerLine { requests, reports });
                if !self.askers.is_empty() {
                    self.request();
                }
            }
            Err(error) => {
                tracing::error!(
                    "cannot start the thread that reads the files: {error}; trying again in {} s, changes of files are not seen until then",
                    CATALOG_LOOK_INTERVAL.as_secs()
                );
                self.next_start = Some(Instant::now() + CATALOG_LOOK_INTERVAL);
                self.reply(u64::MAX, || Reply::NotReloaded("the files cannot be read for now; see the log"));
            }
        }
    }
}

/// Logs a refusal with its faults, on a thread of its own: a thousand faults would occupy the control thread for longer than
/// others should wait.
fn log_refusal(revision: Revision, served: Revision, faults: Faults) {
    tokio::task::spawn_blocking(move || {
        tracing::error!(%revision, %served, faults = faults.len(), "refused the catalogue");
        for fault in faults.iter().take(FAULTS_TOLD_MAX) {
            tracing::error!("{fault}");
        }
    });
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::control::command::Answer;
    use crate::control::files::looker::Start;

    /// A publisher of an empty catalogue, and its folder.
    fn start() -> (Publisher, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("catalog/apis")).unwrap();
        let file = folder.path().join("ringgate.toml");
        std::fs::write(&file, "").unwrap();
        let Start { files, served, .. } = Start::read(&file, UnixTime::now()).unwrap();
        (Publisher::start(files.unwrap(), served), folder)
    }

    async fn next_answers(publisher: &mut Publisher) -> u64 {
        let PublisherEvent::Looked(report) = publisher.next().await else { panic!("a report") };
        assert!(matches!(report.outcome, ReloadOutcome::Unchanged), "{report:?}");
        report.answers
    }

    #[tokio::test]
    async fn who_waits_when_the_thread_that_looks_breaks_is_told_so_and_who_asks_next_has_another_one() {
        let (mut publisher, _folder) = start();
        // The other ends of a thread that is gone.
        let (requests, _) = unbounded_channel();
        let (_, reports) = unbounded_channel();
        publisher.looker = Some(LookerLine { requests, reports });
        let (asker, mut answers) = Asker::new();
        publisher.request_look(asker);
        assert!(matches!(publisher.next().await, PublisherEvent::LookerBroke));
        publisher.handle_broken_looker();
        let Some(Answer::Reply(Reply::NotReloaded(why))) = answers.recv().await else { panic!("a reply") };
        assert!(why.contains("panicked"), "{why}");
        publisher.request_look(Asker::new().0);
        assert_eq!(next_answers(&mut publisher).await, 2);
    }

    #[tokio::test]
    async fn who_is_gone_and_all_signals_but_the_newest_take_no_place_among_those_who_wait() {
        let (mut publisher, _folder) = start();
        let mut waiting = Vec::new();
        for _ in 0..ASKERS_MAX {
            publisher.request_look(Asker::LOG);
            publisher.request_look(Asker::new().0);
        }
        for _ in 0..ASKERS_MAX - 1 {
            let (asker, answers) = Asker::new();
            publisher.request_look(asker);
            waiting.push(answers);
        }
        assert_eq!(publisher.askers.len(), ASKERS_MAX);
        let (asker, mut answers) = Asker::new();
        publisher.request_look(asker);
        let Some(Answer::Reply(Reply::NotReloaded(why))) = answers.recv().await else { panic!("a reply") };
        assert!(why.contains("too many wait"), "{why}");
        publisher.end("over");
        for mut answers in waiting {
            assert!(matches!(answers.recv().await, Some(Answer::Reply(Reply::NotReloaded("over")))));
        }
    }
}
