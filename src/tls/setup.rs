//! The TLS configurations of every listener and every backend, as one publication has them.

use super::backend::server_name;
use super::endpoint::{Endpoint, EndpointFault};
use super::peer_certificate::PeerCertificate;
use crate::catalog::{Api, BackendUrl, Name};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::collections::HashMap;
use std::sync::Arc;

/// TLS towards one backend.
#[derive(Clone, Debug)]
pub struct BackendTls {
    /// Whom to trust, and what to show.
    pub config: Arc<ClientConfig>,
    /// The name that its certificate has to have.
    pub name: ServerName<'static>,
}

impl BackendTls {
    /// This end of a new connection.
    ///
    /// # Errors
    /// The configuration cannot make a connection.
    pub fn endpoint(&self) -> Result<Endpoint, EndpointFault> {
        Endpoint::with_backend(&self.config, self.name.clone())
    }
}

/// TLS of everything that has it. Openings take what they need when they begin, so a publication changes none of them.
#[derive(Debug, Default)]
pub struct TlsSetup {
    /// By a listener's place in the configuration; absent for a plain one.
    pub listeners: Vec<Option<Arc<ServerConfig>>>,
    /// By API; absent where no backend of its sessions has TLS.
    pub backends: HashMap<Name, Arc<ClientConfig>>,
    /// The certificates of the listeners, by the listeners' places in the configuration.
    pub validity: Vec<(usize, CertificateValidity)>,
}

/// How long a certificate is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateValidity {
    /// The first host in it, or its subject.
    pub name: String,
    /// The last second at which it is valid, since 1970.
    pub not_after: u64,
}

impl From<&PeerCertificate> for CertificateValidity {
    fn from(certificate: &PeerCertificate) -> Self {
        let name = certificate.dns_names().next().unwrap_or(&certificate.subject).to_owned();
        Self { name, not_after: certificate.not_after }
    }
}

impl TlsSetup {
    /// Returns the configuration of a listener.
    pub fn of_listener(&self, index: usize) -> Option<Arc<ServerConfig>> {
        self.listeners.get(index).cloned().flatten()
    }

    /// Returns the configuration for `backend`, which sessions of `api` go to. `None`: there is none.
    pub fn of_backend(&self, api: &Api, backend: &BackendUrl) -> Option<BackendTls> {
        let config = Arc::clone(self.backends.get(&api.name)?);
        // A URL's host is a name or an address, which a certificate can have.
        Some(BackendTls { config, name: server_name(&backend.host)? })
    }
}
