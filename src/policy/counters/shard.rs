//! The counters of many keys, within a bounded amount of memory.
//!
//! ```text
//! key is known                     its counter
//! there is room                    a counter of its own; as if it had all that its family has counted together
//! counters are over                they go, and there is room
//! there is none                    the family's counter, together with all others that come too late
//! ```
//!
//! The property to trust: memory is bounded, and no key gets more than its rule allows by having or losing a counter of its own.
//! No counter is displaced by others. A flood of made-up keys makes newcomers share a limit until counters expire; keys that were
//! known before are not affected.
//!
//! Not here: the lock, and the choice of the shard.

use super::{Counter, CounterKey, CounterOp, Exceeded, Remaining};
use crate::catalog::subscription_key::HashOfKeys;
use crate::limits::COUNTER_LAG_MS;

/// Least time, in milliseconds, between two looks through a full shard for counters that are over. It bounds what a flood
/// of keys takes of a core: a look is at some 2,000 counters.
const COUNTER_SWEEP_MS: i64 = 100;

/// Families of counters that keys without room are counted together in, for each shard. Over it: the call is refused.
/// Documents make families, not clients, and a handful of them.
const COUNTER_FAMILIES_MAX: usize = 64;

/// One part of the counters of a kind.
#[derive(Debug)]
pub struct Shard<C> {
    keys_max: usize,
    own: HashOfKeys<KeyState<C>>,
    /// By family: what keys without a counter of their own are counted with.
    together: HashOfKeys<KeyState<C>>,
    /// When it was last looked for counters that are over.
    swept_at_ms: i64,
    /// There is no use in looking again before: nothing is over.
    sweep_at_ms: i64,
}

#[derive(Debug)]
struct KeyState<C> {
    counter: C,
    /// From then on it is as good as new.
    over_at_ms: i64,
}

impl<C: Counter> Shard<C> {
    /// Room for so many keys.
    pub fn new(keys_max: usize) -> Self {
        let (own, together) = (HashOfKeys::default(), HashOfKeys::default());
        Self { keys_max, own, together, swept_at_ms: i64::MIN, sweep_at_ms: i64::MIN }
    }

    /// Asks the counter of `key`.
    ///
    /// # Errors
    /// The rule has nothing left, for the key or for all that are counted together.
    pub fn ask(
        &mut self,
        key: &CounterKey,
        rule: &C::Rule,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded> {
        if let Some(known) = self.own.get_mut(&key.own) {
            return known.ask(rule, ask, now_ms);
        }
        if self.own.len() >= self.keys_max {
            self.sweep(now_ms);
        }
        if self.own.len() >= self.keys_max {
            return self.ask_together(key, rule, ask, now_ms);
        }
        // Calls of this key may be among those that were counted together.
        let counter = self.together.get(&key.family).map(|together| together.counter.clone());
        let mut kept = KeyState { counter: counter.unwrap_or_default(), over_at_ms: i64::MIN };
        let answer = kept.ask(rule, ask, now_ms);
        // A look, or a refusal, of what nothing was counted for needs no room.
        if now_ms < kept.over_at_ms {
            self.sweep_at_ms = self.sweep_at_ms.min(kept.over_at_ms);
            self.own.insert(key.own, kept);
        }
        answer
    }

    fn ask_together(
        &mut self,
        key: &CounterKey,
        rule: &C::Rule,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded> {
        if self.together.len() >= COUNTER_FAMILIES_MAX && !self.together.contains_key(&key.family) {
            return Err(C::no_room(rule, now_ms));
        }
        let together = self.together.entry(key.family).or_insert_with(KeyState::new);
        together.ask(rule, ask, now_ms)
    }

    /// Lets go of the counters that are over, if some may be.
    fn sweep(&mut self, now_ms: i64) {
        // Of a clock that was set back, what was known is not true.
        let is_set_back = now_ms < self.swept_at_ms.saturating_sub(COUNTER_LAG_MS);
        if now_ms < self.sweep_at_ms && !is_set_back {
            return;
        }
        self.swept_at_ms = now_ms;
        self.together.retain(|_, kept| now_ms < kept.over_at_ms);
        let mut next_ms = i64::MAX;
        self.own.retain(|_, kept| {
            let is_kept = now_ms < kept.over_at_ms;
            if is_kept {
                next_ms = next_ms.min(kept.over_at_ms);
            }
            is_kept
        });
        self.sweep_at_ms = next_ms.max(now_ms.saturating_add(COUNTER_SWEEP_MS));
        // After a crowd has left, its room goes too.
        if self.own.capacity() > 8 * self.own.len() {
            self.own.shrink_to(2 * self.own.len());
        }
    }

    /// Keys that have a counter of their own.
    pub fn keys(&self) -> usize {
        self.own.len()
    }
}

impl<C: Counter> KeyState<C> {
    fn new() -> Self {
        Self { counter: C::default(), over_at_ms: i64::MIN }
    }

    fn ask(&mut self, rule: &C::Rule, ask: CounterOp, now_ms: i64) -> Result<Remaining, Exceeded> {
        let answer = self.counter.ask(rule, ask, now_ms);
        self.over_at_ms = self.counter.over_at_ms(rule).unwrap_or(i64::MIN);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::counters::{CounterFamily, CounterKeys, Quota, QuotaRule, Rate, Window};

    const RATE: Rate = Rate { calls: 3, period_ms: 10_000 };

    struct Keys(CounterKeys, CounterFamily);

    impl Keys {
        fn new() -> Self {
            let keys = CounterKeys::new(&[7; 32]);
            let family = CounterFamily::new("rate-limit-by-key");
            Self(keys, family)
        }

        fn key(&self, name: usize) -> CounterKey {
            self.0.key(&self.1, name.to_string().as_bytes())
        }
    }

    #[test]
    fn each_key_has_its_own_calls() {
        let (keys, mut shard) = (Keys::new(), Shard::<Window>::new(10));
        for name in [1, 2] {
            for left in [2, 1, 0] {
                assert_eq!(
                    shard.ask(&keys.key(name), &RATE, CounterOp::Take(1), 0),
                    Ok(Remaining { calls: left })
                );
            }
            assert!(shard.ask(&keys.key(name), &RATE, CounterOp::Take(1), 9_999).is_err());
        }
        assert!(shard.ask(&keys.key(1), &RATE, CounterOp::Take(1), 10_000).is_ok());
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_room_than_there_is_and_pushes_nobody_out() {
        let (keys, mut shard) = (Keys::new(), Shard::<Window>::new(50));
        for _ in 0..3 {
            shard.ask(&keys.key(0), &RATE, CounterOp::Take(1), 0).unwrap();
        }
        let let_in =
            (1..10_000).filter(|name| shard.ask(&keys.key(*name), &RATE, CounterOp::Take(1), 1).is_ok());
        // Those with counters of their own, and those that share one.
        assert_eq!(let_in.count(), 49 + 3);
        assert_eq!((shard.keys(), shard.together.len()), (50, 1));
        assert!(
            shard.ask(&keys.key(0), &RATE, CounterOp::Take(1), 2).is_err(),
            "its calls are not forgotten"
        );
        assert!(shard.ask(&keys.key(1), &RATE, CounterOp::Take(1), 2).is_ok(), "it does not share");
        // When counters are over, the room is free again.
        assert!(shard.ask(&keys.key(20_000), &RATE, CounterOp::Take(1), 10_003 + COUNTER_LAG_MS).is_ok());
        assert_eq!((shard.keys(), shard.together.len()), (1, 0));
    }

    #[test]
    fn a_key_that_gets_a_counter_of_its_own_keeps_what_it_had_together_with_others() {
        let (keys, mut shard) = (Keys::new(), Shard::<Window>::new(1));
        shard.ask(&keys.key(0), &RATE, CounterOp::Take(1), 0).unwrap();
        for _ in 0..3 {
            shard.ask(&keys.key(1), &RATE, CounterOp::Take(1), 9_000).unwrap();
        }
        // There is room.
        let now_ms = 10_000 + COUNTER_LAG_MS;
        let refused = shard.ask(&keys.key(1), &RATE, CounterOp::Take(1), now_ms).unwrap_err();
        assert_eq!(refused.retry_after_ms, Some(19_000 - now_ms.unsigned_abs()));
        assert_eq!(shard.keys(), 1);
        assert!(shard.ask(&keys.key(1), &RATE, CounterOp::Take(1), 19_000).is_ok());
    }

    #[test]
    fn every_flood_gives_its_room_back() {
        let (keys, mut shard) = (Keys::new(), Shard::<Window>::new(50));
        let mut now_ms = 0;
        for flood in 0..5 {
            for name in 0..60 {
                let _ = shard.ask(&keys.key(100 * flood + name), &RATE, CounterOp::Take(1), now_ms);
            }
            assert_eq!(shard.keys(), 50);
            now_ms += 20_000;
            for _ in 0..3 {
                shard.ask(&keys.key(1_000_000 + flood), &RATE, CounterOp::Take(1), now_ms).unwrap();
            }
            assert_eq!((shard.keys(), shard.together.len()), (1, 0), "after flood {flood}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_room() {
        let (keys, mut shard) = (Keys::new(), Shard::<Quota>::new(2));
        let rule = QuotaRule { calls: 1, period_ms: 1_000, first_period_start_ms: 0 };
        let far_ms = 1_000_000_000;
        for name in 0..2 {
            shard.ask(&keys.key(name), &rule, CounterOp::Take(1), 0).unwrap();
        }
        // A wrong clock has the shard looked through; then there is the right one again.
        shard.ask(&keys.key(2), &rule, CounterOp::Take(1), far_ms).unwrap();
        for name in 3..5 {
            let _ = shard.ask(&keys.key(name), &rule, CounterOp::Take(1), 10_000);
        }
        shard.ask(&keys.key(5), &rule, CounterOp::Take(1), 20_000).unwrap();
        assert!(shard.own.contains_key(&keys.key(5).own));
    }

    #[test]
    fn families_beyond_the_bound_are_refused() {
        let keys = CounterKeys::new(&[7; 32]);
        let mut shard = Shard::<Window>::new(0);
        let mut ask = |family: usize| {
            let family = CounterFamily::new(&family.to_string());
            shard.ask(&keys.key(&family, b""), &RATE, CounterOp::Take(1), 0)
        };
        assert!((0..COUNTER_FAMILIES_MAX).all(|family| ask(family).is_ok()));
        assert_eq!(ask(COUNTER_FAMILIES_MAX), Err(Exceeded { retry_after_ms: Some(10_000) }));
        assert!(ask(0).is_ok());
    }

    #[test]
    fn a_look_at_an_unknown_key_takes_no_room() {
        let (keys, mut shard) = (Keys::new(), Shard::<Quota>::new(10));
        let rule = QuotaRule { calls: 1, period_ms: 0, first_period_start_ms: 0 };
        assert_eq!(shard.ask(&keys.key(0), &rule, CounterOp::Look, 0), Ok(Remaining { calls: 1 }));
        assert!(shard.ask(&keys.key(0), &rule, CounterOp::Take(2), 0).is_err());
        assert_eq!(shard.keys(), 0);
        assert!(shard.ask(&keys.key(0), &rule, CounterOp::Take(1), 0).is_ok());
        assert_eq!(shard.keys(), 1);
    }

    proptest! {
        #[test]
        fn no_key_gets_more_than_its_rule_says_however_little_room_there_is(
            keys_max in 0..4_usize,
            // Clocks of threads lag by a second at most.
            story in proptest::collection::vec((0..2_500_i64, 0..8_usize, 0..COUNTER_LAG_MS), 1..400),
        ) {
            let (keys, mut shard) = (Keys::new(), Shard::<Window>::new(keys_max));
            let (mut logs, mut now_ms) = (HashMap::<usize, Vec<i64>>::new(), 0);
            for (wait, name, lag) in story {
                now_ms += wait;
                if shard.ask(&keys.key(name), &RATE, CounterOp::Take(1), now_ms - lag).is_ok() {
                    let log = logs.entry(name).or_default();
                    log.push(now_ms);
                    // A lagging call may stand in the log so much later than it was counted.
                    prop_assert!(log.iter().filter(|at| **at > now_ms - 10_000 + COUNTER_LAG_MS).count() <= 3);
                }
                prop_assert!(shard.keys() <= keys_max);
            }
        }
    }
}
