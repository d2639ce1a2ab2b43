//! Connects to a backend: all its addresses in turn, within one deadline, until the client leaves.
//!
//! An API's source addresses are tried in turn too, for each address of the backend, as long as they have no port left.

use super::refusal::{Refusal, shut};
use super::socket::until;
use super::source_addresses::SourceAddresses;
use super::stream::{Network, Stream};
use crate::backend::names::Resolver;
use crate::catalog::{BackendHost, BackendUrl, Name};
use crate::process::log::limited;
use crate::session::Cause;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Ends what an opening does towards its backend when its client has left.
///
/// Operations cannot be dropped, so the socket they run on is shut down and they complete by themselves.
#[derive(Debug)]
pub(super) struct Abort<S> {
    is_aborted: Cell<bool>,
    aborted: Notify,
    socket: RefCell<Option<Rc<S>>>,
}

impl<S> Default for Abort<S> {
    fn default() -> Self {
        Self { is_aborted: Cell::default(), aborted: Notify::default(), socket: RefCell::default() }
    }
}

impl<S: Stream> Abort<S> {
    /// Ends it.
    pub(super) fn abort(&self) {
        self.is_aborted.set(true);
        self.aborted.notify_waiters();
        if let Some(socket) = &*self.socket.borrow() {
            shut(&**socket, Shutdown::Both);
        }
    }

    /// Whether it was ended.
    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.get()
    }

    /// From here on this is the socket that an abort shuts down.
    fn watch(&self, socket: &Rc<S>) {
        *self.socket.borrow_mut() = Some(Rc::clone(socket));
    }

    /// Lets go of the socket.
    pub(super) fn unwatch(&self) {
        *self.socket.borrow_mut() = None;
    }
}

/// What is dialled.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    /// The API whose backend it is, for the log.
    pub(super) api: &'a Name,
    pub(super) backend: &'a BackendUrl,
    /// Where to connect from.
    pub(super) sources: SourceAddresses<'a>,
}

/// Connects to a backend by `deadline`.
///
/// Each address gets an even share of the time that is left; IPv6 and IPv4 take turns (RFC 8305 §4).
///
/// # Errors
/// The refusal for the client: what the last address said.
pub(super) async fn dial<N: Network>(
    network: &N,
    destination: &Destination<'_>,
    resolver: &Resolver,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<Rc<N::Stream>, Refusal> {
    let port = destination.backend.port;
    let addresses = match &destination.backend.host {
        BackendHost::Ip(address) => vec![SocketAddr::new(*address, port)],
        BackendHost::Name(name) => resolve(name, destination, resolver, deadline, abort).await?,
    };
    let mut last = Refusal::of(Cause::BackendRefused, "the backend has no address");
    for (index, address) in addresses.iter().enumerate() {
        if abort.is_aborted() {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        match connect_from_any(network, destination, *address, Instant::now() + share, abort).await {
            Ok(socket) => return Ok(socket),
            Err(refusal) => last = refusal,
        }
    }
    Err(last)
}

/// Connects from the first of the sources that has a port left, or from where the kernel chooses if there is none.
async fn connect_from_any<N: Network>(
    network: &N,
    destination: &Destination<'_>,
    to: SocketAddr,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<Rc<N::Stream>, Refusal> {
    let api = destination.api;
    let mut sources = destination.sources.towards(to).into_iter();
    let mut result = connect(network, api, sources.next(), to, deadline, abort).await;
    // Nothing is waited for here, but the kernel looks through all ports of an address before it says that none is left.
    while !abort.is_aborted()
        && Instant::now() < deadline
        && result.as_ref().is_err_and(|refusal| refusal.cause == Cause::NoLocalPort)
        && let Some(source) = sources.next()
    {
        result = connect(network, api, Some(source), to, deadline, abort).await;
    }
    if result.as_ref().is_err_and(|refusal| refusal.cause == Cause::NoLocalPort) {
        limited!(WARN, Some(api.as_str()), "no local port is left towards a backend", address = %to);
    }
    result
}

async fn resolve(
    name: &str,
    destination: &Destination<'_>,
    resolver: &Resolver,
    deadline: Instant,
    abort: &Abort<impl Stream>,
) -> Result<Vec<SocketAddr>, Refusal> {
    // A look-up is no ring operation: it may be dropped.
    tokio::select! {
        biased;
        () = abort.aborted.notified() => Err(Refusal::of(Cause::ClientGone, "the client left")),
        found = tokio::time::timeout_at(deadline, resolver.resolve(name, destination.backend.port)) => match found {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => {
                limited!(WARN, Some(destination.api.as_str()), "cannot resolve a backend", name, %error);
                Err(Refusal::of(Cause::BackendRefused, "the backend's name cannot be resolved"))
            }
            Err(_) => Err(Refusal::of(Cause::BackendSilent, "the backend's name was not resolved in time")),
        }
    }
}

async fn connect<N: Network>(
    network: &N,
    api: &Name,
    source: Option<IpAddr>,
    to: SocketAddr,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<Rc<N::Stream>, Refusal> {
    let socket = network.stream_to(to, source).map_err(|error| refusal_of_socket(&error, api, source, to))?;
    let socket = Rc::new(socket);
    abort.watch(&socket);
    let (result, is_late) =
        until(network.connect(&socket, to), deadline, || shut(&*socket, Shutdown::Both)).await;
    if is_late {
        // A connection that came about just then was shut down all the same.
        limited!(WARN, Some(api.as_str()), "a backend did not take a connection in time", address = %to);
        return Err(Refusal::of(Cause::BackendSilent, "the backend did not take the connection in time"));
    }
    result.map(|()| socket).map_err(|error| refusal_of(&error, api, source, to))
}

/// The refusal when there is no socket to connect with.
fn refusal_of_socket(error: &io::Error, api: &Name, source: Option<IpAddr>, to: SocketAddr) -> Refusal {
    // The port is chosen at the connect, so what is not available at the bind is the address itself.
    if let (Some(source), Some(libc::EADDRNOTAVAIL)) = (source, error.raw_os_error()) {
        limited!(ERROR, Some(api.as_str()), "a source address is not an address of this host", %source);
        return no_local_port();
    }
    refusal_of(error, api, source, to)
}

fn refusal_of(error: &io::Error, api: &Name, source: Option<IpAddr>, to: SocketAddr) -> Refusal {
    let api = Some(api.as_str());
    match error.raw_os_error() {
        // Each port of this source has a connection to this backend already. Another source may have one left.
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => {
            tracing::debug!(address = %to, ?source, %error, "a source has no local port left towards a backend");
            no_local_port()
        }
        // It is this instance that cannot take the session, not the backend.
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            limited!(WARN, api, "too few resources to connect to a backend", address = %to, %error);
            Refusal::of(Cause::InstanceFull, "this instance has no open files or memory left")
        }
        // The kernel's own patience with an address that does not answer may be shorter than the API's.
        Some(libc::ETIMEDOUT) => {
            limited!(WARN, api, "a backend did not take a connection in time", address = %to, %error);
            Refusal::of(Cause::BackendSilent, "the backend did not take the connection in time")
        }
        _ => {
            limited!(WARN, api, "cannot connect to a backend", address = %to, %error);
            Refusal::of(Cause::BackendRefused, "the backend cannot be reached")
        }
    }
}

fn no_local_port() -> Refusal {
    Refusal::of(Cause::NoLocalPort, "no local port is left towards the backend")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_api;
    use crate::config::NamesConfig;
    use crate::front::source_addresses::AddressTurns;
    use crate::front::stream::Host;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;
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
            let resolver = Resolver::start_with(&Handle::current(), &NamesConfig::default(), move |_| {
                let found = found.clone();
                async move { Ok(found) }
            });
            let abort = Abort::default();
            let turns = AddressTurns::default();
            let destination =
                Destination { api: &api.name, backend: &api.backend, sources: turns.next(&api) };
            let leave = async {
                match leaves_after {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
                abort.abort();
                std::future::pending::<()>().await;
            };
            let begun = Instant::now();
            let deadline = begun + Duration::from_millis(api.dial_timeout_ms);
            let dialled = tokio::select! {
                dialled = timeout(Duration::from_secs(20), dial(&Host { dead_peer_timeout: None }, &destination, &resolver, deadline, &abort)) => dialled.unwrap(),
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
