//! Certificates, keys and authorities in files: read whole, and looked at again.
//!
//! A file has changed when its time, size, inode or device has: that sees a file written anew, one renamed over it, and a
//! link that points elsewhere. Who reads first notes what is there *before* reading, so that no change is missed.
//!
//! Not here: when to look (the control thread), what is done with what was read.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::peer_certificate::PeerCertificate;
use crate::catalog::tls::CertificateFiles;
use crate::limits::TLS_FILE_BYTES_MAX;

/// What is wrong with a file.
#[derive(Debug)]
pub struct FileFault {
    /// The file as the operator named it, seen from the folder of the instance file.
    pub file: PathBuf,
    /// What is wrong.
    pub matter: Matter,
}

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Matter {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is larger than [`TLS_FILE_BYTES_MAX`].
    #[error("is larger than {TLS_FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// It is not PEM.
    #[error("is not pem: {0}")]
    NotPem(pem::Error),
    /// It has no certificate.
    #[error("has no certificate")]
    NoCertificate,
    /// It has no private key, or only an encrypted one.
    #[error("has no private key that is not encrypted")]
    NoKey,
    /// One of its certificates, counted from 1, is none.
    #[error("has a malformed certificate, number {0}")]
    Malformed(usize),
    /// Its key is of a kind that cannot be used.
    #[error("has a private key that cannot be used: {0}")]
    UnusableKey(rustls::Error),
    /// Its key is not that of the certificate.
    #[error("has a private key that is not that of the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    /// Its authorities cannot be used.
    #[error("has authorities that cannot be used: {0}")]
    UnusableAuthorities(String),
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.file.display(), self.matter)
    }
}

impl core::error::Error for FileFault {}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    bytes: u64,
    inode: u64,
    device: u64,
}

impl Stamp {
    /// `None`: there is no such file, or it cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            bytes: metadata.size(),
            inode: metadata.ino(),
            device: metadata.dev(),
        })
    }
}

/// Files that were read, as they were before.
#[derive(Clone, Debug, Default)]
pub struct WatchedFiles(Vec<(PathBuf, Option<Stamp>)>);

impl WatchedFiles {
    /// Whether any of them is not as it was. Looks at each; reads none.
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Notes a file that is about to be read.
    fn note(&mut self, path: &Path) {
        self.0.push((path.to_owned(), Stamp::of(path)));
    }
}

/// A chain with its key, and what its own certificate says.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What signs.
    pub certified: Arc<CertifiedKey>,
    /// Its own certificate.
    pub facts: PeerCertificate,
    /// The file of the chain.
    pub file: PathBuf,
}

/// Reads files from one folder and notes each of them.
pub(super) struct Reader<'a> {
    folder: &'a Path,
    pub(super) watched: WatchedFiles,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, watched: WatchedFiles::default() }
    }

    pub(super) fn read_pair(
        &mut self,
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Pair, FileFault> {
        // Both are noted whatever becomes of the first.
        let (file, chain) = self.read_certificates(&files.chain);
        let (key_file, key) = self.read_key(&files.key);
        let chain = chain?;
        let own = chain.first().ok_or_else(|| fault(&file, Matter::NoCertificate))?;
        let facts = PeerCertificate::parse(own).map_err(|_| fault(&file, Matter::Malformed(1)))?;
        let certified = CertifiedKey::from_der(chain, key?, provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                fault(&key_file, Matter::OtherKey(file.clone()))
            } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
                fault(&file, Matter::Malformed(1))
            } else {
                fault(&key_file, Matter::UnusableKey(error))
            }
        })?;
        Ok(Pair { certified: Arc::new(certified), facts, file })
    }

    pub(super) fn read_authorities(&mut self, name: &str) -> Result<RootCertStore, FileFault> {
        let (file, certificates) = self.read_certificates(name);
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates?.into_iter().enumerate() {
            roots.add(certificate).map_err(|_| fault(&file, Matter::Malformed(index + 1)))?;
        }
        Ok(roots)
    }

    fn read_certificates(
        &mut self,
        name: &str,
    ) -> (PathBuf, Result<Vec<CertificateDer<'static>>, FileFault>) {
        let (file, bytes) = self.read(name);
        let certificates = bytes.and_then(|bytes| {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
            let certificates = certificates.map_err(|error| fault(&file, Matter::NotPem(error)))?;
            if certificates.is_empty() { Err(fault(&file, Matter::NoCertificate)) } else { Ok(certificates) }
        });
        (file, certificates)
    }

    fn read_key(&mut self, name: &str) -> (PathBuf, Result<PrivateKeyDer<'static>, FileFault>) {
        let (file, bytes) = self.read(name);
        let key = bytes.and_then(|bytes| {
            PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
                let is_absent = matches!(error, pem::Error::NoItemsFound);
                fault(&file, if is_absent { Matter::NoKey } else { Matter::NotPem(error) })
            })
        });
        (file, key)
    }

    fn read(&mut self, name: &str) -> (PathBuf, Result<Zeroizing<Vec<u8>>, FileFault>) {
        let path = self.folder.join(name);
        self.watched.note(&path);
        let bytes = read_bounded(&path).map_err(|matter| fault(&path, matter));
        (path, bytes)
    }
}

fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, Matter> {
    let file = File::open(path).map_err(Matter::Unreadable)?;
    let metadata = file.metadata().map_err(Matter::Unreadable)?;
    if !metadata.is_file() {
        return Err(Matter::Unreadable(io::Error::other("not a regular file")));
    }
    // Whole at once: a vector that grows leaves copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(TLS_FILE_BYTES_MAX.min(metadata.len() as usize + 1)));
    file.take(TLS_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Matter::Unreadable)?;
    if bytes.len() > TLS_FILE_BYTES_MAX { Err(Matter::TooLarge) } else { Ok(bytes) }
}

fn fault(file: &Path, matter: Matter) -> FileFault {
    FileFault { file: file.to_owned(), matter }
}
