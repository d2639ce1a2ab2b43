//! The file of a control socket: where it is, taking it when an instance starts, removing it when it ends.
//!
//! The property to trust: two instances never have the same file, and none loses its own to another that starts. Whether somebody
//! listens behind a file is asked, and the file replaced, under a lock (`flock`) of a file beside it, `<socket>.lock`, which every start
//! takes. It is open to this user alone, so no other one can hold a start up, and it stays, so that all lock the same one. A file that
//! nobody listens behind was left by a process that was killed, and is replaced; so is that of an instance that drains, which the
//! next one may take over from.
//!
//! It asks file systems, and may wait: it is for threads that may.
//!
//! Not here: who may connect (`socket`).

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, FlockOperation, Mode, OFlags, fchmod, flock};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::Instant;

use super::super::command::Command;
use super::super::files::store::beside;
use super::wire;
use crate::config::instance::CONTROL_SOCKET_PATH_BYTES_MAX as PATH_BYTES_MAX;
use crate::process::files::reason;

/// The file's default name.
const SOCKET_FILE: &str = "ringgate.sock";

/// The folder that systemd makes for a service with `RuntimeDirectory=ringgate`.
const SERVICE_FOLDER: &str = "/run/ringgate";

/// Connections that wait to be accepted. Over it, further ones wait before they are connected.
const BACKLOG: i32 = 128;

/// How long a start waits in all for the instance at a socket to report its state.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a start waits for the lock, which another start holds for [`PROBE_PATIENCE`] at most.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The pause before a retry, for conditions that no event announces.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The step that fails if the socket's folder does not exist or is not accessible to this user.
const OPEN_LOCK: &str = "open the control socket's lock";

/// Most bytes of the answer that a start reads from such an instance.
const PROBE_BYTES_MAX: usize = 64 * 1024;

/// The place of a control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlace {
    /// Its path.
    pub path: PathBuf,
    /// Whether the configuration leaves the path open. The instance then serves without a socket, if this path cannot be used.
    pub is_default: bool,
}

impl SocketPlace {
    /// The place for an instance with the file `config`, which names a path, or an empty one for no socket. Without a name: the folder
    /// that systemd made for the service (`RuntimeDirectory=`), or else the folder of the instance file. `None`: no socket.
    pub fn of(config: Option<&Path>, named: Option<&str>) -> Option<Self> {
        Self::with_runtime_directory(config, named, std::env::var_os("RUNTIME_DIRECTORY"))
    }

    fn with_runtime_directory(
        config: Option<&Path>,
        named: Option<&str>,
        runtime: Option<OsString>,
    ) -> Option<Self> {
        let path = match (named, config) {
            (Some(""), _) => return None,
            (Some(named), Some(config)) => {
                return Some(Self { path: beside(config, named), is_default: false });
            }
            (Some(_), None) => return None,
            (None, config) => match (runtime.as_deref().and_then(first_folder), config) {
                (Some(folder), _) => folder.join(SOCKET_FILE),
                (None, Some(config)) => beside(config, SOCKET_FILE),
                (None, None) => return None,
            },
        };
        Some(Self { path, is_default: true })
    }
}

impl SocketPlace {
    /// The possible paths of a running instance's socket, the likeliest first. Its file is `config`, and names the path `named`, or none.
    /// The service manager that started it may have made a folder that is not known here.
    pub fn candidates(config: &Path, named: Option<&str>) -> Vec<PathBuf> {
        let likeliest = Self::of(Some(config), named);
        let beside = named.is_none().then(|| beside(config, SOCKET_FILE));
        let mut paths: Vec<_> = likeliest.into_iter().map(|place| place.path).chain(beside).collect();
        paths.dedup();
        paths
    }

    /// The likely path of a service's socket, without its instance file.
    pub fn of_host() -> Vec<PathBuf> {
        let place = Self::of(None, None);
        vec![place.map_or_else(|| Path::new(SERVICE_FOLDER).join(SOCKET_FILE), |place| place.path)]
    }
}

/// The first of the folders of `RUNTIME_DIRECTORY`, which systemd separates by colons.
fn first_folder(folders: &std::ffi::OsStr) -> Option<PathBuf> {
    let first = folders.as_bytes().split(|byte| *byte == b':').next()?;
    let folder = Path::new(std::ffi::OsStr::from_bytes(first));
    folder.is_absolute().then(|| folder.to_owned())
}

/// Why an instance has no control socket.
#[derive(Debug, thiserror::Error)]
pub enum NoSocket {
    /// The path is longer than the kernel takes.
    #[error(
        "the control socket's path {} has {} bytes, and a Unix socket's may have {PATH_BYTES_MAX}; set control.socket to a shorter one, \
         or to \"\" for none", .0.display(), .0.as_os_str().len()
    )]
    PathTooLong(PathBuf),
    /// Another instance listens there.
    #[error(
        "another instance{} has the control socket {}; stop that one (ringgate ctl drain --socket {}), or set control.socket to \
         another path", of_process(.1), .0.display(), .0.display()
    )]
    InUse(PathBuf, Option<i32>),
    /// The path is taken by something other than a socket.
    #[error("{} is not a socket; remove it, or set control.socket to another path", .0.display())]
    Occupied(PathBuf),
    /// Another process holds its lock.
    #[error(
        "{} is locked by another process for {} s, as by an instance that starts; try again, or end the process that has it open \
         (fuser {})", .0.display(), .1, .0.display()
    )]
    Locked(PathBuf, u64),
    /// The system refused a step.
    #[error(
        "cannot {step} {} ({}); set control.socket to a path in a folder that this user can write to, or to \"\" for none",
        .path.display(), reason(.error)
    )]
    System {
        /// The step that failed.
        step: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

impl NoSocket {
    /// Whether the reason is the path itself, so that an instance with the default path starts without a socket.
    pub fn is_of_the_place(&self) -> bool {
        match self {
            Self::PathTooLong(_) | Self::System { .. } => true,
            Self::InUse(..) | Self::Occupied(_) | Self::Locked(..) => false,
        }
    }
}

fn of_process(process: &Option<i32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

/// A listening control socket, whose file belongs to this process. Dropping it removes the file.
#[derive(Debug)]
pub struct ClaimedSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// The owner of an existing socket file.
enum Behind {
    /// No process listens.
    Nobody,
    /// An instance that is about to end.
    Leaving,
    /// A process that listens, with its id if known.
    Somebody(Option<i32>),
}

impl ClaimedSocket {
    /// Checks whether [`ClaimedSocket::claim`] could make a socket at `path`, as far as can be told beforehand. Changes nothing there.
    ///
    /// # Errors
    /// Why it could not.
    pub fn check(path: &Path) -> Result<(), NoSocket> {
        check_length(path)?;
        let _lock = lock(path, LOCK_PATIENCE)?;
        replaceable(path).map(drop)
    }

    /// As [`ClaimedSocket::check`], without a lock, so that it leaves no file of its own behind: a check may be run by another user.
    ///
    /// # Errors
    /// Why there would be no socket.
    pub fn look(path: &Path) -> Result<(), NoSocket> {
        check_length(path)?;
        let locked = lock_of(path);
        // The lock is opened first, so what is wrong with its folder is told of it.
        let is_usable = match fs::symlink_metadata(&locked) {
            Ok(_) => rustix::fs::access(&locked, Access::READ_OK | Access::WRITE_OK),
            Err(_) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                rustix::fs::access(folder.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)
            }
        };
        is_usable.map_err(|error| failed(OPEN_LOCK, &locked)(error.into()))?;
        replaceable(path).map(drop)
    }

    /// Makes the socket at `path`, open to this user alone, and listens.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn claim(path: &Path) -> Result<Self, NoSocket> {
        check_length(path)?;
        let _lock = lock(path, LOCK_PATIENCE)?;
        let failed = |step| failed(step, path);
        if let Some(behind) = replaceable(path)? {
            if matches!(behind, Behind::Leaving) {
                tracing::info!(path = %path.display(), "taking the control socket over from an instance that ends");
            }
            remove_if_there(path).map_err(failed("remove"))?;
        }
        let make = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // The file gets the mode of the socket, so it is never open to more; what a umask takes away is given back.
            fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
            socket.bind(&SockAddr::unix(path)?)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            socket.listen(BACKLOG)?;
            Ok((socket, fs::symlink_metadata(path)?))
        };
        let (socket, metadata) = make().map_err(failed("make the control socket"))?;
        let listener = UnixListener::from(OwnedFd::from(socket));
        Ok(Self { listener, path: path.to_owned(), identity: identity(&metadata) })
    }

    /// The listening socket.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless it belongs to another instance by now.
    fn remove(&self) -> io::Result<()> {
        let _lock = lock(&self.path, LOCK_PATIENCE).map_err(io::Error::other)?;
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if identity(&metadata) == self.identity => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for ClaimedSocket {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.path.display(), "the control socket's file is not removed");
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoSocket {
    let path = path.to_owned();
    move |error| NoSocket::System { step, path, error }
}

fn check_length(path: &Path) -> Result<(), NoSocket> {
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(NoSocket::PathTooLong(path.to_owned()));
    }
    Ok(())
}

/// Returns the owner of the socket file at `path`, which may be replaced. `None`: there is no file.
///
/// # Errors
/// It may not be replaced.
fn replaceable(path: &Path) -> Result<Option<Behind>, NoSocket> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(NoSocket::Occupied(path.to_owned())),
        Ok(_) => match behind(path, PROBE_PATIENCE).map_err(failed("connect to", path))? {
            Behind::Somebody(process) => Err(NoSocket::InUse(path.to_owned(), process)),
            behind @ (Behind::Nobody | Behind::Leaving) => Ok(Some(behind)),
        },
    }
}

/// Removes a file, which its owner may remove at the same time.
fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The file that is locked while the socket at `path` is taken or removed.
fn lock_of(path: &Path) -> PathBuf {
    let mut locked = path.as_os_str().to_owned();
    locked.push(".lock");
    PathBuf::from(locked)
}

/// Keeps other instances from taking or removing the socket at `path`, until it is dropped.
fn lock(path: &Path, patience: Duration) -> Result<File, NoSocket> {
    let locked = lock_of(path);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.cast_signed());
    let file = options.open(&locked).map_err(failed(OPEN_LOCK, &locked))?;
    let deadline = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => pause(),
            Err(Errno::WOULDBLOCK) => return Err(NoSocket::Locked(locked, patience.as_secs())),
            Err(error) => return Err(failed("lock", &locked)(error.into())),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that a file is unlocked, or that a process has ended"
)]
fn pause() {
    std::thread::sleep(RETRY_PAUSE);
}

/// Asks for the state of the process that listens at a socket, again if it ends without an answer, for `patience` in all.
fn behind(path: &Path, patience: Duration) -> io::Result<Behind> {
    let deadline = Instant::now() + patience;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A connect waits while the other one's queue is full.
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::unix(path)?) {
            Ok(()) => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
            {
                return Ok(Behind::Nobody);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Behind::Somebody(None)),
            Err(error) => return Err(error),
        }
        let process =
            rustix::net::sockopt::socket_peercred(&socket).ok().map(|peer| peer.pid.as_raw_nonzero().get());
        socket.set_nonblocking(false)?;
        match state_of(UnixStream::from(OwnedFd::from(socket)), deadline) {
            Ok(Some(state)) if matches!(state.as_str(), "draining" | "ending") => return Ok(Behind::Leaving),
            Ok(_) => return Ok(Behind::Somebody(process)),
            Err(_) if Instant::now() >= deadline => return Ok(Behind::Somebody(process)),
            // It ends, and nobody is behind it soon; or it has given the connection to another one.
            Err(_) => pause(),
        }
    }
}

/// Reads the state that an instance reports. `None`: the answer is something else.
///
/// # Errors
/// There is no answer before the deadline, or the connection ends without one.
fn state_of(mut stream: UnixStream, deadline: Instant) -> io::Result<Option<String>> {
    let left = || Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    stream.set_write_timeout(left())?;
    // Who lets nobody in has said so, and closed.
    let asked = stream.write_all(wire::request_line(Command::Status).as_bytes());
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let is_over = Instant::now() >= deadline;
        if is_over {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(left())?;
        let count = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            asked?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        said.extend_from_slice(&chunk[..count]);
        while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = said.drain(..=end).collect();
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(&line) else { return Ok(None) };
            if !line["result"].is_null() {
                return Ok(line["status"]["state"].as_str().map(str::to_owned));
            }
        }
        if said.len() > PROBE_BYTES_MAX {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests;
