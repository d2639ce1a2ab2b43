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

/// The counts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    frames: u64,
    payload_bytes: u64,
}

/// The counts of what one leg sent, by kind. A frame counts when its header was judged; payload bytes count as they pass.
///
/// Every leg of every session has one, and most of them only ever count whole messages: what is counted of the other kinds is
/// apart, from the first frame of one of them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    binary_messages: Count,
    utf8_messages: Count,
    /// Present once something of it is not 0: two tallies that counted the same are equal.
    rare: Option<Box<[Count; RARE_KINDS]>>,
}

/// Kinds that are counted apart.
const RARE_KINDS: usize = 5;

/// Where a kind is counted.
enum Place {
    BinaryMessages,
    Utf8Messages,
    Rare(usize),
}

fn place_of(kind: FrameKind) -> Place {
    match kind {
        FrameKind::BinaryMessage => Place::BinaryMessages,
        FrameKind::Utf8Message => Place::Utf8Messages,
        FrameKind::Close => Place::Rare(0),
        FrameKind::BinaryFragment => Place::Rare(1),
        FrameKind::Utf8Fragment => Place::Rare(2),
        FrameKind::Ping => Place::Rare(3),
        FrameKind::Pong => Place::Rare(4),
    }
}

impl Tally {
    /// Frames of a kind.
    pub fn frames(&self, kind: FrameKind) -> u64 {
        self.count(kind).frames
    }

    /// Bytes of payload of a kind.
    pub fn payload_bytes(&self, kind: FrameKind) -> u64 {
        self.count(kind).payload_bytes
    }

    /// Whole messages, text and binary.
    pub fn messages(&self) -> u64 {
        self.binary_messages.frames + self.utf8_messages.frames
    }

    pub(super) fn count_frame(&mut self, kind: FrameKind) {
        self.count_mut(kind).frames += 1;
    }

    pub(super) fn count_payload(&mut self, kind: FrameKind, bytes: u64) {
        // Where none passed, a count that is apart may not be there.
        if bytes > 0 {
            self.count_mut(kind).payload_bytes += bytes;
        }
    }

    /// So many frames, whose payload has passed with their headers.
    #[inline]
    pub(super) fn count_frames(&mut self, kind: FrameKind, frames: u64, payload_bytes: u64) {
        let count = self.count_mut(kind);
        count.frames += frames;
        count.payload_bytes += payload_bytes;
    }

    fn count(&self, kind: FrameKind) -> Count {
        match place_of(kind) {
            Place::BinaryMessages => self.binary_messages,
            Place::Utf8Messages => self.utf8_messages,
            Place::Rare(index) => self.rare.as_ref().map_or(Count::default(), |rare| rare[index]),
        }
    }

    /// The count of a kind, which is about to grow.
    #[inline]
    fn count_mut(&mut self, kind: FrameKind) -> &mut Count {
        match place_of(kind) {
            Place::BinaryMessages => &mut self.binary_messages,
            Place::Utf8Messages => &mut self.utf8_messages,
            Place::Rare(index) => self.rare_count_mut(index),
        }
    }

    /// Out of the way of the usual kinds.
    #[inline(never)]
    fn rare_count_mut(&mut self, index: usize) -> &mut Count {
        &mut self.rare.get_or_insert_default()[index]
    }

    /// Writes all counts, kind by kind.
    pub fn export_fields(&self, writer: &mut FieldWriter) {
        for kind in FrameKind::ALL {
            let Count { frames, payload_bytes } = self.count(kind);
            writer.section(kind.name());
            writer.u64("frames", frames);
            writer.u64("payload_bytes", payload_bytes);
        }
    }

    /// Reads what [`Tally::export_fields`] wrote.
    ///
    /// # Errors
    /// It is cut, or larger than a count can be.
    pub fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let mut tally = Self::default();
        for kind in FrameKind::ALL {
            let count =
                Count { frames: reader.count("frames")?, payload_bytes: reader.count("payload_bytes")? };
            if count != Count::default() {
                *tally.count_mut(kind) = count;
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_kind_by_itself_and_makes_room_for_a_rare_one_when_it_comes() {
        for kind in FrameKind::ALL {
            let mut tally = Tally::default();
            tally.count_payload(kind, 0);
            assert_eq!(tally, Tally::default(), "nothing of {kind:?} was counted");
            tally.count_frame(kind);
            tally.count_payload(kind, 5);
            tally.count_frames(kind, 3, 2);
            let is_message = matches!(kind, FrameKind::BinaryMessage | FrameKind::Utf8Message);
            assert_eq!(tally.rare.is_none(), is_message, "{kind:?}");
            for other in FrameKind::ALL {
                let counted = (tally.frames(other), tally.payload_bytes(other));
                assert_eq!(counted, if other == kind { (4, 7) } else { (0, 0) }, "{other:?} of {kind:?}");
            }
            assert_eq!(tally.messages(), if is_message { 4 } else { 0 });
        }
    }
}
