//! How a run goes through sections and scopes.

use super::scene::Scene;

const MARK: &str = "<set-header name=\"Trail\" exists-action=\"append\"><value>";
const END: &str = "</value></set-header>";

fn mark(name: &str) -> String {
    format!("{MARK}{name}{END}")
}

#[test]
fn the_first_branch_whose_condition_holds_is_taken() {
    for (header, expected) in [("X-Kind: a", "a"), ("X-Kind: b", "b"), ("X-Kind: c", "other")] {
        let is =
            |kind| format!("@(context.Request.Headers.GetValueOrDefault(\"X-Kind\",\"\") == \"{kind}\")");
        let policies = format!(
            "<choose><when condition=\"{}\">{}</when><when condition=\"{}\">{}</when><otherwise>{}</otherwise></choose>{}",
            is("a"),
            mark("a"),
            is("b"),
            mark("b"),
            mark("other"),
            mark("end")
        );
        let asked = Scene::inbound(&policies).header(header).run().asked;
        assert!(asked.ends_with(&format!("Trail: {expected},end\n")), "{asked}");
    }
}

#[test]
fn no_branch_is_taken_where_no_condition_holds() {
    let policies =
        format!("<choose><when condition=\"@(false)\">{}</when></choose>{}", mark("a"), mark("end"));
    assert!(Scene::inbound(&policies).run().asked.ends_with("Trail: end\n"));
}

#[test]
fn a_response_of_its_own_ends_the_run() {
    let outcome = Scene::inbound(
        "<return-response><set-status code=\"401\" reason=\"No\"/><set-header name=\"WWW-Authenticate\"><value>\
         @(\"Bearer realm=\"+context.Request.OriginalUrl.Host)</value></set-header></return-response>",
    )
    .run();
    assert_eq!(outcome.asked, "");
    assert_eq!(
        outcome.answered,
        "HTTP/1.1 401 No\nWWW-Authenticate: Bearer realm=gateway.example\nContent-Length: 0\nConnection: close\n\n"
    );
    let plain = Scene::inbound("<return-response/>").run();
    assert_eq!(plain.answered, "HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n");
}

#[test]
fn base_stands_where_the_broader_scope_comes_in() {
    let document = |before: &str, after: &str| {
        format!("<policies><inbound>{}<base/>{}</inbound></policies>", mark(before), mark(after))
    };
    let scene = Scene::new()
        .file(
            "policies/global.xml",
            &format!(
                "<policies><inbound>{}</inbound><backend><forward-request/></backend></policies>",
                mark("global")
            ),
        )
        .file("policies/products/starter.xml", &document("p1", "p2"))
        .file("policies/apis/chat.xml", &document("o1", "o2"));
    let trail = |scene: &Scene| {
        let asked = scene.run().asked;
        asked.rsplit_once("Trail: ").expect("a trail").1.trim().to_owned()
    };
    assert_eq!(trail(&scene), "o1,p1,global,p2,o2");
    assert_eq!(trail(&scene.clone().without_product()), "o1,global,o2");
    let alone = format!("<policies><inbound>{}</inbound></policies>", mark("alone"));
    assert_eq!(trail(&scene.file("policies/apis/chat.xml", &alone)), "alone");
}

#[test]
fn a_run_without_forwarding_sends_nothing() {
    let scene = Scene::new().file("policies/apis/chat.xml", "<policies><backend/></policies>");
    let outcome = scene.run();
    assert_eq!((outcome.asked.as_str(), outcome.answered.lines().next()), ("", Some("HTTP/1.1 200 OK")));
}

#[test]
fn the_answer_is_changed_outbound() {
    let scene = Scene::with(
        "outbound",
        "<set-header name=\"X-Answer\"><value>2</value></set-header><set-header name=\"X-Status\"><value>\
         @(context.Response.StatusCode.ToString())</value></set-header>",
    );
    assert_eq!(scene.run().answered, "passed on: 101 As It Says\nServer: b\nX-Answer: 2\nX-Status: 101\n");
    assert_eq!(
        scene.backend_answers(404, &[]).run().answered,
        "passed on: 404 As It Says\nX-Answer: 2\nX-Status: 404\n"
    );
}

#[test]
fn a_switch_whose_status_is_changed_is_a_refusal() {
    let outcome = Scene::with("outbound", "<set-status code=\"403\"/>").run();
    assert!(outcome.answered.starts_with("HTTP/1.1 403 Forbidden\n"), "{}", outcome.answered);
}

#[test]
fn an_expression_that_throws_is_a_500_that_tells_nothing() {
    let outcome =
        Scene::inbound("<set-variable name=\"x\" value=\"@(int.Parse(&quot;no&quot;))\" id=\"parse\"/>")
            .run();
    assert_eq!(
        outcome.answered,
        "HTTP/1.1 500 Internal Server Error\nContent-Type: application/json\nContent-Length: 57\nConnection: close\n\n\
         { \"statusCode\": 500, \"message\": \"Internal server error\" }"
    );
    let error = outcome.last_error.expect("an error");
    assert_eq!(
        (error.source, error.reason, error.scope, error.section, &*error.path, error.policy_id.as_deref()),
        (
            "set-variable",
            "ExpressionValueEvaluationFailure",
            "operation",
            "inbound",
            "set-variable[1]",
            Some("parse")
        )
    );
}

#[test]
fn on_error_runs_on_any_failure() {
    let on_error = "<set-status code=\"418\"/><set-header name=\"X-Why\"><value>@(context.LastError.Source + \" \" + \
                    context.LastError.Reason + \" \" + context.LastError.Section + \" \" + context.Response.StatusCode)</value></set-header>";
    let scene = Scene::with("on-error", on_error);
    for (scene, expected) in [
        (
            scene.clone().backend_is_unreachable(),
            "X-Why: forward-request BackendConnectionFailure backend 418",
        ),
        (scene.clone().backend_is_silent(), "X-Why: forward-request Timeout backend 418"),
    ] {
        let answered = scene.run().answered;
        assert!(answered.starts_with("HTTP/1.1 418 ") && answered.contains(expected), "{answered}");
    }
    let outcome = scene.run();
    assert!(outcome.answered.starts_with("passed on: 101"), "no failure, no on-error: {}", outcome.answered);
}

#[test]
fn a_failure_within_on_error_leaves_the_first_answer() {
    let scene = Scene::with(
        "on-error",
        "<set-variable name=\"x\" value=\"@(1 / (int)context.Variables[&quot;gone&quot;])\"/><set-status code=\"418\"/>",
    );
    let outcome = scene.backend_is_unreachable().run();
    assert!(outcome.answered.starts_with("HTTP/1.1 502 Bad Gateway\n"), "{}", outcome.answered);
    assert_eq!(outcome.last_error.expect("an error").source, "forward-request");
}

#[test]
fn without_documents_there_is_no_pipeline() {
    assert_eq!(Scene::new().compiled(), "");
}

#[test]
fn a_handshake_is_forwarded_once() {
    let twice = "<forward-request/><forward-request id=\"again\"/>";
    for policies in [
        format!("<limit-concurrency key=\"a\" max-count=\"5\">{twice}</limit-concurrency>"),
        "<include-fragment fragment-id=\"twice\"/>".to_owned(),
    ] {
        let outcome = Scene::new()
            .file("policies/apis/chat.xml", &format!("<policies><backend>{policies}</backend></policies>"))
            .file("policies/fragments/twice.xml", &format!("<fragment>{twice}</fragment>"))
            .run();
        assert!(outcome.answered.starts_with("HTTP/1.1 500 "), "{}", outcome.answered);
        let error = outcome.last_error.expect("an error");
        assert_eq!(
            (error.source, error.reason, error.policy_id.as_deref()),
            ("forward-request", "ForwardedBefore", Some("again"))
        );
    }
}
