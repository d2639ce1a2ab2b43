//! Binds addresses at a start, and waits a moment for one that is in use.
//!
//! A process that was killed does not give its listeners back at once: the kernel frees what its rings held some time after the
//! process is gone. A supervisor starts the next process before that.
//!
//! Not here: what is bound (`front::listener`).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a start waits for an address that is in use. Over it: the start fails, and says what to do.
///
/// Raising it delays the message about an address that something else listens on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it tries meanwhile.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `bind` until it succeeds, as long as all that is wrong is that `address` is in use, for a second at most.
///
/// # Errors
/// Those of `bind`.
pub fn bind_patiently<T>(address: SocketAddr, bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    bind_while(bind, || {
        tracing::warn!(%address, "the address is in use; trying again for {} s", PATIENCE.as_secs());
    })
}

fn bind_while<T>(mut bind: impl FnMut() -> io::Result<T>, tell: impl FnOnce()) -> io::Result<T> {
    let mut tell = Some(tell);
    for _ in 0..PATIENCE.as_millis() / INTERVAL.as_millis() {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(tell) = tell.take() {
                    tell();
                }
                wait();
            }
            result => return result,
        }
    }
    bind()
}

#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that an address is free; nothing is served yet"
)]
fn wait() {
    std::thread::sleep(INTERVAL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::listener::bind_group;
    use std::net::TcpListener;

    /// A listener of something else, and where it is.
    fn taken() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn an_address_that_is_free_before_long_is_bound() {
        let (listener, address) = taken();
        let mut tries = 0;
        let bound = bind_while(
            || {
                tries += 1;
                bind_group(address, 2, None)
            },
            // The first try has failed by now.
            || drop(listener),
        );
        assert_eq!(bound.unwrap().len(), 2);
        assert!(tries >= 2, "{tries}");
    }

    #[test]
    fn an_address_that_stays_in_use_is_given_up_and_told_once() {
        let (_listener, address) = taken();
        let (mut tries, mut told) = (0, 0);
        let bound = bind_while(
            || {
                tries += 1;
                bind_group(address, 2, None)
            },
            || told += 1,
        );
        assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!((tries, told), (51, 1));
    }

    #[test]
    fn any_other_fault_is_told_at_once() {
        for kind in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::PermissionDenied] {
            let mut tries = 0;
            let bound: io::Result<()> = bind_while(
                || {
                    tries += 1;
                    Err(kind.into())
                },
                || panic!("nothing is waited for"),
            );
            assert_eq!((bound.unwrap_err().kind(), tries), (kind, 1));
        }
    }
}
