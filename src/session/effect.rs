//! The effects of a session: values that the relay carries out in the order in which they were made.

use super::termination::Termination;
use super::{Leg, Moment};
use crate::websocket::close::CloseFrame;
use crate::websocket::scanner::Held;
use core::ops::Range;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Queue `held`, then this range of the bytes just handled, towards a leg. At most one per call.
    Forward {
        /// Where it goes.
        to: Leg,
        /// The start of a header, from earlier bytes; goes first.
        held: Held,
        /// Which of the bytes just handled.
        range: Range<usize>,
    },
    /// Queue a Close frame of ringgate's own; nothing is queued towards that leg after it.
    Inject {
        /// Where it goes.
        to: Leg,
        /// The frame.
        frame: CloseFrame,
    },
    /// Send a Close frame of ringgate's own at once, as far as the system takes it: nothing is owed to that leg, and the
    /// session is about to be over.
    InjectNow {
        /// Where it goes.
        to: Leg,
        /// The frame.
        frame: CloseFrame,
    },
    /// Stop reading from a leg: too much is owed to the other one.
    Pause {
        /// The leg that is not read.
        leg: Leg,
    },
    /// Read from a leg again.
    Resume {
        /// The leg to read from.
        leg: Leg,
    },
    /// All that was owed to a leg whose bytes are wrapped in records is sent: queue the end of the records (close_notify), and
    /// tell the session how much that is ([`Session::handle_end_said`](super::Session::handle_end_said)).
    SayEnd {
        /// The leg.
        leg: Leg,
    },
    /// As [`Effect::SayEnd`], but at once, as far as the system takes it: the session is about to be over.
    SayEndNow {
        /// The leg.
        leg: Leg,
    },
    /// All that was owed to a leg is sent: end that direction (FIN, and nothing before it).
    Shutdown {
        /// The leg.
        leg: Leg,
    },
    /// Throw away what is queued towards a leg: nobody takes it any more.
    Discard {
        /// The leg.
        leg: Leg,
    },
    /// Throw away what is queued towards a leg and let its close be a reset.
    Reset {
        /// The leg.
        leg: Leg,
    },
    /// The session's deadline is this and may be earlier than it was.
    Deadline(Moment),
    /// The session is over: close both descriptors. The last effect there is.
    Ended(Termination),
}

/// Effects in order; reused between calls so that none allocates.
pub type Effects = Vec<Effect>;
