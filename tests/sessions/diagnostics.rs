//! Diagnostics by API: sampling, errors that are logged always, captured headers, progress, the verbosity of traces.

use crate::support::backend::{Backend, Pair, switching, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::log_rows::AllRows;
use crate::support::raw::{Raw, request};
use crate::support::{TestInstance, api_file, locked_api_file, wait_until};
use ringgate::observe::tables::{GatewayRow, Json};
use ringgate::session::{Cause, Phase};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// A session whose client closes, and whose echo backend closes too.
fn open_and_close(gateway: &TestInstance, path: &str) {
    let mut client = Raw::open(gateway.address, path);
    client.send(&client_frame(0x88, &close_payload(1000, "bye")));
    let _ = client.read_to_end();
}

fn refuse(gateway: &TestInstance, path: &str, status: u16) {
    let mut client = Raw::connect(gateway.address);
    client.send(request(path, "").as_bytes());
    let head = client.read_head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

/// The ids in both tables.
fn ids(rows: &AllRows) -> [BTreeSet<&str>; 2] {
    let of_gateway = rows.gateway.iter().map(|row| row.correlation_id.as_str()).collect();
    [of_gateway, rows.connections.iter().map(|row| row.correlation_id.as_str()).collect()]
}

fn left_out(gateway: &TestInstance) -> u64 {
    gateway.instance.observed().observer.left_out.load(Ordering::Relaxed)
}

#[test]
fn sampling_leaves_out_whole_connections_and_both_tables_agree() {
    let lines = "[diagnostics]\nsampling = 50\nalways_log = \"none\"";
    let backend = tungstenite_echo();
    let apis = [("t", api_file("t", backend, lines)), ("all", api_file("all", backend, ""))];
    let apis = apis.each_ref().map(|(name, file)| (*name, file.as_str()));
    let gateway = TestInstance::start_with("workers = 1", &apis);
    for _ in 0..200 {
        open_and_close(&gateway, "/t");
    }
    for _ in 0..10 {
        open_and_close(&gateway, "/all");
    }
    gateway.wait_for_rest();
    wait_until("as many rows left out as there are", || left_out(&gateway) > 0);
    // Whether all that is left out was counted, in usage too, is checked with every instance.
    let rows = gateway.end();
    let [of_gateway, of_connections] = ids(&rows);
    assert_eq!(of_gateway, of_connections);
    let of_api = |name| rows.gateway.iter().filter(|row| row.api_id.as_str() == name).count();
    assert!((50..150).contains(&of_api("t")), "{} of 200", of_api("t"));
    assert_eq!(of_api("all"), 10);
}

#[test]
fn errors_are_logged_whole_though_sampling_takes_nothing() {
    let lines = "[diagnostics]\nsampling = 0\nprogress = true\nfrontend_response_headers = [\"Upgrade\"]";
    let backend = Backend::new();
    let files = [
        ("t", api_file("t", backend.address, lines)),
        ("locked", locked_api_file("locked", backend.address, lines)),
    ];
    let files = files.each_ref().map(|(name, file)| (*name, file.as_str()));
    let gateway = TestInstance::start_with("workers = 1", &files);
    for _ in 0..3 {
        let mut good = Pair::open(gateway.address, &backend);
        good.exchange();
        good.client.finish();
        let _ = good.backend.read_to_end();
        good.backend.finish();
        let _ = good.client.read_to_end();
    }
    let Pair { mut client, backend: leg } = Pair::open(gateway.address, &backend);
    leg.reset();
    let _ = client.read_to_end();
    gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
    refuse(&gateway, "/locked", 401);
    gateway.wait_for_rest();
    wait_until("three that are left out", || left_out(&gateway) == 3);
    let rows = gateway.end();
    let statuses: Vec<_> = rows.gateway.iter().map(|row| row.response_code).collect();
    // That of the session comes with its end.
    assert_eq!(statuses.iter().flatten().copied().collect::<BTreeSet<_>>(), [101, 401].into());
    let failed = rows.gateway.iter().find(|row| row.response_code == Some(101)).unwrap();
    assert_eq!(failed.response_headers, Json(Some("{\"Upgrade\":\"websocket\"}".to_owned())));
    let events: Vec<_> = rows
        .connections
        .iter()
        .filter(|row| row.correlation_id == failed.correlation_id)
        .map(|row| row.event_name.as_str())
        .collect();
    assert_eq!(events, ["arrived", "backendConnected", "established", "closing", "terminated"]);
}

#[test]
fn an_opening_that_no_api_took_has_the_instances_setting_and_an_apis_own_comes_first() {
    let instance = "workers = 1\n[diagnostics]\nsampling = 0\nalways_log = \"none\"";
    let backend = tungstenite_echo();
    let apis = [
        ("own", api_file("own", backend, "diagnostics = { sampling = 100 }")),
        ("t", api_file("t", backend, "")),
    ];
    let apis = apis.each_ref().map(|(name, file)| (*name, file.as_str()));
    let gateway = TestInstance::start_with(instance, &apis);
    open_and_close(&gateway, "/own");
    open_and_close(&gateway, "/t");
    refuse(&gateway, "/none", 404);
    gateway.wait_for_rest();
    wait_until("two that are left out", || left_out(&gateway) == 2);
    let rows = gateway.end();
    let apis: Vec<_> = rows.gateway.iter().map(|row| row.api_id.as_str()).collect();
    assert_eq!(apis, ["own"]);
}

#[test]
fn progress_rows_tell_what_an_open_session_has_carried() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "[diagnostics]\nprogress = true");
    let mut pair = Pair::open(gateway.address, &backend);
    pair.client.send(&client_frame(0x81, b"hello"));
    pair.backend.expect(&client_frame(0x81, b"hello"));
    // Four of the opening, and two of progress at least.
    let rows = || gateway.instance.observed().observer.rows.load(Ordering::Relaxed);
    wait_until("rows of progress", || rows() >= 6);
    pair.backend.send(&server_frame(0x82, b"and"));
    pair.client.read(5);
    let seen = rows();
    wait_until("one more", || rows() >= seen + 2);
    drop(pair);
    gateway.wait_for_rest();
    let rows = gateway.end();
    let progress = rows.named("progress");
    let from_backend: Vec<_> = progress.iter().map(|row| row.messages_from_backend.unwrap()).collect();
    assert!(from_backend.is_sorted() && from_backend.first() == Some(&0) && from_backend.last() == Some(&1));
    for row in progress {
        let carried =
            (row.messages_from_client, row.bytes_from_client, row.api_id.as_str(), row.source.as_str());
        assert_eq!(carried, (Some(1), Some(11), "t", "gateway"));
        assert!(row.duration_ms.is_some() && row.cause.as_str().is_empty());
    }
}

#[test]
fn a_session_without_progress_has_no_such_rows() {
    let gateway = TestInstance::start(tungstenite_echo(), "");
    open_and_close(&gateway, "/t");
    gateway.wait_for_rest();
    assert!(gateway.end().named("progress").is_empty());
}

/// The diagnostics that capture something of each leg.
const CAPTURING: &str = "[diagnostics]\nfrontend_request_headers = [\"User-Agent\", \"X-None\", \"Sec-WebSocket-Key\"]\n\
                         frontend_response_headers = [\"X-Back\", \"content-type\"]\n\
                         backend_request_headers = [\"Host\", \"X-Forwarded-For\", \"X-Set\", \"Upgrade\"]\n\
                         backend_response_headers = [\"Server\", \"X-Back\"]";

fn headers(row: &GatewayRow) -> [Option<serde_json::Value>; 4] {
    [&row.request_headers, &row.response_headers, &row.backend_request_headers, &row.backend_response_headers]
        .map(|json| json.0.as_deref().map(|json| serde_json::from_str(json).unwrap()))
}

#[test]
fn the_headers_of_each_leg_that_diagnostics_name_stand_in_the_row() {
    let backend = Backend::new();
    let api = api_file("t", backend.address, CAPTURING);
    let document = "<policies><inbound><set-header name=\"X-Set\"><value>by policy</value></set-header></inbound>\
                    <outbound><set-header name=\"X-Back\"><value>changed</value></set-header></outbound></policies>";
    for (document, set, back) in [("", None, "as it came"), (document, Some("by policy"), "changed")] {
        let mut files = vec![("apis/t.toml", api.as_str())];
        if !document.is_empty() {
            files.push(("policies/apis/t.xml", document));
        }
        let gateway = TestInstance::start_catalog("workers = 1", &files);
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "user-agent: x/1\r\n").as_bytes());
        let (mut leg, head) = backend.take_request();
        leg.send(switching(&head, "Server: s/2\r\nX-Back: as it came\r\n").as_bytes());
        assert!(client.read_head().contains(back));
        drop((client, leg));
        gateway.wait_for_rest();
        let rows = gateway.end();
        let mut asked = serde_json::json!({
            "Host": backend.address.to_string(), "X-Forwarded-For": "127.0.0.1", "Upgrade": "websocket",
        });
        if let Some(set) = set {
            asked["X-Set"] = set.into();
        }
        let [of_request, of_response, of_asked, of_answer] = headers(&rows.gateway[0]);
        let of_request = of_request.unwrap();
        assert_eq!(of_request["User-Agent"], "x/1");
        assert_eq!(of_request.as_object().unwrap().len(), 2, "{of_request}");
        assert_eq!(of_response, Some(serde_json::json!({ "X-Back": back })));
        assert_eq!(of_asked, Some(asked));
        assert_eq!(of_answer, Some(serde_json::json!({ "Server": "s/2", "X-Back": "as it came" })));
    }
}

#[test]
fn headers_of_refusals_are_captured_as_far_as_the_opening_got() {
    let answer = "HTTP/1.1 403 No\r\nServer: s/2\r\nContent-Length: 2\r\n\r\nno";
    let refusing = Backend::new().serve(move |mut raw| {
        raw.read_head();
        raw.send(answer.as_bytes());
        let _ = raw.read_to_end();
    });
    let (asked, locked) =
        (api_file("t", refusing, CAPTURING), locked_api_file("locked", refusing, CAPTURING));
    let gateway = TestInstance::start_with("workers = 1", &[("t", &asked), ("locked", &locked)]);
    refuse(&gateway, "/t", 403);
    refuse(&gateway, "/locked", 401);
    refuse(&gateway, "/none", 404);
    gateway.wait_for_rest();
    let rows = gateway.end();
    let of = |status| rows.gateway.iter().find(|row| row.response_code == Some(status)).map(headers).unwrap();
    let [_, of_response, of_asked, of_answer] = of(403);
    assert!(of_response.is_none() && of_asked.is_some());
    assert_eq!(of_answer, Some(serde_json::json!({ "Server": "s/2" })));
    let [_, of_response, of_asked, of_answer] = of(401);
    assert_eq!(of_response, Some(serde_json::json!({ "content-type": "application/json" })));
    assert!(of_asked.is_none() && of_answer.is_none());
    assert_eq!(of(404), [None, None, None, None], "no API took it, and the instance captures nothing");
}

#[test]
fn verbosity_decides_which_traces_stand_in_the_row() {
    let trace = |severity: &str| {
        format!("<trace source=\"{severity}\" severity=\"{severity}\"><message>said</message></trace>")
    };
    let traces = ["verbose", "information", "error"].map(trace).concat();
    let document = format!("<policies><inbound>{traces}<return-response/></inbound></policies>");
    for (verbosity, expected) in [
        ("", ["verbose", "information", "error"].as_slice()),
        ("verbosity = \"verbose\"", &["verbose", "information", "error"]),
        ("verbosity = \"information\"", &["information", "error"]),
        ("verbosity = \"error\"", &["error"]),
    ] {
        let api = api_file("t", tungstenite_echo(), &format!("[diagnostics]\n{verbosity}"));
        let files = [("apis/t.toml", api.as_str()), ("policies/apis/t.xml", &document)];
        let gateway = TestInstance::start_catalog("workers = 1", &files);
        refuse(&gateway, "/t", 200);
        gateway.wait_for_rest();
        let rows = gateway.end();
        let records = rows.gateway[0].trace_records.0.clone().unwrap();
        let records: Vec<serde_json::Value> = serde_json::from_str(&records).unwrap();
        let sources: Vec<_> = records.iter().map(|record| record["source"].as_str().unwrap()).collect();
        assert_eq!(sources, expected, "{verbosity}");
    }
}
