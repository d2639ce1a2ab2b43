//! The state of a carrier's receive.
//!
//! ```text
//!         line up, served
//!  InLine ◄────► Unarmed
//!    │ end
//!    ▼
//!   Over
//!
//!                 arm
//!  ┌─► Unarmed ─────────► Armed ◄───── cancel missed ────┐
//!  │    │  │  ▲            │  │                          │
//!  │    │  │  └─ last ─────┘  └── cancel ──► Cancelling ─┤
//!  │    │  └──── end ──► Over                            │
//!  │    │ out of buffers  ▲                              │
//!  │    ▼                 │                              │
//!  │   Parked ── end ─────┘                              │
//!  │    │ served                                         │
//!  └────┴───────────────────── last ─────────────────────┘
//! ```
//!
//! `tests/golden/receiving.txt` has every state and every event.

/// The state of a carrier's receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// Nothing is in flight.
    Unarmed,
    /// A receive is in flight, or a wait for bytes.
    Armed,
    /// It is being cancelled: its last completion is awaited.
    Cancelling,
    /// It found no posted buffer: it is read by a plain call in its turn (`relay::greedy`).
    Parked,
    /// It has had its share: it is read by plain calls, in its turn behind all others (`relay::greedy`).
    InLine,
    /// The stream ended, or broke.
    Over,
}

/// An event of a carrier's receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveEvent {
    /// One is submitted.
    Arm,
    /// It completed, and more completions come.
    Completed,
    /// Its last completion came.
    CompletedLast,
    /// That said that no buffer was left.
    OutOfBuffers,
    /// That said that the stream is over; or a poll says so of a carrier that is not read.
    End,
    /// Its cancel is submitted.
    Cancel,
    /// The cancel found nothing, and it is wanted again.
    CancelMissed,
    /// It goes to the end of the line of greedy legs.
    LineUp,
    /// It is its turn: it is read by a plain call, or not to be read for now.
    Served,
}

impl ReceiveEvent {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Arm,
        Self::Completed,
        Self::CompletedLast,
        Self::OutOfBuffers,
        Self::End,
        Self::Cancel,
        Self::CancelMissed,
        Self::LineUp,
        Self::Served,
    ];
}

impl Receiving {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unarmed, Self::Armed, Self::Cancelling, Self::Parked, Self::InLine, Self::Over];

    /// Returns the next state. `None`: the event cannot occur in this state.
    #[must_use]
    pub fn next(self, event: ReceiveEvent) -> Option<Self> {
        match (self, event) {
            (Self::Unarmed, ReceiveEvent::Arm) => Some(Self::Armed),
            (Self::Armed | Self::Cancelling, ReceiveEvent::Completed) => Some(self),
            (Self::Armed | Self::Cancelling, ReceiveEvent::CompletedLast) => Some(Self::Unarmed),
            (Self::Unarmed, ReceiveEvent::OutOfBuffers) => Some(Self::Parked),
            (Self::Unarmed | Self::Parked | Self::InLine, ReceiveEvent::End) => Some(Self::Over),
            (Self::Armed, ReceiveEvent::Cancel) => Some(Self::Cancelling),
            (Self::Cancelling, ReceiveEvent::CancelMissed) => Some(Self::Armed),
            (Self::Unarmed, ReceiveEvent::LineUp) => Some(Self::InLine),
            (Self::InLine | Self::Parked, ReceiveEvent::Served) => Some(Self::Unarmed),
            (
                Self::Unarmed | Self::Armed | Self::Cancelling | Self::Parked | Self::InLine | Self::Over,
                _,
            ) => None,
        }
    }

    /// Whether an operation of it is in flight.
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Armed | Self::Cancelling)
    }

    /// Whether what comes will be read without anybody asking for it, and an end of it told.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.is_in_flight() || matches!(self, Self::Parked | Self::InLine)
    }

    /// Whether nobody hears what becomes of the connection, unless it is polled.
    #[must_use]
    pub fn is_unread(self) -> bool {
        matches!(self, Self::Unarmed | Self::Parked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_in_every_state_does_what_the_table_says() {
        let table = crate::golden::text::transitions(&Receiving::ALL, &ReceiveEvent::ALL, |state, event| {
            state.next(event).map_or("-".to_owned(), |next| format!("{next:?}"))
        });
        crate::golden::text::assert_golden("receiving.txt", &table);
    }
}
