//! A connection as an opening sees it, and the source of connections to backends.
//!
//! An opening knows neither descriptors nor rings: it uses these traits. In service, a [`Socket`] implements them; in tests, a
//! connection that follows a script of bytes and moments.

use super::socket::{HangUp, Socket};
use bytes::Bytes;
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A connection. What holds for the operations of a [`Socket`] holds for those of every stream: each is awaited to its
/// completion, and ended from outside by a shutdown or by [`Stream::cancel_all`].
pub(super) trait Stream: Sized {
    /// The part of the connection that the relay takes over.
    type Handle: Debug;

    /// Waits for bytes and appends at most `room_bytes` of them to `buffer`, which comes back whatever the outcome.
    async fn receive(&self, buffer: Vec<u8>, room_bytes: usize) -> (io::Result<usize>, Vec<u8>);

    /// Sends all of `bytes`, in order.
    async fn send_all(&self, bytes: Bytes) -> io::Result<()>;

    /// Sends as much as the system takes without waiting, and says how many bytes that is.
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until the peer leaves. Takes no bytes.
    async fn hang_up(&self) -> io::Result<HangUp>;

    /// Cancels every operation in flight; each completes on its own future. Gives how many there were.
    async fn cancel_all(&self) -> io::Result<u32>;

    /// Ends one or both directions; pending operations of those directions complete.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Makes the close a reset.
    fn reset_on_close(&self) -> io::Result<()>;

    /// Whether the end of the stream, once it was received, is the one that the peer meant.
    fn has_ended_cleanly(&self) -> bool {
        true
    }

    /// Whether no operation is in flight on it.
    fn is_idle(&self) -> bool;

    /// Gives it up; itself if an operation is in flight on it.
    fn into_handle(self) -> Result<Self::Handle, Self>;
}

/// Where connections to backends come from.
pub(super) trait Network {
    /// The connections, and those that listeners accept.
    type Stream: Stream;

    /// A stream to connect to `to` with, from an address of this host if a `source` is given.
    fn stream_to(&self, to: SocketAddr, source: Option<IpAddr>) -> io::Result<Self::Stream>;

    /// Connects it.
    async fn connect(&self, stream: &Self::Stream, to: SocketAddr) -> io::Result<()>;
}

/// The part of a network's connection that a relay takes over.
pub(super) type Handle<N> = <<N as Network>::Stream as Stream>::Handle;

/// The host's own network.
#[derive(Debug)]
pub(super) struct Host {
    /// After how long a silent peer's connection is given up. `None`: never.
    pub(super) dead_peer_timeout: Option<Duration>,
}

impl Network for Host {
    type Stream = Socket;

    fn stream_to(&self, to: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
        Socket::for_dial(to, source, self.dead_peer_timeout)
    }

    async fn connect(&self, stream: &Socket, to: SocketAddr) -> io::Result<()> {
        stream.connect(to).await
    }
}

impl Stream for Socket {
    type Handle = OwnedFd;

    async fn receive(&self, buffer: Vec<u8>, room_bytes: usize) -> (io::Result<usize>, Vec<u8>) {
        Self::receive(self, buffer, room_bytes).await
    }

    async fn send_all(&self, bytes: Bytes) -> io::Result<()> {
        Self::send_all(self, bytes).await
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::send_now(self, bytes)
    }

    async fn hang_up(&self) -> io::Result<HangUp> {
        Self::hang_up(self).await
    }

    async fn cancel_all(&self) -> io::Result<u32> {
        Self::cancel_all(self).await
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Self::shutdown(self, how)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        Self::reset_on_close(self)
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }

    fn into_handle(self) -> Result<OwnedFd, Self> {
        self.into_fd()
    }
}
