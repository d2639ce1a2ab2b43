//! Each policy of head and flow, with the resulting status, fields and body.

use super::scene::Scene;

const HEAD: &str = "Host: gateway.example:8080\nX-One: 1\n";

/// Returns the request to the backend after these inbound policies.
fn asked(policies: &str) -> String {
    Scene::inbound(policies).run().asked
}

/// Returns the answer to the client after these inbound policies.
fn answered(policies: &str) -> String {
    Scene::inbound(policies).run().answered
}

fn json(status: &str, length: usize, message: &str) -> String {
    let code = &status[..3];
    format!(
        "HTTP/1.1 {status}\nContent-Type: application/json\nContent-Length: {length}\nConnection: close\n\n\
         {{ \"statusCode\": {code}, \"message\": \"{message}\" }}"
    )
}

#[test]
fn check_header_lets_in_whom_it_knows() {
    let check = |values: &str, ignore| {
        format!(
            "<check-header name=\"x-key\" failed-check-httpcode=\"401\" failed-check-error-message=\"Not &quot;authorized&quot;\" \
             ignore-case=\"{ignore}\">{values}</check-header>"
        )
    };
    let values = "<value>f6dc69a089844cf6b2019bae6d36fac8</value><value>@(\"B\")</value>";
    for (lines, policy, reason) in [
        (&["X-Key: b"][..], check(values, "true"), None),
        (&["X-Key: B"], check(values, "false"), None),
        (&["X-Key: anything"], check("", "false"), None),
        (&["X-Key: b"], check(values, "false"), Some("HeaderValueNotAllowed")),
        (&["X-Key: B", "X-Key: B"], check(values, "false"), Some("HeaderValueNotAllowed")),
        (&[], check(values, "true"), Some("HeaderNotFound")),
        (&[], check("", "true"), Some("HeaderNotFound")),
    ] {
        let outcome = lines.iter().fold(Scene::inbound(&policy), |scene, line| scene.header(line)).run();
        assert_eq!(outcome.last_error.as_ref().map(|error| error.reason), reason, "{lines:?}");
        if reason.is_some() {
            assert_eq!(outcome.answered, json("401 Unauthorized", 54, "Not \\\"authorized\\\""));
        }
    }
    let error = Scene::inbound(&check("", "true")).run().last_error.expect("an error");
    assert_eq!(error.message, "Header x-key was not found in the request. Access denied.");
}

#[test]
fn set_header_changes_what_the_backend_gets() {
    for (attributes, values, expected) in [
        ("name=\"X-Two\"", "<value>2</value>", format!("{HEAD}X-Two: 2\n")),
        (
            "name=\"x-one\"",
            "<value>2</value><value>3</value>",
            "Host: gateway.example:8080\nX-One: 2,3\n".to_owned(),
        ),
        ("name=\"X-One\" exists-action=\"skip\"", "<value>2</value>", HEAD.to_owned()),
        (
            "name=\"X-One\" exists-action=\"append\"",
            "<value>2</value>",
            "Host: gateway.example:8080\nX-One: 1,2\n".to_owned(),
        ),
        ("name=\"X-One\" exists-action=\"delete\"", "", "Host: gateway.example:8080\n".to_owned()),
        (
            "name=\"@(&quot;X-&quot; + context.Api.Id)\"",
            "<value>@(context.Product.Name)</value>",
            format!("{HEAD}X-chat: Starter\n"),
        ),
        ("name=\"X-Ip\"", "<value>@(context.Request.IpAddress)</value>", format!("{HEAD}X-Ip: 192.0.2.7\n")),
    ] {
        let policy = format!("<set-header {attributes}>{values}</set-header>");
        assert_eq!(asked(&policy), format!("/socket/room?a=1&b=2\n{expected}"), "{policy}");
    }
}

#[test]
fn no_header_of_a_policy_can_end_its_line_or_be_the_handshakes() {
    for (name, value) in [
        ("X-Two", "@(\"a\\r\\nSet-Cookie: b\")"),
        ("X-Two", "@(\"a\\n\")"),
        ("X-Two", "@(\"a\\0\")"),
        ("@(\"a\\r\\nb\")", "x"),
        ("@(\"Ho\" + context.Request.Method.Substring(0,0) + \"st\")", "x"),
        ("@(\"SEC-WEBSOCKET-KEY\".ToLower())", "x"),
    ] {
        let policy = format!("<set-header name='{name}'><value>{value}</value></set-header>");
        let outcome = Scene::inbound(&policy).run();
        assert_eq!(outcome.asked, "", "{policy}");
        assert_eq!(outcome.answered, json("500 Internal Server Error", 57, "Internal server error"));
    }
}

#[test]
fn set_query_parameter_changes_the_query() {
    for (attributes, values, expected) in [
        ("name=\"a\"", "<value>x y</value>", "/socket/room?b=2&a=x%20y"),
        ("name=\"a\" exists-action=\"skip\"", "<value>x</value>", "/socket/room?a=1&b=2"),
        ("name=\"a\" exists-action=\"append\"", "<value>x</value>", "/socket/room?a=1&b=2&a=x"),
        ("name=\"a\" exists-action=\"delete\"", "", "/socket/room?b=2"),
        (
            "name=\"c\"",
            "<value>@(context.Request.Url.Query.GetValueOrDefault(\"a\",\"\") + \"\\r\\n\")</value>",
            "/socket/room?a=1&b=2&c=1%0D%0A",
        ),
    ] {
        let policy = format!("<set-query-parameter {attributes}>{values}</set-query-parameter>");
        assert_eq!(asked(&policy).lines().next(), Some(expected), "{policy}");
    }
}

#[test]
fn rewrite_uri_asks_for_another_path_below_the_backends() {
    for (attributes, expected) in [
        ("template=\"/other\"", "/socket/other?a=1&b=2"),
        ("template=\"other/\"", "/socket/other/?a=1&b=2"),
        ("template=\"/other?b=3&amp;c=4\"", "/socket/other?b=3&c=4&a=1"),
        ("template=\"/other?b=3\" copy-unmatched-params=\"false\"", "/socket/other?b=3"),
        ("template=\"/other\" copy-unmatched-params=\"false\"", "/socket/other"),
        (
            "template='@(\"/a b/\" + context.Request.Url.Query.GetValueOrDefault(\"a\",\"\"))'",
            "/socket/a%20b/1?a=1&b=2",
        ),
    ] {
        assert_eq!(
            asked(&format!("<rewrite-uri {attributes}/>")).lines().next(),
            Some(expected),
            "{attributes}"
        );
    }
    for escapes in ["'@(\"/../x\" + context.Api.Revision)'", "'@(\"/%2e%2e/x\" + context.Api.Revision)'"] {
        let outcome = Scene::inbound(&format!("<rewrite-uri template={escapes}/>")).run();
        assert_eq!(outcome.asked, "");
        assert!(outcome.answered.starts_with("HTTP/1.1 500 "), "{}", outcome.answered);
    }
}

#[test]
fn set_backend_service_sends_the_session_elsewhere() {
    for (url, backend, target) in [
        ("wss://other.example/base", "wss://other.example/base", "/base/room?a=1&b=2"),
        ("https://other.example:8443", "wss://other.example:8443", "/room?a=1&b=2"),
        (
            "@(\"ws://\" + context.Request.Url.Query.GetValueOrDefault(\"a\",\"\") + \".example/\")",
            "ws://1.example/",
            "/room?a=1&b=2",
        ),
    ] {
        let outcome = Scene::inbound(&format!("<set-backend-service base-url='{url}'/>")).run();
        assert_eq!((outcome.backend.as_str(), outcome.asked.lines().next()), (backend, Some(target)));
    }
    let outcome = Scene::inbound("<set-backend-service base-url='@(\"no \" + context.Api.Id)'/>").run();
    assert!(outcome.asked.is_empty() && outcome.answered.starts_with("HTTP/1.1 500 "));
}

#[test]
fn authentication_basic_shows_the_backend_who_it_is() {
    let policy = "<authentication-basic username=\"Aladdin\" password=\"{{secret}}\"/>";
    let scene = Scene::inbound(policy)
        .header("Authorization: Bearer x")
        .named_values("[secret]\nvalue = \"open sesame\"\nsecret = true");
    assert!(scene.run().asked.ends_with("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n"));
    assert!(!scene.compiled().contains("sesame"), "{}", scene.compiled());
}

#[test]
fn forward_request_may_take_an_error_for_one() {
    let forward = |attributes: &str| {
        let document = format!("<policies><backend><forward-request {attributes}/></backend></policies>");
        Scene::new().file("policies/apis/chat.xml", &document).backend_answers(404, &[])
    };
    assert!(forward("").run().answered.starts_with("passed on: 404"));
    let outcome = forward("fail-on-error-status-code=\"true\" timeout=\"20\"").run();
    assert_eq!(outcome.answered, json("502 Bad Gateway", 71, "The backend answered with an error."));
    let error = outcome.last_error.expect("an error");
    assert_eq!((error.source, error.reason), ("forward-request", "BackendErrorStatus"));
}

#[test]
fn fragments_stand_for_their_policies() {
    let scene = Scene::inbound("<include-fragment fragment-id=\"mark\"/><include-fragment fragment-id=\"mark\"/>").file(
        "policies/fragments/mark.xml",
        "<fragment><set-header name=\"X-F\" exists-action=\"append\"><value>{{v}}</value></set-header></fragment>",
    );
    assert!(scene.named_values("[v]\nvalue = \"1\"").run().asked.ends_with("X-F: 1,1\n"));
}

#[test]
fn trace_writes_one_line_to_the_log() {
    let policy = "<trace source=\"me\" severity=\"error\"><message>@(\"a\\nb\")</message><metadata name=\"api\" value=\"@(context.Api.Name)\"/></trace>\
                  <trace source=\"me\"><message>@(new String('x', 9000))</message></trace>";
    let log = Scene::inbound(policy).run().log;
    assert_eq!(log[0], "Error me a\\nb, api=Chat");
    assert_eq!(log[1], format!("Verbose me {}…", "x".repeat(8192)));
}

#[test]
fn return_response_takes_its_children() {
    let policy = "<return-response><set-status code=\"@(400 + 4)\" reason=\"Gone\"/><set-header name=\"X\"><value>a</value>\
                  <value>b</value></set-header><set-body>{\"x\": 1}</set-body></return-response>";
    assert_eq!(
        answered(policy),
        "HTTP/1.1 404 Gone\nX: a,b\nContent-Length: 8\nConnection: close\n\n{\"x\": 1}"
    );
    // A 204 has no body, and no length.
    assert_eq!(
        answered("<return-response><set-status code=\"204\"/><set-body>x</set-body></return-response>"),
        "HTTP/1.1 204 No Content\nConnection: close\n\n"
    );
}

#[test]
fn variables_keep_what_they_are_set_to() {
    let policy = "<set-variable name=\"n\" value=\"@(41)\"/><set-variable name=\"t\" value=\" text \"/>\
                  <set-header name=\"X-V\"><value>@(context.Variables.GetValueOrDefault<int>(\"n\") + 1 + (string)context.Variables[\"t\"])</value></set-header>";
    assert!(asked(policy).ends_with("X-V: 42text\n"), "{}", asked(policy));
}

#[test]
fn the_server_of_an_answer_is_not_deleted_however_it_is_named() {
    for (attributes, value) in [
        ("name='@(\"Server\" + context.Api.Version)' exists-action=\"delete\"", ""),
        ("name=\"Server\" exists-action='@(\"delete\" + context.Api.Version)'", ""),
        ("name=\"Server\"", "<value>@(context.User?.Id)</value>"),
    ] {
        let policy = format!("<set-header {attributes}>{value}</set-header>");
        let answered = Scene::with("outbound", &policy).run().answered;
        let is_kept = answered.contains("Server: b\n") || !answered.starts_with("passed on: 101");
        assert!(is_kept, "{attributes}: {answered}");
    }
}

#[test]
fn what_a_time_out_or_a_version_of_http_comes_to_on_a_handshake_is_said() {
    let notes = |attributes: &str| {
        let document = format!("<policies><backend><forward-request {attributes}/></backend></policies>");
        Scene::new().file("policies/apis/chat.xml", &document).notes()
    };
    let note = |text: &str| vec![format!("policies/apis/chat.xml:1:20: <forward-request>: {text}")];
    for attributes in
        ["timeout=\"240\"", "timeout-ms=\"240000\"", "http-version=\"2or1\"", "timeout=\"@(500)\""]
    {
        assert_eq!(notes(attributes), Vec::<String>::new(), "{attributes}");
    }
    let shortened = note("a time-out of more than 240 s is one of 240 s");
    assert_eq!((notes("timeout=\"300\""), notes("timeout-ms=\"240001\"")), (shortened.clone(), shortened));
    assert_eq!(
        notes("http-version=\"2\""),
        note("http-version has no effect: an opening handshake is HTTP/1.1")
    );
}
