//! Makes rows of the log out of events.
//!
//! The property to trust: every column that may hold something of a client's request is filled through [`Masking`] or [`Secrets`].
//!
//! Not here: what the columns mean (`observe::tables`), and where rows go (`sink`).

use super::captured::captured;
use super::masking::{Masking, Secrets, subprotocol};
use super::opening_trace::{self, OpeningTrace};
use super::sink::LogRow;
use crate::catalog::{Diagnostics, DiagnosticsInForce};
use crate::head::Headers;
use crate::head::trace_context::{Hex, TraceContext};
use crate::observe::SessionRecord;
use crate::observe::events::{
    Carried, LegFields, NamedFields, OpeningEnded, OpeningFailure, RelayEvent, SessionClosing,
    SessionProgress, SessionTerminated,
};
use crate::observe::stages::Stage;
use crate::observe::tables::{ConnectionRow, GatewayRow, Json, Text, Ticks};
use crate::policy::exchange::LastError;
use crate::policy::failure::ThrownAt;
use crate::policy::records::{PolicyRecord, PolicyRecords, PolicySaid, StepName};
use crate::session::attribution::OpeningError;
use crate::session::{Cause, Leg, Phase, Side};
use crate::websocket::received_close::ReceivedClose;
use crate::websocket::tally::FrameKind;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

/// The name and the id of the one operation of a WebSocket API.
const OPERATION: &str = "onHandshake";

/// Makes rows.
#[derive(Debug)]
pub struct RowMaker {
    region: Text,
    /// By the place in the configuration.
    listeners: Vec<Text>,
    /// The instance's.
    diagnostics: Arc<Diagnostics>,
}

/// A failure, as both tables show it.
struct ShownError {
    source: &'static str,
    reason: &'static str,
    message: String,
    section: &'static str,
    scope: &'static str,
}

impl RowMaker {
    /// That of an instance of this gateway (empty if it is of none), which listens there and has these diagnostics.
    pub fn new(gateway: &str, listeners: &[SocketAddr], diagnostics: Arc<Diagnostics>) -> Self {
        let text = |text: &str| Text::from(Arc::<str>::from(text));
        let listeners = listeners.iter().map(|address| text(&address.to_string())).collect();
        Self { region: text(gateway), listeners, diagnostics }
    }

    /// Adds the rows of an opening, which a front of `worker` has opened.
    pub fn push_opening(&self, worker: usize, event: &OpeningEnded, rows: &mut Vec<LogRow>) {
        let diagnostics = self.in_force(event);
        let masking = masking_of(event, &diagnostics);
        let error = shown_error(event, &masking);
        let mut gateway = self.gateway_row(worker, event, &masking, error.as_ref());
        push_fields(&mut gateway, event, &diagnostics, &masking);
        let connection =
            |event_name: &'static str, at_us: u64, [source, destination]: [Side; 2]| ConnectionRow {
                time_generated: Ticks::from_unix_ns(event.accepted_at_ns + at_us * 1_000),
                correlation_id: gateway.correlation_id.clone(),
                event_name: event_name.into(),
                source: source.name().into(),
                destination: destination.name().into(),
                region: self.region.clone(),
                api_id: gateway.api_id.clone(),
                api_revision: gateway.api_revision.clone(),
                product_id: gateway.product_id.clone(),
                apim_subscription_id: gateway.apim_subscription_id.clone(),
                client_ip_address: gateway.client_ip_address.clone(),
                worker: gateway.worker,
                ..ConnectionRow::default()
            };
        let total_us = u64::from(event.times.total_us);
        let mut connections = vec![connection("arrived", 0, [Side::Client, Side::Gateway])];
        let is_connected = event.asked.as_ref().is_some_and(|asked| asked.is_sent);
        if let Some(dialled_us) = event.times.until(Stage::Dial).filter(|_| is_connected) {
            let row = connection("backendConnected", dialled_us, [Side::Gateway, Side::Backend]);
            connections.push(ConnectionRow { backend_address: gateway.backend_address.clone(), ..row });
        }
        match event.termination {
            None => {
                let row = connection("established", total_us, [Side::Gateway, Side::Client]);
                connections.push(ConnectionRow { backend_address: gateway.backend_address.clone(), ..row });
            }
            Some((cause, phase)) => {
                let by = opening_error(cause).by;
                let row = connection("terminated", total_us, [by, by.destination()]);
                connections.push(ConnectionRow {
                    error: error.map(|error| error.message).unwrap_or_default().into(),
                    backend_address: gateway.backend_address.clone(),
                    cause: cause.name().into(),
                    phase: phase.name().into(),
                    ended_by: by.name().into(),
                    duration_ms: Some((total_us / 1_000) as i64),
                    ..row
                });
            }
        }
        rows.push(gateway.into());
        rows.extend(connections.into_iter().map(LogRow::from));
    }

    /// The trace of an opening, whose steps are taken out of its event. `None`: it has none, or its trace is not sampled.
    ///
    /// Whether the log has its rows makes no difference.
    pub fn trace_of(&self, worker: usize, event: &mut OpeningEnded) -> Option<OpeningTrace> {
        let context = event.trace.filter(TraceContext::is_sampled)?;
        let masking = masking_of(event, &self.in_force(event));
        let error = shown_error(event, &masking);
        let row = self.gateway_row(worker, event, &masking, error.as_ref());
        let state = opening_trace::shown_state(event, &masking);
        let steps = event.policy_records.take_ran();
        Some(OpeningTrace::new(context, event, row, state, steps))
    }

    fn in_force<'a>(&'a self, event: &'a OpeningEnded) -> DiagnosticsInForce<'a> {
        let of_api = event.api.as_ref().map(|api| &api.diagnostics);
        Diagnostics::in_force(of_api, &self.diagnostics)
    }

    /// A row of an opening that is not logged, with what usage counts of it: that a session came of it, or none.
    pub fn usage_of(&self, event: &OpeningEnded) -> LogRow {
        let name =
            |label: Option<&Arc<crate::observe::EntityLabel>>| own(label.map(|label| label.name().as_str()));
        let labels = event.labels.as_ref();
        let api_id = own(event.api.as_ref().map(|api| api.name.as_str()));
        let product_id = name(labels.and_then(|labels| labels.product.as_ref()));
        let apim_subscription_id = name(labels.and_then(|labels| labels.subscription.as_ref()));
        let total_us = u64::from(event.times.total_us);
        match event.termination {
            Some(_) => GatewayRow {
                time_generated: Ticks::from_unix_ns(event.accepted_at_ns),
                api_id,
                product_id,
                apim_subscription_id,
                total_time: Some((total_us / 1_000) as i64),
                ..GatewayRow::default()
            }
            .into(),
            None => ConnectionRow {
                time_generated: Ticks::from_unix_ns(event.accepted_at_ns + total_us * 1_000),
                event_name: "established".into(),
                api_id,
                product_id,
                apim_subscription_id,
                ..ConnectionRow::default()
            }
            .into(),
        }
    }

    fn gateway_row(
        &self,
        worker: usize,
        event: &OpeningEnded,
        masking: &Masking<'_>,
        error: Option<&ShownError>,
    ) -> GatewayRow {
        let name =
            |label: Option<&Arc<crate::observe::EntityLabel>>| own(label.map(|label| label.name().as_str()));
        let labels = event.labels.as_ref();
        let operation = if event.api.is_some() { OPERATION } else { "" };
        let (status, asked) = (event.told.map(|told| told.status), event.asked.as_ref());
        let is_sent = asked.is_some_and(|asked| asked.is_sent);
        let stage_us = |stage| event.times.of(stage).map(i64::from);
        let sum_ms = |stages: [Stage; 2]| {
            let sum_us: i64 = stages.into_iter().filter_map(stage_us).sum();
            sum_us / 1_000
        };
        let total_us = i64::from(event.times.total_us);
        let phase = event.termination.map_or(Phase::Relay, |(_, phase)| phase);
        GatewayRow {
            time_generated: Ticks::from_unix_ns(event.accepted_at_ns),
            correlation_id: event.id.to_string().into(),
            region: self.region.clone(),
            category: category(status).into(),
            api_id: own(event.api.as_ref().map(|api| api.name.as_str())),
            api_revision: event.api.as_ref().map(|api| api.revision.to_string()).unwrap_or_default().into(),
            operation_id: operation.into(),
            operation_name: operation.into(),
            product_id: name(labels.and_then(|labels| labels.product.as_ref())),
            user_id: own(event.subscription.as_ref().map(|subscription| subscription.owner.as_str())),
            apim_subscription_id: name(labels.and_then(|labels| labels.subscription.as_ref())),
            caller_ip_address: event.peer.ip().to_string().into(),
            method: match &event.request {
                Some(_) => "GET".into(),
                None => own(event.method.as_deref()),
            },
            url: url(event, masking).into(),
            client_protocol: event.protocol.into(),
            client_tls_version: event.tls_version.into(),
            backend_method: if is_sent { "GET" } else { "" }.into(),
            backend_url: backend_url(event, masking).into(),
            backend_protocol: if is_sent { "HTTP/1.1" } else { "" }.into(),
            response_code: status.map(i32::from),
            backend_response_code: asked.and_then(|asked| asked.status).map(i32::from),
            request_size: event.request_bytes.map(|bytes| bytes as i32),
            response_size: event.told.map(|told| told.bytes as i32),
            total_time: Some(total_us / 1_000),
            backend_time: Some(sum_ms([Stage::Dial, Stage::Backend])),
            client_time: Some(sum_ms([Stage::Tls, Stage::Head])),
            cache_time: Some(0),
            cache: "none".into(),
            is_request_success: Some(event.termination.is_none()),
            is_trace_requested: Some(false),
            is_trace_allowed: Some(false),
            is_trace_expired: Some(false),
            is_master_trace: Some(false),
            last_error_source: error.map_or("", |error| error.source).into(),
            last_error_reason: error.map_or("", |error| error.reason).into(),
            last_error_message: own(error.map(|error| error.message.as_str())),
            last_error_section: error.map_or("", |error| error.section).into(),
            last_error_scope: error.map_or("", |error| error.scope).into(),
            last_error_elapsed: error.map(|_| total_us / 1_000),
            errors: errors_json(&event.policy_records, error, total_us / 1_000),
            trace_records: trace_records_json(&event.policy_records),
            client_ip_address: event.client.to_string().into(),
            listener: self.listeners.get(event.listener).cloned().unwrap_or_default(),
            sni: own(event.server_name.as_deref()),
            subprotocol: asked
                .and_then(|asked| asked.subprotocol.as_deref())
                .map(|chosen| subprotocol(&String::from_utf8_lossy(chosen)).into_owned())
                .unwrap_or_default()
                .into(),
            extensions: asked.map(|asked| joined(&asked.extensions)).unwrap_or_default().into(),
            cause: event.termination.map_or("", |(cause, _)| cause.name()).into(),
            phase: phase.name().into(),
            tls_time_us: stage_us(Stage::Tls),
            head_time_us: stage_us(Stage::Head),
            policy_time_us: stage_us(Stage::Policy),
            dial_time_us: stage_us(Stage::Dial),
            backend_time_us: stage_us(Stage::Backend),
            total_time_us: Some(total_us),
            worker: i32::try_from(worker).ok(),
            backend_address: asked
                .and_then(|asked| asked.address)
                .map(|address| address.to_string())
                .unwrap_or_default()
                .into(),
            trace_id: event.trace_id().map(|id| Hex(&id).to_string()).unwrap_or_default().into(),
            ..GatewayRow::default()
        }
    }

    /// Adds the rows of an event of a session that the relay of `worker` carries.
    pub fn push_session(&self, worker: usize, event: &RelayEvent, rows: &mut Vec<LogRow>) {
        match event {
            RelayEvent::Closing(SessionClosing { at_ns, record, cause: _, by }) => {
                rows.push(self.closing_row(worker, *at_ns, record, Side::that_ended(*by)).into());
            }
            RelayEvent::Progress(SessionProgress { at_ns, record, carried }) => {
                let row = self.connection_row(worker, "progress", *at_ns, record);
                let row = ConnectionRow { source: Side::Gateway.name().into(), ..row };
                rows.push(with_carried(row, *at_ns, record, carried).into());
            }
            RelayEvent::Terminated(SessionTerminated {
                at_ns,
                record,
                termination,
                is_at_once,
                carried,
                closes,
            }) => {
                let by = Side::that_ended(termination.by);
                if *is_at_once {
                    rows.push(self.closing_row(worker, *at_ns, record, by).into());
                }
                let [client_close, backend_close] = closes;
                let row = self.connection_row(worker, "terminated", *at_ns, record);
                let row = with_carried(row, *at_ns, record, carried);
                rows.push(LogRow::from(ConnectionRow {
                    source: by.name().into(),
                    destination: by.destination().name().into(),
                    error: if termination.cause.is_failure() { termination.cause.name() } else { "" }.into(),
                    cause: termination.cause.name().into(),
                    phase: termination.phase.name().into(),
                    ended_by: by.name().into(),
                    client_close_code: client_close.as_ref().map(|close| close.code().into()),
                    client_close_reason: reason(client_close.as_deref()),
                    backend_close_code: backend_close.as_ref().map(|close| close.code().into()),
                    backend_close_reason: reason(backend_close.as_deref()),
                    ..row
                }));
            }
        }
    }

    fn closing_row(&self, worker: usize, at_ns: u64, record: &SessionRecord, by: Side) -> ConnectionRow {
        ConnectionRow {
            source: by.name().into(),
            destination: by.destination().name().into(),
            ended_by: by.name().into(),
            ..self.connection_row(worker, "closing", at_ns, record)
        }
    }

    fn connection_row(
        &self,
        worker: usize,
        event_name: &'static str,
        at_ns: u64,
        record: &SessionRecord,
    ) -> ConnectionRow {
        let SessionRecord { id, labels, api_revision, client, peer: _, backend, opened_at_ms: _, logged: _ } =
            record;
        let name = |label: &Arc<crate::observe::EntityLabel>| Text::from(label.name().as_str().to_owned());
        ConnectionRow {
            time_generated: Ticks::from_unix_ns(at_ns),
            correlation_id: id.to_string().into(),
            event_name: event_name.into(),
            region: self.region.clone(),
            api_id: name(&labels.api),
            api_revision: api_revision.to_string().into(),
            product_id: labels.product.as_ref().map(name).unwrap_or_default(),
            apim_subscription_id: labels.subscription.as_ref().map(name).unwrap_or_default(),
            client_ip_address: client.ip.to_string().into(),
            backend_address: backend.to_string().into(),
            worker: i32::try_from(worker).ok(),
            ..ConnectionRow::default()
        }
    }
}

/// What is masked of an opening. Where no API is known, neither is the name of its key: no value of a query is shown.
fn masking_of<'a>(event: &'a OpeningEnded, diagnostics: &DiagnosticsInForce<'a>) -> Masking<'a> {
    let of_api = |api: &'a Arc<crate::catalog::Api>| Masking::of_api(&api.key_names, diagnostics.query_names);
    event.api.as_ref().map(of_api).unwrap_or_default()
}

/// Fills the columns with header fields in, if diagnostics name any.
fn push_fields(
    row: &mut GatewayRow,
    event: &OpeningEnded,
    diagnostics: &DiagnosticsInForce<'_>,
    masking: &Masking<'_>,
) {
    let of_request = diagnostics.frontend_request_headers;
    if of_request.is_empty() && !diagnostics.captures_beyond_request() {
        return;
    }
    let none = LegFields::default();
    let of_legs = event.fields.as_deref().unwrap_or(&none);
    let answer = of_legs.backend_response.as_ref();
    let secrets = event.request.as_ref().map(|request| Secrets::of(request, answer, masking));
    let of_documents = of_legs.pipeline.as_ref().map_or(&[][..], |pipeline| pipeline.secrets());
    let secrets = secrets.unwrap_or_default().with(of_documents);
    let of_headers = |names, headers: Option<&Headers>| {
        let fields = headers.into_iter().flat_map(Headers::iter).map(|field| (field.name, field.value));
        captured(names, fields, masking, &secrets)
    };
    let of_named = |names, fields: &NamedFields| {
        captured(names, fields.iter().map(|(name, value)| (name.as_str(), &**value)), masking, &secrets)
    };
    row.request_headers = of_headers(of_request, event.request.as_ref().map(|request| request.headers()));
    row.response_headers = of_named(diagnostics.frontend_response_headers, &of_legs.response);
    row.backend_request_headers = of_named(diagnostics.backend_request_headers, &of_legs.backend_request);
    row.backend_response_headers = of_headers(diagnostics.backend_response_headers, answer);
}

/// The row with what the legs have sent since the 101.
fn with_carried(row: ConnectionRow, at_ns: u64, record: &SessionRecord, carried: &Carried) -> ConnectionRow {
    let count = |number: u64| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let frames = |leg: Leg| Json(Some(frames_json(&carried.frames[leg as usize])));
    ConnectionRow {
        duration_ms: count((at_ns / 1_000_000).saturating_sub(record.opened_at_ms)),
        messages_from_client: count(carried.messages(Leg::Downstream)),
        messages_from_backend: count(carried.messages(Leg::Upstream)),
        bytes_from_client: count(carried.bytes[Leg::Downstream as usize]),
        bytes_from_backend: count(carried.bytes[Leg::Upstream as usize]),
        frames_from_client: frames(Leg::Downstream),
        frames_from_backend: frames(Leg::Upstream),
        ..row
    }
}

/// The kinds of which there were any.
fn frames_json(frames: &[u64; FrameKind::ALL.len()]) -> String {
    let mut json = String::from("{");
    for (kind, count) in FrameKind::ALL.into_iter().zip(frames).filter(|(_, count)| **count > 0) {
        let comma = if json.len() > 1 { "," } else { "" };
        let _ = write!(json, "{comma}\"{}\":{count}", kind.name());
    }
    json.push('}');
    json
}

fn own(text: Option<&str>) -> Text {
    text.unwrap_or_default().to_owned().into()
}

fn joined(values: &[bytes::Bytes]) -> String {
    values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(", ")
}

fn reason(close: Option<&ReceivedClose>) -> Text {
    close.map(|close| String::from_utf8_lossy(close.reason()).into_owned()).unwrap_or_default().into()
}

fn category(status: Option<u16>) -> &'static str {
    match status {
        Some(101) => "Successful",
        Some(401 | 403) => "Unauthorized",
        Some(500..) => "Erroneous",
        Some(_) | None => "Other",
    }
}

fn url(event: &OpeningEnded, masking: &Masking<'_>) -> String {
    let Some(request) = &event.request else { return String::new() };
    let scheme = if event.is_secured { "wss" } else { "ws" };
    let target = request.target_text();
    // In absolute-form it has a scheme and an authority of its own.
    if !target.starts_with('/') {
        return masking.url(target);
    }
    format!("{scheme}://{}{}", request.host(), masking.target(target))
}

fn backend_url(event: &OpeningEnded, masking: &Masking<'_>) -> String {
    let (Some(asked), Some(api)) = (&event.asked, &event.api) else { return String::new() };
    let backend = asked.backend.as_deref().unwrap_or(&api.backend);
    let scheme = if backend.is_tls { "wss" } else { "ws" };
    masking.url(&format!("{scheme}://{}{}", backend.authority, asked.target))
}

/// What failed in an opening. `None`: a session came of it, or the client got the backend's own answer.
fn shown_error(event: &OpeningEnded, masking: &Masking<'_>) -> Option<ShownError> {
    let (cause, phase) = event.termination?;
    let section = match phase {
        Phase::Head => "inbound",
        Phase::Dial | Phase::Answer | Phase::Relay => "backend",
    };
    let OpeningError { source, reason, unanswered, by: _ } = opening_error(cause);
    let told = |message: &str| ShownError {
        source: source.name(),
        reason,
        message: message.to_owned(),
        section,
        scope: "",
    };
    match &event.failure {
        Some(OpeningFailure::Policy(error)) => {
            let secrets = event.request.as_ref().map(|request| Secrets::of(request, None, masking));
            let LastError { source, reason, message, scope, section, path: _, policy_id: _ } = &**error;
            let message = secrets.unwrap_or_default().masked(message);
            Some(ShownError { source, reason, message, section, scope })
        }
        Some(OpeningFailure::Key(fault)) => {
            Some(ShownError { reason: fault.reason(), ..told(fault.message()) })
        }
        Some(OpeningFailure::Refused(message)) => Some(told(message)),
        None => unanswered.map(told),
    }
}

/// How an opening that ended for `cause` is described. One that ended for what occurs only after the 101 is a bug.
fn opening_error(cause: Cause) -> OpeningError {
    let of_bug = || Cause::Bug.opening_error().expect("it occurs in every phase");
    cause.opening_error().unwrap_or_else(of_bug)
}

/// Every failure, in order: expressions that threw, and what ended the opening, unless that is the last of them.
fn errors_json(records: &PolicyRecords, last: Option<&ShownError>, elapsed_ms: i64) -> Json {
    let mut errors = Vec::new();
    for PolicyRecord { said, is_cut } in records.kept() {
        if let PolicySaid::Threw { step, thrown } = said {
            errors.push(thrown_json(step.as_ref(), thrown, *is_cut));
        }
    }
    if let Some(ShownError { source, reason, message, section, scope }) = last {
        let is_same = |thrown: &serde_json::Value| {
            *reason == THREW
                && thrown["source"] == *source
                && thrown["section"] == *section
                && thrown["scope"] == *scope
        };
        match errors.last_mut().filter(|thrown| is_same(thrown)) {
            Some(thrown) => thrown["elapsed"] = elapsed_ms.into(),
            None => errors.push(serde_json::json!({
                "source": source,
                "reason": reason,
                "message": message,
                "section": section,
                "scope": scope,
                "elapsed": elapsed_ms,
            })),
        }
    }
    json_array(errors)
}

/// The reason of an expression that threw, as in `context.LastError.Reason`.
const THREW: &str = "ExpressionValueEvaluationFailure";

fn thrown_json(step: Option<&StepName>, thrown: &ThrownAt, is_cut: bool) -> serde_json::Value {
    let ThrownAt { document, line, column, exception, message } = thrown;
    let mut json = serde_json::json!({
        "source": step.map_or("", |step| step.policy),
        "reason": THREW,
        "message": message,
        "exception": exception,
        "document": &**document,
        "line": line,
        "column": column,
        "section": step.map_or("", |step| step.section),
        "scope": step.map_or("", |step| step.scope),
        "path": step.map_or("", |step| &step.path),
    });
    if is_cut {
        json["truncated"] = true.into();
    }
    json
}

/// What the policies said, in order; how many records had no room stands at the end.
fn trace_records_json(records: &PolicyRecords) -> Json {
    let mut traced: Vec<_> = records.kept().iter().map(record_json).collect();
    if records.dropped() > 0 {
        traced.push(serde_json::json!({ "dropped": records.dropped() }));
    }
    json_array(traced)
}

fn record_json(PolicyRecord { said, is_cut }: &PolicyRecord) -> serde_json::Value {
    let mut json = match said {
        PolicySaid::Traced(line) => {
            let named = |(name, value): &(Arc<str>, String)| (name.to_string(), value.as_str().into());
            let metadata: serde_json::Map<_, serde_json::Value> = line.metadata.iter().map(named).collect();
            let mut json = serde_json::json!({ "source": &*line.source, "message": line.message });
            if !metadata.is_empty() {
                json["metadata"] = metadata.into();
            }
            json
        }
        PolicySaid::Threw { step, thrown } => thrown_json(step.as_ref(), thrown, *is_cut),
    };
    json["severity"] = said.severity().name().into();
    if *is_cut {
        json["truncated"] = true.into();
    }
    json
}

/// `None`, which is null, for an empty one.
fn json_array(values: Vec<serde_json::Value>) -> Json {
    Json(if values.is_empty() { None } else { Some(serde_json::Value::Array(values).to_string()) })
}

#[cfg(test)]
mod tests;
