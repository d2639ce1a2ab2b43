//! Certificates, keys and authorities in files: read whole, and checked for changes.
//!
//! A file has changed when its time of change, size, inode or device has. That detects a file that was rewritten, one that was
//! renamed over it, a link that points elsewhere, and one that this user has become allowed to read. The reader notes the state
//! *before* reading, so that no change is missed. A file that could not be read for a reason that may pass is read again at the
//! next check.
//!
//! Not here: when to check (the control thread), and the use of the content.

use core::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::peer_certificate::PeerCertificate;
use crate::catalog::tls::CertificateFiles;
use crate::limits::TLS_FILE_BYTES_MAX;
use crate::process::files::watchdog::attempt;
use crate::process::files::{SmallFile, Unreadable, credentials_folder, is_credential, read_small};

/// A fault of a file.
#[derive(Debug)]
pub struct FileFault {
    /// The file as the operator named it, seen from the folder of the instance file.
    pub file: PathBuf,
    /// The fault.
    pub matter: Matter,
}

/// The kinds of faults of a file.
#[derive(Debug, thiserror::Error)]
pub enum Matter {
    /// It was not read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It is not PEM.
    #[error("is not pem: {}", matter_of_pem(.0))]
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
    /// Its first certificate is of X.509 version 1.
    #[error("has a certificate of X.509 version 1, which TLS clients refuse")]
    Version1,
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

/// The matter with a file of PEM: the library's words show bytes as a list of numbers.
fn matter_of_pem(error: &pem::Error) -> String {
    if let pem::Error::MissingSectionEnd { end_marker } = error {
        format!("the line -----END {}----- is missing", end_marker.escape_ascii())
    } else if let pem::Error::IllegalSectionStart { line } = error {
        format!("the line {} begins nothing", line.escape_ascii())
    } else {
        error.to_string()
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.file.display(), self.matter)?;
        self.matter.remedy().map_or(Ok(()), |remedy| write!(formatter, "; {remedy}"))
    }
}

impl Matter {
    /// Returns the remedy; `None` if the fault's text already includes it.
    fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreadable(_) => "it has to be a regular file that this user can read",
            Self::NotPem(_) => "save it in pem: text with -----BEGIN lines",
            Self::NoCertificate => "it has to hold certificates in pem (BEGIN CERTIFICATE)",
            Self::NoKey => {
                "it has to hold one in pem (BEGIN PRIVATE KEY); decrypt it first if it is encrypted (openssl pkey)"
            }
            Self::Malformed(_) => "copy the certificate again, from its BEGIN to its END line",
            Self::Version1 => {
                "issue it anew as version 3, with its host in subjectAltName (openssl req -x509 -newkey … -addext \
                 subjectAltName=DNS:HOST makes one)"
            }
            Self::UnusableKey(_) => "use a key of RSA, ECDSA (P-256, P-384, P-521) or Ed25519",
            Self::OtherKey(_) => "name the key that the certificate was issued for",
            Self::UnusableAuthorities(_) => "it has to hold at least one certificate of an authority",
        })
    }
}

impl core::error::Error for FileFault {}

/// The marks that tell one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    bytes: u64,
    inode: u64,
    device: u64,
}

/// The state of a file as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It was there, in this state.
    As(Stamp),
    /// It was not there, or this user may not know.
    Absent,
    /// The system could not tell, for a reason that may pass.
    Unknown,
}

impl Seen {
    fn of(path: &Path) -> Self {
        match attempt(path).and_then(|_attempt| fs::metadata(path)) {
            // Not the time of modification: that stays when the file is opened to this user.
            Ok(metadata) => Self::As(Stamp {
                seconds: metadata.ctime(),
                nanoseconds: metadata.ctime_nsec(),
                bytes: metadata.size(),
                inode: metadata.ino(),
                device: metadata.dev(),
            }),
            Err(error) if may_pass(&error) => Self::Unknown,
            Err(_) => Self::Absent,
        }
    }
}

/// Whether the system may say otherwise later, though nothing has changed about the file.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    !matches!(error.kind(), NotFound | PermissionDenied | NotADirectory)
}

/// Files that were read, as they were before.
#[derive(Clone, Debug, Default)]
pub struct WatchedFiles(Vec<(PathBuf, Seen)>);

impl WatchedFiles {
    /// Whether any of them is not as it was, or was not seen. Looks at each; reads none.
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, seen)| *seen == Seen::Unknown || Seen::of(path) != *seen)
    }

    /// Reads a file, and notes it as it was before.
    fn read(&mut self, path: &Path) -> Result<SmallFile, Unreadable> {
        let seen = Seen::of(path);
        let read = read_small(path, TLS_FILE_BYTES_MAX);
        let is_to_be_read_again = matches!(&read, Err(Unreadable::System(error)) if may_pass(error));
        self.0.push((path.to_owned(), if is_to_be_read_again { Seen::Unknown } else { seen }));
        read
    }
}

/// A chain with its key, and what its own certificate says.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate chain with its signing key.
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
    /// Warnings for the operator about files that can be used.
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, watched: WatchedFiles::default(), warnings: Vec::new() }
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
        if facts.is_version_1 {
            return Err(fault(&file, Matter::Version1));
        }
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
        let (file, read) = self.read(name);
        let certificates = read.and_then(|read| {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read.bytes).collect();
            let certificates = certificates.map_err(|error| fault(&file, Matter::NotPem(error)))?;
            if certificates.is_empty() { Err(fault(&file, Matter::NoCertificate)) } else { Ok(certificates) }
        });
        (file, certificates)
    }

    fn read_key(&mut self, name: &str) -> (PathBuf, Result<PrivateKeyDer<'static>, FileFault>) {
        let (file, read) = self.read(name);
        let mode = read.as_ref().map_or(0, |read| read.mode);
        self.warnings.extend(warning_of_mode(&file, mode, credentials_folder().as_deref()));
        let key = read.and_then(|read| {
            PrivateKeyDer::from_pem_slice(&read.bytes).map_err(|error| {
                let is_absent = matches!(error, pem::Error::NoItemsFound);
                fault(&file, if is_absent { Matter::NoKey } else { Matter::NotPem(error) })
            })
        });
        (file, key)
    }

    fn read(&mut self, name: &str) -> (PathBuf, Result<SmallFile, FileFault>) {
        let path = self.folder.join(name);
        let read = self.watched.read(&path).map_err(|why| fault(&path, why.into()));
        (path, read)
    }
}

/// Returns a warning about the mode of a private key's file: anyone else who can read it can impersonate its owner. It is a
/// warning and not a fault, because a group of those who need keys is usual (`ssl-cert` of Debian).
///
/// In systemd's credentials the group's bits are no warning ([`is_credential`]).
fn warning_of_mode(file: &Path, mode: u32, credentials: Option<&Path>) -> Option<String> {
    let by_group = mode & 0o060 != 0 && !is_credential(file, credentials);
    let whom = match (by_group, mode & 0o006 != 0) {
        (_, true) => "every user of this host",
        (true, false) => "its group",
        (false, false) => return None,
    };
    Some(format!(
        "{}: this private key is open to {whom} (mode {mode:04o}); restrict it to its owner (chmod 600), or pass it as a systemd credential",
        file.display()
    ))
}

fn fault(file: &Path, matter: Matter) -> FileFault {
    FileFault { file: file.to_owned(), matter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_or_write_is_worth_a_warning() {
        let credentials = Some(Path::new("/run/credentials/ringgate.service"));
        let of = |file: &str, mode| warning_of_mode(Path::new(file), mode, credentials);
        for mode in [0o600, 0o400, 0o700, 0o611] {
            assert_eq!(of("own.key", mode), None, "{mode:o}");
        }
        for (mode, whom) in [
            (0o640, "its group (mode 0640)"),
            (0o620, "its group (mode 0620)"),
            (0o644, "every user of this host (mode 0644)"),
            (0o604, "every user of this host (mode 0604)"),
            (0o602, "every user of this host (mode 0602)"),
        ] {
            let warning = of("own.key", mode).expect("a warning");
            assert!(warning.starts_with("own.key: ") && warning.contains(whom), "{warning}");
            assert!(warning.contains("chmod 600"), "{warning}");
        }
    }

    #[test]
    fn the_group_in_the_mode_of_a_systemd_credential_is_the_user_of_the_service() {
        let credentials = Path::new("/run/credentials/ringgate.service");
        let file = credentials.join("own.key");
        assert_eq!(warning_of_mode(&file, 0o440, Some(credentials)), None);
        assert!(warning_of_mode(&file, 0o444, Some(credentials)).is_some());
        let elsewhere = Path::new("/etc/ringgate/own.key");
        assert!(warning_of_mode(elsewhere, 0o440, Some(credentials)).is_some());
        let of_service = Path::new("/run/credentials/ringgate.service/tls.key");
        assert_eq!(warning_of_mode(of_service, 0o440, None), None);
    }
}
