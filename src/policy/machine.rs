//! Runs a pipeline over one handshake: a machine that stops where the shell has to act, and continues with the result.
//!
//! ```text
//! inbound ─► backend ─► DIAL ··· answer ─► outbound ─► PASS ON
//!    │          │         └····· failure ─┐     │
//!    └──────────┴────────── failure ──────┴─────┴──► on-error ─► RESPOND
//! ```
//!
//! A policy may respond anywhere, which ends the run. However the run ends, work that policies have deferred until the answer is
//! known is done then, and their messages to the client are added. The machine knows neither sockets nor time. It ends within a
//! bounded number of steps, since no step goes back.
//!
//! Not here: the steps (`policies`), and writing an answer (`exchange`).

use std::sync::Arc;

use super::contract::{
    Action, Forward, PolicyHost, PutOff, Running, Severity, Step, StepEnd, StepOutcome, TraceLine,
};
use super::exchange::fields::ExistsAction;
use super::exchange::{Body, EvaluationTime, Exchange, LastError, Response};
use super::expression::{Section, Value};
use super::failure::{Failure, INTERNAL};
use super::pipeline::Pipeline;

/// Where a run stopped.
#[derive(Debug)]
pub enum Yield {
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
    /// The parameters of `forward-request`.
    pub forward: Forward,
}

impl Dialling {
    /// Goes on with the backend's answer, or with why there is none.
    pub fn resume(
        self,
        came: Result<Response, Failure>,
        exchange: &mut Exchange,
        moment: EvaluationTime,
        outside: &mut dyn PolicyHost,
    ) -> Yield {
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
    moment: EvaluationTime,
    outside: &mut dyn PolicyHost,
) -> Yield {
    Machine::of(pipeline).go_on(exchange, moment, outside)
}

/// Runs what `pipeline` has for a handshake that was refused before its first policy.
pub fn start_refused(
    pipeline: &Arc<Pipeline>,
    failure: Failure,
    exchange: &mut Exchange,
    moment: EvaluationTime,
    outside: &mut dyn PolicyHost,
) -> Yield {
    let mut machine = Machine::of(pipeline);
    let error = failure.before_policies();
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
    /// The work that is deferred until the answer is known.
    put_off: Vec<Box<dyn PutOff>>,
}

impl Machine {
    fn of(pipeline: &Arc<Pipeline>) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            section: Section::Inbound,
            next: 0,
            has_dialled: false,
            put_off: Vec::new(),
        }
    }

    fn go_on(
        mut self,
        exchange: &mut Exchange,
        moment: EvaluationTime,
        outside: &mut dyn PolicyHost,
    ) -> Yield {
        let mut ended = match self.advance(exchange, moment, outside) {
            Stopped::AtDial(forward) => return Yield::Dial(Dialling { machine: self, forward }),
            Stopped::AtEnd(yielded) => yielded,
        };
        let own = match &mut ended {
            Yield::Respond(response) => Some(response),
            Yield::PassOn | Yield::Dial(_) => None,
        };
        settle(self.put_off, own, exchange, moment, outside);
        ended
    }

    fn advance(
        &mut self,
        exchange: &mut Exchange,
        moment: EvaluationTime,
        outside: &mut dyn PolicyHost,
    ) -> Stopped {
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
                    Section::Outbound | Section::OnError => return Stopped::AtEnd(end(exchange)),
                }
                continue;
            };
            self.next += 1;
            outside.begins(step, exchange);
            let mut running = Running {
                exchange: &mut *exchange,
                section: self.section,
                moment,
                outside: &mut *outside,
                put_off: &mut self.put_off,
            };
            match run(step, &mut running) {
                Ok(StepOutcome::Next | StepOutcome::Skip(0)) => {
                    outside.ended(step, exchange, StepEnd::WentOn)
                }
                Ok(StepOutcome::Skip(steps)) => {
                    self.next += steps;
                    outside.ended(step, exchange, StepEnd::Skipped);
                }
                Ok(StepOutcome::Respond(response)) => {
                    outside.ended(step, exchange, StepEnd::Responded);
                    return Stopped::AtEnd(Yield::Respond(response));
                }
                Ok(StepOutcome::Dial(_)) if self.has_dialled => {
                    let message = "A handshake is forwarded once.";
                    outside.ended(step, exchange, StepEnd::Failed(message));
                    self.fail(Failure::new("ForwardedBefore", message, 500, INTERNAL), exchange);
                }
                Ok(StepOutcome::Dial(forward)) => {
                    self.has_dialled = true;
                    outside.ended(step, exchange, StepEnd::Dialled);
                    return Stopped::AtDial(forward);
                }
                Err(failure) => {
                    if let Some(thrown) = &failure.thrown {
                        outside.threw(Some(step), thrown);
                    }
                    outside.ended(step, exchange, StepEnd::Failed(&failure.message));
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
        self.enter_on_error(error_of(&failure, step), failure, exchange);
    }

    fn enter_on_error(&mut self, error: LastError, failure: Failure, exchange: &mut Exchange) {
        exchange.last_error = Some(error);
        exchange.response = Some(*failure.answer);
        self.enter(Section::OnError);
    }
}

/// Why a run goes no further for now.
enum Stopped {
    AtDial(Forward),
    AtEnd(Yield),
}

fn run(step: &Step, running: &mut Running<'_>) -> Result<StepOutcome, Failure> {
    match &step.action {
        Action::Run(policy) => policy.run(running),
        Action::Unless { condition, skip } => {
            let holds = matches!(running.evaluate(condition)?, Value::Bool(true));
            Ok(if holds { StepOutcome::Next } else { StepOutcome::Skip(*skip) })
        }
        Action::Skip(skip) => Ok(StepOutcome::Skip(*skip)),
    }
}

/// Does what was put off until the answer is known: `own`, or else the backend's, which is in the exchange.
fn settle(
    put_off: Vec<Box<dyn PutOff>>,
    own: Option<&mut Response>,
    exchange: &mut Exchange,
    moment: EvaluationTime,
    outside: &mut dyn PolicyHost,
) {
    if let Some(own) = own.as_deref().filter(|_| !put_off.is_empty()) {
        exchange.response = Some(own.clone());
    }
    for call in put_off {
        let mut running = Running {
            exchange: &mut *exchange,
            section: Section::Outbound,
            moment,
            outside: &mut *outside,
            put_off: &mut Vec::new(),
        };
        if let Err(failure) = call.settle(&mut running) {
            if let Some(thrown) = &failure.thrown {
                outside.threw(None, thrown);
            }
            outside.log(TraceLine {
                severity: Severity::Error,
                source: "increment-condition".into(),
                // Not its message, which may quote what a client sent.
                message: failure.reason.to_owned(),
                metadata: Vec::new(),
            });
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
fn end(exchange: &mut Exchange) -> Yield {
    let response = exchange.response.get_or_insert_with(|| Response::new(200));
    match response.body {
        // A 101 whose status a policy has changed is no 101: the client is refused, and the backend let go.
        Body::OfTheBackend(101) if response.status != 101 => response.body = Body::Empty,
        Body::OfTheBackend(_) => return Yield::PassOn,
        Body::Empty | Body::Text(_) => {}
    }
    Yield::Respond(response.clone())
}

/// `LastError` of a failure in this step.
fn error_of(failure: &Failure, step: &Step) -> LastError {
    let place = &step.place;
    LastError {
        source: failure.source.unwrap_or(place.policy),
        reason: failure.reason,
        message: failure.message.clone(),
        scope: place.scope.name(),
        section: place.section.name(),
        path: place.path.clone(),
        policy_id: place.id.clone(),
    }
}
