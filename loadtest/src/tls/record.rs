//! TLS 1.3 records under AES-128-GCM (RFC 8446 §5).
//!
//! Content is sealed from where it lies into the caller's buffer, and opened the same way: no copy in between, nothing
//! allocated.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use std::io::{Error, ErrorKind, Result};

/// Most content of a record, in bytes.
pub(super) const CONTENT_BYTES_MAX: usize = 16 * 1024;
/// The bytes that sealing adds to a record's content: header, type and tag.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;

const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
/// Most bytes behind a record's header (RFC 8446 §5.2).
const SEALED_BYTES_MAX: usize = CONTENT_BYTES_MAX + 256;

/// The content type of an alert (RFC 8446 §5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Keys of one direction, and the number of its next record.
#[derive(Debug)]
pub(super) struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Direction {
    /// Goes on behind a handshake.
    ///
    /// # Errors
    /// Another suite was agreed.
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return Err(wrong("another suite than AES-128-GCM was agreed"));
        };
        Self::with_key(key.as_ref(), iv.as_ref(), sequence)
    }

    fn with_key(key: &[u8], iv: &[u8], sequence: u64) -> Result<Self> {
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| wrong("the key has another length"))?;
        let iv = iv.try_into().map_err(|_| wrong("the nonce has another length"))?;
        Ok(Self { key: LessSafeKey::new(key), iv, sequence })
    }

    /// Seals content as records into the start of `out`, and gives how many bytes that took.
    ///
    /// # Errors
    /// Never, where `out` has [`OVERHEAD_BYTES`] more than each [`CONTENT_BYTES_MAX`] of content.
    pub(super) fn seal(&mut self, content_type: u8, content: &[u8], out: &mut [u8]) -> Result<usize> {
        let mut end = 0;
        for content in content.chunks(CONTENT_BYTES_MAX) {
            let header = header(content.len() + 1 + TAG_BYTES);
            let (head, rest) = out[end..].split_at_mut(HEADER_BYTES);
            head.copy_from_slice(&header);
            let (body, rest) = rest.split_at_mut(content.len());
            let nonce = self.next_nonce();
            self.key
                .seal_out_of_place_scatter(
                    nonce,
                    Aad::from(header),
                    content,
                    body,
                    &[content_type],
                    &mut rest[..1 + TAG_BYTES],
                )
                .map_err(|_| wrong("a record cannot be sealed"))?;
            end += OVERHEAD_BYTES + content.len();
        }
        Ok(end)
    }

    /// Opens a whole record into the start of `out`; gives type and bytes of its content.
    ///
    /// # Errors
    /// It was changed on its way, or is none that may come behind a handshake.
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<(u8, usize)> {
        let (head, body) = record.split_at(HEADER_BYTES);
        if head[0] != APPLICATION_DATA || body.len() <= TAG_BYTES {
            return Err(wrong("a record came that is not sealed"));
        }
        let (sealed, tag) = body.split_at(body.len() - TAG_BYTES);
        let nonce = self.next_nonce();
        let out = &mut out[..sealed.len()];
        self.key
            .open_separate_gather(nonce, Aad::from(head), sealed, tag, out)
            .map_err(|_| wrong("a record is not authentic"))?;
        // RFC 8446 §5.4: the type stands behind the content, and zeros may follow.
        let at = out.iter().rposition(|byte| *byte != 0).ok_or_else(|| wrong("a record has no type"))?;
        Ok((out[at], at))
    }

    /// RFC 8446 §5.3.
    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// How many bytes the record at the start of `bytes` has, if it is whole.
///
/// # Errors
/// Longer than any record.
pub(super) fn whole_record(bytes: &[u8]) -> Result<Option<usize>> {
    let [_, _, _, high, low, ..] = bytes else { return Ok(None) };
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if body > SEALED_BYTES_MAX {
        return Err(wrong("a record is too long"));
    }
    Ok((bytes.len() >= HEADER_BYTES + body).then_some(HEADER_BYTES + body))
}

fn header(body_bytes: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (body_bytes as u16).to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

/// A peer that breaks the protocol.
pub(super) fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction() -> Direction {
        Direction::with_key(&[3; 16], &[7; 12], 0).expect("a direction")
    }

    #[test]
    fn what_is_sealed_opens_and_what_was_changed_does_not() {
        let (mut sealer, mut opener) = (direction(), direction());
        let content: Vec<u8> = (0..40_000_u32).map(|index| index as u8).collect();
        let mut sealed = vec![0; content.len() + 3 * OVERHEAD_BYTES];
        let end = sealer.seal(APPLICATION_DATA, &content, &mut sealed).expect("sealed");
        assert_eq!(end, sealed.len());
        let (mut opened, mut at) = (Vec::new(), 0);
        let mut out = vec![0; SEALED_BYTES_MAX];
        while let Some(len) = whole_record(&sealed[at..]).expect("a record") {
            let (content_type, count) = opener.open(&sealed[at..at + len], &mut out).expect("authentic");
            assert_eq!(content_type, APPLICATION_DATA);
            opened.extend_from_slice(&out[..count]);
            at += len;
        }
        assert!(opened == content);
        let end = sealer.seal(ALERT, &[1, 0], &mut sealed).expect("sealed");
        sealed[7] ^= 1;
        assert!(opener.open(&sealed[..end], &mut out).is_err());
    }
}
