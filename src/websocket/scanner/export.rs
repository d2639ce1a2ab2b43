//! A scanner's state as fields of an export: all that it needs to go on in the middle of a frame, or of a header.

use super::{FrameKind, FrameRules, HELD_BYTES_MAX, Message, Scanner, Sender, Tally};
use crate::export::{ExportFault, FieldReader, FieldWriter};
use crate::websocket::frame::{Parsed, parse_header};
use crate::websocket::received_close::ReceivedClose;
use crate::websocket::reserved_bits::ReservedBits;

impl Scanner {
    /// Writes its state.
    pub fn export_fields(&self, writer: &mut FieldWriter) {
        let Self {
            sender,
            payload_left,
            kind,
            largest_bytes,
            // What one turn has cost says nothing of the next one, which is in another process.
            frames: _,
            close,
            message,
            held: _,
            held_len: _,
            tally,
        } = self;
        writer.u8("sender", sender_number(*sender));
        writer.u64("payload_left", *payload_left);
        writer.u8("kind_of_frame", *kind as u8);
        writer.u64("largest_bytes", *largest_bytes);
        writer.option("close", close.as_ref(), |writer, _, close| close.export_fields(writer));
        writer.option("message", message.as_ref(), |writer, _, message| {
            let Message { is_text, bytes } = message;
            writer.bool("message_is_text", *is_text);
            writer.u64("message_bytes", *bytes);
        });
        writer.block("held", self.held_bytes());
        tally.export_fields(writer);
    }

    /// Reads what [`Scanner::export_fields`] wrote.
    ///
    /// # Errors
    /// It is cut, or cannot be the state of a scanner.
    pub fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let sender = sender_of(reader.u8("sender")?).ok_or(reader.impossible("sender"))?;
        let payload_left = reader.count("payload_left")?;
        let kind = reader.u8("kind_of_frame")?;
        let kind = *FrameKind::ALL.get(usize::from(kind)).ok_or(reader.impossible("kind_of_frame"))?;
        let largest_bytes = reader.count("largest_bytes")?;
        let close = reader.option("close", |reader, _| ReceivedClose::import_fields(reader))?;
        reader.check("close", close.is_none() || kind == FrameKind::Close)?;
        let message = reader.option("message", |reader, _| {
            Ok(Message { is_text: reader.bool("message_is_text")?, bytes: reader.u64("message_bytes")? })
        })?;
        let cut_header = reader.block("held", HELD_BYTES_MAX)?;
        let is_cut = matches!(parse_header(cut_header), Parsed::Needs(_));
        reader.check("held", cut_header.is_empty() || (is_cut && payload_left == 0))?;
        let mut held = [0; HELD_BYTES_MAX + 1];
        held[..cut_header.len()].copy_from_slice(cut_header);
        Ok(Self {
            sender,
            payload_left,
            kind,
            largest_bytes,
            frames: 0,
            close: close.map(Box::new),
            message,
            held,
            held_len: cut_header.len() as u8,
            tally: Tally::import_fields(reader)?,
        })
    }
}

impl FrameRules {
    /// Writes the rules.
    pub fn export_fields(&self, writer: &mut FieldWriter) {
        let Self { reserved_bits, frame_bytes_max, message_bytes_max } = self;
        let reserved_bits = match reserved_bits {
            ReservedBits::None => 0,
            ReservedBits::MessageCompressed => 1,
            ReservedBits::Any => 2,
        };
        writer.u8("reserved_bits", reserved_bits);
        writer.u64("frame_bytes_max", *frame_bytes_max);
        writer.u64("message_bytes_max", *message_bytes_max);
    }

    /// Reads what [`FrameRules::export_fields`] wrote.
    ///
    /// # Errors
    /// It is cut, or there are no such rules.
    pub fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let reserved_bits = match reader.u8("reserved_bits")? {
            0 => ReservedBits::None,
            1 => ReservedBits::MessageCompressed,
            2 => ReservedBits::Any,
            _ => return Err(reader.impossible("reserved_bits")),
        };
        Ok(Self {
            reserved_bits,
            frame_bytes_max: reader.u64("frame_bytes_max")?,
            message_bytes_max: reader.u64("message_bytes_max")?,
        })
    }
}

fn sender_number(sender: Sender) -> u8 {
    match sender {
        Sender::Client => 0,
        Sender::Server => 1,
    }
}

fn sender_of(number: u8) -> Option<Sender> {
    match number {
        0 => Some(Sender::Client),
        1 => Some(Sender::Server),
        _ => None,
    }
}
