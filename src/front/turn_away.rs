//! Refuses a connection for which there is no place, at once and without keeping its descriptor for long.
//!
//! The answer is sent before anything is read: a new connection has room for it. Closing at once would reset the connection if
//! the client's head is still to come, and some clients then lose the answer. So a bounded number of connections lingers until
//! the client ends its stream, for a second at most; the rest is closed at once.

use super::Front;
use super::opening::Accepted;
use super::refusal::{Refusal, end_after_answer};
use super::socket::Socket;
use super::stages::Stopwatch;
use crate::head::Method;
use crate::observe::events::Told;
use crate::session::Phase;
use std::rc::Rc;

/// Logs and counts a connection that is turned away. `told_bytes` is the size of the answer that it got.
pub(super) fn note_turned_away(
    front: &Front,
    accepted: &Accepted,
    refusal: &Refusal,
    told_bytes: Option<usize>,
) {
    let Accepted { id, peer, at, listener, .. } = *accepted;
    let is_secured = front.published().tls.of_listener(listener).is_some();
    let mut event = front.begin_event(accepted, is_secured);
    refusal.log_bug(id);
    tracing::debug!(
        %id,
        %peer,
        cause = refusal.cause.name(),
        phase = Phase::Head.name(),
        status = refusal.status,
        message = refusal.message,
        "turned a connection away"
    );
    front.count_termination(refusal.cause, Phase::Head, None);
    if let Some(event) = &mut event {
        let bytes = told_bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        event.told = bytes.map(|bytes| Told { status: refusal.status, bytes });
        event.failure = Some(refusal.failure());
    }
    let times = Stopwatch::begin(at).stop();
    front.send_event(event, times, None, Some((refusal.cause, Phase::Head)));
}

/// Tells the client why, and closes.
pub(super) fn turn_away(front: &Rc<Front>, socket: Socket, accepted: Accepted, refusal: &Refusal) {
    // RFC 9110 §9.3.2: no body to HEAD. A request that has not come yet may still be one; what is sent before it answers no
    // method.
    let answer = refusal.encode(Method::begun_by(&socket.peek_now::<{ Method::BYTES }>()), &front.date.now());
    // An answer that does not fit is one that nobody reads.
    let is_told = socket.send_now(&answer).is_ok_and(|sent| sent == answer.len());
    note_turned_away(front, &accepted, refusal, is_told.then_some(answer.len()));
    // What stays unread would make the close a reset.
    let _ = socket.drop_received_now();
    if is_told && let Some(guard) = front.begin_lingering() {
        tokio_uring::spawn(async move {
            end_after_answer(&socket).await;
            drop(socket);
            drop(guard);
        });
    }
}
