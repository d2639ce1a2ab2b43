//! Handles each completion of the ring.
//!
//! A completion's token names a carrier; the carrier names its session's leg. The states of the carrier tell whether the
//! completion can occur.

use super::carrier::{
    CarrierName, Fate, Reading, ReceiveEvent, Receiving, SendEvent, Sending, Way, ZeroCopy,
};
use super::effects::PayloadOrigin;
use super::handle::SessionHandle;
use super::run::Relay;
use crate::observe::counters::add;
use crate::ring::{Chunk, Completion, Operation, Ring};
use crate::session::{BrokenInvariant, Gone, Leg};

impl<R: Ring> Relay<R> {
    pub(super) fn on_completion(&mut self, completion: Completion) {
        let token = completion.token;
        if token.operation() == Operation::Mailbox {
            return self.take_messages();
        }
        if let Some(given_back) = completion.given_back {
            return self.on_completion_given_back(token, given_back);
        }
        let result = completion.result;
        let found =
            self.with_leg(CarrierName::of(token), |handle, leg| handle.on_completion(leg, completion));
        // A slot is freed only after the last completion of each operation of its carrier. Where one comes after that,
        // sockets and memory were given away while the kernel was at work with them, and there is no session that could
        // end for it: the books of the ring are broken, and with them all that rests on them.
        assert!(found.is_some(), "a completion of an operation whose session is gone: {token:?}, {result}");
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    fn on_completion(&mut self, leg: Leg, completion: Completion) {
        let operation = completion.token.operation();
        let noted = self.carriers[leg as usize].note_completion(operation, completion.has_more);
        if let Err(broken) = noted {
            return self.on_broken_completion(completion, broken);
        }
        let Completion { result, has_more, .. } = completion;
        match operation {
            Operation::Receive => self.on_completion_receive(leg, completion),
            Operation::Send => self.on_completion_send(leg, result, has_more),
            Operation::CancelReceive => self.on_completion_cancel_receive(leg, result),
            Operation::CancelSend => self.on_completion_cancel_send(leg, result),
            Operation::Watch => self.on_completion_watch(leg, result),
            Operation::CancelWatch => self.on_completion_cancel_watch(leg, result),
            // It is of no carrier: `note_completion` has refused it.
            Operation::Mailbox => {}
        }
    }

    /// A cancel that found its operation is done with: that has a last completion of its own. One that found nothing came
    /// too late, or, rarely, at a moment when the kernel was about to retry the operation: then it is asked again.
    fn on_completion_cancel_receive(&mut self, leg: Leg, result: i32) {
        let carrier = &mut *self.carriers[leg as usize];
        if result >= 0 || carrier.receiving != Receiving::Cancelling {
            return;
        }
        let is_rationed = matches!(carrier.reading, Reading::Rationed { .. });
        if is_rationed || self.slot.session.is_over() || self.slot.session.is_paused(leg) {
            self.engine.cancel(carrier, Operation::Receive, Operation::CancelReceive);
        } else {
            let goes_on = carrier.receive_event(ReceiveEvent::CancelMissed);
            self.check(goes_on);
        }
    }

    /// As for a receive. Each repeats its own kind only, so that there are never more cancels than operations.
    fn on_completion_cancel_send(&mut self, leg: Leg, result: i32) {
        let carrier = &mut *self.carriers[leg as usize];
        if result < 0 && carrier.sending.is_cancelled() {
            self.engine.cancel(carrier, Operation::Send, Operation::CancelSend);
        }
    }

    fn on_completion_receive(&mut self, leg: Leg, completion: Completion) {
        let Completion { result, has_more, chunk, .. } = completion;
        let carrier = &mut *self.carriers[leg as usize];
        carrier.read_at = self.engine.now;
        let is_head = matches!(carrier.reading, Reading::Heads { .. });
        let event = if has_more { ReceiveEvent::Completed } else { ReceiveEvent::CompletedLast };
        if !self.notes(leg, event) {
            chunk.into_iter().for_each(|chunk| self.engine.ring.pool().release(chunk));
            return;
        }
        if let Some(chunk) = chunk {
            let bytes = chunk.len();
            self.take_in(leg, chunk);
            self.charge(leg, bytes);
            if !self.carriers[leg as usize].reading.is_multishot() {
                self.stop_receiving(leg);
            }
        } else if result == -libc::ENOBUFS {
            // The bytes stay in the socket; the receive is armed again when buffers are back.
            if self.notes(leg, ReceiveEvent::OutOfBuffers) {
                self.engine.line.park(self.carriers[leg as usize].name);
                add(&self.engine.counters.parked, 1);
                self.note_unread(leg);
            }
            return;
        } else if result > 0 {
            // Only a wait for bytes completes without them, and only heads are waited for.
            if !is_head {
                return self.break_off(BrokenInvariant::ReceivedWithoutBytes { from: leg, bytes: result });
            }
        } else if !is_to_be_repeated(result) {
            self.received_no_more(leg, result);
        }
        self.arm_if_wanted(leg);
    }

    /// Received bytes go through the session, which says what is to be read next and how.
    pub(super) fn take_in(&mut self, leg: Leg, chunk: Chunk) {
        self.on_bytes(leg, chunk);
        self.choose_reading(leg);
    }

    /// A receive said that a leg has ended what it sends (0), or how it broke.
    pub(super) fn received_no_more(&mut self, leg: Leg, result: i32) {
        if self.notes(leg, ReceiveEvent::End) {
            let how = if result == 0 { self.end_of_stream(leg) } else { self.how_it_broke(leg, -result) };
            self.is_gone(leg, how);
        }
    }

    /// Whether this can happen to a leg's receive. If not, the session is broken off.
    #[must_use]
    pub(super) fn notes(&mut self, leg: Leg, event: ReceiveEvent) -> bool {
        let noted = self.carriers[leg as usize].receive_event(event);
        let is_noted = noted.is_ok();
        self.check(noted);
        is_noted
    }

    /// A leg ended what it sends, or broke.
    pub(super) fn is_gone(&mut self, leg: Leg, how: Gone) {
        self.slot.session.handle_gone(leg, how, self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
    }

    fn on_completion_send(&mut self, leg: Leg, mut result: i32, is_lent: bool) {
        let carrier = &mut *self.carriers[leg as usize];
        let Sending::InFlight { way, fate } = carrier.sending else {
            let operation = Operation::Send.name();
            return self.break_off(BrokenInvariant::CompletionOfNothing { operation, leg });
        };
        let completed = carrier.send_event(SendEvent::Completed);
        if way == Way::AwaitRoom {
            result = result.min(0);
        }
        // Of which memory, and until when, nobody would know.
        assert!(way == Way::Lend || !is_lent, "the kernel keeps memory of a send that lent none");
        self.engine.ring.sent(&mut carrier.queue, result, is_lent);
        if way == Way::Lend && !is_lent {
            // It failed before it began, for want of memory that may be pinned or of a way to do it: so it is copied.
            carrier.zero_copy = ZeroCopy::SwitchedOff;
            if !is_of_the_connection(result) {
                result = -libc::EAGAIN;
            }
        }
        if is_lent && carrier.queue.heap_bytes(self.engine.ring.pool()) > 0 {
            self.engine.list_holder(carrier);
        }
        self.check(completed);
        self.is_sent(leg, fate, result);
    }

    /// A send is over, and what it sent has left the queue.
    pub(super) fn is_sent(&mut self, leg: Leg, fate: Fate, result: i32) {
        let has_failed = result < 0 && !is_to_be_repeated(result);
        let how = has_failed.then(|| self.how_it_broke(leg, -result));
        let carrier = &mut *self.carriers[leg as usize];
        let session = &mut self.slot.session;
        let mut handled = Ok(());
        if result > 0 {
            handled = session.handle_sent(leg, result as u64, self.engine.now, &mut self.engine.effects);
        } else if let Some(how) = how {
            carrier.broken = Some(how);
            carrier.sending = carrier.sending.discarded();
            // Bytes may stand unread in the socket, a last message and a Close before a reset: then its receive reports
            // the end, behind them.
            if !is_of_the_connection(result) || !carrier.receiving.is_read() || session.is_paused(leg) {
                session.handle_gone(leg, how, self.engine.now, &mut self.engine.effects);
            }
        }
        if carrier.sending.is_discarding() {
            carrier.queue.clear(self.engine.ring.pool());
            if let Some(pipe) = carrier.pipe.take() {
                self.engine.ring.return_pipe(pipe);
            }
        } else if fate == Fate::TakenBack && carrier.queue.holds_buffers() {
            carrier.queue.move_to_heap(self.engine.ring.pool());
            session.handle_slow(leg, &mut self.engine.effects);
            self.engine.list_holder(carrier);
            add(&self.engine.counters.sends_taken_back, 1);
        }
        if carrier.owes() {
            self.engine.is_to_send(carrier);
        }
        if !self.engine.effects.is_empty() || handled.is_err() {
            self.carry_out(handled, PayloadOrigin::Nothing);
        }
        self.go_on_reading(leg.other());
    }
}

/// Whether a failed send says that the connection is over, so that its receive will hear of an end too. Other failures,
/// as for lack of memory, leave a connection that reads as if nothing had happened.
fn is_of_the_connection(result: i32) -> bool {
    matches!(
        -result,
        libc::ECONNRESET | libc::EPIPE | libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH
    )
}

/// Whether a failed operation says nothing about the connection: it was cancelled, or interrupted.
pub(super) fn is_to_be_repeated(result: i32) -> bool {
    matches!(-result, libc::ECANCELED | libc::EINTR | libc::EAGAIN)
}
