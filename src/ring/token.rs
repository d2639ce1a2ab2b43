//! The token of a completion: the operation, and its carrier.

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A multishot receive.
    Receive = 0,
    /// A send.
    Send = 1,
    /// A cancel of the same carrier's receive.
    CancelReceive = 2,
    /// A cancel of the same carrier's send.
    CancelSend = 3,
    /// A poll on the mailbox's event descriptor.
    Mailbox = 4,
    /// A poll for errors on a carrier that is not read.
    Watch = 5,
    /// A cancel of the same carrier's poll for errors.
    CancelWatch = 6,
}

impl Operation {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::CancelReceive => "cancel of a receive",
            Self::CancelSend => "cancel of a send",
            Self::Mailbox => "poll of the mailbox",
            Self::Watch => "poll for errors",
            Self::CancelWatch => "cancel of a poll for errors",
        }
    }
}

/// An operation's name: our `user_data`. It names the carrier that the operation is on by its slot; the slot's generation tells
/// its users apart.
///
/// ```text
///  63        32 31         8 7       0
/// ┌────────────┬────────────┬─────────┐
/// │ generation │ slot index │ op      │
/// └────────────┴────────────┴─────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// Most slots that a token can tell apart.
pub const SLOTS_MAX: usize = 1 << 24;

impl Token {
    /// The poll on the mailbox, which is of no carrier.
    pub const MAILBOX: Self = Self(Operation::Mailbox as u64);

    /// Names an operation on the carrier in a slot. `slot` is below [`SLOTS_MAX`]: a slab has no others.
    pub fn new(operation: Operation, slot: u32, generation: u32) -> Self {
        debug_assert!((slot as usize) < SLOTS_MAX);
        Self(u64::from(generation) << 32 | u64::from(slot) << 8 | operation as u64)
    }

    /// The number that goes to the kernel.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Reads a number back; only numbers that [`Token::to_bits`] gave have a meaning.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the kind of the operation.
    pub fn operation(self) -> Operation {
        match self.0 & 0xff {
            0 => Operation::Receive,
            1 => Operation::Send,
            2 => Operation::CancelReceive,
            3 => Operation::CancelSend,
            5 => Operation::Watch,
            6 => Operation::CancelWatch,
            _ => Operation::Mailbox,
        }
    }

    /// The carrier's slot.
    pub fn slot(self) -> u32 {
        (self.0 >> 8) as u32 & (SLOTS_MAX as u32 - 1)
    }

    /// Which user of the slot it was.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_every_part_through_the_kernel() {
        for operation in [
            Operation::Receive,
            Operation::Send,
            Operation::CancelReceive,
            Operation::CancelSend,
            Operation::Mailbox,
            Operation::Watch,
            Operation::CancelWatch,
        ] {
            for (slot, generation) in [(0, 0), (SLOTS_MAX as u32 - 1, u32::MAX), (77, 1)] {
                let token = Token::from_bits(Token::new(operation, slot, generation).to_bits());
                assert_eq!(
                    (token.operation(), token.slot(), token.generation()),
                    (operation, slot, generation)
                );
            }
        }
        assert_eq!(Token::MAILBOX.operation(), Operation::Mailbox);
    }
}
