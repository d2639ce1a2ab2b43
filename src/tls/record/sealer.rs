//! Seals records into the caller's buffer.
//!
//! Content comes in pieces, as frames and their parts lie in memory, and leaves in as few records as it fits into. The sealed
//! size is known in advance, and nothing is allocated.
//!
//! Not here: key changes and owed answers (`outbound`).

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};

use super::ContentType;
use super::direction::DirectionState;
use super::suite::{CONTENT_BYTES_MAX, HEADER_BYTES, TAG_BYTES, Version};

/// The key has no sequence number left, or, in TLS 1.2, has protected all that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection's key is used up")]
pub struct Exhausted;

/// The sending direction: its state, and the AEAD's context while it is in use.
#[derive(Debug)]
pub struct Sealer {
    pub(super) state: DirectionState,
    context: Option<LessSafeKey>,
}

impl Sealer {
    /// Seals what goes next in this direction.
    pub fn new(state: DirectionState) -> Self {
        Self { state, context: None }
    }

    /// The direction's state.
    pub fn state(&self) -> &DirectionState {
        &self.state
    }

    /// Drops the AEAD's context, some hundred bytes of heap. The next record makes it again.
    pub fn rest(&mut self) {
        self.context = None;
    }

    /// Goes on to ringgate's next keys.
    pub(super) fn advance(&mut self) {
        self.state.advance();
        self.context = None;
    }

    /// How many bytes [`Self::seal`] makes of so many. Nothing makes no record.
    pub fn sealed_bytes(&self, content_bytes: usize) -> usize {
        content_bytes + content_bytes.div_ceil(CONTENT_BYTES_MAX) * self.state.suite().overhead_bytes()
    }

    /// Seals `pieces`, one behind the other, into the start of `out`, and says how many bytes that took.
    ///
    /// # Errors
    /// There is no sequence number left; records before that stand in `out` and are not to be sent.
    ///
    /// # Panics
    /// `out` is shorter than [`Self::sealed_bytes`].
    pub fn seal(
        &mut self,
        content_type: ContentType,
        pieces: &[&[u8]],
        out: &mut [u8],
    ) -> Result<usize, Exhausted> {
        let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut content = Pieces { pieces, used: 0 };
        let mut sealed = 0;
        while left > 0 {
            let content_bytes = left.min(CONTENT_BYTES_MAX);
            sealed += self.seal_record(content_type, &mut content, content_bytes, &mut out[sealed..])?;
            left -= content_bytes;
        }
        Ok(sealed)
    }

    fn seal_record(
        &mut self,
        content_type: ContentType,
        content: &mut Pieces<'_>,
        content_bytes: usize,
        out: &mut [u8],
    ) -> Result<usize, Exhausted> {
        if self.state.is_exhausted() {
            return Err(Exhausted);
        }
        let suite = self.state.suite();
        let record_bytes = suite.overhead_bytes() + content_bytes;
        let (outer_type, inner_type) = match suite.version {
            Version::Tls12 => (content_type.to_byte(), None),
            Version::Tls13 => (ContentType::ApplicationData.to_byte(), Some(content_type.to_byte())),
        };
        let length = ((record_bytes - HEADER_BYTES) as u16).to_be_bytes();
        let header = [outer_type, 3, 3, length[0], length[1]];
        let nonce = self.state.nonce_bytes();
        let explicit = &nonce[nonce.len() - suite.explicit_nonce_bytes()..];
        let (data, data_bytes) = self.state.additional_data(header, content_bytes);

        let (front, out) = out[..record_bytes].split_at_mut(HEADER_BYTES + explicit.len());
        front[..HEADER_BYTES].copy_from_slice(&header);
        front[HEADER_BYTES..].copy_from_slice(explicit);
        let (body, type_and_tag) = out.split_at_mut(content_bytes);
        debug_assert_eq!(type_and_tag.len(), inner_type.iter().len() + TAG_BYTES);

        let state = &self.state;
        let context = self.context.get_or_insert_with(|| state.context());
        let data = Aad::from(&data[..data_bytes]);
        let inner_type = inner_type.as_slice();
        let nonce = Nonce::assume_unique_for_key(nonce);
        // What lies in one piece is read where it lies; what does not is gathered first.
        let sealed = match content.next_whole(content_bytes) {
            Some(content) => {
                context.seal_out_of_place_scatter(nonce, data, content, body, inner_type, type_and_tag)
            }
            None => {
                content.copy_to(body);
                context.seal_in_place_scatter(nonce, data, body, inner_type, type_and_tag)
            }
        };
        sealed.map_err(|_| Exhausted)?;
        self.state.count(content_bytes);
        Ok(record_bytes)
    }
}

/// A position in pieces.
struct Pieces<'a> {
    pieces: &'a [&'a [u8]],
    /// Bytes of the first piece that were taken.
    used: usize,
}

impl<'a> Pieces<'a> {
    /// The next `bytes`, if they lie in one piece.
    fn next_whole(&mut self, bytes: usize) -> Option<&'a [u8]> {
        self.skip_used();
        let first = self.pieces.first()?;
        let whole = first.get(self.used..self.used + bytes)?;
        self.used += bytes;
        Some(whole)
    }

    /// Fills `out` with what comes next, as far as there is anything.
    fn copy_to(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            self.skip_used();
            let Some(first) = self.pieces.first() else { return };
            let rest = &first[self.used..];
            let bytes = rest.len().min(out.len());
            let (filled, behind) = out.split_at_mut(bytes);
            filled.copy_from_slice(&rest[..bytes]);
            self.used += bytes;
            out = behind;
        }
    }

    fn skip_used(&mut self) {
        while let Some((first, behind)) = self.pieces.split_first() {
            if self.used < first.len() {
                return;
            }
            self.used = 0;
            self.pieces = behind;
        }
    }
}
