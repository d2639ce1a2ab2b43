//! A faster scan of small frames that lie whole in one chunk. It is fastest where the frames are alike: then it costs little more
//! than looking at two bytes of each.
//!
//! It refuses nothing. Anything that is not plainly correct is left, with the state unchanged, for the general scan.
//!
//! The property to trust: a run has the same result as the same bytes one by one, which never take this way.

use super::{FrameKind, FrameRules, Scanner};
use crate::websocket::frame::{CONTROL_PAYLOAD_BYTES_MAX, FIN, MASKED, Opcode, RESERVED, Sender};

/// Largest payload, in bytes, of a frame whose length is in its second byte (RFC 6455 §5.2): what is small.
const SMALL_BYTES_MAX: u8 = CONTROL_PAYLOAD_BYTES_MAX as u8;
/// The opcode of a message's further fragments.
const CONTINUATION: u8 = 0x0;

/// Whether a small frame may begin here: a look that costs a large one nothing else.
#[inline]
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|[_, second]| second & !MASKED <= SMALL_BYTES_MAX)
}

/// A chunk of what one leg sends.
struct Chunk<'a> {
    bytes: &'a [u8],
    /// The mask bit of this leg's frames.
    mask_bit: u8,
    /// Bytes of a small frame's header.
    header_bytes: usize,
}

/// A small frame, whole in its chunk.
struct SmallFrame {
    first: u8,
    payload_bytes: u8,
    /// Where it ends.
    end: usize,
}

impl Chunk<'_> {
    /// The frame that begins at `at`. `None`: it is cut, not small, or has not the mask bit that it should have.
    #[inline]
    fn small_frame(&self, at: usize) -> Option<SmallFrame> {
        let [first, second] = *self.bytes[at..].first_chunk()?;
        // With the wrong mask bit this is 128 or more.
        let payload_bytes = second ^ self.mask_bit;
        let end = at + self.header_bytes + usize::from(payload_bytes);
        let is_one = payload_bytes <= SMALL_BYTES_MAX && end <= self.bytes.len();
        is_one.then_some(SmallFrame { first, payload_bytes, end })
    }
}

/// How large the frames may be that repeat one: they have its first byte, and follow it.
struct RepeatLimits {
    each_bytes_max: u64,
    all_bytes_max: u64,
}

impl Scanner {
    /// Passes the frames that `bytes` begin with, as long as they are whole, small and in order; gives how many bytes they are.
    ///
    /// The scanner stands between two frames, and holds nothing.
    #[inline(never)]
    pub(super) fn pass_small_frames(&mut self, bytes: &[u8], rules: &FrameRules) -> usize {
        let chunk = match self.sender {
            Sender::Client => Chunk { bytes, mask_bit: MASKED, header_bytes: 6 },
            Sender::Server => Chunk { bytes, mask_bit: 0, header_bytes: 2 },
        };
        let mut at = 0;
        while let Some(frame) = chunk.small_frame(at) {
            let payload_bytes = u64::from(frame.payload_bytes);
            let Some(kind) = self.begin_small_frame(frame.first, payload_bytes, rules) else { break };
            at = frame.end;
            let (mut frames, mut largest_bytes, mut repeated_bytes) = (1, payload_bytes, 0);
            if let Some(limits) = self.repeat_limits(frame.first, kind, rules) {
                while let Some(next) = chunk.small_frame(at)
                    && next.first == frame.first
                {
                    let payload_bytes = u64::from(next.payload_bytes);
                    let sum_bytes = repeated_bytes + payload_bytes;
                    if payload_bytes > limits.each_bytes_max || sum_bytes > limits.all_bytes_max {
                        break;
                    }
                    at = next.end;
                    frames += 1;
                    repeated_bytes = sum_bytes;
                    largest_bytes = largest_bytes.max(payload_bytes);
                }
                if let (true, Some(message)) = (kind.is_fragment(), &mut self.message) {
                    message.bytes += repeated_bytes;
                }
            }
            self.tally.count_frames(kind, u64::from(frames), payload_bytes + repeated_bytes);
            self.kind = kind;
            self.close = None;
            self.largest_bytes = self.largest_bytes.max(largest_bytes);
            self.frames = self.frames.wrapping_add(frames);
        }
        at
    }

    /// How large the frames may be that repeat the one of this first byte, which has just begun. `None`: none may.
    #[inline]
    fn repeat_limits(&self, first: u8, kind: FrameKind, rules: &FrameRules) -> Option<RepeatLimits> {
        let is_continuation = first & !(FIN | RESERVED) == CONTINUATION;
        let (each_bytes_max, all_bytes_max) = match (kind, self.message) {
            (FrameKind::Ping | FrameKind::Pong, _) => (u64::MAX, u64::MAX),
            // Another message, which is whole as well.
            (FrameKind::BinaryMessage | FrameKind::Utf8Message, None) if !is_continuation => {
                (rules.frame_bytes_max.min(rules.message_bytes_max), u64::MAX)
            }
            // The next fragment of the same message.
            (FrameKind::BinaryFragment | FrameKind::Utf8Fragment, Some(message)) if is_continuation => {
                (rules.frame_bytes_max, rules.message_bytes_max - message.bytes)
            }
            // A message's first fragment, its last one, or the end of all.
            (
                FrameKind::BinaryMessage
                | FrameKind::Utf8Message
                | FrameKind::BinaryFragment
                | FrameKind::Utf8Fragment
                | FrameKind::Close,
                _,
            ) => return None,
        };
        Some(RepeatLimits { each_bytes_max, all_bytes_max })
    }

    /// Returns the kind of the frame that begins with `first`. `None`: the general scan has to judge it, and nothing has changed.
    #[inline]
    fn begin_small_frame(&mut self, first: u8, payload_bytes: u64, rules: &FrameRules) -> Option<FrameKind> {
        let opcode = Opcode::from_bits(first & !(FIN | RESERVED)).ok()?;
        if first & RESERVED & !opcode.free_bits(rules.reserved_bits) != 0 {
            return None;
        }
        let is_final = first & FIN != 0;
        match opcode {
            Opcode::Close => None,
            Opcode::Ping => is_final.then_some(FrameKind::Ping),
            Opcode::Pong => is_final.then_some(FrameKind::Pong),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                self.begin_data_frame(opcode, is_final, payload_bytes, rules).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HELD_BYTES_MAX, Scan, ScanStop};
    use super::*;
    use crate::websocket::received_close::ReceivedClose;
    use crate::websocket::reserved_bits::ReservedBits;
    use crate::websocket::tally::Tally;
    use proptest::prelude::*;

    /// All that can be seen of a scanner, and what it made of its bytes.
    #[derive(Debug, PartialEq)]
    struct Outcome {
        forwarded: Vec<u8>,
        stop: Option<ScanStop>,
        frames: u32,
        tally: Tally,
        largest_bytes: u64,
        is_at_boundary: bool,
        payload_left: u64,
        kind: FrameKind,
        close: Option<ReceivedClose>,
        message: Option<(bool, u64)>,
        held: Vec<u8>,
    }

    fn outcome<'a>(sender: Sender, rules: &FrameRules, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
        let mut scanner = Scanner::new(sender);
        let (mut forwarded, mut frames_of_scans, mut stopped) = (Vec::new(), 0, None);
        for piece in pieces {
            let Scan { held, forward_bytes, frames, stop } = scanner.scan(piece, rules);
            forwarded.extend_from_slice(held.as_bytes());
            forwarded.extend_from_slice(&piece[..forward_bytes]);
            frames_of_scans += frames;
            stopped = stop;
            if stop.is_some() {
                break;
            }
        }
        let frames = scanner.take_frames();
        assert_eq!(frames, frames_of_scans);
        Outcome {
            forwarded,
            stop: stopped,
            frames,
            tally: scanner.tally().clone(),
            largest_bytes: scanner.take_largest(),
            is_at_boundary: scanner.is_at_boundary(),
            payload_left: scanner.payload_left(),
            kind: scanner.kind,
            close: scanner.close().cloned(),
            message: scanner.message.map(|message| (message.is_text, message.bytes)),
            held: scanner.held_bytes().to_vec(),
        }
    }

    /// A frame with a mask of zeros, or without one.
    fn frame(first: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
        let bit = if is_masked { MASKED } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(bit | len as u8),
            len => {
                bytes.push(bit | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        if is_masked {
            bytes.extend_from_slice(&[0; 4]);
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The first byte of a frame, its payload, and whether it has a mask that it should not have, or none that it should.
    type AnyFrame = (u8, Vec<u8>, bool);

    fn any_frame() -> impl Strategy<Value = AnyFrame> {
        let first = prop_oneof![
            6 => prop::sample::select(vec![0x81u8, 0x82]),
            8 => prop::sample::select(vec![0x01u8, 0x02, 0x00, 0x00, 0x80, 0x80]),
            4 => prop::sample::select(vec![0x89u8, 0x8a]),
            2 => prop::sample::select(vec![0xc1u8, 0x42, 0xc0, 0xc9, 0xf1, 0x20]),
            1 => prop::sample::select(vec![0x88u8, 0x08, 0x09, 0x83, 0x8b]),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..6),
            1 => Just(vec![0x03, 0xe8, 0x21]),
            2 => prop::collection::vec(any::<u8>(), 124..128),
        ];
        (first, payload, prop::bool::weighted(0.01))
    }

    /// Frames whose messages are mostly in order, so that a run is not cut short by the first fault.
    fn any_run() -> impl Strategy<Value = Vec<AnyFrame>> {
        let in_order = prop::collection::vec(
            prop_oneof![
                3 => any_frame().prop_map(|frame| vec![frame]),
                3 => (prop::sample::select(vec![0x01u8, 0x02, 0x42]), 0..5usize, any::<u8>()).prop_map(
                    |(first, between, byte)| {
                        let fragment = |first| (first, vec![byte; usize::from(byte % 3)], false);
                        let mut frames = vec![fragment(first)];
                        frames.extend((0..between).map(|at| fragment(if at == 2 { 0x89 } else { 0x00 })));
                        frames.push(fragment(0x80));
                        frames
                    }
                ),
                4 => (prop::sample::select(vec![0x81u8, 0x82, 0x89, 0x8a]), 0..9usize, 0..126usize).prop_map(
                    |(first, times, bytes)| vec![(first, vec![7; bytes], false); times]
                ),
            ],
            0..12,
        );
        in_order.prop_map(|runs| runs.concat())
    }

    fn any_rules() -> impl Strategy<Value = FrameRules> {
        let reserved_bits = prop::sample::select(vec![
            ReservedBits::None,
            ReservedBits::MessageCompressed,
            ReservedBits::Any,
        ]);
        let limit = || prop::sample::select(vec![u64::MAX, 0, 1, 4, 10, 125, 126]);
        (reserved_bits, limit(), limit()).prop_map(|(reserved_bits, frame_bytes_max, message_bytes_max)| {
            FrameRules { reserved_bits, frame_bytes_max, message_bytes_max }
        })
    }

    proptest! {
        #[test]
        fn a_run_of_frames_has_the_same_outcome_as_its_bytes_one_by_one(
            run in any_run(),
            noise in prop::collection::vec(any::<u8>(), 0..20),
            cut in 0usize..8,
            from_client in any::<bool>(),
            rules in any_rules(),
        ) {
            let sender = if from_client { Sender::Client } else { Sender::Server };
            let mut bytes: Vec<u8> = run
                .iter()
                .flat_map(|(first, payload, is_wrong)| frame(*first, payload, from_client != *is_wrong))
                .collect();
            bytes.extend(noise);
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let one_by_one = outcome(sender, &rules, bytes.chunks(1));
            prop_assert_eq!(&outcome(sender, &rules, [&bytes[..]].into_iter()), &one_by_one);
            // As receives cut it: the rest of a frame, a run, the start of a frame.
            prop_assert_eq!(&outcome(sender, &rules, bytes.chunks(97)), &one_by_one);
        }
    }

    #[test]
    fn passes_a_run_of_every_usual_kind_and_leaves_what_is_not_plainly_in_order() {
        let rules =
            FrameRules { reserved_bits: ReservedBits::None, frame_bytes_max: 100, message_bytes_max: 150 };
        for (sender, is_masked) in [(Sender::Client, true), (Sender::Server, false)] {
            let usual: Vec<u8> = [0x81, 0x82, 0x89, 0x8a, 0x01, 0x00, 0x89, 0x80, 0x02, 0x80]
                .into_iter()
                .flat_map(|first| frame(first, &[1; 50], is_masked))
                .collect();
            let header_bytes = if is_masked { 6 } else { 2 };
            for (what, left) in [
                ("nothing", vec![]),
                ("a cut header", frame(0x81, b"", is_masked)[..1].to_vec()),
                ("a frame that is cut", frame(0x81, b"abc", is_masked)[..header_bytes + 2].to_vec()),
                ("a large frame", frame(0x89, &[0; 126], is_masked)),
                ("the wrong mask bit", frame(0x81, b"abc", !is_masked)),
                ("a reserved bit", frame(0xc1, b"abc", is_masked)),
                ("an unknown opcode", frame(0x83, b"abc", is_masked)),
                ("a fragment of a control frame", frame(0x09, b"abc", is_masked)),
                ("a Close frame", frame(0x88, b"", is_masked)),
                ("a continuation of nothing", frame(0x80, b"abc", is_masked)),
                ("more than a frame may have", frame(0x82, &[0; 101], is_masked)),
            ] {
                let mut scanner = Scanner::new(sender);
                let bytes = [&usual[..], &left].concat();
                assert_eq!(scanner.pass_small_frames(&bytes, &rules), usual.len(), "{what}");
                assert_eq!(scanner.take_frames(), 10);
            }
            let mut scanner = Scanner::new(sender);
            let run = [0x02, 0x00, 0x00, 0x00].map(|first| frame(first, &[1; 50], is_masked)).concat();
            let three = 3 * (header_bytes + 50);
            assert_eq!(scanner.pass_small_frames(&run, &rules), three, "more than a message may have");
            let run = frame(0x81, b"abc", is_masked);
            assert_eq!(scanner.pass_small_frames(&run, &rules), 0, "a message inside a message");
            assert_eq!(scanner.take_frames(), 3);
            assert!(scanner.held_bytes().len() <= HELD_BYTES_MAX && scanner.is_at_boundary());
        }
    }
}
