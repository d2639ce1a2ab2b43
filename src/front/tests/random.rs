//! Openings drawn from a seed: the general checks hold for all of them.

use super::scene::{Scene, request, switching};
use super::scripted::{Event, Script, Takes};
use std::collections::BTreeMap;

/// Openings that are tried.
const SEEDS: u64 = 3_000;

fn pick<T: Clone>(random: &mut fastrand::Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

/// Bytes in pieces at moments, and at times an end somewhere among them.
fn events(random: &mut fastrand::Rng, bytes: &[u8], longest_ms: u64) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    let (mut rest, mut at) = (bytes, 0);
    while !rest.is_empty() {
        at += pick(random, &[0, 0, 1, random.clone().u64(..60), random.clone().u64(..=longest_ms)]);
        let piece = random.usize(1..=rest.len());
        events.push((at, Event::Bytes(rest[..piece].to_vec())));
        rest = &rest[piece..];
    }
    if random.u8(..3) == 0 {
        events.truncate(random.usize(..=events.len()));
        let last = events.last().map_or(0, |(at, _)| *at);
        let later = random.u64(..200);
        events.push((last + later, pick(random, &[Event::Fin, Event::Reset])));
    }
    events
}

fn scene(random: &mut fastrand::Rng) -> Scene {
    let refusals: [&[u8]; 5] = [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnever",
        b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\n\r\nuntil the end",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
    ];
    let frames = b"\x82\x05hello".repeat(random.usize(..4));
    let answer = if random.bool() { switching() } else { pick(random, &refusals).to_vec() };
    let answer =
        [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(random.usize(..3)), answer, frames.clone()].concat();
    let requests =
        [request(), b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), b"\x16\x03\x01\x00".to_vec()];
    let asked = if random.u8(..4) > 0 { request() } else { pick(random, &requests) };
    let room =
        |random: &mut fastrand::Rng| if random.u8(..8) == 0 { random.usize(12..120) } else { usize::MAX };
    let client_events = events(random, &[asked, frames].concat(), 2_000);
    let backend_events = events(random, &answer, 1_500);
    let after = random.u64(..2_500);
    let takes =
        pick(random, &[Takes::After(0), Takes::After(after), Takes::After(3), Takes::Refuses, Takes::Never]);
    Scene {
        client: Script { room_bytes: room(random), ..Script::of(client_events) },
        backends: vec![Script {
            takes,
            events: backend_events,
            room_bytes: room(random),
            ..Script::of(Vec::new())
        }],
        drains_at: (random.u8(..6) == 0).then(|| random.u64(..3_000)),
    }
}

#[test]
fn what_holds_for_every_opening_holds_for_those_of_every_seed() {
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..SEEDS {
        let scene = scene(&mut fastrand::Rng::with_seed(seed));
        let outcome =
            std::panic::catch_unwind(|| scene.play()).unwrap_or_else(|_| panic!("seed {seed}: {scene:#?}"));
        let outcome =
            outcome.termination.map_or("open".to_owned(), |(cause, phase)| format!("{cause:?} {phase:?}"));
        *met.entry(outcome).or_default() += 1;
    }
    println!("{met:#?}");
    assert!(met.len() >= 10, "the seeds meet too little: {met:#?}");
}
