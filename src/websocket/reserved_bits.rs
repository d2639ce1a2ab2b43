//! Which reserved bits the agreed extensions free (RFC 6455 §5.2, §9; RFC 7692 §6).

/// Which of RSV1 to RSV3 frames of a session may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReservedBits {
    /// No extension was agreed on: none.
    #[default]
    None,
    /// permessage-deflate alone was agreed on: RSV1, on the first frame of a data message (RFC 7692 §6).
    MessageCompressed,
    /// Another extension was agreed on, whose rules ringgate does not know: all three, on any frame.
    Any,
}
