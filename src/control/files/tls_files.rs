//! The TLS configurations of an instance's listeners and backends, from their files, and the detection of changes in these.
//!
//! The configuration of connections is immutable and goes to the fronts with a publication. Changed files, a changed catalogue,
//! and rotated ticket keys make a new one. Open sessions have their own state.
//!
//! It reads file systems, which may hang: it is for the thread that reads the files.
//!
//! Not here: when to check (`looker`), and the content of the files (`tls`).

use crate::catalog::tls::ListenerTls;
use crate::catalog::{Api, Name};
use crate::compiled::Snapshot;
use crate::config::InstanceConfig;
use crate::limits::TLS_TICKET_KEY_LIFETIME_S;
use crate::tls::backend::{SystemAuthorities, TlsBackend};
use crate::tls::files::{FileFault, Matter};
use crate::tls::listener::TlsListener;
use crate::tls::setup::{CertificateValidity, TlsSetup};
use crate::tls::ticket_keys::TicketRing;
use rustls::pki_types::UnixTime;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// TLS of all listeners and backends that have it, as it was read last. A copy shares the content.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The folder of the instance file, to which names of files are relative.
    folder: PathBuf,
    listeners: Vec<Option<TlsListener>>,
    backends: BTreeMap<Name, TlsBackend>,
    /// Read when a backend first needs them.
    system: Option<SystemAuthorities>,
    tickets: Option<TicketKeys>,
    /// The faults of files that have changed and cannot be used. Their previous content stays in use.
    faults: BTreeMap<Owner, Vec<String>>,
}

/// The owner of a set of files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The listener at this place in the configuration.
    Listener(usize),
    /// The backend of this API.
    Backend(Name),
}

/// The keys of clients' tickets, and since when the newest has sealed them.
#[derive(Clone, Debug)]
struct TicketKeys {
    ring: Arc<TicketRing>,
    turned_at: UnixTime,
}

impl TlsFiles {
    /// Reads the files that the configuration names. `folder` is that of the instance file.
    ///
    /// # Errors
    /// All faults of the files.
    pub fn load(
        config: &InstanceConfig,
        snapshot: &Snapshot,
        folder: &Path,
        now: UnixTime,
    ) -> Result<Self, Vec<FileFault>> {
        let mut files = Self {
            folder: folder.to_owned(),
            listeners: Vec::new(),
            backends: BTreeMap::new(),
            system: None,
            tickets: None,
            faults: BTreeMap::new(),
        };
        let mut faults = Vec::new();
        for listener in &config.listeners {
            let tls = listener.tls.clone().map(|tls| files.load_listener(tls, now));
            files.listeners.push(tls.transpose().map_err(|found| faults.extend(found)).ok().flatten());
        }
        faults.extend(files.take_up(snapshot).err().into_iter().flatten());
        if faults.is_empty() { Ok(files) } else { Err(faults) }
    }

    fn load_listener(&mut self, tls: ListenerTls, now: UnixTime) -> Result<TlsListener, Vec<FileFault>> {
        let ring = match &self.tickets {
            Some(tickets) => Arc::clone(&tickets.ring),
            None => {
                let ring = Arc::new(TicketRing::new().map_err(|error| vec![no_random_bytes(error)])?);
                self.tickets = Some(TicketKeys { ring: Arc::clone(&ring), turned_at: now });
                ring
            }
        };
        let listener = TlsListener::load(tls, &self.folder, ring, now)?;
        warn(listener.warnings());
        Ok(listener)
    }

    /// Reads the files that another catalogue names. Backends with unchanged settings keep theirs.
    ///
    /// # Errors
    /// All faults of the files; nothing has changed then.
    pub fn take_up(&mut self, snapshot: &Snapshot) -> Result<(), Vec<FileFault>> {
        let mut faults = Vec::new();
        let mut read = BTreeMap::new();
        for api in snapshot.served().iter().filter(|api| snapshot.may_dial_tls(api)) {
            if self.backends.get(&api.name).is_some_and(|backend| backend.is_of(&api.tls)) {
                continue;
            }
            let system = self.system()?;
            match TlsBackend::load(api.tls.clone(), &self.folder, &system) {
                Ok(backend) => {
                    warn(backend.warnings());
                    read.insert(api.name.clone(), backend);
                }
                Err(found) => faults.extend(found),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.faults.retain(|owner, _| !matches!(owner, Owner::Backend(name) if read.contains_key(name)));
        self.backends.extend(read);
        self.backends.retain(|name, _| {
            snapshot.served().iter().any(|api| api.name == *name && snapshot.may_dial_tls(api))
        });
        let backends = &self.backends;
        self.faults.retain(|owner, _| !matches!(owner, Owner::Backend(name) if !backends.contains_key(name)));
        Ok(())
    }

    fn system(&mut self) -> Result<SystemAuthorities, Vec<FileFault>> {
        if let Some(system) = &self.system {
            return Ok(system.clone());
        }
        let (system, warnings) = SystemAuthorities::load().map_err(|fault| vec![fault])?;
        warn(&warnings);
        Ok(self.system.insert(system).clone())
    }

    /// Checks the files, reads those that have changed, and rotates the ticket keys when they are due. Returns whether there is
    /// anything new to publish. Files that cannot be used are logged, and the previous content stays ([`TlsFiles::faults`]).
    ///
    /// If somebody asked for it, unusable files are read and logged again even if they have not changed.
    pub fn look(&mut self, now: UnixTime, was_asked: bool) -> bool {
        let mut is_new = false;
        let known = self.faults.clone();
        let is_due = |owner: &Owner| was_asked && known.contains_key(owner);
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            let (owner, Some(listener)) = (Owner::Listener(number), listener) else { continue };
            if !listener.has_changed() && !is_due(&owner) {
                continue;
            }
            let reloaded = listener.reload(now);
            if reloaded.is_ok() {
                tracing::info!("reloaded a listener's certificates");
                warn(listener.warnings());
            }
            is_new |= note(&mut self.faults, owner, reloaded);
        }
        for (name, backend) in &mut self.backends {
            let owner = Owner::Backend(name.clone());
            if !backend.has_changed() && !is_due(&owner) {
                continue;
            }
            let reloaded = backend.reload();
            if reloaded.is_ok() {
                warn(backend.warnings());
            }
            is_new |= note(&mut self.faults, owner, reloaded);
        }
        // A file that is looked at again and again is told once.
        let is_known = |fault: &String| known.values().flatten().any(|known| known == fault);
        for fault in self.faults().into_iter().filter(|fault| was_asked || !is_known(fault)) {
            tracing::error!("{fault}: what was read before stays in use");
        }
        is_new | self.turn_tickets(now)
    }

    /// Returns the faults of files whose last state cannot be used, each fault once.
    pub fn faults(&self) -> Vec<String> {
        let faults: BTreeSet<_> = self.faults.values().flatten().cloned().collect();
        faults.into_iter().collect()
    }

    fn turn_tickets(&mut self, now: UnixTime) -> bool {
        let Some(tickets) = &mut self.tickets else { return false };
        let age_s = now.as_secs().saturating_sub(tickets.turned_at.as_secs());
        if age_s < u64::from(TLS_TICKET_KEY_LIFETIME_S) {
            return false;
        }
        tickets.turned_at = now;
        match tickets.ring.turned() {
            Ok(ring) => tickets.ring = Arc::new(ring),
            Err(error) => {
                tracing::error!(%error, "cannot make a new key for session tickets: no random bytes; the previous one stays in use");
                return false;
            }
        }
        for listener in self.listeners.iter_mut().flatten() {
            listener.set_tickets(Arc::clone(&tickets.ring));
        }
        true
    }

    /// How long the certificates of the listeners are valid, by the listeners' places.
    fn validity(&self) -> Vec<(usize, CertificateValidity)> {
        let listeners =
            self.listeners.iter().enumerate().filter_map(|(at, listener)| Some((at, listener.as_ref()?)));
        listeners
            .flat_map(|(at, listener)| listener.validity().iter().map(move |validity| (at, validity.clone())))
            .collect()
    }

    /// Returns the configurations that the fronts need.
    pub fn setup(&self, snapshot: &Snapshot) -> TlsSetup {
        let listeners = self.listeners.iter();
        let of_api =
            |api: &Arc<Api>| Some((api.name.clone(), Arc::clone(self.backends.get(&api.name)?.config())));
        TlsSetup {
            listeners: listeners
                .map(|listener| listener.as_ref().map(|listener| Arc::clone(listener.config())))
                .collect(),
            backends: snapshot.served().iter().filter_map(of_api).collect(),
            validity: self.validity(),
        }
    }
}

/// Records the faults of the files of `owner`, and returns whether they can be used.
fn note(
    faults: &mut BTreeMap<Owner, Vec<String>>,
    owner: Owner,
    reloaded: Result<(), Vec<FileFault>>,
) -> bool {
    let Err(found) = reloaded else {
        faults.remove(&owner);
        return true;
    };
    faults.insert(owner, found.iter().map(ToString::to_string).collect());
    false
}

fn no_random_bytes(error: getrandom::Error) -> FileFault {
    FileFault {
        file: PathBuf::from("/dev/random"),
        matter: Matter::Unreadable(io::Error::from(error).into()),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}
