//! The socket of the service manager: one datagram for each message (sd_notify(3)).
//!
//! The standard library has all that this takes; a crate for it would wait while the manager reads nothing.

use core::fmt;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket, by its name.
pub(super) struct NotifySocket {
    from: UnixDatagram,
    to: SocketAddr,
}

impl NotifySocket {
    /// The socket of this name: a path, or the name of an abstract socket behind an `@`.
    ///
    /// # Errors
    /// The name is of another kind, or there is no socket to send from.
    pub(super) fn named(name: &OsStr) -> io::Result<Self> {
        let to = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            _ => {
                let what = "allowed is an absolute path, or @ and the name of an abstract socket";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        let from = UnixDatagram::unbound()?;
        from.set_nonblocking(true)?;
        Ok(Self { from, to })
    }

    /// Sends a message. It is found anew each time: a manager that was started again has another socket of the same name.
    ///
    /// # Errors
    /// `WouldBlock` while the manager has not read enough of those before; the kernel's, as when nobody listens.
    pub(super) fn send(&self, message: &str) -> io::Result<()> {
        self.from.send_to_addr(message.as_bytes(), &self.to).map(drop)
    }
}

impl fmt::Display for NotifySocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to.as_pathname(), self.to.as_abstract_name()) {
            (Some(path), _) => path.display().fmt(formatter),
            (None, Some(name)) => write!(formatter, "@{}", name.escape_ascii()),
            (None, None) => formatter.write_str("a socket without a name"),
        }
    }
}

impl fmt::Debug for NotifySocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NotifySocket({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_neither_a_path_nor_abstract_is_refused() {
        for name in ["relative", "vsock:2:1234", "", "./a"] {
            let error = NotifySocket::named(OsStr::new(name)).expect_err(name);
            assert!(error.to_string().contains("an absolute path"), "{error}");
        }
        assert_eq!(NotifySocket::named(OsStr::new("/run/a")).expect("a path").to_string(), "/run/a");
        assert_eq!(NotifySocket::named(OsStr::new("@a/b")).expect("a name").to_string(), "@a/b");
    }
}
