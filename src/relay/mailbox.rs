//! The mailbox of a relay: the only way in from outside. It holds messages, and wakes the relay if that may be asleep.
//!
//! Any thread may push; only the relay takes. A message that was pushed is always seen (see `wake_flag`).

use super::record_layer::RecordLayer;
use super::wake_flag::WakeFlag;
use crate::admission::permit::Permit;
use crate::observe::SessionRecord;
use crate::session::SessionLimits;
use bytes::Bytes;
use crossbeam_queue::SegQueue;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A session that was opened, with all that the relay needs: both sockets, what came behind either head, the permit.
///
/// Nothing is in flight on the sockets, and both have TCP_NODELAY.
#[derive(Debug)]
pub struct NewSession<S> {
    /// The client's socket, then the backend's.
    pub sockets: [S; 2],
    /// Bytes that the client sent behind its request head, then those of the backend behind its 101.
    pub early: [Bytes; 2],
    /// The records around each socket's bytes, if there are any.
    pub records: [Option<Box<RecordLayer>>; 2],
    /// Bytes of such records that came too, behind what was opened of them already.
    pub sealed: [Vec<u8>; 2],
    /// The limits of the session: sizes and times.
    pub limits: SessionLimits,
    /// Masks a Close frame towards the backend (RFC 6455 §5.3); from a random source.
    pub mask: [u8; 4],
    /// Whether its counts are reported while it is open, every `PROGRESS_INTERVAL_MS`. Default: they are not.
    pub reports_progress: bool,
    /// Its place.
    pub permit: Permit,
    /// The session's record: id, client, labels.
    pub record: SessionRecord,
}

/// A message to a relay.
#[derive(Debug)]
pub enum Message<S> {
    /// Carry this session.
    Open(Box<NewSession<S>>),
    /// End all sessions, spread over so many milliseconds; cut what is left after `cut_after_ms`.
    Drain {
        /// The last session is told to end this many milliseconds from now.
        spread_ms: u64,
        /// Sessions that are still there this many milliseconds from now are cut.
        cut_after_ms: u64,
    },
    /// End the sessions that are revoked, as their permits say, spread over so many milliseconds.
    Revoke {
        /// The last slot is looked at this many milliseconds from now.
        spread_ms: u64,
    },
    /// No more sessions will come: leave when none is left.
    NoMore,
}

/// The shared end of a relay's mailbox.
///
/// It is not bounded by itself: sessions in it hold permits, which are bounded, and of the other messages there are few.
#[derive(Debug)]
pub struct Mailbox<S> {
    messages: SegQueue<Message<S>>,
    /// Sessions in the queue and in the relay's slots. Relaxed on all sides: it is a hint for placing the next session,
    /// nothing is read because of it, and a count that is a moment old places a session a moment late.
    load: AtomicU32,
    flag: WakeFlag,
    wake_up: OwnedFd,
}

impl<S> Mailbox<S> {
    /// An empty mailbox.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let wake_up = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self {
            messages: SegQueue::new(),
            load: AtomicU32::new(0),
            flag: WakeFlag::default(),
            wake_up,
        }))
    }

    /// The event descriptor that a push writes to, for the ring to watch.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn wake_up(&self) -> std::io::Result<OwnedFd> {
        self.wake_up.try_clone()
    }

    /// Leaves a message and wakes the relay if it may be asleep.
    pub fn push(&self, message: Message<S>) {
        if matches!(message, Message::Open(_)) {
            self.load.fetch_add(1, Ordering::Relaxed);
        }
        self.messages.push(message);
        if self.flag.claim() {
            // Fails only if the counter is full, and then the relay is woken anyway.
            let _ = rustix::io::write(&self.wake_up, &1u64.to_ne_bytes());
        }
    }

    /// Sessions that the relay carries, and those on their way to it.
    pub fn load(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }

    /// A session that was pushed is gone: its slot is free.
    pub fn session_is_gone(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// The relay woke up: pushes from here on wake it again.
    pub fn begin_taking(&self) {
        self.flag.clear();
    }

    /// Takes the oldest message.
    pub fn take(&self) -> Option<Message<S>> {
        self.messages.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakes(mailbox: &Mailbox<()>) -> bool {
        rustix::io::read(&mailbox.wake_up, &mut [0u8; 8]).is_ok()
    }

    #[test]
    fn wakes_once_for_many_messages_and_again_after_they_were_taken() {
        let mailbox = Mailbox::<()>::new().unwrap();
        mailbox.push(Message::NoMore);
        mailbox.push(Message::NoMore);
        assert!(wakes(&mailbox));
        mailbox.begin_taking();
        assert!(mailbox.take().is_some() && mailbox.take().is_some() && mailbox.take().is_none());
        assert!(!wakes(&mailbox));
        mailbox.push(Message::NoMore);
        assert!(wakes(&mailbox));
    }
}
