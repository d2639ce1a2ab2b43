//! Frames: every cut of a stream yields the same bytes and the same end, nothing is made up, nothing is kept for long.

use super::{Choices, cut};
use ringgate::websocket::ReservedBits;
use ringgate::websocket::frame::Sender;
use ringgate::websocket::scanner::{FrameRules, HELD_BYTES_MAX, ScanStop, Scanner};
use ringgate::websocket::tally::{FrameKind, Tally};

/// The outcome of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    forwarded: Vec<u8>,
    stop: Option<ScanStop>,
    tally: Tally,
    is_at_boundary: bool,
}

/// `input` is rules, up to 15 cuts, and what one leg sends.
pub fn check(input: &[u8]) {
    let mut choices = Choices(input);
    let rules_by = choices.byte();
    let sender = if rules_by & 1 == 0 { Sender::Client } else { Sender::Server };
    let rules = FrameRules {
        reserved_bits: if rules_by & 2 == 0 { ReservedBits::None } else { ReservedBits::MessageCompressed },
        frame_bytes_max: if rules_by & 4 == 0 { u64::MAX } else { 1_000 },
        message_bytes_max: if rules_by & 8 == 0 { u64::MAX } else { 2_000 },
    };
    let cuts: Vec<u8> = (0..rules_by >> 4).map(|_| choices.byte()).collect();
    let stream = choices.0;

    let whole = scan(sender, &rules, &[stream]);
    assert!(stream.starts_with(&whole.forwarded), "what goes on is what came");
    if whole.stop.is_none() {
        assert!(stream.len() - whole.forwarded.len() <= HELD_BYTES_MAX, "only a cut header is kept");
    }
    if matches!(whole.stop, Some(ScanStop::Closed(_))) {
        assert!(whole.is_at_boundary, "a Close frame is whole before it counts");
        assert_eq!(whole.tally.frames(FrameKind::Close), 1);
    }
    assert_eq!(scan(sender, &rules, &cut(stream, &cuts)), whole, "cut by {cuts:?}");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(scan(sender, &rules, &bytes), whole, "byte by byte");
}

fn scan(sender: Sender, rules: &FrameRules, pieces: &[&[u8]]) -> Outcome {
    let mut scanner = Scanner::new(sender);
    let (mut forwarded, mut stop) = (Vec::new(), None);
    for piece in pieces {
        let scan = scanner.scan(piece, rules);
        forwarded.extend_from_slice(scan.held.as_bytes());
        forwarded.extend_from_slice(&piece[..scan.forward_bytes]);
        stop = scan.stop;
        if stop.is_some() {
            break;
        }
    }
    Outcome { forwarded, stop, tally: scanner.tally().clone(), is_at_boundary: scanner.is_at_boundary() }
}
