//! Notices changes of a catalogue's files.
//!
//! The kernel reports changes (inotify) in every folder that files are in, and in every folder on the way to them: a deployment
//! replaces the whole by switching a link. Changes that belong together come in a burst, so they are gathered until it is quiet
//! for a moment, but for a bounded time: a steady stream of changes delays nothing for long.
//!
//! The property to trust: a missed change (because a queue was full, a folder came and went, or a network file system reports
//! none) is found by a scan of all files. The scan is requested at once where a miss is known, and else runs at an interval.
//! Folders are watched before they are read.
//!
//! It reads file systems, which may hang: it is for the thread that reads the files.
//!
//! Not here: reading the files (`store`), and the use of a change (`looker`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::store::{folders_of, is_catalog_file, is_catalog_folder, metadata};
use crate::limits::{CATALOG_LOOK_INTERVAL, CATALOG_QUIET};
use crate::process::files::watchdog::attempt;
use core::time::Duration;

/// How long changes are gathered at most, however steadily they come. Raising it delays what is published.
const CATALOG_GATHER_MAX: Duration = Duration::from_millis(400);

/// Bytes of the kernel's events that are taken at a time, on the stack. An event with the longest name takes 272.
const EVENTS_BYTES: usize = 4 * 1024;

/// Most links on the way to the catalogue that are followed (Linux: 40). What is behind more is not watched.
const LINKS_MAX: usize = 40;

/// The files that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These files, seen from the catalogue's folder.
    Files(BTreeSet<String>),
    /// Anything.
    Everything,
}

impl Changed {
    /// This and that.
    pub fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Files(files), Self::Files(others)) => files.extend(others),
            (Self::Everything, _) => {}
            (Self::Files(_), Self::Everything) => *self = Self::Everything,
        }
    }
}

/// The purpose of a watch of a folder.
#[derive(Clone, Debug)]
enum Watched {
    /// Files of a catalogue, with the prefix of their names, such as `apis/`.
    Files(String),
    /// Names on the way to the catalogue that could come to lead elsewhere.
    Way(BTreeSet<OsString>),
}

/// The kernel's part: the folder of each watch.
#[derive(Debug)]
struct Watches {
    inotify: AsyncFd<OwnedFd>,
    /// A folder can both be on the way and hold files: one watch serves both.
    by_number: BTreeMap<i32, Vec<Watched>>,
}

/// Watches the folder of a catalogue.
#[derive(Debug)]
pub struct CatalogWatch {
    catalog: PathBuf,
    /// `None`: the kernel does not report changes, and everything is only scanned at the interval.
    watches: Option<Watches>,
    gathered: Option<Gathered>,
    next_look: Instant,
}

/// Changes that are not reported yet.
#[derive(Debug)]
struct Gathered {
    changed: Changed,
    first_at: Instant,
    last_at: Instant,
}

impl Gathered {
    /// When they are reported: once it is quiet, or at the latest then.
    fn due_at(&self) -> Instant {
        (self.last_at + CATALOG_QUIET).min(self.first_at + CATALOG_GATHER_MAX)
    }
}

impl CatalogWatch {
    /// Watches `catalog`, whether it is there or not. What is read of it after this is no older than what is told.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time enabled.
    pub fn start(catalog: PathBuf) -> Self {
        let catalog = std::path::absolute(&catalog).unwrap_or(catalog);
        let mut watch = Self {
            catalog,
            watches: None,
            gathered: None,
            next_look: Instant::now() + CATALOG_LOOK_INTERVAL,
        };
        watch.watch_anew();
        watch
    }

    /// Waits until something may have changed, and returns it. May be dropped at any time: nothing is lost.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let due_at = self.gathered.as_ref().map_or(self.next_look, Gathered::due_at);
            let is_readable = tokio::select! {
                biased;
                () = sleep_until(due_at) => false,
                is_readable = readable(self.watches.as_ref()) => is_readable,
            };
            let now = Instant::now();
            if is_readable {
                if let Some(found) = self.take_events() {
                    self.gather(found, now);
                }
            } else if let Some(gathered) = self.gathered.take_if(|gathered| gathered.due_at() <= now) {
                if gathered.changed == Changed::Everything {
                    self.watch_anew();
                    self.next_look = now + CATALOG_LOOK_INTERVAL;
                }
                return gathered.changed;
            } else if self.next_look <= now {
                self.watch_anew();
                self.next_look = now + CATALOG_LOOK_INTERVAL;
                return Changed::Everything;
            }
        }
    }

    /// Has everything reported next, without waiting for an event.
    pub fn expect_everything(&mut self) {
        self.next_look = Instant::now();
    }

    fn gather(&mut self, found: Changed, now: Instant) {
        match &mut self.gathered {
            Some(gathered) => {
                gathered.changed.join(found);
                gathered.last_at = now;
            }
            None => self.gathered = Some(Gathered { changed: found, first_at: now, last_at: now }),
        }
    }

    /// Watches all folders that exist now. A look at everything afterwards misses no change.
    fn watch_anew(&mut self) {
        self.watches = match Watches::of(&self.catalog) {
            Ok(watches) => Some(watches),
            Err(error) => {
                let interval_s = CATALOG_LOOK_INTERVAL.as_secs();
                tracing::warn!(
                    %error,
                    "the catalogue's folder cannot be watched (fs.inotify.max_user_watches?); looking every {interval_s} s"
                );
                None
            }
        };
    }

    /// Takes the pending events. `None`: they concern no file of the catalogue.
    fn take_events(&mut self) -> Option<Changed> {
        let Some(watches) = &self.watches else { return None };
        let mut found: Option<Changed> = None;
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = inotify::Reader::new(watches.inotify.get_ref(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return found,
                // The kernel's queue cannot be read any more: all is looked at, and watched anew.
                Err(_) => return Some(Changed::Everything),
            };
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let change = match watches.by_number.get(&event.wd()) {
                Some(watched) => watched
                    .iter()
                    .filter_map(|watched| watched.change(&self.catalog, event.events(), name))
                    .reduce(|mut one, other| {
                        one.join(other);
                        one
                    }),
                // That the queue was full is told without a watch.
                None => event.events().contains(ReadFlags::QUEUE_OVERFLOW).then_some(Changed::Everything),
            };
            if let Some(change) = change {
                match &mut found {
                    Some(found) => found.join(change),
                    None => found = Some(change),
                }
            }
        }
    }
}

/// Waits until there are events; pending for ever if nothing is watched.
async fn readable(watches: Option<&Watches>) -> bool {
    let Some(watches) = watches else { return std::future::pending().await };
    match watches.inotify.readable().await {
        Ok(mut guard) => {
            // Events are taken until there are none: only a later one makes it readable again.
            guard.clear_ready();
            true
        }
        // The runtime is shutting down.
        Err(_) => std::future::pending().await,
    }
}

impl Watches {
    fn of(catalog: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut by_number: BTreeMap<i32, Vec<Watched>> = BTreeMap::new();
        for (folder, names) in way_to(catalog) {
            let names_move = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
            let Ok(_attempt) = attempt(&folder) else { continue };
            match inotify::add_watch(&inotify, &folder, names_move | WatchFlags::MASK_ADD) {
                Ok(number) => by_number.entry(number).or_default().push(Watched::Way(names)),
                // A folder above may be closed to this user: then only the look at the interval sees it led elsewhere.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for folder in folders_of(catalog) {
            let changes = WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVE
                | WatchFlags::ATTRIB
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            let Ok(_attempt) = attempt(&folder) else { continue };
            match inotify::add_watch(&inotify, &folder, changes | WatchFlags::MASK_ADD) {
                Ok(number) => {
                    let below = folder.strip_prefix(catalog).unwrap_or(Path::new("")).to_string_lossy();
                    let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
                    by_number.entry(number).or_default().push(Watched::Files(prefix));
                }
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { inotify: registered(inotify)?, by_number })
    }
}

/// Has the runtime watch an inotify queue.
#[expect(
    unsafe_code,
    reason = "tokio has no inotify, and takes another descriptor on its caller's word only"
)]
fn registered(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, which is open until it is dropped; nobody replaces or takes it.
    Ok(unsafe { AsyncFd::register(inotify) }?)
}

impl Watched {
    /// Returns the meaning of an event for the catalogue.
    fn change(&self, catalog: &Path, events: ReadFlags, name: Option<&OsStr>) -> Option<Changed> {
        match (self, name) {
            (Self::Way(names), Some(name)) => names.contains(name).then_some(Changed::Everything),
            (Self::Way(_), None) => None,
            // The folder itself is gone, or is another.
            (Self::Files(_), None) => (!events.contains(ReadFlags::ATTRIB)).then_some(Changed::Everything),
            (Self::Files(prefix), Some(name)) => {
                let path = format!("{prefix}{}", name.to_string_lossy());
                let is_of_folders = events.contains(ReadFlags::ISDIR);
                if is_catalog_file(&path) && !is_of_folders {
                    let is_open_still =
                        events.contains(ReadFlags::CREATE) && is_being_written(&catalog.join(&path));
                    return (!is_open_still).then(|| Changed::Files(BTreeSet::from([path])));
                }
                // A folder of files that came or went, or a link like `..data`, through which all files of a folder lead
                // elsewhere at once. Other names are of nobody's concern.
                let may_lead = is_of_folders
                    || is_catalog_folder(&path)
                    || name.as_bytes().starts_with(b"..")
                    || is_link(&catalog.join(&path));
                may_lead.then_some(Changed::Everything)
            }
        }
    }
}

/// Whether a new file is probably still being written: its closing will be reported. A link is complete from the start, and never
/// closed.
fn is_being_written(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

fn is_link(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Each folder in which a name on the way to `path` stands, with these names; links are followed as the kernel does.
fn way_to(path: &Path) -> BTreeMap<PathBuf, BTreeSet<OsString>> {
    let mut way: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut left: Vec<OsString> = parts_of(path);
    while let Some(part) = left.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        way.entry(at.clone()).or_default().insert(part);
        match attempt(&next).and_then(|_attempt| std::fs::read_link(&next)) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                left.extend(parts_of(&target));
            }
            // It is no link, or is not there: what would come next is watched when it has come.
            Ok(_) | Err(_) => at = next,
        }
    }
    way
}

/// The parts of a path, the first one last.
fn parts_of(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests;
