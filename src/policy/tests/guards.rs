//! The policies that guard: cases with the exact status, fields and body, and how long what is counted counts.

use super::scene::{Outcome, Scene};

/// An error as the client gets it; `fields` stand before the connection's.
pub(super) fn error(status: &str, length: usize, message: &str, fields: &str) -> String {
    let code = &status[..3];
    format!(
        "HTTP/1.1 {status}\nContent-Type: application/json\n{fields}Content-Length: {length}\nConnection: close\n\n\
         {{ \"statusCode\": {code}, \"message\": \"{message}\" }}"
    )
}

pub(super) fn limited(seconds: u64) -> String {
    let message = format!("Rate limit is exceeded. Try again in {seconds} seconds.");
    let length = 82 + seconds.to_string().len();
    error("429 Too Many Requests", length, &message, &format!("Retry-After: {seconds}\n"))
}

pub(super) fn is_passed_on(outcome: &Outcome) -> bool {
    outcome.answered.starts_with("passed on: 101")
}

pub(super) fn reason(outcome: &Outcome) -> Option<(&'static str, &'static str, &str)> {
    outcome.last_error.as_ref().map(|error| (error.source, error.reason, error.message.as_str()))
}

/// Whether each of so many handshakes in a row is let in.
fn let_in(scene: &Scene, count: usize) -> Vec<bool> {
    (0..count).map(|_| is_passed_on(&scene.run())).collect()
}

#[test]
fn ip_filter_judges_who_connected() {
    let listed = "<address>192.0.2.7</address><address-range from=\"10.0.0.1\" to=\"10.0.0.9\"/>\
                  <address>@(context.Request.Headers.GetValueOrDefault(\"X-Address\",\"2001:db8::1\"))</address>";
    for (client, is_listed) in [
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("10.0.0.9", true),
        ("2001:db8::1", true),
        ("10.0.0.10", false),
        ("2001:db8::2", false),
    ] {
        for (action, reason_if_not) in [("allow", "CallerIpNotAllowed"), ("forbid", "CallerIpBlocked")] {
            let policy = format!("<ip-filter action=\"{action}\">{listed}</ip-filter>");
            // What a client writes of itself counts for nothing.
            let outcome = Scene::inbound(&policy).from(client).header("X-Forwarded-For: 192.0.2.7").run();
            if is_listed == (action == "allow") {
                assert!(is_passed_on(&outcome), "{action} {client}: {}", outcome.answered);
            } else {
                assert_eq!(outcome.answered, error("403 Forbidden", 45, "Forbidden", ""));
                assert_eq!(
                    reason(&outcome).map(|(source, reason, _)| (source, reason)),
                    Some(("ip-filter", reason_if_not))
                );
            }
        }
    }
    let policy = format!("<ip-filter action=\"allow\">{listed}</ip-filter>");
    let outcome = Scene::inbound(&policy).from("10.0.0.10").run();
    let message = "Caller IP address 10.0.0.10 is not allowed. Access denied.";
    assert_eq!(reason(&outcome), Some(("ip-filter", "CallerIpNotAllowed", message)));
    let outcome = Scene::inbound(&policy).from("10.0.0.10").header("X-Address: nowhere").run();
    assert!(outcome.answered.starts_with("HTTP/1.1 500 "), "{}", outcome.answered);
}

#[test]
fn rate_limit_counts_each_subscription_by_itself() {
    let scene = Scene::inbound("<rate-limit calls=\"2\" renewal-period=\"60\"/>");
    let [ann, bob] = ["ann", "bob"].map(|name| scene.clone().subscribed(name, ""));
    assert_eq!(let_in(&ann, 3), [true, true, false]);
    assert_eq!(let_in(&bob, 3), [true, true, false]);
    assert_eq!(let_in(&scene, 5), [true; 5], "without a key nobody is limited");
    let refused = ann.clone().after_ms(2_500).run();
    assert_eq!(refused.answered, limited(58));
    assert_eq!(refused.answered.len() - refused.answered.find("\n\n").unwrap() - 2, 84);
    assert_eq!(reason(&refused), Some(("rate-limit", "RateLimitExceeded", "Rate limit is exceeded")));
    assert_eq!(ann.clone().after_ms(59_999).run().answered, limited(1));
    assert_eq!(let_in(&ann.after_ms(60_000), 3), [true, true, false]);
}

#[test]
fn rate_limit_tells_what_it_is_asked_to() {
    let scene = Scene::inbound(
        "<rate-limit calls=\"2\" renewal-period=\"60\" retry-after-header-name=\"X-Wait\" \
         retry-after-variable-name=\"wait\" remaining-calls-header-name=\"X-Remaining\" remaining-calls-variable-name=\"left\" \
         total-calls-header-name=\"X-Total\"/><set-header name=\"Remaining\"><value>@(((int)context.Variables[\"left\"]).ToString())\
         </value></set-header>",
    )
    .subscribed("ann", "");
    let first = scene.run();
    assert!(first.asked.ends_with("Remaining: 1\n"), "{}", first.asked);
    assert!(first.answered.ends_with("X-Remaining: 1\nX-Total: 2\n"), "{}", first.answered);
    scene.run();
    let fields = "X-Wait: 60\nX-Remaining: 0\nX-Total: 2\n";
    let message = "Rate limit is exceeded. Try again in 60 seconds.";
    assert_eq!(scene.run().answered, error("429 Too Many Requests", 84, message, fields));
}

#[test]
fn further_limits_of_an_api_count_beside_that_of_all() {
    let policy = |inner: &str| {
        let policy = format!("<rate-limit calls=\"3\" renewal-period=\"60\">{inner}</rate-limit>");
        Scene::inbound(&policy).subscribed("ann", "")
    };
    let limit = |attributes: &str| format!("<api {attributes} calls=\"1\" renewal-period=\"60\"/>");
    assert_eq!(let_in(&policy(&limit("id=\"chat\"")), 2), [true, false]);
    assert_eq!(let_in(&policy(&limit("name=\"Chat\"")), 2), [true, false]);
    // An id counts before a name.
    assert_eq!(let_in(&policy(&limit("id=\"other\" name=\"Chat\"")), 4), [true, true, true, false]);
    let of_operation = |name: &str| {
        policy(&format!(
            "<api name=\"Chat\" calls=\"2\" renewal-period=\"60\">\
             <operation name=\"{name}\" calls=\"1\" renewal-period=\"60\"/></api>"
        ))
    };
    assert_eq!(let_in(&of_operation("onHandshake"), 2), [true, false]);
    assert_eq!(let_in(&of_operation("get"), 3), [true, true, false]);
}

#[test]
fn rate_limit_by_key_counts_each_value_wherever_it_is_used() {
    let policy =
        "<rate-limit-by-key calls=\"2\" renewal-period=\"60\" counter-key=\"@(context.Request.IpAddress)\"/>";
    let scene = Scene::inbound(policy);
    assert_eq!(let_in(&scene, 3), [true, true, false]);
    assert_eq!(let_in(&scene.clone().from("10.0.0.1"), 3), [true, true, false]);
    let refused = scene.clone().run();
    assert_eq!(reason(&refused), Some(("rate-limit-by-key", "RateLimitExceeded", "Rate limit is exceeded")));
    assert_eq!(refused.answered, limited(60));
    // A document that says the same, or another number, goes on where it stood: as after a publish.
    for (calls, expected) in [("3", [true, false]), ("2", [false, false]), ("5", [true, true])] {
        let document = format!(
            "<policies><inbound><base/>{}</inbound></policies>",
            policy.replace("calls=\"2\"", &format!("calls=\"{calls}\""))
        );
        assert_eq!(
            let_in(
                &scene
                    .clone()
                    .file("policies/global.xml", &document)
                    .file("policies/apis/chat.xml", "<policies/>"),
                2
            ),
            expected,
            "{calls}"
        );
    }
    // Another period is another counter.
    let other = policy.replace("\"60\"", "\"61\"");
    let document = format!("<policies><inbound>{other}</inbound></policies>");
    assert_eq!(let_in(&scene.file("policies/apis/chat.xml", &document), 3), [true, true, false]);
}

#[test]
fn numbers_of_a_rate_limit_by_key_may_be_expressions() {
    let scene = Scene::inbound(
        "<rate-limit-by-key calls=\"@(context.Request.Headers.ContainsKey(&quot;X-Paid&quot;) ? 3 : 1)\" \
         renewal-period=\"@(30 + 30)\" counter-key=\"all\"/>",
    );
    assert_eq!(let_in(&scene, 2), [true, false]);
    assert_eq!(let_in(&scene.clone().header("X-Paid: 1"), 3), [true, true, false]);
    let wrong =
        Scene::inbound("<rate-limit-by-key calls=\"1\" renewal-period=\"@(301)\" counter-key=\"all\"/>")
            .run();
    assert_eq!(reason(&wrong).map(|(_, reason, _)| reason), Some("ExpressionValueEvaluationFailure"));
}

#[test]
fn a_call_counts_as_much_as_it_is_said_to() {
    let scene = |attributes: &str| {
        let numbers = "calls=\"4\" renewal-period=\"60\" counter-key=\"all\"";
        Scene::inbound(&format!("<rate-limit-by-key {numbers} {attributes}/>"))
    };
    assert_eq!(let_in(&scene("increment-count=\"3\""), 2), [true, false]);
    assert_eq!(let_in(&scene("increment-count=\"2\""), 3), [true, true, false]);
    assert_eq!(let_in(&scene("increment-condition=\"false\""), 6), [true; 6]);
    assert_eq!(let_in(&scene("increment-condition=\"true\""), 5), [true, true, true, true, false]);
}

#[test]
fn what_depends_on_the_answer_is_counted_with_it() {
    let scene = Scene::inbound(
        "<rate-limit-by-key calls=\"1\" renewal-period=\"60\" counter-key=\"all\" \
         increment-condition=\"@(context.Response.StatusCode == 403)\" \
         increment-count=\"@(context.Response.Headers.ContainsKey(&quot;X-Twice&quot;) ? 2 : 1)\"/>",
    );
    // What succeeds is not counted; what fails is, and the next is refused.
    assert_eq!(let_in(&scene, 3), [true; 3]);
    let forbidden = scene.clone().backend_answers(403, &[("X-Twice", "1")]);
    assert!(forbidden.run().answered.starts_with("passed on: 403"));
    assert_eq!(scene.run().answered, limited(60));
    assert!(is_passed_on(&scene.clone().after_ms(60_000).run()));

    // However the run ends: a policy's own answer is one too.
    for refusal in [
        "<return-response><set-status code=\"403\"/></return-response>",
        "<check-header name=\"No\" failed-check-httpcode=\"403\" failed-check-error-message=\"No\" ignore-case=\"true\"/>",
    ] {
        let scene = Scene::inbound(&format!(
            "<rate-limit-by-key calls=\"1\" renewal-period=\"60\" counter-key=\"all\" \
             increment-condition=\"@(context.Response.StatusCode == 403)\"/>{refusal}"
        ));
        assert!(scene.run().answered.starts_with("HTTP/1.1 403 "));
        assert_eq!(scene.run().answered, limited(60), "{refusal}");
    }
    // An expression that throws leaves the answer as it is, and says so.
    let throwing = Scene::inbound(
        "<rate-limit-by-key calls=\"1\" renewal-period=\"60\" counter-key=\"all\" \
         increment-condition=\"@(context.Response.Headers.GetValueOrDefault(&quot;X&quot;).Length == 1)\"/>",
    );
    let outcome = throwing.run();
    assert!(is_passed_on(&outcome));
    assert!(outcome.log[0].starts_with("Error increment-condition "), "{:?}", outcome.log);
}

#[test]
fn quota_counts_each_subscription_from_its_start() {
    let document =
        "<policies><inbound><base/><quota calls=\"2\" renewal-period=\"3600\"/></inbound></policies>";
    let scene = Scene::new().file("policies/products/starter.xml", document);
    let ann = scene.clone().subscribed("ann", "start_date = 2025-01-01T00:10:00Z\n");
    let day = 1_735_689_600; // 2025-01-01T00:00:00Z
    assert_eq!(let_in(&ann.clone().at(day + 700), 3), [true, true, false]);
    let refused = ann.clone().at(day + 600 + 3600 - 1802).run();
    let message = "Out of call volume quota. Quota will be replenished in 00:30:02.";
    assert_eq!(refused.answered, error("403 Forbidden", 100, message, "Retry-After: 1802\n"));
    assert_eq!(reason(&refused), Some(("quota", "QuotaExceeded", message)));
    assert_eq!(let_in(&ann.at(day + 600 + 3600), 3), [true, true, false]);
    // Without a start, periods are those of the calendar.
    let bob = scene.clone().subscribed("bob", "");
    assert_eq!(let_in(&bob.clone().at(day + 3599), 3), [true, true, false]);
    assert_eq!(let_in(&bob.at(day + 3600), 1), [true]);
    assert_eq!(let_in(&scene, 5), [true; 5], "without a key nobody is limited");
}

#[test]
fn quota_by_key_counts_each_value_in_its_periods() {
    let quota = |attributes: &str| {
        Scene::inbound(&format!("<quota-by-key counter-key=\"@(context.Request.IpAddress)\" {attributes}/>"))
    };
    let never = quota("calls=\"2\" renewal-period=\"0\"");
    assert_eq!(let_in(&never, 3), [true, true, false]);
    assert_eq!(
        never.clone().at(9_000_000_000).run().answered,
        error("403 Forbidden", 61, "Out of call volume quota.", "")
    );
    assert_eq!(let_in(&never.from("10.0.0.1"), 3), [true, true, false]);
    let daily =
        quota("calls=\"1\" renewal-period=\"864000\" first-period-start=\"2025-01-01T12:00:00+02:00\"");
    assert_eq!(let_in(&daily.clone().at(1_735_725_600), 2), [true, false]);
    let refused = daily.clone().at(1_735_725_601).run().answered;
    assert!(refused.contains("replenished in 9.23:59:59."), "{refused}");
    assert_eq!(let_in(&daily.at(1_735_725_600 + 864_000), 2), [true, false]);
    let failures = quota(
        "calls=\"1\" renewal-period=\"300\" increment-condition=\"@(context.Response.StatusCode >= 400)\"",
    );
    assert_eq!(let_in(&failures, 3), [true; 3]);
    failures.clone().backend_answers(404, &[]).run();
    assert_eq!(let_in(&failures, 1), [false]);
}

#[test]
fn bandwidth_is_taken_and_that_it_is_not_counted_is_said() {
    let scene =
        Scene::inbound("<quota-by-key bandwidth=\"100\" renewal-period=\"300\" counter-key=\"all\"/>");
    assert_eq!(let_in(&scene, 3), [true; 3]);
    let notes = scene.notes();
    assert_eq!(
        notes,
        [
            "policies/apis/chat.xml:1:27: <quota-by-key>: bandwidth is not counted: policies see the opening handshake alone"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_guard_is_told_at_publish() {
    for (policy, told) in [
        ("<ip-filter action=\"allow\"/>", "address is missing; add an <address> or an <address-range>"),
        ("<ip-filter action=\"deny\"><address>::1</address></ip-filter>", "allow or forbid"),
        (
            "<ip-filter action=\"allow\"><address>10.0.0.0/8</address></ip-filter>",
            "10.0.0.0/8: allowed is an address such as 192.0.2.1 or 2001:db8::1; a network is written as an address-range",
        ),
        (
            "<ip-filter action=\"allow\"><address/></ip-filter>",
            "<address>; write its value into it: allowed is an address",
        ),
        (
            "<ip-filter action=\"allow\"><address>19\n2.0.2.1</address></ip-filter>",
            "address = 19\\n2.0.2.1: allowed is an address",
        ),
        (
            "<ip-filter action=\"allow\"><address-range from=\"10.0.0.1\" to=\"@(context.Request.IpAddress)\"/></ip-filter>",
            "an expression is not",
        ),
        (
            "<ip-filter action=\"allow\"><address-range from=\"10.0.0.1\" to=\"::1\"/></ip-filter>",
            "of IPv4 or of IPv6",
        ),
        (
            "<ip-filter action=\"allow\"><address-range from=\"10.0.0.2\" to=\"10.0.0.1\"/></ip-filter>",
            "does not go down",
        ),
        ("<rate-limit calls=\"1\" renewal-period=\"301\"/>", "1 to 300"),
        ("<rate-limit calls=\"@(1)\" renewal-period=\"3\"/>", "an expression is not"),
        (
            "<rate-limit calls=\"1\" renewal-period=\"3\"/><rate-limit calls=\"1\" renewal-period=\"3\"/>",
            "once in a document",
        ),
        (
            "<rate-limit calls=\"1\" renewal-period=\"3\" remaining-calls-header-name=\"Upgrade\"/>",
            "the name of a header",
        ),
        (
            "<rate-limit calls=\"1\" renewal-period=\"3\"><api calls=\"1\" renewal-period=\"3\"/></rate-limit>",
            "a name or an id",
        ),
        ("<rate-limit-by-key calls=\"1\" renewal-period=\"3\"/>", "counter-key"),
        ("<quota calls=\"1\" renewal-period=\"300\"/>", "in documents of the scopes product"),
        ("<quota-by-key calls=\"1\" renewal-period=\"299\" counter-key=\"a\"/>", "300 or more, or 0"),
        ("<quota-by-key renewal-period=\"300\" counter-key=\"a\"/>", "calls, bandwidth, or both"),
        (
            "<quota-by-key calls=\"1\" renewal-period=\"300\" counter-key=\"a\" first-period-start=\"2025-01-01\"/>",
            "a moment such as",
        ),
    ] {
        let faults = Scene::inbound(policy).faults();
        assert!(faults.len() == 1 && faults[0].contains(told), "{policy}: {faults:#?}");
    }
    let global = Scene::new().file(
        "policies/global.xml",
        "<policies><inbound><rate-limit calls=\"1\" renewal-period=\"3\"/></inbound></policies>",
    );
    assert!(
        global.faults()[0].contains("in documents of the scopes product, operation"),
        "{:?}",
        global.faults()
    );
}

#[test]
fn a_quota_of_a_subscription_may_be_renewed_as_often_as_one_likes() {
    let scene = |period: &str| {
        let quota = format!("<quota calls=\"1\" renewal-period=\"{period}\"/>");
        let document = format!("<policies><inbound><base/>{quota}</inbound></policies>");
        Scene::new().file("policies/products/starter.xml", &document).subscribed("ann", "").at(1_735_689_600)
    };
    let minute = scene("60");
    assert_eq!(let_in(&minute, 2), [true, false]);
    assert_eq!(let_in(&minute.at(1_735_689_660), 2), [true, false]);
    let never = scene("0");
    assert_eq!(let_in(&never, 2), [true, false]);
    assert_eq!(let_in(&never.at(9_000_000_000), 1), [false]);
}

#[test]
fn what_is_told_of_several_limits_is_the_least_that_is_left() {
    let scene = Scene::inbound(
        "<rate-limit calls=\"2\" renewal-period=\"60\" remaining-calls-header-name=\"X-Remaining\" \
         remaining-calls-variable-name=\"left\" total-calls-header-name=\"X-Total\">\
         <api id=\"chat\" calls=\"9\" renewal-period=\"60\"/></rate-limit>\
         <set-header name=\"Remaining\"><value>@(context.Variables[\"left\"].ToString())</value></set-header>",
    )
    .subscribed("ann", "");
    let outcome = scene.run();
    assert!(outcome.answered.ends_with("X-Remaining: 1\nX-Total: 2\n"), "{}", outcome.answered);
    assert!(outcome.asked.ends_with("Remaining: 1\n"), "{}", outcome.asked);
}

#[test]
fn further_quotas_of_an_api_count_beside_that_of_all() {
    let scene = |inner: &str| {
        let quota = format!("<quota calls=\"3\" renewal-period=\"3600\">{inner}</quota>");
        let document = format!("<policies><inbound><base/>{quota}</inbound></policies>");
        Scene::new().file("policies/products/starter.xml", &document).subscribed("ann", "")
    };
    let one = "calls=\"1\" renewal-period=\"3600\"";
    for (inner, expected) in [
        (format!("<api id=\"chat\" {one}/>"), [true, false, false, false]),
        (format!("<api name=\"Chat\" {one}/>"), [true, false, false, false]),
        (format!("<api id=\"other\" name=\"Chat\" {one}/>"), [true, true, true, false]),
        (
            format!(
                "<api id=\"chat\" bandwidth=\"1\" renewal-period=\"3600\"><operation id=\"onHandshake\" {one}/></api>"
            ),
            [true, false, false, false],
        ),
        (
            format!(
                "<api id=\"chat\" calls=\"2\" renewal-period=\"3600\"><operation name=\"get\" {one}/></api>"
            ),
            [true, true, false, false],
        ),
    ] {
        assert_eq!(let_in(&scene(&inner), 4), expected, "{inner}");
    }
}
