//! Policies as they are written for Azure API Management: where each may stand, what is skipped, what is refused and how.

use super::scene::Scene;

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
            let told = format!("<{name}>: allowed is a policy that applies to onHandshake");
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
            let told =
                format!("<{name}>: allowed is a policy that ringgate has; this one of Azure API Management");
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
                assert!(faults.len() == 1 && faults[0].contains("allowed is in "), "{policy}: {faults:?}");
            }
        }
    }
}
