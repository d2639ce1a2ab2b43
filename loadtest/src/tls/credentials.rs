//! A test authority and a certificate of it, as files that every proxy can read.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// Names that the certificate is for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// File of the authority.
const AUTHORITY_FILE: &str = "ca.pem";
/// File of the certificate.
const CERTIFICATE_FILE: &str = "cert.pem";
/// File of its key.
const KEY_FILE: &str = "key.pem";
/// File of certificate and key, as HAProxy wants them.
const BOTH_FILE: &str = "both.pem";

/// A certificate for `localhost` and 127.0.0.1, its ECDSA P-256 key, and the authority that it comes from; all in PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    authority: String,
    certificate: String,
    key: String,
}

impl Credentials {
    /// New ones. The authority's key is not kept.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn make() -> Result<Self> {
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "ringgate loadtest authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(NAMES.map(str::to_owned))?;
        leaf.distinguished_name.push(DnType::CommonName, NAMES[0]);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2099, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &authority)?;
        Ok(Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes them as `ca.pem`, `cert.pem`, `key.pem` and `both.pem`.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let both = format!("{}{}", self.certificate, self.key);
        for (name, text) in [
            (AUTHORITY_FILE, &self.authority),
            (CERTIFICATE_FILE, &self.certificate),
            (KEY_FILE, &self.key),
            (BOTH_FILE, &both),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let file = folder.join(name);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        Ok(Self {
            authority: read(AUTHORITY_FILE)?,
            certificate: read(CERTIFICATE_FILE)?,
            key: read(KEY_FILE)?,
        })
    }

    pub(crate) fn authority_file(folder: &Path) -> PathBuf {
        folder.join(AUTHORITY_FILE)
    }

    pub(crate) fn certificate_file(folder: &Path) -> PathBuf {
        folder.join(CERTIFICATE_FILE)
    }

    pub(crate) fn key_file(folder: &Path) -> PathBuf {
        folder.join(KEY_FILE)
    }

    pub(super) fn authority(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.authority.as_bytes()).context("the authority is no certificate")
    }

    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).context("the certificate is none")
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).context("the key is none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = std::env::temp_dir().join(format!("ringgate-credentials-test-{}", std::process::id()));
        let made = Credentials::make().expect("credentials");
        made.write(&folder).expect("written");
        let read = Credentials::read(&folder).expect("read");
        assert_eq!(format!("{made:?}"), format!("{read:?}"));
        assert!(read.authority().is_ok() && read.certificate().is_ok() && read.key().is_ok());
        let _ = std::fs::remove_dir_all(&folder);
    }
}
