//! Writes messages of protocol buffers (the wire format of proto3), and reads the few that receivers answer with.
//!
//! The numbers and types of fields are those of `opentelemetry-proto` 1.x, and stand where a message is written. What has its default is
//! left out by who writes it. Why by hand: OTLP needs 25 messages, which are written and never read; the generated crates would bring
//! some twenty packages along.
//!
//! Not here: which messages there are (`logs`, `spans`, `metrics`).

/// The kinds of fields on the wire.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// A message that is being written to the end of a buffer.
#[derive(Debug)]
pub(super) struct Message<'b>(&'b mut Vec<u8>);

impl<'b> Message<'b> {
    pub(super) fn new(buffer: &'b mut Vec<u8>) -> Self {
        Self(buffer)
    }

    /// A field of a type that is written as a varint: int32, int64, uint32, uint64, bool, enum.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        push_varint(self.0, value);
    }

    /// A field of type fixed64 or sfixed64.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A field of type fixed32.
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FIXED_32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A field of type double.
    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A field of type bytes.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, DELIMITED);
        push_varint(self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A field of type string.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A field of type string, if it is not empty.
    pub(super) fn text_if_any(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.text(field, value);
        }
    }

    /// Packed fields of 64 bits.
    pub(super) fn packed64(&mut self, field: u32, values: impl ExactSizeIterator<Item = u64>) {
        self.key(field, DELIMITED);
        push_varint(self.0, values.len() as u64 * 8);
        values.for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.key(field, DELIMITED);
        let start = self.0.len();
        write(&mut Message(self.0));
        // Its length stands before it, and is known behind it.
        let bytes = self.0.len() - start;
        push_varint(self.0, bytes as u64);
        let prefix = self.0.len() - start - bytes;
        self.0[start..].rotate_right(prefix);
    }

    /// Fields that are written already.
    pub(super) fn fields(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }

    fn key(&mut self, field: u32, kind: u32) {
        push_varint(self.0, u64::from(field << 3 | kind));
    }
}

fn push_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// What a receiver says of a request that it has taken: `ExportLogsServiceResponse` and its like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    /// Records that it has not taken.
    pub(super) rejected: u64,
    /// Why, or a warning.
    pub(super) message: String,
}

impl Response {
    /// Reads one; what is malformed says nothing.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::parse_strictly(bytes).unwrap_or_default()
    }

    /// The message of a receiver that has refused a request (`google.rpc.Status`); empty if it says nothing.
    pub(super) fn message_of_refusal(bytes: &[u8]) -> String {
        let mut fields = Reader(bytes);
        let mut message = String::new();
        while let Some(Some((field, value))) = fields.next() {
            if let (2, Field::Delimited(text)) = (field, value) {
                message = String::from_utf8_lossy(text).into_owned();
            }
        }
        message
    }

    fn parse_strictly(bytes: &[u8]) -> Option<Self> {
        let mut response = Self::default();
        let mut outer = Reader(bytes);
        while let Some((field, value)) = outer.next()? {
            // partial_success = 1
            let (1, Field::Delimited(partial)) = (field, value) else { continue };
            let mut inner = Reader(partial);
            while let Some((field, value)) = inner.next()? {
                match (field, value) {
                    (1, Field::Varint(rejected)) => response.rejected = rejected.min(i64::MAX as u64),
                    (2, Field::Delimited(text)) => {
                        response.message = String::from_utf8_lossy(text).into_owned()
                    }
                    _ => {}
                }
            }
        }
        Some(response)
    }
}

/// A field that was read.
#[derive(Clone, Copy, Debug)]
enum Field<'b> {
    Varint(u64),
    Delimited(&'b [u8]),
    Fixed,
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// `None`: malformed. `Some(None)`: there is no further field.
    fn next(&mut self) -> Option<Option<(u64, Field<'b>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match (key & 7) as u32 {
            VARINT => Field::Varint(self.varint()?),
            FIXED_64 => self.take(8).map(|_| Field::Fixed)?,
            FIXED_32 => self.take(4).map(|_| Field::Fixed)?,
            DELIMITED => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                Field::Delimited(self.take(bytes)?)
            }
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Message<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Message::new(&mut bytes));
        bytes
    }

    #[test]
    fn fields_are_on_the_wire_as_the_encoding_guide_shows_them() {
        // protobuf.dev/programming-guides/encoding: 150 in field 1, "testing" in field 2, a message with 150 in field 3.
        assert_eq!(written(|message| message.varint(1, 150)), [0x08, 0x96, 0x01]);
        let text = [&[0x12, 0x07], b"testing".as_slice()].concat();
        assert_eq!(written(|message| message.text(2, "testing")), text);
        let nested = written(|message| message.message(3, |inner| inner.varint(1, 150)));
        assert_eq!(nested, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(written(|message| message.fixed64(1, 1)), [9, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written(|message| message.fixed32(16, 1)), [0x85, 0x01, 1, 0, 0, 0]);
        assert_eq!(written(|message| message.double(4, 1.0)), [0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        let packed = written(|message| message.packed64(6, [1, 2].into_iter()));
        assert_eq!(packed, [&[0x32, 16, 1][..], &[0; 7], &[2], &[0; 7]].concat());
        assert!(written(|message| message.text_if_any(1, "")).is_empty());
    }

    #[test]
    fn a_long_message_has_its_length_before_it() {
        for bytes in [0_usize, 1, 127, 128, 16_383, 16_384, 100_000] {
            let content = vec![7; bytes];
            let written = written(|message| message.message(1, |inner| inner.fields(&content)));
            let mut reader = Reader(&written);
            let Some(Some((1, Field::Delimited(read)))) = reader.next() else { panic!("a message") };
            assert_eq!((read, reader.0.len()), (&content[..], 0));
        }
    }

    #[test]
    fn what_a_receiver_has_rejected_is_read_and_what_is_malformed_says_nothing() {
        let answer = written(|message| {
            message.fixed64(9, 1);
            message.message(1, |partial| {
                partial.varint(1, 3);
                partial.text(2, "too old");
                partial.varint(7, 1);
            });
        });
        assert_eq!(Response::parse(&answer), Response { rejected: 3, message: "too old".to_owned() });
        let refusal = written(|message| {
            message.varint(1, 3);
            message.text(2, "no such tenant");
        });
        assert_eq!(Response::message_of_refusal(&refusal), "no such tenant");
        assert_eq!(Response::message_of_refusal(b"\xff"), "");
        assert_eq!(Response::parse(&[]), Response::default());
        assert_eq!(Response::parse(b"{\"partialSuccess\":{}}"), Response::default());
        assert_eq!(Response::parse(&answer[..answer.len() - 1]), Response::default());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Response::parse(&bytes);
            Response::message_of_refusal(&bytes);
        }
    }
}
