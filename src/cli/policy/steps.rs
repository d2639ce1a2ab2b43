//! Records the result, the changes and the duration of each step of a run.
//!
//! Changes are found by comparing the handshake before and after a step, so no policy can make a change that is not
//! shown.
//!
//! Not here: which values are secret (`masks`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::masks::Masks;
use crate::head::Header;
use crate::policy::contract::Step;
use crate::policy::contract::{PolicyHost, StepEnd, TraceLine};
use crate::policy::exchange::{Body, Exchange};
use crate::policy::expression::{ExpressionHost, Section, Value};
use crate::policy::guards::Guards;
use crate::shared_counts::policy_guards::PolicyGuards;

/// The record of a run.
pub(super) struct Steps {
    pub(super) masks: Masks,
    /// Fresh guards: nothing has been counted in them.
    guards: PolicyGuards,
    /// The text so far.
    pub(super) text: String,
    /// Whether times are written; without them, two runs give the same text.
    is_timed: bool,
    section: Option<Section>,
    count: usize,
    before: Vec<Fact>,
    /// The number of actions so far that are put off until the answer is known.
    put_off: usize,
    /// The messages of the running step.
    said: Vec<String>,
    begun: Instant,
    /// The total time of all steps.
    took: Duration,
    /// The steps so far, for the JSON output.
    pub(super) records: Vec<serde_json::Value>,
}

impl Steps {
    pub(super) fn new(masks: Masks, is_timed: bool) -> Self {
        Self {
            masks,
            guards: PolicyGuards::default(),
            text: String::new(),
            is_timed,
            section: None,
            count: 0,
            before: Vec::new(),
            put_off: 0,
            said: Vec::new(),
            begun: Instant::now(),
            took: Duration::ZERO,
            records: Vec::new(),
        }
    }

    /// Adds a line, masked.
    pub(super) fn line(&mut self, indent: usize, line: &str) {
        let line = self.masks.masked(line.trim_end());
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    /// Writes the number of steps.
    pub(super) fn finish(&mut self) {
        let plural = if self.count == 1 { "" } else { "s" };
        let took = if self.is_timed { format!(" in {}", micros(self.took)) } else { String::new() };
        let line = format!("{} step{plural}{took}", self.count);
        self.line(0, &line);
    }

    /// Returns all facts of a handshake that a policy can change.
    fn facts(&mut self, exchange: &Exchange) -> Vec<Fact> {
        self.masks.add_credentials(exchange.request.iter());
        let mut facts = vec![
            Fact::of(format!("backend {}", exchange.backend())),
            Fact::of(format!("target {}", exchange.target())),
        ];
        facts.extend(exchange.request.iter().map(|field| self.field("request", field)));
        let variables = exchange.variables.iter();
        facts
            .extend(variables.map(|(name, value)| Fact::of(format!("variable {name} = {}", written(value)))));
        if let Some(response) = &exchange.response {
            self.masks.add_credentials(response.fields.iter());
            facts.push(Fact::of(format!("answer {} {}", response.status, response.reason())));
            facts.extend(response.fields.iter().map(|field| self.field("answer", field)));
            if let Body::Text(text) = &response.body {
                facts.push(Fact::of(format!("answer body {text}")));
            }
        }
        let told = exchange.told.iter();
        facts.extend(
            told.map(|(name, value)| {
                Fact::of(format!("the client's answer, whatever it is, {name}: {value}"))
            }),
        );
        facts.extend(exchange.slots().iter().map(|_| Fact::of("a slot until the session ends".to_owned())));
        facts.extend((0..self.put_off).map(|_| Fact::of("a call to be counted with the answer".to_owned())));
        if let Some(error) = &exchange.last_error {
            facts.push(Fact::of(format!("last error {} {}: {}", error.source, error.reason, error.message)));
        }
        facts
    }

    fn field(&self, of: &str, field: Header<'_>) -> Fact {
        let whole = format!("{of} {}: {}", field.name, String::from_utf8_lossy(field.value));
        Fact { whole, shown: format!("{of} {}", self.masks.field(field)) }
    }
}

/// One fact of a handshake.
struct Fact {
    /// The unmasked text, so that a changed credential is noticed although neither value is shown.
    whole: String,
    /// The masked text.
    shown: String,
}

impl Fact {
    fn of(text: String) -> Self {
        Self { shown: text.clone(), whole: text }
    }
}

impl ExpressionHost for Steps {
    fn random_bits(&mut self) -> u64 {
        // Without random bits there is no trace worth reading; the same ones every time do no harm here.
        getrandom::u64().unwrap_or_default()
    }

    fn trace(&mut self, message: &str) {
        self.said.push(format!("context.Trace: {message}"));
    }
}

impl PolicyHost for Steps {
    fn guards(&self) -> Guards<'_> {
        self.guards.now()
    }

    fn log(&mut self, line: TraceLine) {
        let (severity, source) = (line.severity.name(), &line.source);
        self.said.push(format!("log {severity} {source}: {}", line.on_one_line()));
    }

    fn evaluated(&mut self, shown: &str, value: &Value) {
        let one_line: Vec<&str> = shown.lines().map(str::trim).collect();
        self.said.push(format!("{} is {}", one_line.join(" "), written(value)));
    }

    fn puts_off(&mut self) {
        self.put_off += 1;
    }

    fn begins(&mut self, step: &Step, exchange: &Exchange) {
        if self.section != Some(step.section()) {
            self.section = Some(step.section());
            self.line(0, step.section().name());
        }
        self.before = self.facts(exchange);
        self.begun = Instant::now();
    }

    fn ended(&mut self, step: &Step, exchange: &Exchange, how: StepEnd<'_>) {
        let took = self.begun.elapsed();
        self.took += took;
        self.count += 1;
        let after = self.facts(exchange);
        let time = if self.is_timed { format!("  ({})", micros(took)) } else { String::new() };
        self.line(2, &format!("{step}{time}"));
        let before = core::mem::take(&mut self.before);
        let said = core::mem::take(&mut self.said);
        let changes: Vec<String> =
            differences(&before, &after).iter().map(|(sign, line)| format!("{sign} {line}")).collect();
        let masked = |lines: &[String]| {
            lines.iter().map(|line| self.masks.masked(line.trim_end())).collect::<Vec<_>>()
        };
        let record = serde_json::json!({
            "section": step.section().name(),
            "step": self.masks.masked(&step.to_string()),
            "said": masked(&said),
            "changes": masked(&changes),
            "outcome": how.text().map(|how| self.masks.masked(how)),
        });
        self.records.push(record);
        said.iter().chain(&changes).for_each(|line| self.line(4, line));
        if let Some(how) = how.text() {
            self.line(4, &format!("=> {how}"));
        }
    }
}

/// Returns the facts that are only in `before`, with `-`, and those only in `after`, with `+`; each in its order.
fn differences<'f>(before: &'f [Fact], after: &'f [Fact]) -> Vec<(char, &'f str)> {
    let mut counts: BTreeMap<&str, isize> = BTreeMap::new();
    before.iter().for_each(|fact| *counts.entry(&fact.whole).or_default() -= 1);
    after.iter().for_each(|fact| *counts.entry(&fact.whole).or_default() += 1);
    let mut found = Vec::new();
    for (facts, sign, direction) in [(before, '-', -1), (after, '+', 1)] {
        for fact in facts {
            let count = counts.entry(&fact.whole).or_default();
            if count.signum() == direction {
                *count -= direction;
                found.push((sign, fact.shown.as_str()));
            }
        }
    }
    found
}

/// A variable's value; the tokens among them are named alone.
fn written(value: &Value) -> String {
    match (value.written(), value) {
        (Some(text), Value::Text(_)) => format!("\"{text}\""),
        (Some(_), Value::Null) => "null".to_owned(),
        (Some(text), _) => text.to_string(),
        (None, Value::Jwt(_)) => "a Jwt".to_owned(),
        (None, Value::Basic(_)) => "BasicAuthCredentials".to_owned(),
        (None, Value::List(values)) => {
            format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        (None, _) => "?".to_owned(),
    }
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_went_and_what_came_as_often_as_it_did() {
        let facts = |text: &str| text.chars().map(|fact| Fact::of(fact.into())).collect::<Vec<_>>();
        let found = |before, after| {
            let (before, after) = (facts(before), facts(after));
            differences(&before, &after)
                .iter()
                .map(|(sign, line)| format!("{sign}{line}"))
                .collect::<String>()
        };
        assert_eq!(found("abc", "abc"), "");
        assert_eq!(found("aab", "abb"), "-a+b");
        assert_eq!(found("", "xx"), "+x+x");
        let masked = |whole: &str| [Fact { whole: whole.to_owned(), shown: "***".to_owned() }];
        assert_eq!(differences(&masked("a"), &masked("b")), [('-', "***"), ('+', "***")]);
    }
}
