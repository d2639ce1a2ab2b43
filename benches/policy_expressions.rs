//! The cost of policy expressions: compiled once at publish, evaluated at each handshake.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringgate::policy::expression::{
    Context, Expression, ExpressionHost, Request, Section, Subscription, Url, Value, Variables, Wanted,
};

struct Silent;

impl ExpressionHost for Silent {
    fn random_bits(&mut self) -> u64 {
        7
    }

    fn trace(&mut self, _: &str) {}
}

/// Header and payload of a token as identity providers make them, some 600 bytes with its signature.
const TOKEN: &str = "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.\
    eyJhdWQiOiJhcGk6Ly9jaGF0IiwiaXNzIjoiaHR0cHM6Ly9sb2dpbi5leGFtcGxlLmNvbS90ZW5hbnQvdjIuMCIsImlhdCI6MTcwMDAwMDAwMCwibmJmIj\
    oxNzAwMDAwMDAwLCJleHAiOjE4MDAwMDAwMDAsIm5hbWUiOiJBbm4gTGVlIiwib2lkIjoiMDEyMzQ1NjctODlhYi1jZGVmLTAxMjMtNDU2Nzg5YWJjZGVmIi\
    wic3ViIjoiYW5uIiwicm9sZXMiOlsicmVhZGVyIiwid3JpdGVyIl19.\
    c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl";

const EXPRESSIONS: [(&str, &str); 7] = [
    ("subscription_id", "@(context.Subscription.Id)"),
    ("literal", "@(\"counter-\" + 1)"),
    ("jwt_subject", "@(context.Request.Headers.GetValueOrDefault(\"Authorization\",\"\").AsJwt()?.Subject)"),
    ("bearer", "@(\"Bearer \" + (string)context.Variables[\"token\"])"),
    (
        "query_equals",
        "@(\"name\".Equals(context.Request.Url.Query.GetValueOrDefault(\"deployment\",\"\"), StringComparison.OrdinalIgnoreCase))",
    ),
    ("pattern", "@(Regex.IsMatch(context.Request.OriginalUrl.Path, \"^/chat/[a-z0-9]+$\"))"),
    (
        "block",
        "@{ var made = \"\"; foreach (var part in context.Request.OriginalUrl.Path.Split('/')) { \
         if (part != \"\") { made += \"[\" + part + \"]\"; } } return made; }",
    ),
];

fn policy_expressions(criterion: &mut Criterion) {
    let mut variables = Variables::default();
    variables.set("token", Value::text("0123456789abcdef0123456789abcdef"));
    let url = Url {
        scheme: "https",
        host: "gateway.example.com",
        port: 443,
        path: "/chat/room",
        query: "version=2013-05&deployment=name&subscription-key=0123456789abcdef",
    };
    let headers = [
        ("Host", "gateway.example.com"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("Origin", "https://app.example.com"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Authorization", TOKEN),
    ];
    let request = Request { url, original_url: url, headers: &headers, ..Context::default().request };
    let subscription = Some(Subscription { id: "sub-1", ..Subscription::default() });
    let context = Context { request, subscription, variables: Some(&variables), ..Context::default() };

    let mut group = criterion.benchmark_group("policy_expressions");
    for (name, text) in EXPRESSIONS {
        let compile =
            || Expression::compile(black_box(text), Wanted::Text, Section::Inbound).expect("an expression");
        let expression = compile();
        let value = expression.evaluate(&context, &mut Silent).expect("a value");
        assert!(matches!(value, Value::Text(_)), "{name} gives text");
        group.bench_function(name, |bencher| {
            bencher.iter(|| expression.evaluate(black_box(&context), &mut Silent))
        });
        group.bench_function(format!("compile_{name}"), |bencher| bencher.iter(compile));
    }
    group.finish();
}

criterion_group!(benches, policy_expressions);
criterion_main!(benches);
