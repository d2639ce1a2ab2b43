//! `rate-limit` and `rate-limit-by-key`: at most so many handshakes in any span of the period's length.
//!
//! `rate-limit` counts for each subscription, by document; a client without a subscription is not limited. `rate-limit-by-key`
//! counts for each value of `counter-key`: as in Azure API Management, policies with the same value share its counter, wherever
//! they stand, if their periods are the same. (With different periods, each has its own: a counter has one period.)
//!
//! A call is counted when it arrives. Where `increment-condition` or `increment-count` is an expression, it is counted when its
//! answer is known, and refused only if nothing was left when it arrived. So calls that are under way together may exceed the
//! limit, and a client that leaves before its answer is not counted.

use std::sync::Arc;

use super::counting::{Calls, Increment, RatePeriod, Rule, Target, Telling, limits};
use crate::policy::compiling::Compiling;
use crate::policy::contract::Running;
use crate::policy::contract::{Policy, StepOutcome};
use crate::policy::counters::{CounterFamily, Rate, Remaining};
use crate::policy::document::Element;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::setting::Setting;

/// Returns the answer to the client, and the error that policies see.
fn exceeded(seconds: u64) -> Failure {
    let said = format!("Rate limit is exceeded. Try again in {seconds} seconds.");
    Failure::new("RateLimitExceeded", "Rate limit is exceeded", 429, &said)
}

struct RateLimit {
    limits: Vec<Limit>,
    telling: Telling,
}

struct Limit {
    target: Target,
    rate: Rate,
    family: CounterFamily,
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let limits = limits(compiling, element, limit);
    let telling = Telling::compile(compiling, element);
    Some(Box::new(RateLimit { limits: limits?, telling: telling? }))
}

fn limit(compiling: &mut Compiling<'_>, element: &Element, target: Target) -> Option<Limit> {
    let calls: Option<Calls> = compiling.fixed(element, "calls");
    let period: Option<RatePeriod> = compiling.fixed(element, "renewal-period");
    let family = CounterFamily::new(&format!("rate-limit {}{}", compiling.document(), target.shown()));
    let rate = Rate { calls: calls?.0, period_ms: period?.0 * 1000 };
    Some(Limit { target, rate, family })
}

impl Policy for RateLimit {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let Some(subscription) = running.exchange.subscription().map(Arc::clone) else {
            return Ok(StepOutcome::Next);
        };
        // Of several limits that which will refuse first is told.
        let mut least: Option<(Remaining, u64)> = None;
        for limit in &self.limits {
            if !limit.target.has(running) {
                continue;
            }
            let asked = Rule::Rate(limit.rate).count_of_subscription(&subscription, &limit.family, running);
            match asked {
                Ok(left) if least.is_none_or(|(least, _)| left.calls < least.calls) => {
                    least = Some((left, limit.rate.calls));
                }
                Ok(_) => {}
                Err(_) => self.telling.tell(asked, limit.rate.calls, running, exceeded)?,
            }
        }
        if let Some((left, total)) = least {
            self.telling.tell(Ok(left), total, running, exceeded)?;
        }
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        let limits = self.limits.iter().map(|Limit { target, rate, .. }| {
            format!("{} in {} s{}", rate.calls, rate.period_ms / 1000, target.shown())
        });
        limits.collect::<Vec<_>>().join(", ")
    }
}

struct RateLimitByKey {
    calls: Setting<Calls>,
    period: Setting<RatePeriod>,
    /// That of the period, if it is the same for every handshake.
    family: Option<CounterFamily>,
    counter_key: Setting<Text>,
    increment: Arc<Increment>,
    telling: Telling,
}

pub(crate) fn compile_by_key(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let calls = compiling.setting(element, "calls");
    let period: Option<Setting<RatePeriod>> = compiling.setting(element, "renewal-period");
    let counter_key = compiling.setting(element, "counter-key");
    let increment = Increment::compile(compiling, element);
    let telling = Telling::compile(compiling, element);
    let period = period?;
    Some(Box::new(RateLimitByKey {
        calls: calls?,
        family: period.fixed().map(family_of),
        period,
        counter_key: counter_key?,
        increment: increment?,
        telling: telling?,
    }))
}

fn family_of(RatePeriod(seconds): &RatePeriod) -> CounterFamily {
    CounterFamily::new(&format!("rate-limit-by-key {seconds}"))
}

impl Policy for RateLimitByKey {
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let (Calls(calls), period) = (self.calls.value(running)?, self.period.value(running)?);
        let rule = Rule::Rate(Rate { calls, period_ms: period.0 * 1000 });
        let family = self.family.unwrap_or_else(|| family_of(&period));
        let value = self.counter_key.value(running)?;
        let asked = rule.count_by_key(&value, &family, &self.increment, running);
        self.telling.tell(asked, calls, running, exceeded)?;
        Ok(StepOutcome::Next)
    }

    fn describe(&self) -> String {
        let (calls, period, key) = (self.calls.shown(), self.period.shown(), self.counter_key.shown());
        format!("{calls} in {period} s by {key}, {}", self.increment.describe())
    }
}
