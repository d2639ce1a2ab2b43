//! Close codes and the Close frames that ringgate itself sends (RFC 6455 §5.5.1, §7.4).
//!
//! Ringgate sends codes 1000 to 1011 only: several client libraries reject 1012 to 1014.

/// A code that ringgate puts into a Close frame of its own (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// 1001: an endpoint is going away; ringgate ends the session for a reason of its own.
    GoingAway = 1001,
    /// 1002: the peer broke the protocol.
    ProtocolError = 1002,
    /// 1008: a rule ended the session.
    PolicyViolation = 1008,
    /// 1009: a frame or a message is larger than allowed.
    MessageTooBig = 1009,
    /// 1011: the backend, or ringgate, failed.
    InternalError = 1011,
}

impl CloseCode {
    /// Every code, in order.
    pub const ALL: [Self; 5] = [
        Self::GoingAway,
        Self::ProtocolError,
        Self::PolicyViolation,
        Self::MessageTooBig,
        Self::InternalError,
    ];

    /// The code as it goes on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number, if ringgate sends it.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }
}

/// Whether a peer may put `code` into a Close frame (RFC 6455 §7.4, IANA's registry of close codes).
///
/// 1004 to 1006 and 1015 are never sent; 1012 to 1014 were registered later and are accepted from peers.
pub fn is_code_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Longest reason of a Close frame that ringgate makes, in bytes. Its reasons are the names of causes.
const REASON_BYTES_MAX: usize = 24;

/// Longest Close frame that ringgate makes, in bytes: two of header, four of mask, two of code, and the reason.
const CLOSE_FRAME_BYTES_MAX: usize = 2 + 4 + 2 + REASON_BYTES_MAX;

/// A Close frame ready to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame {
    bytes: [u8; CLOSE_FRAME_BYTES_MAX],
    len: u8,
}

impl CloseFrame {
    /// Makes the frame. `mask` is given towards a backend and absent towards a client (RFC 6455 §5.1).
    ///
    /// A reason longer than 24 bytes is cut; ringgate's own reasons are ASCII and shorter.
    pub fn new(code: CloseCode, reason: &str, mask: Option<[u8; 4]>) -> Self {
        let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES_MAX)];
        let mut bytes = [0; CLOSE_FRAME_BYTES_MAX];
        bytes[0] = 0x88;
        bytes[1] = 2 + reason.len() as u8;
        let mut payload_at = 2;
        if let Some(mask) = mask {
            bytes[1] |= 0x80;
            bytes[2..6].copy_from_slice(&mask);
            payload_at = 6;
        }
        bytes[payload_at..payload_at + 2].copy_from_slice(&code.number().to_be_bytes());
        let end = payload_at + 2 + reason.len();
        bytes[payload_at + 2..end].copy_from_slice(reason);
        if let Some(mask) = mask {
            for (index, byte) in bytes[payload_at..end].iter_mut().enumerate() {
                *byte ^= mask[index % 4];
            }
        }
        Self { bytes, len: end as u8 }
    }

    /// The frame as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl core::fmt::Debug for CloseFrame {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "CloseFrame({:02x?})", self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_exactly_the_codes_that_may_be_sent() {
        for (code, allowed) in [
            (0, false),
            (999, false),
            (1000, true),
            (1003, true),
            (1004, false),
            (1005, false),
            (1006, false),
            (1007, true),
            (1011, true),
            (1012, true),
            (1014, true),
            (1015, false),
            (1016, false),
            (2999, false),
            (3000, true),
            (4999, true),
            (5000, false),
            (65535, false),
        ] {
            assert_eq!(is_code_allowed(code), allowed, "{code}");
        }
    }

    #[test]
    fn frame_towards_client_is_plain_and_frame_towards_backend_is_masked() {
        let plain = CloseFrame::new(CloseCode::GoingAway, "drain", None);
        assert_eq!(plain.as_bytes(), b"\x88\x07\x03\xe9drain");

        let masked = CloseFrame::new(CloseCode::GoingAway, "", Some([1, 2, 3, 4]));
        assert_eq!(masked.as_bytes(), [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]);
    }

    #[test]
    fn cuts_a_reason_that_is_too_long() {
        let frame = CloseFrame::new(CloseCode::GoingAway, &"x".repeat(200), Some([0; 4]));
        assert_eq!(frame.as_bytes().len(), CLOSE_FRAME_BYTES_MAX);
    }
}
