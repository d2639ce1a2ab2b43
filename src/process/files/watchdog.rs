//! Notices that a file system does not answer. A network file system whose server is gone blocks its callers for as long as it is
//! gone.
//!
//! A blocked thread cannot be called back. So it notes what it is about to touch ([`attempt`]), and another thread checks now and
//! then whether it has come back ([`Watchdog::look`]). If it takes too long, the thread is given up and its path *hangs*: a new
//! thread goes on with everything else, and each attempt at that path, or below it, fails at once. When the old thread comes
//! back, its path hangs no more; its further attempts fail, so that it soon ends.
//!
//! The property to trust: no more than one thread waits for a path, and no more than `HANGING_MAX` for all of them.
//!
//! Attempts of threads that no watchdog has started are not watched: the command line may wait.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;

use tokio::time::Instant;

use crate::limits::FILE_PATIENCE;

/// Most threads that are left to wait for file systems that do not answer. Over it, no file is looked at until one comes back.
const HANGING_MAX: usize = 8;

#[expect(
    clippy::disallowed_types,
    reason = "a path does not fit an atomic; no worker takes this lock, and nobody waits while holding it"
)]
type Lock<T> = std::sync::Mutex<T>;

thread_local! {
    /// The record of this thread's attempts.
    static WATCHED: RefCell<Option<Arc<Watched>>> = const { RefCell::new(None) };
}

/// One thread, as its watchdog sees it.
#[derive(Debug, Default)]
struct Watched {
    state: Lock<State>,
    hanging: Arc<Lock<BTreeSet<PathBuf>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The attempt in progress, and when it began.
    attempt: Option<(PathBuf, Instant)>,
    is_given_up: bool,
}

/// Held while the file system is asked about a path.
#[derive(Debug)]
pub struct Attempt(Option<Arc<Watched>>);

/// Says that this thread is about to ask the file system about `path`. One at a time.
///
/// # Errors
/// The path hangs, or the thread was given up: there is nothing to be had.
pub fn attempt(path: &Path) -> io::Result<Attempt> {
    let Some(watched) = WATCHED.with_borrow(Clone::clone) else { return Ok(Attempt(None)) };
    let mut state = lock(&watched.state);
    let hangs = |hanging: &PathBuf| path.starts_with(hanging);
    if state.is_given_up || lock(&watched.hanging).iter().any(hangs) {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer"));
    }
    state.attempt = Some((path.to_owned(), Instant::now()));
    drop(state);
    Ok(Attempt(Some(watched)))
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(watched) = &self.0 else { return };
        let mut state = lock(&watched.state);
        let over = state.attempt.take();
        if let Some((path, _)) = over.filter(|_| state.is_given_up) {
            lock(&watched.hanging).remove(&path);
        }
    }
}

/// Watches one thread at a time.
#[derive(Debug, Default)]
pub struct Watchdog {
    watched: Arc<Watched>,
    hanging: Arc<Lock<BTreeSet<PathBuf>>>,
}

impl Watchdog {
    /// Starts a thread, and watches it instead of the previous one.
    ///
    /// # Errors
    /// As many threads hang as there may be, or the system gives no thread.
    pub fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        if self.hanging().len() >= HANGING_MAX {
            return Err(io::Error::other(format!(
                "{HANGING_MAX} threads wait for file systems that do not answer"
            )));
        }
        let watched = Arc::new(Watched { state: Lock::default(), hanging: Arc::clone(&self.hanging) });
        self.watched = Arc::clone(&watched);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            WATCHED.set(Some(watched));
            run();
        })?;
        Ok(())
    }

    /// Gives the thread up if it has waited for the file system for [`FILE_PATIENCE`] at `now`, and gives the path that hangs.
    pub fn look(&self, now: Instant) -> Option<PathBuf> {
        let mut state = lock(&self.watched.state);
        if state.is_given_up {
            return None;
        }
        let (path, begun) = state.attempt.as_ref()?;
        if now.saturating_duration_since(*begun) < FILE_PATIENCE {
            return None;
        }
        let path = path.clone();
        state.is_given_up = true;
        lock(&self.hanging).insert(path.clone());
        Some(path)
    }

    /// Returns the paths on which abandoned threads still wait.
    pub fn hanging(&self) -> Vec<PathBuf> {
        lock(&self.hanging).iter().cloned().collect()
    }
}

fn lock<T>(lock: &Lock<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held, and what it guards is right after each line.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A thread that attempts `path`, and comes back when it is told to; then it says whether it may attempt another one.
    fn hang(watchdog: &mut Watchdog, path: &'static str) -> (Sender<()>, Receiver<bool>) {
        let (come_back, wait) = channel();
        let (say, said) = channel();
        let (begin, has_begun) = channel();
        let run = move || {
            let attempt = attempt(Path::new(path)).expect("a path that does not hang yet");
            begin.send(()).expect("the test waits");
            let _ = wait.recv();
            drop(attempt);
            let _ = say.send(super::attempt(Path::new("/another")).is_ok());
        };
        watchdog.spawn("files", run).expect("a thread");
        has_begun.recv().expect("it begins");
        (come_back, said)
    }

    /// Whether a thread of its own may attempt each of these.
    fn may_attempt(watchdog: &mut Watchdog, paths: &'static [&'static str]) -> Vec<bool> {
        let (say, said) = channel();
        let run = move || {
            let may = paths.iter().map(|path| attempt(Path::new(path)).is_ok()).collect();
            say.send(may).expect("the test waits");
        };
        watchdog.spawn("files", run).expect("a thread");
        said.recv().expect("it says so")
    }

    fn later() -> Instant {
        Instant::now() + FILE_PATIENCE
    }

    #[test]
    fn a_path_that_hangs_is_attempted_by_nobody_else_until_its_thread_comes_back() {
        let mut watchdog = Watchdog::default();
        let (come_back, said) = hang(&mut watchdog, "/net/certs");
        assert_eq!(watchdog.look(Instant::now()), None, "it has time yet");
        assert_eq!(watchdog.look(later()).as_deref(), Some(Path::new("/net/certs")));
        assert_eq!(watchdog.look(later()), None, "told once");
        let paths = &["/net/certs", "/net/certs/a.pem", "/net/certs2", "/net", "/etc/a.pem"];
        assert_eq!(may_attempt(&mut watchdog, paths), [false, false, true, true, true]);
        assert_eq!(watchdog.look(later()), None, "a thread that came back does not hang");

        come_back.send(()).expect("it waits");
        assert!(!said.recv().expect("it says so"), "who was given up goes on with nothing");
        assert!(watchdog.hanging().is_empty());
        assert_eq!(may_attempt(&mut watchdog, paths), [true; 5]);
    }

    #[test]
    fn no_more_threads_hang_than_may() {
        let mut watchdog = Watchdog::default();
        let paths = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"];
        assert_eq!(paths.len(), HANGING_MAX);
        let hanging: Vec<_> = paths
            .iter()
            .map(|path| {
                let hanging = hang(&mut watchdog, path);
                assert!(watchdog.look(later()).is_some());
                hanging
            })
            .collect();
        let fault = watchdog.spawn("files", || {}).expect_err("there are enough");
        assert!(fault.to_string().starts_with("8 threads wait"), "{fault}");
        hanging[3].0.send(()).expect("it waits");
        hanging[3].1.recv().expect("it says so");
        watchdog.spawn("files", || {}).expect("there is room again");
    }

    #[test]
    fn a_thread_that_no_watchdog_has_started_is_not_watched() {
        let watchdog = Watchdog::default();
        let _attempt = attempt(Path::new("/a")).expect("it may");
        assert_eq!(watchdog.look(later()), None);
    }
}
