//! Policy expressions: any text compiles or is refused with faults that say where; what compiles ends with a value or an exception.

use ringgate::policy::expression::{
    Context, DateTime, Expression, ExpressionHost, Request, Section, Subscription, Url, Value, Variables,
    Wanted,
};

struct Silent;

impl ExpressionHost for Silent {
    fn random_bits(&mut self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn trace(&mut self, _: &str) {}
}

/// `input` is what is wanted, and the text of an expression. Its `@(` is added where it has none.
pub fn check(input: &[u8]) {
    let Some((wanted, text)) = input.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let wanted = [Wanted::Text, Wanted::Bool, Wanted::Int, Wanted::Kept][usize::from(wanted % 4)];
    let text = if Expression::is_expression(text) { text.to_owned() } else { format!("@({text})") };
    let expression = match Expression::compile(&text, wanted, Section::OnError) {
        Ok(expression) => expression,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused, and no reason given");
            for fault in faults {
                assert!(
                    fault.position.offset <= text.len() && text.is_char_boundary(fault.position.offset),
                    "{fault}"
                );
                assert!(!fault.message.contains(char::is_control), "one fault is one line: {fault:?}");
            }
            return;
        }
    };
    let mut variables = Variables::default();
    variables.set("text", Value::text("a,b é😀"));
    variables.set("number", Value::Int(-7));
    let url =
        Url { scheme: "https", host: "gateway", port: 443, path: "/chat/room", query: "a=1&b=%20x&a=2" };
    let request = Request {
        method: "GET",
        url,
        original_url: url,
        headers: &[("Authorization", TOKEN), ("Accept", "a"), ("accept", "b")],
        ip_address: "192.0.2.1",
        certificate: None,
        matched_parameters: &[("room", "blue")],
    };
    let now = DateTime::from_unix_seconds(1_800_000_000).expect("a moment");
    let whole = Context {
        request,
        subscription: Some(Subscription::default()),
        variables: Some(&variables),
        now,
        ..Context::default()
    };
    for context in [whole, Context::default()] {
        match expression.evaluate(&context, &mut Silent) {
            Ok(value) => check_value(&value, wanted),
            Err(thrown) => {
                assert!(!thrown.message.contains("not of the type that was checked"), "{thrown}");
                assert!(thrown.position.offset <= text.len(), "{thrown}");
            }
        }
    }
}

fn check_value(value: &Value, wanted: Wanted) {
    let is_wanted = match wanted {
        Wanted::Bool => matches!(value, Value::Bool(_)),
        Wanted::Int => matches!(value, Value::Int(_)),
        Wanted::Text => matches!(value, Value::Text(_) | Value::Null),
        Wanted::Kept => !matches!(value, Value::Inner(_)),
    };
    assert!(is_wanted, "{wanted:?} is wanted, this is {value:?}");
}

/// `{"alg":"none"}`, `{"sub":"ann","aud":["x"],"exp":1800000000}`.
const TOKEN: &str = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJhdWQiOlsieCJdLCJleHAiOjE4MDAwMDAwMDB9.";
