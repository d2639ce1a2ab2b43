//! `quota` and `quota-by-key`: so many handshakes in each period.
//!
//! `quota` counts for each subscription from its start on (`start_date`; for a subscription without one, as `quota-by-key` does),
//! by document; a client without a subscription is not limited. `quota-by-key` counts for each value of `counter-key`, in periods
//! from `first-period-start` on; policies with the same value and the same periods share its counter.
//!
//! A call is counted at the same moment as with rate limits (`rate_limit`). `bandwidth` is not counted: policies see only the
//! handshake. A document that asks for it is accepted, with a note at publish.

use std::sync::Arc;

use super::counting::{Calls, Increment, QuotaByKeyPeriod, QuotaPeriod, Rule, Target, limits};
use crate::catalog::timestamp::Timestamp;
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::counters::{CounterFamily, Exceeded, QuotaRule, span_text};
use crate::policy::document::Element;
use crate::policy::expression::{Text, Wanted};
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting};

/// 0001-01-01T00:00:00Z, in milliseconds since 1970.
const FIRST_PERIOD_START_MS: i64 = -62_135_596_800_000;

/// Returns the answer to the client, and the error that policies see.
fn refusal(exceeded: Exceeded) -> Failure {
    let Some(seconds) = exceeded.retry_after_s() else {
        return Failure::refused("QuotaExceeded", 403, "Out of call volume quota.");
    };
    let message = format!("Out of call volume quota. Quota will be replenished in {}.", span_text(seconds));
    Failure::refused("QuotaExceeded", 403, &message).with_field("Retry-After", &seconds.to_string())
}

/// Says that bytes are not counted, if they are to be; refuses a quota of nothing.
fn check(compiling: &mut Compiling<'_>, element: &Element) {
    let (has_calls, has_bandwidth) =
        (element.attribute("calls").is_some(), element.attribute("bandwidth").is_some());
    if has_bandwidth {
        let _: Option<Setting<Calls>> = compiling.setting(element, "bandwidth");
        compiling.note(element, "bandwidth is not counted: policies see the opening handshake alone");
    } else if !has_calls {
        compiling.refuse_missing(element, "calls", "add calls, bandwidth, or both");
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
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let Some(subscription) = running.exchange.subscription().map(Arc::clone) else {
            return Ok(StepOutcome::Next);
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
            let asked = Rule::Quota(rule).count_of_subscription(&subscription, &limit.family, running);
            asked.map_err(refusal)?;
        }
        Ok(StepOutcome::Next)
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
    /// `None`: bandwidth alone.
    calls: Option<Setting<Calls>>,
    period: Setting<QuotaByKeyPeriod>,
    first_period_start: FirstPeriodStart,
    /// That of the periods, if they are the same for every handshake.
    family: Option<CounterFamily>,
    counter_key: Setting<Text>,
    increment: Arc<Increment>,
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
    let period: Option<Setting<QuotaByKeyPeriod>> = compiling.setting(element, "renewal-period");
    let first_period_start = compiling.fixed(element, "first-period-start");
    let counter_key = compiling.setting(element, "counter-key");
    let increment = Increment::compile(compiling, element);
    let (period, first_period_start) = (period?, first_period_start?);
    Some(Box::new(QuotaByKey {
        calls,
        family: period.fixed().map(|period| family_of(period, first_period_start)),
        period,
        first_period_start,
        counter_key: counter_key?,
        increment: increment?,
    }))
}

fn family_of(
    QuotaByKeyPeriod(seconds): &QuotaByKeyPeriod,
    FirstPeriodStart(start): FirstPeriodStart,
) -> CounterFamily {
    CounterFamily::new(&format!("quota-by-key {seconds} from {start}"))
}

impl Policy for QuotaByKey {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        // Nothing that is counted here is limited.
        let Some(calls) = &self.calls else { return Ok(StepOutcome::Next) };
        let (Calls(calls), period) = (calls.value(running)?, self.period.value(running)?);
        let FirstPeriodStart(first_period_start_ms) = self.first_period_start;
        let rule = Rule::Quota(QuotaRule { calls, period_ms: period.0 * 1000, first_period_start_ms });
        let family = self.family.unwrap_or_else(|| family_of(&period, self.first_period_start));
        let value = self.counter_key.value(running)?;
        rule.count_by_key(&value, &family, &self.increment, running).map_err(refusal)?;
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        let calls = self.calls.as_ref().map_or("any number", Setting::shown);
        let (period, key) = (self.period.shown(), self.counter_key.shown());
        format!("{calls} in {period} s by {key}, {}", self.increment.describe())
    }
}
