//! The expressions that are seen in real policies of Azure API Management, where they stand: in documents, spelt as there.

use super::guards::{is_passed_on, limited, reason};
use super::scene::Scene;
use super::tokens::{keys, token};

type Change = fn(Scene) -> Scene;

/// With a token of `payload` shown.
fn bearer(scene: Scene, payload: &str) -> Scene {
    scene.header(&format!("Authorization: Bearer {}", token(payload)))
}

/// The start of a real document's policies: the token that was shown, as a variable.
fn kept_token() -> String {
    format!(
        "<validate-jwt header-name=\"Authorization\" require-expiration-time=\"false\" output-token-variable-name=\"jwt\">{}\
         </validate-jwt>",
        keys()
    )
}

#[test]
fn keys_of_counters() {
    let same: Change = |scene| scene;
    let ann: Change = |scene| bearer(scene, r#"{"sub":"ann","oid":"o-1"}"#);
    let bob: Change = |scene| bearer(scene, r#"{"sub":"bob","oid":"o-2"}"#);
    let subscribed: Change = |scene| scene.subscribed("sub-1", "");
    let subject = r#"@(context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject)"#;
    let oid = r#"@(((Jwt)context.Variables["jwt"]).Claims.GetValueOrDefault("oid","anonymous"))"#;
    // Two handshakes of the first kind are one too many, and then one of the second kind is let in.
    let rows: [(u32, &str, Change, Change); 11] = [
        (1, "@(context.Request.IpAddress)", same, |scene| scene.from("10.0.0.1")),
        (2, subject, ann, bob),
        (2, subject, same, bob),
        (
            3,
            r#"@(context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject ?? "anonymous")"#,
            same,
            ann,
        ),
        (4, "@(context.Subscription.Id)", subscribed, |scene| scene.subscribed("sub-2", "")),
        (5, "@(context.Subscription?.Id ?? context.Request.IpAddress)", same, subscribed),
        (
            6,
            r#"@(context.Subscription != null ? context.Subscription.Id.ToLower() : "unknown_subscription")"#,
            same,
            subscribed,
        ),
        (
            7,
            r#"@(context.Request.Headers.GetValueOrDefault("X-Forwarded-For"))"#,
            |scene| scene.header("X-Forwarded-For: 198.51.100.7"),
            |scene| scene.header("X-Forwarded-For: 198.51.100.8"),
        ),
        (
            8,
            r#"@(context.Request.Headers.GetValueOrDefault("x-client-id", context.Request.IpAddress))"#,
            |scene| scene.header("X-Client-Id: client-7"),
            same,
        ),
        (9, oid, ann, bob),
        (9, oid, ann, |scene| bearer(scene, r#"{"sub":"ann"}"#)),
    ];
    for (number, key, one, another) in rows {
        let before = if number == 9 { kept_token() } else { String::new() };
        let scene = Scene::inbound(&format!(
            "{before}<rate-limit-by-key calls=\"1\" renewal-period=\"10\" counter-key=\"{key}\" />"
        ));
        let (one, another) = (one(scene.clone()), another(scene));
        let first = one.run();
        assert!(is_passed_on(&first), "{number}: {first:?}");
        assert_eq!(one.run().answered, limited(10), "{number}");
        let third = another.run();
        assert!(is_passed_on(&third), "{number}: {third:?}");
    }
}

#[test]
fn values_of_headers() {
    for (number, value, expected) in [
        (10, r#"@(((Jwt)context.Variables["jwt"]).Claims["tid"].FirstOrDefault())"#, "t-1"),
        (12, r#"@("Bearer " + (string)context.Variables["managed-id-access-token"])"#, "Bearer m-1"),
        (16, r#"@("Bearer realm="+context.Request.OriginalUrl.Host)"#, "Bearer realm=gateway.example"),
        (17, "@(context.RequestId.ToString())", "07070707-0707-0707-0707-070707070707"),
        (
            18,
            r#"@("proto=" + context.Request.OriginalUrl.Scheme + ";host=" + context.Request.OriginalUrl.Host + ";")"#,
            "proto=https;host=gateway.example;",
        ),
        (23, "@(context.Product.Name)", "Starter"),
        (
            25,
            r#"@(string.Join(",", DateTime.UtcNow, context.Deployment.ServiceName, context.RequestId, context.Request.IpAddress, context.Operation.Name))"#,
            "01/01/2025 00:00:00,ringgate,07070707-0707-0707-0707-070707070707,192.0.2.7,onHandshake",
        ),
    ] {
        let scene = Scene::inbound(&format!(
            "{}<set-variable name=\"managed-id-access-token\" value=\"m-1\" />\
             <set-header name=\"X-Out\" exists-action=\"override\"><value>{value}</value></set-header>",
            kept_token()
        ));
        let asked = bearer(scene.at(1_735_689_600), r#"{"tid":["t-1","t-2"]}"#).run().asked;
        assert!(asked.ends_with(&format!("X-Out: {expected}\n")), "{number}: {asked}");
    }
    // There are no users: an expression that takes one for granted throws (23).
    let of_user = |user: &str| {
        Scene::inbound(&format!("<set-header name=\"X-Out\"><value>@(context.{user})</value></set-header>"))
            .run()
    };
    let thrown = of_user("User.Id");
    assert_eq!(reason(&thrown).map(|(_, reason, _)| reason), Some("ExpressionValueEvaluationFailure"));
    let absent = of_user("User?.Id");
    assert!(is_passed_on(&absent) && !absent.asked.contains("X-Out"), "{}", absent.asked);
}

#[test]
fn conditions() {
    let same: Change = |scene| scene;
    let asking: Change = |scene| scene.asking("/chat/room?deployment=NAME&version=2013-05");
    let authorized: Change = |scene| scene.header("authorization: Basic YW5uOnNlY3JldA==");
    let (on_11, on_13, on_14, on_15, on_22) = (
        "context.Response.StatusCode == 200",
        r#""name".Equals(context.Request.Url.Query.GetValueOrDefault("deployment",""), StringComparison.OrdinalIgnoreCase)"#,
        r#"context.Request.Url.Query.GetValueOrDefault("version") == "2013-05""#,
        r#"!context.Request.Headers.ContainsKey("Authorization")"#,
        r#"context.Request.Headers.GetValueOrDefault("Authorization").AsBasic()==null || context.Request.Headers.GetValueOrDefault("Authorization").AsBasic().UserId != "ann""#,
    );
    let answers_200: Change = |scene| scene.backend_answers(200, &[]);
    let rows: [(u32, &str, Change, bool); 18] = [
        (11, on_11, same, false),
        (11, on_11, answers_200, true),
        (11, "context.Response.StatusCode >= 200 && context.Response.StatusCode < 400", same, false),
        (11, "context.Response.StatusCode >= 200 && context.Response.StatusCode < 400", answers_200, true),
        (13, on_13, asking, true),
        (13, on_13, same, false),
        (14, on_14, asking, true),
        (14, on_14, same, false),
        (15, on_15, same, true),
        (15, on_15, authorized, false),
        // Nothing says in which region a gateway is.
        (
            19,
            r#"context.Deployment.Region.Equals("west europe", System.StringComparison.InvariantCultureIgnoreCase)"#,
            same,
            false,
        ),
        (20, r#"context.Variables.GetValueOrDefault<bool>("is-weu-down")"#, same, true),
        (20, r#"context.Variables.GetValueOrDefault<bool>("is-neu-down")"#, same, false),
        // What the scene draws is the smallest.
        (21, "new System.Random().Next(1,100) <= {{Weight}}", same, true),
        (21, "new System.Random().Next(1,100) < {{Weight}}", same, false),
        (22, on_22, same, true),
        (22, on_22, authorized, false),
        (24, r#"context.LastError.Source == "validate-jwt""#, same, true),
    ];
    for (number, condition, change, holds) in rows {
        let choose = format!(
            "<choose><when condition=\"@({condition})\"><return-response><set-status code=\"299\" reason=\"Held\" />\
             </return-response></when></choose>"
        );
        let sections = match number {
            11 => format!("<outbound><base />{choose}</outbound>"),
            24 => format!("<inbound>{}</inbound><on-error><base />{choose}</on-error>", kept_token()),
            _ => {
                let variable = "<set-variable name=\"is-weu-down\" value=\"@(true)\" />";
                format!("<inbound><base />{variable}{choose}</inbound>")
            }
        };
        let document = format!("<policies>{sections}</policies>");
        let scene = Scene::new().named_values("[Weight]\nvalue = \"1\"");
        let answered = change(scene.file("policies/apis/chat.xml", &document)).run().answered;
        assert_eq!(answered.starts_with("HTTP/1.1 299 Held\n"), holds, "{number}: {answered}");
    }
}
