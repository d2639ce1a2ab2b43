//! Watches an instance's files for as long as it serves: the catalogue, the secret of keys, the files of TLS.
//!
//! ```text
//! a change, an interval, SIGHUP ─► read, compile, read TLS ─► found ─► the control thread
//! ```
//!
//! It has a thread of its own, on which every wait for a file system happens. Its findings are complete and ready for the workers:
//! no later step can fail.
//!
//! The property to trust: a catalogue is read whole or not at all. A faulty one is refused with all its faults, and the previous
//! one stays in use.
//!
//! The instance file is not read again: listeners, limits and the rest stay as they were at the start.
//!
//! Not here: noticing changes (`watch`), the effect of a publish on sessions (`instance`), and the case that the thread waits
//! for a file system without end (`publisher`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{MissedTickBehavior, interval};

use super::ignored::ignored_files;
use super::key_file;
use super::store::{self, Loaded, read_again, read_catalog};
use super::tls_files::TlsFiles;
use super::watch::{CatalogWatch, Changed};
use crate::catalog::api::Schemes;
use crate::catalog::timestamp::Timestamp;
use crate::catalog::{CatalogFiles, Fault, Name, Revision};
use crate::compiled::Snapshot;
use crate::compiled::changes::changes;
use crate::compiled::compile::Compiler;
use crate::compiled::useless::useless;
use crate::config::{InstanceConfig, ListenerConfig};
use crate::tls::files::FileFault;
use crate::tls::setup::TlsSetup;
use core::time::Duration;

/// How often files of certificates are checked for changes.
const TLS_FILES_LOOK: Duration = Duration::from_secs(5);

/// The paths of an instance's files.
#[derive(Clone, Debug)]
pub struct InstanceFiles {
    catalog: PathBuf,
    gateway: Option<Name>,
    key_file: PathBuf,
    /// The schemes of APIs that list none.
    default_schemes: Schemes,
}

impl InstanceFiles {
    /// The paths for the instance file at `file`, whose contents are `config`.
    pub fn of(file: &Path, config: &InstanceConfig) -> Self {
        Self {
            catalog: store::beside(file, &config.catalog),
            gateway: config.gateway.clone(),
            key_file: key_file::path(file, &config.keys),
            default_schemes: config.default_schemes(),
        }
    }
}

/// The files and the state that an instance starts with.
#[derive(Debug)]
pub struct Start {
    /// Its own configuration.
    pub config: InstanceConfig,
    /// The paths of its files; `None`: it has none.
    pub files: Option<InstanceFiles>,
    /// The state read from them.
    pub served: Arc<Served>,
    /// Settings in them that are legal and useless, a line each.
    pub warnings: Vec<String>,
}

/// Why an instance cannot start: all faults of its files, in the words of `check`.
#[derive(Debug, thiserror::Error)]
#[error("cannot start, the configuration is at fault{}", lines(.0))]
pub struct NoStart(pub Vec<StartFault>);

/// A fault of an instance's files.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// In its configuration.
    #[error("{0}")]
    Configuration(Fault),
    /// In a file of TLS that it names.
    #[error(transparent)]
    Tls(#[from] FileFault),
}

/// Each on a line of its own.
pub fn lines(faults: &[impl ToString]) -> String {
    faults.iter().map(|fault| format!("\n  {}", fault.to_string())).collect()
}

impl Start {
    /// Reads the instance file `config` and all that it names.
    ///
    /// # Errors
    /// All faults of the files.
    pub fn read(config: &Path, now: UnixTime) -> Result<Self, NoStart> {
        Self::read_listening(config, Vec::new(), now)
    }

    /// As [`Start::read`]; the instance listens on `listeners` instead of those of its file, if there are any.
    ///
    /// # Errors
    /// All faults of the files.
    pub fn read_listening(
        config: &Path,
        listeners: Vec<ListenerConfig>,
        now: UnixTime,
    ) -> Result<Self, NoStart> {
        let loaded = store::load(config);
        let mut loaded =
            loaded.map_err(|faults| NoStart(faults.into_iter().map(StartFault::Configuration).collect()))?;
        if !listeners.is_empty() {
            loaded.config.listeners = listeners;
        }
        let files = InstanceFiles::of(config, &loaded.config);
        let folder = config.parent().unwrap_or(Path::new(""));
        Self::of(loaded, Some(files), folder, now)
    }

    /// The start of the built-in instance, which needs no file.
    ///
    /// # Errors
    /// None that concerns a file.
    pub fn built_in(loaded: Loaded, now: UnixTime) -> Result<Self, NoStart> {
        Self::of(loaded, None, Path::new(""), now)
    }

    fn of(
        loaded: Loaded,
        files: Option<InstanceFiles>,
        folder: &Path,
        now: UnixTime,
    ) -> Result<Self, NoStart> {
        let Loaded { config, snapshot, revision } = loaded;
        let mut snapshot = snapshot.with_default_schemes(config.default_schemes());
        let mut faults = Vec::new();
        if let Some(files) = &files {
            match key_file::hasher_of(&snapshot, &files.key_file) {
                Ok(Some(hasher)) => snapshot = snapshot.with_key_hasher(hasher),
                Ok(None) => {}
                Err(fault) => faults.push(StartFault::Configuration(fault)),
            }
        }
        // What is wrong with the secret does not hide what is wrong with certificates.
        match TlsFiles::load(&config, &snapshot, folder, now) {
            Ok(tls) if faults.is_empty() => {
                let mut warnings =
                    files.as_ref().map(|files| ignored_files(&files.catalog)).unwrap_or_default();
                warnings.extend(useless(&snapshot, &config, Timestamp::from_unix(now.as_secs())));
                let served = Served { snapshot: Arc::new(snapshot), revision, tls, refused: None };
                Ok(Self { config, files, served: Arc::new(served), warnings })
            }
            loaded => {
                faults.extend(loaded.err().into_iter().flatten().map(StartFault::Tls));
                Err(NoStart(faults))
            }
        }
    }
}

/// The faults of a catalogue, a line each. There may be one for every file.
pub type Faults = Arc<[String]>;

/// The served state, with everything that the next look needs.
#[derive(Clone, Debug)]
pub struct Served {
    /// The catalogue.
    pub snapshot: Arc<Snapshot>,
    /// The revision of the catalogue.
    pub revision: Revision,
    /// TLS of listeners and backends.
    pub tls: TlsFiles,
    /// The catalogue that was refused last, and why, if none was published since.
    refused: Option<(Revision, Faults)>,
}

impl Served {
    /// Returns TLS in the form that the fronts need.
    pub fn setup(&self) -> TlsSetup {
        self.tls.setup(&self.snapshot)
    }
}

/// The findings of a look at the files.
#[derive(Debug)]
pub struct LookReport {
    /// The action that follows.
    pub outcome: ReloadOutcome,
    /// The state that is served from here on.
    pub served: Arc<Served>,
    /// The number of the newest request that this look answers, along with all before it; 0: none.
    pub answers: u64,
    /// Faults of files of TLS, for the askers. The content that was read before stays in use.
    pub tls_faults: Faults,
}

/// The action that follows a look.
#[derive(Debug)]
pub enum ReloadOutcome {
    /// Another catalogue is to be published; the text lists its changes from the previous one.
    Catalogue(TlsSetup, String),
    /// The same catalogue is to be published with other certificates or ticket keys.
    Tls(TlsSetup),
    /// The catalogue of this revision has faults.
    Refused(Revision, Faults),
    /// Nothing changed, but somebody asked.
    Unchanged,
}

/// Looks at the files of an instance.
#[derive(Debug)]
pub struct Looker {
    at: InstanceFiles,
    served: Served,
    files: CatalogFiles,
    compiler: Compiler,
    /// Whether the compiler has already seen a catalogue like this one, so that it compiles a change fast.
    is_warm: bool,
}

impl Looker {
    /// Makes a looker for the files of an instance that already serves `served`.
    pub fn new(at: InstanceFiles, served: &Served) -> Self {
        Self {
            at,
            served: served.clone(),
            files: CatalogFiles::default(),
            compiler: Compiler::default(),
            is_warm: false,
        }
    }

    /// Looks until nobody receives the findings any more. Each of `requests` causes a look at everything. Requests with a number
    /// above 0, each higher than the one before, are answered even if nothing has changed, by a look that begins after them.
    /// Blocks the calling thread.
    ///
    /// # Errors
    /// The system cannot make a runtime.
    pub fn run(
        mut self,
        mut requests: UnboundedReceiver<u64>,
        reports: &UnboundedSender<LookReport>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut watch = CatalogWatch::start(self.at.catalog.clone());
            let mut tls_looks = interval(TLS_FILES_LOOK);
            tls_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Everything is read once more at first: it may have changed before it was watched.
            let (mut changed, mut answers) = (Some(Changed::Everything), 0);
            loop {
                let found = self.look(changed.take(), std::mem::take(&mut answers));
                if found.into_iter().any(|report| reports.send(report).is_err()) {
                    return;
                }
                tokio::select! {
                    told = watch.changed() => changed = Some(told),
                    _ = tls_looks.tick() => {}
                    request = requests.recv() => {
                        let Some(request) = request else { return };
                        answers = request;
                        // Folders are watched before they are looked at.
                        watch.expect_everything();
                        changed = Some(everything(&mut watch).await);
                        // Who has asked meanwhile is answered by the same look.
                        while let Ok(request) = requests.try_recv() {
                            answers = answers.max(request);
                        }
                    }
                }
            }
        });
        Ok(())
    }

    /// Looks at the files of TLS, and at the changed parts of the catalogue, for requests up to `answers`.
    fn look(&mut self, changed: Option<Changed>, answers: u64) -> Vec<LookReport> {
        let is_tls_new = self.served.tls.look(UnixTime::now(), answers > 0);
        let of_catalogue = changed.and_then(|changed| self.look_at_catalogue(&changed, answers > 0));
        let is_published = matches!(of_catalogue, Some(ReloadOutcome::Catalogue(..)));
        let of_tls = (is_tls_new && !is_published).then(|| ReloadOutcome::Tls(self.served.setup()));
        if of_tls.is_none() && of_catalogue.is_none() {
            return Vec::new();
        }
        let served = Arc::new(self.served.clone());
        let report = |outcome, answers| {
            let faults = if answers > 0 { served.tls.faults() } else { Vec::new() };
            LookReport { outcome, served: Arc::clone(&served), answers, tls_faults: faults.into() }
        };
        let of_tls = of_tls.map(|outcome| report(outcome, 0));
        of_tls.into_iter().chain(of_catalogue.map(|outcome| report(outcome, answers))).collect()
    }

    /// `None`: there is nothing new, and nobody asked.
    fn look_at_catalogue(&mut self, changed: &Changed, was_asked: bool) -> Option<ReloadOutcome> {
        match changed {
            Changed::Everything => self.files = read_catalog(&self.at.catalog),
            Changed::Files(paths) => {
                for path in paths {
                    read_again(&self.at.catalog, path, &mut self.files);
                }
            }
        }
        let revision = Revision::of(&self.files);
        // What was refused is tried again: it may have been for what stands in no file of the catalogue.
        let is_same = self.served.refused.is_none() && self.served.revision == revision;
        let unchanged = was_asked.then_some(ReloadOutcome::Unchanged);
        if is_same && self.is_warm && (*changed != Changed::Everything || self.is_secret_the_same()) {
            return unchanged;
        }
        let gateway = self.at.gateway.as_ref().map(Name::as_str);
        let compiled = self.compiler.compile(&self.files, gateway);
        self.is_warm = true;
        let compiled = compiled.and_then(|snapshot| {
            let snapshot = snapshot.with_default_schemes(self.at.default_schemes);
            key_file::with_keys(snapshot, &self.at.key_file).map_err(|fault| vec![fault])
        });
        let taken = match compiled {
            Ok(snapshot) if is_same && snapshot.secret_mark() == self.served.snapshot.secret_mark() => {
                return unchanged;
            }
            Ok(snapshot) => {
                self.served.tls.take_up(&snapshot).map(|()| snapshot).map_err(|faults| texts(&faults))
            }
            Err(faults) => Err(texts(&faults)),
        };
        match taken {
            Ok(snapshot) => {
                let changed = match changes(&self.served.snapshot, &snapshot) {
                    none if none.is_empty() => "nothing that is served".to_owned(),
                    some => some,
                };
                self.served.snapshot = Arc::new(snapshot);
                self.served.revision = revision;
                self.served.refused = None;
                Some(ReloadOutcome::Catalogue(self.served.setup(), changed))
            }
            Err(faults) => {
                let refused = Some((revision, faults));
                // What is refused again for the same is no news.
                if self.served.refused == refused && !was_asked {
                    return None;
                }
                self.served.refused.clone_from(&refused);
                refused.map(|(revision, faults)| ReloadOutcome::Refused(revision, faults))
            }
        }
    }

    fn is_secret_the_same(&self) -> bool {
        let snapshot = &self.served.snapshot;
        let secret = key_file::hasher_of(snapshot, &self.at.key_file);
        secret.is_ok_and(|hasher| hasher.map(|hasher| hasher.mark()) == snapshot.secret_mark())
    }
}

/// Waits until everything is told, which somebody has asked for. What is told before belongs to it.
async fn everything(watch: &mut CatalogWatch) -> Changed {
    while watch.changed().await != Changed::Everything {}
    Changed::Everything
}

fn texts(faults: &[impl ToString]) -> Faults {
    faults.iter().map(ToString::to_string).collect()
}
