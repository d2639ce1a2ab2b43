//! The contract of policies: the interface of a policy, how it runs, and the events that a run may yield.
//!
//! The machine, the table and the policies know each other by this module alone. A policy is pure: it reads and changes the
//! exchange, asks the [`PolicyHost`] for anything outside, and yields where something has to be waited for.
//!
//! Not here: the order of steps (`machine`), what documents may say (`table`), what each policy does (`policies`).

mod step;
mod trace_line;

pub(crate) use step::{Action, Evaluation, StepPlace};
pub use step::{Scope, Step};
pub use trace_line::{Severity, TraceLine};

use core::fmt;

use super::exchange::{EvaluationTime, Exchange, Response};
use super::expression::{ExpressionHost, Section, Value};
use super::failure::{Failure, ThrownAt};
use super::guards::Guards;

/// One policy of a document, compiled.
pub(crate) trait Policy: Send + Sync {
    /// Runs it over the handshake, in bounded time and without waiting: what has to be waited for is yielded.
    ///
    /// # Errors
    /// The handshake goes to on-error.
    fn run(&self, running: &mut Running<'_>) -> Result<StepOutcome, Failure>;

    /// Whether it may send the session to another backend than the API's.
    fn may_change_backend(&self) -> bool {
        false
    }

    /// Returns the compiled form in one line, without secrets.
    fn describe(&self) -> String;
}

impl fmt::Debug for dyn Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}

/// The outcome of a step.
#[derive(Debug)]
pub(crate) enum StepOutcome {
    /// The run goes on with the next step.
    Next,
    /// The run goes on behind so many further steps.
    Skip(usize),
    /// The run ends: the client gets this answer, and no session.
    Respond(Response),
    /// The run waits: the backend is dialled and asked, and the run goes on with what comes of it.
    Dial(Forward),
}

/// How a step ended, for observers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd<'e> {
    /// The run went on with the next step.
    WentOn,
    /// The run went on behind further steps.
    Skipped,
    /// The run ended with an answer of its own.
    Responded,
    /// The run waits for the backend.
    Dialled,
    /// It failed. The message may quote a secret.
    Failed(&'e str),
}

impl<'e> StepEnd<'e> {
    /// As it is shown. `None`: it went on as usual.
    pub fn text(self) -> Option<&'e str> {
        match self {
            Self::WentOn => None,
            Self::Skipped => Some("steps are skipped"),
            Self::Responded => Some("responds"),
            Self::Dialled => Some("the backend is dialled"),
            Self::Failed(message) => Some(message),
        }
    }
}

/// The parameters of forwarding a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Milliseconds for the backend's answer. `None`: what the API says.
    pub answer_timeout_ms: Option<u64>,
    /// Whether an answer of 400 or more is a failure.
    pub fails_on_error_status: bool,
}

/// Something that a policy has put off until the answer is known.
pub(crate) trait PutOff: Send {
    /// Does it. The answer is `context.Response`.
    ///
    /// # Errors
    /// It was not done, and the answer stands.
    fn settle(&self, running: &mut Running<'_>) -> Result<(), Failure>;
}

impl fmt::Debug for dyn PutOff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PutOff")
    }
}

/// The interface of policies to the outside, and of observers to a run.
pub trait PolicyHost: ExpressionHost {
    /// What a `trace` policy says. It may quote a secret.
    fn log(&mut self, line: TraceLine);

    /// Returns the counters and slots for handshakes.
    fn guards(&self) -> Guards<'_>;

    /// A step is about to run.
    fn begins(&mut self, _step: &Step, _exchange: &Exchange) {}

    /// An expression of the step that runs gave `value`; `shown` is the expression, secrets masked.
    fn evaluated(&mut self, _shown: &str, _value: &Value) {}

    /// An expression has thrown: of this step, or `None`, of what one had put off. Its message may quote a secret.
    fn threw(&mut self, _step: Option<&Step>, _thrown: &ThrownAt) {}

    /// The step that runs does something more when the answer is known.
    fn puts_off(&mut self) {}

    /// It ran.
    fn ended(&mut self, _step: &Step, _exchange: &Exchange, _how: StepEnd<'_>) {}
}

/// A policy's view of the run.
pub struct Running<'r> {
    /// The handshake.
    pub exchange: &'r mut Exchange,
    /// In which section the policy stands.
    pub section: Section,
    /// The time of the evaluation.
    pub moment: EvaluationTime,
    /// The interface to the outside.
    pub outside: &'r mut dyn PolicyHost,
    /// The work that is deferred until the answer is known.
    pub(crate) put_off: &'r mut Vec<Box<dyn PutOff>>,
}

impl Running<'_> {
    /// The value of an expression.
    pub(crate) fn evaluate(&mut self, evaluation: &Evaluation) -> Result<Value, Failure> {
        let Evaluation { expression, shown, origin } = evaluation;
        let context = self.exchange.context(self.moment);
        let value = expression.evaluate(&context, &mut *self.outside);
        let value = value.map_err(|thrown| Failure::thrown(thrown, origin))?;
        self.outside.evaluated(shown, &value);
        Ok(value)
    }

    /// Does `what` when the answer is known, whatever it is.
    pub(crate) fn put_off(&mut self, what: Box<dyn PutOff>) {
        self.outside.puts_off();
        self.put_off.push(what);
    }

    /// The answer so far. Where there is none yet, policies make one.
    pub(crate) fn response(&mut self) -> &mut Response {
        self.exchange.response.get_or_insert_with(|| Response::new(200))
    }
}
