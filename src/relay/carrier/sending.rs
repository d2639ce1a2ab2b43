//! The state of a carrier's send.
//!
//! ```text
//!            queued                began
//!   Idle ───────────► Ready ────────────────────► Wanted ── late ──► TakenBack
//!    ▲ ▲                │                          │   │                │   │
//!    │ └─ sent at once ─┘                          │   └──── discard ───┼─┐ │
//!    │                                             │                    │ ▼ ▼ discard
//!    └──────────────── completed ──────────────────┴────────────────────┘ Discarded
//!                                                                           │ completed
//!   Idle, Ready ─────────────────────── discard ──────────────────► Over ◄──┘
//! ```
//!
//! A send in flight is `Wanted`, `TakenBack` or `Discarded`; in the last two states it is being cancelled. The unsent bytes of a
//! send that is taken back move to the heap; those of a discarded send are dropped.
//!
//! `tests/golden/sending.txt` has every state and every event.

/// The state of a carrier's send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Nothing waits, and nothing is in flight.
    Idle,
    /// Bytes wait, and go out at the end of the turn: the carrier is on the list for that.
    Ready,
    /// An operation is in flight.
    InFlight {
        /// Which one.
        way: Way,
        /// The treatment of the bytes that this send leaves unsent.
        fate: Fate,
    },
    /// Nobody takes anything any more: what is queued is thrown away at once.
    Over,
}

/// The operation of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kernel copies the bytes.
    Copy,
    /// The kernel is lent the bytes.
    Lend,
    /// It is no send: room is waited for, for what is in the pipe.
    AwaitRoom,
}

/// The treatment of the bytes that a send in flight leaves unsent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It sends all that it has.
    Wanted,
    /// It took too long, and is being cancelled: what is left in received buffers moves to the heap.
    TakenBack,
    /// Nobody takes what is left: it is being cancelled, and then thrown away.
    Discarded,
}

/// An event of a carrier's send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendEvent {
    /// Something was queued, or is left.
    Queued,
    /// The socket took what it was given at once.
    SentAtOnce,
    /// The operation is submitted.
    Began(Way),
    /// It has held received buffers for too long.
    Late,
    /// Nobody takes what is queued.
    Discard,
    /// The operation completed.
    Completed,
}

impl SendEvent {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::SentAtOnce,
        Self::Began(Way::Copy),
        Self::Began(Way::Lend),
        Self::Began(Way::AwaitRoom),
        Self::Late,
        Self::Discard,
        Self::Completed,
    ];
}

impl Sending {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Ready,
        Self::in_flight(Way::Copy, Fate::Wanted),
        Self::in_flight(Way::Copy, Fate::TakenBack),
        Self::in_flight(Way::Copy, Fate::Discarded),
        Self::in_flight(Way::Lend, Fate::Wanted),
        Self::in_flight(Way::Lend, Fate::TakenBack),
        Self::in_flight(Way::Lend, Fate::Discarded),
        Self::in_flight(Way::AwaitRoom, Fate::Wanted),
        Self::in_flight(Way::AwaitRoom, Fate::TakenBack),
        Self::in_flight(Way::AwaitRoom, Fate::Discarded),
        Self::Over,
    ];

    const fn in_flight(way: Way, fate: Fate) -> Self {
        Self::InFlight { way, fate }
    }

    /// Returns the next state. `None`: the event cannot occur in this state.
    #[must_use]
    pub fn next(self, event: SendEvent) -> Option<Self> {
        match (self, event) {
            (state, SendEvent::Queued) => Some(state.queued()),
            (state, SendEvent::Discard) => Some(state.discarded()),
            (Self::Ready, SendEvent::SentAtOnce) => Some(Self::Idle),
            (Self::Ready, SendEvent::Began(way)) => Some(Self::in_flight(way, Fate::Wanted)),
            (Self::InFlight { way, fate: Fate::Wanted }, SendEvent::Late) => {
                Some(Self::in_flight(way, Fate::TakenBack))
            }
            (Self::InFlight { .. }, SendEvent::Late) => Some(self),
            (Self::InFlight { fate: Fate::Discarded, .. }, SendEvent::Completed) => Some(Self::Over),
            (Self::InFlight { .. }, SendEvent::Completed) => Some(Self::Idle),
            (Self::Idle | Self::Ready | Self::InFlight { .. } | Self::Over, _) => None,
        }
    }

    /// As for [`SendEvent::Queued`], which may be at any time.
    #[must_use]
    pub fn queued(self) -> Self {
        match self {
            Self::Idle | Self::Ready => Self::Ready,
            Self::InFlight { .. } | Self::Over => self,
        }
    }

    /// As for [`SendEvent::Discard`], which may be at any time.
    #[must_use]
    pub fn discarded(self) -> Self {
        match self {
            Self::Idle | Self::Ready | Self::Over => Self::Over,
            Self::InFlight { way, .. } => Self::in_flight(way, Fate::Discarded),
        }
    }

    /// Whether an operation of it is in flight.
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::InFlight { .. })
    }

    /// Whether its operation is being cancelled.
    #[must_use]
    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::InFlight { fate: Fate::TakenBack | Fate::Discarded, .. })
    }

    /// Whether what is queued is thrown away, at once or when its operation is over.
    #[must_use]
    pub fn is_discarding(self) -> bool {
        matches!(self, Self::Over | Self::InFlight { fate: Fate::Discarded, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_in_every_state_does_what_the_table_says() {
        let table = crate::golden::text::transitions(&Sending::ALL, &SendEvent::ALL, |state, event| {
            state.next(event).map_or("-".to_owned(), |next| format!("{next:?}"))
        });
        crate::golden::text::assert_golden("sending.txt", &table);
    }
}
