//! Legs that send without pause: the relay reads them after all others, one ration at a time.
//!
//! ```text
//!  multishot receive ── had more than its share of one turn ──► cancelled ──► end of the line
//!          ▲                                                                   │      ▲
//!          │ its socket had less than half a ration                   its turn │      │ there is more
//!          └─────────────────────────────────────────────────── read a ration ─┴──────┘
//! ```
//!
//! A multishot receive brings everything that the socket has, and takes posted buffers for it, which all legs share. A leg that
//! sends without pause would use up these buffers, and the worker's time. So a leg that costs more than [`TURN_SHARE_KIB`] in one
//! turn loses its multishot receive. When all others have been served, at the end of each turn, the relay reads such legs by plain
//! `recv` calls into free buffers. They wait in a line: each gets one ration and goes to the end again. All of them together get
//! [`LINE_KIB_PER_TURN`] in a turn.
//!
//! Shares and rations are costs, not bytes ([`cost`]): a ration of tiny frames has fewer bytes than one of bulk.
//!
//! The properties to trust: a turn does a bounded amount of work for all legs in the line together. Each of them gets as much as
//! the others. None of them takes a posted buffer, or one of the last quarter of all buffers.
//!
//! A leg that found no posted buffer is read by one plain call too, in its turn: most have little to say, and are received like all
//! others again. When hundreds begin to send at once, that keeps each of them from taking its share of a turn before it is known.
//!
//! Not here: rests of large frames, which are spliced (`splicing`).

use super::carrier::{Carrier, CarrierName, Reading, ReceiveEvent, Receiving};
use super::completions::is_to_be_repeated;
use super::engine::Engine;
use super::handle::SessionHandle;
use super::run::Relay;
use crate::limits::{BUFFER_BYTES, LINE_KIB_PER_TURN, RATION_KIB_LEAST, TURN_SHARE_KIB};
use crate::observe::counters::add;
use crate::ring::Ring;
use crate::session::Leg;
use std::collections::VecDeque;

/// A ration of bulk: one buffer.
pub(super) const RATION_KIB: u32 = (BUFFER_BYTES / 1024) as u32;

const _: () = assert!(RATION_KIB <= u8::MAX as u32 && RATION_KIB_LEAST <= RATION_KIB);
const _: () = assert!(TURN_SHARE_KIB > RATION_KIB && TURN_SHARE_KIB < u8::MAX as u32);
const _: () = assert!(LINE_KIB_PER_TURN >= RATION_KIB);

/// The fixed cost of a receive, beside its bytes, in bytes of bulk: 0.4 µs.
const RECEIVE_COST: u64 = 1024;
/// The fixed cost of a frame, beside its bytes, in bytes of bulk.
const FRAME_COST: u64 = 16;
/// The fixed cost of opening a record, beside its bytes, in bytes of bulk: 0.8 µs.
const RECORD_COST: u64 = 2 * 1024;

/// Returns the cost of handling a receive: the number of bytes of bulk that take as long.
fn cost(bytes: usize, frames: u32, records: u32) -> u64 {
    RECEIVE_COST + bytes as u64 + FRAME_COST * u64::from(frames) + RECORD_COST * u64::from(records)
}

/// KiB that a leg is to have next, so that they cost what a ration does: as `bytes` did that cost so much.
fn ration_kib(bytes: usize, cost: u64) -> u8 {
    let kib = u64::from(RATION_KIB) * bytes as u64 / cost.max(1);
    kib.clamp(u64::from(RATION_KIB_LEAST), u64::from(RATION_KIB)) as u8
}

/// A leg's share of the turn in which it was last read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// The turn, by its last 8 bits: what a leg had 256 turns ago may count for this one, which costs it one ration.
    turn: u8,
    /// The share in KiB of bulk, rounded up for each receive. 255 stands for 255 and more.
    kib: u8,
}

impl Share {
    /// It had this much more.
    fn add(&mut self, turn: u8, cost: u64) {
        if self.turn != turn {
            *self = Self { turn, kib: 0 };
        }
        let kib = u8::try_from(cost.div_ceil(1024)).unwrap_or(u8::MAX);
        self.kib = self.kib.saturating_add(kib);
    }

    /// Whether it had more of this turn than so much.
    fn is_over(self, turn: u8, most_kib: u32) -> bool {
        self.turn == turn && u32::from(self.kib) > most_kib
    }
}

/// Legs that wait for a plain call, in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct Line {
    turn: u8,
    /// The greedy ones.
    waiting: VecDeque<CarrierName>,
    /// Those whose receives found no posted buffer.
    parked: VecDeque<CarrierName>,
}

impl Line {
    pub(super) fn begin_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// A leg's receive found no posted buffer.
    pub(super) fn park(&mut self, leg: CarrierName) {
        self.parked.push_back(leg);
    }

    /// Whether greedy legs wait.
    pub(super) fn has_greedy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether legs wait that found no posted buffer.
    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }
}

impl<S> Carrier<S> {
    /// A greedy leg had all that there was: it is received like the others again.
    fn satisfied(&mut self) {
        self.reading = Reading::Whole;
        self.share = Share::default();
    }
}

impl<R: Ring> Relay<R> {
    /// Reads greedy legs in their order, while the last quarter of the buffers is free.
    pub(super) fn read_greedy(&mut self) {
        let may_take = |engine: &mut Engine<R>| !engine.keeps_buffers_back();
        self.read_in_turn(|line| &mut line.waiting, may_take, |handle, leg| handle.read_ration(leg));
    }

    /// Reads legs that found no posted buffer, the oldest first, while any buffer is free.
    pub(super) fn read_parked(&mut self) {
        let parked = self.engine.line.parked.len().max(1) as u32;
        let kib = (self.engine.limits.line_kib_per_turn / parked).clamp(RATION_KIB_LEAST, RATION_KIB) as u8;
        self.read_in_turn(
            |line| &mut line.parked,
            Engine::has_free_buffer,
            |handle, leg| handle.read_parked(leg, kib),
        );
    }

    /// Reads the legs of a queue from its front: each once, and no more of them than a turn has time for. `read` gives what one cost.
    fn read_in_turn(
        &mut self,
        queue: fn(&mut Line) -> &mut VecDeque<CarrierName>,
        may_take: impl Fn(&mut Engine<R>) -> bool,
        read: impl Fn(&mut SessionHandle<'_, R>, Leg) -> u64,
    ) {
        let mut left = u64::from(self.engine.limits.line_kib_per_turn) * 1024;
        for _ in 0..queue(&mut self.engine.line).len() {
            if left == 0 || !may_take(&mut self.engine) {
                break;
            }
            let Some(name) = queue(&mut self.engine.line).pop_front() else { break };
            // A session that ended meanwhile may be gone.
            let cost = self.with_leg(name, |handle, leg| read(handle, leg)).unwrap_or(0);
            left = left.saturating_sub(cost);
        }
    }
}

impl<R: Ring> Engine<R> {
    /// Whether a buffer is not in use.
    pub(super) fn has_free_buffer(&mut self) -> bool {
        let pool = self.ring.pool();
        pool.lent_out() < pool.buffers()
    }

    /// Whether the last quarter of the buffers is in use, which is for all other legs: greedy ones wait until fewer are lent out.
    ///
    /// That is soon: a send that holds buffers is taken back after 1 ms then (`SLOW_SEND_MS_IN_NEED`).
    pub(super) fn keeps_buffers_back(&mut self) -> bool {
        let pool = self.ring.pool();
        pool.lent_out() * 4 > pool.buffers() * 3
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    /// So many bytes came from a leg, and were handled: it is greedy from here on if that was more than its share.
    pub(super) fn charge(&mut self, leg: Leg, bytes: usize) {
        let cost = self.take_cost(leg, bytes);
        let carrier = &mut *self.carriers[leg as usize];
        carrier.share.add(self.engine.line.turn, cost);
        self.ration_if_greedy(leg, ration_kib(bytes, cost));
    }

    /// A leg that had more than its share of this turn has no multishot receive from here on.
    pub(super) fn ration_if_greedy(&mut self, leg: Leg, ration_kib: u8) {
        let (turn, most_kib) = (self.engine.line.turn, self.engine.limits.turn_share_kib);
        let carrier = &mut *self.carriers[leg as usize];
        if carrier.reading.is_multishot() && carrier.share.is_over(turn, most_kib) {
            carrier.reading = Reading::Rationed { ration_kib };
            add(&self.engine.counters.rationed, 1);
        }
    }

    fn take_cost(&mut self, leg: Leg, bytes: usize) -> u64 {
        let frames = self.slot.session.take_frames(leg);
        let layer = self.carriers[leg as usize].record_layer.as_mut();
        cost(bytes, frames, layer.map_or(0, |layer| std::mem::take(&mut layer.opened)))
    }

    /// A greedy leg goes to the end of the line.
    pub(super) fn line_up(&mut self, leg: Leg) {
        if self.notes(leg, ReceiveEvent::LineUp) {
            self.engine.line.waiting.push_back(self.carriers[leg as usize].name);
        }
    }

    /// Reads a greedy leg's ration. Gives what that cost.
    fn read_ration(&mut self, leg: Leg) -> u64 {
        let carrier = &mut *self.carriers[leg as usize];
        let Reading::Rationed { ration_kib: kib } = carrier.reading else { return 0 };
        // It may have broken meanwhile, or is to wait for the other leg.
        if carrier.receiving != Receiving::InLine || !self.notes(leg, ReceiveEvent::Served) {
            return 0;
        }
        // One that is not to be read now leaves the line; it is looked at like all that are not read.
        let spent = if self.is_to_be_read(leg) { self.receive_ration(leg, kib) } else { 0 };
        self.arm_if_wanted(leg);
        spent
    }

    /// Reads a leg that found no posted buffer once: it is greedy from here on if that is not all it has. Gives what that cost.
    fn read_parked(&mut self, leg: Leg, kib: u8) -> u64 {
        let carrier = &mut *self.carriers[leg as usize];
        // It may have broken meanwhile.
        if carrier.receiving != Receiving::Parked || !self.notes(leg, ReceiveEvent::Served) {
            return 0;
        }
        // Heads of large frames are received as before.
        let mut spent = RECEIVE_COST;
        if self.carriers[leg as usize].reading.is_multishot() && self.is_to_be_read(leg) {
            self.carriers[leg as usize].reading = Reading::Rationed { ration_kib: kib };
            spent = self.receive_ration(leg, kib);
            let carrier = &*self.carriers[leg as usize];
            let is_over = carrier.receiving == Receiving::Over;
            let is_greedy = matches!(carrier.reading, Reading::Rationed { .. }) && !is_over;
            add(&self.engine.counters.rationed, is_greedy.into());
        }
        self.arm_if_wanted(leg);
        spent
    }

    /// Receives so many KiB at once, and settles how the leg is read from here on. Gives what that cost.
    fn receive_ration(&mut self, leg: Leg, kib: u8) -> u64 {
        let asked = usize::from(kib) * 1024;
        let carrier = &mut *self.carriers[leg as usize];
        match self.engine.ring.receive_now(&carrier.socket, asked) {
            Ok(chunk) => {
                let bytes = chunk.len();
                carrier.read_at = self.engine.now;
                self.take_in(leg, chunk);
                let spent = self.take_cost(leg, bytes);
                let carrier = &mut *self.carriers[leg as usize];
                if let Reading::Rationed { ration_kib: next } = &mut carrier.reading {
                    *next = ration_kib(bytes, spent);
                    if bytes < asked / 2 {
                        carrier.satisfied();
                    }
                }
                return spent;
            }
            // Without a free buffer it is as all others: it waits for a posted one.
            Err(result) if result == -libc::ENOBUFS || is_to_be_repeated(result) => carrier.satisfied(),
            Err(result) => {
                carrier.read_at = self.engine.now;
                self.received_no_more(leg, result);
            }
        }
        RECEIVE_COST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ration_of_tiny_frames_or_records_has_fewer_bytes_than_one_of_bulk() {
        let of = |bytes: usize, frames, records| ration_kib(bytes, cost(bytes, frames, records));
        let full = BUFFER_BYTES;
        assert_eq!(of(full, 1, 0), 63);
        let six_bytes_each = of(full, full as u32 / 6, 0);
        assert!((10..30).contains(&six_bytes_each), "{six_bytes_each} KiB");
        assert_eq!(u32::from(of(full, 1, full as u32 / 23)), RATION_KIB_LEAST);
    }

    #[test]
    fn a_share_is_of_one_turn() {
        let mut share = Share::default();
        let mut is_over = |turn, cost| {
            share.add(turn, cost);
            share.is_over(turn, 8)
        };
        assert!(!is_over(7, 4 * 1024));
        assert!(!is_over(7, 4 * 1024), "as much as its share is not more");
        assert!(is_over(7, 1));
        assert!(!is_over(8, 8 * 1024));
        assert!(is_over(8, u64::MAX), "it does not overflow");
        assert!(!share.is_over(9, 8), "the next turn has shares of its own");
    }
}
