//! The kernel's facts about the peer of a connection (TCP_INFO), and its word on how a connection broke.
//!
//! The property to trust: asking changes nothing. The kernel also answers for a connection that is over: it keeps these values
//! until the socket is closed (seen on Linux 6.18).

use crate::session::{Acknowledged, Gone};
use std::os::fd::{AsRawFd, OwnedFd};

/// The kernel's `TCP_CLOSE`: the connection is over.
const TCP_CLOSE: u8 = 7;

/// The kernel's facts about the peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// The connection is over, for both directions.
    pub is_closed: bool,
    /// Bytes that the socket was given and the peer has not acknowledged, sent or not.
    pub unacknowledged_bytes: u64,
    /// Milliseconds since the peer acknowledged anything: data, or a probe.
    pub since_acknowledged_ms: u64,
    /// Milliseconds since data was sent to it, for the first time or again. A probe is no data.
    pub since_data_sent_ms: u64,
}

impl PeerState {
    /// A peer that has acknowledged everything just now.
    const IN_ORDER: Self =
        Self { is_closed: false, unacknowledged_bytes: 0, since_acknowledged_ms: 0, since_data_sent_ms: 0 };

    /// Asks the kernel.
    pub fn of(socket: &OwnedFd) -> Self {
        // A socket that has no such state has no peer that could vanish.
        let Some((info, unacknowledged)) = ask(socket) else { return Self::IN_ORDER };
        Self {
            is_closed: info.tcpi_state == TCP_CLOSE,
            unacknowledged_bytes: unacknowledged.max(0) as u64,
            since_acknowledged_ms: info.tcpi_last_ack_recv.into(),
            since_data_sent_ms: info.tcpi_last_data_sent.into(),
        }
    }

    /// Returns how much of the sent data the peer has acknowledged.
    ///
    /// The kernel tells when the last acknowledgement came, and that may have been one of a keepalive probe or of a probe of a
    /// closed window. Data is acknowledged within a round trip of when it was last sent, or it is sent again: so the earlier
    /// of both times is that of the last acknowledgement of data, but for a round trip.
    pub fn acknowledged(&self) -> Acknowledged {
        Acknowledged {
            is_all: self.unacknowledged_bytes == 0,
            ms_ago: self.since_acknowledged_ms.max(self.since_data_sent_ms),
        }
    }

    /// How a connection broke whose operation failed with `error`, and that is given up after a peer has been silent for
    /// `timeout_ms`.
    ///
    /// | error | state | |
    /// |---|---|---|
    /// | ECONNRESET, ECONNABORTED | | reset |
    /// | ENOMEM, ENOBUFS: this host's own want, whatever the connection is | | reset |
    /// | EPIPE: the error itself was told to another operation, or not told | closed | silent for so long: dead; had data waiting and took none for so long: stalled; else reset |
    /// | any other: what the kernel last heard of the path, or ETIMEDOUT | closed | silent for so long: dead; else stalled |
    /// | any other | not closed | reset: the connection is in order, but not for us |
    pub fn how_it_broke(&self, error: i32, timeout_ms: Option<u64>) -> Gone {
        let is_reset = matches!(error, libc::ECONNRESET | libc::ECONNABORTED);
        let is_of_this_host = matches!(error, libc::ENOMEM | libc::ENOBUFS);
        if is_reset || is_of_this_host || !self.is_closed {
            return Gone::Reset;
        }
        let is_told = error != libc::EPIPE;
        let is_owing = self.unacknowledged_bytes > 0;
        match timeout_ms {
            // Only the kernel's own patience with an unacknowledged segment, a quarter of an hour or so, is left then.
            None if is_told => Gone::Dead,
            None => Gone::Reset,
            Some(timeout_ms) if self.since_acknowledged_ms >= timeout_ms => Gone::Dead,
            // While a window is closed only probes are sent.
            Some(timeout_ms) if is_told || (is_owing && self.since_data_sent_ms >= timeout_ms) => {
                Gone::Stalled
            }
            Some(_) => Gone::Reset,
        }
    }
}

/// TCP_INFO, and how many bytes are not acknowledged (SIOCOUTQ, which has the same number as TIOCOUTQ).
#[expect(unsafe_code, reason = "neither rustix nor socket2 has these calls")]
fn ask(socket: &OwnedFd) -> Option<(libc::tcp_info, libc::c_int)> {
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let mut unacknowledged: libc::c_int = 0;
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long, and an int into `unacknowledged`, both
    // before the calls return. Integers may have any bits, also those that an older kernel leaves as they are.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let info_at = (&raw mut info).cast();
        let got =
            libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info_at, &raw mut length);
        let asked = libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut unacknowledged);
        (got == 0 && asked == 0).then_some((info, unacknowledged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    const TIMEOUT_MS: u64 = 2_000;

    fn pair() -> (TcpStream, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (peer, listener.accept().unwrap().0.into())
    }

    #[test]
    fn tells_a_dead_peer_a_stalled_one_and_a_reset_apart() {
        let state = |is_closed, since_acknowledged_ms, since_data_sent_ms| PeerState {
            is_closed,
            unacknowledged_bytes: if since_data_sent_ms == 2_264 { 6_144 } else { 0 },
            since_acknowledged_ms,
            since_data_sent_ms,
        };
        // As Linux 6.18 left them, with a time-out of two seconds (a reader that stopped) and three (the others).
        let stopped = state(true, 704, 2_264);
        let idle = state(true, 3_048, 3_048);
        let retransmitting = state(true, 4_296, 36);
        let reset = state(true, 100, 400);
        let reset_after_silence = state(true, 100, 9_000);
        let in_order = state(false, 100, 100);
        let timeout = Some(TIMEOUT_MS);
        for (state, error, timeout_ms, how) in [
            (stopped, libc::ETIMEDOUT, timeout, Gone::Stalled),
            (stopped, libc::EPIPE, timeout, Gone::Stalled),
            (idle, libc::ETIMEDOUT, Some(3_000), Gone::Dead),
            (idle, libc::EHOSTUNREACH, Some(3_000), Gone::Dead),
            (idle, libc::EPIPE, Some(3_000), Gone::Dead),
            (retransmitting, libc::ETIMEDOUT, Some(3_000), Gone::Dead),
            (retransmitting, libc::EPIPE, Some(3_000), Gone::Dead),
            (reset, libc::ECONNRESET, timeout, Gone::Reset),
            (reset, libc::EPIPE, timeout, Gone::Reset),
            (reset_after_silence, libc::EPIPE, timeout, Gone::Reset),
            (idle, libc::ECONNRESET, timeout, Gone::Reset),
            (idle, libc::ECONNABORTED, timeout, Gone::Reset),
            (in_order, libc::ENOMEM, timeout, Gone::Reset),
            (idle, libc::ENOMEM, timeout, Gone::Reset),
            (idle, libc::ENOBUFS, None, Gone::Reset),
            (idle, libc::ETIMEDOUT, None, Gone::Dead),
            (reset, libc::EPIPE, None, Gone::Reset),
        ] {
            assert_eq!(state.how_it_broke(error, timeout_ms), how, "{state:?}, {error}, {timeout_ms:?}");
        }
    }

    #[test]
    fn knows_what_a_peer_has_acknowledged_and_what_it_has_no_room_for() {
        let (mut peer, socket) = pair();
        let mut inside = TcpStream::from(socket.try_clone().unwrap());
        inside.write_all(b"hello").unwrap();
        peer.read_exact(&mut [0; 5]).unwrap();
        // A loopback acknowledges what it has delivered.
        assert!(PeerState::of(&socket).acknowledged().is_all);
        inside.set_nonblocking(true).unwrap();
        while inside.write(&[0; 100_000]).is_ok() {}
        let state = PeerState::of(&socket);
        assert!(state.unacknowledged_bytes > 0 && !state.is_closed, "{state:?}");
    }

    #[test]
    fn a_connection_that_was_reset_is_closed() {
        let (peer, socket) = pair();
        socket2::SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        let mut watched = [PollFd::new(&socket, PollFlags::empty())];
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut watched, Some(&patience)), Ok(1));
        assert!(PeerState::of(&socket).is_closed);
    }

    #[test]
    fn a_socket_without_a_tcp_state_is_in_order() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(PeerState::of(&socket.into()), PeerState::IN_ORDER);
    }
}
