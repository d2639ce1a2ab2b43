//! `forward-request`: connects to the backend.
//!
//! A handshake has no body to buffer, is HTTP/1.1, and follows no redirect: attributes about these have no effect.

use crate::catalog::fault::Remedy;
use crate::limits::ANSWER_TIMEOUT_MS;
use crate::policy::compiling::Compiling;
use crate::policy::contract::{Action, Forward, Policy, Running, StepOutcome};
use crate::policy::document::Element;
use crate::policy::expression::Wanted;
use crate::policy::failure::Failure;
use crate::policy::setting::{Literal, Setting, shown_or};

/// The policy.
#[derive(Debug, Default)]
pub(crate) struct ForwardRequest {
    timeout: Option<Timeout>,
    fails_on_error_status: bool,
}

#[derive(Debug)]
enum Timeout {
    Seconds(Setting<Seconds>),
    Milliseconds(Setting<Milliseconds>),
}

#[derive(Clone, Copy, Debug)]
struct Seconds(u64);

impl Literal for Seconds {
    const ALLOWED: &'static str = "a number of seconds, 1 or more";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| *seconds > 0).map(Self)
    }
}

#[derive(Clone, Copy, Debug)]
struct Milliseconds(u64);

impl Literal for Milliseconds {
    const ALLOWED: &'static str = "a number of milliseconds, 1 or more";
    const WANTED: Wanted = Wanted::Int;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|milliseconds| *milliseconds > 0).map(Self)
    }
}

/// A version of HTTP that may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HttpVersion {
    One,
    TwoOrOne,
    Two,
}

impl Literal for HttpVersion {
    const ALLOWED: &'static str = "1, 2or1 or 2";
    const WANTED: Wanted = Wanted::Text;

    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" => Some(Self::One),
            "2or1" => Some(Self::TwoOrOne),
            "2" => Some(Self::Two),
            _ => None,
        }
    }
}

pub(crate) fn compile(compiling: &mut Compiling<'_>, element: &Element) {
    let seconds = compiling.setting(element, "timeout").map(Timeout::Seconds);
    let milliseconds = compiling.setting(element, "timeout-ms").map(Timeout::Milliseconds);
    if element.attribute("timeout").is_some() && element.attribute("timeout-ms").is_some() {
        compiling.refuse_value(
            element,
            "timeout-ms",
            Remedy::act("timeout is given too: remove one of the two"),
        );
    }
    let _: Option<Seconds> = compiling.fixed(element, "continue-timeout");
    if compiling.fixed(element, "http-version") == Some(HttpVersion::Two) {
        compiling.note(element, "http-version has no effect: an opening handshake is HTTP/1.1");
    }
    let _: Option<bool> = compiling.fixed(element, "buffer-request-body");
    let _: Option<bool> = compiling.fixed(element, "buffer-response");
    if compiling.fixed(element, "follow-redirects") == Some(true) {
        compiling.note(element, "follow-redirects has no effect: an opening handshake follows none");
    }
    let fails_on_error_status = compiling.fixed(element, "fail-on-error-status-code").unwrap_or_default();
    let timeout = milliseconds.or(seconds);
    let fixed_ms = match &timeout {
        Some(Timeout::Seconds(seconds)) => {
            seconds.fixed().map(|Seconds(seconds)| seconds.saturating_mul(1000))
        }
        Some(Timeout::Milliseconds(milliseconds)) => milliseconds.fixed().map(|Milliseconds(ms)| *ms),
        None => None,
    };
    if fixed_ms.is_some_and(|ms| ms > ANSWER_TIMEOUT_MS.most) {
        let most_s = ANSWER_TIMEOUT_MS.most / 1000;
        compiling.note(element, &format!("a time-out of more than {most_s} s is one of {most_s} s"));
    }
    compiling.push(Action::Run(Box::new(ForwardRequest { timeout, fails_on_error_status })));
}

impl Policy for ForwardRequest {
    /// Yields: what it says for this handshake. The time is within what an API may have for the answer.
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
        let answer_timeout_ms = match &self.timeout {
            None => None,
            Some(Timeout::Seconds(seconds)) => Some(seconds.value(running)?.0.saturating_mul(1000)),
            Some(Timeout::Milliseconds(milliseconds)) => Some(milliseconds.value(running)?.0),
        };
        let within = |ms: u64| ms.clamp(ANSWER_TIMEOUT_MS.least, ANSWER_TIMEOUT_MS.most);
        Ok(StepOutcome::Dial(Forward {
            answer_timeout_ms: answer_timeout_ms.map(within),
            fails_on_error_status: self.fails_on_error_status,
        }))
    }

    fn describe(&self) -> String {
        let (timeout, unit) = match &self.timeout {
            None => ("that of the api", ""),
            Some(Timeout::Seconds(seconds)) => (shown_or(Some(seconds), ""), " s"),
            Some(Timeout::Milliseconds(milliseconds)) => (shown_or(Some(milliseconds), ""), " ms"),
        };
        format!("timeout {timeout}{unit}, fails on error status: {}", self.fails_on_error_status)
    }
}
