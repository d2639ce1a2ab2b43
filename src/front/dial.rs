//! Connects to a backend: all its addresses in turn, within one deadline, until the client leaves.

use super::refusal::{Refusal, shut};
use super::socket::{Socket, until};
use crate::catalog::{Api, BackendHost};
use crate::control::resolver::Resolver;
use crate::session::Cause;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Ends what an opening does towards its backend when its client has left.
///
/// Operations cannot be dropped, so the socket they run on is shut down and they complete by themselves.
#[derive(Debug, Default)]
pub(super) struct Abort {
    is_aborted: Cell<bool>,
    aborted: Notify,
    socket: RefCell<Option<Rc<Socket>>>,
}

impl Abort {
    /// Ends it.
    pub(super) fn abort(&self) {
        self.is_aborted.set(true);
        self.aborted.notify_waiters();
        if let Some(socket) = &*self.socket.borrow() {
            shut(socket, Shutdown::Both);
        }
    }

    /// Whether it was ended.
    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.get()
    }

    /// From here on this is the socket that an abort shuts down.
    fn watch(&self, socket: &Rc<Socket>) {
        *self.socket.borrow_mut() = Some(Rc::clone(socket));
    }

    /// Lets go of the socket.
    pub(super) fn unwatch(&self) {
        *self.socket.borrow_mut() = None;
    }
}

/// Connects to the backend of `api`.
///
/// Each address gets an even share of the time that is left; IPv6 and IPv4 take turns (RFC 8305 §4).
///
/// # Errors
/// The refusal for the client: what the last address said.
pub(super) async fn dial(api: &Api, resolver: &Resolver, abort: &Abort) -> Result<Rc<Socket>, Refusal> {
    let deadline = Instant::now() + Duration::from_millis(api.dial_timeout_ms);
    let addresses = match &api.backend.host {
        BackendHost::Ip(address) => vec![SocketAddr::new(*address, api.backend.port)],
        BackendHost::Name(name) => resolve(name, api.backend.port, resolver, deadline, abort).await?,
    };
    let mut last = Refusal::of(Cause::BackendRefused, "the backend has no address");
    for (index, address) in addresses.iter().enumerate() {
        if abort.is_aborted() {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        match connect(*address, Instant::now() + share, abort).await {
            Ok(socket) => return Ok(socket),
            Err(refusal) => last = refusal,
        }
    }
    Err(last)
}

async fn resolve(
    name: &str,
    port: u16,
    resolver: &Resolver,
    deadline: Instant,
    abort: &Abort,
) -> Result<Vec<SocketAddr>, Refusal> {
    // A look-up is no ring operation: it may be dropped.
    tokio::select! {
        biased;
        () = abort.aborted.notified() => Err(Refusal::of(Cause::ClientGone, "the client left")),
        found = tokio::time::timeout_at(deadline, resolver.resolve(name, port)) => match found {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => {
                tracing::warn!(name, %error, "cannot resolve a backend");
                Err(Refusal::of(Cause::BackendRefused, "the backend's name cannot be resolved"))
            }
            Err(_) => Err(Refusal::of(Cause::BackendSilent, "the backend's name was not resolved in time")),
        }
    }
}

async fn connect(address: SocketAddr, deadline: Instant, abort: &Abort) -> Result<Rc<Socket>, Refusal> {
    let socket = Socket::for_dial(address, None).map_err(|error| refusal_of(&error, address))?;
    let socket = Rc::new(socket);
    abort.watch(&socket);
    let (result, is_late) = until(socket.connect(address), deadline, || shut(&socket, Shutdown::Both)).await;
    if is_late {
        // A connection that came about just then was shut down all the same.
        tracing::warn!(%address, "a backend did not take a connection in time");
        return Err(Refusal::of(Cause::BackendSilent, "the backend did not take the connection in time"));
    }
    result.map(|()| socket).map_err(|error| refusal_of(&error, address))
}

fn refusal_of(error: &io::Error, address: SocketAddr) -> Refusal {
    tracing::warn!(%address, %error, "cannot connect to a backend");
    match error.raw_os_error() {
        // The only dials that can lack one are those from an address whose ports are all taken towards this backend.
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => {
            Refusal::of(Cause::NoLocalPort, "no local port is left towards the backend")
        }
        // It is this instance that cannot take the session, not the backend.
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            Refusal::of(Cause::InstanceFull, "this instance has no open files or memory left")
        }
        _ => Refusal::of(Cause::BackendRefused, "the backend cannot be reached"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_api;
    use std::net::{IpAddr, Ipv4Addr, TcpListener};
    use tokio::runtime::Handle;
    use tokio::time::timeout;

    /// Where a backend listens; at its port the second address takes no connection and the third refuses them.
    const LISTENING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
    const DEAF: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const CLOSED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

    /// An address that takes no connection: its queue is full.
    fn deafen(port: u16) -> Vec<socket2::Socket> {
        let address = SocketAddr::from((DEAF, port)).into();
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        let mut sockets: Vec<_> = (0..4).map(|_| socket()).collect();
        for queued in &sockets {
            queued.set_nonblocking(true).unwrap();
            let _ = queued.connect(&address);
        }
        sockets.push(listener);
        sockets
    }

    /// Dials a name with these addresses; `leaves_after` is when the client leaves. Gives the address that was reached,
    /// or the cause, and how long it took; nothing, said loudly, on a host without io_uring.
    fn dial_name(
        addresses: &[Ipv4Addr],
        timeout_ms: u64,
        leaves_after: Option<Duration>,
    ) -> Option<(Result<IpAddr, Cause>, Duration)> {
        if let Err(error) = io_uring_06::IoUring::new(2) {
            eprintln!("SKIPPED: this host refuses io_uring: {error}");
            return None;
        }
        let backend = TcpListener::bind((LISTENING, 0)).unwrap();
        let port = backend.local_addr().unwrap().port();
        let _deaf = deafen(port);
        let text = format!(
            "display_name = \"T\"\nurl = \"ws://many.example:{port}\"\nsuffix = \"t\"\ndial_timeout_ms = {timeout_ms}"
        );
        let api = parse_api("t.toml", "t", &text).unwrap();
        let found: Vec<IpAddr> = addresses.iter().map(|address| (*address).into()).collect();
        tokio_uring::start(async {
            let resolver = Resolver::start_with(&Handle::current(), move |_| {
                let found = found.clone();
                async move { Ok(found) }
            });
            let abort = Abort::default();
            let leave = async {
                match leaves_after {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
                abort.abort();
                std::future::pending::<()>().await;
            };
            let begun = Instant::now();
            let dialled = tokio::select! {
                dialled = timeout(Duration::from_secs(20), dial(&api, &resolver, &abort)) => dialled.unwrap(),
                () = leave => unreachable!("it waits for ever"),
            };
            abort.unwatch();
            // The reached address is the one from which the other side is seen.
            let reached = dialled.map(|_socket| backend.accept().unwrap().0.local_addr().unwrap().ip());
            Some((reached.map_err(|refusal| refusal.cause), begun.elapsed()))
        })
    }

    #[test]
    fn goes_on_to_the_address_that_answers() {
        for addresses in [&[LISTENING][..], &[CLOSED, LISTENING], &[CLOSED, CLOSED, LISTENING, DEAF]] {
            let Some((reached, _)) = dial_name(addresses, 20_000, None) else { return };
            assert_eq!(reached, Ok(LISTENING.into()), "{addresses:?}");
        }
    }

    #[test]
    fn leaves_a_silent_address_in_time_for_the_others() {
        let Some((reached, took)) = dial_name(&[DEAF, LISTENING], 400, None) else { return };
        assert_eq!(reached, Ok(LISTENING.into()));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }

    #[test]
    fn says_what_the_last_address_said() {
        for (last, cause) in [(CLOSED, Cause::BackendRefused), (DEAF, Cause::BackendSilent)] {
            let Some((reached, _)) = dial_name(&[CLOSED, last], 200, None) else { return };
            assert_eq!(reached, Err(cause));
        }
    }

    #[test]
    fn tries_no_further_address_when_the_client_has_left() {
        let leaves_after = Some(Duration::from_millis(50));
        let Some((reached, took)) = dial_name(&[DEAF, DEAF, LISTENING], 60_000, leaves_after) else { return };
        assert!(reached.is_err(), "{reached:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
