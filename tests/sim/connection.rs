//! One connection of a session as the system sees it: the bytes that have arrived, the bytes that were taken for sending, and how
//! it ended.
//!
//! ```text
//! endpoint ── script ──► arrived ──► read by the relay
//! endpoint ◄── read ◄── taken (at most `room` unread) ◄── sent by the relay
//! ```

use super::endpoint::Endpoint;
use super::records::Wrapped;
use super::script::Script;
use fastrand::Rng;
use ringgate::ring::PeerState;
use ringgate::session::Leg;

/// Most bytes of an endpoint that wait in the system until the relay reads.
pub const WINDOW_BYTES: usize = 300_000;

/// One connection. Both of a session stand beside each other: `id ^ 1` is the other one.
#[derive(Debug)]
pub struct Connection {
    pub endpoint: Endpoint,
    pub script: Script,
    /// The records around its bytes, if there are any.
    pub wrapped: Option<Box<Wrapped>>,
    /// How much of the script has arrived.
    pub arrived: usize,
    /// How much of that the relay has read, in whole records.
    pub read: usize,
    /// The endpoint's FIN stands behind what has arrived.
    pub is_finished: bool,
    /// The connection is broken: reset by the endpoint, or otherwise.
    pub is_broken: bool,
    /// The error that the next operation gets (Linux: `sk_err`).
    pub error: Option<i32>,
    /// All that the relay has sent.
    pub taken: Vec<u8>,
    /// Where in that a Close frame of ringgate's own starts.
    pub farewell_at: Option<usize>,
    /// How much of what was taken the endpoint has read.
    pub taken_read: usize,
    /// Operations on it whose last completion was not given to the relay.
    pub in_flight: u32,
    /// The relay shut its direction down.
    pub is_shut: bool,
    /// Its close will be a reset.
    pub resets_on_close: bool,
    /// The relay closed it.
    pub is_closed: bool,
    /// A send took its error and did not tell it, or too late: it may read as ended in order.
    pub has_hidden_error: bool,
    /// Its receive does nothing for now.
    pub is_held: bool,
    /// The next send fails with this, though nothing is wrong with the connection.
    pub next_send_fails: Option<i32>,
    /// The relay was told that an operation failed, at this time.
    pub failed_at: Option<u64>,
    /// The relay was told of its end.
    pub is_end_told: bool,
    /// When the relay was last told of bytes of the endpoint's.
    pub heard_at: u64,
    /// Bytes that the relay has sent, as the system sees them, and how many of them the endpoint's system has acknowledged.
    sent: usize,
    acknowledged: usize,
    /// When it last acknowledged some.
    pub acknowledged_at: u64,
    /// Since when some stand unacknowledged, and none was acknowledged.
    pub stands_since: Option<u64>,
    /// When the endpoint vanished: its system says nothing from then on.
    pub vanished_at: Option<u64>,
    /// When the connection broke, and with which error.
    pub broke: Option<(u64, i32)>,
}

impl Connection {
    /// One on which `early` bytes of the script came before the session began.
    pub fn new(endpoint: Endpoint, script: Script, early: usize) -> Self {
        Self {
            endpoint,
            script,
            wrapped: None,
            arrived: early,
            read: early,
            is_finished: false,
            is_broken: false,
            error: None,
            taken: Vec::new(),
            farewell_at: None,
            taken_read: 0,
            in_flight: 0,
            is_shut: false,
            resets_on_close: false,
            is_closed: false,
            has_hidden_error: false,
            is_held: false,
            next_send_fails: None,
            failed_at: None,
            is_end_told: false,
            heard_at: 0,
            sent: 0,
            acknowledged: 0,
            acknowledged_at: 0,
            stands_since: None,
            vanished_at: None,
            broke: None,
        }
    }

    /// Bytes that a send can take now.
    pub fn room(&self) -> usize {
        self.endpoint.habits.room.saturating_sub(self.taken.len() - self.taken_read)
    }

    /// Bytes that have arrived, as the system sees them, and were not received.
    pub fn unread(&self) -> usize {
        self.wrapped.as_ref().map_or(self.arrived - self.read, |wrapped| wrapped.unread())
    }

    /// The relay receives so many of them.
    pub fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let Some(wrapped) = &mut self.wrapped else {
            self.read += bytes;
            return self.script.bytes[self.read - bytes..self.read].to_vec();
        };
        let (received, whole) = wrapped.receive(bytes);
        self.read = whole.unwrap_or(self.read);
        received
    }

    /// So much more of the script arrives.
    pub fn arrive(&mut self, bytes: usize, rng: &mut Rng) {
        let begin = self.arrived;
        self.arrived += bytes;
        if let Some(wrapped) = &mut self.wrapped {
            wrapped.write(rng, &self.script.bytes[begin..self.arrived], self.arrived);
        }
    }

    /// The endpoint says under TLS that nothing more comes, or forgets to.
    pub fn say_end(&mut self, rng: &mut Rng) {
        if let Some(wrapped) = self.wrapped.as_mut().filter(|_| !self.is_finished && rng.u8(..4) > 0) {
            wrapped.close();
        }
    }

    /// Whether a receive has something to say.
    pub fn is_readable(&self) -> bool {
        !self.is_held && (self.unread() > 0 || self.is_finished || self.is_broken)
    }

    /// Returns the result of a receive when nothing is left to be read: a negated error, or 0.
    pub fn take_end(&mut self) -> i32 {
        // Linux, tcp_recvmsg: after a FIN the end is an end, whatever came later. An error is told once, to whoever asks
        // first; after that a broken connection reads as ended.
        if self.is_finished { 0 } else { -self.error.take().unwrap_or(0) }
    }

    /// Returns the result of a send on a broken connection.
    pub fn take_send_error(&mut self) -> i32 {
        -self.error.take().unwrap_or(libc::EPIPE)
    }

    /// The connection breaks; what has arrived can still be read.
    pub fn break_with(&mut self, error: i32, now: u64) {
        if !self.is_broken {
            self.is_broken = true;
            // Linux, tcp_reset: behind a FIN a reset is told as EPIPE.
            let is_late_reset = self.is_finished && error == libc::ECONNRESET;
            self.error = Some(if is_late_reset { libc::EPIPE } else { error });
            self.broke = Some((now, error));
        }
    }

    /// The relay has sent so many bytes, or the endpoint has read some: its system acknowledges what it has room for, which is
    /// half of the room; the rest stands in the relay's own system.
    pub fn acknowledge(&mut self, sent: usize, read: usize, now: u64) {
        self.sent += sent;
        if self.vanished_at.is_none() && !self.is_broken {
            let has_room = self.taken.len() - self.taken_read <= self.endpoint.habits.room / 2;
            if has_room && self.acknowledged < self.sent {
                (self.acknowledged, self.acknowledged_at) = (self.sent, now);
            } else if read > 0 && self.acknowledged < self.sent {
                // A part of it, of the byte that is acknowledged last none.
                (self.acknowledged_at, self.stands_since) = (now, Some(now));
            }
        }
        if self.acknowledged == self.sent {
            self.stands_since = None;
        } else {
            self.stands_since.get_or_insert(now);
        }
    }

    /// When the system gives the connection up, if nothing changes.
    pub fn given_up_at(&self, timeout_ms: Option<u64>) -> Option<u64> {
        let is_over = self.is_closed || self.is_broken || (self.is_finished && self.is_shut);
        let since = self.vanished_at.or(self.stands_since).filter(|_| !is_over)?;
        Some(since + timeout_ms?)
    }

    /// Returns the relay's system's facts about the endpoint's. A probe was answered lately, or data was sent again.
    pub fn peer_state(&self, lately: u64, now: u64) -> PeerState {
        let since_ms = now - self.acknowledged_at;
        let is_sent_again = self.vanished_at.is_some() && self.acknowledged < self.sent;
        PeerState {
            is_closed: self.is_broken || (self.is_finished && self.is_shut),
            unacknowledged_bytes: (self.sent - self.acknowledged) as u64,
            since_acknowledged_ms: if self.vanished_at.is_some() { since_ms } else { since_ms.min(lately) },
            since_data_sent_ms: if is_sent_again { since_ms.min(lately) } else { since_ms },
        }
    }

    /// Returns the events of a poll for errors. The end of the received stream is always among them (io_uring, IO_POLL_UNMASK).
    pub fn break_events(&self) -> i32 {
        let mut events = 0;
        if self.is_finished || self.is_broken {
            events |= libc::POLLRDHUP;
        }
        if self.is_broken || (self.is_finished && self.is_shut) {
            events |= libc::POLLHUP;
        }
        if self.error.is_some() {
            events |= libc::POLLERR;
        }
        events.into()
    }

    /// Whether it ended without an end of its records.
    pub fn is_truncated(&self) -> bool {
        self.wrapped.as_ref().is_some_and(|wrapped| !wrapped.has_closed)
    }

    /// Whether the endpoint can do nothing more.
    pub fn is_gone(&self) -> bool {
        self.is_closed || self.is_broken
    }
}

/// The leg of a connection.
pub fn leg_of(id: usize) -> Leg {
    Leg::BOTH[id & 1]
}
