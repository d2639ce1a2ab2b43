//! Opens one received record, in place.
//!
//! Not here: the bounds of records in the stream, and the meaning of their content (`inbound`).

use core::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};

use super::ContentType;
use super::direction::DirectionState;
use super::fault::RecordFault;
use super::suite::{CONTENT_BYTES_MAX, HEADER_BYTES, TAG_BYTES, Version};

/// The content of an opened record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The content type.
    pub content_type: ContentType,
    /// Where in the record it stands.
    pub content: Range<usize>,
}

/// The receiving direction: its state, and the AEAD's context while it is in use.
#[derive(Debug)]
pub struct Opener {
    pub(super) state: DirectionState,
    context: Option<LessSafeKey>,
}

impl Opener {
    /// Opens what comes next in this direction.
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

    /// Goes on to the peer's next keys.
    pub(super) fn advance(&mut self) {
        self.state.advance();
        self.context = None;
    }

    /// Opens a whole record, whose header was judged before.
    ///
    /// # Errors
    /// The record breaks a rule; then its bytes are worthless, and so are all that follow.
    pub fn open_in_place(&mut self, record: &mut [u8]) -> Result<Opened, RecordFault> {
        if self.state.is_exhausted() {
            return Err(RecordFault::SequenceExhausted);
        }
        let suite = self.state.suite();
        let start = HEADER_BYTES + suite.explicit_nonce_bytes();
        let (front, protected) = record.split_at_mut_checked(start).ok_or(RecordFault::NotAuthentic)?;
        let plain_bytes = protected.len().checked_sub(TAG_BYTES).ok_or(RecordFault::NotAuthentic)?;
        let (header, explicit) = front.split_first_chunk().ok_or(RecordFault::NotAuthentic)?;
        let nonce = match explicit {
            [] => Nonce::assume_unique_for_key(self.state.nonce_bytes()),
            explicit => self.state.nonce_with(explicit),
        };
        let (data, data_bytes) = self.state.additional_data(*header, plain_bytes);
        let state = &self.state;
        let context = self.context.get_or_insert_with(|| state.context());
        let (plain, tag) = protected.split_at_mut(plain_bytes);
        context
            .open_in_place_separate_tag(nonce, Aad::from(&data[..data_bytes]), tag, plain)
            .map_err(|_| RecordFault::NotAuthentic)?;
        let (content_type, content_bytes) = match suite.version {
            Version::Tls12 => (ContentType::from_byte(header[0])?, plain_bytes),
            Version::Tls13 => inner_content(plain)?,
        };
        if content_bytes > CONTENT_BYTES_MAX {
            return Err(RecordFault::ContentTooLong);
        }
        self.state.count(plain_bytes);
        Ok(Opened { content_type, content: start..start + content_bytes })
    }
}

/// Type and length of the content in front of its padding (RFC 8446 §5.4).
fn inner_content(plain: &[u8]) -> Result<(ContentType, usize), RecordFault> {
    if plain.len() > CONTENT_BYTES_MAX + 1 {
        return Err(RecordFault::ContentTooLong);
    }
    let content_bytes = plain.iter().rposition(|byte| *byte != 0).ok_or(RecordFault::NoContentType)?;
    Ok((ContentType::from_byte(plain[content_bytes])?, content_bytes))
}
