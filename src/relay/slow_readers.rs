//! Finds slow readers: sends that take long, and sessions that hold a backlog.
//!
//! A send in flight holds received buffers, of which a relay has few. This module finds the sends that take long; they are
//! cancelled, and their unsent bytes are copied to the heap. The heap has one limit for the whole relay. Over it, this module
//! finds the sessions that hold most.

use super::carrier::CarrierName;
use super::effects::PayloadOrigin;
use super::engine::Engine;
use super::handle::SessionHandle;
use super::run::Relay;
use crate::ring::Ring;
use crate::session::{Leg, Moment};
use std::collections::VecDeque;

/// Entries of the list of backlogs that are tolerated beyond the carriers there are, before it is tidied.
const HOLDERS_SPARE: usize = 64;

/// Returns the total of backlogs that stays after sessions were ended for exceeding `backlog_bytes_max`: 7/8 of that limit. So
/// the holders are sorted once for every further eighth, however many turns that takes.
const fn backlog_bytes_kept(backlog_bytes_max: usize) -> usize {
    backlog_bytes_max - backlog_bytes_max / 8
}

/// A send that holds received buffers, and when it began.
#[derive(Clone, Copy, Debug)]
struct Watched {
    began: Moment,
    carrier: CarrierName,
}

/// Sends in the order in which they began. Those that are over stay until they are the oldest.
#[derive(Debug, Default)]
pub struct SendWatch(VecDeque<Watched>);

impl SendWatch {
    /// A send began. `now` is no earlier than that of the one before.
    pub fn began(&mut self, carrier: CarrierName, now: Moment) {
        self.0.push_back(Watched { began: now, carrier });
    }

    /// Forgets the oldest ones that are over.
    pub fn forget_over(&mut self, mut is_in_flight: impl FnMut(CarrierName, Moment) -> bool) {
        while let Some(oldest) = self.0.front()
            && !is_in_flight(oldest.carrier, oldest.began)
        {
            self.0.pop_front();
        }
    }

    /// Takes the oldest one if it has been in flight for `patience_ms`; it may be over.
    pub fn take_late(&mut self, now: Moment, patience_ms: u64) -> Option<(CarrierName, Moment)> {
        let oldest = self.0.front().filter(|oldest| oldest.began.after_millis(patience_ms) <= now)?;
        let taken = (oldest.carrier, oldest.began);
        self.0.pop_front();
        Some(taken)
    }

    /// When the oldest one has been in flight for `patience_ms`.
    pub fn next_late(&self, patience_ms: u64) -> Option<Moment> {
        self.0.front().map(|oldest| oldest.began.after_millis(patience_ms))
    }
}

/// Carriers that may hold a backlog.
#[derive(Debug, Default)]
pub struct Holders(Vec<CarrierName>);

impl Holders {
    /// One more, not listed yet.
    pub fn add(&mut self, carrier: CarrierName) {
        self.0.push(carrier);
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps those that hold something still.
    pub fn retain(&mut self, mut holds: impl FnMut(CarrierName) -> bool) {
        self.0.retain(|carrier| holds(*carrier));
    }

    /// Those that hold something, with how much, from the one that holds most.
    pub fn by_backlog(
        &self,
        mut backlog_bytes: impl FnMut(CarrierName) -> usize,
    ) -> Vec<(usize, CarrierName)> {
        let mut holders: Vec<_> = self.0.iter().map(|carrier| (backlog_bytes(*carrier), *carrier)).collect();
        holders.retain(|(bytes, _)| *bytes > 0);
        holders.sort_unstable_by_key(|(bytes, _)| core::cmp::Reverse(*bytes));
        holders
    }
}

impl<R: Ring> Relay<R> {
    /// Cancels sends that hold received buffers for too long; when they are over, what is left moves to the heap.
    pub(super) fn take_back_late_sends(&mut self) {
        let patience_ms = self.engine.patience_ms();
        let carriers = &mut self.carriers;
        self.engine.sends.forget_over(|name, began| {
            let carrier = carriers.get_mut(name.0);
            carrier.is_some_and(|found| found.sending.is_in_flight() && found.holds_since == began)
        });
        while let Some((name, began)) = self.engine.sends.take_late(self.engine.now, patience_ms) {
            // One that is not the oldest may be over, and its carrier gone.
            self.with_leg(name, |handle, leg| {
                let carrier = &*handle.carriers[leg as usize];
                if carrier.sending.is_in_flight() && carrier.holds_since == began {
                    handle.take_back_send(leg);
                }
            });
        }
    }

    /// Where readers that have fallen behind hold too much together, ends those that hold most, until what the others hold is
    /// well below the limit.
    pub(super) fn end_largest_holders(&mut self) {
        let carriers = &mut self.carriers;
        let Engine { ring, holders, limits, .. } = &mut self.engine;
        let backlog_bytes_max = limits.backlog_bytes_max;
        let pool = ring.pool();
        if pool.backlog_bytes() > backlog_bytes_max {
            let kept = backlog_bytes_kept(backlog_bytes_max);
            let held = |name: CarrierName| carriers.get_mut(name.0).map_or(0, |found| found.heap_bytes(pool));
            for (_, name) in holders.by_backlog(held) {
                if self.engine.ring.pool().backlog_bytes() <= kept {
                    break;
                }
                // The end of one session may be that of both its carriers.
                self.with_leg(name, |handle, leg| handle.end_slow_reader(leg));
            }
        } else if holders.len() > carriers.len() + HOLDERS_SPARE {
            holders.retain(|name| {
                carriers.get_mut(name.0).is_some_and(|found| {
                    found.is_listed = found.heap_bytes(pool) > 0;
                    found.is_listed
                })
            });
        }
    }
}

impl<R: Ring> SessionHandle<'_, R> {
    fn end_slow_reader(&mut self, leg: Leg) {
        self.slot.session.end_slow_reader(leg, self.engine.now, &mut self.engine.effects);
        self.apply_effects(PayloadOrigin::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::slab::SlotName;

    fn carrier(index: u32) -> CarrierName {
        CarrierName(SlotName { index, generation: 0 })
    }

    #[test]
    fn finds_the_sends_that_take_long_and_forgets_those_that_are_over() {
        let mut watch = SendWatch::default();
        for index in 0..4 {
            watch.began(carrier(index), Moment::from_millis(u64::from(index) * 10));
        }
        assert_eq!(watch.next_late(20), Some(Moment::from_millis(20)));
        watch.forget_over(|carrier, _| carrier.0.index != 0 && carrier.0.index != 2);
        assert_eq!(watch.next_late(20), Some(Moment::from_millis(30)));
        assert_eq!(watch.take_late(Moment::from_millis(29), 20), None);
        let late = watch.take_late(Moment::from_millis(30), 20);
        assert_eq!(late, Some((carrier(1), Moment::from_millis(10))));
        watch.forget_over(|carrier, _| carrier.0.index == 3);
        assert_eq!(watch.next_late(20), Some(Moment::from_millis(50)));
    }

    #[test]
    fn an_eighth_of_the_limit_is_free_when_sessions_were_ended() {
        for (limit, kept) in
            [(0, 0), (7, 7), (8, 7), (1 << 20, 917_504), (usize::MAX, usize::MAX - usize::MAX / 8)]
        {
            assert_eq!(backlog_bytes_kept(limit), kept);
        }
    }

    #[test]
    fn names_who_holds_most_first() {
        let bytes = [5, 0, 9, 7];
        let of = |carrier: CarrierName| bytes[carrier.0.index as usize];
        let mut holders = Holders::default();
        (0..4).for_each(|index| holders.add(carrier(index)));
        let found: Vec<_> =
            holders.by_backlog(of).iter().map(|(bytes, holder)| (*bytes, holder.0.index)).collect();
        assert_eq!(found, [(9, 2), (7, 3), (5, 0)]);
        holders.retain(|carrier| of(carrier) > 0);
        assert_eq!(holders.len(), 3);
    }
}
