//! A sliding window: at most so many calls in any span of the period's length.
//!
//! Calls are kept in runs: a count, and the time of the last call. A call joins the newest run if that began less than a
//! [`RATE_SUBWINDOWS`]th of the period ago, else it begins a new run. So there are few runs, however many calls there are.
//!
//! ```text
//!        3    1        5  2       runs
//! ───────┴────┴────────┴──┴───► time
//!     │◄────── period ───────►│
//!     a run counts as a whole until its last call has left the window
//! ```
//!
//! The property to trust: a call counts for the period at least. It counts longer only if others joined its run, and then by less
//! than a `RATE_SUBWINDOWS`th of the period. So there are never more than `calls` in any span (from, from + period], and a call
//! is refused only if that many came within a period and that extra time.

use std::collections::VecDeque;

use super::{Counter, CounterOp, Exceeded, Remaining};
use crate::limits::COUNTER_LAG_MS;

/// Parts of a period of a rate limit. A call counts for the period at least, and longer by less than a part of it.
///
/// Raising it costs memory: a key that is busy all the time takes some 40 bytes for each part.
const RATE_SUBWINDOWS: u64 = 32;

/// So many calls in any span of so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many. With none, every call is refused.
    pub calls: u64,
    /// How long, in milliseconds; at least one.
    pub period_ms: u64,
}

impl Rate {
    fn period(&self) -> i64 {
        i64::try_from(self.period_ms.max(1)).unwrap_or(i64::MAX)
    }
}

/// Most runs: those that begin within a period and one part of it, and the one that the oldest call is in.
const RUNS_MAX: usize = RATE_SUBWINDOWS as usize + 2;

/// The calls of one key.
#[derive(Clone, Debug)]
pub struct Window {
    /// In the order of their last calls.
    runs: VecDeque<Run>,
    /// When the newest run began.
    newest_since_ms: i64,
    /// The latest time that it was asked at.
    latest_ms: i64,
}

impl Default for Window {
    fn default() -> Self {
        Self { runs: VecDeque::new(), newest_since_ms: i64::MIN, latest_ms: i64::MIN }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    last_ms: i64,
    calls: u64,
}

impl Counter for Window {
    type Rule = Rate;

    fn ask(&mut self, rule: &Rate, ask: CounterOp, now_ms: i64) -> Result<Remaining, Exceeded> {
        // A thread that read its clock earlier counts as if it had read it when the one before it did.
        let now_ms = now_ms.max(self.latest_ms);
        self.latest_ms = now_ms;
        let gone_by_ms = now_ms.saturating_sub(rule.period());
        while self.runs.front().is_some_and(|oldest| oldest.last_ms <= gone_by_ms) {
            self.runs.pop_front();
        }
        let taken = self.runs.iter().fold(0, |sum: u64, run| sum.saturating_add(run.calls));
        if !matches!(ask, CounterOp::Add(_)) && rule.calls.saturating_sub(taken) < ask.needed() {
            return Err(self.exceeded(rule, taken, ask.needed(), now_ms));
        }
        self.count(rule, ask.counted(), now_ms);
        Ok(Remaining { calls: rule.calls.saturating_sub(taken.saturating_add(ask.counted())) })
    }

    fn over_at_ms(&self, rule: &Rate) -> Option<i64> {
        self.runs
            .back()
            .map(|newest| newest.last_ms.saturating_add(rule.period()).saturating_add(COUNTER_LAG_MS))
    }

    fn no_room(rule: &Rate, _now_ms: i64) -> Exceeded {
        Exceeded { retry_after_ms: Some(rule.period_ms) }
    }
}

impl Window {
    fn count(&mut self, rule: &Rate, calls: u64, now_ms: i64) {
        if calls == 0 {
            return;
        }
        let part_ms = rule.period_ms.div_ceil(RATE_SUBWINDOWS);
        let is_joined = now_ms.abs_diff(self.newest_since_ms) < part_ms;
        match self.runs.back_mut().filter(|_| is_joined) {
            Some(newest) => *newest = Run { last_ms: now_ms, calls: newest.calls.saturating_add(calls) },
            None => {
                self.newest_since_ms = now_ms;
                self.runs.push_back(Run { last_ms: now_ms, calls });
            }
        }
        // Only after the period was made longer: what is older than that many runs counts a little longer too.
        while self.runs.len() > RUNS_MAX {
            if let Some(oldest) = self.runs.pop_front()
                && let Some(next) = self.runs.front_mut()
            {
                next.calls = next.calls.saturating_add(oldest.calls);
            }
        }
    }

    /// When so many runs will have left that what is needed is there.
    fn exceeded(&self, rule: &Rate, taken: u64, needed: u64, now_ms: i64) -> Exceeded {
        let mut left = taken;
        let leaving = self.runs.iter().find(|run| {
            left = left.saturating_sub(run.calls);
            rule.calls.saturating_sub(left) >= needed
        });
        let retry_after_ms = leaving.map(|run| run.last_ms.saturating_add(rule.period()).abs_diff(now_ms));
        // What is more than the rule ever gives is told to wait for long enough to notice.
        Exceeded { retry_after_ms: Some(retry_after_ms.unwrap_or(rule.period_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Rate = Rate { calls: 3, period_ms: 60_000 };

    fn take(window: &mut Window, rule: &Rate, now_ms: i64) -> Result<u64, u64> {
        let asked = window.ask(rule, CounterOp::Take(1), now_ms);
        asked.map(|left| left.calls).map_err(|exceeded| exceeded.retry_after_ms.expect("a window goes on"))
    }

    #[test]
    fn a_call_counts_until_the_period_after_it_and_not_longer() {
        let mut window = Window::default();
        assert_eq!(take(&mut window, &MINUTE, 0), Ok(2));
        assert_eq!(take(&mut window, &MINUTE, 10_000), Ok(1));
        assert_eq!(take(&mut window, &MINUTE, 20_000), Ok(0));
        assert_eq!(take(&mut window, &MINUTE, 20_000), Err(40_000));
        assert_eq!(take(&mut window, &MINUTE, 59_999), Err(1));
        assert_eq!(take(&mut window, &MINUTE, 60_000), Ok(0));
        assert_eq!(take(&mut window, &MINUTE, 60_000), Err(10_000));
    }

    #[test]
    fn a_refused_call_is_not_counted() {
        let mut window = Window::default();
        for _ in 0..3 {
            take(&mut window, &MINUTE, 0).unwrap();
        }
        for now_ms in 1..1000 {
            assert_eq!(take(&mut window, &MINUTE, now_ms), Err(60_000 - now_ms.unsigned_abs()));
        }
        assert_eq!(take(&mut window, &MINUTE, 60_000), Ok(2));
    }

    #[test]
    fn a_call_may_count_as_several_or_as_none() {
        let mut window = Window::default();
        let mut ask = |ask| window.ask(&MINUTE, ask, 0).map(|left| left.calls).ok();
        assert_eq!(ask(CounterOp::Take(4)), None, "more than there ever is");
        assert_eq!(ask(CounterOp::Take(2)), Some(1));
        assert_eq!(ask(CounterOp::Take(2)), None);
        assert_eq!(ask(CounterOp::Take(0)), Some(1));
        assert_eq!(ask(CounterOp::Look), Some(1));
        assert_eq!(ask(CounterOp::Add(5)), Some(0), "what has happened is counted");
        assert_eq!((ask(CounterOp::Take(0)), ask(CounterOp::Look)), (None, None));
        assert_eq!(window.ask(&MINUTE, CounterOp::Look, 60_000), Ok(Remaining { calls: 3 }));
    }

    #[test]
    fn without_calls_everyone_is_refused() {
        let rule = Rate { calls: 0, period_ms: 1000 };
        assert_eq!(take(&mut Window::default(), &rule, 0), Err(1000));
    }

    #[test]
    fn a_changed_rule_holds_for_what_was_counted_before() {
        let mut window = Window::default();
        for now_ms in [0, 1000, 30_000] {
            take(&mut window, &MINUTE, now_ms).unwrap();
        }
        assert_eq!(take(&mut window, &Rate { calls: 5, ..MINUTE }, 30_000), Ok(1));
        assert_eq!(take(&mut window, &Rate { calls: 2, ..MINUTE }, 30_000), Err(60_000));
        let shorter = Rate { calls: 3, period_ms: 10_000 };
        assert_eq!(take(&mut window, &shorter, 30_000), Ok(0));
    }

    #[test]
    fn a_clock_that_lags_behind_gives_nothing_away() {
        let mut window = Window::default();
        take(&mut window, &MINUTE, 1000).unwrap();
        for now_ms in [999, i64::MIN] {
            take(&mut window, &MINUTE, now_ms).unwrap();
        }
        assert_eq!(take(&mut window, &MINUTE, 0), Err(60_000));
        assert_eq!(take(&mut window, &MINUTE, 60_999), Err(1));
        assert_eq!(take(&mut window, &MINUTE, 61_000), Ok(2));
    }

    /// A rule, and calls: how long after the one before, and as how many it counts.
    fn any_story() -> impl Strategy<Value = (Rate, Vec<(i64, u64)>)> {
        (1..40_u64, prop_oneof![1..20_u64, 900..1100_u64, Just(300_000)]).prop_flat_map(
            |(calls, period_ms)| {
                let longest = i64::try_from(period_ms).unwrap();
                let wait = prop_oneof![4 => -3..=longest / 32 + 1, 1 => 0..=2 * longest];
                (Just(Rate { calls, period_ms }), proptest::collection::vec((wait, 0..4_u64), 1..300))
            },
        )
    }

    proptest! {
        #[test]
        fn admits_what_the_log_of_all_calls_allows_and_never_more((rule, story) in any_story()) {
            let (mut window, mut log, mut now_ms, mut seen_ms) = (Window::default(), Vec::new(), 0_i64, -10);
            let (period, part) = (rule.period(), i64::try_from(rule.period_ms.div_ceil(RATE_SUBWINDOWS)).unwrap());
            for (wait, calls) in story {
                now_ms += wait;
                // The window's clock does not go back.
                seen_ms = seen_ms.max(now_ms);
                let in_last = |log: &[(i64, u64)], span: i64| -> u64 {
                    log.iter().filter(|(at, _)| *at > seen_ms - span).map(|(_, calls)| calls).sum()
                };
                match window.ask(&rule, CounterOp::Take(calls), now_ms) {
                    Ok(left) => {
                        if calls > 0 {
                            log.push((seen_ms, calls));
                        }
                        let taken = in_last(&log, period);
                        prop_assert!(taken <= rule.calls, "{} of {} in the period", taken, rule.calls);
                        prop_assert!(left.calls <= rule.calls - taken);
                    }
                    Err(exceeded) => {
                        let taken = in_last(&log, period + part);
                        prop_assert!(taken + calls.max(1) > rule.calls, "{} of {}", taken, rule.calls);
                        let wait = i64::try_from(exceeded.retry_after_ms.unwrap()).unwrap();
                        prop_assert!(0 < wait && wait <= period);
                        if calls <= rule.calls {
                            let at = |ms| window.clone().ask(&rule, CounterOp::Take(calls), ms).is_ok();
                            prop_assert!(at(seen_ms + wait) && !at(seen_ms + wait - 1));
                        }
                    }
                }
                prop_assert!(window.runs.len() <= RUNS_MAX);
            }
        }

        #[test]
        fn never_gives_more_than_in_the_shortest_period_while_periods_change(
            calls in 1..30_u64,
            story in proptest::collection::vec((0..200_i64, 1000..20_000_u64), 1..300),
        ) {
            let (mut window, mut log, mut now_ms) = (Window::default(), Vec::new(), 0_i64);
            for (wait, period_ms) in story {
                now_ms += wait;
                if window.ask(&Rate { calls, period_ms }, CounterOp::Take(1), now_ms).is_ok() {
                    log.push(now_ms);
                    prop_assert!(log.iter().filter(|at| **at > now_ms - 1000).count() as u64 <= calls);
                }
                prop_assert!(window.runs.len() <= RUNS_MAX);
            }
        }
    }
}
