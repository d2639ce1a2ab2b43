//! A quota: so many calls in each fixed period.
//!
//! Periods begin at a given moment and every `period_ms` after and before it. Without a period there is a single one, which does
//! not end.
//!
//! Not here: where the first period begins (a subscription's start, `first-period-start`).

use super::{Counter, CounterOp, Exceeded, Remaining};
use crate::limits::COUNTER_LAG_MS;

/// So many calls in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaRule {
    /// How many.
    pub calls: u64,
    /// How long a period is, in milliseconds. 0: it never ends.
    pub period_ms: u64,
    /// A moment at which a period begins, in milliseconds since 1970.
    pub first_period_start_ms: i64,
}

impl QuotaRule {
    /// The period that `now_ms` lies in: `from <= now_ms < to`. `None`: it has neither beginning nor end.
    fn period_at(&self, now_ms: i64) -> Option<(i64, i64)> {
        let period_ms = i128::from(self.period_ms);
        if period_ms == 0 {
            return None;
        }
        let start_ms = i128::from(self.first_period_start_ms);
        let from_ms = start_ms + (i128::from(now_ms) - start_ms).div_euclid(period_ms) * period_ms;
        let clamped = |ms: i128| ms.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        Some((clamped(from_ms), clamped(from_ms + period_ms)))
    }
}

/// The use of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quota {
    used: u64,
    /// When it was used last.
    last_ms: i64,
}

impl Counter for Quota {
    type Rule = QuotaRule;

    fn ask(&mut self, rule: &QuotaRule, ask: CounterOp, now_ms: i64) -> Result<Remaining, Exceeded> {
        let period = rule.period_at(now_ms);
        // What was used counts if any of it is of this period: after a change of periods some may be of an earlier one, and
        // is counted all the same. A clock that was set back counts on, unless it went back further than a period: then
        // it had been wrong before.
        let is_of_period = period.is_none_or(|(from_ms, to_ms)| {
            self.last_ms >= from_ms
                && i128::from(self.last_ms) < i128::from(to_ms) + i128::from(rule.period_ms)
        });
        if !is_of_period {
            *self = Self::default();
        }
        if !matches!(ask, CounterOp::Add(_)) && rule.calls.saturating_sub(self.used) < ask.needed() {
            return Err(Self::no_room(rule, now_ms));
        }
        if ask.counted() > 0 {
            self.last_ms = if self.used == 0 { now_ms } else { self.last_ms.max(now_ms) };
            self.used = self.used.saturating_add(ask.counted());
        }
        Ok(Remaining { calls: rule.calls.saturating_sub(self.used) })
    }

    fn over_at_ms(&self, rule: &QuotaRule) -> Option<i64> {
        (self.used > 0).then(|| {
            rule.period_at(self.last_ms).map_or(i64::MAX, |(_, to_ms)| to_ms.saturating_add(COUNTER_LAG_MS))
        })
    }

    fn no_room(rule: &QuotaRule, now_ms: i64) -> Exceeded {
        Exceeded { retry_after_ms: rule.period_at(now_ms).map(|(_, to_ms)| to_ms.abs_diff(now_ms)) }
    }
}

/// A span as Azure API Management writes it into the message of a quota: `[d.]hh:mm:ss`.
pub fn span_text(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let days = if days == 0 { String::new() } else { format!("{days}.") };
    format!("{days}{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const RULE: QuotaRule = QuotaRule { calls: 2, period_ms: 3_600_000, first_period_start_ms: 0 };

    fn take(quota: &mut Quota, rule: &QuotaRule, now_ms: i64) -> Result<u64, Option<u64>> {
        let asked = quota.ask(rule, CounterOp::Take(1), now_ms);
        asked.map(|left| left.calls).map_err(|exceeded| exceeded.retry_after_ms)
    }

    #[test]
    fn each_period_has_its_own_calls() {
        let mut quota = Quota::default();
        assert_eq!(take(&mut quota, &RULE, 5), Ok(1));
        assert_eq!(take(&mut quota, &RULE, HOUR_MS - 2), Ok(0));
        assert_eq!(take(&mut quota, &RULE, HOUR_MS - 1), Err(Some(1)));
        assert_eq!(quota.over_at_ms(&RULE), Some(HOUR_MS + COUNTER_LAG_MS));
        assert_eq!(take(&mut quota, &RULE, HOUR_MS), Ok(1));
        assert_eq!(take(&mut quota, &RULE, 100 * HOUR_MS + 1), Ok(1));
    }

    #[test]
    fn periods_begin_where_the_rule_says() {
        for (first_period_start_ms, now_ms, retry_after_ms) in [
            (0, 1, 3_599_999),
            (500, 1, 499),
            // 0001-01-01T00:00:00Z, as Azure API Management begins by default.
            (-62_135_596_800_000, 1, 3_599_999),
            (10 * HOUR_MS + 7, 1, 6),
        ] {
            let rule = QuotaRule { calls: 0, first_period_start_ms, ..RULE };
            assert_eq!(take(&mut Quota::default(), &rule, now_ms), Err(Some(retry_after_ms)));
        }
    }

    #[test]
    fn moments_at_the_end_of_time_are_counted_too() {
        for (first_period_start_ms, now_ms) in [
            (i64::MIN, i64::MAX),
            (i64::MAX, i64::MIN),
            (i64::MAX, i64::MAX),
            (i64::MIN, i64::MIN),
            (0, i64::MIN),
        ] {
            for period_ms in [1, 1000, u64::MAX] {
                let rule = QuotaRule { calls: 1, period_ms, first_period_start_ms };
                let mut quota = Quota::default();
                assert_eq!(take(&mut quota, &rule, now_ms), Ok(0));
                assert!(take(&mut quota, &rule, now_ms).is_err(), "{rule:?} {now_ms}");
            }
        }
    }

    #[test]
    fn without_a_period_nothing_is_ever_renewed() {
        let rule = QuotaRule { period_ms: 0, ..RULE };
        let mut quota = Quota::default();
        for now_ms in [0, 1] {
            take(&mut quota, &rule, now_ms).unwrap();
        }
        assert_eq!(take(&mut quota, &rule, i64::MAX), Err(None));
        assert_eq!(quota.over_at_ms(&rule), Some(i64::MAX));
    }

    #[test]
    fn a_changed_rule_holds_for_what_was_used_before() {
        let mut quota = Quota::default();
        take(&mut quota, &RULE, 10).unwrap();
        take(&mut quota, &RULE, 20).unwrap();
        assert_eq!(take(&mut quota, &QuotaRule { calls: 3, ..RULE }, 30), Ok(0));
        let day = QuotaRule { calls: 4, period_ms: 86_400_000, ..RULE };
        assert_eq!(take(&mut quota, &day, 5 * HOUR_MS), Ok(0));
        assert_eq!(take(&mut quota, &RULE, 5 * HOUR_MS + 1), Err(Some(3_599_999)));
    }

    #[test]
    fn a_clock_that_goes_back_over_a_boundary_gives_no_second_quota() {
        let mut quota = Quota::default();
        take(&mut quota, &RULE, HOUR_MS).unwrap();
        take(&mut quota, &RULE, HOUR_MS + 1).unwrap();
        assert_eq!(take(&mut quota, &RULE, HOUR_MS - 1), Err(Some(1)));
        // A year ahead, and put right.
        let mut quota = Quota::default();
        take(&mut quota, &RULE, 9000 * HOUR_MS).unwrap();
        assert_eq!(take(&mut quota, &RULE, 0), Ok(1));
    }

    #[test]
    fn spans_are_written_as_azure_writes_them() {
        for (seconds, text) in [
            (0, "00:00:00"),
            (1802, "00:30:02"),
            (86_399, "23:59:59"),
            (86_400, "1.00:00:00"),
            (2_592_061, "30.00:01:01"),
        ] {
            assert_eq!(span_text(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn gives_each_period_exactly_its_calls(
            calls in 0..10_u64,
            period_ms in 1..500_u64,
            first_period_start_ms in -1000..1000_i64,
            story in proptest::collection::vec((0..60_i64, 0..3_u64), 1..300),
        ) {
            let rule = QuotaRule { calls, period_ms, first_period_start_ms };
            let (mut quota, mut used, mut now_ms) = (Quota::default(), HashMap::new(), -1000_i64);
            for (wait, count) in story {
                now_ms += wait;
                let period = (now_ms - first_period_start_ms).div_euclid(i64::try_from(period_ms).unwrap());
                let used: &mut u64 = used.entry(period).or_default();
                let fits = *used + count.max(1) <= calls;
                let asked = quota.ask(&rule, CounterOp::Take(count), now_ms);
                prop_assert_eq!(asked.is_ok(), fits);
                *used += if fits { count } else { 0 };
                if let Ok(left) = asked {
                    prop_assert_eq!(left.calls, calls - *used);
                }
            }
        }
    }
}
