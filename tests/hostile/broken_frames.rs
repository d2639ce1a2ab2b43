//! Peers that break off or break the rules of frames behind a correct 101: both ends hear what they should, and no more.

use crate::neighbour::{Scene, attacked};
use crate::support::backend::{Pair, switching};
use crate::support::frames::{MASK, client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use ringgate::session::{Cause, Phase};

fn open(scene: &Scene) -> Pair {
    Pair::open(scene.gateway.address, &scene.backend)
}

/// A Close frame as ringgate sends it to a backend, unmasked.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    assert_eq!((frame[0], usize::from(frame[1])), (0x88, 0x80 | (frame.len() - 6)), "{frame:02x?}");
    frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// The Close frame that tells a client of its backend's failing.
fn bad_gateway() -> Vec<u8> {
    server_frame(0x88, &close_payload(1011, "bad gateway"))
}

#[test]
fn a_backend_that_breaks_off_within_a_frame_is_no_orderly_end_for_the_client() {
    let whole = server_frame(0x82, b"whole");
    let fragments = [server_frame(0x02, &[7; 300]), server_frame(0x80, b"the rest")].concat();
    let bytes = [&whole[..], &fragments].concat();
    // How far the backend gets and how far of that the client, in the fragments: bytes of a header wait for its end.
    let (header, fragment) = (4, 304);
    let cuts = [
        ("behind a frame", 0, 0),
        ("behind one byte of a header", 1, 0),
        ("within a length", 3, 0),
        ("behind a header", header, header),
        ("within a payload", 100, 100),
        ("before the last byte", fragment - 1, fragment - 1),
        ("between two fragments", fragment, fragment),
        ("behind one byte of the last fragment", fragment + 1, fragment),
        ("behind the header of the last fragment", fragment + 2, fragment + 2),
    ];
    attacked("", "", |scene| {
        for (name, sent, passed) in cuts {
            scene.case(&format!("{name}, an orderly end (RFC 6455 §5.5.1, §7.1.5)"), || {
                let ended = scene.gateway.terminations(Cause::Ended, Phase::Relay);
                let mut pair = open(scene);
                pair.backend.send(&bytes[..whole.len() + sent]);
                pair.backend.finish();
                pair.client.expect(&bytes[..whole.len() + passed]);
                // Without a Close: the client cannot take it for the end of its conversation.
                assert_eq!(pair.client.read_to_end(), (vec![], StreamEnd::Fin));
                pair.client.finish();
                pair.backend.read_to_end();
                drop(pair);
                scene.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, ended + 1);
            });
            scene.case(&format!("{name}, a reset (RFC 6455 §7.1.5)"), || {
                let resets = scene.gateway.terminations(Cause::Reset, Phase::Relay);
                let mut pair = open(scene);
                pair.backend.send(&bytes[..whole.len() + sent]);
                pair.client.expect(&whole);
                pair.backend.reset();
                // A reset may overtake what stands before it.
                let (rest, end) = pair.client.read_to_end();
                assert!(fragments[..passed].starts_with(&rest), "{rest:02x?}");
                assert_eq!(end, StreamEnd::Reset);
                scene.gateway.wait_for_terminations(Cause::Reset, Phase::Relay, resets + 1);
            });
        }
    });
}

#[test]
fn half_a_frame_that_comes_with_the_101_is_passed_on_before_the_end() {
    attacked("", "", |scene| {
        let frame = server_frame(0x82, &[1; 200]);
        let mut client = Raw::connect(scene.gateway.address);
        client.send(request("/t", "").as_bytes());
        let (mut backend, head) = scene.backend.take_request();
        backend.send(&[switching(&head, "").as_bytes(), &frame[..50]].concat());
        backend.finish();
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        assert_eq!(client.read_to_end(), (frame[..50].to_vec(), StreamEnd::Fin));
        drop(client);
        scene.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 1);
    });
}

/// A frame that is broken from either side: name, rule, first two bytes (mask bit aside), what follows the length.
type Broken = (&'static str, &'static str, [u8; 2], &'static [u8]);

const BROKEN: [Broken; 16] = [
    ("RSV1 without an extension", "§5.2", [0xc1, 0], b""),
    ("RSV3 without an extension", "§5.2", [0x91, 0], b""),
    ("a reserved opcode", "§5.2", [0x83, 0], b""),
    ("a reserved control opcode", "§5.2", [0x8b, 0], b""),
    ("16 bits for a length of 7", "§5.2", [0x82, 126], b"\x00\x7d"),
    ("64 bits for a length of 16", "§5.2", [0x82, 127], b"\0\0\0\0\0\0\xff\xff"),
    ("the top bit of 64", "§5.2", [0x82, 127], b"\x80\0\0\0\0\0\0\0"),
    ("all bits of 64", "§5.2", [0x82, 127], b"\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("a ping in fragments", "§5.5", [0x09, 0], b""),
    ("a Close in fragments", "§5.5", [0x08, 0], b""),
    ("a ping of 126 bytes", "§5.5", [0x89, 126], b"\x00\x7e"),
    ("a pong of 2^62 bytes", "§5.5", [0x8a, 127], b"\x40\0\0\0\0\0\0\0"),
    ("a continuation of nothing", "§5.4", [0x80, 0], b""),
    ("a Close of one byte", "§5.5.1", [0x88, 1], b"\x03"),
    ("a Close with a code that is never sent", "§7.4.1", [0x88, 2], b"\x03\xee"),
    ("a Close with a code of no class", "§7.4.2", [0x88, 2], b"\x03\xe7"),
];

/// A broken frame as a backend sends it, or masked, as a client does.
fn encode(bytes: [u8; 2], rest: &[u8], is_masked: bool) -> Vec<u8> {
    let [first, second] = bytes;
    if !is_masked {
        return [&[first, second], rest].concat();
    }
    // What follows 126 and 127 is a length, which no mask covers.
    match second {
        126 | 127 => [&[first, 0x80 | second], rest, &MASK].concat(),
        _ => {
            let payload: Vec<u8> =
                rest.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            [&[first, 0x80 | second], &MASK[..], &payload].concat()
        }
    }
}

#[test]
fn a_backend_that_breaks_the_rules_of_frames_is_1011_for_the_client_and_1002_for_itself() {
    attacked("", "", |scene| {
        let frames = BROKEN.map(|(name, rule, bytes, rest)| (name, rule, encode(bytes, rest, false)));
        let masked = ("a mask", "§5.1", client_frame(0x81, b"masked"));
        for (name, rule, frame) in frames.into_iter().chain([masked]) {
            scene.case(&format!("{name} (RFC 6455 {rule})"), || {
                let before = scene.gateway.terminations(Cause::FrameFault, Phase::Relay);
                let mut pair = open(scene);
                pair.backend.send(&[&server_frame(0x81, b"fine"), &frame[..], SMUGGLED].concat());
                pair.client.expect(&[server_frame(0x81, b"fine"), bad_gateway()].concat());
                pair.client.finish();
                pair.backend.finish();
                assert_eq!(pair.client.read_to_end(), (vec![], StreamEnd::Fin));
                assert_eq!(unmasked(&pair.backend.read_to_end().0), close_payload(1002, "frame_fault"));
                drop(pair);
                scene.gateway.wait_for_terminations(Cause::FrameFault, Phase::Relay, before + 1);
            });
        }
    });
}

#[test]
fn a_client_that_breaks_the_rules_of_frames_is_an_end_for_the_backend_and_1002_for_itself() {
    attacked("", "", |scene| {
        let frames = BROKEN.map(|(name, rule, bytes, rest)| (name, rule, encode(bytes, rest, true)));
        let unmasked_frame = ("no mask", "§5.1", server_frame(0x81, b"plain"));
        for (name, rule, frame) in frames.into_iter().chain([unmasked_frame]) {
            scene.case(&format!("{name} (RFC 6455 {rule})"), || {
                let before = scene.gateway.terminations(Cause::FrameFault, Phase::Relay);
                let mut pair = open(scene);
                pair.client.send(&[&client_frame(0x81, b"fine"), &frame[..], SMUGGLED].concat());
                pair.client.expect(&server_frame(0x88, &close_payload(1002, "frame_fault")));
                pair.backend.expect(&client_frame(0x81, b"fine"));
                assert_eq!(pair.backend.read_to_end(), (vec![], StreamEnd::Fin));
                pair.backend.finish();
                pair.client.finish();
                assert_eq!(pair.client.read_to_end(), (vec![], StreamEnd::Fin));
                drop(pair);
                scene.gateway.wait_for_terminations(Cause::FrameFault, Phase::Relay, before + 1);
            });
        }
    });
}

/// A whole frame of no sender, which a scanner that lost its place would pass on.
const SMUGGLED: &[u8] = b"\x82\x08smuggled";
