//! Runs a pipeline over one handshake: a machine that stops where the shell has something to do, and goes on with what came.
//!
//! ```text
//! inbound ─► backend ─► DIAL ··· answer ─► outbound ─► PASS ON
//!    │          │         └····· failure ─┐     │
//!    └──────────┴────────── failure ──────┴─────┴──► on-error ─► RESPOND
//! ```
//!
//! A policy may respond anywhere, and ends the run with it. However it ends, what policies have put off until the answer is
//! known is done then, and what they tell the client is added. The machine knows neither sockets nor time: it ends in a bounded
//! number of steps, since no step goes back.
//!
//! Not here: what the steps do (`policies`), how an answer is written (`exchange`).

use std::sync::Arc;

use super::exchange::fields::ExistsAction;
use super::exchange::{Body, Exchange, Moment, Response};
use super::expression::{Expression, Outside, Section, Value};
use super::failure::{Failure, INTERNAL, LastError};
use super::guards::Guards;
use super::pipeline::{Action, Flow, Pipeline, Step};
pub use super::policies::forward_request::Forward;

/// What policies ask of the outside, and what the outside may look at.
pub trait Surroundings: Outside {
    /// A `trace` policy's line, in bounds and on one line.
    fn log(&mut self, severity: Severity, source: &str, message: &str);

    /// What handshakes are counted with.
    fn guards(&self) -> Guards<'_>;

    /// A step is about to run.
    fn begins(&mut self, _step: &Step, _exchange: &Exchange) {}

    /// An expression of the step that runs gave `value`; `shown` is the expression, secrets masked.
    fn evaluated(&mut self, _shown: &str, _value: &Value) {}

    /// It ran. `None`: it went on as usual.
    fn ended(&mut self, _step: &Step, _exchange: &Exchange, _how: Option<&str>) {}
}

/// How much a line in the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Not to be looked at every day.
    Verbose,
    /// A change of state.
    Information,
    /// To be read next morning.
    Error,
}

/// A policy's view of the run.
pub struct Running<'r> {
    /// The handshake.
    pub exchange: &'r mut Exchange,
    /// In which section the policy stands.
    pub section: Section,
    /// What time it is.
    pub moment: Moment,
    /// What is outside.
    pub outside: &'r mut dyn Surroundings,
}

impl Running<'_> {
    /// The value of an expression, which is shown as `shown`.
    pub(crate) fn evaluate(&mut self, expression: &Expression, shown: &str) -> Result<Value, Failure> {
        let context = self.exchange.context(self.moment);
        let value = expression.evaluate(&context, &mut *self.outside);
        let value = value.map_err(|thrown| Failure::thrown(&thrown))?;
        self.outside.evaluated(shown, &value);
        Ok(value)
    }

    /// The answer so far. Where there is none yet, policies make one.
    pub(crate) fn response(&mut self) -> &mut Response {
        self.exchange.response.get_or_insert_with(|| Response::new(200))
    }
}

/// Where a run stopped.
#[derive(Debug)]
pub enum Turn {
    /// The backend is to be dialled and asked; the run goes on with what comes of it.
    Dial(Dialling),
    /// The backend's answer goes to the client, as it is now in the exchange.
    PassOn,
    /// The client gets this answer, and no session.
    Respond(Response),
}

/// A run that waits for the backend.
#[derive(Debug)]
pub struct Dialling {
    machine: Machine,
    /// What `forward-request` says.
    pub forward: Forward,
}

impl Dialling {
    /// Goes on with the backend's answer, or with why there is none.
    pub fn resume(
        self,
        came: Result<Response, Failure>,
        exchange: &mut Exchange,
        moment: Moment,
        outside: &mut dyn Surroundings,
    ) -> Turn {
        let Self { mut machine, forward } = self;
        match came {
            Ok(response) => {
                let status = response.status;
                exchange.response = Some(response);
                if forward.fails_on_error_status && status >= 400 {
                    let message = format!("The backend answered with the status {status}.");
                    let said = "The backend answered with an error.";
                    machine.fail(Failure::new("BackendErrorStatus", message, 502, said), exchange);
                }
            }
            Err(failure) => machine.fail(failure, exchange),
        }
        machine.go_on(exchange, moment, outside)
    }
}

/// Runs `pipeline` from its start.
pub fn start(
    pipeline: &Arc<Pipeline>,
    exchange: &mut Exchange,
    moment: Moment,
    outside: &mut dyn Surroundings,
) -> Turn {
    Machine::of(pipeline).go_on(exchange, moment, outside)
}

/// Runs what `pipeline` has for a handshake that was refused before its first policy.
pub fn start_refused(
    pipeline: &Arc<Pipeline>,
    failure: Failure,
    exchange: &mut Exchange,
    moment: Moment,
    outside: &mut dyn Surroundings,
) -> Turn {
    let mut machine = Machine::of(pipeline);
    let error = LastError::before_policies(&failure);
    machine.enter_on_error(error, failure, exchange);
    machine.go_on(exchange, moment, outside)
}

/// Where a run stands.
#[derive(Debug)]
struct Machine {
    pipeline: Arc<Pipeline>,
    section: Section,
    /// The next step of the section.
    next: usize,
    has_dialled: bool,
}

impl Machine {
    fn of(pipeline: &Arc<Pipeline>) -> Self {
        Self { pipeline: Arc::clone(pipeline), section: Section::Inbound, next: 0, has_dialled: false }
    }

    fn go_on(self, exchange: &mut Exchange, moment: Moment, outside: &mut dyn Surroundings) -> Turn {
        let mut turn = self.advance(exchange, moment, outside);
        match &mut turn {
            Turn::Dial(_) => {}
            Turn::PassOn => settle(None, exchange, moment, outside),
            Turn::Respond(response) => settle(Some(response), exchange, moment, outside),
        }
        turn
    }

    fn advance(mut self, exchange: &mut Exchange, moment: Moment, outside: &mut dyn Surroundings) -> Turn {
        let pipeline = Arc::clone(&self.pipeline);
        loop {
            let Some(step) = pipeline.steps(self.section).get(self.next) else {
                match self.section {
                    Section::Inbound => self.enter(Section::Backend),
                    Section::Backend => {
                        if !self.has_dialled {
                            // Nothing was sent, as in Azure API Management where nothing forwards.
                            exchange.response.get_or_insert_with(|| Response::new(200));
                        }
                        self.enter(Section::Outbound);
                    }
                    Section::Outbound | Section::OnError => return end(exchange),
                }
                continue;
            };
            self.next += 1;
            outside.begins(step, exchange);
            let mut running =
                Running { exchange: &mut *exchange, section: self.section, moment, outside: &mut *outside };
            match run(step, &mut running) {
                Ok(Ran::On(skip)) => {
                    self.next += skip;
                    outside.ended(step, exchange, (skip > 0).then_some("skips"));
                }
                Ok(Ran::Responded(response)) => {
                    outside.ended(step, exchange, Some("responds"));
                    return Turn::Respond(response);
                }
                Ok(Ran::Dials(_)) if self.has_dialled => {
                    let message = "A handshake is forwarded once.";
                    outside.ended(step, exchange, Some(message));
                    self.fail(Failure::new("ForwardedBefore", message, 500, INTERNAL), exchange);
                }
                Ok(Ran::Dials(forward)) => {
                    self.has_dialled = true;
                    outside.ended(step, exchange, Some("dials"));
                    return Turn::Dial(Dialling { machine: self, forward });
                }
                Err(failure) => {
                    outside.ended(step, exchange, Some(&failure.message));
                    self.fail(failure, exchange);
                }
            }
        }
    }

    fn enter(&mut self, section: Section) {
        self.section = section;
        self.next = 0;
    }

    /// Goes to on-error, the failure being that of the step before the next. One that fails there itself ends the run with
    /// the answer that the first failure had.
    fn fail(&mut self, failure: Failure, exchange: &mut Exchange) {
        let pipeline = Arc::clone(&self.pipeline);
        if self.section == Section::OnError {
            self.next = pipeline.steps(Section::OnError).len();
            return;
        }
        let step = &pipeline.steps(self.section)[self.next - 1];
        self.enter_on_error(LastError::of(&failure, step), failure, exchange);
    }

    fn enter_on_error(&mut self, error: LastError, failure: Failure, exchange: &mut Exchange) {
        exchange.last_error = Some(error);
        exchange.response = Some(*failure.answer);
        self.enter(Section::OnError);
    }
}

/// What a step came to.
enum Ran {
    /// Behind so many further steps.
    On(usize),
    Responded(Response),
    Dials(Forward),
}

fn run(step: &Step, running: &mut Running<'_>) -> Result<Ran, Failure> {
    match &step.action {
        Action::Run(policy) => match policy.run(running)? {
            Flow::Next => Ok(Ran::On(0)),
            Flow::Respond(response) => Ok(Ran::Responded(response)),
        },
        Action::Unless { condition, skip } => {
            let holds =
                matches!(running.evaluate(&condition.expression, &condition.shown)?, Value::Bool(true));
            Ok(Ran::On(if holds { 0 } else { *skip }))
        }
        Action::Skip(skip) => Ok(Ran::On(*skip)),
        Action::Dial(forward) => forward.evaluate(running).map(Ran::Dials),
    }
}

/// Does what was put off until the answer is known: `own`, or else the backend's, which is in the exchange.
fn settle(
    own: Option<&mut Response>,
    exchange: &mut Exchange,
    moment: Moment,
    outside: &mut dyn Surroundings,
) {
    let deferred = core::mem::take(&mut exchange.deferred);
    if let Some(own) = own.as_deref().filter(|_| !deferred.is_empty()) {
        exchange.response = Some(own.clone());
    }
    for call in deferred {
        let section = Section::Outbound;
        let mut running = Running { exchange: &mut *exchange, section, moment, outside: &mut *outside };
        if let Err(failure) = call.settle(&mut running) {
            // Not its message, which may quote what a client sent.
            outside.log(Severity::Error, "increment-condition", failure.reason);
        }
    }
    let told = core::mem::take(&mut exchange.told);
    if let Some(answer) = own.or(exchange.response.as_mut()) {
        for (name, value) in told {
            // Names were checked at publish; where there is no room, the client goes without.
            let _ = answer.fields.change(&name, ExistsAction::Override, &[value]);
        }
    }
}

/// The end of a run, with the answer that is in the exchange by then.
fn end(exchange: &mut Exchange) -> Turn {
    let response = exchange.response.get_or_insert_with(|| Response::new(200));
    match response.body {
        // A 101 whose status a policy has changed is no 101: the client is refused, and the backend let go.
        Body::OfTheBackend(101) if response.status != 101 => response.body = Body::Empty,
        Body::OfTheBackend(_) => return Turn::PassOn,
        Body::Empty | Body::Text(_) => {}
    }
    Turn::Respond(response.clone())
}
