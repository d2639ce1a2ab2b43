//! The common parts of `rate-limit`, `quota` and their siblings by key: numbers, rules, the count and the moment of a call, and
//! messages.

use std::sync::Arc;

use crate::catalog::subscription::Subscription;
use crate::policy::compiling::Compiling;
use crate::policy::contract::{PutOff, Running};
use crate::policy::counters::{
    CounterFamily, CounterKey, CounterOp, Exceeded, KeyOwner, QuotaRule, Rate, Remaining,
};
use crate::policy::document::Element;
use crate::policy::exchange::fields::{is_name, is_owned};
use crate::policy::expression::{Section, TICKS_PER_SECOND, Text, Value, Wanted};
use crate::policy::failure::Failure;
use crate::policy::guards::Guards;
use crate::policy::setting::{Literal, Setting};

/// How many calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls(pub(super) u64);

impl Literal for Calls {
    const ALLOWED: &'static str = "a whole number, 0 or more";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// The period of a rate limit, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RatePeriod(pub(super) u64);

impl Literal for RatePeriod {
    const ALLOWED: &'static str = "a number of seconds from 1 to 300";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| (1..=300).contains(seconds)).map(Self)
    }
}

/// The period of a quota of subscriptions, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaPeriod(pub(super) u64);

/// The period of a quota by key, in seconds: Azure API Management has a least one for these alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaByKeyPeriod(pub(super) u64);

/// Some three thousand years: what a date can still be written for.
const QUOTA_PERIOD_S_MAX: u64 = 100_000_000_000;

impl Literal for QuotaPeriod {
    const ALLOWED: &'static str = "a number of seconds, or 0 for a quota that is never renewed";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| *seconds <= QUOTA_PERIOD_S_MAX).map(Self)
    }
}

impl Literal for QuotaByKeyPeriod {
    const ALLOWED: &'static str = "a number of seconds, 300 or more, or 0 for a quota that is never renewed";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        let is_allowed = |seconds: &u64| *seconds == 0 || (300..=QUOTA_PERIOD_S_MAX).contains(seconds);
        text.parse().ok().filter(is_allowed).map(Self)
    }
}

/// The name of a header of the answer.
#[derive(Clone, Debug)]
struct HeaderName(Text);

impl Literal for HeaderName {
    const ALLOWED: &'static str =
        "the name of a header that neither the connection nor the opening handshake owns";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        (is_name(text) && !is_owned(text)).then(|| Self(text.into()))
    }
}

/// The headers and variables that tell the client and later policies about a limit.
#[derive(Debug)]
pub(super) struct Telling {
    retry_after_header: Text,
    retry_after_variable: Option<Text>,
    remaining_header: Option<Text>,
    remaining_variable: Option<Text>,
    total_header: Option<Text>,
}

impl Telling {
    pub(super) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Self> {
        let retry_after_header: Option<HeaderName> = compiling.fixed(element, "retry-after-header-name");
        let remaining_header: Option<HeaderName> = compiling.fixed(element, "remaining-calls-header-name");
        let total_header: Option<HeaderName> = compiling.fixed(element, "total-calls-header-name");
        Some(Self {
            retry_after_header: retry_after_header?.0,
            retry_after_variable: compiling.fixed(element, "retry-after-variable-name"),
            remaining_header: remaining_header.map(|name| name.0),
            remaining_variable: compiling.fixed(element, "remaining-calls-variable-name"),
            total_header: total_header.map(|name| name.0),
        })
    }

    /// Tells what came of a call: `failure` is what the client gets that was refused.
    pub(super) fn tell(
        &self,
        asked: Result<Remaining, Exceeded>,
        total: u64,
        running: &mut Running<'_>,
        failure: impl FnOnce(u64) -> Failure,
    ) -> Result<(), Failure> {
        let remaining = asked.map_or(0, |left| left.calls);
        let exchange = &mut *running.exchange;
        let told = [(&self.remaining_header, remaining), (&self.total_header, total)];
        for (name, number) in told {
            exchange.told.extend(name.iter().map(|name| (Text::clone(name), number.to_string())));
        }
        if let Some(name) = &self.remaining_variable {
            exchange.variables.set(name, int(remaining));
        }
        let Err(exceeded) = asked else { return Ok(()) };
        let seconds = exceeded.retry_after_s().unwrap_or_default();
        if let Some(name) = &self.retry_after_variable {
            exchange.variables.set(name, int(seconds));
        }
        Err(failure(seconds).with_field(&self.retry_after_header, &seconds.to_string()))
    }
}

/// A number as expressions have it.
fn int(number: u64) -> Value {
    Value::Int(i32::try_from(number).unwrap_or(i32::MAX))
}

/// As how many a call counts, and whether.
#[derive(Debug)]
pub(super) struct Increment {
    condition: Option<Setting<bool>>,
    count: Setting<Calls>,
}

impl Increment {
    /// Both may be about the answer, so they are compiled as what stands in outbound.
    pub(super) fn compile(compiling: &mut Compiling<'_>, element: &Element) -> Option<Arc<Self>> {
        compiling.put_off(Section::Outbound, |compiling| {
            let condition = compiling.setting(element, "increment-condition");
            let is_told = element.attribute("increment-condition").is_some() && condition.is_none();
            let count = compiling.setting(element, "increment-count")?;
            (!is_told).then(|| Arc::new(Self { condition, count }))
        })
    }

    /// Returns the operation at the arrival of a call. `None`: it is known only with the answer.
    fn known(&self) -> Option<CounterOp> {
        let is_counted = self.condition.as_ref().map_or(Some(true), |condition| condition.fixed().copied());
        match (is_counted, self.count.fixed()) {
            (Some(true), Some(Calls(count))) => Some(CounterOp::Take(*count)),
            (Some(false), _) => Some(CounterOp::Look),
            (Some(true), None) | (None, _) => None,
        }
    }

    /// As how many the call counts, by its answer.
    fn by_answer(&self, running: &mut Running<'_>) -> Result<u64, Failure> {
        if let Some(condition) = &self.condition
            && !condition.value(running)?
        {
            return Ok(0);
        }
        self.count.value(running).map(|Calls(count)| count)
    }

    pub(super) fn describe(&self) -> String {
        let condition = self.condition.as_ref().map(|condition| format!(" if {}", condition.shown()));
        format!("counted as {}{}", self.count.shown(), condition.unwrap_or_default())
    }
}

/// The rule of a counter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// In windows of the clock that never goes back.
    Rate(Rate),
    /// In periods of the day's time.
    Quota(QuotaRule),
}

impl Rule {
    pub(super) fn ask(
        &self,
        whose: KeyOwner,
        key: &CounterKey,
        ask: CounterOp,
        running: &Running<'_>,
    ) -> Result<Remaining, Exceeded> {
        let Guards { counters, monotonic_ms, .. } = running.outside.guards();
        match self {
            Self::Rate(rate) => counters.rate(whose, key, rate, ask, monotonic_ms),
            Self::Quota(quota) => {
                let now_ms = running.moment.now.unix_ticks().div_euclid(TICKS_PER_SECOND / 1000);
                counters.quota(whose, key, quota, ask, now_ms)
            }
        }
    }

    /// Counts a call of the subscription in whose name the handshake is.
    pub(super) fn count_of_subscription(
        &self,
        subscription: &Subscription,
        family: &CounterFamily,
        running: &Running<'_>,
    ) -> Result<Remaining, Exceeded> {
        let key = running.outside.guards().keys.key(family, subscription.name.as_str().as_bytes());
        self.ask(KeyOwner::Subscriptions, &key, CounterOp::Take(1), running)
    }

    /// Counts a call under a value that policies made up: now, or when its answer is known.
    pub(super) fn count_by_key(
        self,
        value: &str,
        family: &CounterFamily,
        increment: &Arc<Increment>,
        running: &mut Running<'_>,
    ) -> Result<Remaining, Exceeded> {
        let key = running.outside.guards().keys.key(family, value.as_bytes());
        let known = increment.known();
        let asked = self.ask(KeyOwner::Policies, &key, known.unwrap_or(CounterOp::Look), running);
        if known.is_none() && asked.is_ok() {
            let deferred = Deferred { increment: Arc::clone(increment), key, rule: self };
            running.put_off(Box::new(deferred));
        }
        asked
    }
}

/// A call that is counted when its answer is known.
struct Deferred {
    increment: Arc<Increment>,
    key: CounterKey,
    rule: Rule,
}

impl PutOff for Deferred {
    /// Counts it, or does not. An expression that throws counts nothing.
    fn settle(&self, running: &mut Running<'_>) -> Result<(), Failure> {
        let count = self.increment.by_answer(running)?;
        // What has happened is counted, whatever the limit.
        let _ = self.rule.ask(KeyOwner::Policies, &self.key, CounterOp::Add(count), running);
        Ok(())
    }
}

/// Compiles with `limit` what `element` says for all handshakes, and the further limits of APIs and operations in it.
pub(super) fn limits<L>(
    compiling: &mut Compiling<'_>,
    element: &Element,
    limit: impl Fn(&mut Compiling<'_>, &Element, Target) -> Option<L>,
) -> Option<Vec<L>> {
    compiling.once(element);
    let mut limits = vec![limit(compiling, element, Target::default())];
    compiling.each_child(element, |compiling, api| {
        let Some(of_api) = Target::of_api(compiling, api) else { return limits.push(None) };
        limits.push(limit(compiling, api, of_api.clone()));
        compiling.each_child(api, |compiling, operation| {
            let of_operation = of_api.of_operation(compiling, operation);
            limits.push(of_operation.and_then(|target| limit(compiling, operation, target)));
        });
    });
    limits.into_iter().collect()
}

/// Which API and operation a further limit is for, inside `rate-limit` and `quota`.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    api: Option<Named>,
    is_of_operation: bool,
    /// Whether that is the one operation that there is.
    is_of_handshake: bool,
}

#[derive(Clone, Debug)]
enum Named {
    Id(Text),
    Name(Text),
}

impl Target {
    /// The API that `element` names; an id counts before a name.
    pub(super) fn of_api(compiling: &mut Compiling<'_>, element: &Element) -> Option<Self> {
        Some(Self { api: Some(named(compiling, element)?), ..Self::default() })
    }

    /// The operation that `element`, inside that of an API, names.
    pub(super) fn of_operation(&self, compiling: &mut Compiling<'_>, element: &Element) -> Option<Self> {
        let (Named::Id(operation) | Named::Name(operation)) = named(compiling, element)?;
        let is_of_handshake = &*operation == "onHandshake";
        Some(Self { api: self.api.clone(), is_of_operation: true, is_of_handshake })
    }

    /// Whether a handshake is counted there.
    pub(super) fn has(&self, running: &Running<'_>) -> bool {
        let api = running.exchange.api();
        let is_of_api = match &self.api {
            None => true,
            Some(Named::Id(id)) => api.name.as_str() == &**id,
            Some(Named::Name(name)) => api.display_name == **name,
        };
        is_of_api && (!self.is_of_operation || self.is_of_handshake)
    }

    /// For the names of counters.
    pub(super) fn shown(&self) -> String {
        let api = match &self.api {
            None => return String::new(),
            Some(Named::Id(id)) => format!(" api {id}"),
            Some(Named::Name(name)) => format!(" api named {name}"),
        };
        if self.is_of_operation { format!("{api} onHandshake") } else { api }
    }
}

fn named(compiling: &mut Compiling<'_>, element: &Element) -> Option<Named> {
    let id: Option<Text> = compiling.fixed(element, "id");
    let name: Option<Text> = compiling.fixed(element, "name");
    if element.attribute("id").is_none() && element.attribute("name").is_none() {
        compiling.refuse_missing(element, "name", "add a name or an id");
    }
    id.map(Named::Id).or(name.map(Named::Name))
}
