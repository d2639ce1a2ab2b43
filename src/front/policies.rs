//! Runs the policies of an opening: the shell around the policy machine, which stops where the backend has to be asked.
//!
//! Not here: the policies (`policy`), dialling and answering (`opening`).

use super::answer::BackendAnswer;
use super::refusal::Refusal;
use super::stages::micros;
use super::upstream_fault::UpstreamFault;
use crate::catalog::access::Access;
use crate::catalog::diagnostics::Verbosity;
use crate::catalog::{Api, BackendUrl, Diagnostics, DiagnosticsInForce};
use crate::compiled::access::SubscriptionKeyFault;
use crate::compiled::{Routed, Snapshot};
use crate::head::forwarding::visible_to_policies;
use crate::head::{Headers, RequestHead};
use crate::limits::POLICY_TEXT_BYTES_MAX;
use crate::policy::contract::{Forward, PolicyHost, Severity, Step, StepEnd, TraceLine};
use crate::policy::exchange::{self, EvaluationTime, Exchange, Fields, LastError, Response};
use crate::policy::expression::{Certificate, DateTime, ExpressionHost, Guid, TICKS_PER_SECOND, TimeSpan};
use crate::policy::failure::{Failure, ThrownAt};
use crate::policy::guards::Guards;
use crate::policy::machine::{Dialling, Yield, start, start_refused};
use crate::policy::pipeline::Pipeline;
use crate::policy::records::{PolicyRecords, RanStep, StepName};
use crate::policy::slot::Slot;
use crate::process::log::repeats::happened_at;
use crate::session::{Cause, CorrelationId};
use crate::shared_counts::policy_guards::PolicyGuards;
use crate::telemetry::masking::{Masking, Secrets};
use crate::tls::peer_certificate::PeerCertificate;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::Level;

/// An opening's run through its policies, which waits for the backend.
#[derive(Debug)]
pub(super) struct PolicyRun {
    exchange: Exchange,
    /// `None` once the backend's part is over.
    dialling: Option<Dialling>,
    clock: Clock,
    worker: Worker,
}

/// An answer that policies have given, or let stand.
#[derive(Debug)]
pub(super) struct PolicyAnswer {
    pub(super) response: Response,
    pub(super) cause: Cause,
    /// For the log: where something went wrong and why, if it did, in words of the document and of ringgate.
    pub(super) why: String,
    /// What failed in policies, or what they were told of, if anything did.
    pub(super) last_error: Option<Box<LastError>>,
    /// The policy that gave it, or failed.
    pub(super) policy: &'static str,
}

/// The view of an opening that policies get.
pub(super) struct Handshake<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) request: &'a Arc<RequestHead>,
    pub(super) scheme: &'static str,
    pub(super) client: IpAddr,
    /// The id of the opening: policies read it as `context.RequestId`.
    pub(super) id: CorrelationId,
    /// The client's certificate, if it showed one.
    pub(super) certificate: Option<&'a PeerCertificate>,
    pub(super) routed: &'a Routed<'a>,
    pub(super) access: &'a Access<'a>,
    /// Where what the policies say is kept. `None`: nobody wants it.
    pub(super) records: Option<SharedRecords>,
    /// When its connection was accepted. `None`: nobody wants to know when each step ran.
    pub(super) timed_since: Option<Instant>,
    /// The instance's diagnostics.
    pub(super) diagnostics: &'a Arc<Diagnostics>,
}

/// What the policies of an opening say: the run and its opening share it.
pub(super) type SharedRecords = Rc<RefCell<PolicyRecords>>;

impl PolicyRun {
    /// Runs the policies up to where the backend is to be dialled.
    ///
    /// # Errors
    /// The answer that the client gets instead.
    pub(super) fn begin(
        pipeline: &Arc<Pipeline>,
        handshake: &Handshake<'_>,
        guards: &Arc<PolicyGuards>,
    ) -> Result<Self, Box<PolicyAnswer>> {
        let mut run = Self::of(pipeline, handshake, guards);
        let moment = run.clock.moment();
        match start(pipeline, &mut run.exchange, moment, &mut run.worker) {
            Yield::Dial(dialling) => Ok(Self { dialling: Some(dialling), ..run }),
            turn @ (Yield::Respond(_) | Yield::PassOn) => {
                Err(Box::new(run.answer_of(turn, Cause::RefusedByPolicy)))
            }
        }
    }

    /// Runs on-error for a subscription key that opens nothing; no other policy runs.
    pub(super) fn refused_by_key(
        pipeline: &Arc<Pipeline>,
        handshake: &Handshake<'_>,
        guards: &Arc<PolicyGuards>,
        (fault, refusal): (SubscriptionKeyFault, &Refusal),
    ) -> Box<PolicyAnswer> {
        let mut run = Self::of(pipeline, handshake, guards);
        let failure = told(Failure::of_key(fault.reason(), refusal.status, &refusal.message), refusal);
        let moment = run.clock.moment();
        let turn = start_refused(pipeline, failure, &mut run.exchange, moment, &mut run.worker);
        Box::new(run.answer_of(turn, refusal.cause))
    }

    fn of(pipeline: &Arc<Pipeline>, handshake: &Handshake<'_>, guards: &Arc<PolicyGuards>) -> Self {
        let clock = Clock::now();
        let Handshake {
            snapshot,
            request,
            scheme,
            client,
            id,
            certificate,
            routed,
            access,
            ref records,
            timed_since,
            diagnostics,
        } = *handshake;
        let exchange = Exchange::new(&exchange::ExchangeParts {
            request,
            scheme,
            rest: routed.rest,
            api: routed.api,
            api_path: &snapshot.path_of(routed.api),
            access,
            client,
            certificate: certificate.map(facts_of),
            gateway: snapshot.gateway(),
            request_id: Guid(id.to_bytes()),
            timestamp: clock.began,
        });
        Self {
            exchange,
            dialling: None,
            clock,
            worker: Worker {
                id,
                api: Arc::clone(routed.api),
                guards: Arc::clone(guards),
                pipeline: Arc::clone(pipeline),
                request: Arc::clone(request),
                records: records.clone(),
                timing: timed_since.map(|since| Timing { since, begun_at: since }),
                diagnostics: Arc::clone(diagnostics),
                secrets: OnceCell::new(),
                answer: None,
            },
        }
    }

    /// The request as policies have made it, and where it goes.
    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Takes the slots that the opened session holds from here on.
    pub(super) fn take_slots(&mut self) -> Vec<Slot> {
        self.exchange.take_slots()
    }

    /// The path and query without the secrets of the documents, which may stand in it (`rewrite-uri`).
    pub(super) fn masked_target(&self, target: String) -> String {
        match self.worker.pipeline.secrets() {
            [] => target,
            secrets => Secrets::default().with(secrets).masked_target(&target),
        }
    }

    /// The authority of the backend without the secrets of the documents, which may stand in it (`set-backend-service`).
    pub(super) fn masked_authority(&self) -> Cow<'_, str> {
        let authority = &self.exchange.backend().authority;
        match self.worker.pipeline.secrets() {
            [] => Cow::Borrowed(authority),
            secrets => {
                // A host is in lower case, however it was given.
                let in_lower_case: Vec<Box<str>> =
                    secrets.iter().map(|secret| secret.to_lowercase().into()).collect();
                Cow::Owned(Secrets::default().with(secrets).with(&in_lower_case).masked(authority))
            }
        }
    }

    /// Returns the parameters of the dial.
    pub(super) fn forward(&self) -> Forward {
        self.dialling.as_ref().map(|dialling| dialling.forward).unwrap_or_default()
    }

    /// Goes on with the backend's answer, whose head policies may change.
    ///
    /// # Errors
    /// The answer that the client gets instead.
    pub(super) fn answered(&mut self, mut answer: BackendAnswer) -> Result<BackendAnswer, Box<PolicyAnswer>> {
        let Some(dialling) = self.dialling.take() else { return Ok(answer) };
        let head = &answer.head;
        let fields = Fields::of(visible_to_policies(head.headers()));
        let response = Response::of_backend(head.status(), head.reason(), fields);
        self.worker.hear(head.headers());
        let moment = self.clock.moment();
        match dialling.resume(Ok(response), &mut self.exchange, moment, &mut self.worker) {
            Yield::PassOn => {
                answer.changed = self.exchange.response.take();
                Ok(answer)
            }
            turn @ (Yield::Respond(_) | Yield::Dial(_)) => {
                Err(Box::new(self.answer_of(turn, Cause::RefusedByPolicy)))
            }
        }
    }

    /// Goes on with a limit that stands in the way of a session. On-error may answer it. `None`: it was told already.
    pub(super) fn limited(&mut self, refusal: &Refusal) -> Option<Box<PolicyAnswer>> {
        self.failed(Failure::of_limit(refusal.status, &refusal.message), refusal)
    }

    /// Goes on with a failure of the backend's, for which the client is refused with `refusal`. On-error may answer it. `None`: it
    /// was told already.
    pub(super) fn upstream_failed(
        &mut self,
        fault: &UpstreamFault,
        refusal: &Refusal,
    ) -> Option<Box<PolicyAnswer>> {
        self.failed(fault.failure(refusal.status), refusal)
    }

    fn failed(&mut self, failure: Failure, refusal: &Refusal) -> Option<Box<PolicyAnswer>> {
        let dialling = self.dialling.take()?;
        let moment = self.clock.moment();
        let failure = told(failure, refusal);
        let turn = dialling.resume(Err(failure), &mut self.exchange, moment, &mut self.worker);
        Some(Box::new(self.answer_of(turn, refusal.cause)))
    }

    /// Returns the client's answer where a run ends without the backend's answer.
    fn answer_of(&self, turn: Yield, cause: Cause) -> PolicyAnswer {
        let response = match turn {
            Yield::Respond(response) => response,
            // Neither comes about without an answer of the backend's; were one to, the fault is ours.
            Yield::PassOn | Yield::Dial(_) => {
                let (response, why) = (Response::error(500, "Internal server error"), String::new());
                return PolicyAnswer { response, cause: Cause::Bug, why, last_error: None, policy: "" };
            }
        };
        // Not its message, which may quote what a client sent: a document that wants that in the log says so.
        let last_error = self.exchange.last_error.as_ref();
        let why = last_error.map(LastError::place_and_reason).unwrap_or_default();
        // What is no failure is the answer of the one policy that gives answers.
        let policy = last_error.map_or("return-response", |error| error.source);
        let last_error = last_error.map(|error| {
            let message = bounded(self.worker.masked(&error.message));
            Box::new(LastError { message, ..error.clone() })
        });
        PolicyAnswer { response, cause, why, last_error, policy }
    }
}

/// The authority of the backend that policies chose, or of the API's own, as the log shows it.
pub(super) fn shown_authority<'a>(own: &'a BackendUrl, policies: Option<&'a PolicyRun>) -> Cow<'a, str> {
    policies.map_or(Cow::Borrowed(own.authority.as_str()), PolicyRun::masked_authority)
}

/// The failure with the fields that the client is told of the refusal.
fn told(failure: Failure, refusal: &Refusal) -> Failure {
    refusal.headers.iter().fold(failure, |failure, (name, value)| failure.with_field(name, value))
}

/// Returns the facts of a certificate that policies see, under .NET's names.
fn facts_of(certificate: &PeerCertificate) -> Certificate<'_> {
    let time = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(DateTime::from_unix_seconds);
        time.unwrap_or(DateTime::MAX)
    };
    Certificate {
        thumbprint: &certificate.thumbprint_sha1,
        subject: &certificate.subject,
        issuer: &certificate.issuer,
        serial_number: &certificate.serial,
        not_before: time(certificate.not_before),
        not_after: time(certificate.not_after),
    }
}

/// The time of policies: that of day, and since the handshake began, which no change of the clock bends.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: DateTime,
    started: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the shell's clock; policies see parts of a second")]
    fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            began: DateTime::from_unix_ticks(ticks(since_1970)).unwrap_or(DateTime::MAX),
            started: Instant::now(),
        }
    }

    fn moment(&self) -> EvaluationTime {
        let elapsed = ticks(self.started.elapsed());
        let now = self.began.unix_ticks().saturating_add(elapsed);
        EvaluationTime {
            now: DateTime::from_unix_ticks(now).unwrap_or(DateTime::MAX),
            elapsed: TimeSpan(elapsed),
        }
    }
}

fn ticks(duration: Duration) -> i64 {
    let nanoseconds_per_tick = 1_000_000_000 / TICKS_PER_SECOND as u128;
    i64::try_from(duration.as_nanos() / nanoseconds_per_tick).unwrap_or(i64::MAX)
}

/// A text cut where it is longer than one in a log may be.
fn bounded(mut text: String) -> String {
    if text.len() > POLICY_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(POLICY_TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// A worker's sources for policies: time, random numbers, counters; and where what they say goes.
#[derive(Debug)]
struct Worker {
    id: CorrelationId,
    api: Arc<Api>,
    guards: Arc<PolicyGuards>,
    pipeline: Arc<Pipeline>,
    request: Arc<RequestHead>,
    records: Option<SharedRecords>,
    /// `None`: nobody wants to know when each step ran.
    timing: Option<Timing>,
    /// The instance's.
    diagnostics: Arc<Diagnostics>,
    /// Found when something is said for the first time.
    secrets: OnceCell<Box<Secrets>>,
    /// The fields of the backend's answer, once it came.
    answer: Option<Box<Headers>>,
}

/// The times of steps.
#[derive(Debug)]
struct Timing {
    /// When the connection was accepted.
    since: Instant,
    /// When the step that runs began.
    begun_at: Instant,
}

impl Worker {
    /// The text without the secrets of the request, of the answer and of the documents. To be masked before it is cut: half a secret is
    /// not found.
    fn masked(&self, text: &str) -> String {
        let secrets = self.secrets.get_or_init(|| {
            let masking = Masking::of_api(&self.api.key_names, self.diagnostics().query_names);
            Box::new(
                Secrets::of(&self.request, self.answer.as_deref(), &masking).with(self.pipeline.secrets()),
            )
        });
        secrets.masked(text)
    }

    fn diagnostics(&self) -> DiagnosticsInForce<'_> {
        Diagnostics::in_force(Some(&self.api.diagnostics), &self.diagnostics)
    }

    /// Learns of the backend's answer, in which there may be more that is secret.
    fn hear(&mut self, headers: &Headers) {
        self.answer = Some(Box::new(headers.clone()));
        self.secrets.take();
    }
}

impl ExpressionHost for Worker {
    fn random_bits(&mut self) -> u64 {
        // They decide about nothing secret, so a kernel that has none is no reason to refuse a client.
        getrandom::u64().unwrap_or_default()
    }

    fn trace(&mut self, message: &str) {
        let (severity, message) = (Severity::Verbose, message.to_owned());
        self.log(TraceLine { severity, source: "expression".into(), message, metadata: Vec::new() });
    }
}

impl PolicyHost for Worker {
    fn guards(&self) -> Guards<'_> {
        self.guards.now()
    }

    fn log(&mut self, line: TraceLine) {
        let is_logged = match line.severity {
            Severity::Verbose => tracing::enabled!(Level::DEBUG),
            Severity::Information => tracing::enabled!(Level::INFO),
            Severity::Error => tracing::enabled!(Level::ERROR),
        };
        let verbosity = match line.severity {
            Severity::Verbose => Verbosity::Verbose,
            Severity::Information => Verbosity::Information,
            Severity::Error => Verbosity::Error,
        };
        let records = self.records.as_ref().filter(|_| verbosity >= self.diagnostics().verbosity);
        if !is_logged && records.is_none() {
            return;
        }
        let line = line.masked(|text| self.masked(text));
        if is_logged {
            let (id, api, source, text) =
                (self.id, self.api.name.as_str(), &*line.source, line.on_one_line());
            // Not limited: the document asks for each of them.
            match line.severity {
                Severity::Verbose => tracing::debug!(%id, api, source, text, "a policy traces"),
                Severity::Information => tracing::info!(%id, api, source, text, "a policy traces"),
                Severity::Error => tracing::error!(%id, api, source, text, "a policy traces"),
            }
        }
        if let Some(records) = records {
            records.borrow_mut().trace(line);
        }
    }

    fn begins(&mut self, _: &Step, _: &Exchange) {
        if let Some(timing) = &mut self.timing {
            timing.begun_at = Instant::now();
        }
    }

    fn ended(&mut self, step: &Step, _: &Exchange, how: StepEnd<'_>) {
        let (Some(Timing { since, begun_at }), Some(records)) = (&self.timing, &self.records) else { return };
        if step.is_jump() {
            return;
        }
        let (begun_us, took_us) = (micros(*since, *begun_at), micros(*begun_at, Instant::now()));
        records.borrow_mut().add_ran(|| {
            let has_failed = matches!(how, StepEnd::Failed(_));
            let outcome = how.text().unwrap_or_default();
            let outcome = if has_failed { bounded(self.masked(outcome)) } else { outcome.to_owned() };
            RanStep { name: StepName::of(step), begun_us, took_us, outcome: outcome.into(), has_failed }
        });
    }

    fn threw(&mut self, step: Option<&Step>, thrown: &ThrownAt) {
        const MESSAGE: &str = "an expression of a policy threw";
        let ThrownAt { document, line, column, exception, message } = thrown;
        let is_logged = tracing::enabled!(Level::WARN);
        let told =
            if is_logged { happened_at(Level::WARN, MESSAGE, &format!("{document}:{line}")) } else { None };
        if told.is_none() && self.records.is_none() {
            return;
        }
        let message = self.masked(message);
        if let Some(told) = told {
            let (id, api, said) = (self.id, self.api.name.as_str(), bounded(message.clone()));
            tracing::warn!(%id, api, times = told.times, document = &**document, line, column, exception, said, "{MESSAGE}");
        }
        if let Some(records) = &self.records {
            records.borrow_mut().threw(step.map(StepName::of), ThrownAt { message, ..thrown.clone() });
        }
    }
}
