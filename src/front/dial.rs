//! Connects to a backend: tries all its addresses in turn, within one deadline, and stops if the client leaves.
//!
//! For each address of the backend, the API's source addresses are tried in turn while they have no free port.

use super::policies::{PolicyRun, shown_authority};
use super::refusal::shut;
use super::socket::until;
use super::source_addresses::SourceAddresses;
use super::stream::{Network, Stream};
use super::upstream_fault::{FaultOwner, UpstreamFault, WhatFailed};
use crate::backend::names::Resolver;
use crate::catalog::{BackendHost, BackendUrl, Name};
use crate::session::CorrelationId;
use std::cell::{Cell, RefCell};
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

/// The destination of a dial.
#[derive(Debug)]
pub(super) struct Destination<'a> {
    /// The opening that it is dialled for, for the log.
    pub(super) id: CorrelationId,
    /// The API whose backend it is, for the log.
    pub(super) api: &'a Name,
    pub(super) backend: &'a BackendUrl,
    /// What has chosen it, with the secrets that may stand in it. `None`: the API's own is dialled.
    pub(super) policies: Option<&'a PolicyRun>,
    /// Where to connect from.
    pub(super) sources: SourceAddresses<'a>,
}

impl Destination<'_> {
    /// Logs what failed towards it.
    pub(super) fn log(&self, fault: &UpstreamFault) {
        let backend = shown_authority(self.backend, self.policies);
        fault.log(FaultOwner { id: self.id, api: self.api.as_str(), backend: &backend });
    }
}

/// Why there is no connection to a backend.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// The client left before there was one.
    ClientLeft,
    /// The fault of the last address. Those of the others are logged.
    Fault(UpstreamFault),
}

/// Connects to a backend by `deadline`; gives the address too.
///
/// Each address gets an even share of the time that is left; IPv6 and IPv4 take turns (RFC 8305 §4).
///
/// # Errors
/// Why there is no connection.
pub(super) async fn dial<N: Network>(
    network: &N,
    destination: &Destination<'_>,
    resolver: &Resolver,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<(Rc<N::Stream>, SocketAddr), NoConnection> {
    let port = destination.backend.port;
    let addresses = match &destination.backend.host {
        BackendHost::Ip(address) => vec![SocketAddr::new(*address, port)],
        BackendHost::Name(name) => resolve(name, port, resolver, deadline, abort).await?,
    };
    let mut last = UpstreamFault { address: None, what: WhatFailed::HasNoAddress };
    for (index, address) in addresses.iter().enumerate() {
        if index > 0 {
            destination.log(&last);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        let connected = connect_from_any(network, destination, *address, Instant::now() + share, abort).await;
        match connected {
            Ok(socket) => return Ok((socket, *address)),
            // An aborted dial fails for that alone.
            Err(_) if abort.is_aborted() => return Err(NoConnection::ClientLeft),
            Err(what) => last = what.at(*address),
        }
    }
    Err(NoConnection::Fault(last))
}

/// Connects from the first of the sources that has a port left, or from where the kernel chooses if there is none.
async fn connect_from_any<N: Network>(
    network: &N,
    destination: &Destination<'_>,
    to: SocketAddr,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<Rc<N::Stream>, WhatFailed> {
    let mut sources = destination.sources.towards(to).into_iter();
    let mut result = connect(network, sources.next(), to, deadline, abort).await;
    // Nothing is waited for here, but the kernel looks through all ports of an address before it says that none is left.
    while !abort.is_aborted()
        && Instant::now() < deadline
        && let Err(what @ (WhatFailed::NoLocalPort | WhatFailed::SourceNotOfHost(_))) = &result
        && let Some(source) = sources.next()
    {
        if let WhatFailed::SourceNotOfHost(wrong) = what {
            destination.log(&WhatFailed::SourceNotOfHost(*wrong).at(to));
        }
        result = connect(network, Some(source), to, deadline, abort).await;
    }
    result
}

async fn resolve(
    name: &str,
    port: u16,
    resolver: &Resolver,
    deadline: Instant,
    abort: &Abort<impl Stream>,
) -> Result<Vec<SocketAddr>, NoConnection> {
    let fault = |what| NoConnection::Fault(UpstreamFault { address: None, what });
    // A look-up is no ring operation: it may be dropped.
    tokio::select! {
        biased;
        () = abort.aborted.notified() => Err(NoConnection::ClientLeft),
        found = tokio::time::timeout_at(deadline, resolver.resolve(name, port)) => match found {
            Ok(found) => found.map_err(|cause| fault(WhatFailed::NameNotResolved(cause))),
            Err(_) => Err(fault(WhatFailed::NameLate)),
        }
    }
}

async fn connect<N: Network>(
    network: &N,
    source: Option<IpAddr>,
    to: SocketAddr,
    deadline: Instant,
    abort: &Abort<N::Stream>,
) -> Result<Rc<N::Stream>, WhatFailed> {
    let socket = network.stream_to(to, source).map_err(|error| match (source, error.raw_os_error()) {
        // The port is chosen at the connect, so what is not available at the bind is the address itself.
        (Some(source), Some(libc::EADDRNOTAVAIL)) => WhatFailed::SourceNotOfHost(source),
        _ => WhatFailed::of_connect(error),
    })?;
    let socket = Rc::new(socket);
    abort.watch(&socket);
    let (result, is_late) =
        until(network.connect(&socket, to), deadline, || shut(&*socket, Shutdown::Both)).await;
    if is_late {
        // A connection that came about just then was shut down all the same.
        return Err(WhatFailed::ConnectLate);
    }
    result.map(|()| socket).map_err(WhatFailed::of_connect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse_api;
    use crate::config::NamesConfig;
    use crate::front::source_addresses::AddressTurns;
    use crate::front::stream::Host;
    use crate::session::Cause;
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
    /// or the cause, and how long it took; nothing, said loudly, on a host without io_uring. Without an address the look-up has no
    /// end.
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
                async move { if found.is_empty() { std::future::pending().await } else { Ok(found) } }
            });
            let abort = Abort::default();
            let turns = AddressTurns::default();
            let destination = Destination {
                id: CorrelationId::from_random([7; 16]),
                api: &api.name,
                backend: &api.backend,
                policies: None,
                sources: turns.next(&api),
            };
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
            let reached = dialled.map(|(_socket, _)| backend.accept().unwrap().0.local_addr().unwrap().ip());
            Some((
                reached.map_err(|reason| match reason {
                    NoConnection::ClientLeft => Cause::ClientGone,
                    NoConnection::Fault(fault) => fault.consequence().cause,
                }),
                begun.elapsed(),
            ))
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
    fn a_client_that_leaves_during_the_look_up_ends_it_and_no_backend_is_at_fault() {
        let Some((reached, took)) = dial_name(&[], 60_000, Some(Duration::from_millis(50))) else { return };
        assert_eq!(reached, Err(Cause::ClientGone));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[test]
    fn a_look_up_that_takes_too_long_is_a_silent_backend() {
        let Some((reached, _)) = dial_name(&[], 100, None) else { return };
        assert_eq!(reached, Err(Cause::BackendSilent));
    }

    #[test]
    fn tries_no_further_address_when_the_client_has_left() {
        let leaves_after = Some(Duration::from_millis(50));
        let Some((reached, took)) = dial_name(&[DEAF, DEAF, LISTENING], 60_000, leaves_after) else { return };
        assert_eq!(reached, Err(Cause::ClientGone));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
