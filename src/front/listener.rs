//! Listeners: one per worker on the same address. The kernel spreads connections over them (SO_REUSEPORT).
//!
//! The property to trust: a group of listeners exists as a whole or not at all. All of its sockets are bound before the first one
//! listens, so no connection lands in the queue of a group that fails half-way.
//!
//! Not here: accepting (`socket`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::socket::{Socket, give_up_dead_peers};
use crate::limits::{LISTEN_BACKLOG, UNSENT_BYTES_MAX};

/// Binds and opens `workers` listeners (at least 1) on `address`.
///
/// Port 0 lets the kernel choose one for the first; the others take the same ([`Socket::local_address`] tells). An IPv6
/// listener takes no IPv4 connections. What is accepted inherits TCP_NODELAY from its listener, and what makes the kernel give
/// up connections whose peer is silent for `dead_peer_timeout`, and takes no more than [`UNSENT_BYTES_MAX`] unsent.
///
/// # Errors
/// `InvalidInput` for no workers; else the kernel's: address in use by another user or without SO_REUSEPORT, not of this
/// host, port below 1024 without the capability, out of descriptors.
pub fn bind_group(
    address: SocketAddr,
    workers: usize,
    dead_peer_timeout: Option<Duration>,
) -> io::Result<Vec<Socket>> {
    if workers == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a listener needs at least one worker"));
    }
    if address.port() != 0 {
        check_free(address, true)?;
    }
    let first = bind(address)?;
    let shared = first.local_addr()?.as_socket().unwrap_or(address);
    let mut bound = vec![first];
    for _ in 1..workers {
        bound.push(bind(shared)?);
    }
    for socket in &bound {
        if let Some(timeout) = dead_peer_timeout {
            give_up_dead_peers(SockRef::from(socket), timeout)?;
        }
        socket.listen(LISTEN_BACKLOG)?;
    }
    Ok(bound.into_iter().map(|socket| Socket::from(OwnedFd::from(socket))).collect())
}

/// Fails with `AddrInUse` if another process listens on the address; listens on nothing itself.
///
/// SO_REUSEPORT lets two instances of the same user share a port without a word, and a second one that was started by
/// mistake would take half of the connections. A bind without it is refused, and is given up at once.
///
/// # Errors
/// The kernel's, as of [`bind_group`].
pub fn check_free(address: SocketAddr, is_only_v6: bool) -> io::Result<()> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(is_only_v6)?;
    }
    socket.bind(&SockAddr::from(address))
}

/// One bound socket that does not listen yet: blocking, closed on exec.
fn bind(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the TIME_WAIT of the connections before it.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Linux copies it to what is accepted, which saves a call per connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    if address.is_ipv6() {
        // Without it, "[::]" and "0.0.0.0" on the same port would collide or not depending on a sysctl.
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn refuses_a_port_that_another_group_listens_on() {
        let first = bind_group(loopback(), 2, None).unwrap();
        let address = first[0].local_address().unwrap();
        assert_eq!(bind_group(address, 1, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind_group(address, 2, None).unwrap();
    }

    #[test]
    fn accepted_sockets_inherit_nodelay_and_the_bound_of_unsent_bytes_are_blocking_and_closed_on_exec() {
        let listener = bind_group(loopback(), 1, None).unwrap().remove(0);
        let _client = TcpStream::connect(listener.local_address().unwrap()).unwrap();
        let (accepted, _) = listener.take_queued_now().unwrap().expect("the client is in the queue");
        assert!(SockRef::from(&accepted).tcp_nodelay().unwrap());
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
        assert!(!SockRef::from(&accepted).nonblocking().unwrap());
        assert_eq!(rustix::io::fcntl_getfd(&accepted).unwrap(), rustix::io::FdFlags::CLOEXEC);
    }

    #[test]
    fn accepted_sockets_inherit_what_gives_up_dead_peers() {
        for timeout in [None, Some(Duration::from_secs(120))] {
            let listener = bind_group(loopback(), 1, timeout).unwrap().remove(0);
            let _client = TcpStream::connect(listener.local_address().unwrap()).unwrap();
            let (accepted, _) = listener.take_queued_now().unwrap().expect("the client is in the queue");
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.keepalive().unwrap(), timeout.is_some());
            assert_eq!(accepted.tcp_user_timeout().unwrap(), timeout);
            if timeout.is_some() {
                assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
                assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
            }
        }
    }

    #[test]
    fn a_group_shares_one_port_and_loses_no_connection() {
        let group = bind_group(loopback(), 2, None).unwrap();
        let address = group[0].local_address().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(group[1].local_address().unwrap(), address);

        let clients: Vec<_> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut taken = 0;
        for listener in &group {
            while let Some((_, peer)) = listener.take_queued_now().unwrap() {
                assert!(clients.iter().any(|client| client.local_addr().unwrap() == peer));
                taken += 1;
            }
        }
        assert_eq!(taken, clients.len());
    }

    #[test]
    fn takes_nothing_from_an_empty_queue_and_does_not_wait() {
        let listener = bind_group(loopback(), 1, None).unwrap().remove(0);
        assert!(listener.take_queued_now().unwrap().is_none());
    }

    #[test]
    fn takes_a_queued_connection_that_its_client_has_reset() {
        let listener = bind_group(loopback(), 1, None).unwrap().remove(0);
        let client = TcpStream::connect(listener.local_address().unwrap()).unwrap();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert!(listener.take_queued_now().unwrap().is_some());
    }

    #[test]
    fn an_ipv6_listener_leaves_the_ipv4_port_free() {
        let Ok(group) = bind_group("[::]:0".parse().unwrap(), 1, None) else {
            eprintln!("SKIPPED: this host has no IPv6");
            return;
        };
        let port = group[0].local_address().unwrap().port();
        assert!(bind_group(SocketAddr::new([0, 0, 0, 0].into(), port), 1, None).is_ok());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "an IPv4 client does not reach it");
    }

    #[test]
    fn refuses_a_group_of_no_workers_and_an_address_in_use() {
        assert_eq!(bind_group(loopback(), 0, None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let taken = std::net::TcpListener::bind(loopback()).unwrap();
        let error = bind_group(taken.local_addr().unwrap(), 2, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
