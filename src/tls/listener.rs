//! TLS of one listener: its certificates, as they are in their files, and its demand for client certificates.
//!
//! The configuration of connections is an immutable [`ServerConfig`]. Changed files, and rotated ticket keys, make a new one;
//! open sessions keep nothing of either. If the content of the files cannot be used, the old configuration stays.
//!
//! Not here: when to look for changes, and who gets the new configuration (the control thread).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::certificates::CertificateSet;
use super::files::{FileFault, Matter, Pair, Reader, WatchedFiles};
use super::setup::CertificateValidity;
use super::ticket_keys::{TicketRing, Ticketer};
use crate::catalog::tls::{ClientAuth, ListenerTls, MinVersion};

/// The one protocol that is spoken (RFC 7301 §6).
pub(super) const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// The content of a listener's files.
#[derive(Clone, Debug)]
struct Read {
    certificates: Arc<CertificateSet>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// The value that a ticket is bound to: the authorities that the listener asks for.
    binding: [u8; 32],
    warnings: Vec<String>,
    validity: Vec<CertificateValidity>,
}

/// A listener's TLS.
#[derive(Clone, Debug)]
pub struct TlsListener {
    tls: ListenerTls,
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
    watched: WatchedFiles,
    read: Read,
    tickets: Arc<TicketRing>,
    config: Arc<ServerConfig>,
}

impl TlsListener {
    /// Reads what `tls` names. `folder` is that of the instance file.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(
        tls: ListenerTls,
        folder: &Path,
        tickets: Arc<TicketRing>,
        now: UnixTime,
    ) -> Result<Self, Vec<FileFault>> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let (watched, read) = read(&tls, folder, &provider, now);
        let read = read?;
        let config = Arc::new(server_config(&tls, &provider, &read, &tickets));
        Ok(Self { tls, folder: folder.to_owned(), provider, watched, read, tickets, config })
    }

    /// Returns the configuration of connections from here on.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns warnings for the operator: certificates that have expired or are not valid yet, and private keys that others can
    /// read.
    pub fn warnings(&self) -> &[String] {
        &self.read.warnings
    }

    /// How long each of its certificates is valid, in the order of the configuration.
    pub fn validity(&self) -> &[CertificateValidity] {
        &self.read.validity
    }

    /// Whether any of the files is not as it was when it was last read, whatever came of that.
    pub fn has_changed(&self) -> bool {
        self.watched.have_changed()
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Everything that is wrong with them; the old configuration stays, until they change once more.
    pub fn reload(&mut self, now: UnixTime) -> Result<(), Vec<FileFault>> {
        let (watched, read) = read(&self.tls, &self.folder, &self.provider, now);
        self.watched = watched;
        self.read = read?;
        self.configure();
        Ok(())
    }

    /// Gives tickets with the keys of another ring.
    pub fn set_tickets(&mut self, tickets: Arc<TicketRing>) {
        self.tickets = tickets;
        self.configure();
    }

    fn configure(&mut self) {
        self.config = Arc::new(server_config(&self.tls, &self.provider, &self.read, &self.tickets));
    }
}

fn read(
    tls: &ListenerTls,
    folder: &Path,
    provider: &Arc<CryptoProvider>,
    now: UnixTime,
) -> (WatchedFiles, Result<Read, Vec<FileFault>>) {
    let mut reader = Reader::new(folder);
    let mut faults = Vec::new();
    let pairs: Vec<Pair> = tls
        .certificates
        .iter()
        .filter_map(|files| reader.read_pair(files, provider).map_err(|fault| faults.push(fault)).ok())
        .collect();
    let authorities = tls.client_ca.as_deref().map(|name| {
        let authorities = reader.read_authorities(name)?;
        let verifier = client_verifier(&authorities, tls.client_auth, provider)
            .map_err(|matter| FileFault { file: folder.join(name), matter })?;
        Ok((authorities, verifier))
    });
    let authorities = authorities.transpose().map_err(|fault| faults.push(fault)).ok().flatten();
    if !faults.is_empty() {
        return (reader.watched, Err(faults));
    }
    let binding = binding(tls.client_auth, authorities.as_ref().map(|(authorities, _)| authorities));
    let read = Read {
        certificates: Arc::new(CertificateSet::new(&pairs)),
        verifier: authorities.map_or_else(WebPkiClientVerifier::no_client_auth, |(_, verifier)| verifier),
        binding,
        warnings: reader
            .warnings
            .into_iter()
            .chain(pairs.iter().filter_map(|pair| warning(pair, now)))
            .collect(),
        validity: pairs.iter().map(|pair| (&pair.facts).into()).collect(),
    };
    (reader.watched, Ok(read))
}

fn client_verifier(
    authorities: &RootCertStore,
    client_auth: ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Matter> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.clone()), provider.clone());
    let builder = match client_auth {
        ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    builder.build().map_err(|error| Matter::UnusableAuthorities(error.to_string()))
}

fn server_config(
    tls: &ListenerTls,
    provider: &Arc<CryptoProvider>,
    read: &Read,
    tickets: &TicketRing,
) -> ServerConfig {
    let versions: &[&'static SupportedProtocolVersion] = match tls.min_version {
        MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        MinVersion::Tls13 => &[&version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("the provider has suites and key exchanges of both versions")
        .with_client_cert_verifier(read.verifier.clone())
        .with_cert_resolver(read.certificates.clone());
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    // All state is in the ticket. One a connection: a client that comes again gets another.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(Ticketer::new(tickets, read.binding));
    config.send_tls13_tickets = 1;
    config
}

/// A digest of whom the listener asks for certificates.
fn binding(client_auth: ClientAuth, authorities: Option<&RootCertStore>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mode = match client_auth {
        ClientAuth::None => 0,
        ClientAuth::Optional => 1,
        ClientAuth::Required => 2,
    };
    context.update(&[mode]);
    for anchor in authorities.iter().flat_map(|authorities| &authorities.roots) {
        let constraints =
            anchor.name_constraints.as_ref().map_or(&[][..], |constraints| constraints.as_ref());
        for part in [anchor.subject.as_ref(), anchor.subject_public_key_info.as_ref(), constraints] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    let mut binding = [0; 32];
    binding.copy_from_slice(context.finish().as_ref());
    binding
}

fn warning(pair: &Pair, now: UnixTime) -> Option<String> {
    let matter = if pair.facts.is_expired(now) {
        "has expired"
    } else if pair.facts.is_too_young(now) {
        "is not valid yet"
    } else {
        return None;
    };
    Some(format!("{}: the certificate of {} {matter}", pair.file.display(), pair.facts.subject))
}
