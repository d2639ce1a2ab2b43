//! Which of a frame's reserved bits the opening handshake has set free (RFC 6455 §5.2, RFC 7692 §6).
//!
//! Not here: the check of a frame's bits.

/// The reserved bits that the frames of one session may carry, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReservedBits {
    /// No extension was agreed on: every reserved bit must be 0.
    #[default]
    None,
    /// Only permessage-deflate was agreed on: RSV1 may be set on the first frame of a data message (RFC 7692 §6).
    MessageCompressed,
    /// Another extension was agreed on, whose use of the bits is not known here: each may be set on any frame.
    Any,
}
