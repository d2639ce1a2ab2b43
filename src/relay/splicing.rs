//! Large frames: the rest of a frame is spliced from socket to socket through a pipe, and so is not copied through user space.
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
//! The property to trust: the content of a pipe is sent before everything that is queued towards the same leg. So a pipe is
//! filled only when nothing is queued there; and while there is something in the pipe, nothing is received from the leg that it
//! came from.
//!
//! Not here: what may pass unseen ([`crate::session::Session::unseen_bytes`]), and the pipes (`ring::pipe`).

use super::carrier::{Carrier, Reading, ReceiveEvent, Way};
use super::effects::PayloadOrigin;
use super::greedy::RATION_KIB;
use super::handle::SessionHandle;
use super::session_slot::SessionSlot;
use crate::observe::counters::add;
use crate::ring::{Operation, Ring};
use crate::session::{BrokenInvariant, Leg};

/// Least payload, in bytes, that is spliced once a frame is: a shorter rest is received like any other bytes.
const SPLICE_BYTES_LEAST: u64 = 2 * 1024;

/// Bytes that are received at most where large frames come: the start of one, whose rest is spliced.
const SPLICE_HEAD_BYTES: u32 = 1024;

/// Receives without a large frame after which a leg's are no longer kept short.
const SPLICE_PATIENCE: u8 = 16;

/// Times that a pipe is filled before the sessions of other sockets have their turn.
const SPLICE_FILLS_MAX: u8 = 8;

impl<R: Ring> SessionHandle<'_, R> {
    /// Bytes came from `leg` and were scanned: from here on only heads are received, or everything again.
    pub(super) fn choose_reading(&mut self, leg: Leg) {
        let Some(least) = self.engine.limits.splice_bytes_min else { return };
        if self.carriers.iter().any(|carrier| carrier.record_layer.is_some()) {
            return;
        }
        let is_large = self.slot.session.take_largest_frame(leg) >= least;
        let carrier = &mut *self.carriers[leg as usize];
        carrier.reading = match carrier.reading {
            Reading::Whole | Reading::Rationed { .. } if !is_large => return,
            Reading::Whole | Reading::Rationed { .. } => {
                Reading::Heads { since_large: 0, fills: 0, is_awaited: false }
            }
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
    pub(super) fn receive(&mut self, leg: Leg) {
        if self.splices(leg) {
            return;
        }
        self.ration_if_greedy(leg, RATION_KIB as u8);
        let carrier = &mut *self.carriers[leg as usize];
        if matches!(carrier.reading, Reading::Rationed { .. }) {
            return self.line_up(leg);
        }
        self.unwatch(leg);
        let carrier = &mut *self.carriers[leg as usize];
        let armed = carrier.receive_event(ReceiveEvent::Arm);
        let token = carrier.begin(Operation::Receive);
        match carrier.reading {
            Reading::Heads { .. } => {
                self.engine.ring.receive_once(&carrier.socket, SPLICE_HEAD_BYTES, token);
            }
            Reading::Whole | Reading::Rationed { .. } => self.engine.ring.receive(&carrier.socket, token),
        }
        self.check(armed);
    }

    /// Whether what comes next from `leg` goes through a pipe, now or when what is before it is gone.
    fn splices(&mut self, leg: Leg) -> bool {
        let Some(least) = self.engine.limits.splice_bytes_min else { return false };
        let (source, target) = both(&mut self.carriers, leg);
        let SessionSlot { session, account, .. } = &mut *self.slot;
        let Reading::Heads { fills, is_awaited, .. } = &mut source.reading else { return false };
        if target.pipe.is_some() {
            return true;
        }
        let unseen = session.unseen_bytes(leg);
        let is_large = unseen >= SPLICE_BYTES_LEAST.min(least);
        if !is_large || target.sending.is_discarding() || source.broken.is_some() {
            return false;
        }
        if !target.queue.is_empty() || target.sending.is_in_flight() {
            return true;
        }
        let Some(mut pipe) = self.engine.ring.take_pipe() else {
            source.reading = Reading::Whole;
            return false;
        };
        let filled = if *fills < SPLICE_FILLS_MAX {
            let bytes_max = usize::try_from(unseen).unwrap_or(usize::MAX);
            self.engine.ring.splice_in(&source.socket, &mut pipe, bytes_max)
        } else {
            -libc::EAGAIN
        };
        if filled > 0 {
            (*fills, *is_awaited) = (*fills + 1, false);
            source.read_at = self.engine.now;
            target.pipe = Some(pipe);
            let passed = filled as u64;
            let handled = session.handle_passed(leg, passed, self.engine.now, &mut self.engine.effects);
            account.count_relayed(self.engine.writer, leg, filled as usize, session);
            add(&self.engine.counters.spliced_bytes, passed);
            self.engine.is_to_send(target);
            self.carry_out(handled, PayloadOrigin::Nothing);
            return true;
        }
        self.engine.ring.return_pipe(pipe);
        if matches!(-filled, libc::EAGAIN | libc::EINTR) && !std::mem::replace(is_awaited, true) {
            *fills = 0;
            let armed = source.receive_event(ReceiveEvent::Arm);
            let token = source.begin(Operation::Receive);
            self.engine.ring.await_bytes(&source.socket, token);
            self.check(armed);
            self.unwatch(leg);
            return true;
        }
        // There is something, and it is no bytes: an ordinary receive says what.
        source.reading = Reading::Whole;
        false
    }

    /// Sends what stands in the pipe before a leg's queue.
    pub(super) fn send_pipe(&mut self, leg: Leg) {
        let carrier = &mut *self.carriers[leg as usize];
        let Some(pipe) = &mut carrier.pipe else {
            return self.break_off(BrokenInvariant::OutOfTurn { side: "send", leg });
        };
        let sent = self.engine.ring.splice_out(&carrier.socket, pipe);
        if sent == -libc::EAGAIN {
            let token = carrier.name.token(Operation::Send);
            self.engine.ring.await_room(&carrier.socket, &mut carrier.queue, token);
            return self.began_send(leg, Way::AwaitRoom);
        }
        if pipe.bytes() == 0
            && let Some(pipe) = carrier.pipe.take()
        {
            self.engine.ring.return_pipe(pipe);
        }
        self.sent_at_once(leg, sent);
    }
}

/// The carrier of `leg`, and the other one.
fn both<'a, S>(carriers: &'a mut [&mut Carrier<S>; 2], leg: Leg) -> (&'a mut Carrier<S>, &'a mut Carrier<S>) {
    let [downstream, upstream] = carriers;
    match leg {
        Leg::Downstream => (downstream, upstream),
        Leg::Upstream => (upstream, downstream),
    }
}
