//! Tests of the whole language: text in, value, exception or faults out.

mod bounds;
mod differential;
mod refused;
mod seen;

use super::{
    Api, BasicCredentials, Context, DateTime, Deployment, Expression, ExpressionHost, LastError, Operation,
    Product, Request, Response, Section, Subscription, TimeSpan, Url, User, Value, Variables, Wanted,
};
use crate::policy::jwt::Jwt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bits that count up, and what was traced.
#[derive(Default)]
struct Scripted {
    drawn: u64,
    traced: Vec<String>,
}

impl ExpressionHost for Scripted {
    fn random_bits(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn << 56
    }

    fn trace(&mut self, message: &str) {
        self.traced.push(message.to_owned());
    }
}

/// A token whose claims are `payload`.
fn token(payload: &str) -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    format!("{}.{}.c2ln", part(r#"{"alg":"RS256","typ":"JWT"}"#), part(payload))
}

const CLAIMS: &str = r#"{"sub":"ann","iss":"https://issuer/","aud":["one","two"],"exp":1800000000,"oid":"o-1",
    "tid":"t-1","roles":["reader","writer"],"scp":"a b"}"#;

const HEADERS: [(&str, &str); 8] = [
    ("Host", "gateway.example.com"),
    ("X-Client-Id", "client-7"),
    ("X-Forwarded-For", "198.51.100.7"),
    ("Accept", "a"),
    ("accept", "b"),
    ("X-Empty", ""),
    ("X-Basic", "Basic YW5uOnA6dw=="),
    ("X-Number", "42"),
];

/// The context of tests that give no other: 2026-11-23T12:30:45.1234567Z, a subscription, variables of every sort.
fn with_context<T>(look: impl FnOnce(&Context<'_>) -> T) -> T {
    let mut headers: Vec<(String, String)> =
        HEADERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("Authorization".to_owned(), format!("Bearer {}", token(CLAIMS))));
    let now = DateTime::parse("2026-11-23T12:30:45.1234567Z").expect("a moment");
    let mut variables = Variables::default();
    variables.set("text", Value::text("abc"));
    variables.set("number", Value::Int(7));
    variables.set("long", Value::Long(8));
    variables.set("flag", Value::Bool(true));
    variables.set("is-weu-down", Value::Bool(true));
    variables.set("nothing", Value::Null);
    variables.set("managed-id-access-token", Value::text("token"));
    variables.set("jwt", Value::Jwt(Jwt::parse(&token(CLAIMS)).expect("a token").into()));
    let basic = BasicCredentials { user_id: "ann".into(), password: "pw".into() };
    variables.set("basic", Value::Basic(basic.into()));
    variables.set("list", Value::List(vec![Value::text("x"), Value::text("y")].into()));
    let original_url = Url {
        scheme: "https",
        host: "gateway.example.com",
        port: 443,
        path: "/chat/room",
        query: "deployment=Name&version=2013-05&a=1&a=2&empty=&flag&q=a%20b+c",
    };
    let context = Context {
        request: Request {
            method: "GET",
            url: Url {
                scheme: "wss",
                host: "backend.example.com",
                port: 8443,
                path: "/socket",
                ..original_url
            },
            original_url,
            headers: &headers,
            ip_address: "192.0.2.1",
            certificate: None,
            matched_parameters: &[("room", "blue")],
        },
        response: Some(Response {
            status_code: 101,
            status_reason: "Switching Protocols",
            headers: &[("Server", "b")],
        }),
        api: Api {
            id: "chat",
            name: "Chat",
            path: "chat",
            revision: "1",
            version: "",
            service_url: "wss://backend.example.com:8443/socket?x=1#f",
            is_current_revision: true,
        },
        operation: Operation { id: "onHandshake", name: "onHandshake", method: "GET", url_template: "/" },
        product: Some(Product { id: "starter", name: "Starter" }),
        subscription: Some(Subscription {
            id: "Sub-1",
            name: "one",
            key: "k1",
            primary_key: "k1",
            secondary_key: "k2",
        }),
        user: Some(User { id: "u-1", email: "ann@example.com", first_name: "Ann", last_name: "Lee" }),
        deployment: Deployment {
            region: "West Europe",
            gateway_id: "managed",
            service_id: "svc",
            service_name: "contoso",
        },
        variables: Some(&variables),
        last_error: Some(LastError {
            source: "validate-jwt",
            reason: "TokenNotPresent",
            ..LastError::default()
        }),
        request_id: super::Guid(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"),
        timestamp: now,
        now,
        elapsed: TimeSpan(15_000_000),
        is_tracing: false,
    };
    look(&context)
}

/// An expression's text, with its `@(` unless it has one.
fn whole(text: &str) -> String {
    if text.starts_with('@') && Expression::is_expression(text) {
        text.to_owned()
    } else {
        format!("@({text})")
    }
}

/// Returns the outcome of `text` as text: a value, `!` and an exception, or `?` and its faults.
fn outcome(text: &str) -> String {
    let text = whole(text);
    match Expression::compile(&text, Wanted::Text, Section::OnError) {
        Err(faults) => format!("? {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        Ok(expression) => {
            with_context(|context| match expression.evaluate(context, &mut Scripted::default()) {
                Ok(Value::Null) => "null".to_owned(),
                Ok(value) => value.written().map_or_else(|| "(no text)".to_owned(), |text| text.to_string()),
                Err(thrown) => format!("! {}", thrown.exception.name()),
            })
        }
    }
}

#[test]
fn no_member_stands_twice() {
    let list = super::member_list();
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    for pair in lines.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}

#[test]
fn an_expression_without_context_is_a_literal() {
    let constant = |text: &str| {
        let expression = Expression::compile(text, Wanted::Text, Section::Inbound).expect(text);
        expression.constant().and_then(Value::written).map(|text| text.to_string())
    };
    for (text, expected) in [
        ("@(1 + 2 * 3)", Some("7")),
        ("@(\"a\".ToUpper() + 1)", Some("A1")),
        ("@(true ? $\"{1.5,5:F2}\" : null)", Some(" 1.50")),
        ("@(string.Join(\",\", new[] { 1, 2 }.Length, \"x\"))", Some("2,x")),
        ("@(Guid.Empty.ToString(\"N\").Substring(28))", Some("0000")),
        ("@(context.Request.Method)", None),
        ("@(Guid.NewGuid())", None),
        ("@(DateTime.UtcNow.Year)", None),
        ("@(new Random().Next(1, 2))", None),
    ] {
        assert_eq!(constant(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn traces_and_draws_through_the_outside() {
    let text =
        "@{ context.Trace(\"seen \" + context.Request.Method); return Guid.NewGuid() != Guid.NewGuid(); }";
    let expression = Expression::compile(text, Wanted::Bool, Section::Inbound).expect("an expression");
    let mut outside = Scripted::default();
    let value = with_context(|context| expression.evaluate(context, &mut outside));
    assert!(matches!(value, Ok(Value::Bool(true))));
    assert_eq!(outside.traced, ["seen GET"]);
    assert_eq!(outside.drawn, 4);
}

#[test]
fn an_exception_says_where_it_was_thrown() {
    let text = "@{\n  var known = 1;\n  return ((Jwt)context.Variables[\"basic\"]).Subject;\n}";
    let expression = Expression::compile(text, Wanted::Text, Section::Inbound).expect("an expression");
    let thrown = with_context(|context| expression.evaluate(context, &mut Scripted::default()))
        .expect_err("it throws");
    assert_eq!(
        thrown.to_string(),
        "3:11: InvalidCastException: unable to cast object of type 'BasicAuthCredentials' to type 'Jwt'"
    );
    assert_eq!(thrown.position.offset, text.find("(Jwt)").expect("a cast"));
}
