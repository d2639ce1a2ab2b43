//! A blocking TCP socket and the operations that the front runs on it through io_uring.
//!
//! The property to trust: **an operation is awaited to its completion, always.** Dropping its future does not cancel
//! it: the kernel goes on, a dropped receive takes the next bytes of the stream and loses them, and a dropped accept
//! leaks the descriptor that it accepts. So callers keep the future pinned and end it from outside: by [`until`] with a
//! [`Socket::shutdown`], or by [`Socket::cancel_all`]. No `select!` or time-out owns one. For the same reason a runtime
//! is not ended while an operation is in flight: tokio-uring frees what the operations own before it cancels them.
//!
//! Memory stays sound whatever the caller does with a future: buffer, address and descriptor belong to the operation, and
//! tokio-uring holds them until the completion. A dropped socket is closed only after its last operation.
//!
//! Nothing is submitted before a future is polled for the first time.
//!
//! Not here: making listeners (`listener`), the meaning of the bytes, and TLS. `O_NONBLOCK` is never set: it belongs to the open
//! file description, which others may share, and it would make the ring's accept and receive fail instead of wait.

mod dead_peer;
mod operation;
mod peer_address;

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use io_uring_06::{opcode, types};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

pub use self::dead_peer::give_up_dead_peers;
use self::operation::run;
pub use self::operation::until;
use self::peer_address::PeerAddress;
use crate::limits::UNSENT_BYTES_MAX;

/// Bytes that are read of a connection that is turned away, without waiting, before it is closed.
const TURNED_AWAY_READ_BYTES: usize = 4 * 1024;

/// Most bytes that one submission carries; the kernel's own cap for one call (`MAX_RW_COUNT`) is just under 2 GiB.
const SUBMISSION_BYTES_MAX: usize = 1 << 30;

/// A TCP socket, listening or connected, owned by the front until [`Socket::into_fd`].
#[derive(Debug)]
pub struct Socket {
    /// Shared with the operations in flight. Atomic only so that listeners can be made on one thread and used on
    /// another; operations stay on the thread that submitted them.
    descriptor: Arc<OwnedFd>,
}

/// The event that ended [`Socket::hang_up`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// The peer has sent its FIN: it may still read.
    EndedItsStream,
    /// The peer has reset, or both directions are shut: nothing can be delivered any more.
    LeftAltogether,
}

impl Socket {
    /// A socket to [`Socket::connect`] with, of the family of `to`, with TCP_NODELAY, that takes no more than
    /// [`UNSENT_BYTES_MAX`] unsent.
    ///
    /// With a `source` it is bound to that address. The port is chosen at the connect (IP_BIND_ADDRESS_NO_PORT), so one
    /// source address serves as many connections as there are ports *per destination*.
    ///
    /// With a `dead_peer_timeout` the kernel gives the connection up when its peer is silent for so long.
    ///
    /// # Errors
    /// The kernel's: out of descriptors, family not supported, source address not of this host or of another family.
    pub fn for_dial(
        to: SocketAddr,
        source: Option<IpAddr>,
        dead_peer_timeout: Option<Duration>,
    ) -> io::Result<Socket> {
        let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        if let Some(timeout) = dead_peer_timeout {
            give_up_dead_peers(SockRef::from(&socket), timeout)?;
        }
        if let Some(source) = source {
            choose_port_at_connect(&socket)?;
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        Ok(Socket::from(OwnedFd::from(socket)))
    }

    /// Waits for the next connection of a listener. What is accepted is blocking and closed on exec.
    ///
    /// The owner of this future is the accept loop, and it never drops it: a connection that arrives after that would
    /// stay open with nobody to close it. It ends the wait by [`Socket::cancel_all`], which completes it with
    /// `ECANCELED`, or with a connection that came just before.
    ///
    /// # Errors
    /// The kernel's. `ECONNABORTED` and the like concern one connection; `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` will
    /// come back at once if the loop does not pause.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (result, address) = run(&self.descriptor, PeerAddress::empty(), |descriptor, address| {
            // Both pointers are into the box, which the operation keeps until its completion.
            opcode::Accept::new(descriptor, address.address_pointer(), address.length_pointer())
                .flags(libc::SOCK_CLOEXEC)
                .build()
        })
        .await;
        let accepted = Socket::from(own_accepted(result?));
        Ok((accepted, address.parse().ok_or_else(not_an_ip_peer)?))
    }

    /// Takes a connection that is already in the listener's queue, without waiting: for the drain, after the pending
    /// accept was cancelled. Call it until it gives `None`.
    ///
    /// Only one place may accept from a listener's open file description at that time: the call looks first and accepts
    /// then, and would block if another took the connection in between. A connection does not leave the queue by
    /// itself, not even when its client resets it.
    ///
    /// # Errors
    /// The kernel's, as for [`Socket::accept`].
    pub fn take_queued_now(&self) -> io::Result<Option<(Socket, SocketAddr)>> {
        let mut watched = [PollFd::new(&*self.descriptor, PollFlags::IN)];
        if poll(&mut watched, Some(&Timespec::default()))? == 0 {
            return Ok(None);
        }
        let (accepted, address) = SockRef::from(&*self.descriptor).accept()?;
        let accepted = Socket::from(OwnedFd::from(accepted));
        Ok(Some((accepted, address.as_socket().ok_or_else(not_an_ip_peer)?)))
    }

    /// Connects to `to`. A dial deadline is [`until`] with a shutdown of both directions, after which this completes
    /// with an error and the socket is good for nothing but closing.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<()> {
        let (result, _) = run(&self.descriptor, Box::new(SockAddr::from(to)), |descriptor, address| {
            // The pointer is into the box, which the operation keeps until its completion.
            opcode::Connect::new(descriptor, address.as_ptr().cast(), address.len()).build()
        })
        .await;
        result.map(drop)
    }

    /// Waits for bytes and appends at most `room_bytes` (more than 0) of them to `buffer`. `Ok(0)` is the end of the
    /// stream: the peer's FIN, or a shutdown of reading on this side.
    ///
    /// The buffer grows where its capacity does not do, and comes back whatever the outcome, with what it held before.
    /// The room is zeroed first, which costs a 16 KiB receive a fraction of a microsecond and spares an unsafe block.
    ///
    /// # Errors
    /// The kernel's; `ECONNRESET` when the peer has reset.
    pub async fn receive(&self, mut buffer: Vec<u8>, room_bytes: usize) -> (io::Result<usize>, Vec<u8>) {
        debug_assert!(room_bytes > 0, "a receive without room looks like the end of the stream");
        let held = buffer.len();
        let room = room_bytes.min(SUBMISSION_BYTES_MAX);
        buffer.resize(held + room, 0);
        // A head is here already, mostly: a client sends it with its connection. A call then spares a turn of the runtime.
        match rustix::net::recv(&*self.descriptor, &mut buffer[held..], RecvFlags::DONTWAIT) {
            Ok((count, _)) => {
                buffer.truncate(held + count);
                return (Ok(count), buffer);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => {
                buffer.truncate(held);
                return (Err(error.into()), buffer);
            }
        }
        let (result, mut buffer) = run(&self.descriptor, buffer, |descriptor, buffer| {
            // The pointer is into the vector's heap block, which the operation keeps, unchanged, until its completion.
            opcode::Recv::new(descriptor, buffer[held..].as_mut_ptr(), room as u32).build()
        })
        .await;
        let result = result.map(|count| count as usize);
        buffer.truncate(held + result.as_ref().map_or(0, |count| *count));
        (result, buffer)
    }

    /// Sends all of `bytes`, in order. No SIGPIPE is raised.
    ///
    /// A plain call sends what the system takes at once, which for a head is usually all of it: an operation would cost a turn of
    /// the runtime for a result that is already known.
    ///
    /// # Errors
    /// The kernel's; `EPIPE` or `ECONNRESET` when the peer is gone. Part of the bytes may have been sent then.
    pub async fn send_all(&self, bytes: impl Into<Bytes>) -> io::Result<()> {
        let mut rest: Bytes = bytes.into();
        if !rest.is_empty() {
            match self.send_now(&rest) {
                Ok(sent) => rest.advance(sent),
                Err(error) if is_to_be_waited_for(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while !rest.is_empty() {
            let (result, mut sent_from) = run(&self.descriptor, rest, |descriptor, bytes| {
                let length = bytes.len().min(SUBMISSION_BYTES_MAX) as u32;
                // The pointer is into the shared bytes, of which the operation keeps a reference until its completion.
                // MSG_WAITALL: the kernel retries a short send by itself; the loop is for what it does not retry.
                opcode::Send::new(descriptor, bytes.as_ptr(), length)
                    .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                    .build()
            })
            .await;
            match result? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => rest = sent_from.split_off(sent as usize),
            }
        }
        Ok(())
    }

    /// Sends as much of `bytes` as the system takes without waiting, and says how many bytes that is. No SIGPIPE is raised.
    ///
    /// A call, not an operation: nothing is in flight after it.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when it takes nothing.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&*self.descriptor).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    }

    /// Receives some of what has come already and drops it, without waiting. A call, not an operation.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when nothing has come.
    pub fn drop_received_now(&self) -> io::Result<usize> {
        let mut dropped = [const { MaybeUninit::uninit() }; TURNED_AWAY_READ_BYTES];
        SockRef::from(&*self.descriptor).recv_with_flags(&mut dropped, libc::MSG_DONTWAIT)
    }

    /// The first bytes of what has come, at most `BYTES`, without waiting and without taking them.
    pub fn peek_now<const BYTES: usize>(&self) -> Vec<u8> {
        let mut begun = [0; BYTES];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        // Whatever went wrong, nothing is known of what comes.
        let (count, _) = rustix::net::recv(&self.descriptor, &mut begun, flags).unwrap_or_default();
        begun[..count.min(begun.len())].to_vec()
    }

    /// Waits until the peer leaves: its FIN, its reset, or an error of the connection. Takes no bytes.
    ///
    /// Completes at once if this side has shut down reading, because the kernel reports both alike. End it by
    /// [`Socket::cancel_all`] before the socket is handed on.
    ///
    /// # Errors
    /// The kernel's; `ECANCELED` when it was cancelled.
    pub async fn hang_up(&self) -> io::Result<HangUp> {
        let watched = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR;
        let (result, ()) = run(&self.descriptor, (), |descriptor, ()| {
            opcode::PollAdd::new(descriptor, watched as u32).build()
        })
        .await;
        let gone = (libc::POLLHUP | libc::POLLERR) as u32;
        Ok(if result? & gone == 0 { HangUp::EndedItsStream } else { HangUp::LeftAltogether })
    }

    /// Cancels every operation that this thread's ring has in flight on this socket, and says how many it found.
    ///
    /// Each of them completes on its own future, with `ECANCELED` or with what it had achieved just before: go on
    /// awaiting it. The socket itself is unharmed, and so are other sockets on the same port.
    ///
    /// # Errors
    /// The kernel's; none is expected on Linux 5.19 and later.
    pub async fn cancel_all(&self) -> io::Result<u32> {
        let (result, ()) = run(&self.descriptor, (), |types::Fd(descriptor), ()| {
            opcode::AsyncCancel2::new(types::CancelBuilder::fd(types::Fd(descriptor)).all()).build()
        })
        .await;
        result
    }

    /// Ends one or both directions; pending operations of those directions complete.
    ///
    /// Never for a listener: it is the connection queue of the port that ends, for its twins in other processes too.
    ///
    /// # Errors
    /// `ENOTCONN` when the connection is already gone: mostly nothing to act on.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&*self.descriptor).shutdown(how)
    }

    /// Makes the close a reset (SO_LINGER of 0 s): what is unsent is thrown away and no port waits in TIME_WAIT.
    ///
    /// # Errors
    /// The kernel's; none is expected on a TCP socket.
    pub fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(&*self.descriptor).set_linger(Some(Duration::ZERO))
    }

    /// The address that this side is bound to.
    ///
    /// # Errors
    /// The kernel's, or `InvalidData` for a socket that is not of IPv4 or IPv6.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&*self.descriptor).local_addr()?.as_socket().ok_or_else(not_an_ip_peer)
    }

    /// Whether no operation is in flight on it.
    pub fn is_idle(&self) -> bool {
        // Each operation in flight shares the descriptor.
        Arc::strong_count(&self.descriptor) == 1
    }

    /// Gives up the descriptor, which is then the caller's alone.
    ///
    /// # Errors
    /// The socket itself, if an operation is still in flight on it: one whose future was dropped, or was not awaited to
    /// its end. That is a bug of the caller; the safe way on is to drop the socket.
    pub fn into_fd(self) -> Result<OwnedFd, Socket> {
        Arc::try_unwrap(self.descriptor).map_err(|descriptor| Socket { descriptor })
    }
}

impl From<OwnedFd> for Socket {
    /// Takes a descriptor of a blocking TCP socket.
    fn from(descriptor: OwnedFd) -> Socket {
        Socket { descriptor: Arc::new(descriptor) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Takes the descriptor that an accept's completion carries.
#[expect(unsafe_code, reason = "a completion carries a bare number; somebody has to own it")]
fn own_accepted(descriptor: u32) -> OwnedFd {
    // SAFETY: the kernel opened this descriptor for the accept whose completion carries it. A completion is handed out
    // once, so nobody else owns it, and it is open until its owner closes it.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

/// Sets IP_BIND_ADDRESS_NO_PORT, which works on IPv6 sockets too.
#[expect(unsafe_code, reason = "neither socket2 nor rustix has this option")]
fn choose_port_at_connect(socket: &socket2::Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes at `on`, which outlives the call, from an int option.
    let result = unsafe {
        let (level, option) = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a call that does not wait says only that it would have to, or that it was interrupted.
fn is_to_be_waited_for(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The error for a socket of a family that the front does not serve.
fn not_an_ip_peer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the address is neither of IPv4 nor of IPv6")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::task::Poll;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::front::listener::bind_group;
    use crate::head::Method;

    /// Longest that a test may wait for its events.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Runs `test` on a ring of its own, or says loudly that this host has none.
    fn on_ring(test: impl Future<Output = ()>) {
        if let Err(error) = io_uring_06::IoUring::new(2) {
            eprintln!("SKIPPED: this host refuses io_uring: {error}");
            return;
        }
        tokio_uring::start(async { timeout(PATIENCE, test).await.expect("the awaited event came in time") });
    }

    /// A connected pair: the client as a plain stream, the accepted side as a socket of the front.
    async fn pair() -> (TcpStream, Socket) {
        let listener = bind_group("127.0.0.1:0".parse().unwrap(), 1, None).unwrap().remove(0);
        let client = TcpStream::connect(listener.local_address().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        (client, accepted)
    }

    #[test]
    fn carries_bytes_both_ways_between_two_sockets_of_the_front() {
        on_ring(async {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(mut group) = bind_group(address.parse().unwrap(), 1, None) else {
                    eprintln!("SKIPPED: this host has no {address}");
                    continue;
                };
                let listener = group.remove(0);
                let to = listener.local_address().unwrap();
                let dialled = Socket::for_dial(to, Some(to.ip()), None).unwrap();
                dialled.connect(to).await.unwrap();
                let (accepted, peer) = listener.accept().await.unwrap();
                assert_eq!(peer, dialled.local_address().unwrap());

                dialled.send_all("ping").await.unwrap();
                let (result, buffer) = accepted.receive(b"got ".to_vec(), 64).await;
                assert_eq!((result.unwrap(), buffer.as_slice()), (4, b"got ping".as_slice()));

                accepted.send_all(vec![b'x'; 3]).await.unwrap();
                let (result, buffer) = dialled.receive(Vec::new(), 2).await;
                assert_eq!(
                    (result.unwrap(), buffer.as_slice()),
                    (2, b"xx".as_slice()),
                    "no more than its room"
                );

                drop(accepted);
                let (_, buffer) = dialled.receive(buffer, 64).await;
                let (result, buffer) = dialled.receive(buffer, 64).await;
                assert_eq!(
                    (result.unwrap(), buffer.as_slice()),
                    (0, b"xxx".as_slice()),
                    "the end of the stream"
                );
            }
        });
    }

    #[test]
    fn a_dialled_socket_gives_up_a_dead_peer_if_it_is_to() {
        let to = "127.0.0.1:1".parse().unwrap();
        for timeout in [None, Some(Duration::from_secs(40))] {
            let dialled = Socket::for_dial(to, None, timeout).unwrap();
            let dialled = SockRef::from(&dialled);
            assert_eq!(dialled.keepalive().unwrap(), timeout.is_some());
            assert_eq!(dialled.tcp_user_timeout().unwrap(), timeout);
            if timeout.is_some() {
                assert_eq!(dialled.tcp_keepalive_time().unwrap(), Duration::from_secs(20));
                assert_eq!(dialled.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
            }
        }
    }

    #[test]
    fn sends_more_than_the_kernel_buffers_hold() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            let sent: Vec<u8> = (0..32 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
            let expected = sent.clone();
            let reader = std::thread::spawn(move || {
                let mut received = vec![0; expected.len()];
                client.read_exact(&mut received).unwrap();
                received == expected
            });
            accepted.send_all(sent).await.unwrap();
            assert!(reader.join().unwrap());
        });
    }

    #[test]
    fn sends_and_drops_what_it_can_without_waiting() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            assert_eq!(accepted.drop_received_now().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            client.write_all(b"head").unwrap();
            // On loopback what was written has arrived.
            assert_eq!(accepted.peek_now::<{ Method::BYTES }>(), b"head");
            assert_eq!(accepted.drop_received_now().unwrap(), 4);
            assert_eq!(accepted.peek_now::<{ Method::BYTES }>(), b"");
            assert_eq!(accepted.send_now(b"503").unwrap(), 3);
            let bytes = vec![0; 1024 * 1024];
            while accepted.send_now(&bytes).is_ok() {}
            assert_eq!(accepted.send_now(&bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let mut answer = [0; 3];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"503");
        });
    }

    #[test]
    fn fails_to_send_to_a_peer_that_has_reset_without_raising_a_signal() {
        on_ring(async {
            let (client, accepted) = pair().await;
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            assert_eq!(accepted.hang_up().await.unwrap(), HangUp::LeftAltogether);
            assert!(accepted.send_all("late").await.is_err());
            assert!(accepted.send_all("later").await.is_err());
        });
    }

    #[test]
    fn notices_a_client_that_leaves_and_takes_none_of_its_bytes() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            client.write_all(b"head").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(accepted.hang_up().await.unwrap(), HangUp::EndedItsStream);
            let (result, buffer) = accepted.receive(Vec::new(), 64).await;
            assert_eq!((result.unwrap(), buffer.as_slice()), (4, b"head".as_slice()));
        });
    }

    #[test]
    fn can_still_answer_after_the_deadline_of_a_receive() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            let deadline = Instant::now() + Duration::from_millis(20);
            let ((result, buffer), timed_out) = until(accepted.receive(Vec::new(), 64), deadline, || {
                accepted.shutdown(Shutdown::Read).unwrap();
            })
            .await;
            assert!(timed_out);
            assert_eq!((result.unwrap(), buffer.len()), (0, 0));

            accepted.send_all("408").await.unwrap();
            drop(accepted.into_fd().expect("nothing is in flight"));
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "408");
        });
    }

    #[test]
    fn is_not_late_when_the_bytes_come_before_the_deadline() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            client.write_all(b"head").unwrap();
            let ((result, _), timed_out) =
                until(accepted.receive(Vec::new(), 64), Instant::now() + PATIENCE, || unreachable!()).await;
            assert_eq!((result.unwrap(), timed_out), (4, false));
        });
    }

    /// A listener that answers no further connection attempt, and the connections that fill its queue.
    fn silent_listener() -> (socket2::Socket, SocketAddr, Vec<socket2::Socket>) {
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = || {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        let filling = (0..4).map(|_| fill()).collect();
        (listener, address.as_socket().unwrap(), filling)
    }

    #[test]
    fn ends_a_dial_at_its_deadline_by_shutdown() {
        on_ring(async {
            let (_listener, address, _filling) = silent_listener();
            let dialled = Socket::for_dial(address, None, None).unwrap();
            let deadline = Instant::now() + Duration::from_millis(50);
            let (result, timed_out) = until(dialled.connect(address), deadline, || {
                // Its result does not matter: what counts is that the connect completes.
                let _ = dialled.shutdown(Shutdown::Both);
            })
            .await;
            assert!(timed_out);
            assert!(result.is_err());
            assert!(dialled.into_fd().is_ok(), "nothing is in flight");
        });
    }

    #[test]
    fn ends_a_dial_by_cancelling_it() {
        on_ring(async {
            let (_listener, address, _filling) = silent_listener();
            let dialled = Socket::for_dial(address, None, None).unwrap();
            let (result, cancelled) = tokio::join!(dialled.connect(address), dialled.cancel_all());
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(cancelled.unwrap(), 1);
        });
    }

    #[test]
    fn cancels_an_accept_without_ending_its_twin() {
        on_ring(async {
            let mut group = bind_group("127.0.0.1:0".parse().unwrap(), 2, None).unwrap();
            let (first, second) = (group.remove(0), group.remove(0));
            let (result, cancelled) = tokio::join!(first.accept(), first.cancel_all());
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(cancelled.unwrap(), 1);

            let address = first.local_address().unwrap();
            drop(first);
            let _client = TcpStream::connect(address).unwrap();
            second.accept().await.unwrap();
        });
    }

    #[test]
    fn finds_nothing_to_cancel_on_an_idle_socket() {
        on_ring(async {
            let (_client, accepted) = pair().await;
            assert_eq!(accepted.cancel_all().await.unwrap(), 0);
        });
    }

    #[test]
    fn keeps_the_descriptor_while_an_operation_is_in_flight() {
        on_ring(async {
            let (client, accepted) = pair().await;
            {
                // What no caller may do: a future that was polled and is dropped.
                let mut abandoned = std::pin::pin!(accepted.hang_up());
                let polled =
                    std::future::poll_fn(|context| Poll::Ready(abandoned.as_mut().poll(context))).await;
                assert!(polled.is_pending());
            }
            let mut accepted = accepted.into_fd().expect_err("the poll is in flight");
            drop(client);
            assert_eq!(accepted.hang_up().await.unwrap(), HangUp::EndedItsStream);
            // The abandoned poll sees the same event; its completion may be reaped a turn later.
            while let Err(still_held) = accepted.into_fd() {
                accepted = still_held;
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn resets_on_close_when_asked_to() {
        on_ring(async {
            let (mut client, accepted) = pair().await;
            accepted.reset_on_close().unwrap();
            drop(accepted);
            let error = client.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        });
    }
}
