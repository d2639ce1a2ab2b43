//! The state of one session: the bytes of its two legs, the bytes that are owed to them, and its end.
//!
//! Bytes and time come in as arguments, and effects go out as values: a [`Session`] never touches a socket. So the relay, the
//! tests and a simulator run the same code. It is plain data, so that an open session can move to another process.
//!
//! Not here: sockets and buffers (`relay`, `ring`), and the opening, before the 101 (`front`).

pub mod attribution;
pub mod correlation_id;
pub mod effect;
pub mod invariant;
pub mod life;
pub mod moment;
mod signs_of_life;
pub mod termination;

pub use attribution::Side;
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
