//! The fault of a certificate that a backend shows and that cannot be a server's, with its remedy.
//!
//! `rustls` reports only that it refuses such a certificate. Both kinds are common where an operator made the certificate by hand, so
//! the error names the file that does not help, and the remedy.
//!
//! Not here: which authorities are trusted (`backend`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

use super::peer_certificate::PeerCertificate;

/// The fault of a backend's certificate. `trusted` is the file of the authorities that may vouch for the backend.
#[derive(Debug, thiserror::Error)]
pub enum UnusableCertificate {
    /// It is of X.509 version 1.
    #[error(
        "the backend shows a certificate of X.509 version 1 ({subject}), which has no host names, so {} does not help: issue it anew \
         as version 3, with its host in subjectAltName",
        .trusted.display()
    )]
    Version1 {
        /// Whom it is for.
        subject: String,
        /// The file of the authorities.
        trusted: PathBuf,
    },
    /// It is an authority's.
    #[error(
        "the backend shows the certificate of an authority ({subject}, CA:TRUE) as its own, as a self-signed one often is; {} \
         does not make it a server's: issue it a certificate with CA:FALSE, or set tls.pin = \"{pin}\" instead of tls.ca",
        .trusted.display()
    )]
    Authority {
        /// Whom it is for.
        subject: String,
        /// The file of the authorities.
        trusted: PathBuf,
        /// Its SHA-256, as a pin has it.
        pin: String,
    },
}

impl UnusableCertificate {
    /// Returns the fault of a refused certificate, if it is one of these.
    pub(super) fn of(shown: &CertificateDer<'_>, trusted: &Path) -> Option<Self> {
        let facts = PeerCertificate::parse(shown).ok()?;
        let (subject, trusted) = (facts.subject, trusted.to_owned());
        if facts.is_version_1 {
            Some(Self::Version1 { subject, trusted })
        } else if facts.is_authority {
            Some(Self::Authority { subject, trusted, pin: facts.thumbprint_sha256.to_ascii_lowercase() })
        } else {
            None
        }
    }

    /// The same as an error of `rustls`.
    pub(super) fn refusal(self) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    /// Returns the fault that [`UnusableCertificate::refusal`] put into an error.
    pub(super) fn within(error: &Error) -> Option<OtherError> {
        let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return None };
        other.0.is::<Self>().then(|| other.clone())
    }
}
