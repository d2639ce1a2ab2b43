//! A bounded number of places, exact across threads, and the permits that hold them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many places, shared by all workers.
#[derive(Debug)]
pub struct Places {
    taken: AtomicU32,
    limit: u32,
}

impl Places {
    /// Places that are all free.
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), limit })
    }

    /// Takes a place, or none if all are taken. Never one more than the limit, whoever asks at the same time.
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Permit { places: Arc::clone(self) })
    }

    /// Takes a place for a session that is already there, even beyond the limit: a live session is never refused.
    pub fn adopt(self: &Arc<Self>, _token: PermitToken) -> Permit {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Permit { places: Arc::clone(self) }
    }

    /// Places that are taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Acquire)
    }

    /// How many places there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }
}

/// Proof of admission; dropping it gives the place back. A session holds its until both descriptors are closed.
#[derive(Debug)]
#[must_use = "dropping a permit gives its place back"]
pub struct Permit {
    places: Arc<Places>,
}

/// A permit as plain data, for a session that moves to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermitToken;

impl Permit {
    /// Gives the place back here, to be adopted elsewhere.
    pub fn into_token(self) -> PermitToken {
        PermitToken
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
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
    fn adopting_never_refuses() {
        let places = Places::new(1);
        let permit = places.take().unwrap();
        let token = permit.into_token();
        let _other = places.take().unwrap();
        let _adopted = places.adopt(token);
        assert_eq!(places.taken(), 2);
        assert!(places.take().is_none());
    }

    #[test]
    fn is_exact_under_a_storm_of_threads() {
        let places = Places::new(5);
        let most_seen = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(permit) = places.take() {
                            most_seen.fetch_max(places.taken(), Ordering::Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(most_seen.into_inner() <= 5);
        assert_eq!(places.taken(), 0);
    }
}
