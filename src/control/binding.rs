//! Binds the addresses of an instance, and waits a moment for one that is in use.
//!
//! The listeners of a killed process are not freed at once: the kernel frees resources of its rings some time after the process has
//! ended. A supervisor starts the next process before that.
//!
//! Not here: how one address is bound for several workers (`front::listener`).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::sleep;

use super::instance::StartError;
use crate::config::InstanceConfig;
use crate::front::listener::bind_group;
use crate::front::socket::Socket;

/// How long a start waits for an address that is in use. Over it: the start fails, and says what to do.
///
/// Raising it delays the message about an address that something else listens on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it tries meanwhile.
const INTERVAL: Duration = Duration::from_millis(20);

/// How often an instance that serves tries the address of a service that was in use at its start.
const SERVICE_INTERVAL: Duration = Duration::from_millis(250);

/// Every listener of an instance, bound once per worker.
#[derive(Debug)]
pub struct BoundListeners {
    /// In the order of the configuration, with the ports that the kernel chose.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) of_workers: Vec<Vec<Socket>>,
}

impl BoundListeners {
    /// Binds the listeners of `config` for so many workers.
    ///
    /// # Errors
    /// The address that cannot be bound, and why.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time enabled.
    pub async fn bind(config: &InstanceConfig, workers: usize) -> Result<Self, StartError> {
        let mut addresses = Vec::new();
        let dead_peer_timeout = config.limits.dead_peer_timeout();
        let mut of_workers: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
        for listener in &config.listeners {
            let failed = |error| StartError::listen(listener.address, error);
            let bind = || bind_group(listener.address, workers, dead_peer_timeout);
            let group = bind_patiently(listener.address, bind).await.map_err(failed)?;
            let bound = group.first().map_or(Ok(listener.address), Socket::local_address).map_err(failed)?;
            addresses.push(bound);
            for (of_worker, socket) in of_workers.iter_mut().zip(group) {
                of_worker.push(socket);
            }
        }
        Ok(Self { addresses, of_workers })
    }
}

/// Binds one address for a service. `None`: it is in use, and the instance is to serve without it until [`bind_when_free`] has it.
///
/// # Errors
/// Any other reason why it cannot be bound.
pub fn bind_for_service(address: SocketAddr) -> Result<Option<TcpListener>, StartError> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(StartError::listen(address, error)),
    }
}

/// Binds one address for a service, as soon as it can be had.
///
/// # Panics
/// Outside a tokio runtime with its time enabled.
pub async fn bind_when_free(address: SocketAddr) -> TcpListener {
    loop {
        // No event tells that an address is free.
        sleep(SERVICE_INTERVAL).await;
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
    }
}

/// Calls `bind` until it succeeds, while the only fault is that `address` is in use, for a second at most.
async fn bind_patiently<T>(address: SocketAddr, bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    bind_while(bind, || {
        tracing::warn!(%address, "the address is in use; trying again for {} s", PATIENCE.as_secs());
    })
    .await
}

async fn bind_while<T>(mut bind: impl FnMut() -> io::Result<T>, tell: impl FnOnce()) -> io::Result<T> {
    let mut tell = Some(tell);
    for _ in 0..PATIENCE.as_millis() / INTERVAL.as_millis() {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(tell) = tell.take() {
                    tell();
                }
                // No event tells that an address is free.
                sleep(INTERVAL).await;
            }
            result => return result,
        }
    }
    bind()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener of another owner, and its address.
    fn taken() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn an_address_that_is_free_before_long_is_bound() {
        let (listener, address) = taken();
        let mut tries = 0;
        let bound = bind_while(
            || {
                tries += 1;
                bind_group(address, 2, None)
            },
            // The first try has failed by now.
            || drop(listener),
        )
        .await;
        assert_eq!(bound.unwrap().len(), 2);
        assert!(tries >= 2, "{tries}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_stays_in_use_is_given_up_and_told_once() {
        let (_listener, address) = taken();
        let (mut tries, mut told) = (0, 0);
        let bound = bind_while(
            || {
                tries += 1;
                bind_group(address, 2, None)
            },
            || told += 1,
        )
        .await;
        assert_eq!(bound.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!((tries, told), (51, 1));
    }

    #[tokio::test]
    async fn the_address_of_a_service_that_is_in_use_is_had_as_soon_as_it_is_free() {
        let (listener, address) = taken();
        assert!(bind_for_service(address).expect("no other fault").is_none());
        let waiting = tokio::spawn(bind_when_free(address));
        drop(listener);
        assert_eq!(waiting.await.unwrap().local_addr().unwrap(), address);
        assert!(bind_for_service("192.0.2.1:9".parse().unwrap()).is_err(), "an address of another host");
    }

    #[tokio::test]
    async fn any_other_fault_is_told_at_once() {
        for kind in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::PermissionDenied] {
            let mut tries = 0;
            let bound: io::Result<()> = bind_while(
                || {
                    tries += 1;
                    Err(kind.into())
                },
                || panic!("nothing is waited for"),
            )
            .await;
            assert_eq!((bound.unwrap_err().kind(), tries), (kind, 1));
        }
    }
}
