//! `rate-limit` and `rate-limit-by-key`: at most so many handshakes in any span of so long.
//!
//! The first counts for each subscription, by document; who comes without one is not limited. The second counts for each
//! value of `counter-key`: as in Azure API Management, policies with the same value share its counter, wherever they stand,
//! if their periods are the same. (With periods that differ, each has its own: a counter knows one.)
//!
//! A call is counted when it comes. Where `increment-condition` or `increment-count` is an expression, it is counted when
//! its answer is known, and refused only if nothing was left when it came: so calls that are on their way together may be
//! more than the limit, and a client that leaves before its answer is not counted.

use std::sync::Arc;

use super::counting::{Calls, Increment, RatePeriod, Target, Telling, limits, put_off};
use crate::policy::compile::Compiling;
use crate::policy::counters::{Ask, CounterFamily, CounterKey, Exceeded, Left, Rate};
use crate::policy::document::Element;
use crate::policy::expression::Text;
use crate::policy::failure::Failure;
use crate::policy::guards::Deferred;
use crate::policy::machine::Running;
use crate::policy::pipeline::{Flow, Policy};
use crate::policy::setting::Setting;

/// What the client is told, and policies.
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
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure> {
        let Some(subscription) = running.exchange.subscription().map(Arc::clone) else {
            return Ok(Flow::Next);
        };
        // Of several limits that which will refuse first is told.
        let mut least: Option<(Left, u64)> = None;
        for limit in &self.limits {
            if !limit.target.has(running) {
                continue;
            }
            let guards = running.outside.guards();
            let key = guards.keys.key(&limit.family, subscription.name.as_str().as_bytes());
            let (ask, now_ms) = (Ask::Take(1), guards.monotonic_ms);
            let asked = guards.counters.rate_of_subscription(&key, &limit.rate, ask, now_ms);
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
        Ok(Flow::Next)
    }

    fn describe(&self) -> String {
        let limits = self.limits.iter().map(|Limit { target, rate, .. }| {
            format!("{} in {} s{}", rate.calls, rate.period_ms / 1000, target.shown())
        });
        limits.collect::<Vec<_>>().join(", ")
    }
}

struct RateLimitByKey {
    counter_key: Setting<Text>,
    telling: Telling,
    counted: Arc<Counted>,
}

/// What is counted, and how.
struct Counted {
    calls: Setting<Calls>,
    period: Setting<RatePeriod>,
    increment: Increment,
}

pub(crate) fn compile_by_key(compiling: &mut Compiling<'_>, element: &Element) -> Option<Box<dyn Policy>> {
    let calls = compiling.setting(element, "calls");
    let period = compiling.setting(element, "renewal-period");
    let counter_key = compiling.setting(element, "counter-key");
    let increment = Increment::compile(compiling, element);
    let telling = Telling::compile(compiling, element);
    let counted = Arc::new(Counted { calls: calls?, period: period?, increment: increment? });
    Some(Box::new(RateLimitByKey { counter_key: counter_key?, telling: telling?, counted }))
}

impl Counted {
    fn rate(&self, running: &mut Running<'_>) -> Result<Rate, Failure> {
        let (Calls(calls), RatePeriod(seconds)) = (self.calls.value(running)?, self.period.value(running)?);
        Ok(Rate { calls, period_ms: seconds * 1000 })
    }
}

fn ask(key: &CounterKey, rate: &Rate, ask: Ask, running: &Running<'_>) -> Result<Left, Exceeded> {
    let guards = running.outside.guards();
    guards.counters.rate_of_key(key, rate, ask, guards.monotonic_ms)
}

impl Policy for RateLimitByKey {
    fn run(&self, running: &mut Running<'_>) -> Result<Flow, Failure> {
        let rate = self.counted.rate(running)?;
        let value = self.counter_key.value(running)?;
        let family = CounterFamily::new(&format!("rate-limit-by-key {}", rate.period_ms));
        let key = running.outside.guards().keys.key(&family, value.as_bytes());
        let known = self.counted.increment.known();
        let asked = ask(&key, &rate, known.unwrap_or(Ask::Look), running);
        if known.is_none() && asked.is_ok() {
            put_off(Arc::clone(&self.counted) as Arc<dyn Deferred>, key, running);
        }
        self.telling.tell(asked, rate.calls, running, exceeded)?;
        Ok(Flow::Next)
    }

    fn describe(&self) -> String {
        let Counted { calls, period, increment } = &*self.counted;
        let key = self.counter_key.shown();
        format!("{} in {} s by {key}, {}", calls.shown(), period.shown(), increment.describe())
    }
}

impl Deferred for Counted {
    fn settle(&self, key: &CounterKey, running: &mut Running<'_>) -> Result<(), Failure> {
        let count = self.increment.by_answer(running)?;
        let rate = self.rate(running)?;
        // What has happened is counted, whatever the limit.
        let _ = ask(key, &rate, Ask::Add(count), running);
        Ok(())
    }
}
