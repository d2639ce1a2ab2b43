//! Places of openings that wait for a backend: how APIs share them, so that none whose backend is slow takes those of another.
//!
//! Each API has a share of its own. Within it, it gets a place whenever one is free. An API whose share is the default may go
//! beyond it, as long as enough places stay free for the shares of the others ([`Shares::reserve`]):
//!
//! ```text
//! 0                                 limit - reserve                limit
//! │ anyone's, within or beyond its share │ within one's own share only │
//! ```
//!
//! Consequence: whatever one API has borrowed, any other API reaches its whole share, and two of them reach their default shares.
//! The shares together may exceed the places: four slow APIs, each within its quarter, leave nothing to a fifth, unless the
//! operator gives them less.
//!
//! Not here: the counting itself (`count`), whose share is how large (`registry`).

use std::sync::Arc;

pub use super::count::Lack;
use super::count::take_with_share;
use super::places::{Place, Places};

/// The part of the places that an API has for itself by default: a quarter.
///
/// Raising it gives each API less for itself, and leaves others some room beside more slow ones.
const SHARE_PART: u32 = 4;

/// The places of one opening while it waits for its backend. Dropping them returns them.
#[derive(Debug)]
#[must_use = "dropping it gives the places back"]
pub struct PendingPlaces {
    _share: Option<Place>,
    _all: Place,
}

impl PendingPlaces {
    /// Takes one of `all` places, and counts it in the API's `share`, of which it may borrow more where `reserve` stay free.
    ///
    /// # Errors
    /// The limit that has no room left.
    pub fn take(all: &Arc<Places>, share: Option<&Arc<Places>>, reserve: Option<u32>) -> Result<Self, Lack> {
        let Some(share) = share else {
            return Ok(Self { _share: None, _all: all.take_place().ok_or(Lack::OfAll)? });
        };
        take_with_share(all.count(), share.count(), reserve)?;
        Ok(Self { _share: Some(Place::taken_of(share)), _all: Place::taken_of(all) })
    }
}

/// The shares of all published APIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    sum: u64,
    largest: u32,
    second_largest: u32,
}

impl Shares {
    /// The share of an API whose file gives none, of so many places: a part of them, but at least one.
    pub fn default_of(all: u32) -> u32 {
        all.div_ceil(SHARE_PART).max(1)
    }

    /// Counts the share of one more API.
    pub fn add(&mut self, share: u32) {
        self.sum += u64::from(share);
        if share > self.largest {
            self.second_largest = self.largest;
            self.largest = share;
        } else {
            self.second_largest = self.second_largest.max(share);
        }
    }

    /// How many of `all` places an API with the share `own` leaves free when it goes beyond it: half of them, or the largest
    /// share of another API if that is more; but no more than the shares of all others together.
    pub fn reserve(&self, all: u32, own: u32) -> u32 {
        let largest_of_others = if own == self.largest { self.second_largest } else { self.largest };
        let others = self.sum.saturating_sub(u64::from(own));
        u32::try_from(others).unwrap_or(u32::MAX).min(largest_of_others.max(all / 2))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// So many places and the shares of APIs, by their sizes; an API may borrow if its share is the default.
    struct Apis {
        all: Arc<Places>,
        shares: Shares,
        of_each: Vec<Arc<Places>>,
    }

    impl Apis {
        fn new(all: u32, shares: &[u32]) -> Self {
            let mut sums = Shares::default();
            shares.iter().for_each(|share| sums.add(*share));
            let of_each = shares.iter().map(|share| Places::new(*share)).collect();
            Self { all: Places::new(all), shares: sums, of_each }
        }

        fn take(&self, api: usize) -> Result<PendingPlaces, Lack> {
            let share = &self.of_each[api];
            let reserve = self.shares.reserve(self.all.limit(), share.limit());
            PendingPlaces::take(&self.all, Some(share), Some(reserve))
        }

        /// As many as the API can have.
        fn take_all(&self, api: usize) -> Vec<PendingPlaces> {
            std::iter::from_fn(|| self.take(api).ok()).collect()
        }
    }

    #[test]
    fn a_default_share_is_a_quarter_and_at_least_one() {
        for (all, share) in [(1, 1), (3, 1), (4, 1), (5, 2), (64, 16), (4096, 1024), (u32::MAX, 1 << 30)] {
            assert_eq!(Shares::default_of(all), share, "{all}");
        }
    }

    #[test]
    fn an_api_alone_has_all_places() {
        let apis = Apis::new(100, &[25]);
        assert_eq!(apis.take_all(0).len(), 100);
    }

    #[test]
    fn a_borrower_leaves_each_other_api_its_whole_share() {
        for (all, shares) in [
            (100, &[25, 25][..]),
            (100, &[25, 25, 25]),
            (100, &[25; 10]),
            (100, &[25, 90]),
            (100, &[10, 60, 60]),
            (100, &[100, 25]),
            (3, &[1, 1]),
            (1, &[1]),
        ] {
            for borrower in 0..shares.len() {
                for other in (0..shares.len()).filter(|other| *other != borrower) {
                    let apis = Apis::new(all, shares);
                    let borrowed = apis.take_all(borrower);
                    assert!(borrowed.len() >= shares[borrower] as usize, "{shares:?} {borrower}");
                    if shares[borrower] + shares[other] > all {
                        continue; // Their own shares alone are more than there is.
                    }
                    let own: Vec<_> = (0..shares[other]).map(|_| apis.take(other)).collect();
                    assert!(
                        own.iter().all(Result::is_ok),
                        "{shares:?}: {borrower} leaves {other} too little"
                    );
                }
            }
        }
    }

    #[test]
    fn two_apis_reach_their_default_shares_beside_one_that_has_borrowed() {
        let apis = Apis::new(64, &[16; 7]);
        let borrowed = apis.take_all(0);
        assert_eq!(borrowed.len(), 32, "half of them stay free");
        let own: Vec<_> =
            [1, 2].map(|api| (0..16).map(|_| apis.take(api).unwrap()).collect::<Vec<_>>()).into();
        assert_eq!(apis.take(3).unwrap_err(), Lack::OfAll);
        assert_eq!(apis.take(0).unwrap_err(), Lack::OfShare);
        drop((borrowed, own));
        assert_eq!((apis.all.taken(), apis.of_each.iter().map(|share| share.taken()).sum::<u32>()), (0, 0));
    }

    #[test]
    fn three_slow_apis_settle_at_their_shares_and_leave_a_quarter() {
        let apis = Apis::new(64, &[16; 5]);
        // Each asks as often as it can, while places come back one by one, those that are oldest first.
        let mut held: Vec<std::collections::VecDeque<_>> = (0..3).map(|_| [].into()).collect();
        for _ in 0..1_000 {
            for (api, held) in held.iter_mut().enumerate() {
                held.pop_front();
                held.extend(apis.take_all(api));
            }
        }
        assert!(held.iter().all(|held| held.len() == 16), "{held:?}");
        assert_eq!((0..16).filter(|_| apis.take(4).map(std::mem::forget).is_ok()).count(), 16);
    }

    #[test]
    fn who_may_not_borrow_has_its_share_and_no_more() {
        let (all, share) = (Places::new(100), Places::new(2));
        let take = || PendingPlaces::take(&all, Some(&share), None);
        let held = [take().unwrap(), take().unwrap()];
        assert_eq!(take().unwrap_err(), Lack::OfShare);
        drop(held);
        assert_eq!((all.taken(), share.taken()), (0, 0));
        assert!(take().is_ok());
    }

    #[test]
    fn a_refusal_keeps_nothing() {
        let (all, share) = (Places::new(1), Places::new(5));
        let _held = all.take_place().unwrap();
        assert_eq!(PendingPlaces::take(&all, Some(&share), Some(0)).unwrap_err(), Lack::OfAll);
        assert_eq!((all.taken(), share.taken()), (1, 0));
    }

    #[test]
    fn a_borrower_never_touches_the_reserve_under_a_storm_of_threads() {
        const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
        let apis = Apis::new(12, &[3, 3]);
        let (of_borrower, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let taken: Vec<_> = (0..5).filter_map(|_| apis.take(0).ok()).collect();
                        let held = taken.len() as u32;
                        most.fetch_max(
                            of_borrower.fetch_add(held, Ordering::SeqCst) + held,
                            Ordering::SeqCst,
                        );
                        of_borrower.fetch_sub(held, Ordering::SeqCst);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let own: Vec<_> = (0..3).map(|_| apis.take(1)).collect();
                    assert!(own.iter().all(Result::is_ok), "it has its share at any time");
                }
            });
        });
        assert!(most.into_inner() <= 9);
        assert_eq!((apis.all.taken(), apis.of_each[0].taken(), apis.of_each[1].taken()), (0, 0, 0));
        assert_eq!(apis.take_all(0).len(), 9);
    }
}
