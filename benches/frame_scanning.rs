//! The cost of finding frames in an endpoint's bytes: the scanner alone, and a session that forwards them.
//!
//! Payload is never touched, so the cost is by frame and by chunk. For large frames, the bytes per second show that it does not
//! matter; for small ones it does, and `frame_scanning/small` measures it by frame, kind by kind.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringgate::session::{Effect, Effects, Leg, Moment, Session, SessionLimits};
use ringgate::websocket::frame::Sender;
use ringgate::websocket::reserved_bits::ReservedBits;
use ringgate::websocket::scanner::{FrameRules, Scanner};

const RULES: FrameRules =
    FrameRules { reserved_bits: ReservedBits::None, frame_bytes_max: u64::MAX, message_bytes_max: u64::MAX };

const LIMITS: SessionLimits =
    SessionLimits { frames: Some(RULES), idle_timeout_ms: 600_000, longest_life_ms: None, linger_ms: 5_000 };

/// The most that one receive brings.
const CHUNK_BYTES: usize = 64 * 1024;

/// Small frames in one chunk.
const SMALL_FRAMES: usize = 900;

/// A client's frame.
fn frame(first: u8, payload_bytes: usize) -> Vec<u8> {
    frame_of(Sender::Client, first, payload_bytes)
}

/// A frame; a client's is masked with zeros: the key's value does not matter to who does not unmask.
fn frame_of(sender: Sender, first: u8, payload_bytes: usize) -> Vec<u8> {
    let (mask_bit, key_bytes) = if sender == Sender::Client { (0x80, 4) } else { (0, 0) };
    let mut bytes = vec![first];
    match payload_bytes {
        0..=125 => bytes.push(mask_bit | payload_bytes as u8),
        126..=65_535 => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    bytes.resize(bytes.len() + key_bytes + payload_bytes, 0);
    bytes
}

/// A stream that may be repeated: it begins and ends between messages.
struct Stream {
    name: &'static str,
    chunks: Vec<Vec<u8>>,
}

fn streams() -> Vec<Stream> {
    let fragmented =
        [frame(0x02, 1000), frame(0x00, 1000), frame(0x89, 4), frame(0x00, 1000), frame(0x80, 1000)];
    let large = frame(0x82, 1024 * 1024);
    // Each chunk ends three bytes into the next frame's header, and the last one gives the rest.
    let mut cut = vec![frame(0x82, 64)[..3].to_vec()];
    for _ in 0..99 {
        cut.push([&frame(0x82, 64)[3..], &frame(0x82, 64)[..3]].concat());
    }
    cut.push(frame(0x82, 64)[3..].to_vec());
    vec![
        Stream { name: "one_of_64_bytes", chunks: vec![frame(0x82, 64)] },
        Stream { name: "100_of_20_bytes_in_one_chunk", chunks: vec![frame(0x81, 20).repeat(100)] },
        Stream { name: "fragmented_message", chunks: vec![fragmented.concat()] },
        Stream {
            name: "one_of_1_mib_in_64_kib_chunks",
            chunks: large.chunks(CHUNK_BYTES).map(<[u8]>::to_vec).collect(),
        },
        Stream { name: "100_of_64_bytes_cut_in_headers", chunks: cut },
    ]
}

fn scan(scanner: &mut Scanner, stream: &Stream) {
    for chunk in &stream.chunks {
        let scan = scanner.scan(black_box(chunk), &RULES);
        assert!(black_box(scan).stop.is_none());
    }
}

/// Hands in each chunk, takes the effects, and acknowledges at once what was queued: a peer that keeps up.
fn relay(session: &mut Session, effects: &mut Effects, stream: &Stream) {
    for chunk in &stream.chunks {
        session
            .handle_bytes(Leg::Downstream, black_box(chunk), Moment::ZERO, effects)
            .expect("a session in order");
        let mut queued = 0;
        for effect in effects.drain(..) {
            if let Effect::Forward { held, range, .. } = black_box(effect) {
                queued += held.as_bytes().len() + range.len();
            }
        }
        if queued > 0 {
            session
                .handle_sent(Leg::Upstream, queued as u64, Moment::ZERO, effects)
                .expect("no more than was queued");
        }
    }
}

fn frame_scanning(criterion: &mut Criterion) {
    let streams = streams();
    for (group_name, is_session) in [("frame_scanning/scanner", false), ("frame_scanning/session", true)] {
        let mut group = criterion.benchmark_group(group_name);
        for stream in &streams {
            group.throughput(Throughput::Bytes(stream.chunks.iter().map(|chunk| chunk.len() as u64).sum()));
            group.bench_function(stream.name, |bencher| {
                let mut scanner = Scanner::new(Sender::Client);
                let mut session = Session::new(LIMITS, [0; 4], Moment::ZERO);
                let mut effects = Effects::new();
                bencher.iter(|| {
                    if is_session {
                        relay(&mut session, &mut effects, stream);
                    } else {
                        scan(&mut scanner, stream);
                    }
                });
                assert!(!session.is_over() && scanner.is_at_boundary());
            });
        }
        group.finish();
    }
}

/// [`SMALL_FRAMES`] of each kind, which end between messages.
fn small_frames(sender: Sender) -> [(&'static str, Vec<u8>); 6] {
    let repeat = |first, payload_bytes| frame_of(sender, first, payload_bytes).repeat(SMALL_FRAMES);
    let fragments = [
        frame_of(sender, 0x02, 1),
        frame_of(sender, 0x00, 1).repeat(SMALL_FRAMES - 2),
        frame_of(sender, 0x80, 1),
    ];
    let mixed = [(0x81, 20), (0x89, 4), (0x01, 60), (0x8a, 0), (0x00, 0), (0x80, 125)];
    let mixed = mixed.map(|(first, payload_bytes)| frame_of(sender, first, payload_bytes)).concat();
    [
        ("empty", repeat(0x82, 0)),
        ("1_byte", repeat(0x82, 1)),
        ("64_bytes", repeat(0x82, 64)),
        ("pings", repeat(0x89, 4)),
        ("fragments_of_1_byte", fragments.concat()),
        ("mixed", mixed.repeat(SMALL_FRAMES / 6)),
    ]
}

/// Nanoseconds a frame, kind by kind: the time of one run over [`SMALL_FRAMES`] is shown as frames per second too.
fn small_frame_scanning(criterion: &mut Criterion) {
    for (group_name, sender) in
        [("frame_scanning/small/client", Sender::Client), ("frame_scanning/small/server", Sender::Server)]
    {
        let mut group = criterion.benchmark_group(group_name);
        group.throughput(Throughput::Elements(SMALL_FRAMES as u64));
        for (name, chunk) in small_frames(sender) {
            group.bench_function(name, |bencher| {
                let mut scanner = Scanner::new(sender);
                bencher.iter(|| {
                    let scan = scanner.scan(black_box(&chunk), &RULES);
                    assert!(scan.forward_bytes == chunk.len() && scan.frames == SMALL_FRAMES as u32);
                });
                assert!(scanner.is_at_boundary());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, frame_scanning, small_frame_scanning);
criterion_main!(benches);
