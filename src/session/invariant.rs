//! Broken invariants of a session: states that should not occur, and point to a fault of ringgate or of the kernel.
//!
//! A broken invariant is a returned error, not a panic: it ends the session in which it was found (`bug`), and no other.
//!
//! Not here: invariants whose break could harm other sessions, such as those of memory that the kernel may touch (`ring`). Such a
//! break ends the process.

use super::Leg;
use crate::websocket::scanner::PassedTooMuch;

/// An invariant of one session that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenInvariant {
    /// The bytes of a leg are relayed only while the other leg takes them.
    #[error("bytes of {} are relayed to a leg that takes nothing more", .from.name())]
    RelaysToClosedLeg {
        /// The leg that they came from.
        from: Leg,
    },
    /// No more bytes leave than came.
    #[error("{forwarded} bytes are forwarded to {}, of {came} that came", .to.name())]
    ForwardsMoreThanCame {
        /// The leg that they were to go to.
        to: Leg,
        /// Up to which byte.
        forwarded: usize,
        /// How many there are.
        came: usize,
    },
    /// A leg takes no more than it is owed.
    #[error("{sent} bytes were sent to {}, which was owed {owed}", .to.name())]
    SentMoreThanOwed {
        /// The leg.
        to: Leg,
        /// The number of bytes that the send reported.
        sent: u64,
        /// The number of bytes that were queued.
        owed: u64,
    },
    /// Only the current frame's payload passes without being looked at.
    #[error("{} bytes from {} were relayed unscanned, and only {} of the frame's payload were left", .passed.bytes, .from.name(), .passed.payload_left)]
    PassedMoreThanPayload {
        /// The leg that they came from.
        from: Leg,
        /// How many, and how many may.
        passed: PassedTooMuch,
    },
    /// An effect carries the bytes that it forwards, once.
    #[error("an effect forwards to {}, and has no bytes", .to.name())]
    ForwardsNothing {
        /// The leg that they were to go to.
        to: Leg,
    },
    /// Nothing is queued behind a Close frame of ours.
    #[error("bytes are queued to {} behind a Close frame of ours", .to.name())]
    ForwardsBehindClose {
        /// The leg that they were to go to.
        to: Leg,
    },
    /// Bytes that arrived before the session began are queued first.
    #[error("bytes from before the session are queued to {} behind other bytes", .to.name())]
    EarlyBytesComeLate {
        /// The leg that they were to go to.
        to: Leg,
    },
    /// The start of a header fits in front of its rest.
    #[error("the start of a header to {} has no room in front of its rest", .to.name())]
    HeaderHasNoRoom {
        /// The leg that it was to go to.
        to: Leg,
    },
    /// Records are as long as their layer says before.
    #[error("{sealed:?} bytes of records were sealed to {}, of {announced} that were announced for {content} bytes", .to.name())]
    SealedOtherThanAnnounced {
        /// The leg that they were to go to.
        to: Leg,
        /// The size after sealing, if the bytes were sealed.
        sealed: Option<usize>,
        /// The size after sealing that was announced.
        announced: usize,
        /// The size of the content that was sealed.
        content: usize,
    },
    /// Opened content lies within the received bytes.
    #[error("records of {} were opened up to byte {opened}, of {received} that were received", .from.name())]
    OpenedMoreThanReceived {
        /// The leg that they came from.
        from: Leg,
        /// Up to which byte.
        opened: usize,
        /// How many there are.
        received: usize,
    },
    /// Records come from legs that have them only.
    #[error("records came from {}, which has none", .from.name())]
    RecordsOfPlainLeg {
        /// The leg.
        from: Leg,
    },
    /// A completion is that of an operation in flight.
    #[error("a {operation} of {} completed, and none is in flight", .leg.name())]
    CompletionOfNothing {
        /// The operation's name.
        operation: &'static str,
        /// The leg.
        leg: Leg,
    },
    /// A receive and a send go from state to state as their tables have it.
    #[error("a {side} of {} is not in a state in which this can be", .leg.name())]
    OutOfTurn {
        /// The receive or the send.
        side: &'static str,
        /// The leg.
        leg: Leg,
    },
    /// A receive that completes with bytes has them.
    #[error("a receive of {} completed with {bytes} bytes, and has none", .from.name())]
    ReceivedWithoutBytes {
        /// The leg.
        from: Leg,
        /// The number of bytes that the completion reported.
        bytes: i32,
    },
    /// The kernel returns only memory that was lent to it.
    #[error("memory of a send to {} came back that was not lent", .to.name())]
    GaveBackWhatWasNotLent {
        /// The leg.
        to: Leg,
    },
    /// A session says its end when it is over, and for a cause.
    #[error("the session ends without a cause, or before it is over")]
    EndsWithoutCause,
    /// The end is a session's last effect.
    #[error("the session has an effect behind its end")]
    EffectBehindEnd,
}
