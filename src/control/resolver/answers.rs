//! Addresses that the host gave for a name, for a few seconds, and their order.
//!
//! Plain data: time comes in as an argument. All answers live equally long, so the oldest is also the first to expire.
//!
//! Not here: asking, and faults, which are not remembered.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::limits::{RESOLVER_ADDRESSES_MAX, RESOLVER_ANSWER_LIFETIME, RESOLVER_ANSWERS_MAX};

/// The answers, by name.
///
/// Invariant: `by_age` holds the names of `by_name`, each once, the oldest answer first.
#[derive(Default)]
pub(super) struct Answers {
    by_name: HashMap<Arc<str>, Remembered>,
    by_age: VecDeque<Arc<str>>,
}

/// One answer and when it expires.
struct Remembered {
    addresses: Arc<[IpAddr]>,
    expires: Instant,
}

impl Answers {
    /// The addresses of `name`, unless they have expired.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Arc<[IpAddr]>> {
        let remembered = self.by_name.get(name)?;
        (now < remembered.expires).then(|| Arc::clone(&remembered.addresses))
    }

    /// Remembers the addresses of `name`. Forgets what has expired, and the oldest answer where there are too many.
    pub(super) fn insert(&mut self, name: Arc<str>, addresses: Arc<[IpAddr]>, now: Instant) {
        let remembered = Remembered { addresses, expires: now + RESOLVER_ANSWER_LIFETIME };
        if self.by_name.insert(Arc::clone(&name), remembered).is_some() {
            self.by_age.retain(|other| *other != name);
        }
        self.by_age.push_back(name);
        while self.by_age.len() > RESOLVER_ANSWERS_MAX || self.oldest_has_expired(now) {
            if let Some(oldest) = self.by_age.pop_front() {
                self.by_name.remove(&oldest);
            }
        }
    }

    fn oldest_has_expired(&self, now: Instant) -> bool {
        let oldest = self.by_age.front().and_then(|name| self.by_name.get(name));
        oldest.is_some_and(|remembered| remembered.expires <= now)
    }
}

/// Puts addresses in the order in which to dial them and drops repetitions and what is over the bound.
///
/// RFC 8305 §4: the first address stays first, then the families alternate; within a family the order stays.
pub(super) fn interleave(sorted: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_ipv6 = sorted.first().is_some_and(IpAddr::is_ipv6);
    let (first_family, other_family): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first_family, mut other_family) = (first_family.into_iter(), other_family.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < RESOLVER_ADDRESSES_MAX {
        let pair = [first_family.next(), other_family.next()];
        if pair == [None, None] {
            break;
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
    ordered.truncate(RESOLVER_ADDRESSES_MAX);
    ordered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn addresses(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn check_invariants(answers: &Answers) {
        assert_eq!(answers.by_age.len(), answers.by_name.len());
        assert!(answers.by_age.iter().all(|name| answers.by_name.contains_key(name)));
        assert!(answers.by_age.len() <= RESOLVER_ANSWERS_MAX);
    }

    #[test]
    fn alternates_the_families_and_keeps_the_order_in_each() {
        for (sorted, ordered) in [
            (&["::1", "::2", "::3", "1.1.1.1"][..], &["::1", "1.1.1.1", "::2", "::3"][..]),
            (&["1.1.1.1", "2.2.2.2", "::1", "::2"], &["1.1.1.1", "::1", "2.2.2.2", "::2"]),
            (&["1.1.1.1", "1.1.1.1", "::1"], &["1.1.1.1", "::1"]),
            (&["::1"], &["::1"]),
            (&[], &[]),
        ] {
            assert_eq!(interleave(addresses(sorted)), addresses(ordered), "{sorted:?}");
        }
    }

    #[test]
    fn dials_a_bounded_number_of_addresses() {
        let many: Vec<IpAddr> = (0..200_u8).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        assert_eq!(interleave(many.clone()), many[..RESOLVER_ADDRESSES_MAX]);
    }

    #[test]
    fn forgets_an_answer_at_the_end_of_its_life() {
        let (mut answers, start) = (Answers::default(), Instant::now());
        answers.insert("a".into(), addresses(&["::1"]).into(), start);
        let last = start + RESOLVER_ANSWER_LIFETIME - Duration::from_nanos(1);
        assert!(answers.get("a", last).is_some());
        assert!(answers.get("a", start + RESOLVER_ANSWER_LIFETIME).is_none());

        answers.insert("b".into(), addresses(&["::1"]).into(), start + RESOLVER_ANSWER_LIFETIME);
        assert_eq!(answers.by_name.len(), 1, "what has expired goes when something comes");
        check_invariants(&answers);
    }

    #[test]
    fn a_newer_answer_replaces_the_older_and_lives_its_own_life() {
        let (mut answers, start) = (Answers::default(), Instant::now());
        let later = start + Duration::from_secs(3);
        answers.insert("a".into(), addresses(&["::1"]).into(), start);
        answers.insert("b".into(), addresses(&["::2"]).into(), start);
        answers.insert("a".into(), addresses(&["::3"]).into(), later);
        check_invariants(&answers);
        let found = answers.get("a", start + RESOLVER_ANSWER_LIFETIME).unwrap();
        assert_eq!(*found, addresses(&["::3"]));
    }

    #[test]
    fn forgets_the_oldest_when_there_are_too_many() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        for n in 0..=RESOLVER_ANSWERS_MAX {
            answers.insert(n.to_string().into(), addresses(&["::1"]).into(), now);
            check_invariants(&answers);
        }
        assert!(answers.get("0", now).is_none());
        assert!(answers.get("1", now).is_some());
    }
}
