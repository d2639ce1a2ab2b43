//! One frame's header (RFC 6455 §5.2): read it from bytes, and judge it alone.
//!
//! Not here: what depends on the frames before it, or on where the stream was cut (`scanner`).

use super::close::is_code_allowed;
use super::reserved_bits::ReservedBits;

/// Longest header, in bytes: two, eight of extended length, four of mask (RFC 6455 §5.2).
pub const HEADER_BYTES_MAX: usize = 14;

/// Largest payload of a control frame, in bytes (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: u64 = 125;

pub(super) const FIN: u8 = 0x80;
pub(super) const RESERVED: u8 = 0x70;
const RESERVED_1: u8 = 0x40;
pub(super) const MASKED: u8 = 0x80;
/// Two bytes of a Close payload that ringgate reads: its code.
const CLOSE_CODE_BYTES: usize = 2;

/// Who made a frame: it decides whether the frame must or must not be masked (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client: its frames are masked.
    Client,
    /// A server: its frames are not.
    Server,
}

/// The opcodes that RFC 6455 §5.2 defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// 0x0: a further fragment of the message in progress.
    Continuation,
    /// 0x1: text, or its first fragment.
    Text,
    /// 0x2: binary, or its first fragment.
    Binary,
    /// 0x8.
    Close,
    /// 0x9.
    Ping,
    /// 0xA.
    Pong,
}

impl Opcode {
    pub(super) fn from_bits(bits: u8) -> Result<Self, FrameFault> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            unknown => Err(FrameFault::UnknownOpcode(unknown)),
        }
    }

    /// The reserved bits that a frame of this opcode may have set.
    pub(super) fn free_bits(self, reserved: ReservedBits) -> u8 {
        match reserved {
            ReservedBits::None => 0,
            // RFC 7692 §6.1, §6.2: RSV1 marks a message as compressed, on its first frame only.
            ReservedBits::MessageCompressed if matches!(self, Self::Text | Self::Binary) => RESERVED_1,
            ReservedBits::MessageCompressed => 0,
            ReservedBits::Any => RESERVED,
        }
    }

    /// Whether frames of this opcode are control frames (RFC 6455 §5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// How a peer broke the framing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// RFC 6455 §5.2: a reserved bit that no agreed extension frees.
    #[error("a reserved bit is set that no extension frees")]
    ReservedBitSet,
    /// RFC 6455 §5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    #[error("opcode {0:#x} is not defined")]
    UnknownOpcode(u8),
    /// RFC 6455 §5.1: a client masks every frame.
    #[error("a frame from the client is not masked")]
    NotMasked,
    /// RFC 6455 §5.1: a server masks none.
    #[error("a frame from the backend is masked")]
    Masked,
    /// RFC 6455 §5.2: the minimal number of bytes must be used for the length.
    #[error("a length is not encoded in as few bytes as it can be")]
    LengthNotMinimal,
    /// RFC 6455 §5.2: the most significant bit of a 64-bit length is 0.
    #[error("a 64-bit length has its top bit set")]
    LengthTopBitSet,
    /// RFC 6455 §5.5: a control frame carries at most 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlFrameTooLong,
    /// RFC 6455 §5.5: a control frame is never fragmented.
    #[error("a control frame is fragmented")]
    ControlFrameFragmented,
    /// RFC 6455 §5.4: a continuation continues a message in progress.
    #[error("a continuation frame continues no message")]
    ContinuationWithoutMessage,
    /// RFC 6455 §5.4: fragments of messages are not interleaved.
    #[error("a message starts inside another message")]
    MessageInsideMessage,
    /// RFC 6455 §5.5.1: a Close payload is empty or starts with a two-byte code.
    #[error("a close payload has one byte")]
    ClosePayloadOfOneByte,
    /// RFC 6455 §7.4: a code that no endpoint may send.
    #[error("close code {0} must not be sent")]
    CloseCodeNotAllowed(u16),
    /// The API's `frame_bytes_max`, checked on the declared length.
    #[error("a frame of {0} bytes is larger than the API allows")]
    FrameTooBig(u64),
    /// The API's `message_bytes_max`, checked on the declared lengths of a message's frames.
    #[error("a message of at least {0} bytes is larger than the API allows")]
    MessageTooBig(u64),
}

/// A whole header. For a Close frame it includes the close code, the two first bytes of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    first: u8,
    second: u8,
    /// Bytes of the header itself, 2 to 14.
    pub header_bytes: usize,
    /// Declared bytes of payload.
    pub payload_bytes: u64,
    /// A Close frame's code, unmasked; absent for an empty Close and for all other frames.
    pub close_code: Option<u16>,
    /// A Close frame's mask, if it has a code; else 0.
    pub mask: [u8; 4],
}

/// The result of parsing the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// So many bytes, counted from the frame's start, are needed to know more.
    Needs(usize),
    /// The header is whole.
    Whole(Header),
}

/// Reads a header from the start of `bytes`, which may be cut anywhere.
///
/// `Needs(n)` always says an `n` larger than `bytes.len()` and at most 16.
pub fn parse_header(bytes: &[u8]) -> Parsed {
    let [first, second, ..] = *bytes else { return Parsed::Needs(2) };
    let is_masked = second & MASKED != 0;
    let short_length = second & 0x7f;
    let length_bytes: usize = match short_length {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask_at = 2 + length_bytes;
    let header_bytes = if is_masked { mask_at + 4 } else { mask_at };
    if bytes.len() < header_bytes {
        return Parsed::Needs(header_bytes);
    }
    let payload_bytes = match length_bytes {
        0 => u64::from(short_length),
        _ => bytes[2..mask_at].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    let (mut close_code, mut mask) = (None, [0; 4]);
    if first & 0x0f == 0x8 && (2..=CONTROL_PAYLOAD_BYTES_MAX).contains(&payload_bytes) {
        let Some(code) = bytes.get(header_bytes..header_bytes + CLOSE_CODE_BYTES) else {
            return Parsed::Needs(header_bytes + CLOSE_CODE_BYTES);
        };
        if is_masked {
            mask.copy_from_slice(&bytes[mask_at..header_bytes]);
        }
        close_code = Some(u16::from_be_bytes([code[0] ^ mask[0], code[1] ^ mask[1]]));
    }
    Parsed::Whole(Header { first, second, header_bytes, payload_bytes, close_code, mask })
}

impl Header {
    /// Whether this is a message's last frame, or a control frame.
    pub fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Judges what can be judged without knowing the frames before it, and gives its opcode.
    ///
    /// # Errors
    /// The first rule, in the order of the header's bits, that the frame breaks.
    pub fn check(&self, sender: Sender, reserved: ReservedBits) -> Result<Opcode, FrameFault> {
        let opcode = Opcode::from_bits(self.first & 0x0f)?;
        if self.first & RESERVED & !opcode.free_bits(reserved) != 0 {
            return Err(FrameFault::ReservedBitSet);
        }
        match (sender, self.second & MASKED != 0) {
            (Sender::Client, false) => return Err(FrameFault::NotMasked),
            (Sender::Server, true) => return Err(FrameFault::Masked),
            (Sender::Client, true) | (Sender::Server, false) => {}
        }
        self.check_length(opcode)?;
        if opcode == Opcode::Close {
            self.check_close()?;
        }
        Ok(opcode)
    }

    fn check_length(&self, opcode: Opcode) -> Result<(), FrameFault> {
        let smallest = match self.second & 0x7f {
            126 => 126,
            127 => 65_536,
            _ => 0,
        };
        if self.payload_bytes >> 63 != 0 {
            return Err(FrameFault::LengthTopBitSet);
        }
        if self.payload_bytes < smallest {
            return Err(FrameFault::LengthNotMinimal);
        }
        if opcode.is_control() && self.payload_bytes > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(FrameFault::ControlFrameTooLong);
        }
        if opcode.is_control() && !self.is_final() {
            return Err(FrameFault::ControlFrameFragmented);
        }
        Ok(())
    }

    fn check_close(&self) -> Result<(), FrameFault> {
        match self.close_code {
            None if self.payload_bytes == 1 => Err(FrameFault::ClosePayloadOfOneByte),
            Some(code) if !is_code_allowed(code) => Err(FrameFault::CloseCodeNotAllowed(code)),
            None | Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> Header {
        match parse_header(bytes) {
            Parsed::Whole(header) => header,
            Parsed::Needs(needed) => panic!("{bytes:02x?} needs {needed}"),
        }
    }

    fn check_server(bytes: &[u8]) -> Result<Opcode, FrameFault> {
        header(bytes).check(Sender::Server, ReservedBits::None)
    }

    #[test]
    fn says_how_many_bytes_a_cut_header_needs() {
        for (bytes, needed) in [
            (&[][..], 2),
            (&[0x81], 2),
            (&[0x81, 0x85], 6),
            (&[0x81, 126], 4),
            (&[0x81, 0xfe, 0, 200, 1, 2, 3], 8),
            (&[0x82, 127, 0, 0], 10),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3], 14),
            (&[0x88, 0x02], 4),
            (&[0x88, 0x82, 1, 2, 3, 4, 5], 8),
        ] {
            assert_eq!(parse_header(bytes), Parsed::Needs(needed), "{bytes:02x?}");
        }
    }

    #[test]
    fn reads_every_length_encoding_at_its_boundaries() {
        for (bytes, payload, header_bytes) in [
            (&[0x82, 0][..], 0, 2),
            (&[0x82, 125], 125, 2),
            (&[0x82, 126, 0, 126], 126, 4),
            (&[0x82, 126, 0xff, 0xff], 65_535, 4),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536, 10),
            (&[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX as u64, 10),
        ] {
            let read = header(bytes);
            assert_eq!((read.payload_bytes, read.header_bytes), (payload, header_bytes), "{bytes:02x?}");
            assert_eq!(read.check(Sender::Server, ReservedBits::None), Ok(Opcode::Binary));
        }
    }

    #[test]
    fn refuses_each_broken_rule_by_its_name() {
        for (bytes, fault) in [
            (&[0x83, 0][..], FrameFault::UnknownOpcode(3)),
            (&[0x8b, 0], FrameFault::UnknownOpcode(11)),
            (&[0xc1, 0], FrameFault::ReservedBitSet),
            (&[0xa1, 0], FrameFault::ReservedBitSet),
            (&[0x91, 0], FrameFault::ReservedBitSet),
            (&[0x81, 0x80, 0, 0, 0, 0], FrameFault::Masked),
            (&[0x81, 126, 0, 125], FrameFault::LengthNotMinimal),
            (&[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], FrameFault::LengthNotMinimal),
            (&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], FrameFault::LengthTopBitSet),
            (&[0x89, 126, 0, 126], FrameFault::ControlFrameTooLong),
            (&[0x09, 0], FrameFault::ControlFrameFragmented),
            (&[0x08, 0], FrameFault::ControlFrameFragmented),
            (&[0x88, 1], FrameFault::ClosePayloadOfOneByte),
            (&[0x88, 2, 0x03, 0xed], FrameFault::CloseCodeNotAllowed(1005)),
            (&[0x88, 2, 0x03, 0xee], FrameFault::CloseCodeNotAllowed(1006)),
            (&[0x88, 2, 0, 0], FrameFault::CloseCodeNotAllowed(0)),
        ] {
            assert_eq!(check_server(bytes), Err(fault), "{bytes:02x?}");
        }
        assert_eq!(header(&[0x81, 0]).check(Sender::Client, ReservedBits::None), Err(FrameFault::NotMasked));
    }

    #[test]
    fn reserved_bits_follow_what_was_agreed_on() {
        let check = |first: u8, reserved| header(&[first, 0]).check(Sender::Server, reserved).is_ok();
        // permessage-deflate: RSV1 on the first frame of a message only.
        assert!(check(0xc1, ReservedBits::MessageCompressed));
        assert!(check(0x42, ReservedBits::MessageCompressed));
        assert!(!check(0xc0, ReservedBits::MessageCompressed));
        assert!(!check(0xc9, ReservedBits::MessageCompressed));
        assert!(!check(0xa1, ReservedBits::MessageCompressed));
        assert!(check(0xf1, ReservedBits::Any));
        assert!(check(0xf9, ReservedBits::Any));
    }

    #[test]
    fn reads_a_masked_close_code() {
        let bytes = [0x88, 0x82, 9, 8, 7, 6, 0x03 ^ 9, 0xe8 ^ 8];
        assert_eq!(header(&bytes).close_code, Some(1000));
        assert_eq!(header(&bytes).check(Sender::Client, ReservedBits::None), Ok(Opcode::Close));
        assert_eq!(header(&[0x88, 0]).close_code, None);
        assert_eq!(check_server(&[0x88, 0]), Ok(Opcode::Close));
    }
}
