//! The counters of policies, shared by all workers.
//!
//! Each kind of counter is spread over shards, each under a lock of its own, which a front holds for one look-up: some
//! hundred nanoseconds. A handshake meets another there only if both are counted in the same shard at the same moment.
//! Relays never come here.
//!
//! Not here: what is counted, and how room is bounded (`policy::counters`).

use std::fmt;
use std::sync::PoisonError;

use crate::policy::counters::{
    Counter, CounterKey, CounterOp, Counters, Exceeded, KeyOwner, Quota, QuotaRule, Rate, Remaining, Shard,
    Window,
};

/// Keys that have counters of their own, for each kind: rate limits and quotas, by key and by subscription. Over it: keys
/// that are new are counted together, until counters are over.
///
/// A key takes some 200 bytes, and 1.2 KiB if it is busy all the time.
const COUNTER_KEYS_MAX: usize = 128 * 1024;

/// Parts that counters are kept in, each under its own lock, so that handshakes seldom meet.
const COUNTER_SHARDS: usize = 64;

const _: () = assert!(COUNTER_KEYS_MAX.is_multiple_of(COUNTER_SHARDS));

#[expect(
    clippy::disallowed_types,
    reason = "a map that grows and shrinks cannot be shared without a lock; only fronts take it, for one look-up"
)]
type Lock<T> = std::sync::Mutex<T>;

/// The counters of a process. They live as long as it does, through every publish.
pub struct SharedCounters {
    // Short windows take no room from quotas.
    rates: Tables<Window>,
    quotas: Tables<Quota>,
}

/// Counters of one kind, by whose keys they are.
struct Tables<C> {
    of_subscriptions: Table<C>,
    of_policies: Table<C>,
}

struct Table<C> {
    shards: Box<[Lock<Shard<C>>]>,
}

impl SharedCounters {
    /// Counters with nothing counted, and room for so many keys of each kind.
    pub fn new(keys_max: usize) -> Self {
        Self { rates: Tables::new(keys_max), quotas: Tables::new(keys_max) }
    }
}

impl Default for SharedCounters {
    fn default() -> Self {
        Self::new(COUNTER_KEYS_MAX)
    }
}

impl fmt::Debug for SharedCounters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedCounters")
            .field("rates", &self.rates)
            .field("quotas", &self.quotas)
            .finish()
    }
}

impl Counters for SharedCounters {
    fn rate(
        &self,
        whose: KeyOwner,
        key: &CounterKey,
        rule: &Rate,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded> {
        self.rates.of(whose).ask(key, rule, ask, now_ms)
    }

    fn quota(
        &self,
        whose: KeyOwner,
        key: &CounterKey,
        rule: &QuotaRule,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded> {
        self.quotas.of(whose).ask(key, rule, ask, now_ms)
    }
}

impl<C: Counter> Tables<C> {
    fn new(keys_max: usize) -> Self {
        Self { of_subscriptions: Table::new(keys_max), of_policies: Table::new(keys_max) }
    }

    fn of(&self, whose: KeyOwner) -> &Table<C> {
        match whose {
            KeyOwner::Subscriptions => &self.of_subscriptions,
            KeyOwner::Policies => &self.of_policies,
        }
    }
}

/// How many keys there are, and none of them.
impl<C: Counter> fmt::Debug for Tables<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tables")
            .field("of_subscriptions", &self.of_subscriptions.keys())
            .field("of_policies", &self.of_policies.keys())
            .finish()
    }
}

impl<C: Counter> Table<C> {
    fn new(keys_max: usize) -> Self {
        let of_each = keys_max.div_ceil(COUNTER_SHARDS);
        Self { shards: (0..COUNTER_SHARDS).map(|_| Lock::new(Shard::new(of_each))).collect() }
    }

    fn ask(
        &self,
        key: &CounterKey,
        rule: &C::Rule,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded> {
        let shard = &self.shards[key.shard_number() % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner).ask(key, rule, ask, now_ms)
    }

    fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).keys()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::policy::counters::{CounterFamily, CounterKeys};

    fn keys() -> (CounterKeys, CounterFamily) {
        let keys = CounterKeys::new(&[3; 32]);
        let family = CounterFamily::new("test");
        (keys, family)
    }

    #[test]
    fn exactly_as_many_calls_as_allowed_get_through_a_storm_of_threads() {
        const CALLS: u64 = if cfg!(miri) { 40 } else { 10_000 };
        const KEYS: u64 = 3;
        let (counters, (keys, family)) = (SharedCounters::default(), keys());
        let rate = Rate { calls: CALLS, period_ms: 60_000 };
        let quota = QuotaRule { calls: CALLS, period_ms: 60_000, first_period_start_ms: 0 };
        let let_in: [AtomicU64; 4] = Default::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (counters, keys, family, let_in) = (&counters, &keys, &family, &let_in);
                scope.spawn(move || {
                    for round in 0..CALLS {
                        let key = keys.key(family, &[((thread + round) % KEYS) as u8]);
                        // Within a window, whatever the threads' clocks say.
                        let now_ms = i64::try_from(round % 900).unwrap();
                        let take = CounterOp::Take(1);
                        for (let_in, asked) in let_in.iter().zip([
                            counters.rate(KeyOwner::Policies, &key, &rate, take, now_ms),
                            counters.rate(KeyOwner::Subscriptions, &key, &rate, take, now_ms),
                            counters.quota(KeyOwner::Policies, &key, &quota, take, now_ms),
                            counters.quota(KeyOwner::Subscriptions, &key, &quota, take, now_ms),
                        ]) {
                            let_in.fetch_add(u64::from(asked.is_ok()), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        // Eight threads ask for more than twice what three keys have.
        assert_eq!(let_in.map(AtomicU64::into_inner), [KEYS * CALLS; 4]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "a crowd takes Miri minutes")]
    fn a_flood_of_keys_stays_within_its_room_and_takes_none_from_other_kinds() {
        const ROOM: usize = 6400;
        let (counters, (keys, family)) = (SharedCounters::new(ROOM), keys());
        let rate = Rate { calls: 1, period_ms: 60_000 };
        for name in 0..5 * ROOM as u64 {
            let _ = counters.rate(
                KeyOwner::Policies,
                &keys.key(&family, &name.to_le_bytes()),
                &rate,
                CounterOp::Take(1),
                0,
            );
        }
        assert_eq!(counters.rates.of_policies.keys(), ROOM);
        for name in 0..100_u64 {
            let key = keys.key(&family, &name.to_le_bytes());
            assert!(counters.rate(KeyOwner::Subscriptions, &key, &rate, CounterOp::Take(1), 0).is_ok());
        }
    }

    #[test]
    fn shows_how_many_keys_there_are_and_none_of_them() {
        let (counters, (keys, family)) = (SharedCounters::default(), keys());
        let rule = QuotaRule { calls: 1, period_ms: 0, first_period_start_ms: 0 };
        counters.quota(KeyOwner::Policies, &keys.key(&family, b"ann"), &rule, CounterOp::Take(1), 0).unwrap();
        assert_eq!(
            format!("{counters:?}"),
            "SharedCounters { rates: Tables { of_subscriptions: 0, of_policies: 0 }, \
             quotas: Tables { of_subscriptions: 0, of_policies: 1 } }"
        );
    }
}
