//! TLS towards the backends of one API: whom it trusts, and what it shows.
//!
//! A backend's certificate has to be trusted *and* be for the host name of the API's URL; nothing turns that off. With a pin it
//! has to be that one certificate, whoever issued it: only the chain is not checked then. Its name, its dates and the proof that
//! the backend has the key are checked all the same, so a pinned certificate is not valid for every name and for ever.
//!
//! Not here: the dial (the front), the name of a check that failed (`failed_check`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::files::{FileFault, Matter, Reader, WatchedFiles};
use super::listener::ALPN_HTTP_1_1;
use super::peer_certificate::PeerCertificate;
use super::unusable_certificate::UnusableCertificate;
use crate::catalog::BackendHost;
use crate::catalog::tls::BackendTls;
use crate::process::files::Unreadable;
use crate::process::files::watchdog::attempt;

/// The files of the system's authorities, as faults name them.
const SYSTEM_STORE: &str = "the system's store";

/// The system's authorities.
#[derive(Clone, Debug)]
pub struct SystemAuthorities(Arc<RootCertStore>);

impl SystemAuthorities {
    /// Reads them, and says what could not be read. `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are if it is not where the
    /// system has them.
    ///
    /// # Errors
    /// Their file system does not answer.
    pub fn load() -> Result<(Self, Vec<String>), FileFault> {
        let store = || PathBuf::from(SYSTEM_STORE);
        let attempt = attempt(Path::new(SYSTEM_STORE));
        let _attempt =
            attempt.map_err(|error| FileFault { file: store(), matter: Unreadable::from(error).into() })?;
        let found = rustls_native_certs::load_native_certs();
        let mut warnings: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 {
            warnings.push(format!("{ignored} certificates of the system's authorities are malformed"));
        }
        Ok((Self(Arc::new(roots)), warnings))
    }

    /// These and no others: for a test.
    pub fn of(roots: Arc<RootCertStore>) -> Self {
        Self(roots)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// TLS towards the backends of one API, as its files say.
#[derive(Clone, Debug)]
pub struct TlsBackend {
    tls: BackendTls,
    folder: PathBuf,
    system: SystemAuthorities,
    watched: WatchedFiles,
    read: Read,
}

/// The content of a backend's files.
#[derive(Clone, Debug)]
struct Read {
    config: Arc<ClientConfig>,
    warnings: Vec<String>,
}

impl TlsBackend {
    /// Reads what `tls` names. `folder` is that of the instance file.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(tls: BackendTls, folder: &Path, system: &SystemAuthorities) -> Result<Self, Vec<FileFault>> {
        let (watched, read) = read(&tls, folder, system);
        let read = read?;
        Ok(Self { tls, folder: folder.to_owned(), system: system.clone(), watched, read })
    }

    /// Whether it is what an operator says by `tls`.
    pub fn is_of(&self, tls: &BackendTls) -> bool {
        self.tls == *tls
    }

    /// Returns the configuration of connections from here on. It keeps the tickets of earlier ones.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.read.config
    }

    /// Returns warnings for the operator: private keys that others can read.
    pub fn warnings(&self) -> &[String] {
        &self.read.warnings
    }

    /// Whether any of the files is not as it was when it was last read, whatever came of that.
    pub fn has_changed(&self) -> bool {
        self.watched.have_changed()
    }

    /// Reads the files again. Tickets of earlier connections are forgotten with the old configuration.
    ///
    /// # Errors
    /// Everything that is wrong with them; the old configuration stays, until they change once more.
    pub fn reload(&mut self) -> Result<(), Vec<FileFault>> {
        let (watched, read) = read(&self.tls, &self.folder, &self.system);
        self.watched = watched;
        self.read = read?;
        Ok(())
    }
}

/// The name that a backend's certificate has to have. A name is sent to the backend (SNI); an address is not (RFC 6066 §3).
///
/// `None`: the host is no name that a certificate can have.
pub fn server_name(host: &BackendHost) -> Option<ServerName<'static>> {
    match host {
        BackendHost::Ip(address) => Some(ServerName::from(*address)),
        // RFC 6066 §3: without the final dot.
        BackendHost::Name(name) => {
            ServerName::try_from(name.strip_suffix('.').unwrap_or(name).to_owned()).ok()
        }
    }
}

fn read(
    tls: &BackendTls,
    folder: &Path,
    system: &SystemAuthorities,
) -> (WatchedFiles, Result<Read, Vec<FileFault>>) {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let mut reader = Reader::new(folder);
    let mut faults = Vec::new();
    let trust = match (&tls.pin, &tls.ca) {
        (Some(pin), _) => Ok(Trust::Pin(*pin)),
        (None, Some(name)) => reader
            .read_authorities(name)
            .and_then(|authorities| trusting(Arc::new(authorities), folder.join(name), &provider)),
        (None, None) => trusting(system.0.clone(), PathBuf::from(SYSTEM_STORE), &provider),
    };
    let trust = trust.map_err(|fault| faults.push(fault)).ok();
    let pair = tls.certificate.as_ref().map(|files| reader.read_pair(files, &provider)).transpose();
    let pair = pair.map_err(|fault| faults.push(fault)).ok();
    let (Some(trust), Some(pair)) = (trust, pair) else { return (reader.watched, Err(faults)) };

    let verifier = BackendVerifier { trust, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites and key exchanges of both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match pair {
        Some(pair) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified))),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    (reader.watched, Ok(Read { config: Arc::new(config), warnings: reader.warnings }))
}

/// Trusts `authorities`, which were read of `file`.
fn trusting(
    authorities: Arc<RootCertStore>,
    file: PathBuf,
    provider: &Arc<CryptoProvider>,
) -> Result<Trust, FileFault> {
    let chain = WebPkiServerVerifier::builder_with_provider(authorities, provider.clone()).build();
    match chain {
        Ok(chain) => Ok(Trust::Authorities { chain, file }),
        Err(error) => Err(FileFault { file, matter: Matter::UnusableAuthorities(error.to_string()) }),
    }
}

/// Judges the certificate of a backend.
#[derive(Debug)]
struct BackendVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// The certificates that are taken.
#[derive(Debug)]
enum Trust {
    /// Those that an authority vouches for.
    Authorities {
        chain: Arc<WebPkiServerVerifier>,
        /// The file of the authorities.
        file: PathBuf,
    },
    /// One, by its SHA-256.
    Pin([u8; 32]),
}

/// Takes one certificate, if it is of the server and in its time.
fn verify_pinned(
    pin: &[u8; 32],
    end_entity: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    if digest(&SHA256, end_entity).as_ref() != pin {
        return Err(CertificateError::ApplicationVerificationFailure.into());
    }
    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
    let facts = PeerCertificate::parse(end_entity).map_err(|_| CertificateError::BadEncoding)?;
    if facts.is_expired(now) {
        return Err(CertificateError::Expired.into());
    }
    if facts.is_too_young(now) {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for BackendVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Pin(pin) => verify_pinned(pin, end_entity, server_name, now),
            Trust::Authorities { chain, file } => {
                let verified =
                    chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                // More is said about certificates that no authority can make a server's.
                verified.map_err(|error| match UnusableCertificate::of(end_entity, file) {
                    Some(unusable) => unusable.refusal(),
                    None => error,
                })
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
