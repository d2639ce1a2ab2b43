//! The id of an opening and of the session that it becomes.
//!
//! Every log line about either has it as `id=`, and policies read it as `context.RequestId`.
//!
//! Not here: the source of its random bits (the front).

use core::fmt;

/// A GUID (RFC 9562, version 4) that names one opening and its session. It is drawn at the accept, and kept to the session's end.
///
/// It is written as policies write theirs: `0f3c2a6e-8d1b-4c57-9a40-5d2e7b1c9f08`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrelationId([u8; 16]);

impl CorrelationId {
    /// The id of these random bits, six of which its version and its variant take (RFC 9562 §5.4).
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Its last bits as a number, all of which are random: for who draws by the id.
    pub fn drawn(self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Its bytes, in the order in which they are written.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_version_and_the_variant_of_random_ids_and_is_written_in_groups() {
        for (bytes, written) in [
            ([0; 16], "00000000-0000-4000-8000-000000000000"),
            ([0xff; 16], "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            (
                *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
                "01234567-89ab-4def-8123-456789abcdef",
            ),
        ] {
            let id = CorrelationId::from_random(bytes);
            assert_eq!((id.to_string(), format!("{id:?}")), (written.to_owned(), written.to_owned()));
        }
    }
}
