//! Accepts connections of one listener until the drain begins, and then those that are left in its queue.

use super::Front;
use super::kept_openings::turn_away_unless_health;
use super::opening::{Accepted, open};
use super::refusal::Refusal;
use super::socket::Socket;
use super::turn_away::turn_away;
use crate::observe::counters::add;
use crate::observe::event_ring::wall_ns;
use crate::process::log::limited;
use crate::session::Cause;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds for which a listener pauses when descriptors or memory are used up.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Failures after which a draining listener gives up what its queue still holds.
const DRAIN_ACCEPT_FAILURES_MAX: usize = 32;

/// Accepts connections and opens a session on each. `index` is the listener's place in the configuration.
///
/// The listener is never shut down: that would end its twins on the same port, in other processes too. At the drain its
/// pending accept is cancelled, what is queued is taken, and it is closed.
pub(super) async fn accept_until_drain(front: Rc<Front>, listener: Socket, index: usize) {
    loop {
        let mut accept = pin!(listener.accept());
        let mut is_draining = false;
        let accepted = tokio::select! {
            biased;
            accepted = &mut accept => accepted,
            () = front.drain_begun() => {
                is_draining = true;
                // The accept completes: cancelled, or with a connection that came just before.
                let _ = listener.cancel_all().await;
                accept.await
            }
        };
        if let Some(pause) = take(&front, accepted, index, is_draining) {
            tokio::time::sleep(pause).await;
        }
        if is_draining {
            break;
        }
    }
    let mut failures = 0;
    while failures < DRAIN_ACCEPT_FAILURES_MAX {
        match listener.take_queued_now() {
            Ok(Some(accepted)) => {
                take(&front, Ok(accepted), index, true);
            }
            Ok(None) => break,
            // Mostly one connection's own error. Descriptors come back while openings end.
            Err(error) => {
                failures += 1;
                if is_short_of_resources(&error) {
                    tokio::time::sleep(begin_pause(&front, &error)).await;
                }
            }
        }
    }
}

/// Whether nothing is left to accept with.
fn is_short_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether an error is that of one connection, which was gone before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
        )
    )
}

/// Starts an opening on an accepted connection. Gives how long to wait before the next accept, if that makes sense.
fn take(
    front: &Rc<Front>,
    accepted: io::Result<(Socket, SocketAddr)>,
    listener: usize,
    is_draining: bool,
) -> Option<Duration> {
    match accepted {
        Ok((socket, peer)) => {
            add(&front.counters.connections_accepted, 1);
            // Before the other clock: if the thread has to wait between the two readings, times that are counted from here on come out
            // early, and never later than those of the session's own events.
            let at_ns = wall_ns();
            let accepted =
                Accepted { id: front.random.correlation_id(), peer, listener, at: Instant::now(), at_ns };
            match front.take_opening(peer.ip()) {
                Ok(places) => {
                    let opening = front.begin_opening(places);
                    tokio_uring::spawn(open(Rc::clone(front), socket, accepted, opening));
                }
                Err(shed) => {
                    let refusal = Refusal::from(shed);
                    if refusal.cause == Cause::OpeningsFull {
                        turn_away_unless_health(front, socket, accepted, refusal);
                    } else {
                        turn_away(front, socket, accepted, &refusal);
                    }
                }
            }
            None
        }
        Err(_) if is_draining => None,
        Err(error) if is_of_one_connection(&error) => None,
        // Mostly descriptors or memory are used up. The connection waits in the queue; asking at once would only spin.
        Err(error) => Some(begin_pause(front, &error)),
    }
}

/// Counts a pause for lack of what it takes to accept, logs it, and says how long it is.
fn begin_pause(front: &Front, error: &io::Error) -> Duration {
    add(&front.counters.accept_pauses, 1);
    limited!(ERROR, None, "cannot accept connections", %error, try_again_after_ms = ACCEPT_PAUSE_MS);
    Duration::from_millis(ACCEPT_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_connections_lack_is_told_from_what_went_wrong_with_one() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            let error = io::Error::from_raw_os_error(code);
            assert!(is_short_of_resources(&error) && !is_of_one_connection(&error), "{error}");
        }
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::ENETUNREACH, libc::EHOSTUNREACH] {
            let error = io::Error::from_raw_os_error(code);
            assert!(is_of_one_connection(&error) && !is_short_of_resources(&error), "{error}");
        }
    }
}
