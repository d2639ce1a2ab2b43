//! The only way in which ringgate changes a catalogue's files, for the command line, and later for REST and portal.
//!
//! The property to trust: at every moment the folder holds a whole catalogue, from before the change or after it, even
//! if the process is killed or the host loses power. A change concerns one file: it is written under a hidden name, synchronised,
//! renamed over the old file, and its folder synchronised (`decisions/0014`). A killed process leaves a hidden file, which nobody
//! reads, and which the next change removes.
//!
//! A change is made only if the whole catalogue with it compiles, and if the file still is as its author saw it (`if_match`). One
//! process writes at a time: it holds a lock on a hidden file, from the first read to the last step.
//!
//! Not here: faults (`catalog`), and noticing changes of others (`watch`).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::store::{self, is_catalog_file, read_catalog};
use crate::catalog::{ETag, Fault, Name, Revision};
use crate::compiled::compile;
use crate::limits::CONFIG_FILE_BYTES_MAX;

/// The file that a writer holds a lock on. It is never removed: a removed lock file could be locked twice.
const LOCK_FILE: &str = ".ringgate-lock";

/// The name of a file while it is written, in its target's folder.
const UNFINISHED: &str = ".ringgate-unfinished";

/// The state of the file that the author of a change expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Any state (`If-Match: *` where the file must exist; no condition where it need not).
    Anything,
    /// No file (`If-None-Match: *`).
    Nothing,
    /// This state.
    State(ETag),
}

/// A change of a file.
#[derive(Clone, Copy, Debug)]
pub enum Change<'t> {
    /// The file gets this text.
    Put(&'t str),
    /// The file is removed.
    Delete,
}

/// A catalogue after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The state of the file; `None`: it is removed.
    pub etag: Option<ETag>,
    /// The revision of the whole catalogue.
    pub revision: Revision,
}

/// Why a change was not made. Nothing has changed then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The path is none of a catalogue's files.
    #[error("{0} is not the path of a catalogue's file")]
    NoPath(String),
    /// The file that is to be deleted is not there.
    #[error("{0} is not there")]
    NotThere(String),
    /// The file is not in the expected state: its actual state, if it exists.
    #[error("the file has changed meanwhile")]
    HasChanged(Option<ETag>),
    /// The catalogue with the change would have faults.
    #[error("the catalogue would be at fault")]
    Faulty(Vec<Fault>),
    /// A system error. If it is at the last step, the change is there, and may be lost after a loss of power.
    #[error("cannot {step} {}: {error}", path.display())]
    System {
        /// The step that failed.
        step: &'static str,
        /// The path of the step.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// A step of a change, announced before it is taken: tests end the process there.
pub type StepWatch<'w> = &'w mut dyn FnMut(&'static str);

/// Writes to the catalogue in one folder.
#[derive(Clone, Debug)]
pub struct CatalogWriter {
    catalog: PathBuf,
    gateway: Option<Name>,
}

impl CatalogWriter {
    /// A writer to the folder `catalog` of an instance of `gateway`.
    pub fn new(catalog: PathBuf, gateway: Option<Name>) -> Self {
        Self { catalog, gateway }
    }

    /// Makes a change to the file at `path`, which is seen from the catalogue's folder. Blocks: on the lock while another
    /// process writes, and on the disk.
    ///
    /// # Errors
    /// Why it was not made.
    pub fn change(&self, path: &str, change: Change<'_>, if_match: IfMatch) -> Result<Written, NotWritten> {
        self.change_watched(path, |_| Ok(change.to_text()), if_match, &mut |_| {})
    }

    /// As [`CatalogWriter::change`], where the change depends on the text that is there, which nobody changes meanwhile.
    ///
    /// # Errors
    /// Why it was not made, or what `edit` says.
    pub fn edit<E: From<NotWritten>>(
        &self,
        path: &str,
        edit: impl FnOnce(Option<&str>) -> Result<Option<String>, E>,
    ) -> Result<Written, E> {
        self.change_watched(path, edit, IfMatch::Anything, &mut |_| {})
    }

    /// As [`CatalogWriter::edit`], with a condition, and each step is told before it is taken.
    ///
    /// # Errors
    /// Why the change was not made, or what `edit` says.
    pub fn change_watched<E: From<NotWritten>>(
        &self,
        path: &str,
        edit: impl FnOnce(Option<&str>) -> Result<Option<String>, E>,
        if_match: IfMatch,
        step: StepWatch<'_>,
    ) -> Result<Written, E> {
        if !is_catalog_file(path) {
            return Err(NotWritten::NoPath(path.to_owned()).into());
        }
        step("lock");
        let _lock = self.lock()?;
        step("clean");
        self.take_away_unfinished()?;
        let mut files = read_catalog(&self.catalog);
        let before = files.text(path).map(AsRef::as_ref);
        let etag = before.map(ETag::of);
        match if_match {
            IfMatch::State(seen) if etag != Some(seen) => return Err(NotWritten::HasChanged(etag).into()),
            IfMatch::Nothing if files.has(path) => return Err(NotWritten::HasChanged(etag).into()),
            IfMatch::State(_) | IfMatch::Nothing | IfMatch::Anything => {}
        }
        let after = edit(before)?;
        match &after {
            Some(text) if text.len() as u64 > CONFIG_FILE_BYTES_MAX => {
                return Err(NotWritten::Faulty(vec![store::too_large(path)]).into());
            }
            Some(text) => files.insert(path, text.as_str()),
            None if !files.remove(path) => return Err(NotWritten::NotThere(path.to_owned()).into()),
            None => {}
        }
        compile(&files, self.gateway.as_ref().map(Name::as_str)).map_err(NotWritten::Faulty)?;
        match &after {
            Some(text) => self.put(path, text, step)?,
            None => self.delete(path, step)?,
        }
        step("done");
        Ok(Written { etag: after.as_deref().map(ETag::of), revision: Revision::of(&files) })
    }

    /// Waits until no other process writes, and keeps others from writing until it is dropped.
    fn lock(&self) -> Result<File, NotWritten> {
        let path = self.catalog.join(LOCK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path);
        let file = file.map_err(failed("open", &path))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                locked => {
                    locked.map_err(io::Error::from).map_err(failed("lock", &path))?;
                    return Ok(file);
                }
            }
        }
    }

    /// Removes the hidden files of killed writers.
    fn take_away_unfinished(&self) -> Result<(), NotWritten> {
        for folder in store::folders_of(&self.catalog) {
            let path = folder.join(UNFINISHED);
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error) => return Err(failed("take away", &path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn put(&self, path: &str, text: &str, step: StepWatch<'_>) -> Result<(), NotWritten> {
        let target = self.catalog.join(path);
        let folder = folder_of(&target);
        step("make the folder");
        self.make_folder(folder)?;
        step("create");
        let unfinished = folder.join(UNFINISHED);
        let file = OpenOptions::new().write(true).create_new(true).open(&unfinished);
        let mut file = file.map_err(failed("create", &unfinished))?;
        let written = (|| {
            keep_owner_and_mode(&file, &target)?;
            let (first, second) = text.as_bytes().split_at(text.len() / 2);
            step("write the first half");
            file.write_all(first)?;
            step("write the second half");
            file.write_all(second)?;
            step("synchronise");
            file.sync_all()
        })();
        let renamed = written.map_err(failed("write", &unfinished)).and_then(|()| {
            step("rename");
            fs::rename(&unfinished, &target).map_err(failed("rename to", &target))
        });
        if renamed.is_err() {
            // Whether that works or not, nobody reads it.
            let _ = fs::remove_file(&unfinished);
        }
        renamed?;
        step("synchronise the folder");
        synchronise(folder)
    }

    fn delete(&self, path: &str, step: StepWatch<'_>) -> Result<(), NotWritten> {
        let target = self.catalog.join(path);
        step("remove");
        fs::remove_file(&target).map_err(failed("remove", &target))?;
        step("synchronise the folder");
        synchronise(folder_of(&target))
    }

    /// Makes the folder of a file, as far as it is missing below the catalogue's own.
    fn make_folder(&self, folder: &Path) -> Result<(), NotWritten> {
        if folder.is_dir() || folder == self.catalog {
            return Ok(());
        }
        let parent = folder_of(folder);
        self.make_folder(parent)?;
        fs::create_dir(folder).map_err(failed("make", folder))?;
        synchronise(parent)
    }
}

impl Change<'_> {
    fn to_text(self) -> Option<String> {
        match self {
            Self::Put(text) => Some(text.to_owned()),
            Self::Delete => None,
        }
    }
}

/// Gives a file that is being written the owner and the mode of the file that it replaces: the service reads it as a
/// user of its own, which may not be the one that changes it.
fn keep_owner_and_mode(file: &File, replaced: &Path) -> io::Result<()> {
    let Ok(before) = fs::metadata(replaced) else { return Ok(()) };
    let now = file.metadata()?;
    if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(before.mode() & 0o777))
}

/// Makes changes of a folder's names durable.
fn synchronise(folder: &Path) -> Result<(), NotWritten> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("synchronise", folder))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NotWritten {
    let path = path.to_owned();
    move |error| NotWritten::System { step, path, error }
}
