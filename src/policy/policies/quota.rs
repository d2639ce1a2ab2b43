//! `quota` and `quota-by-key`: so many handshakes in each period.
//!
//! The first counts for each subscription from its start on (`start_date`; of one that has none, as the second does), by
//! document; who comes without one is not limited. The second counts for each value of `counter-key`, in periods from
//! `first-period-start` on; policies with the same value and the same periods share its counter.
//!
//! What is counted when is as it is with rate limits (`rate_limit`). `bandwidth` is not counted: policies see the handshake
//! and nothing behind it. A document that asks for it is taken, and that is said at publish.

use std::sync::Arc;

use super::counting::{Calls, Increment, QuotaByKeyPeriod, QuotaPeriod, Target, limits, put_off};
use crate::catalog::timestamp::Timestamp;
use crate::policy::compile::Compiling;
use crate::policy::counters::{Ask, CounterFamily, CounterKey, Exceeded, Left, QuotaRule, span_text};
use crate::policy::document::Element;
use crate::policy::expression::{TICKS_PER_SECOND, Text, Wanted};
use crate::policy::failure::Failure;
use crate::policy::guards::Deferred;
use crate::policy::machine::Running;
use crate::policy::pipeline::{Flow, Policy};
use crate::policy::setting::{Literal, Setting};

/// 0001-01-01T00:00:00Z, in milliseconds since 1970.
const FIRST_PERIOD_START_MS: i64 = -62_135_596_800_000;

/// What the client is told, and policies.
fn refusal(exceeded: Exceeded) -> Failure {
    let Some(seconds) = exceeded.retry_after_s() else {
        return Failure::refused("QuotaExceeded", 403, "Out of call volume quota.");
    };
    let message = format!("Out of call volume quota. Quota will be replenished in {}.", span_text(seconds));
    let mut failure = Failure::refused("QuotaExceeded", 403, &message);
    *failure.answer = failure.answer.clone().with_field("Retry-After", &seconds.to_string());
    failure
}

fn now_ms(running: &Running<'_>) -> i64 {
    running.moment.now.unix_ticks().div_euclid(TICKS_PER_SECOND / 1000)
}

/// Says that bytes are not counted, if they are to be; refuses a quota of nothing.
fn check(compiling: &mut Compiling<'_>, element: &Element) {
    let (has_calls, has_bandwidth) =
        (element.attribute("calls").is_some(), element.attribute("bandwidth").is_some());
    if has_bandwidth {
        let _: Option<Setting<Calls>> = compiling.setting(element, "bandwidth");
        compiling.note(element, "bandwidth is not counted: policies see the opening handshake alone");
    } else if !has_calls {
        compiling.refuse_missing(element, "calls", "calls, bandwidth, or both");
    }
}

struct Quota {
    limits: Vec<Limit>,
}

struct Limit {
    target: Target,
    /// `None`: of bandwidth alone.
    calls: Option<u64>,
    period_ms: u64,
    family: CounterFamily,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    Some(Box::new(Quota { limits: limits(compiling, element, limit)? }))
}

fn limit(compiling: &mut Compiling<'_>, element: &Element, target: Target) -> Option<Limit> {
    check(compiling, element);
    let calls: Option<Calls> = compiling.fixed(element, "calls");
    let period: Option<QuotaPeriod> = compiling.fixed(element, "renewal-period");
    let family = CounterFamily::new(&format!("quota {}{}", compiling.document(), target.shown()));
    Some(Limit { target, calls: calls.map(|Calls(calls)| calls), period_ms: period?.0 * 1000, family })
}

impl Policy for Quota {
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure> {
        let Some(subscription) = running.exchange.subscription().map(Arc::clone) else {
            return Ok(Flow::Next);
        };
        let start = subscription.start_date.map(Timestamp::unix_seconds);
        let first_period_start_ms =
            start.map_or(FIRST_PERIOD_START_MS, |seconds| seconds.saturating_mul(1000));
        for limit in &self.limits {
            if !limit.target.has(running) {
                continue;
            }
            let Some(calls) = limit.calls else { continue };
            let rule = QuotaRule { calls, period_ms: limit.period_ms, first_period_start_ms };
            let now_ms = now_ms(running);
            let guards = running.outside.guards();
            let key = guards.keys.key(&limit.family, subscription.name.as_str().as_bytes());
            guards.counters.quota_of_subscription(&key, &rule, Ask::Take(1), now_ms).map_err(refusal)?;
        }
        Ok(Flow::Next)
    }

    fn describe(&self) -> String {
        let limits = self.limits.iter().map(|limit| {
            let calls = limit.calls.map_or("any number".to_owned(), |calls| calls.to_string());
            format!("{calls} in {} s{}", limit.period_ms / 1000, limit.target.shown())
        });
        limits.collect::<Vec<_>>().join(", ")
    }
}

struct QuotaByKey {
    counter_key: Setting<Text>,
    counted: Arc<Counted>,
}

/// What is counted, and how.
struct Counted {
    /// `None`: bandwidth alone.
    calls: Option<Setting<Calls>>,
    period: Setting<QuotaByKeyPeriod>,
    first_period_start: FirstPeriodStart,
    increment: Increment,
}

#[derive(Clone, Copy, Debug)]
struct FirstPeriodStart(i64);

impl Literal for FirstPeriodStart {
    const ALLOWED: &'static str = "a moment such as 2025-01-31T00:00:00Z";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        Timestamp::parse(text).map(|start| Self(start.unix_seconds() * 1000))
    }
}

pub(crate) fn compile_by_key(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    check(compiling, element);
    let calls = compiling.setting(element, "calls");
    let period = compiling.setting(element, "renewal-period");
    let first_period_start = compiling.fixed(element, "first-period-start");
    let counter_key = compiling.setting(element, "counter-key");
    let increment = Increment::compile(compiling, element);
    let counted = Arc::new(Counted {
        calls,
        period: period?,
        first_period_start: first_period_start?,
        increment: increment?,
    });
    Some(Box::new(QuotaByKey { counter_key: counter_key?, counted }))
}

impl Counted {
    /// `None`: nothing that is counted here is limited.
    fn rule(&self, running: &mut Running<'_>) -> Result<Option<QuotaRule>, Failure> {
        let Some(calls) = &self.calls else { return Ok(None) };
        let (Calls(calls), QuotaByKeyPeriod(seconds)) = (calls.value(running)?, self.period.value(running)?);
        let FirstPeriodStart(first_period_start_ms) = self.first_period_start;
        Ok(Some(QuotaRule { calls, period_ms: seconds * 1000, first_period_start_ms }))
    }
}

fn ask(key: &CounterKey, rule: &QuotaRule, ask: Ask, running: &Running<'_>) -> Result<Left, Exceeded> {
    running.outside.guards().counters.quota_of_key(key, rule, ask, now_ms(running))
}

impl Policy for QuotaByKey {
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure> {
        let Some(rule) = self.counted.rule(running)? else { return Ok(Flow::Next) };
        let value = self.counter_key.value(running)?;
        let name = format!("quota-by-key {} from {}", rule.period_ms, rule.first_period_start_ms);
        let key = running.outside.guards().keys.key(&CounterFamily::new(&name), value.as_bytes());
        let known = self.counted.increment.known();
        ask(&key, &rule, known.unwrap_or(Ask::Look), running).map_err(refusal)?;
        if known.is_none() {
            put_off(Arc::clone(&self.counted) as Arc<dyn Deferred>, key, running);
        }
        Ok(Flow::Next)
    }

    fn describe(&self) -> String {
        let Counted { calls, period, increment, .. } = &*self.counted;
        let calls = calls.as_ref().map_or("any number", Setting::shown);
        let key = self.counter_key.shown();
        format!("{calls} in {} s by {key}, {}", period.shown(), increment.describe())
    }
}

impl Deferred for Counted {
    fn settle(&self, key: &CounterKey, running: &mut Running<'_>) -> Result<(), Failure> {
        let count = self.increment.by_answer(running)?;
        if let Some(rule) = self.rule(running)? {
            // What has happened is counted, whatever the limit.
            let _ = ask(key, &rule, Ask::Add(count), running);
        }
        Ok(())
    }
}
