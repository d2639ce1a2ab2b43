//! A bounded number of places, exact across threads.
//!
//! The property to trust: however many threads take, return and change the limit at the same time, nobody gets a place while as
//! many as the limit are taken (`count`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::count::Count;
use super::permit::Permit;
use crate::catalog::Name;

/// The kinds of holders of places besides the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum HolderKind {
    /// An API.
    Api,
    /// A product.
    Product,
    /// A subscription.
    Subscription,
}

impl HolderKind {
    /// Every kind, in order.
    pub const ALL: [Self; 3] = [Self::Api, Self::Product, Self::Subscription];
}

/// Who has places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The kind of the holder.
    pub kind: HolderKind,
    /// The name of the holder.
    pub name: Name,
}

/// So many places, shared by all workers.
#[derive(Debug)]
pub struct Places {
    count: Count,
    /// Whose they are; `None`: the instance's.
    holder: Option<Holder>,
    /// The holder's share of the places of openings that wait for a backend. Only an API has one.
    pending_share: Option<Arc<Self>>,
    /// Their holder is gone, or lets nobody in any more.
    is_revoked: AtomicBool,
    /// Sessions end for that. Only an API says so.
    ends_revoked: AtomicBool,
}

impl Places {
    /// The limit of places that have none: more than there can be sessions.
    pub const NO_LIMIT: u32 = u32::MAX;

    /// Places of an instance, all free.
    pub fn new(limit: u32) -> Arc<Self> {
        Self::with(None, limit)
    }

    /// Places of a holder, all free.
    pub fn of(holder: Holder, limit: u32) -> Arc<Self> {
        Self::with(Some(holder), limit)
    }

    fn with(holder: Option<Holder>, limit: u32) -> Arc<Self> {
        let is_of_api = holder.as_ref().is_some_and(|holder| holder.kind == HolderKind::Api);
        Arc::new(Self {
            count: Count::new(limit),
            holder,
            pending_share: is_of_api.then(|| Self::new(0)),
            is_revoked: AtomicBool::new(false),
            ends_revoked: AtomicBool::new(false),
        })
    }

    /// Takes a place, or none if all are taken. Never one more than the limit, whoever asks at the same time.
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        self.take_place().map(Permit::from)
    }

    /// As [`Places::take`], for a permit that holds further places.
    pub fn take_place(self: &Arc<Self>) -> Option<Place> {
        self.count.take(0).then(|| Place::taken_of(self))
    }

    /// Takes a place for a session that is already there, even beyond the limit: a live session is never refused.
    pub fn adopt(self: &Arc<Self>) -> Place {
        self.count.add();
        Place::taken_of(self)
    }

    /// Places that are taken.
    pub fn taken(&self) -> u32 {
        self.count.taken()
    }

    /// How many places there are.
    pub fn limit(&self) -> u32 {
        self.count.limit()
    }

    /// Places that are free.
    pub fn free(&self) -> u32 {
        self.count.free()
    }

    /// Changes how many places there are. What is taken stays taken: with fewer places than that, the next is given
    /// when enough have come back.
    pub fn set_limit(&self, limit: u32) {
        self.count.set_limit(limit);
    }

    /// The count itself, for who takes of two at once.
    pub(super) fn count(&self) -> &Count {
        &self.count
    }

    /// The share of the places of openings that wait for a backend, if this is an API.
    pub fn pending_share(&self) -> Option<&Arc<Self>> {
        self.pending_share.as_ref()
    }

    /// Whether their holder is gone, or lets nobody in any more. Relaxed, as whoever sets it leaves a message afterwards for
    /// whom it concerns.
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Relaxed)
    }

    /// Says whether it is; gives whether that is new.
    pub fn set_revoked(&self, is_revoked: bool) -> bool {
        self.is_revoked() != is_revoked && self.is_revoked.swap(is_revoked, Ordering::Relaxed) != is_revoked
    }

    /// Whether sessions of an API end when anything that they are of is revoked.
    pub fn ends_revoked(&self) -> bool {
        self.ends_revoked.load(Ordering::Relaxed)
    }

    /// Says whether they do; gives whether that is new.
    pub fn set_ends_revoked(&self, ends: bool) -> bool {
        self.ends_revoked() != ends && self.ends_revoked.swap(ends, Ordering::Relaxed) != ends
    }

    /// Whose they are; `None`: the instance's.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }
}

/// One place that is taken; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping a place gives it back"]
pub struct Place(Arc<Places>);

impl Place {
    /// The place of `places` that was taken just now.
    pub(super) fn taken_of(places: &Arc<Places>) -> Self {
        Self(Arc::clone(places))
    }

    /// Returns the places that this one is taken from.
    pub fn places(&self) -> &Arc<Places> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn gives_exactly_as_many_as_there_are() {
        let places = Places::new(2);
        let first = places.take().unwrap();
        let _second = places.take().unwrap();
        assert!(places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 1);
    }

    #[test]
    fn a_lower_limit_leaves_what_is_taken_and_gives_nothing_until_enough_came_back() {
        let places = Places::new(3);
        let mut held: Vec<_> = (0..3).map(|_| places.take().unwrap()).collect();
        places.set_limit(1);
        assert_eq!(places.taken(), 3);
        for left in [2, 1] {
            held.pop();
            assert_eq!(places.taken(), left);
            assert!(places.take().is_none(), "{left} are taken");
        }
        held.pop();
        let last = places.take().unwrap();
        assert!(places.take().is_none());
        places.set_limit(2);
        assert!(places.take().is_some());
        drop(last);
    }

    #[test]
    fn places_without_a_limit_are_counted_all_the_same() {
        let places = Places::new(Places::NO_LIMIT);
        let held: Vec<_> = (0..100).map(|_| places.take().unwrap()).collect();
        places.set_limit(100);
        assert!(places.take().is_none());
        drop(held);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn is_exact_under_a_storm_of_threads_while_the_limit_changes() {
        const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let places = Places::new(5);
        let most_seen = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        if let Some(permit) = places.take() {
                            most_seen.fetch_max(places.taken(), Ordering::Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
            scope.spawn(|| (0..ROUNDS).for_each(|round| places.set_limit(1 + round % 5)));
        });
        assert!(most_seen.into_inner() <= 5);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn nobody_takes_a_place_once_a_lower_limit_is_set() {
        let places = Places::new(5);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        drop(places.take());
                    }
                });
            }
            let mut rises = 0;
            for _ in 0..20_000 {
                places.set_limit(0);
                let taken = places.taken();
                std::hint::spin_loop();
                rises += u32::from(places.taken() > taken);
                places.set_limit(5);
            }
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(rises, 0);
        });
        assert_eq!((places.taken(), places.limit()), (0, 5));
    }
}
