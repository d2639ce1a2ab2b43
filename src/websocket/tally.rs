//! Counts of frames and bytes by kind, under the names that Azure API Management's WebSocket logs use.

use crate::export::{ExportFault, FieldReader, FieldWriter};

/// The kinds that frames are counted by.
///
/// The first five are the message kinds of APIM's WebSocket connection logs; a *fragment* is a data frame that does
/// not end its message, a *message* is the frame that does. Ping and Pong are counted beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A Close frame.
    Close,
    /// A binary frame that more frames of its message follow.
    BinaryFragment,
    /// The last, or only, frame of a binary message.
    BinaryMessage,
    /// A text frame that more frames of its message follow.
    Utf8Fragment,
    /// The last, or only, frame of a text message.
    Utf8Message,
    /// A Ping frame.
    Ping,
    /// A Pong frame.
    Pong,
}

impl FrameKind {
    /// Every kind, in the order in which they are counted and printed.
    pub const ALL: [Self; 7] = [
        Self::Close,
        Self::BinaryFragment,
        Self::BinaryMessage,
        Self::Utf8Fragment,
        Self::Utf8Message,
        Self::Ping,
        Self::Pong,
    ];

    /// Whether it is a data frame that more frames of its message follow.
    pub fn is_fragment(self) -> bool {
        matches!(self, Self::BinaryFragment | Self::Utf8Fragment)
    }

    /// The name as APIM's logs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "Close",
            Self::BinaryFragment => "BinaryFragment",
            Self::BinaryMessage => "BinaryMessage",
            Self::Utf8Fragment => "UTF8Fragment",
            Self::Utf8Message => "UTF8Message",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
        }
    }
}

/// What one leg sent, by kind. Frames count when their header was judged, bytes of payload as they pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    frames: [u64; FrameKind::ALL.len()],
    payload_bytes: [u64; FrameKind::ALL.len()],
}

impl Tally {
    /// Frames of a kind.
    pub fn frames(&self, kind: FrameKind) -> u64 {
        self.frames[kind as usize]
    }

    /// Bytes of payload of a kind.
    pub fn payload_bytes(&self, kind: FrameKind) -> u64 {
        self.payload_bytes[kind as usize]
    }

    /// Whole messages, text and binary.
    pub fn messages(&self) -> u64 {
        self.frames(FrameKind::BinaryMessage) + self.frames(FrameKind::Utf8Message)
    }

    pub(super) fn count_frame(&mut self, kind: FrameKind) {
        self.frames[kind as usize] += 1;
    }

    pub(super) fn count_payload(&mut self, kind: FrameKind, bytes: u64) {
        self.payload_bytes[kind as usize] += bytes;
    }

    /// So many frames, whose payload has passed with their headers.
    pub(super) fn count_frames(&mut self, kind: FrameKind, frames: u64, payload_bytes: u64) {
        self.frames[kind as usize] += frames;
        self.payload_bytes[kind as usize] += payload_bytes;
    }

    /// Writes all counts, kind by kind.
    pub fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { frames, payload_bytes } = self;
        for kind in FrameKind::ALL {
            writer.section(kind.name());
            writer.u64("frames", frames[kind as usize]);
            writer.u64("payload_bytes", payload_bytes[kind as usize]);
        }
    }

    /// Reads what [`Tally::export_fields`] wrote.
    ///
    /// # Errors
    /// It is cut, or larger than a count can be.
    pub fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let mut tally = Self::default();
        for kind in FrameKind::ALL {
            tally.frames[kind as usize] = reader.count("frames")?;
            tally.payload_bytes[kind as usize] = reader.count("payload_bytes")?;
        }
        Ok(tally)
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        for index in 0..FrameKind::ALL.len() {
            self.frames[index] += other.frames[index];
            self.payload_bytes[index] += other.payload_bytes[index];
        }
    }
}
