//! A refusal for lack of room.
//!
//! Not here: the status and the header fields that it is answered with (`front`).

use crate::session::Cause;

/// Which limit stands in the way of an opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shed {
    /// The limit, by the cause of the termination.
    pub cause: Cause,
    /// Said to the client and in the log: the limit by its configuration key, and its value.
    pub message: String,
}

impl Shed {
    pub(super) fn of(cause: Cause, message: String) -> Self {
        Self { cause, message }
    }
}
