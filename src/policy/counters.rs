//! The counters behind rate-limit, rate-limit-by-key, quota and quota-by-key.
//!
//! ```text
//! policy, key ─► CounterKeys ─► CounterKey ─► Shard ─► Window or Quota ─► so many left, or come again in so long
//!                 (HMAC)                     (bounded)
//! ```
//!
//! The property to trust: no key ever gets more than its rule allows, however many ask at the same time, and whatever keys an
//! attacker makes up. A call whose place is uncertain counts as spent.
//!
//! A counter belongs to a kind of policy and a key, not to a snapshot: it goes on through every publish, and a changed limit
//! applies to calls that were counted before. Counters end with the process.
//!
//! Not here: the locks under which shards are shared (`shared_counts::policy_counters`); bytes (`bandwidth`), because policies do
//! not see what follows the handshake; the statuses and headers of a refusal.

mod quota;
mod shard;
mod window;

use core::fmt;

use crate::catalog::subscription_key::{KeyHash, KeyHasher};

pub use quota::{Quota, QuotaRule, span_text};
pub use shard::Shard;
pub use window::{Rate, Window};

/// A counter of the calls of one key. By default it is new, with nothing counted.
///
/// Time is in milliseconds after an origin that only the kind of counter knows. It may go back by [`COUNTER_LAG_MS`]: threads
/// read their clocks apart.
///
/// [`COUNTER_LAG_MS`]: crate::limits::COUNTER_LAG_MS
pub trait Counter: Clone + Default {
    /// The rule: how many calls are allowed.
    type Rule;

    /// Counts, or only looks.
    ///
    /// # Errors
    /// The rule has nothing left for this call. Nothing was counted.
    fn ask(&mut self, rule: &Self::Rule, ask: CounterOp, now_ms: i64) -> Result<Remaining, Exceeded>;

    /// From when on it is as good as new, for a thread whose clock lags too. `None`: nothing is counted.
    fn over_at_ms(&self, rule: &Self::Rule) -> Option<i64>;

    /// The answer to a call that could not be counted at all.
    fn no_room(rule: &Self::Rule, now_ms: i64) -> Exceeded;
}

/// An operation on a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// To count a call as so many, if they are left. One that counts as none is refused where nothing is left.
    Take(u64),
    /// To know whether a call is left: it is counted when its outcome is known.
    Look,
    /// To count what has happened, even beyond the rule.
    Add(u64),
}

impl CounterOp {
    /// Returns the number of calls that must be left.
    fn needed(self) -> u64 {
        match self {
            Self::Take(calls) => calls.max(1),
            Self::Look => 1,
            Self::Add(_) => 0,
        }
    }

    /// Returns the number of calls to count.
    fn counted(self) -> u64 {
        match self {
            Self::Take(calls) | Self::Add(calls) => calls,
            Self::Look => 0,
        }
    }
}

/// A call that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Calls that are left behind this one.
    pub calls: u64,
}

/// A call that the rule has nothing left for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// After how many milliseconds it would be let in, if no other call came first. `None`: never.
    pub retry_after_ms: Option<u64>,
}

impl Exceeded {
    /// Whole seconds for Retry-After: rounded up, so that who waits so long is not early.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1))
    }
}

/// The key that a call is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterKey {
    /// Of the key itself.
    own: KeyHash,
    /// Of all that its policy counts: keys that there is no room for are counted together.
    family: KeyHash,
}

impl CounterKey {
    /// A number to choose a shard by: as good as random, and apart from what maps look at.
    pub fn shard_number(&self) -> usize {
        self.own.second_word() as usize
    }
}

impl CounterFamily {
    /// The family that `name` stands for. It is under no secret: documents make families, not clients.
    pub fn new(name: &str) -> Self {
        Self { hash: KeyHasher::new(&[0; 32]).hash(name.as_bytes()) }
    }
}

/// Makes keys of counters under a secret of the process.
///
/// A key of any length takes 32 bytes, nobody outside can choose keys that meet, and a dump shows none of them.
#[derive(Clone)]
pub struct CounterKeys(KeyHasher);

/// The namespace of a policy's keys. Policies of the same family and key share a counter.
#[derive(Clone, Copy, Debug)]
pub struct CounterFamily {
    hash: KeyHash,
}

impl CounterKeys {
    /// Keys under `secret`: 32 random bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(KeyHasher::new(secret))
    }

    /// The key of `value` in a family.
    pub fn key(&self, family: &CounterFamily, value: &[u8]) -> CounterKey {
        CounterKey { own: self.0.hash_under(&family.hash, value), family: family.hash }
    }
}

impl fmt::Debug for CounterKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// Whose keys are counted. Each has its room, so that keys that clients make up take none from subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// Those of subscriptions (`rate-limit`, `quota`).
    Subscriptions,
    /// Those that policies make up, possibly of what clients say (`rate-limit-by-key`, `quota-by-key`).
    Policies,
}

/// The counters of a process, as policies have them. It is exact: shared by all workers, each key under one lock.
pub trait Counters: fmt::Debug + Send + Sync {
    /// Asks the window of a key, at a time of the monotonic clock.
    ///
    /// # Errors
    /// The rule has nothing left.
    fn rate(
        &self,
        whose: KeyOwner,
        key: &CounterKey,
        rule: &Rate,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded>;

    /// Asks the quota of a key, at a time of day since 1970.
    ///
    /// # Errors
    /// The rule has nothing left.
    fn quota(
        &self,
        whose: KeyOwner,
        key: &CounterKey,
        rule: &QuotaRule,
        ask: CounterOp,
        now_ms: i64,
    ) -> Result<Remaining, Exceeded>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_its_family_and_of_its_process() {
        let keys = CounterKeys::new(&[1; 32]);
        let (one, other) =
            (CounterFamily::new("rate-limit-by-key 60"), CounterFamily::new("rate-limit-by-key 6"));
        assert_eq!(keys.key(&one, b"ann"), keys.key(&one, b"ann"));
        assert_ne!(keys.key(&one, b"ann"), keys.key(&one, b"anne"));
        assert_ne!(keys.key(&one, b"0ann").own, keys.key(&other, b"0ann").own);
        let elsewhere = CounterKeys::new(&[2; 32]);
        assert_ne!(keys.key(&one, b"ann").own, elsewhere.key(&one, b"ann").own);
        assert_eq!(format!("{keys:?}"), "***");
        assert!(!format!("{:?}", keys.key(&one, b"ann")).contains("ann"));
    }

    #[test]
    fn who_waits_as_long_as_retry_after_says_is_not_early() {
        for (ms, s) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (57_000, 57)] {
            assert_eq!(Exceeded { retry_after_ms: Some(ms) }.retry_after_s(), Some(s));
        }
        assert_eq!(Exceeded { retry_after_ms: None }.retry_after_s(), None);
    }
}
