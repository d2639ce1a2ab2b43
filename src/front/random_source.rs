//! Random bytes of one front, for ids of openings and traces and masks of sessions, without a system call for each.
//!
//! The bytes are HMAC-SHA256 of a counter under a key that the kernel gave once. Whoever sees some of the output learns nothing
//! about earlier or later output. The key never leaves the process.
//!
//! Not here: TLS keys and tickets, which have sources of their own.

use crate::session::CorrelationId;
use aws_lc_rs::hmac;
use std::cell::Cell;
use std::io;

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// The number of random bytes that an id takes. A tag has two such blocks.
const BLOCK_BYTES: usize = 16;

/// A source of random bytes that belongs to one thread.
#[derive(Debug)]
pub(super) struct RandomSource {
    key: hmac::Key,
    /// Tags that were made.
    tags: Cell<u64>,
    /// The second half of the last one, if it was not given yet.
    half: Cell<Option<[u8; BLOCK_BYTES]>>,
}

impl RandomSource {
    /// A source with a key of its own.
    ///
    /// # Errors
    /// The kernel has no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(format!("no random bytes: {error}")))?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), tags: Cell::new(0), half: Cell::new(None) })
    }

    /// An id for one opening.
    pub(super) fn correlation_id(&self) -> CorrelationId {
        CorrelationId::from_random(self.block())
    }

    /// Returns the mask for a frame that ringgate itself sends. It has to come from a strong source (RFC 6455 §5.3).
    pub(super) fn mask(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.block();
        [a, b, c, d]
    }

    /// Random bytes for the id of a trace, and for the ids of two spans.
    pub(super) fn trace_ids(&self) -> ([u8; BLOCK_BYTES], [u8; BLOCK_BYTES]) {
        (self.block(), self.block())
    }

    fn block(&self) -> [u8; BLOCK_BYTES] {
        if let Some(half) = self.half.take() {
            return half;
        }
        let count = self.tags.get();
        self.tags.set(count + 1);
        let tag = hmac::sign(&self.key, &count.to_le_bytes());
        let (first, second) = tag.as_ref().split_at(BLOCK_BYTES);
        let block = |bytes: &[u8]| bytes.try_into().expect("a tag of HMAC-SHA256 is two blocks");
        self.half.set(Some(block(second)));
        block(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_id_comes_twice_from_one_front_or_from_two() {
        let sources = [RandomSource::new().unwrap(), RandomSource::new().unwrap()];
        let ids: HashSet<_> = (0..20_000).map(|draw: usize| sources[draw % 2].correlation_id()).collect();
        assert_eq!(ids.len(), 20_000);
    }

    #[test]
    fn each_bit_of_an_id_but_those_of_its_version_is_set_in_about_half_of_them() {
        const DRAWS: u32 = 4_000;
        let source = RandomSource::new().unwrap();
        let mut set = [0_u32; 128];
        for _ in 0..DRAWS {
            let bits = u128::from_be_bytes(source.correlation_id().to_bytes());
            for (at, count) in set.iter_mut().enumerate() {
                *count += u32::from(bits >> (127 - at) & 1 == 1);
            }
        }
        for (at, count) in set.into_iter().enumerate() {
            match at {
                // The version is 0100, the variant 10.
                49 | 64 => assert_eq!(count, DRAWS, "bit {at}"),
                48 | 50 | 51 | 65 => assert_eq!(count, 0, "bit {at}"),
                // Nine standard deviations: an accident of 10^-18.
                _ => assert!(count.abs_diff(DRAWS / 2) < 285, "bit {at}: {count} of {DRAWS}"),
            }
        }
    }

    #[test]
    fn masks_differ() {
        let source = RandomSource::new().unwrap();
        let masks: HashSet<_> = (0..100).map(|_| source.mask()).collect();
        // Two equal ones among 100 of 2^32 would be one run in a million.
        assert_eq!(masks.len(), 100);
    }
}
