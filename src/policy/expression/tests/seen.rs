//! Expressions that are seen in real policies of Azure API Management, and their results.

use super::{Expression, Scripted, Section, Wanted, outcome, whole, with_context};
use crate::policy::expression::{Context, Value};

#[test]
fn expressions_of_real_policies() {
    for (number, text, expected) in [
        (1, "context.Request.IpAddress", "192.0.2.1"),
        (2, r#"context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject"#, "ann"),
        (
            3,
            r#"context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject ?? "anonymous""#,
            "ann",
        ),
        (
            3,
            r#"context.Request.Headers.GetValueOrDefault("Missing","").AsJwt()?.Subject ?? "anonymous""#,
            "anonymous",
        ),
        (4, "context.Subscription.Id", "Sub-1"),
        (5, "context.Subscription?.Id ?? context.Request.IpAddress", "Sub-1"),
        (
            6,
            r#"context.Subscription != null ? context.Subscription.Id.ToLower() : "unknown_subscription""#,
            "sub-1",
        ),
        (7, r#"context.Request.Headers.GetValueOrDefault("X-Forwarded-For")"#, "198.51.100.7"),
        (
            8,
            r#"context.Request.Headers.GetValueOrDefault("x-client-id", context.Request.IpAddress)"#,
            "client-7",
        ),
        (
            8,
            r#"context.Request.Headers.GetValueOrDefault("x-other-id", context.Request.IpAddress)"#,
            "192.0.2.1",
        ),
        (9, r#"((Jwt)context.Variables["jwt"]).Claims.GetValueOrDefault("oid","anonymous")"#, "o-1"),
        (10, r#"((Jwt)context.Variables["jwt"]).Claims["tid"].FirstOrDefault()"#, "t-1"),
        (11, "context.Response.StatusCode == 200", "False"),
        (11, "context.Response.StatusCode >= 100 && context.Response.StatusCode < 400", "True"),
        (12, r#""Bearer " + (string)context.Variables["managed-id-access-token"]"#, "Bearer token"),
        (
            13,
            r#""name".Equals(context.Request.Url.Query.GetValueOrDefault("deployment",""), StringComparison.OrdinalIgnoreCase)"#,
            "True",
        ),
        (14, r#"context.Request.Url.Query.GetValueOrDefault("version") == "2013-05""#, "True"),
        (15, r#"!context.Request.Headers.ContainsKey("Authorization")"#, "False"),
        (16, r#""Bearer realm="+context.Request.OriginalUrl.Host"#, "Bearer realm=gateway.example.com"),
        (17, "context.RequestId.ToString()", "01234567-89ab-cdef-0123-456789abcdef"),
        (
            18,
            r#""proto=" + context.Request.OriginalUrl.Scheme + ";host=" + context.Request.OriginalUrl.Host + ";""#,
            "proto=https;host=gateway.example.com;",
        ),
        (
            19,
            r#"context.Deployment.Region.Equals("west europe", System.StringComparison.InvariantCultureIgnoreCase)"#,
            "True",
        ),
        (20, r#"context.Variables.GetValueOrDefault<bool>("is-weu-down")"#, "True"),
        (20, r#"context.Variables.GetValueOrDefault<bool>("is-neu-down")"#, "False"),
        (21, "new System.Random().Next(1,100) <= 30", "True"),
        (
            22,
            r#"context.Request.Headers.GetValueOrDefault("Missing").AsBasic()==null || context.Request.Headers.GetValueOrDefault("Missing").AsBasic().UserId != "ann""#,
            "True",
        ),
        (22, r#"context.Request.Headers.GetValueOrDefault("X-Basic").AsBasic().Password"#, "p:w"),
        (23, "context.User.Id", "u-1"),
        (23, "context.Product.Name", "Starter"),
        (24, r#"context.LastError.Source == "validate-jwt""#, "True"),
        (
            25,
            r#"string.Join(",", DateTime.UtcNow, context.Deployment.ServiceName, context.RequestId, context.Request.IpAddress, context.Operation.Name)"#,
            "11/23/2026 12:30:45,contoso,01234567-89ab-cdef-0123-456789abcdef,192.0.2.1,onHandshake",
        ),
    ] {
        assert_eq!(outcome(text), expected, "{number}: {text}");
    }
}

#[test]
fn blocks_as_policies_have_them() {
    for (text, expected) in [
        (
            r#"@{
                Jwt jwt;
                if (context.Request.Headers.GetValueOrDefault("Authorization", "").TryParseJwt(out jwt))
                {
                    return jwt.Claims.GetValueOrDefault("roles", "none"); // several, with commas
                }
                return "no token";
            }"#,
            "reader,writer",
        ),
        (
            r#"@{
                var header = context.Request.Headers.GetValueOrDefault("X-Basic", "");
                if (!header.TryParseBasic(out BasicAuthCredentials credentials)) { throw new Exception("none"); }
                else return credentials.UserId + ":" + credentials.Password.Length;
            }"#,
            "ann:3",
        ),
        (
            r#"@{
                string[] parts = context.Request.OriginalUrl.Path.Trim('/').Split('/');
                var made = "";
                foreach (var part in parts) { if (part != "") made += "[" + part + "]"; }
                return made;
            }"#,
            "[chat][room]",
        ),
        (
            r#"@{
                int count = 0, sum = 0;
                foreach (string key in context.Request.Headers.Keys) { count++; sum += key.Length; }
                return sum / count > 3 && count == 8;
            }"#,
            "True",
        ),
        (
            r#"@{ return context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Claims["roles"].Any(role => role == "writer") ?? false; }"#,
            "True",
        ),
        (r#"@{ throw new System.InvalidOperationException("no " + 1); }"#, "! InvalidOperationException"),
        (
            r#"@{ object o = context.Variables["number"]; if (o is int n && n > 5) { return n * 2; } return o as string; }"#,
            "14",
        ),
    ] {
        assert_eq!(outcome(text), expected, "{text}");
    }
}

#[test]
fn what_is_absent_is_null() {
    for (text, expected) in [
        ("context.Subscription?.Id", "null"),
        ("context.Subscription?.Id ?? context.Request.IpAddress", ""),
        ("context.Subscription == null", "True"),
        ("context.Subscription.Id", "! NullReferenceException"),
        ("context.LastError?.Source.Length == null", "True"),
        ("context.Response?.StatusCode > 99", "False"),
        ("context.User?.Id ?? \"nobody\"", "nobody"),
        ("context.Request.Certificate?.Thumbprint", "null"),
        ("context.Variables.ContainsKey(\"a\")", "False"),
        ("(string)context.Variables[\"a\"]", "! KeyNotFoundException"),
        ("context.Request.Headers[\"a\"].Length", "! KeyNotFoundException"),
        ("context.Request.Headers.GetValueOrDefault(\"a\").Length", "! NullReferenceException"),
        ("context.Request.Headers.GetValueOrDefault(null).Length", "! ArgumentNullException"),
    ] {
        let expression = Expression::compile(&whole(text), Wanted::Text, Section::OnError).expect(text);
        let actual = match expression.evaluate(&Context::default(), &mut Scripted::default()) {
            Ok(Value::Null) => "null".to_owned(),
            Ok(value) => value.written().expect("text").to_string(),
            Err(thrown) => format!("! {}", thrown.exception.name()),
        };
        assert_eq!(actual, expected, "{text}");
    }
}

#[test]
fn gives_what_is_wanted() {
    let evaluated = |text: &str, wanted| {
        let expression = Expression::compile(text, wanted, Section::Inbound).expect(text);
        with_context(|context| expression.evaluate(context, &mut Scripted::default())).expect(text)
    };
    assert!(matches!(evaluated("@(1 < 2)", Wanted::Bool), Value::Bool(true)));
    assert!(matches!(evaluated("@('a')", Wanted::Int), Value::Int(97)));
    assert!(matches!(evaluated("@(1 < 2)", Wanted::Text), Value::Text(text) if &*text == "True"));
    assert!(matches!(evaluated("@(null)", Wanted::Text), Value::Null));
    assert!(matches!(
        evaluated("@(context.Request.Headers.GetValueOrDefault(\"Authorization\").AsJwt())", Wanted::Kept),
        Value::Jwt(_)
    ));
    assert!(matches!(evaluated("@(\"a,b\".Split(','))", Wanted::Kept), Value::List(list) if list.len() == 2));
}
