//! The trace of an opening as spans (`opentelemetry/proto/trace/v1`), by OpenTelemetry's semantic conventions for HTTP.
//!
//! ```text
//! GET /chat              (server)   from the accept to the end of the opening
//! ├── accept, tls, head
//! ├── policy                        routing, the key, and the policies before the dial
//! │   └── ip-filter, rate-limit…    a span for each step that ran
//! ├── dial
//! ├── GET                (client)   the request to the backend; the parent of the backend's own spans
//! └── answer                        the policies on the backend's answer, and the answer to the client
//!     └── set-header…
//! ```
//!
//! Not here: what is masked in the row that the attributes are made of (`rows`).

use super::protobuf::Message;
use super::values::{AnyValue, Origin, attribute};
use crate::head::trace_context::SpanId;
use crate::observe::stages::Stage;
use crate::observe::tables::GatewayRow;
use crate::policy::records::RanStep;
use crate::telemetry::opening_trace::OpeningTrace;

/// Values of `SpanKind`.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// Values of `StatusCode`.
const STATUS_ERROR: u64 = 2;

/// The flag of `SpanFlags` that says whether the parent is known to be remote, and the one that says that it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The name of the last stage, which is not measured by itself.
const ANSWER: &str = "answer";

/// An `ExportTraceServiceRequest` with these traces.
pub(super) fn request<'t>(origin: &Origin, traces: impl Iterator<Item = &'t OpeningTrace>) -> Vec<u8> {
    origin.request(|scope| traces.for_each(|trace| write_trace(scope, trace)))
}

/// How many spans a trace has.
pub(super) fn count(trace: &OpeningTrace) -> u64 {
    let stages = Stage::ALL.into_iter().filter(|stage| trace.times.of(*stage).is_some()).count();
    let has_answer = usize::from(trace.times.of(Stage::Backend).is_some());
    (1 + stages + has_answer + trace.steps.len()) as u64
}

/// A span that is to be written.
struct Span<'s> {
    id: SpanId,
    parent: Option<SpanId>,
    is_parent_remote: bool,
    name: &'s str,
    kind: u64,
    begun_us: u64,
    ended_us: u64,
}

fn write_trace(scope: &mut Message<'_>, trace: &OpeningTrace) {
    let OpeningTrace { context, times, row, .. } = trace;
    let mut ids = Ids { opening: context.opening, count: 0 };
    let total_us = u64::from(times.total_us);
    let route = trace.api.as_ref().map(|api| format!("/{}", api.suffix));
    let name = [Some(row.method.as_str()).filter(|method| !method.is_empty()), route.as_deref()];
    let name: Vec<_> = name.into_iter().flatten().collect();
    let opening = Span {
        id: context.opening,
        parent: context.client,
        is_parent_remote: true,
        name: &if name.is_empty() { "opening".to_owned() } else { name.join(" ") },
        kind: SERVER,
        begun_us: 0,
        ended_us: total_us,
    };
    write_span(scope, trace, &opening, |span| {
        write_opening(span, trace, route.as_deref());
        if row.category.as_str() == "Erroneous" {
            write_error(span, row.last_error_message.as_str());
        }
    });
    let mut begun_us = 0;
    let (mut policy, mut answer) = (None, None);
    for stage in Stage::ALL {
        let Some(ended_us) = times.until(stage) else { continue };
        let is_request = stage == Stage::Backend;
        let id = if is_request { context.request } else { ids.next() };
        if stage == Stage::Policy {
            policy = Some((id, ended_us));
        }
        let span = Span {
            id,
            parent: Some(context.opening),
            is_parent_remote: false,
            name: if is_request { "GET" } else { stage.name() },
            kind: if is_request { CLIENT } else { INTERNAL },
            begun_us,
            ended_us,
        };
        write_span(scope, trace, &span, |span| {
            if is_request {
                write_request(span, row);
            }
        });
        begun_us = ended_us;
    }
    if times.of(Stage::Backend).is_some() {
        let id = ids.next();
        answer = Some(id);
        let ended_us = total_us.max(begun_us);
        let span = Span {
            id,
            parent: Some(context.opening),
            is_parent_remote: false,
            name: ANSWER,
            kind: INTERNAL,
            begun_us,
            ended_us,
        };
        write_span(scope, trace, &span, |_| {});
    }
    for step in &trace.steps {
        let begun_us = u64::from(step.begun_us);
        let of_policy = policy.filter(|(_, ended_us)| begun_us < *ended_us).map(|(id, _)| id);
        let span = Span {
            id: ids.next(),
            parent: of_policy.or(answer).or(Some(context.opening)),
            is_parent_remote: false,
            name: step.name.policy,
            kind: INTERNAL,
            begun_us,
            ended_us: begun_us + u64::from(step.took_us),
        };
        write_span(scope, trace, &span, |span| write_step(span, step));
    }
}

/// Ids of the spans below an opening's own. Others of the same trace are random, and so is the one that these are made of.
struct Ids {
    opening: SpanId,
    count: u64,
}

impl Ids {
    fn next(&mut self) -> SpanId {
        self.count += 1;
        // An odd factor: no two counts give the same, and none gives that of the opening.
        let id = u64::from_be_bytes(self.opening) ^ self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Zeros are no id.
        id.max(1).to_be_bytes()
    }
}

/// Writes a span; `further` writes its attributes and its status.
fn write_span(
    scope: &mut Message<'_>,
    trace: &OpeningTrace,
    span: &Span<'_>,
    further: impl FnOnce(&mut Message<'_>),
) {
    let at_ns = |micros: u64| trace.accepted_at_ns + micros * 1_000;
    // ScopeSpans: spans = 2. Span: trace_id = 1, span_id = 2, trace_state = 3, parent_span_id = 4, name = 5, kind = 6,
    // start_time_unix_nano = 7, end_time_unix_nano = 8, attributes = 9, status = 15, flags = 16.
    scope.message(2, |message| {
        message.bytes(1, &trace.context.trace);
        message.bytes(2, &span.id);
        message.text_if_any(3, &trace.state);
        if let Some(parent) = span.parent {
            message.bytes(4, &parent);
        }
        message.text(5, span.name);
        message.varint(6, span.kind);
        message.fixed64(7, at_ns(span.begun_us));
        message.fixed64(8, at_ns(span.ended_us));
        further(message);
        let is_remote = if span.is_parent_remote && span.parent.is_some() { IS_REMOTE } else { 0 };
        message.fixed32(16, u32::from(trace.context.outgoing().flags) | HAS_IS_REMOTE | is_remote);
    });
}

fn write_error(span: &mut Message<'_>, message: &str) {
    // Status: message = 2, code = 3.
    span.message(15, |status| {
        status.text_if_any(2, message);
        status.varint(3, STATUS_ERROR);
    });
}

/// The attributes of a span, as field 9.
fn put<'v>(span: &mut Message<'_>, name: &str, value: impl Into<AnyValue<'v>>) {
    attribute(span, 9, name, value);
}

fn put_text(span: &mut Message<'_>, name: &str, value: &str) {
    if !value.is_empty() {
        put(span, name, value);
    }
}

fn write_opening(span: &mut Message<'_>, trace: &OpeningTrace, route: Option<&str>) {
    let row = &trace.row;
    put_text(span, "http.request.method", row.method.as_str());
    put_text(span, "http.route", route.unwrap_or_default());
    if let Some(url) = Url::of(row.url.as_str()) {
        put(span, "url.scheme", if trace.is_secured { "https" } else { "http" });
        put(span, "url.path", url.path);
        put_text(span, "url.query", url.query);
        put_authority(span, url.authority);
    }
    put_text(span, "client.address", row.client_ip_address.as_str());
    put_text(span, "network.peer.address", row.caller_ip_address.as_str());
    if let Some((name, version)) = row.client_protocol.as_str().split_once('/') {
        put(span, "network.protocol.name", name.to_ascii_lowercase().as_str());
        put(span, "network.protocol.version", version);
    }
    if let Some(version) = row.client_tls_version.as_str().strip_prefix("TLS") {
        put(span, "tls.protocol.name", "tls");
        put(span, "tls.protocol.version", version.trim_start_matches('v'));
    }
    if let Some(status) = row.response_code {
        put(span, "http.response.status_code", i64::from(status));
    }
    // Of low cardinality: a cause of the one list.
    put_text(span, "error.type", row.cause.as_str());
    for (name, value) in [
        ("ringgate.correlation_id", &row.correlation_id),
        ("ringgate.api", &row.api_id),
        ("ringgate.api.revision", &row.api_revision),
        ("ringgate.product", &row.product_id),
        ("ringgate.subscription", &row.apim_subscription_id),
        ("ringgate.listener", &row.listener),
        ("ringgate.subprotocol", &row.subprotocol),
        ("ringgate.phase", &row.phase),
        ("ringgate.error.source", &row.last_error_source),
        ("ringgate.error.reason", &row.last_error_reason),
        ("ringgate.error.message", &row.last_error_message),
    ] {
        put_text(span, name, value.as_str());
    }
}

fn write_request(span: &mut Message<'_>, row: &GatewayRow) {
    put_text(span, "http.request.method", row.backend_method.as_str());
    put_text(span, "url.full", row.backend_url.as_str());
    if let Some(url) = Url::of(row.backend_url.as_str()) {
        put_authority(span, url.authority);
    }
    if let Some((address, port)) = row.backend_address.as_str().rsplit_once(':') {
        put(span, "network.peer.address", address.trim_matches(['[', ']']));
        if let Ok(port) = port.parse::<i64>() {
            put(span, "network.peer.port", port);
        }
    }
    put(span, "network.protocol.name", "http");
    put(span, "network.protocol.version", "1.1");
    match row.backend_response_code {
        Some(status) => {
            put(span, "http.response.status_code", i64::from(status));
            // By the conventions, 4xx is an error of who asked.
            if status >= 400 {
                put(span, "error.type", status.to_string().as_str());
                write_error(span, "");
            }
        }
        None => {
            put_text(span, "error.type", row.cause.as_str());
            write_error(span, row.last_error_message.as_str());
        }
    }
}

fn write_step(span: &mut Message<'_>, step: &RanStep) {
    put(span, "ringgate.policy.section", step.name.section);
    put(span, "ringgate.policy.scope", step.name.scope);
    put(span, "ringgate.policy.path", &*step.name.path);
    put_text(span, "ringgate.policy.outcome", &step.outcome);
    if step.has_failed {
        write_error(span, &step.outcome);
    }
}

fn put_authority(span: &mut Message<'_>, authority: &str) {
    let at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = at.map_or((authority, ""), |at| (&authority[..at], &authority[at + 1..]));
    put_text(span, "server.address", host.trim_matches(['[', ']']));
    if let Ok(port) = port.parse::<i64>() {
        put(span, "server.port", port);
    }
}

/// The parts of a URL of a row.
#[derive(Debug, PartialEq, Eq)]
struct Url<'u> {
    authority: &'u str,
    path: &'u str,
    query: &'u str,
}

impl<'u> Url<'u> {
    fn of(url: &'u str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self { authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn urls_of_rows_are_taken_apart() {
        let url = |authority, path, query| Some(Url { authority, path, query });
        for (text, parts) in [
            ("wss://gateway.example/chat/a?k=***", url("gateway.example", "/chat/a", "k=***")),
            ("ws://[::1]:8080", url("[::1]:8080", "/", "")),
            ("ws://a?b=/c", url("a", "/", "b=/c")),
            ("", None),
        ] {
            assert_eq!(Url::of(text), parts, "{text}");
        }
    }

    #[test]
    fn no_two_spans_of_an_opening_have_the_same_id() {
        for opening in [[0; 8], [0xff; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
            let mut ids = Ids { opening, count: 0 };
            let made: HashSet<_> = (0..500).map(|_| ids.next()).chain([opening]).collect();
            assert_eq!(made.len(), 501);
        }
    }
}
