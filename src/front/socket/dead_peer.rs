//! Socket options by which the kernel gives up a connection whose peer is silent (TCP keepalive, TCP_USER_TIMEOUT).
//!
//! TCP_USER_TIMEOUT applies while sent data is unacknowledged, or while a closed window keeps data from being sent. A connection
//! with nothing under way is probed, and TCP_USER_TIMEOUT decides about the probes as well, in place of a number of probes
//! (`tcp(7)`, TCP_USER_TIMEOUT). So TCP_KEEPCNT is left alone.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;

/// Longest time that the kernel takes for TCP_KEEPIDLE and TCP_KEEPINTVL (`MAX_TCP_KEEPIDLE`).
const PROBE_AFTER_S_MAX: u64 = 32_767;

/// Makes the kernel give up the connection of `socket` when its peer has acknowledged nothing for about `timeout`, or has had no
/// room for data for so long. A listener's options are those of what it accepts (Linux copies them), which saves calls.
///
/// # Errors
/// The kernel's; none is expected on a TCP socket.
pub fn give_up_dead_peers(socket: SockRef<'_>, timeout: Duration) -> io::Result<()> {
    let (probe_after_s, probe_every_s) = probes(timeout.as_secs());
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(probe_after_s))
        .with_interval(Duration::from_secs(probe_every_s));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(timeout))
}

/// After how many seconds of silence a peer is probed, and how often from there on: four times before the time-out, where
/// that leaves whole seconds between them. The last probe falls on the time-out or, by rounding, just behind it.
fn probes(timeout_s: u64) -> (u64, u64) {
    let after_s = (timeout_s / 2).clamp(1, PROBE_AFTER_S_MAX);
    let every_s = timeout_s.saturating_sub(after_s).div_ceil(4).clamp(1, PROBE_AFTER_S_MAX);
    (after_s, every_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DEAD_PEER_TIMEOUT_S, DEAD_PEER_TIMEOUT_S_LEAST};
    use std::net::TcpListener;

    #[test]
    fn a_silent_peer_is_probed_more_than_once_and_given_up_soon_after_its_time() {
        for timeout_s in DEAD_PEER_TIMEOUT_S_LEAST..=DEAD_PEER_TIMEOUT_S.most {
            let (after_s, every_s) = probes(timeout_s);
            // The kernel looks at each probe, and gives up at the first look that is not before the time-out.
            let looks = timeout_s.saturating_sub(after_s).div_ceil(every_s);
            let given_up_at_s = after_s + looks * every_s;
            assert!(looks >= 3, "{timeout_s}: {looks} probes");
            assert!(
                (timeout_s..=timeout_s + timeout_s.div_ceil(8)).contains(&given_up_at_s),
                "{timeout_s}: {given_up_at_s}"
            );
        }
        assert_eq!(probes(120), (60, 15));
    }

    #[test]
    fn the_kernel_takes_every_allowed_time() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        for timeout_s in [DEAD_PEER_TIMEOUT_S_LEAST, 120, DEAD_PEER_TIMEOUT_S.most] {
            let timeout = Duration::from_secs(timeout_s);
            give_up_dead_peers(SockRef::from(&socket), timeout).unwrap();
            let socket = SockRef::from(&socket);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(timeout));
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), probes(timeout_s).0);
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), probes(timeout_s).1);
        }
    }
}
