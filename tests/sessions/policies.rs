//! Policies over sockets: the backend's and the client's view, and the cost where there are none.

use crate::support::backend::{Backend, closed_port, switching, tungstenite_echo};
use crate::support::frames::client_frame;
use crate::support::handshake::without_date;
use crate::support::raw::{Raw, header, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use crate::support::{TestInstance, api_file, key_hash, locked_api_file};
use ringgate::observe::tables::Json;
use ringgate::session::{Cause, Phase};
use rustix::process::Signal;
use std::net::SocketAddr;

fn gateway(backend: SocketAddr, document: &str) -> TestInstance {
    gateway_with("", backend, &[("policies/apis/t.xml", document)])
}

fn gateway_with(lines: &str, backend: SocketAddr, documents: &[(&str, &str)]) -> TestInstance {
    let api = api_file("t", backend, lines);
    let mut files = vec![("apis/t.toml", api.as_str())];
    files.extend_from_slice(documents);
    TestInstance::start_catalog("workers = 1", &files)
}

fn ask(gateway: &TestInstance, path: &str, lines: &str) -> Raw {
    let mut client = Raw::connect(gateway.address);
    client.send(request(path, lines).as_bytes());
    client
}

/// The answer to a request, head and body, without what differs from run to run.
fn answer(gateway: &TestInstance, path: &str, lines: &str) -> String {
    let mut client = ask(gateway, path, lines);
    String::from_utf8(client.read_to_end().0).unwrap()
}

#[test]
fn the_backend_sees_the_request_as_policies_made_it() {
    let backend = Backend::new();
    let gateway = gateway(
        backend.address,
        "<policies><inbound><base/>\
           <set-header name=\"Authorization\" exists-action=\"delete\"/>\
           <set-header name=\"X-Caller\"><value>@(context.Request.IpAddress + \" \" + context.Api.Path)</value></set-header>\
           <set-query-parameter name=\"subscription-key\" exists-action=\"delete\"/>\
           <set-query-parameter name=\"from\"><value>@(context.Request.OriginalUrl.Host)</value></set-query-parameter>\
           <rewrite-uri template=\"/rooms/1\"/>\
         </inbound></policies>",
    );
    let lines = "Authorization: Bearer secret\r\nX-Forwarded-For: 10.0.0.1\r\nX-Other: kept\r\n";
    let mut client = ask(&gateway, "/t/room?a=1&subscription-key=", lines);
    let (mut leg, asked) = backend.take_request();
    assert!(asked.starts_with("GET /rooms/1?a=1&from=gateway.example HTTP/1.1\r\n"), "{asked}");
    assert_eq!(header(&asked, "Authorization"), None, "{asked}");
    assert_eq!(header(&asked, "X-Caller"), Some("127.0.0.1 t"), "{asked}");
    assert_eq!(header(&asked, "X-Other"), Some("kept"), "{asked}");
    assert_eq!(header(&asked, "X-Forwarded-For"), Some("10.0.0.1, 127.0.0.1"), "{asked}");
    leg.send(switching(&asked, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop((client, leg));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_client_cannot_hide_what_policies_set_behind_connection() {
    let backend = Backend::new();
    let gateway = gateway(
        backend.address,
        "<policies><inbound><set-header name=\"X-User\"><value>@(context.Request.Headers.GetValueOrDefault(\"X-User\", \
         \"nobody\"))</value></set-header></inbound></policies>",
    );
    let mut client = Raw::connect(gateway.address);
    let hiding =
        request("/t", "X-User: admin\r\n").replace("Connection: Upgrade", "Connection: Upgrade, X-User");
    client.send(hiding.as_bytes());
    let (leg, asked) = backend.take_request();
    assert_eq!(header(&asked, "X-User"), Some("nobody"), "{asked}");
    drop((client, leg));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_refusal_by_policy_reaches_no_backend() {
    let gateway = gateway(
        closed_port(),
        "<policies><inbound><check-header name=\"X-Key\" failed-check-httpcode=\"403\" \
         failed-check-error-message=\"Who are you?\" ignore-case=\"true\"><value>open</value></check-header></inbound></policies>",
    );
    assert_eq!(
        without_date(&answer(&gateway, "/t", "")),
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 48\r\nConnection: close\r\n\r\n\
         { \"statusCode\": 403, \"message\": \"Who are you?\" }"
    );
    // Nobody listens there, which shows who got through.
    assert!(answer(&gateway, "/t", "X-Key: OPEN\r\n").starts_with("HTTP/1.1 502 "));
    gateway.wait_for_terminations(Cause::RefusedByPolicy, Phase::Head, 1);
    gateway.wait_for_terminations(Cause::BackendRefused, Phase::Dial, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn on_error_answers_for_a_backend_that_fails() {
    let gateway = gateway(
        closed_port(),
        "<policies><on-error><base/><set-status code=\"503\" reason=\"Later\"/><set-header name=\"X-Why\"><value>\
         @(context.LastError.Source + \": \" + context.LastError.Reason)</value></set-header></on-error></policies>",
    );
    let answered = answer(&gateway, "/t", "");
    assert!(answered.starts_with("HTTP/1.1 503 Later\r\n"), "{answered}");
    assert_eq!(header(&answered, "X-Why"), Some("forward-request: BackendConnectionFailure"), "{answered}");
    gateway.wait_for_terminations(Cause::BackendRefused, Phase::Dial, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_silent_backend_is_a_timeout_after_the_time_that_the_policy_gives() {
    let backend = Backend::new();
    let gateway = gateway(
        backend.address,
        "<policies><backend><forward-request timeout-ms=\"50\"/></backend><on-error><return-response><set-status code=\"418\"/>\
         <set-header name=\"X-Why\"><value>@(context.LastError.Reason)</value></set-header></return-response></on-error></policies>",
    );
    let mut client = ask(&gateway, "/t", "");
    let silent = backend.take_request();
    let answered = String::from_utf8(client.read_to_end().0).unwrap();
    assert!(answered.starts_with("HTTP/1.1 418 "), "{answered}");
    assert_eq!(header(&answered, "X-Why"), Some("Timeout"), "{answered}");
    drop(silent);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn the_answer_of_the_backend_is_changed_on_its_way() {
    let backend = Backend::new();
    let gateway = gateway(
        backend.address,
        "<policies><outbound><base/><set-header name=\"Server\"><value>gateway</value></set-header>\
         <set-header name=\"X-Secret\" exists-action=\"delete\"/></outbound></policies>",
    );
    let mut client = ask(&gateway, "/t", "");
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "Server: b/1\r\nX-Secret: 1\r\n").as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!((header(&head, "Server"), header(&head, "X-Secret")), (Some("gateway"), None), "{head}");
    assert!(header(&head, "Sec-WebSocket-Accept").is_some(), "{head}");
    drop((client, leg));

    let mut client = ask(&gateway, "/t", "");
    let (mut leg, _) = backend.take_request();
    leg.send(b"HTTP/1.1 404 Not Here\r\nServer: b/1\r\nContent-Length: 4\r\n\r\nbody");
    let answered = String::from_utf8(client.read_to_end().0).unwrap();
    assert_eq!(
        without_date(&answered),
        "HTTP/1.1 404 Not Here\r\nServer: gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    );
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_switch_that_a_policy_refuses_opens_nothing() {
    let backend = Backend::new();
    let gateway = gateway(
        backend.address,
        "<policies><outbound><return-response><set-status code=\"403\"/></return-response></outbound></policies>",
    );
    let mut client = ask(&gateway, "/t", "");
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "").as_bytes());
    let answered = String::from_utf8(client.read_to_end().0).unwrap();
    assert_eq!(
        without_date(&answered),
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    // The backend is let go of.
    let _ = leg.read_to_end();
    gateway.wait_for_terminations(Cause::RefusedByPolicy, Phase::Answer, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_session_goes_where_a_policy_sends_it() {
    let echo = tungstenite_echo();
    let document = format!(
        "<policies><inbound><base/><choose><when condition=\"@(context.Request.Url.Query.GetValueOrDefault(\"to\",\"\") == \
         \"echo\")\"><set-backend-service base-url=\"ws://{echo}\"/></when></choose></inbound></policies>"
    );
    let gateway = gateway(closed_port(), &document);
    assert!(answer(&gateway, "/t", "").starts_with("HTTP/1.1 502 "));
    let mut client = ask(&gateway, "/t?to=echo", "");
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.send(&client_frame(0x81, b"hello"));
    client.expect(b"\x81\x05hello");
    drop(client);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn the_product_of_the_subscription_decides_whose_policies_apply() {
    let backend = Backend::new();
    let api = locked_api_file("t", backend.address, "products = [\"gold\", \"free\"]");
    let document = |name: &str| {
        format!(
            "<policies><inbound><base/><set-header name=\"X-Trail\" exists-action=\"append\"><value>{name}</value></set-header></inbound></policies>"
        )
    };
    let subscription = |scope: &str, key: &str| {
        format!("display_name = \"S\"\nscope = \"{scope}\"\nprimary_key_hash = \"{}\"\n", key_hash(key))
    };
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[
            ("apis/t.toml", &api),
            ("products/gold.toml", "display_name = \"Gold\""),
            ("products/free.toml", "display_name = \"Free\""),
            ("subscriptions/g.toml", &subscription("/products/gold", "g")),
            ("subscriptions/f.toml", &subscription("/products/free", "f")),
            ("subscriptions/a.toml", &subscription("/apis/t", "a")),
            ("policies/global.xml", &document("global").replace("<base/>", "")),
            ("policies/products/gold.xml", &document("gold")),
            ("policies/apis/t.xml", &document("api")),
        ],
    );
    for (key, trail) in [("g", "global,gold,api"), ("f", "global,api"), ("a", "global,api")] {
        let client = ask(&gateway, "/t", &format!("Ocp-Apim-Subscription-Key: {key}\r\n"));
        let (leg, asked) = backend.take_request();
        assert_eq!(header(&asked, "X-Trail"), Some(trail), "{asked}");
        drop((client, leg));
    }
    gateway.wait_for_rest();
    gateway.end();
}

/// A header of the answer with the value of `context.LastError`.
const SAYS_WHY: &str = "<set-header name=\"X-Why\"><value>@(string.Join(\"/\", context.LastError.Source, context.LastError.Reason, \
     context.LastError.Section, context.Response.StatusCode))</value></set-header>";

#[test]
fn on_error_answers_for_a_key_that_opens_nothing() {
    let api = locked_api_file("t", closed_port(), "");
    let document = format!(
        "<policies><inbound><base/><return-response/></inbound><on-error><base/>{SAYS_WHY}</on-error></policies>"
    );
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[("apis/t.toml", api.as_str()), ("policies/apis/t.xml", &document)],
    );
    for (lines, reason, length) in [
        ("", "SubscriptionKeyNotFound", 152),
        ("Ocp-Apim-Subscription-Key: two\r\n", "SubscriptionKeyInvalid", 143),
    ] {
        let answer = answer(&gateway, "/t", lines);
        assert!(
            answer.starts_with("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n"),
            "{answer}"
        );
        assert_eq!(
            header(&answer, "X-Why"),
            Some(&*format!("authorization/{reason}/inbound/401")),
            "{answer}"
        );
        assert_eq!(header(&answer, "Content-Length"), Some(&*length.to_string()), "{answer}");
        let challenge = header(&answer, "WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("AzureApiManagementKey realm="), "{answer}");
    }
    gateway.wait_for_terminations(Cause::Key, Phase::Head, 2);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn on_error_answers_for_an_api_that_is_full() {
    let document = format!("<policies><on-error><base/>{SAYS_WHY}</on-error></policies>");
    let gateway =
        gateway_with("connections_max = 1", tungstenite_echo(), &[("policies/apis/t.xml", &document)]);
    let mut client = ask(&gateway, "/t", "");
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    let answer = answer(&gateway, "/t", "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(header(&answer, "X-Why"), Some("connections/ConnectionLimitExceeded/backend/503"), "{answer}");
    assert!(header(&answer, "Retry-After").is_some(), "{answer}");
    gateway.wait_for_terminations(Cause::ApiFull, Phase::Head, 1);
    drop(client);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn on_error_answers_for_an_api_whose_backend_is_busy() {
    let document = format!("<policies><on-error><base/>{SAYS_WHY}</on-error></policies>");
    let backend = Backend::new();
    let files = [("policies/apis/t.xml", &*document)];
    let gateway = gateway_with("pending_openings_max = 1", backend.address, &files);
    let waiting = (ask(&gateway, "/t", ""), backend.take_request());
    let answer = answer(&gateway, "/t", "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(header(&answer, "X-Why"), Some("connections/ConnectionLimitExceeded/backend/503"), "{answer}");
    assert!(header(&answer, "Retry-After").is_some(), "{answer}");
    gateway.wait_for_terminations(Cause::BackendBusy, Phase::Head, 1);
    drop(waiting);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn what_a_client_says_makes_no_line_of_the_log() {
    const SAID: &str = "Uri.UnescapeDataString(context.Request.Headers.GetValueOrDefault(\"a\",\"\"))";
    let document = format!(
        "<policies><inbound><base/>\
         <trace source=\"guard\" severity=\"error\"><message>@({SAID})</message></trace>\
         <set-variable name=\"x\" value=\"@{{ context.Trace({SAID}); return 1; }}\"/>\
         <set-variable name=\"n\" value=\"@(int.Parse({SAID}))\"/>\
         </inbound></policies>"
    );
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""))
        .with_file("catalog/policies/apis/t.xml", &document)
        .with_log("debug");
    let served = Served::start(&configuration);
    let mut client = Raw::connect(served.address);
    client.send(request("/t", "A: said%0Aforged%1B%5B2J\r\n").as_bytes());
    let answer = String::from_utf8(client.read_to_end().0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("said"), "{answer}");
    let mut told = Vec::new();
    while !told.iter().any(|line: &String| line.contains("ExpressionValueEvaluationFailure")) {
        told.push(served.next_said());
    }
    let of_client: Vec<&String> = told.iter().filter(|line| line.contains("forged")).collect();
    assert!(
        (2..=3).contains(&of_client.len()),
        "the two that the document asks for, and the exception: {told:#?}"
    );
    for line in of_client {
        assert!(line.contains("said\\") && line.contains("nforged"), "{line}");
        assert!(
            line.contains("a policy traces") || line.contains("an expression of a policy threw"),
            "{line}"
        );
    }
    assert!(!told.last().unwrap().contains("said"), "{told:#?}");
}

/// Traces, and throws on its line 6.
const SAYING: &str = "<policies>\n\
    <inbound>\n<base/>\n\
    <trace source=\"guard\"><message>@(\"from \" + context.Request.Headers.GetValueOrDefault(\"X-Who\", \"\"))</message>\
    <metadata name=\"api\" value=\"@(context.Api.Id)\"/></trace>\n\
    <set-variable name=\"key\" value=\"{{key}}\"/>\n\
    <set-variable name=\"n\" value=\"@(context.Request.Headers.ContainsKey(&quot;X-Throw&quot;)\
    ? throw new Exception(&quot;no use for &quot; + context.Variables[&quot;key&quot;]) : 1)\"/>\n\
    </inbound></policies>";

const SAYING_KEY: &str = "[key]\nvalue = \"hush-hush\"\nsecret = true\n";

#[test]
fn traces_and_exceptions_of_policies_stand_in_the_row_of_the_opening() {
    let backend = Backend::new();
    let documents = [("policies/apis/t.xml", SAYING), ("named-values.toml", SAYING_KEY)];
    let gateway = gateway_with("", backend.address, &documents);
    let mut client = ask(&gateway, "/t", "X-Who: one\r\n");
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "").as_bytes());
    client.read_head();
    drop((client, leg));
    assert!(answer(&gateway, "/t", "X-Who: two\r\nX-Throw: 1\r\n").starts_with("HTTP/1.1 500 "));
    gateway.wait_for_rest();
    let rows = gateway.end().gateway;
    let json = |json: &Json| -> serde_json::Value {
        serde_json::from_str(json.0.as_deref().unwrap_or("null")).expect("JSON")
    };
    let traced = |who: &str| {
        serde_json::json!({
            "source": "guard", "severity": "verbose", "message": format!("from {who}"), "metadata": { "api": "t" }
        })
    };
    let mut thrown = serde_json::json!({
        "source": "set-variable", "reason": "ExpressionValueEvaluationFailure", "message": "no use for ***",
        "exception": "Exception", "document": "policies/apis/t.xml", "line": 6, "column": 91,
        "section": "inbound", "scope": "operation", "path": "set-variable[2]",
    });
    assert_eq!(json(&rows[0].trace_records), serde_json::json!([traced("one")]), "a session came of it");
    assert_eq!(json(&rows[0].errors), serde_json::Value::Null);
    let mut errors = json(&rows[1].errors);
    assert!(errors[0]["elapsed"].take().is_number() && errors.as_array().unwrap().len() == 1, "{errors}");
    thrown["elapsed"] = serde_json::Value::Null;
    assert_eq!(errors, serde_json::json!([thrown]));
    thrown.as_object_mut().unwrap().remove("elapsed");
    thrown["severity"] = "error".into();
    assert_eq!(json(&rows[1].trace_records), serde_json::json!([traced("two"), thrown]));
    let message = rows[1].last_error_message.as_str();
    assert!(message.ends_with("Exception: no use for ***"), "{message}");
}

#[test]
fn an_exception_of_a_policy_is_one_warning_a_minute_that_says_where() {
    let documents = [("catalog/policies/apis/t.xml", SAYING), ("catalog/named-values.toml", SAYING_KEY)];
    let api = api_file("t", closed_port(), "");
    let configuration = documents.iter().fold(Configuration::new(INSTANCE, &api), |made, (path, text)| {
        if path.ends_with(".toml") { made.with_secret_file(path, text) } else { made.with_file(path, text) }
    });
    let served = Served::start(&configuration.with_log("info"));
    for _ in 0..20 {
        let mut client = Raw::connect(served.address);
        client.send(request("/t", "X-Throw: 1\r\n").as_bytes());
        assert!(client.read_to_end().0.starts_with(b"HTTP/1.1 500 "));
    }
    served.signal(Signal::TERM);
    let told = served.said_to_the_end();
    let of_it: Vec<_> = told.iter().filter(|line| line.contains("an expression of a policy threw")).collect();
    let [first, last] = of_it[..] else { panic!("the first, and at the end a count: {told:#?}") };
    for part in [
        " WARN ",
        "api=\"t\"",
        "document=\"policies/apis/t.xml\" line=6 column=91 exception=\"Exception\" said=\"no use for ***\"",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(last.contains("place=\"policies/apis/t.xml:6\" times=19"), "{last}");
}

#[test]
fn no_policy_hides_the_client_from_the_backend() {
    let backend = Backend::new();
    for (policy, expected) in [
        ("<set-header name=\"X-Forwarded-For\" exists-action=\"delete\"/>", "127.0.0.1"),
        ("<set-header name=\"X-Forwarded-For\"><value>10.0.0.9</value></set-header>", "10.0.0.9, 127.0.0.1"),
        ("<set-header name=\"X-Forwarded-For\"><value/></set-header>", "127.0.0.1"),
    ] {
        let gateway =
            gateway(backend.address, &format!("<policies><inbound><base/>{policy}</inbound></policies>"));
        let client = ask(&gateway, "/t", "X-Forwarded-For: 10.0.0.1\r\n");
        let (leg, asked) = backend.take_request();
        assert_eq!(header(&asked, "X-Forwarded-For"), Some(expected), "{policy}: {asked}");
        drop((client, leg));
        gateway.wait_for_rest();
        gateway.end();
    }
}
