//! The rests of large frames, spliced from socket to socket through a pipe instead of being copied twice.
//!
//! ```text
//! receive heads only ──► scan ──► rest of a large frame? ── no ──► receive
//!        ▲                             │ yes, and all before it is sent
//!        │                             ▼
//!        └── frame is over ──── fill pipe ──► send it ──► fill pipe ...
//!                                 │ nothing there        │ no room
//!                                 ▼                      ▼
//!                            await bytes            await room
//! ```
//!
//! The property to trust: what is in a pipe goes out before all that is queued towards the same leg. So a pipe is filled only
//! when nothing is queued there, and while there is something in it, nothing is received from the leg that it came from.
//!
//! Not here: what may pass unseen ([`crate::session::Session::unseen_bytes`]), and the pipes (`ring::pipe`).

use super::carrier::{Carrier, Reading, Receive};
use super::run::{PayloadOrigin, Relay, SessionSlot};
use crate::limits::{SPLICE_BYTES_LEAST, SPLICE_FILLS_MAX, SPLICE_HEAD_BYTES, SPLICE_PATIENCE};
use crate::observe::counters::add;
use crate::ring::{Operation, Ring, Token};
use crate::session::Leg;

impl<R: Ring> Relay<R> {
    /// Bytes came from `leg` and were scanned: from here on only heads are received, or everything again.
    pub(super) fn choose_reading(&mut self, index: u32, leg: Leg) {
        let Some(least) = self.limits.splice_bytes_min else { return };
        let Some(live) = self.sessions.get_mut(index) else { return };
        if live.carriers.iter().any(|carrier| carrier.record_layer.is_some()) {
            return;
        }
        let is_large = live.session.take_largest_frame(leg) >= least;
        let carrier = &mut live.carriers[leg as usize];
        carrier.reading = match carrier.reading {
            Reading::Whole if !is_large => return,
            Reading::Whole => Reading::Heads { since_large: 0, fills: 0, is_awaited: false },
            Reading::Heads { since_large, .. } if !is_large && since_large >= SPLICE_PATIENCE => {
                Reading::Whole
            }
            Reading::Heads { since_large, .. } => {
                let since_large = if is_large { 0 } else { since_large + 1 };
                Reading::Heads { since_large, fills: 0, is_awaited: false }
            }
        };
    }

    /// Receives from `leg`, in the way that suits its frames.
    pub(super) fn receive(&mut self, index: u32, leg: Leg) {
        if self.splices(index, leg) {
            return;
        }
        self.unwatch(index, leg);
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        carrier.receive = Receive::Armed;
        live.in_flight += 1;
        let token = Token::new(Operation::Receive, index, generation, leg);
        match carrier.reading {
            Reading::Whole => self.ring.receive(&carrier.socket, token),
            Reading::Heads { .. } => self.ring.receive_once(&carrier.socket, SPLICE_HEAD_BYTES, token),
        }
    }

    /// Whether what comes next from `leg` goes through a pipe, now or when what is before it is gone.
    fn splices(&mut self, index: u32, leg: Leg) -> bool {
        let Some(least) = self.limits.splice_bytes_min else { return false };
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return false };
        let SessionSlot { session, carriers, in_flight, .. } = live;
        let (source, target) = both(carriers, leg);
        let Reading::Heads { fills, is_awaited, .. } = &mut source.reading else { return false };
        if target.pipe.is_some() {
            return true;
        }
        let unseen = session.unseen_bytes(leg);
        if unseen < SPLICE_BYTES_LEAST.min(least) || target.is_discarding || source.broken.is_some() {
            return false;
        }
        if !target.queue.is_empty() || target.queue.is_in_flight() {
            return true;
        }
        let Some(mut pipe) = self.ring.take_pipe() else {
            source.reading = Reading::Whole;
            return false;
        };
        let filled = if *fills < SPLICE_FILLS_MAX {
            self.ring.splice_in(&source.socket, &mut pipe, usize::try_from(unseen).unwrap_or(usize::MAX))
        } else {
            -libc::EAGAIN
        };
        if filled > 0 {
            (*fills, *is_awaited) = (*fills + 1, false);
            source.read_at = self.now;
            target.pipe = Some(pipe);
            let handled = session.handle_passed(leg, filled as u64, self.now, &mut self.effects);
            add(&self.counters.spliced_bytes, filled as u64);
            Self::mark_ready(&mut self.ready, index, leg.other(), target);
            self.carry_out(index, handled, PayloadOrigin::Nothing);
            return true;
        }
        self.ring.return_pipe(pipe);
        if matches!(-filled, libc::EAGAIN | libc::EINTR) && !std::mem::replace(is_awaited, true) {
            *fills = 0;
            source.receive = Receive::Armed;
            *in_flight += 1;
            self.ring.await_bytes(&source.socket, Token::new(Operation::Receive, index, generation, leg));
            self.unwatch(index, leg);
            return true;
        }
        // There is something, and it is no bytes: an ordinary receive says what.
        source.reading = Reading::Whole;
        false
    }

    /// Sends what stands in the pipe before a leg's queue.
    pub(super) fn send_pipe(&mut self, index: u32, leg: Leg) {
        let generation = self.sessions.generation(index);
        let Some(live) = self.sessions.get_mut(index) else { return };
        let carrier = &mut live.carriers[leg as usize];
        let Some(pipe) = &mut carrier.pipe else { return };
        let sent = self.ring.splice_out(&carrier.socket, pipe);
        if sent == -libc::EAGAIN {
            carrier.awaits_room = true;
            live.in_flight += 1;
            let token = Token::new(Operation::Send, index, generation, leg);
            return self.ring.await_room(&carrier.socket, &mut carrier.queue, token);
        }
        if pipe.bytes() == 0
            && let Some(pipe) = carrier.pipe.take()
        {
            self.ring.return_pipe(pipe);
        }
        self.is_sent(index, leg, sent);
        self.free_if_over(index);
    }
}

/// The carrier of `leg`, and the other one.
fn both<S>(carriers: &mut [Carrier<S>; 2], leg: Leg) -> (&mut Carrier<S>, &mut Carrier<S>) {
    let [downstream, upstream] = carriers;
    match leg {
        Leg::Downstream => (downstream, upstream),
        Leg::Upstream => (upstream, downstream),
    }
}
