//! Everything that is drawn from a seed: sessions, endpoints, limits, the ring's moods.

use super::arrivals::{Arrival, Plan};
use super::connection::Connection;
use super::endpoint::{Answer, EAGER, Endpoint, Habits, Leave};
use super::records::Wrapped;
use super::ring::Odds;
use super::script::{Script, Sizes};
use fastrand::Rng;
use ringgate::limits::{LINE_KIB_PER_TURN, TURN_SHARE_KIB};
use ringgate::relay::RecordLayer;
use ringgate::session::{Leg, SessionLimits};
use ringgate::tls::record::Role;
use ringgate::websocket::ReservedBits;
use ringgate::websocket::scanner::FrameRules;

/// One simulation's beginnings.
pub struct Scenario {
    pub odds: Odds,
    pub buffers: u16,
    pub posted_max: usize,
    pub backlog_bytes_max: usize,
    pub zero_copy_bytes_min: Option<usize>,
    pub splice_bytes_min: Option<u64>,
    pub dead_peer_timeout_ms: Option<u64>,
    /// A leg's share of a turn, and the share of all greedy legs together, in KiB.
    pub shares_kib: [u32; 2],
    /// The most bytes that one multishot receive brings: Linux 6.17 has it.
    pub receive_bytes_max: Option<usize>,
    pub arrivals: Vec<(u64, Arrival)>,
}

/// A leg's share of a turn, and the share of all greedy legs together, in KiB, as in production.
pub const SHARES_KIB: [u32; 2] = [TURN_SHARE_KIB, LINE_KIB_PER_TURN];

/// How much its sessions move.
#[derive(Clone, Copy)]
enum Load {
    Small,
    Mixed,
    Bulk,
}

/// How its endpoints read.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Fast,
    /// Some are slow, or stop.
    SomeSlow,
    /// All take a little at a time: each leg is taken back from, paused and resumed again and again.
    Trickle,
}

impl Scenario {
    pub fn any(rng: &mut Rng) -> Self {
        let load = match rng.u8(..20) {
            0..12 => Load::Small,
            12..18 => Load::Mixed,
            _ => Load::Bulk,
        };
        let sessions = match load {
            Load::Small => rng.usize(1..=8),
            Load::Mixed => rng.usize(1..=4),
            Load::Bulk => rng.usize(1..=2),
        };
        let pace = match rng.u8(..12) {
            0..6 => Pace::Fast,
            6..10 => Pace::SomeSlow,
            _ => Pace::Trickle,
        };
        let opens_within = if rng.bool() { 0 } else { rng.u64(..300) };
        let mut arrivals: Vec<_> = (0..sessions)
            .map(|_| {
                let at = rng.u64(..=opens_within);
                (at, Arrival::Session(Box::new(any_plan(rng, load, pace, at))))
            })
            .collect();
        let drains_at = match rng.u8(..4) {
            0 => rng.u64(..50),
            _ => rng.u64(..5_000),
        };
        let spread_ms = if rng.bool() { 0 } else { rng.u64(..1_000) };
        let cut_after_ms = spread_ms + rng.u64(..3_000);
        arrivals.push((drains_at, Arrival::Drain { spread_ms, cut_after_ms }));
        for _ in 0..rng.u8(..3) {
            let spread_ms = if rng.bool() { 0 } else { rng.u64(..500) };
            arrivals.push((rng.u64(..3_000), Arrival::Revoke { spread_ms }));
        }
        let last = arrivals.iter().map(|(at, _)| *at).max().unwrap_or_default();
        arrivals.push((last, Arrival::NoMore));
        let buffers = if rng.bool() { rng.u16(1..6) } else { rng.u16(6..40) };
        Self {
            odds: any_odds(rng),
            buffers,
            posted_max: rng.usize(1..=8),
            backlog_bytes_max: if rng.bool() { rng.usize(1_000..100_000) } else { 64 << 20 },
            zero_copy_bytes_min: rng.bool().then(|| rng.usize(1..2_000)),
            splice_bytes_min: rng.bool().then(|| rng.u64(100..4_000)),
            dead_peer_timeout_ms: rng.bool().then(|| rng.u64(100..3_000)),
            shares_kib: if rng.bool() { [rng.u32(1..6), rng.u32(1..8)] } else { SHARES_KIB },
            receive_bytes_max: rng.bool().then(|| rng.usize(1_000..130_000)),
            arrivals,
        }
    }
}

/// A kernel in one of its moods: most seeds have few kinds of trouble.
fn any_odds(rng: &mut Rng) -> Odds {
    let mut any = |most: u8| if rng.bool() { 0 } else { rng.u8(..=most) };
    Odds {
        waits: any(60),
        short_receive: any(80),
        receive_ends: any(20),
        short_step: any(80),
        at_once: any(100),
        short_send: any(30),
        cancel_misses: any(60),
        cancel_is_late: any(60),
        reorders: any(80),
        breaks: any(5),
        fails: any(3),
    }
}

fn any_plan(rng: &mut Rng, load: Load, pace: Pace, at: u64) -> Plan {
    let is_opaque = rng.u8(..6) == 0;
    let frame_bytes_max = match load {
        Load::Small => 2_000,
        Load::Mixed => 66_000,
        Load::Bulk => 1_000_000,
    };
    let sizes = Sizes { frame_bytes_max, message_bytes_max: frame_bytes_max };
    let connections = Leg::BOTH.map(|leg| {
        let frames = match load {
            Load::Small => rng.usize(..14),
            Load::Mixed => rng.usize(..10),
            Load::Bulk => rng.usize(..6),
        };
        let script = Script::any(rng, leg, is_opaque, frames, sizes);
        let early = if rng.u8(..4) == 0 { rng.usize(..=script.bytes.len().min(70_000)) } else { 0 };
        Connection::new(Endpoint::new(any_habits(rng, load, pace, at), at), script, early)
    });
    let mut connections = connections;
    let records = Leg::BOTH.map(|leg| {
        let is_wrapped = rng.u8(..3) == 0;
        is_wrapped.then(|| wrap(rng, &mut connections[leg as usize], leg))
    });
    let rules = FrameRules {
        reserved_bits: ReservedBits::None,
        frame_bytes_max: frame_bytes_max as u64,
        message_bytes_max: frame_bytes_max as u64,
    };
    let limits = SessionLimits {
        frames: (!is_opaque).then_some(rules),
        idle_timeout_ms: if rng.u8(..3) == 0 { rng.u64(1..1_000) } else { 60_000 },
        longest_life_ms: (rng.u8(..5) == 0).then(|| rng.u64(1..3_000)),
        linger_ms: rng.u64(1..2_000),
    };
    Plan { connections, limits, mask: [rng.u8(..), rng.u8(..), rng.u8(..), rng.u8(..)], records }
}

/// Puts a connection under TLS; some of what it says has arrived when the session begins. Gives the relay's end.
fn wrap(rng: &mut Rng, connection: &mut Connection, leg: Leg) -> Box<RecordLayer> {
    let role = if leg == Leg::Downstream { Role::Server } else { Role::Client };
    let (wrapped, records) = Wrapped::pair(rng, role);
    connection.wrapped = Some(Box::new(wrapped));
    let left = connection.script.bytes.len() - connection.arrived;
    if connection.arrived > 0 && left > 0 {
        let arrives = rng.usize(..=left.min(40_000));
        connection.arrive(arrives, rng);
    }
    records.into()
}

fn any_leave(rng: &mut Rng) -> Leave {
    [Leave::Finish, Leave::Finish, Leave::Close, Leave::Reset, Leave::Vanish][rng.usize(..5)]
}

fn any_habits(rng: &mut Rng, load: Load, pace: Pace, at: u64) -> Habits {
    if pace == Pace::Trickle {
        return Habits {
            read_pause_ms: rng.u64(..20),
            read_bytes: rng.usize(50..400),
            room: rng.usize(1..500),
            answer: Answer::Answers(Leave::Finish),
            ..EAGER
        };
    }
    let is_slow = pace == Pace::SomeSlow && rng.bool();
    let is_stopped = is_slow && rng.bool();
    Habits {
        write_pause_ms: if rng.bool() { rng.u64(..5) } else { rng.u64(..300) },
        write_bytes: match (load, rng.u8(..3)) {
            (_, 0) => usize::MAX,
            (Load::Small, _) => rng.usize(1..500),
            (Load::Mixed, _) => rng.usize(2_000..30_000),
            (Load::Bulk, _) => rng.usize(20_000..200_000),
        },
        read_pause_ms: if is_slow { rng.u64(1..200) } else { rng.u64(..3) },
        read_bytes: match load {
            _ if is_stopped && rng.bool() => 0,
            _ if !is_slow => usize::MAX,
            Load::Small => rng.usize(1..200),
            Load::Mixed => rng.usize(100..20_000),
            Load::Bulk => rng.usize(10_000..200_000),
        },
        reads_from_ms: if is_stopped { at + rng.u64(..3_000) } else { 0 },
        room: match load {
            _ if !is_slow && rng.bool() => 1 << 20,
            Load::Small => rng.usize(1..2_000),
            Load::Mixed | Load::Bulk => rng.usize(100..60_000),
        },
        after_script: if rng.u8(..3) == 0 { Some(any_leave(rng)) } else { None },
        leaves_at: (rng.u8(..6) == 0).then(|| (at + rng.u64(..2_000), any_leave(rng))),
        answer: match rng.u8(..8) {
            0..6 => Answer::Answers(any_leave(rng)),
            6 => Answer::Leaves(any_leave(rng)),
            _ => Answer::Ignores,
        },
    }
}
