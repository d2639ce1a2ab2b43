//! The state of one session: what its two legs sent, what is owed to them, and how it ends.
//!
//! Bytes and time come in as arguments, effects go out as values: a [`Session`] never touches a socket, so the relay,
//! the tests and a simulator drive the same code. It is plain data, so that a live session can move elsewhere.
//!
//! Not here: sockets and buffers (`relay`, `ring`), and what comes before the 101 (`front`).

pub mod correlation_id;
pub mod effect;
pub mod invariant;
pub mod life;
pub mod moment;
mod signs_of_life;
pub mod termination;

pub use correlation_id::CorrelationId;
pub use effect::{Effect, Effects};
pub use invariant::BrokenInvariant;
pub use life::{Gone, Session, SessionLimits};
pub use moment::Moment;
pub use signs_of_life::Acknowledged;
pub use termination::{Cause, Phase, Termination};

/// One of the two connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Leg {
    /// The client's.
    Downstream = 0,
    /// The backend's.
    Upstream = 1,
}

impl Leg {
    /// Both, downstream first.
    pub const BOTH: [Self; 2] = [Self::Downstream, Self::Upstream];

    /// The leg that bytes from this one go to.
    pub fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }

    /// The name used in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        }
    }
}
