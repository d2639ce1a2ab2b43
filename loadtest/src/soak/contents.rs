//! Contents of messages: made from a message's number and told from any other's, byte by byte.
//!
//! A message is its number (8 bytes) and a piece of one random text that begins where the number says, so that contents of
//! another session, another message or another place in the same message are noticed.

use crate::load::random::Random;
use crate::wire::put_header;

/// Bytes of a message's number.
const NUMBER_BYTES: usize = 8;
/// How many different places of the text a message may begin at; a prime.
const BEGINNINGS: u64 = 65_521;

/// The text that messages are pieces of.
#[derive(Debug)]
pub(super) struct Contents(Vec<u8>);

impl Contents {
    /// A text for messages of up to so many bytes.
    pub(super) fn new(message_bytes_max: usize, mut random: Random) -> Self {
        let bytes = message_bytes_max + BEGINNINGS as usize;
        Self((0..bytes).map(|_| random.next() as u8).collect())
    }

    /// A client's frame with a message, or with a first piece of it: `sent` of its `bytes` of payload. `bytes` is at
    /// least 8.
    pub(super) fn frame(&self, number: u64, bytes: usize, sent: usize, mask: [u8; 4]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(14 + bytes);
        put_header(&mut frame, 0x82, bytes, 0x80);
        frame.extend_from_slice(&mask);
        let payload_at = frame.len();
        frame.extend_from_slice(&number.to_be_bytes());
        frame.extend_from_slice(self.piece(number, 0, bytes - NUMBER_BYTES));
        frame.truncate(payload_at + sent);
        for (index, byte) in frame[payload_at..].iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
        frame
    }

    /// Whether `bytes` are those of a message from its byte `at` on.
    pub(super) fn matches(&self, number: u64, at: usize, bytes: &[u8]) -> bool {
        let of_number = NUMBER_BYTES.saturating_sub(at).min(bytes.len());
        let (head, rest) = bytes.split_at(of_number);
        let number_bytes = number.to_be_bytes();
        (head.is_empty() || head == &number_bytes[at..at + of_number])
            && rest == self.piece(number, (at + of_number).saturating_sub(NUMBER_BYTES), rest.len())
    }

    /// Bytes of the text; none where it has no more, since what came may be longer than any message.
    fn piece(&self, number: u64, at: usize, bytes: usize) -> &[u8] {
        let from = (number % BEGINNINGS) as usize + at;
        self.0.get(from..from + bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameReader, Part};

    #[test]
    fn a_message_matches_itself_in_any_cut_and_no_other() {
        let contents = Contents::new(400, Random::new(1));
        let frame = contents.frame(77, 400, 400, [0; 4]);
        let payload = &frame[8..];
        for step in 1..40 {
            let pieces = || payload.chunks(step).enumerate().map(|(index, piece)| (index * step, piece));
            assert!(pieces().all(|(at, piece)| contents.matches(77, at, piece)), "step {step}");
            assert!(pieces().any(|(at, piece)| !contents.matches(78, at, piece)), "step {step}");
        }
        let mut changed = payload.to_vec();
        changed[399] ^= 1;
        assert!(!contents.matches(77, 0, &changed));
    }

    #[test]
    fn a_mask_changes_the_bytes_and_not_the_message() {
        let contents = Contents::new(100, Random::new(2));
        let mask = [1, 2, 3, 4];
        let masked = contents.frame(5, 100, 100, mask);
        let mut unmasked = Vec::new();
        FrameReader::default().read(&masked, |part| {
            if let Part::Payload(payload) = part {
                unmasked.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
            }
        });
        assert!(contents.matches(5, 0, &unmasked));
        assert_eq!(contents.frame(5, 100, 30, mask), masked[..6 + 30]);
    }
}
