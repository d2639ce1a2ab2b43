//! Policies as they are written for Azure API Management: where each may stand, what is skipped, what is refused and how.

use super::scene::Scene;
use super::tokens::{keys, token};

#[test]
fn what_is_for_other_requests_is_refused_in_an_operation_and_skipped_where_it_is_inherited() {
    for name in [
        "mock-response",
        "cache-lookup",
        "cache-store",
        "cross-domain",
        "cors",
        "set-method",
        "set-body",
        "xml-to-json",
        "json-to-xml",
        "xsl-transform",
        "validate-content",
        "validate-parameters",
        "validate-headers",
        "validate-status-code",
        "jsonp",
    ] {
        for section in ["inbound", "outbound", "on-error"] {
            let policy = format!("<{name} any=\"of\"><x>@(this is not looked at)</x></{name}>");
            let document = format!(
                "<policies><{section}><base/><choose><when condition=\"@(true)\">{policy}</when></choose></{section}></policies>"
            );
            let faults = Scene::new().file("policies/apis/chat.xml", &document).faults();
            let told = format!("<{name}>; remove it: it does not apply to an opening handshake");
            assert!(faults.len() == 1 && faults[0].contains(&told), "{name} in {section}: {faults:?}");
            for file in ["policies/global.xml", "policies/products/starter.xml"] {
                let scene = Scene::new().file(file, &document);
                let notes = scene.notes();
                let told = format!("<{name}>: skipped: it does not apply to onHandshake");
                assert!(
                    notes.len() == 1 && notes[0].starts_with(file) && notes[0].ends_with(&told),
                    "{name} in {section}: {notes:?}"
                );
                assert!(scene.run().answered.starts_with("passed on: 101"), "{name} in {section}");
            }
        }
    }
}

#[test]
fn policies_that_ringgate_does_not_have_are_named() {
    for name in [
        "validate-azure-ad-token",
        "validate-client-certificate",
        "get-authorization-context",
        "authentication-certificate",
        "authentication-managed-identity",
        "proxy",
        "find-and-replace",
        "redirect-content-urls",
        "retry",
        "wait",
        "cache-lookup-value",
        "cache-store-value",
        "cache-remove-value",
        "send-request",
        "send-one-way-request",
        "log-to-eventhub",
        "send-service-bus-message",
        "emit-metric",
        "publish-to-dapr",
        "invoke-dapr-binding",
    ] {
        for file in ["policies/global.xml", "policies/products/starter.xml", "policies/apis/chat.xml"] {
            let document =
                format!("<policies><inbound><{name} any=\"of\"><x/></{name}></inbound></policies>");
            let faults = Scene::new().file(file, &document).faults();
            let told = format!(
                "<{name}>; remove it: ringgate does not have this policy of Azure API Management yet"
            );
            assert!(faults.len() == 1 && faults[0].contains(&told), "{name}: {faults:?}");
        }
    }
}

#[test]
fn each_policy_has_its_sections_and_its_id() {
    const INBOUND: [bool; 4] = [true, false, false, false];
    const BEFORE: [bool; 4] = [true, true, false, false];
    const ANYWHERE: [bool; 4] = [true; 4];
    let jwt = " header-name=\"A\"><issuer-signing-keys><key>MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=</key>\
               </issuer-signing-keys></validate-jwt>";
    // Inbound, backend, outbound, on-error.
    for (name, rest, sections) in [
        ("authentication-basic", " username=\"u\" password=\"p\"/>", INBOUND),
        (
            "check-header",
            " name=\"A\" failed-check-httpcode=\"400\" failed-check-error-message=\"m\" ignore-case=\"true\"/>",
            INBOUND,
        ),
        ("choose", "><when condition=\"@(true)\"/></choose>", ANYWHERE),
        ("forward-request", "/>", [false, true, false, false]),
        ("include-fragment", " fragment-id=\"f\"/>", ANYWHERE),
        ("ip-filter", " action=\"allow\"><address>::1</address></ip-filter>", INBOUND),
        ("limit-concurrency", " key=\"a\" max-count=\"1\"/>", ANYWHERE),
        ("quota", " calls=\"1\" renewal-period=\"300\"/>", INBOUND),
        ("quota-by-key", " calls=\"1\" renewal-period=\"300\" counter-key=\"a\"/>", INBOUND),
        ("rate-limit", " calls=\"1\" renewal-period=\"300\"/>", INBOUND),
        ("rate-limit-by-key", " calls=\"1\" renewal-period=\"300\" counter-key=\"a\"/>", INBOUND),
        ("return-response", "/>", ANYWHERE),
        ("rewrite-uri", " template=\"/\"/>", INBOUND),
        ("set-backend-service", " base-url=\"ws://b\"/>", BEFORE),
        ("set-header", " name=\"A\"><value>1</value></set-header>", ANYWHERE),
        ("set-query-parameter", " name=\"a\"><value>1</value></set-query-parameter>", BEFORE),
        ("set-status", " code=\"200\"/>", ANYWHERE),
        ("set-variable", " name=\"a\" value=\"1\"/>", ANYWHERE),
        ("trace", " source=\"a\"><message>m</message></trace>", ANYWHERE),
        ("validate-jwt", jwt, INBOUND),
    ] {
        for (section, is_allowed) in ["inbound", "backend", "outbound", "on-error"].into_iter().zip(sections)
        {
            let policy = format!("<{name} id=\"mine\"{rest}");
            let faults = Scene::new()
                .file(
                    "policies/products/starter.xml",
                    &format!("<policies><{section}>{policy}</{section}></policies>"),
                )
                .file("policies/fragments/f.xml", "<fragment/>")
                .faults();
            assert_eq!(faults.is_empty(), is_allowed, "{policy} in {section}: {faults:?}");
            if !is_allowed {
                assert!(
                    faults.len() == 1 && faults[0].contains("; move it: it may stand in "),
                    "{policy}: {faults:?}"
                );
            }
        }
    }
}

/// Why a handshake failed, as on-error sees it: source, reason and message.
fn last_error(scene: Scene, inbound: &str) -> String {
    let parts = ["Source", "Reason", "Message", "Section", "Scope", "PolicyId"];
    let parts: Vec<String> = parts.iter().map(|part| format!("context.LastError.{part}")).collect();
    let document = format!(
        "<policies><inbound><base/>{inbound}</inbound><on-error><set-header name=\"X-Error\"><value>\
         @(string.Join(\"|\", {}))</value></set-header></on-error></policies>",
        parts.join(", ")
    );
    let answered = scene.file("policies/apis/chat.xml", &document).run().answered;
    let error = answered.split_once("X-Error: ").and_then(|(_, rest)| rest.split_once('\n'));
    error.unwrap_or_else(|| panic!("{inbound}: {answered}")).0.to_owned()
}

#[test]
fn on_error_sees_each_reason_of_the_catalogue() {
    const LIMIT: &str = "id=\"mine\" calls=\"0\" renewal-period=\"300\"";
    let header = "<check-header id=\"mine\" name=\"X-One\" failed-check-httpcode=\"400\" failed-check-error-message=\"No\" \
                  ignore-case=\"false\"><value>2</value></check-header>";
    let by_key = |name: &str| format!("<{name} {LIMIT} counter-key=\"a\"/>");
    let filter = |action| {
        format!(
            "<ip-filter id=\"mine\" action=\"{action}\"><address>192.0.2.{}</address></ip-filter>",
            if action == "allow" { 8 } else { 7 }
        )
    };
    let inbound = "|inbound|operation|mine";
    for (policy, expected) in [
        (
            header.to_owned(),
            "check-header|HeaderValueNotAllowed|Header X-One value of 1 is not allowed. Access denied.",
        ),
        (
            header.replace("X-One", "X-Two"),
            "check-header|HeaderNotFound|Header X-Two was not found in the request. Access denied.",
        ),
        (
            filter("allow"),
            "ip-filter|CallerIpNotAllowed|Caller IP address 192.0.2.7 is not allowed. Access denied.",
        ),
        (filter("forbid"), "ip-filter|CallerIpBlocked|Caller IP address is blocked. Access denied."),
        (format!("<rate-limit {LIMIT}/>"), "rate-limit|RateLimitExceeded|Rate limit is exceeded"),
        (by_key("rate-limit-by-key"), "rate-limit-by-key|RateLimitExceeded|Rate limit is exceeded"),
        (
            by_key("quota-by-key"),
            "quota-by-key|QuotaExceeded|Out of call volume quota. Quota will be replenished in 00:05:00.",
        ),
        (
            "<set-variable id=\"mine\" name=\"a\" value=\"@(context.User.Id)\"/>".to_owned(),
            "set-variable|ExpressionValueEvaluationFailure|Expression evaluation failed. ",
        ),
    ] {
        let seen = last_error(Scene::new().subscribed("ann", ""), &policy);
        assert!(seen.starts_with(expected) && seen.ends_with(inbound), "{policy}: {seen}");
    }
    let quota = format!("<policies><inbound><quota {LIMIT}/></inbound></policies>");
    let quota = Scene::new().file("policies/products/starter.xml", &quota).subscribed("ann", "");
    assert_eq!(
        last_error(quota, ""),
        "quota|QuotaExceeded|Out of call volume quota. Quota will be replenished in 00:05:00.|inbound|product|mine"
    );
    let unreachable = last_error(Scene::new().backend_is_unreachable(), "");
    assert_eq!(
        unreachable,
        "forward-request|BackendConnectionFailure|the backend cannot be reached|backend|global|"
    );
    let silent = last_error(Scene::new().backend_is_silent(), "");
    assert_eq!(silent, "forward-request|Timeout|the backend did not answer in time|backend|global|");
}

#[test]
fn on_error_sees_each_reason_of_a_token() {
    let good = r#"{"aud":"chat","iss":"me","exp":2000,"role":"a"}"#;
    let of = |payload: &str| format!("Authorization: Bearer {}", token(payload));
    let unknown = "eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
    for (line, expected) in [
        ("X-Two: 1".to_owned(), "TokenNotPresent|JWT not present."),
        ("Authorization: Bearer x".to_owned(), "JwtInvalid|"),
        (format!("{}!", of(good)), "JwtInvalid|"),
        (of(&good.replace("\"exp\":2000,", "")), "JwtInvalid|"),
        (format!("Authorization: Bearer {unknown}"), "TokenSignatureKeyNotFound|"),
        (format!("{}A", of(good)), "TokenSignatureInvalid|"),
        (of(&good.replace("chat", "other")), "TokenAudienceNotAllowed|"),
        (of(&good.replace("me", "you")), "TokenIssuerNotAllowed|"),
        (of(&good.replace("2000", "1000")), "TokenExpired|"),
        (of(&good.replace("role", "roles")), "TokenClaimNotFound|"),
        (of(&good.replace("\"a\"", "\"b\"")), "TokenClaimValueNotAllowed|"),
    ] {
        let policy = format!(
            "<validate-jwt header-name=\"Authorization\">{}<audiences><audience>chat</audience></audiences><issuers>\
             <issuer>me</issuer></issuers><required-claims><claim name=\"role\"><value>a</value></claim></required-claims>\
             </validate-jwt>",
            keys()
        );
        let seen = last_error(Scene::new().at(1000).header(&line), &policy);
        assert!(seen.starts_with(&format!("validate-jwt|{expected}")), "{line}: {seen}");
    }
}

/// Texts behind `$`, and numbers and truths behind `#`, are given by an expression.
#[test]
fn attributes_that_take_expressions_do() {
    let jwt = format!(
        "<validate-jwt header-name=\"$X-Token\" failed-validation-httpcode=\"#403\" failed-validation-error-message=\"$No\" \
         require-expiration-time=\"#false\" require-scheme=\"$Bearer\" require-signed-tokens=\"#true\" clock-skew=\"#5\">{}\
         <audiences><audience>$chat</audience></audiences><issuers><issuer>$me</issuer></issuers><required-claims>\
         <claim name=\"$role\" match=\"$any\" separator=\"$,\"><value>$a</value><value>$z</value></claim></required-claims>\
         </validate-jwt>",
        keys()
    );
    let good = format!("X-Token: {}", token(r#"{"aud":"chat","iss":"me","role":"b,a"}"#));
    let header = "<check-header name=\"$X-One\" failed-check-httpcode=\"#418\" failed-check-error-message=\"$No\" \
                  ignore-case=\"#true\"><value>$A</value></check-header>";
    for (policy, line, expected) in [
        (jwt.as_str(), good.as_str(), "passed on: 101"),
        (&jwt, "X-Two: 1", "HTTP/1.1 403 "),
        (
            &jwt.replace("header-name=\"$X-Token\"", "query-parameter-name=\"$a\""),
            "X-Two: 1",
            "HTTP/1.1 403 ",
        ),
        (header, "X-Two: 1", "HTTP/1.1 418 "),
        (&header.replace(">$A<", ">$1<"), "X-Two: 1", "passed on: 101"),
        (
            "<ip-filter action=\"$forbid\"><address>$192.0.2.7</address></ip-filter>",
            "X-Two: 1",
            "HTTP/1.1 403 ",
        ),
        (
            "<rate-limit-by-key calls=\"#0\" renewal-period=\"#7\" counter-key=\"$a\"/>",
            "X-Two: 1",
            "HTTP/1.1 429 ",
        ),
        (
            "<quota-by-key calls=\"#0\" renewal-period=\"#300\" counter-key=\"$a\"/>",
            "X-Two: 1",
            "HTTP/1.1 403 ",
        ),
        (
            "<return-response><set-status code=\"#418\" reason=\"$Teapot\"/><set-body>$x</set-body></return-response>",
            "X-Two: 1",
            "HTTP/1.1 418 Teapot\nContent-Length: 1\n",
        ),
        (
            "<authentication-basic username=\"$a\" password=\"$b\"/><return-response><set-header name=\"$X\" \
             exists-action=\"$override\"><value>@(context.Request.Headers.GetValueOrDefault(\"Authorization\"))</value>\
             </set-header></return-response>",
            "X-Two: 1",
            "HTTP/1.1 200 OK\nX: Basic YTpi\n",
        ),
        (
            "<set-query-parameter name=\"$c\" exists-action=\"$append\"><value>$3</value></set-query-parameter>\
             <rewrite-uri template=\"$/x?a=2\" copy-unmatched-params=\"#true\"/><return-response><set-body>\
             @(context.Request.Url.Path + context.Request.Url.QueryString)</set-body></return-response>",
            "X-Two: 1",
            "HTTP/1.1 200 OK\nContent-Length: 21\nConnection: close\n\n/socket/x?a=2&b=2&c=3",
        ),
    ] {
        // What it is made of is known at the handshake alone: the version of the API, which has none.
        let mut evaluated = String::new();
        let mut rest = policy;
        while let Some(at) = rest.find(['$', '#']) {
            let end = at + rest[at..].find(['"', '<']).expect("an end");
            let text = &rest[at + 1..end];
            evaluated.push_str(&rest[..at]);
            let expression = match (&rest[at..=at], text) {
                ("$", text) => format!("@(\"{text}\" + context.Api.Version)"),
                (_, "true" | "false") => format!("@({text} &amp;&amp; context.Api.Version == \"\")"),
                (_, text) => format!("@({text} + context.Api.Version.Length)"),
            };
            evaluated.push_str(&expression.replace('"', "&quot;"));
            rest = &rest[end..];
        }
        evaluated.push_str(rest);
        let outcome = Scene::inbound(&evaluated).header(line).run();
        assert!(outcome.answered.starts_with(expected), "{evaluated}: {outcome:?}");
    }
}

#[test]
fn the_time_that_a_backend_has_is_what_forward_request_says() {
    for (attributes, expected) in [
        ("", None),
        ("timeout=\"20\"", Some(20_000)),
        ("timeout='@(10 + context.Api.Version.Length)'", Some(10_000)),
        ("timeout-ms=\"1500\"", Some(1500)),
        ("timeout-ms='@(15 + context.Api.Version.Length)'", Some(15)),
        // The bounds of what an API may have.
        ("timeout=\"300\"", Some(240_000)),
        ("timeout-ms=\"1\"", Some(10)),
        (
            "continue-timeout=\"1\" http-version=\"2or1\" follow-redirects=\"true\" buffer-request-body=\"true\" \
             buffer-response=\"false\" fail-on-error-status-code=\"false\"",
            None,
        ),
    ] {
        let document = format!("<policies><backend><forward-request {attributes}/></backend></policies>");
        let outcome = Scene::new().file("policies/apis/chat.xml", &document).run();
        assert_eq!(outcome.answer_timeout_ms, expected, "{attributes}");
    }
}

#[test]
fn values_of_a_header_are_joined_or_stand_on_lines_of_their_own() {
    for (name, is_separate) in [
        ("User-Agent", true),
        ("WWW-Authenticate", true),
        ("Cookie", true),
        ("Set-Cookie", true),
        ("Warning", true),
        ("Date", true),
        ("Expires", true),
        ("If-Modified-Since", true),
        ("If-Unmodified-Since", true),
        ("Last-Modified", true),
        ("Retry-After", true),
        ("Accept", false),
        ("X-Forwarded-For", false),
    ] {
        let policy = format!(
            "<set-header name=\"{name}\"><value>a</value></set-header>\
             <set-header name=\"{name}\" exists-action=\"append\"><value>b</value><value>c</value></set-header>"
        );
        let asked = Scene::inbound(&policy).run().asked;
        let lines = if is_separate {
            format!("{name}: a\n{name}: b\n{name}: c\n")
        } else {
            format!("{name}: a,b,c\n")
        };
        assert!(asked.ends_with(&lines), "{asked}");
    }
    let parameters = "<set-query-parameter name=\"c\"><value>1</value><value>2</value></set-query-parameter>\
                      <set-query-parameter name=\"d\" exists-action=\"skip\"><value>3</value></set-query-parameter>";
    let asked = Scene::inbound(parameters).run().asked;
    assert!(asked.starts_with("/socket/room?a=1&b=2&c=1&c=2&d=3\n"), "{asked}");
}

#[test]
fn a_limit_by_key_tells_what_it_is_asked_to() {
    let document = "<policies><inbound><base/><rate-limit-by-key calls=\"1\" renewal-period=\"60\" counter-key=\"a\" \
                    retry-after-header-name=\"X-Wait\" retry-after-variable-name=\"wait\" \
                    remaining-calls-header-name=\"X-Remaining\" remaining-calls-variable-name=\"left\" \
                    total-calls-header-name=\"X-Total\"/></inbound><on-error><set-header name=\"X-Variables\"><value>\
                    @((int)context.Variables[\"wait\"] + \" \" + (int)context.Variables[\"left\"])</value></set-header>\
                    </on-error></policies>";
    let scene = Scene::new().file("policies/apis/chat.xml", document);
    let first = scene.run().answered;
    assert!(first.ends_with("X-Remaining: 0\nX-Total: 1\n"), "{first}");
    let refused = scene.after_ms(1000).run().answered;
    assert!(
        refused.contains("X-Wait: 59\nX-Variables: 59 0\nX-Remaining: 0\nX-Total: 1\n")
            && !refused.contains("Retry-After"),
        "{refused}"
    );
}
