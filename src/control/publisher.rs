//! Takes changes of the catalogue's files up: reads what changed, compiles the whole, and gives it to all workers at once.
//!
//! ```text
//! watch ── what may have changed ─► read, compile (a thread of its own) ── snapshot or faults ─► prepare, commit
//! ```
//!
//! The property to trust: a catalogue is published whole or not at all. What is at fault is refused with every fault, and
//! the one before stays. All that can fail comes first: files, compile, keys, certificates. The commit is one store that every
//! front reads, so there is no moment at which one worker has another catalogue to offer than the next; an opening ends
//! under the one that it began with, which it holds.
//!
//! The instance file is not read again: listeners, limits and the rest of it are those of the start.
//!
//! Not here: noticing changes (`catalog_watch`), what a publish means to sessions (`instance`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::catalog_watch::{CatalogWatch, Changed};
use super::instance::Instance;
use super::store::{read_again, read_catalog};
use super::{key_file, store};
use crate::catalog::compile::Compiler;
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{CatalogFiles, Fault, InstanceConfig, Name, Revision, Snapshot};
use crate::limits::FAULTS_TOLD_MAX;
use crate::observe::publishes::LastPublish;

/// Where a catalogue comes from.
#[derive(Clone, Debug)]
pub struct Source {
    catalog: PathBuf,
    gateway: Option<Name>,
    key_file: PathBuf,
}

impl Source {
    /// The catalogue of the instance file at `file`, whose contents are `config`.
    pub fn of(file: &Path, config: &InstanceConfig) -> Self {
        Self {
            catalog: store::beside(file, &config.catalog),
            gateway: config.gateway.clone(),
            key_file: store::beside(file, &config.keys.file),
        }
    }

    /// The snapshot with what it needs to know keys, if any subscription has some.
    ///
    /// # Errors
    /// The instance's secret cannot be had.
    pub fn with_keys(&self, snapshot: Snapshot) -> Result<Snapshot, Fault> {
        key_file::with_keys(snapshot, &self.key_file)
    }
}

/// What a look at the files came to.
#[derive(Debug)]
pub struct Looked {
    /// Somebody asked for it: it is told though nothing has changed.
    was_asked: bool,
    revision: Revision,
    /// The catalogue, or all that is wrong with it.
    result: Result<Arc<Snapshot>, Vec<String>>,
}

/// The files as they were read last, and what is known of them.
#[derive(Debug, Default)]
struct Reader {
    files: CatalogFiles,
    compiler: Compiler,
    /// The compiler has seen a catalogue like this one, and compiles a change of it fast.
    is_warm: bool,
}

impl Reader {
    /// Looks again at what may have changed. `None`: nothing has, as it is `served` still, and nobody asked.
    fn look(
        &mut self,
        source: &Source,
        changed: &Changed,
        served: Option<Revision>,
        was_asked: bool,
    ) -> Option<Looked> {
        match changed {
            Changed::Everything => self.files = read_catalog(&source.catalog),
            Changed::Files(paths) => {
                for path in paths {
                    read_again(&source.catalog, path, &mut self.files);
                }
            }
        }
        let revision = Revision::of(&self.files);
        let is_served = served == Some(revision) && !was_asked;
        if is_served && self.is_warm {
            return None;
        }
        let gateway = source.gateway.as_ref().map(Name::as_str);
        let compiled = self.compiler.compile(&self.files, gateway);
        self.is_warm = true;
        if is_served {
            return None;
        }
        let result = compiled.and_then(|snapshot| source.with_keys(snapshot).map_err(|fault| vec![fault]));
        let result = result.map(Arc::new).map_err(|faults| faults.iter().map(Fault::to_string).collect());
        Some(Looked { was_asked, revision, result })
    }
}

/// Takes up the changes of one catalogue.
#[derive(Debug)]
pub struct Publisher {
    source: Source,
    watch: CatalogWatch,
    /// Absent while a look is in progress, and after one that broke.
    reader: Option<Box<Reader>>,
    looking: Option<JoinHandle<(Box<Reader>, Option<Looked>)>>,
    /// The next look at everything was asked for.
    is_asked: bool,
    served: Revision,
    /// The last one that was refused, while nothing was published since.
    refused: Option<(Revision, Vec<String>)>,
}

impl Publisher {
    /// Watches a catalogue, of which `served` is served already. Everything is read once more: it may have changed between
    /// the first look and this.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O and time enabled.
    pub fn start(source: Source, served: Revision) -> Self {
        let watch = CatalogWatch::start(source.catalog.clone());
        let mut publisher =
            Self { source, watch, reader: None, looking: None, is_asked: false, served, refused: None };
        publisher.look(Changed::Everything);
        publisher
    }

    /// Waits until there is something to publish, or to refuse. May be dropped at any time: nothing is lost.
    pub async fn looked(&mut self) -> Looked {
        loop {
            let Some(looking) = &mut self.looking else {
                let changed = self.watch.changed().await;
                self.look(changed);
                continue;
            };
            let ended = looking.await;
            self.looking = None;
            match ended {
                Ok((reader, looked)) => {
                    self.reader = Some(reader);
                    if let Some(looked) = looked.filter(|looked| self.is_news(looked)) {
                        return looked;
                    }
                }
                // Only a broken invariant ends it so. The next change is looked at with everything else.
                Err(error) => tracing::error!(%error, "a look at the catalogue broke; the one before stays"),
            }
        }
    }

    /// Gives what a look came to to the workers, or says why not: in the log, and wherever the last publish is shown.
    pub fn publish(&mut self, looked: Looked, instance: &mut Instance, now: Timestamp) {
        let Looked { was_asked, revision, result } = looked;
        let count = result.as_ref().map_or(0, |snapshot| snapshot.served().len());
        let published = result.and_then(|snapshot| {
            instance.publish(snapshot).map_err(|faults| faults.iter().map(ToString::to_string).collect())
        });
        let mut faults = match published {
            Ok(()) => {
                tracing::info!(%revision, apis = count, "published the catalogue");
                self.served = revision;
                self.refused = None;
                Vec::new()
            }
            Err(faults) => {
                let refused = Some((revision, faults.clone()));
                if self.refused == refused && !was_asked {
                    return;
                }
                self.refused = refused;
                faults
            }
        };
        let fault_count = faults.len();
        faults.truncate(FAULTS_TOLD_MAX);
        let last = LastPublish { at: now, revision, served: self.served, fault_count, faults };
        if fault_count > 0 {
            log_refusal(last.clone());
        }
        instance.publishes().note(last);
    }

    /// Looks at everything, at once or behind the look in progress, and publishes or refuses it though nothing has changed:
    /// who asks wants to be told.
    pub fn request_look(&mut self) {
        self.is_asked = true;
        self.watch.expect_everything();
    }

    fn look(&mut self, changed: Changed) {
        let (mut reader, changed) = match self.reader.take() {
            Some(reader) => (reader, changed),
            None => (Box::default(), Changed::Everything),
        };
        let was_asked = changed == Changed::Everything && std::mem::take(&mut self.is_asked);
        let source = self.source.clone();
        // What was refused is tried again: it may have been for what stands in no file of the catalogue.
        let served = self.refused.is_none().then_some(self.served);
        // On a thread that may block: a large catalogue takes long, and the control thread has others to serve.
        self.looking = Some(tokio::task::spawn_blocking(move || {
            let looked = reader.look(&source, &changed, served, was_asked);
            (reader, looked)
        }));
    }

    /// Whether a look came to anything else than the one before: what is refused again for the same is none.
    fn is_news(&self, looked: &Looked) -> bool {
        match (&looked.result, &self.refused) {
            (Err(faults), Some(refused)) => {
                looked.was_asked || (&looked.revision, faults) != (&refused.0, &refused.1)
            }
            (Ok(_), _) | (Err(_), None) => true,
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
