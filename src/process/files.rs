//! Small regular files, read whole: configuration, secrets, certificates.
//!
//! The property to trust: no kind of file makes its reader wait for data that never comes, or read more than its bound. A FIFO, a
//! device, a socket or a folder is recognised by its kind and never opened; a file that becomes one between the check and the
//! open is opened without waiting (`O_NONBLOCK`), and then recognised. Links are followed: deployments switch them.
//!
//! A file system that does not answer is another matter: see [`watchdog`].
//!
//! Not here: the content of the files, and the words of their faults (`catalog`, `tls`).

pub mod watchdog;

use core::fmt;
use std::fs::{self, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A file that was read.
#[derive(Debug)]
pub struct SmallFile {
    /// All that is in it. Overwritten when dropped, and never moved while it was read: it may be a secret.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The permission bits of its mode (`0o600`).
    pub mode: u32,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system's reason.
    #[error("cannot be read ({})", reason(.0))]
    System(#[from] io::Error),
    /// It is not a file that can be read whole.
    #[error("is {0} and not a regular file")]
    NotRegular(Kind),
    /// It has more bytes than this.
    #[error("is larger than {0} bytes")]
    TooLarge(u64),
}

impl Unreadable {
    /// There is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::System(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The kind of a file that is not a regular one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A folder.
    Folder,
    /// A character or block device.
    Device,
    /// A kind that no current Unix has.
    Other,
}

impl Kind {
    /// `None`: a regular file.
    fn of(file_type: FileType) -> Option<Self> {
        if file_type.is_file() {
            return None;
        }
        Some(if file_type.is_fifo() {
            Self::Fifo
        } else if file_type.is_socket() {
            Self::Socket
        } else if file_type.is_dir() {
            Self::Folder
        } else if file_type.is_char_device() || file_type.is_block_device() {
            Self::Device
        } else {
            Self::Other
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
            Self::Folder => "a folder",
            Self::Device => "a device",
            Self::Other => "of an unknown kind",
        })
    }
}

/// Reads a regular file of at most `bytes_max` bytes.
///
/// # Errors
/// Why it was not read.
pub fn read_small(path: &Path, bytes_max: u64) -> Result<SmallFile, Unreadable> {
    let _attempt = watchdog::attempt(path)?;
    // The kind comes before the open, since some devices act when they are opened.
    check(&fs::metadata(path)?, bytes_max)?;
    // It may be another file by now.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    check(&metadata, bytes_max)?;
    // Of its full size from the start: a vector that grows leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Unreadable::TooLarge(bytes_max));
    }
    Ok(SmallFile { bytes, mode: metadata.mode() & 0o7777 })
}

fn check(metadata: &Metadata, bytes_max: u64) -> Result<(), Unreadable> {
    match Kind::of(metadata.file_type()) {
        Some(kind) => Err(Unreadable::NotRegular(kind)),
        None if metadata.len() > bytes_max => Err(Unreadable::TooLarge(bytes_max)),
        None => Ok(()),
    }
}

/// The folder of systemd's credentials for this process (systemd.exec(5), "Credentials"). `None`: it has none.
pub fn credentials_folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The folder that has those of every system service, in a folder named like the unit.
const CREDENTIALS_OF_SERVICES: &str = "/run/credentials";

/// Whether a file is a credential of this process, whose folder of credentials is `own`, or of a service of this host.
///
/// What the mode of such a file shows for the group is the mask of an access control list, which lets the user of the service in.
pub fn is_credential(file: &Path, own: Option<&Path>) -> bool {
    file.starts_with(CREDENTIALS_OF_SERVICES) || own.is_some_and(|folder| file.starts_with(folder))
}

/// The system's reason, in lower case as messages are.
pub fn reason(error: &io::Error) -> String {
    error.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    const BYTES_MAX: u64 = 1000;

    #[test]
    fn a_file_is_read_up_to_its_largest_size_with_its_mode_and_through_links() {
        let folder = TempDir::new().expect("a folder");
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        symlink("file", &link).expect("a link");
        for bytes in [0, 1, 999, 1000] {
            fs::write(&path, vec![7; bytes]).expect("a file");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("a mode");
            for path in [&path, &link] {
                let read = read_small(path, BYTES_MAX).expect("a regular file");
                assert_eq!((&**read.bytes, read.mode), (&vec![7; bytes][..], 0o640));
            }
        }
        // The kernel says of it that it is empty.
        assert!(!read_small(Path::new("/proc/self/stat"), BYTES_MAX).expect("a file").bytes.is_empty());
    }

    #[test]
    fn what_is_no_small_regular_file_is_told_by_what_it_is_without_waiting_for_it() {
        let folder = TempDir::new().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("a fifo");
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        fs::create_dir(path("folder")).expect("a folder");
        symlink("/dev/zero", path("device")).expect("a link");
        symlink("none", path("dangling")).expect("a link");
        fs::File::create(path("huge")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
        fs::write(path("larger"), vec![7; 1001]).expect("a file");
        for (name, told) in [
            ("fifo", "is a fifo and not a regular file"),
            ("socket", "is a socket and not a regular file"),
            ("folder", "is a folder and not a regular file"),
            ("device", "is a device and not a regular file"),
            ("dangling", "cannot be read (no such file or directory (os error 2))"),
            ("none", "cannot be read (no such file or directory (os error 2))"),
            ("huge", "is larger than 1000 bytes"),
            ("larger", "is larger than 1000 bytes"),
        ] {
            let fault = read_small(&path(name), BYTES_MAX).expect_err(name);
            assert_eq!(
                (fault.to_string().as_str(), fault.is_absent()),
                (told, told.contains("no such")),
                "{name}"
            );
        }
        // One that pretends to be empty and is not.
        assert!(matches!(read_small(Path::new("/proc/self/smaps"), 100), Err(Unreadable::TooLarge(100))));
    }
}
