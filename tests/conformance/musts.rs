//! One row per MUST of RFC 6455 §5 (and of §7.4, on codes): who sends what, and what the two endpoints see.

use crate::frames::{MASK, client_frame, close_payload, server_frame};
use ringgate::session::Leg::{self, Downstream, Upstream};
use ringgate::session::{Effect, Effects, Moment, Session, SessionLimits};
use ringgate::websocket::reserved_bits::ReservedBits;
use ringgate::websocket::scanner::FrameRules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// All of it passes, and nothing is said to anybody.
    Passes,
    /// So many bytes pass; the sender is told 1002, a client whose backend it is 1011; a backend hears of an end.
    RefusedBehind(usize),
    /// So many bytes pass, the last of them a Close frame; nothing of ringgate's own is said.
    ClosedBehind(usize),
}
use Expected::{ClosedBehind, Passes, RefusedBehind};

struct Row {
    section: &'static str,
    rule: &'static str,
    sender: Leg,
    agreed: ReservedBits,
    bytes: Vec<u8>,
    expected: Expected,
}

/// A frame as its sender must make it.
fn frame(sender: Leg, first: u8, payload: &[u8]) -> Vec<u8> {
    match sender {
        Downstream => client_frame(first, payload),
        Upstream => server_frame(first, payload),
    }
}

/// A header with this second byte (without its mask bit) and extended length, and no payload.
fn header(sender: Leg, first: u8, second: u8, extended: &[u8]) -> Vec<u8> {
    match sender {
        Downstream => [&[first, 0x80 | second], extended, &MASK[..]].concat(),
        Upstream => [&[first, second], extended].concat(),
    }
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn one(
        &mut self,
        section: &'static str,
        rule: &'static str,
        sender: Leg,
        bytes: Vec<u8>,
        expected: Expected,
    ) {
        self.0.push(Row { section, rule, sender, agreed: ReservedBits::None, bytes, expected });
    }

    /// The same from either sender.
    fn both(
        &mut self,
        section: &'static str,
        rule: &'static str,
        bytes: impl Fn(Leg) -> Vec<u8>,
        expected: Expected,
    ) {
        self.agreed(section, rule, ReservedBits::None, bytes, expected);
    }

    fn agreed(
        &mut self,
        section: &'static str,
        rule: &'static str,
        agreed: ReservedBits,
        bytes: impl Fn(Leg) -> Vec<u8>,
        expected: Expected,
    ) {
        for sender in Leg::BOTH {
            self.0.push(Row { section, rule, sender, agreed, bytes: bytes(sender), expected });
        }
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Rows::default();
    masking(&mut rows);
    base_framing(&mut rows);
    fragmentation(&mut rows);
    control_frames(&mut rows);
    close_frames(&mut rows);
    data_frames(&mut rows);
    rows.0
}

fn masking(rows: &mut Rows) {
    let refused = RefusedBehind(0);
    rows.one("5.1", "a client masks its frames", Downstream, client_frame(0x81, b"hi"), Passes);
    rows.one(
        "5.1",
        "a frame from a client that is not masked",
        Downstream,
        server_frame(0x81, b"hi"),
        refused,
    );
    rows.one("5.1", "even an empty one", Downstream, server_frame(0x82, b""), refused);
    rows.one("5.1", "even a control frame", Downstream, server_frame(0x89, b""), refused);
    rows.one("5.1", "a server does not mask its frames", Upstream, server_frame(0x81, b"hi"), Passes);
    rows.one("5.1", "a frame from a server that is masked", Upstream, client_frame(0x81, b"hi"), refused);
    rows.one("5.1", "even a Close", Upstream, client_frame(0x88, b""), refused);
    // §5.3: masking changes no length; a key of zeros is a key.
    rows.one("5.3", "any masking key is one", Downstream, vec![0x81, 0x82, 0, 0, 0, 0, b'h', b'i'], Passes);
}

fn base_framing(rows: &mut Rows) {
    let refused = RefusedBehind(0);
    rows.both("5.2", "RSV1 without an extension", |leg| frame(leg, 0xc1, b"a"), refused);
    rows.both("5.2", "RSV2 without an extension", |leg| frame(leg, 0xa1, b"a"), refused);
    rows.both("5.2", "RSV3 without an extension", |leg| frame(leg, 0x91, b"a"), refused);
    rows.both("5.2", "RSV1 on a control frame", |leg| frame(leg, 0xc9, b""), refused);
    let deflate = ReservedBits::MessageCompressed;
    rows.agreed("5.2", "RSV1 where the extension means it", deflate, |leg| frame(leg, 0xc1, b"a"), Passes);
    rows.agreed(
        "5.2",
        "RSV1 on a control frame, with deflate",
        deflate,
        |leg| frame(leg, 0xc9, b""),
        refused,
    );
    rows.agreed("5.2", "RSV2 with deflate alone", deflate, |leg| frame(leg, 0xa1, b"a"), refused);
    let any = ReservedBits::Any;
    rows.agreed("5.2", "all three with an unknown extension", any, |leg| frame(leg, 0xf9, b""), Passes);
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        rows.both("5.2", "an unknown opcode", |leg| frame(leg, 0x80 | opcode, b""), refused);
        // §5.8: an extension has to be agreed on by name for that, and none of those defines opcodes.
        rows.agreed(
            "5.8",
            "an unknown opcode with deflate",
            deflate,
            |leg| frame(leg, 0x80 | opcode, b""),
            refused,
        );
    }
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        rows.both(
            "5.2",
            "a length in as few bytes as it takes",
            |leg| frame(leg, 0x82, &vec![7; length]),
            Passes,
        );
    }
    let wasteful = "a length in more bytes than it takes";
    rows.both("5.2", wasteful, |leg| header(leg, 0x82, 126, &[0, 0]), refused);
    rows.both("5.2", wasteful, |leg| header(leg, 0x82, 126, &[0, 125]), refused);
    rows.both("5.2", wasteful, |leg| header(leg, 0x82, 127, &[0, 0, 0, 0, 0, 0, 0, 126]), refused);
    rows.both("5.2", wasteful, |leg| header(leg, 0x82, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]), refused);
    rows.both(
        "5.2",
        "the top bit of a length",
        |leg| header(leg, 0x82, 127, &[0x80, 0, 0, 0, 0, 1, 0, 0]),
        refused,
    );
    rows.both(
        "5.2",
        "the largest length",
        |leg| header(leg, 0x82, 127, &[0x7f, 255, 255, 255, 255, 255, 255, 255]),
        Passes,
    );
}

fn fragmentation(rows: &mut Rows) {
    let message = |leg| [frame(leg, 0x01, b"a"), frame(leg, 0x00, b""), frame(leg, 0x80, b"b")].concat();
    rows.both("5.4", "fragments in order, passed on as they were cut", message, Passes);
    rows.both(
        "5.4",
        "a message of empty fragments",
        |leg| [frame(leg, 0x02, b""), frame(leg, 0x80, b"")].concat(),
        Passes,
    );
    let with_control = |leg| {
        [frame(leg, 0x01, b"a"), frame(leg, 0x89, b"p"), frame(leg, 0x8a, b"q"), frame(leg, 0x80, b"b")]
            .concat()
    };
    rows.both("5.4", "control frames inside a fragmented message", with_control, Passes);
    let with_close = |leg| [frame(leg, 0x01, b"a"), frame(leg, 0x88, b"")].concat();
    for sender in Leg::BOTH {
        let bytes = with_close(sender);
        let whole = bytes.len();
        rows.one("5.4", "a Close inside a fragmented message", sender, bytes, ClosedBehind(whole));
        let fragment = frame(sender, 0x01, b"a").len();
        for inner in [0x01, 0x02, 0x81, 0x82] {
            let bytes = [frame(sender, 0x01, b"a"), frame(sender, inner, b"b")].concat();
            rows.one("5.4", "fragments of two messages interleaved", sender, bytes, RefusedBehind(fragment));
        }
        let whole = frame(sender, 0x81, b"a").len();
        let bytes = [frame(sender, 0x81, b"a"), frame(sender, 0x80, b"b")].concat();
        rows.one("5.4", "a continuation behind a whole message", sender, bytes, RefusedBehind(whole));
    }
    rows.both("5.4", "a continuation of nothing", |leg| frame(leg, 0x80, b"a"), RefusedBehind(0));
    rows.both("5.4", "a fragment of nothing", |leg| frame(leg, 0x00, b"a"), RefusedBehind(0));
}

fn control_frames(rows: &mut Rows) {
    let refused = RefusedBehind(0);
    for first in [0x08, 0x09, 0x0a] {
        rows.both("5.5", "a fragmented control frame", |leg| frame(leg, first, b""), refused);
    }
    for first in [0x88, 0x89, 0x8a] {
        let payload = |length: usize| [close_payload(1000, ""), vec![b'x'; length - 2]].concat();
        rows.both("5.5", "a control frame over 125 bytes", |leg| frame(leg, first, &payload(126)), refused);
        if first != 0x88 {
            rows.both("5.5", "a control frame of 125 bytes", |leg| frame(leg, first, &payload(125)), Passes);
        }
    }
    // §5.5.2, §5.5.3: the endpoints answer Pings; ringgate passes both on with their data.
    rows.both("5.5.2", "a Ping reaches who has to answer it", |leg| frame(leg, 0x89, b"data"), Passes);
    rows.both("5.5.3", "a Pong keeps the Ping's data", |leg| frame(leg, 0x8a, b"data"), Passes);
    rows.both("5.5.3", "a Pong that nobody asked for", |leg| frame(leg, 0x8a, b""), Passes);
}

fn close_frames(rows: &mut Rows) {
    for sender in Leg::BOTH {
        let payloads = [&b""[..], b"\x03\xe8", b"\x03\xe8bye", &[&b"\x03\xe8"[..], &[b'x'; 123]].concat()];
        for payload in payloads {
            let close = frame(sender, 0x88, payload);
            let passing = close.len();
            let bytes = [close, frame(sender, 0x81, b"more")].concat();
            rows.one("5.5.1", "nothing follows a Close", sender, bytes, ClosedBehind(passing));
        }
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            let close = frame(sender, 0x88, &close_payload(code, ""));
            let passing = close.len();
            rows.one("7.4", "a code that may be sent", sender, close, ClosedBehind(passing));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            let close = frame(sender, 0x88, &close_payload(code, "why"));
            rows.one("7.4", "a code that must not be sent", sender, close, RefusedBehind(0));
        }
    }
    rows.both("5.5.1", "a Close with half a code", |leg| frame(leg, 0x88, b"\x03"), RefusedBehind(0));
}

/// Deviation: §5.6 and §8.1 have text in UTF-8, and §5.5.1 the reason of a Close. A gateway that unmasks nothing leaves
/// that to the endpoint that the text is for, which has to check it anyway.
fn data_frames(rows: &mut Rows) {
    rows.both("5.6", "binary data is anything", |leg| frame(leg, 0x82, b"\xff\xfe\x00"), Passes);
    rows.both("5.6", "text that is not UTF-8 (deviation)", |leg| frame(leg, 0x81, b"\xff\xfe"), Passes);
    for sender in Leg::BOTH {
        let close = frame(sender, 0x88, b"\x03\xe8\xff");
        let passing = close.len();
        rows.one("5.5.1", "a reason that is not UTF-8 (deviation)", sender, close, ClosedBehind(passing));
    }
}

/// The bytes that left on each leg, separated by their origin.
#[derive(Default)]
struct Seen {
    passed: Vec<u8>,
    farewells: [Vec<u8>; 2],
}

fn limits(reserved_bits: ReservedBits) -> SessionLimits {
    SessionLimits {
        frames: Some(FrameRules { reserved_bits, frame_bytes_max: u64::MAX, message_bytes_max: u64::MAX }),
        idle_timeout_ms: 60_000,
        longest_life_ms: None,
        linger_ms: 5_000,
    }
}

fn relay<'a>(session: &mut Session, sender: Leg, chunks: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut seen = Seen::default();
    let mut effects = Effects::new();
    for chunk in chunks {
        let handled = session.handle_bytes(sender, chunk, Moment::ZERO, &mut effects);
        assert_eq!(handled, Ok(()));
        for effect in effects.drain(..) {
            match effect {
                Effect::Forward { to, held, range } => {
                    assert_eq!(to, sender.other());
                    seen.passed.extend_from_slice(held.as_bytes());
                    seen.passed.extend_from_slice(&chunk[range]);
                }
                Effect::Inject { to, frame } => {
                    seen.farewells[to as usize].extend_from_slice(frame.as_bytes())
                }
                Effect::Pause { .. }
                | Effect::Resume { .. }
                | Effect::InjectNow { .. }
                | Effect::SayEnd { .. }
                | Effect::SayEndNow { .. }
                | Effect::Shutdown { .. }
                | Effect::Discard { .. }
                | Effect::Reset { .. }
                | Effect::Deadline(_)
                | Effect::Ended(_) => {}
            }
        }
    }
    seen
}

/// The code of a Close frame towards `leg`.
fn code_of(leg: Leg, frame: &[u8]) -> Option<u16> {
    match (leg, frame) {
        (_, []) => None,
        (Downstream, [0x88, _, high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
        (Upstream, [0x88, _, key @ .., _, _]) if frame.len() >= 8 => {
            Some(u16::from_be_bytes([frame[6] ^ key[0], frame[7] ^ key[1]]))
        }
        _ => panic!("not a Close frame towards {leg:?}: {frame:02x?}"),
    }
}

#[test]
fn every_must_has_its_outcome_however_the_bytes_are_cut() {
    for row in rows() {
        for step in [usize::MAX, 1, 3] {
            let what = format!("§{} {}, from {}, cut at {step}", row.section, row.rule, row.sender.name());
            let mut session = Session::new(limits(row.agreed), [9, 8, 7, 6], Moment::ZERO);
            let seen = relay(&mut session, row.sender, row.bytes.chunks(step));
            let (passing, told) = match row.expected {
                Passes => (row.bytes.len(), [None, None]),
                ClosedBehind(passing) => (passing, [None, None]),
                RefusedBehind(passing) => match row.sender {
                    Downstream => (passing, [Some(1002), None]),
                    Upstream => (passing, [Some(1011), Some(1002)]),
                },
            };
            assert!(seen.passed == row.bytes[..passing], "{what}: passed {:02x?}", seen.passed);
            assert_eq!(Leg::BOTH.map(|leg| code_of(leg, &seen.farewells[leg as usize])), told, "{what}");
        }
    }
}

#[test]
fn a_frame_of_ours_towards_the_backend_is_masked_with_the_key_it_was_given() {
    // RFC 6455 §5.1, §5.3: towards a backend ringgate is a client, and the key comes from a random source.
    let mut session = Session::new(limits(ReservedBits::None), [9, 8, 7, 6], Moment::ZERO);
    let seen = relay(&mut session, Upstream, [&b"\x83\0"[..]].into_iter());
    let [to_client, to_backend] = seen.farewells;
    assert_eq!(to_client[1] & 0x80, 0);
    assert_eq!(to_backend[1] & 0x80, 0x80);
    assert_eq!(to_backend[2..6], [9, 8, 7, 6]);
}

#[test]
fn both_closes_behind_it_the_servers_side_ends_the_connection() {
    // RFC 6455 §5.5.1, §7.1.1: towards a client ringgate is the server; a backend is one itself.
    let mut session = Session::new(limits(ReservedBits::None), [9, 8, 7, 6], Moment::ZERO);
    let close = [client_frame(0x88, b""), server_frame(0x88, b"")];
    let mut effects = Effects::new();
    for leg in Leg::BOTH {
        session.handle_bytes(leg, &close[leg as usize], Moment::ZERO, &mut effects).unwrap();
    }
    for leg in Leg::BOTH {
        session
            .handle_sent(leg, close[leg.other() as usize].len() as u64, Moment::ZERO, &mut effects)
            .unwrap();
    }
    let shut: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Shutdown { .. })).collect();
    assert_eq!(shut, [&Effect::Shutdown { leg: Downstream }]);
}
