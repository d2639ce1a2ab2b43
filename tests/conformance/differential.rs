//! The scanner against tungstenite's: both take a stream of frames, or both refuse it at the same frame.
//!
//! Where the two differ on purpose, the random streams keep away, and a test of its own pins what each of them does:
//!
//! | difference | ringgate | tungstenite | reason |
//! |---|---|---|---|
//! | length in more bytes than it takes | refuses | takes | RFC 6455 §5.2 demands the least; two readings of a length are how requests get smuggled |
//! | close code 1014 | takes | refuses | registered with IANA (bad gateway) after the RFC; ringgate makes none |
//! | text that is not UTF-8 | passes | refuses | the endpoint checks it; a gateway would have to unmask every byte |
//! | reason of a Close that is not UTF-8 | passes | refuses | the same |
//! | a header at fault, its payload still to come | refuses | waits for the payload | ringgate passes nothing on before it has judged it |
//! | close code that must not be sent | refuses | reads a Close, answers 1002 | the same on the wire; counted as refusals of both here |

use crate::frames::{client_frame, close_payload, server_frame};
use proptest::prelude::*;
use ringgate::websocket::frame::Sender;
use ringgate::websocket::reserved_bits::ReservedBits;
use ringgate::websocket::scanner::{FrameRules, ScanStop, Scanner};
use ringgate::websocket::tally::FrameKind;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

const FRAME_BYTES_MAX: usize = 70_000;
const MESSAGE_BYTES_MAX: usize = 72_000;

/// An implementation's judgement of a stream of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Judgement {
    end: Option<End>,
    messages: u64,
    pings: u64,
    pongs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The frame of this index is a correct Close.
    ClosedAt(usize),
    /// The frame of this index breaks a rule.
    RefusedAt(usize),
}

fn scan(frames: &[Vec<u8>], sender: Sender, cut: usize) -> Judgement {
    let rules = FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: FRAME_BYTES_MAX as u64,
        message_bytes_max: MESSAGE_BYTES_MAX as u64,
    };
    let bytes = frames.concat();
    let mut scanner = Scanner::new(sender);
    let mut passed = 0;
    let mut end = None;
    for chunk in bytes.chunks(cut) {
        let scan = scanner.scan(chunk, &rules);
        passed += scan.held.as_bytes().len() + scan.forward_bytes;
        end = match scan.stop {
            None => continue,
            // A Close is the last frame that passed, a frame at fault the first that did not.
            Some(ScanStop::Closed(_)) => Some(End::ClosedAt(index_at(frames, passed - 1))),
            Some(ScanStop::Fault(_)) => Some(End::RefusedAt(index_at(frames, passed))),
        };
        break;
    }
    let tally = scanner.tally();
    Judgement {
        end,
        messages: tally.messages(),
        pings: tally.frames(FrameKind::Ping),
        pongs: tally.frames(FrameKind::Pong),
    }
}

/// The index of the frame that the byte at `offset` belongs to.
fn index_at(frames: &[Vec<u8>], offset: usize) -> usize {
    let ends = frames.iter().scan(0, |end, frame| {
        *end += frame.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= offset).count()
}

/// A stream that gives what was put into it and swallows what is written.
#[derive(Default)]
struct Memory(VecDeque<u8>);

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_with_tungstenite(frames: &[Vec<u8>], sender: Sender) -> Judgement {
    let role = match sender {
        Sender::Client => Role::Server,
        Sender::Server => Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(FRAME_BYTES_MAX))
        .max_message_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Memory::default(), role, Some(config));
    let mut judgement = Judgement::default();
    for (index, frame) in frames.iter().enumerate() {
        socket.get_mut().0.extend(frame);
        judgement.end = loop {
            match socket.read() {
                Ok(Message::Text(_) | Message::Binary(_)) => judgement.messages += 1,
                Ok(Message::Ping(_)) => judgement.pings += 1,
                Ok(Message::Pong(_)) => judgement.pongs += 1,
                Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                    break Some(End::RefusedAt(index));
                }
                Ok(Message::Close(_)) => break Some(End::ClosedAt(index)),
                Ok(Message::Frame(_)) => panic!("tungstenite gives no frames when it reads"),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_)) => {
                    break Some(End::RefusedAt(index));
                }
                Err(error) => panic!("not a judgement: {error}"),
            }
        };
        if judgement.end.is_some() {
            break;
        }
    }
    judgement
}

fn frame(sender: Sender, first: u8, payload: &[u8]) -> Vec<u8> {
    match sender {
        Sender::Client => client_frame(first, payload),
        Sender::Server => server_frame(first, payload),
    }
}

fn other(sender: Sender) -> Sender {
    match sender {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    }
}

/// Mostly what is allowed next; sometimes anything, from the wrong side, or too long. ASCII, and never code 1014.
fn any_frame(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
    let ascii = |len: usize| vec![b'a' + (len % 26) as u8; len];
    let length = || prop_oneof![8 => 0usize..20, 3 => 120usize..130, 1 => 65_530usize..65_540, 1 => 69_999usize..70_002];
    let data = prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x00, 0x80]);
    let control = prop::sample::select(vec![0x89u8, 0x8a]);
    let code = prop_oneof![4 => 998u16..1018, 1 => any::<u16>()].prop_filter("differs", |code| *code != 1014);
    prop_oneof![
        12 => (data, length()).prop_map(move |(first, len)| frame(sender, first, &ascii(len))),
        4 => (control, 0usize..126).prop_map(move |(first, len)| frame(sender, first, &ascii(len))),
        2 => (any::<u8>(), 0usize..130).prop_map(move |(first, len)| {
            // A Close by chance has a code that may be sent.
            let code = if first & 0x0f == 0x8 { close_payload(1000, "") } else { Vec::new() };
            frame(sender, first, &[code, ascii(len)].concat())
        }),
        1 => length().prop_map(move |len| frame(other(sender), 0x82, &ascii(len))),
        1 => (code, 0usize..123).prop_map(move |(code, len)| {
            frame(sender, 0x88, &[close_payload(code, ""), ascii(len)].concat())
        }),
        1 => (0usize..2).prop_map(move |len| frame(sender, 0x88, &ascii(len))),
    ]
}

fn any_stream() -> impl Strategy<Value = (Sender, Vec<Vec<u8>>)> {
    prop::sample::select(vec![Sender::Client, Sender::Server])
        .prop_flat_map(|sender| (Just(sender), prop::collection::vec(any_frame(sender), 0..12)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn takes_and_refuses_the_same_frames_as_tungstenite((sender, frames) in any_stream(), cut in 1usize..200) {
        prop_assert_eq!(scan(&frames, sender, cut), read_with_tungstenite(&frames, sender));
    }
}

/// The judgements of both implementations on one frame after which each has seen enough.
fn both(sender: Sender, frame: Vec<u8>) -> (Option<End>, Option<End>) {
    let frames = [frame];
    (scan(&frames, sender, usize::MAX).end, read_with_tungstenite(&frames, sender).end)
}

const SENDERS: [Sender; 2] = [Sender::Client, Sender::Server];

#[test]
fn only_ringgate_refuses_a_length_in_more_bytes_than_it_takes() {
    assert_eq!(both(Sender::Server, vec![0x82, 126, 0, 1, 7]), (Some(End::RefusedAt(0)), None));
    let long = [&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 126][..], &[7; 126]].concat();
    assert_eq!(both(Sender::Server, long), (Some(End::RefusedAt(0)), None));
    let masked = vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, 7];
    assert_eq!(both(Sender::Client, masked), (Some(End::RefusedAt(0)), None));
}

#[test]
fn only_tungstenite_refuses_close_code_1014() {
    for sender in SENDERS {
        let close = frame(sender, 0x88, &close_payload(1014, ""));
        assert_eq!(both(sender, close), (Some(End::ClosedAt(0)), Some(End::RefusedAt(0))));
    }
}

#[test]
fn only_tungstenite_refuses_text_that_is_not_utf8() {
    for sender in SENDERS {
        assert_eq!(both(sender, frame(sender, 0x81, b"\xff")), (None, Some(End::RefusedAt(0))));
    }
}

#[test]
fn only_tungstenite_refuses_a_close_reason_that_is_not_utf8() {
    for sender in SENDERS {
        let close = frame(sender, 0x88, b"\x03\xe8\xff");
        assert_eq!(both(sender, close), (Some(End::ClosedAt(0)), Some(End::RefusedAt(0))));
    }
}

#[test]
fn only_ringgate_refuses_a_header_whose_payload_is_still_to_come() {
    for sender in SENDERS {
        for header in [&[0xc2, 0x05][..], &[0x80, 0x05], &[0x09, 0x05], &[0x89, 126, 0, 200]] {
            let mut cut = header.to_vec();
            if sender == Sender::Client {
                cut[1] |= 0x80;
                cut.extend_from_slice(&[1, 2, 3, 4]);
            }
            assert_eq!(both(sender, cut), (Some(End::RefusedAt(0)), None), "{header:02x?}");
        }
    }
}

#[test]
fn both_refuse_a_64_bit_length_with_its_top_bit_set() {
    let bytes = vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(both(Sender::Server, bytes), (Some(End::RefusedAt(0)), Some(End::RefusedAt(0))));
}

#[test]
fn both_refuse_close_codes_that_must_not_be_sent() {
    for sender in SENDERS {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            let close = frame(sender, 0x88, &close_payload(code, ""));
            assert_eq!(both(sender, close), (Some(End::RefusedAt(0)), Some(End::RefusedAt(0))), "{code}");
        }
    }
}
