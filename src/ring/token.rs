//! What comes back with a completion: which operation of which session it was.

use crate::session::Leg;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A multishot receive.
    Receive = 0,
    /// A send.
    Send = 1,
    /// A cancel of the same leg's receive.
    CancelReceive = 2,
    /// A cancel of the same leg's send.
    CancelSend = 3,
    /// A poll on the mailbox's event descriptor.
    Mailbox = 4,
    /// A poll for errors on a leg that is not read.
    Watch = 5,
    /// A cancel of the same leg's poll for errors.
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

/// An operation's name: our `user_data`. A slot's generation tells its users apart.
///
/// ```text
///  63        32 31         8 7      1  0
/// ┌────────────┬────────────┬────────┬───┐
/// │ generation │ slot index │ op     │leg│
/// └────────────┴────────────┴────────┴───┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// Most slots that a token can tell apart.
pub const SLOTS_MAX: usize = 1 << 24;

impl Token {
    /// Names an operation on a leg of the session in a slot. `slot` is below [`SLOTS_MAX`]: a session table has no others.
    pub fn new(operation: Operation, slot: u32, generation: u32, leg: Leg) -> Self {
        debug_assert!((slot as usize) < SLOTS_MAX);
        Self(u64::from(generation) << 32 | u64::from(slot) << 8 | (operation as u64) << 1 | leg as u64)
    }

    /// The number that goes to the kernel.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Reads a number back; only numbers that [`Token::to_bits`] gave have a meaning.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// What the operation does.
    pub fn operation(self) -> Operation {
        match self.0 >> 1 & 0x7f {
            0 => Operation::Receive,
            1 => Operation::Send,
            2 => Operation::CancelReceive,
            3 => Operation::CancelSend,
            5 => Operation::Watch,
            6 => Operation::CancelWatch,
            _ => Operation::Mailbox,
        }
    }

    /// The slot's index in the session table.
    pub fn slot(self) -> u32 {
        (self.0 >> 8) as u32 & (SLOTS_MAX as u32 - 1)
    }

    /// Which user of the slot it was.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The leg.
    pub fn leg(self) -> Leg {
        if self.0 & 1 == 0 { Leg::Downstream } else { Leg::Upstream }
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
            for leg in Leg::BOTH {
                for (slot, generation) in [(0, 0), (SLOTS_MAX as u32 - 1, u32::MAX), (77, 1)] {
                    let token = Token::from_bits(Token::new(operation, slot, generation, leg).to_bits());
                    assert_eq!(
                        (token.operation(), token.slot(), token.generation(), token.leg()),
                        (operation, slot, generation, leg)
                    );
                }
            }
        }
    }
}
