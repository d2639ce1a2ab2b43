//! Telemetry by OTLP, as a receiver gets it: what a session and a refusal look like, and what becomes of it on the receiver's bad day.

use crate::support::backend::{Backend, closed_port, switching, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::log_rows::sinks_of;
use crate::support::otlp::{OtlpReceiver, Request, attributes, taken};
use crate::support::raw::{Raw, header, request};
use crate::support::{PATIENCE, TestInstance, api_file, wait_until};
use ringgate::config::parse_instance;
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::figures::Observed;
use ringgate::telemetry::otlp::Otlp;
use ringgate::telemetry::text::page;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An instance whose telemetry goes to a receiver.
struct Exporting {
    gateway: TestInstance,
    otlp: Otlp,
}

impl Exporting {
    /// With these lines below `endpoint`, and these files of a catalogue.
    fn start(receiver: SocketAddr, lines: &str, files: &[(&str, &str)]) -> Self {
        let instance = format!(
            "workers = 1\n[otlp]\nendpoint = \"http://{receiver}\"\nmetrics_interval_s = 1\n{lines}\n"
        );
        let config = parse_instance("ringgate.toml", &instance).expect("a correct file").otlp.unwrap();
        let mut otlp = Otlp::start(&config, Path::new(""), "edge", Vec::new()).expect("a thread");
        let mut sinks = sinks_of(otlp.take_sink().expect("logs or traces"));
        sinks.otlp = otlp.figures();
        let gateway = TestInstance::start_catalog_logging(&instance, files, sinks);
        otlp.observe(gateway.instance.observed());
        Self { gateway, otlp }
    }

    fn to_echo(receiver: SocketAddr, lines: &str) -> Self {
        Self::start(receiver, lines, &[("apis/t.toml", &api_file("t", tungstenite_echo(), ""))])
    }

    fn figure(&self, name: &str, signal: &str) -> u64 {
        sum(&self.gateway.instance.observed(), name, signal)
    }

    /// Opens so many sessions, one after the other, and ends them.
    fn open_sessions(&self, count: u64) {
        let before = self.gateway.terminations(Cause::Ended, Phase::Relay);
        for _ in 0..count {
            drop(Raw::open(self.gateway.address, "/t"));
        }
        self.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, before + count);
    }

    fn end(self) {
        self.gateway.end();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.otlp.end());
    }
}

/// A figure of a signal.
fn sum(observed: &Observed, name: &str, signal: &str) -> u64 {
    let figures = observed.figures();
    let figure = figures.iter().find(|figure| figure.info.name == name).expect("a figure");
    figure.series.iter().find(|series| series.labels == [("signal", signal)]).expect("a signal").sum
}

/// All records below one resource and one scope, which are checked.
fn records(request: &Request, [of_resource, of_scope, records]: [&str; 3]) -> Vec<Value> {
    let message = request.message();
    let [of_resource] = &message[of_resource].as_array().unwrap()[..] else { panic!("one resource") };
    let resource = attributes(&of_resource["resource"]);
    assert_eq!(resource["service.name"], "ringgate");
    assert_eq!(resource["ringgate.gateway"], "edge");
    assert_eq!(resource["service.instance.id"].as_str().unwrap().len(), 36);
    let [of_scope] = &of_resource[of_scope].as_array().unwrap()[..] else { panic!("one scope") };
    assert_eq!(of_scope["scope"], json!({ "name": "ringgate", "version": env!("CARGO_PKG_VERSION") }));
    of_scope[records].as_array().unwrap().clone()
}

fn log_records(request: &Request) -> Vec<Value> {
    records(request, ["resource_logs", "scope_logs", "log_records"])
}

fn spans(request: &Request) -> Vec<Value> {
    records(request, ["resource_spans", "scope_spans", "spans"])
}

/// Spans by name; each name once.
fn by_name(spans: Vec<Value>) -> BTreeMap<String, Value> {
    let count = spans.len();
    let named: BTreeMap<_, _> =
        spans.into_iter().map(|span| (span["name"].as_str().unwrap().to_owned(), span)).collect();
    assert_eq!(named.len(), count, "{:?}", named.keys());
    named
}

/// Gathers records until there are so many.
fn gather(
    receiver: &mut OtlpReceiver,
    signal: &str,
    of: fn(&Request) -> Vec<Value>,
    count: usize,
) -> Vec<Value> {
    let mut gathered = Vec::new();
    while gathered.len() < count {
        gathered.extend(of(&receiver.next(signal)));
    }
    assert_eq!(gathered.len(), count, "{gathered:#?}");
    gathered
}

const DOCUMENT: &str = "<policies><inbound><base/><set-variable name=\"v\" value=\"1\"/>\
    <choose><when condition=\"@(context.Request.Headers.ContainsKey(&quot;X-Throw&quot;))\">\
    <set-header name=\"X-W\"><value>@(throw new Exception(&quot;hush-&quot; + context.Request.Headers.GetValueOrDefault(&quot;Authorization&quot;, &quot;&quot;)))</value></set-header>\
    </when></choose></inbound><outbound><base/>\
    <set-header name=\"X-Out\"><value>1</value></set-header></outbound></policies>";

#[test]
fn a_session_comes_as_records_of_both_tables_as_a_trace_and_as_metrics() {
    let mut receiver = OtlpReceiver::taking();
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let files = [("apis/t.toml", api.as_str()), ("policies/apis/t.xml", DOCUMENT)];
    let lines = "headers = [{ name = \"x-tenant\", value = \"t 1\" }]\n\
                 attributes = [{ name = \"deployment.environment.name\", value = \"test\" }]";
    let exporting = Exporting::start(receiver.address, lines, &files);
    let mut client = Raw::connect(exporting.gateway.address);
    let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ntracestate: vendor=value\r\n");
    client.send(request("/t/room?token=secret", &fields).as_bytes());
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "").as_bytes());
    client.read_head();
    client.send(&client_frame(0x81, b"hello"));
    leg.expect(&client_frame(0x81, b"hello"));
    let close = client_frame(0x88, &close_payload(1000, "done"));
    client.send(&close);
    leg.expect(&close);
    leg.send(&server_frame(0x88, &close_payload(1000, "")));
    drop((client.read_to_end(), client, leg));
    exporting.gateway.wait_for_terminations(Cause::Closed, Phase::Relay, 1);

    // Logs.
    let first = receiver.next("logs");
    assert!(first.head.contains(&"x-tenant: t 1".to_owned()), "{:?}", first.head);
    assert!(first.head.contains(&"content-encoding: gzip".to_owned()), "{:?}", first.head);
    let of_resource = first.message()["resource_logs"][0]["resource"].clone();
    assert_eq!(attributes(&of_resource)["deployment.environment.name"], "test");
    let mut logs = log_records(&first);
    if logs.len() < 6 {
        let rest = gather(&mut receiver, "logs", log_records, 6 - logs.len());
        logs.extend(rest);
    }
    let gateway = attributes(&logs[0]);
    assert_eq!(logs[0]["event_name"], "ApiManagementGatewayLogs");
    assert_eq!((&logs[0]["severity_number"], &logs[0]["severity_text"]), (&json!(9), &json!("INFO")));
    assert_eq!(logs[0]["trace_id"], TRACE);
    assert_eq!((&gateway["ApiId"], &gateway["ResponseCode"]), (&json!("t"), &json!(101)));
    assert_eq!(gateway["IsRequestSuccess"], true);
    let url = format!("ws://{}/t/room?token=***", exporting.gateway.address);
    assert!(gateway["Url"].as_str().unwrap().ends_with("/t/room?token=***"), "{gateway:?}");
    assert!(logs[0]["body"]["string_value"].as_str().unwrap().ends_with("/t/room?token=*** 101"), "{url}");
    assert!(!gateway.contains_key("TimeGenerated") && !gateway.contains_key("TraceId"));
    let events: Vec<_> = logs[1..].iter().map(|record| attributes(record)["EventName"].clone()).collect();
    assert_eq!(events, ["arrived", "backendConnected", "established", "closing", "terminated"]);
    let terminated = attributes(&logs[5]);
    assert_eq!(logs[5]["event_name"], "ApiManagementWebSocketConnectionLogs");
    assert_eq!(terminated["CorrelationId"], gateway["CorrelationId"]);
    assert_eq!(
        (&terminated["ClientCloseCode"], &terminated["ClientCloseReason"]),
        (&json!(1000), &json!("done"))
    );
    assert_eq!(terminated["FramesFromClient"], json!({ "UTF8Message": 1, "Close": 1 }), "{terminated:?}");
    assert!(logs[0]["time_unix_nano"].as_u64() <= logs[5]["time_unix_nano"].as_u64());
    assert!(logs[0]["observed_time_unix_nano"].as_u64() >= logs[0]["time_unix_nano"].as_u64());

    // The trace.
    let spans = by_name(spans(&receiver.next("traces")));
    let names: Vec<_> = spans.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "GET",
            "GET /t",
            "accept",
            "answer",
            "choose",
            "dial",
            "forward-request",
            "head",
            "policy",
            "set-header",
            "set-variable"
        ]
    );
    let (opening, asking) = (&spans["GET /t"], &spans["GET"]);
    assert!(spans.values().all(|span| span["trace_id"] == TRACE && span["trace_state"] == "vendor=value"));
    assert_eq!((&opening["parent_span_id"], &opening["kind"]), (&json!("00f067aa0ba902b7"), &json!(2)));
    assert_eq!((&asking["parent_span_id"], &asking["kind"]), (&opening["span_id"], &json!(3)));
    for (child, parent) in [
        ("accept", "GET /t"),
        ("head", "GET /t"),
        ("policy", "GET /t"),
        ("set-variable", "policy"),
        ("choose", "policy"),
        ("forward-request", "policy"),
        ("dial", "GET /t"),
        ("answer", "GET /t"),
        ("set-header", "answer"),
    ] {
        assert_eq!(spans[child]["parent_span_id"], spans[parent]["span_id"], "{child}");
        assert_eq!(spans[child]["kind"], 1, "{child}");
        let time = |span: &str, name| spans[span][name].as_u64().unwrap();
        assert!(time(child, "start_time_unix_nano") >= time(parent, "start_time_unix_nano"), "{child}");
        assert!(time(child, "end_time_unix_nano") <= time(parent, "end_time_unix_nano"), "{child}");
    }
    assert_eq!((&opening["flags"], &asking["flags"]), (&json!(0x301), &json!(0x101)));
    let said = attributes(opening);
    for (name, value) in [
        ("http.request.method", json!("GET")),
        ("http.route", json!("/t")),
        ("url.scheme", json!("http")),
        ("url.path", json!("/t/room")),
        ("url.query", json!("token=***")),
        ("client.address", json!("127.0.0.1")),
        ("network.protocol.version", json!("1.1")),
        ("http.response.status_code", json!(101)),
        ("ringgate.api", json!("t")),
        ("ringgate.correlation_id", gateway["CorrelationId"].clone()),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    assert!(opening.get("status").is_none() && !said.contains_key("error.type"));
    let asked_for = attributes(asking);
    assert_eq!(asked_for["http.response.status_code"], 101);
    assert_eq!(asked_for["server.port"], json!(backend.address.port()));
    assert!(asked_for["url.full"].as_str().unwrap().ends_with("/room?token=***"), "{asked_for:?}");

    // What the backend was told of it.
    let parent = format!("00-{TRACE}-{}-01", asking["span_id"].as_str().unwrap());
    assert_eq!(header(&asked, "traceparent"), Some(parent.as_str()));
    assert_eq!(header(&asked, "tracestate"), Some("vendor=value"));
    assert_eq!(asked.matches("traceparent").count(), 1, "{asked}");

    // Metrics, sent when all of it was over.
    exporting.end();
    let last =
        receiver.all().into_iter().rfind(|request| request.signal == "metrics").expect("metrics at the end");
    let metrics: BTreeMap<_, _> = records(&last, ["resource_metrics", "scope_metrics", "metrics"])
        .into_iter()
        .map(|metric| (metric["name"].as_str().unwrap().to_owned(), metric))
        .collect();
    let opened = &metrics["ringgate_sessions_opened"];
    assert_eq!(opened["sum"]["data_points"][0]["as_int"], 1);
    assert_eq!(
        (&opened["sum"]["aggregation_temporality"], &opened["sum"]["is_monotonic"]),
        (&json!(2), &json!(true))
    );
    let of_api = &metrics["ringgate_api_sessions_opened"]["sum"]["data_points"][0];
    assert_eq!((&of_api["as_int"], attributes(of_api)["api"].as_str()), (&json!(1), Some("t")));
    assert_eq!(metrics["ringgate_places_taken"]["gauge"]["data_points"][0]["as_int"], 0);
    let stages = &metrics["ringgate_opening_stage_seconds"];
    assert_eq!(stages["unit"], "s");
    let heads = stages["histogram"]["data_points"]
        .as_array()
        .unwrap()
        .iter()
        .find(|point| attributes(point)["stage"] == "head");
    let heads = heads.unwrap();
    let counts = heads["bucket_counts"].as_array().unwrap();
    assert_eq!((heads["count"].as_u64(), counts.iter().filter_map(Value::as_u64).sum()), (Some(1), 1));
    assert_eq!(counts.len(), heads["explicit_bounds"].as_array().unwrap().len() + 1);
    let ours = &metrics["ringgate_otlp_records"]["sum"]["data_points"];
    let of_logs =
        ours.as_array().unwrap().iter().find(|point| attributes(point)["signal"] == "logs").unwrap();
    assert_eq!(of_logs["as_int"], 6);
}

#[test]
fn refusals_are_traced_with_their_cause_and_without_secrets() {
    let mut receiver = OtlpReceiver::taking();
    let api = api_file("t", closed_port(), "");
    let files = [("apis/t.toml", api.as_str()), ("policies/apis/t.xml", DOCUMENT)];
    let exporting = Exporting::start(receiver.address, "logs = false\nmetrics = false", &files);
    for (path, fields, status) in [
        ("/nowhere?k=hush", "", 404),
        ("/t", "", 502),
        ("/t", "X-Throw: 1\r\nAuthorization: Bearer s3cr3t-token\r\n", 500),
    ] {
        let mut client = Raw::connect(exporting.gateway.address);
        client.send(request(path, fields).as_bytes());
        assert!(client.read_head().starts_with(&format!("HTTP/1.1 {status} ")), "{path}");
    }
    exporting.gateway.wait_for_rest();
    exporting.end();
    let requests = receiver.all();
    assert!(requests.iter().all(|request| request.signal == "traces"));
    for request in &requests {
        let text = String::from_utf8_lossy(&request.bytes).into_owned();
        assert!(!text.contains("s3cr3t-token") && !text.contains("=hush"), "{text}");
    }
    let mut traces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for span in requests.iter().flat_map(spans) {
        traces.entry(span["trace_id"].as_str().unwrap().to_owned()).or_default().push(span);
    }
    assert_eq!(traces.len(), 3, "each opening has a trace of its own");
    let of_status = |status: u64| {
        let is_of = |span: &Value| attributes(span).get("http.response.status_code") == Some(&json!(status));
        let trace = traces.values().find(|spans| spans.iter().any(|span| span["kind"] == 2 && is_of(span)));
        by_name(trace.expect("a trace").clone())
    };
    let no_api = of_status(404);
    let names: Vec<_> = no_api.keys().map(String::as_str).collect();
    assert_eq!(names, ["GET", "accept", "head", "policy"]);
    assert_eq!(attributes(&no_api["GET"])["error.type"], "no_api");
    assert!(no_api["GET"].get("status").is_none(), "a client's fault is no error of the server's");
    assert!(no_api["GET"].get("parent_span_id").is_none());
    let refused = of_status(502);
    assert_eq!(attributes(&refused["GET /t"])["error.type"], "backend_refused");
    assert_eq!(refused["GET /t"]["status"]["code"], 2);
    assert!(refused.contains_key("dial") && !refused.contains_key("GET"), "{:?}", refused.keys());
    let thrown = of_status(500);
    let failed: Vec<_> =
        thrown.values().filter(|span| span["kind"] == 1 && span.get("status").is_some()).collect();
    let [failed] = &failed[..] else { panic!("one step failed: {failed:?}") };
    assert_eq!((&failed["name"], &failed["status"]["code"]), (&json!("set-header"), &json!(2)));
    let outcome = attributes(failed)["ringgate.policy.outcome"].to_string();
    assert!(outcome.contains("hush-") && outcome.contains("***"), "{outcome}");
}

#[test]
fn a_trace_that_its_client_does_not_sample_goes_on_to_the_backend_and_is_not_exported() {
    let mut receiver = OtlpReceiver::taking();
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let exporting = Exporting::start(receiver.address, "metrics = false", &[("apis/t.toml", &api)]);
    let mut client = Raw::connect(exporting.gateway.address);
    let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-00\r\n");
    client.send(request("/t", &fields).as_bytes());
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "").as_bytes());
    client.read_head();
    drop((client, leg));
    exporting.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 1);
    let parent = header(&asked, "traceparent").expect("a parent").to_owned();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"), "{parent}");
    assert!(!parent.contains("00f067aa0ba902b7"), "a span of its own: {parent}");
    exporting.end();
    let requests = receiver.all();
    assert!(requests.iter().all(|request| request.signal == "logs"));
    let logs: Vec<_> = requests.iter().flat_map(log_records).collect();
    assert_eq!((logs.len(), &logs[0]["trace_id"]), (6, &json!(TRACE)));
}

#[test]
fn a_trace_begins_where_the_client_has_none_or_one_that_is_not_valid() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, "");
    let receiver = OtlpReceiver::taking();
    let exporting = Exporting::start(
        receiver.address,
        "logs = false\nmetrics = false\ntraces_percent = 0",
        &[("apis/t.toml", &api)],
    );
    let mut begun = Vec::new();
    for fields in ["", "traceparent: 00-nonsense-01\r\ntracestate: a=b\r\n"] {
        let mut client = Raw::connect(exporting.gateway.address);
        client.send(request("/t", fields).as_bytes());
        let (leg, asked) = backend.take_request();
        let parent = header(&asked, "traceparent").expect("a parent");
        assert!(parent.len() == 55 && parent.ends_with("-02"), "{parent}");
        assert_eq!(header(&asked, "tracestate"), None, "of a trace that is not taken up");
        begun.push(parent[3..35].to_owned());
        drop((client, leg));
    }
    assert_ne!(begun[0], begun[1]);
    exporting.gateway.wait_for_rest();
    exporting.end();
}

#[test]
fn without_otlp_what_a_request_says_of_traces_is_passed_on_as_it_came_and_stands_in_its_row() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    let mut client = Raw::connect(gateway.address);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    client.send(request("/t", &format!("traceparent: {parent}\r\ntracestate: a=b\r\n")).as_bytes());
    let (mut leg, asked) = backend.take_request();
    assert_eq!(
        (header(&asked, "traceparent"), header(&asked, "tracestate")),
        (Some(parent.as_str()), Some("a=b"))
    );
    leg.send(switching(&asked, "").as_bytes());
    client.read_head();
    drop((client, leg));
    gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 1);
    let rows = gateway.end();
    assert_eq!(rows.gateway[0].trace_id.as_str(), TRACE);
}

/// A receiver that answers the first requests so, and takes all others.
fn failing(first: u32, answer: &'static str, body: &'static str) -> OtlpReceiver {
    let count = Arc::new(AtomicU32::new(0));
    OtlpReceiver::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        number if number < first => Some((answer, body.as_bytes().to_vec())),
        _ => taken(),
    })
}

const LOGS_ALONE: &str = "metrics = false\ntraces = false";

#[test]
fn a_request_is_sent_again_when_the_time_has_come_that_a_503_asks_for() {
    let mut receiver = failing(1, "503 Busy\r\nretry-after: 2", "busy");
    let exporting = Exporting::to_echo(receiver.address, LOGS_ALONE);
    exporting.open_sessions(1);
    let refused = receiver.next("logs");
    let begun = Instant::now();
    wait_until("a fault", || {
        page(&exporting.gateway.instance.observed()).contains("the receiver answers 503 (busy)")
    });
    let again = receiver.next("logs");
    assert!(begun.elapsed().as_millis() >= 1_800, "{:?}", begun.elapsed());
    assert_eq!(refused.bytes, again.bytes);
    wait_until("no fault", || !page(&exporting.gateway.instance.observed()).contains("answers 503"));
    let figures =
        ["otlp_exports", "otlp_failures", "otlp_records_lost"].map(|name| exporting.figure(name, "logs"));
    assert_eq!(figures[1..], [1, 0]);
    exporting.end();
}

#[test]
fn a_receiver_that_asks_for_a_day_is_left_alone_and_takes_everything_at_the_end() {
    let mut receiver = failing(1, "503 Busy\r\nretry-after: 86400", "busy");
    let exporting = Exporting::to_echo(receiver.address, LOGS_ALONE);
    exporting.open_sessions(1);
    receiver.next("logs");
    wait_until("a fault", || exporting.figure("otlp_failures", "logs") == 1);
    exporting.open_sessions(1);
    let observed = exporting.gateway.instance.observed();
    exporting.end();
    let sum = |name| sum(&observed, name, "logs");
    assert_eq!((sum("otlp_records"), sum("otlp_records_lost"), sum("otlp_failures")), (12, 0, 1));
    assert_eq!(receiver.all().len(), 2, "the one that was not taken, and what came meanwhile");
}

#[test]
fn what_a_receiver_refuses_is_lost_and_counted_and_not_sent_again() {
    let mut receiver = failing(1, "400 Bad Request", "no such\ntenant");
    let exporting = Exporting::to_echo(receiver.address, LOGS_ALONE);
    exporting.open_sessions(1);
    let refused = log_records(&receiver.next("logs")).len() as u64;
    wait_until("a fault", || exporting.figure("otlp_records_lost", "logs") == refused);
    let shown = page(&exporting.gateway.instance.observed());
    assert!(shown.contains("# otlp logs: the receiver answers 400 (no such tenant)"), "{shown}");
    drop(Raw::open(exporting.gateway.address, "/t"));
    exporting.gateway.wait_for_terminations(Cause::Ended, Phase::Relay, 2);
    let total = 12 - refused;
    wait_until("the others", || exporting.figure("otlp_records", "logs") == total);
    exporting.end();
}

#[test]
fn records_that_a_receiver_rejects_are_lost_and_counted() {
    // ExportLogsServiceResponse: partial_success (1) with rejected_log_records (1) = 2 and error_message (2).
    let partial = "\x0a\x0a\x08\x02\x12\x06sta\nle";
    let mut receiver = failing(1, "200 OK\r\ncontent-type: application/x-protobuf", partial);
    let exporting = Exporting::to_echo(receiver.address, LOGS_ALONE);
    exporting.open_sessions(1);
    receiver.next("logs");
    wait_until("two lost", || exporting.figure("otlp_records_lost", "logs") == 2);
    // On one line, whatever the receiver writes.
    let shown = || page(&exporting.gateway.instance.observed());
    wait_until("the matter", || shown().contains("the receiver rejected 2 of 6 records: sta le ("));
    exporting.end();
}

#[test]
fn a_receiver_that_is_away_costs_counters_and_the_end_waits_for_seconds_at_most() {
    let exporting = Exporting::to_echo(closed_port(), "");
    exporting.open_sessions(3);
    for signal in ["logs", "traces", "metrics"] {
        wait_until("a failure", || exporting.figure("otlp_failures", signal) > 0);
    }
    let observed = exporting.gateway.instance.observed();
    assert!(
        page(&observed).contains("# otlp traces: cannot connect to http://127.0.0.1:"),
        "{}",
        page(&observed)
    );
    let begun = Instant::now();
    exporting.end();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let lost = |signal| sum(&observed, "otlp_records_lost", signal);
    assert_eq!(lost("logs"), 18, "six rows of each session");
    assert!(lost("traces") >= 15, "{}", lost("traces"));
}

#[test]
fn a_receiver_that_never_answers_keeps_nobody_and_what_finds_no_room_is_dropped_and_counted() {
    let mut receiver = OtlpReceiver::start(|_| None);
    let lines = "queue_max = 64\nbatch_max = 1\ntimeout_ms = 60000";
    let exporting = Exporting::to_echo(receiver.address, lines);
    // Each has six rows; one is being sent, 64 wait.
    exporting.open_sessions(1);
    receiver.next("logs");
    exporting.open_sessions(19);
    wait_until("rows to be dropped", || exporting.figure("otlp_records_dropped", "logs") == 120 - 64 - 1);
    assert_eq!(exporting.figure("otlp_records", "logs"), 0);
    let observed = exporting.gateway.instance.observed();
    let begun = Instant::now();
    exporting.end();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let sum = |name| sum(&observed, name, "logs");
    assert_eq!(sum("otlp_records_lost") + sum("otlp_records_dropped"), 120, "each row is accounted for");
}

#[test]
fn a_receiver_that_is_slow_is_told_of_and_given_up_at_its_time() {
    let receiver = OtlpReceiver::start(|_| None);
    let exporting = Exporting::to_echo(receiver.address, &format!("{LOGS_ALONE}\ntimeout_ms = 100"));
    exporting.open_sessions(1);
    let fault = "does not answer within 100 ms (otlp.timeout_ms)";
    wait_until("a fault", || page(&exporting.gateway.instance.observed()).contains(fault));
    exporting.end();
}

#[test]
fn the_value_of_a_field_is_read_from_its_file_for_each_request_and_a_fault_of_the_file_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut receiver = OtlpReceiver::taking();
    let lines = format!("{LOGS_ALONE}\nheaders = [{{ name = \"authorization\", file = {file:?} }}]");
    let exporting = Exporting::to_echo(receiver.address, &lines);
    exporting.open_sessions(1);
    let shown = || page(&exporting.gateway.instance.observed());
    wait_until("a fault", || shown().contains("token cannot be read (no such file or directory"));
    std::fs::write(&file, "two\nlines").unwrap();
    wait_until("another fault", || shown().contains("token is not one line of visible ASCII"));
    assert!(!shown().contains("lines\n"), "{}", shown());
    std::fs::write(&file, "Bearer abc\n").unwrap();
    let request = receiver.next("logs");
    assert!(request.head.contains(&"authorization: Bearer abc".to_owned()), "{:?}", request.head);
    exporting.end();
}
