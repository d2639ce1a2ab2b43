//! Bounds and properties: nothing runs for long, nothing grows, and no text and no input makes anything panic.

use super::{Expression, Scripted, Section, Wanted, outcome, with_context};
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};

use proptest::prelude::*;

#[test]
fn what_takes_too_much_is_an_exception() {
    let doubled = "t = t + t; ".repeat(30);
    for text in [
        format!("@{{ var t = context.Request.Method; {doubled} return t; }}"),
        "context.Request.Method.PadLeft(2000000000)".to_owned(),
        "context.Request.Method.PadLeft(1000000).PadLeft(1500000)".to_owned(),
        "new string('a', 2000000000)".to_owned(),
        "context.Request.Method.PadLeft(100000).Replace(\" \", context.Request.Method.PadLeft(1000))".to_owned(),
        "Regex.Replace(context.Request.Method.PadLeft(100000), \" \", context.Request.Method.PadLeft(1000))".to_owned(),
        // A short pattern may come to many states, and each is taken along.
        "Regex.IsMatch(context.Request.Method.PadLeft(30000), \"[ab ]*a[ab ]{1000}[cd]\")".to_owned(),
        // Pieces that are empty take time too.
        format!("Regex.Replace(context.Request.Method.PadLeft(100000), \"(b?)\", \"{}\")", "$1".repeat(1000)),
        "context.Request.Method.PadLeft(500000).Split(' ').Length".to_owned(),
        "Encoding.UTF8.GetBytes(context.Request.Method.PadLeft(500000)).Length".to_owned(),
        "Regex.IsMatch(context.Request.Method, context.Request.Method + Regex.Replace(\"a\", context.Request.Method + \"1\", \"\") + Regex.Replace(\"a\", context.Request.Method + \"2\", \"\") + Regex.Replace(\"a\", context.Request.Method + \"3\", \"\") + Regex.Replace(\"a\", context.Request.Method + \"4\", \"\"))".to_owned(),
        "@{ var c = context.Request.Method.PadLeft(100).ToLower().Split(' '); var n = 0; foreach (var a in c) { foreach (var b in c) { n += a.Length + b.Length; } } return n; }".to_owned(),
    ] {
        assert_eq!(outcome(&text), "! ExpressionBudgetException", "{text}");
    }
}

#[test]
fn constants_share_one_budget_at_publish() {
    // Each alone would be a constant of nearly a MiB.
    let text = format!("@({})", vec!["new string('a', 1000000).Length"; 300].join(" + ").replace("300", ""));
    let expression = Expression::compile(&text, Wanted::Text, Section::Inbound);
    // It is either too deep, or compiled without computing them all: what matters is that it ends.
    assert!(expression.is_err() || expression.is_ok_and(|expression| expression.constant().is_none()));
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = EXPRESSION_DEPTH_MAX * 3;
    for text in [
        format!("@({}1{})", "(".repeat(deep), ")".repeat(deep)),
        format!("@({}1)", "-".repeat(deep)),
        format!("@({}true)", "!".repeat(deep)),
        format!("@(1{})", "+1".repeat(deep)),
        format!("@(\"a\"{})", ".Trim()".repeat(deep)),
        format!("@(\"a\"{})", "?.Trim()".repeat(deep)),
        format!("@({}1)", "(int)".repeat(deep)),
        format!("@({}1)", "true ? 1 : ".repeat(deep)),
        format!("@(null{})", " ?? null".repeat(deep)),
        format!("@{{ {} return 1; }}", "if (true) ".repeat(deep)),
        format!("@{{ {} return 1; }}", "{".repeat(deep)),
        format!("@{{ {} return 1; }}", "if (true) { } else ".repeat(deep)),
        format!("@((a{}", "<a".repeat(deep)),
        format!("@({}", "$\"{".repeat(deep)),
        format!("@(new[] {}", "{ new[] ".repeat(deep)),
        format!("@({}", "x => ".repeat(deep)),
        format!("@(a{}", "[a".repeat(deep)),
    ] {
        let faults = Expression::compile(&text, Wanted::Text, Section::Inbound).expect_err(&text);
        assert_eq!(faults.len(), 1, "{text}");
    }
    let just =
        format!("@({}1{})", "(".repeat(EXPRESSION_DEPTH_MAX - 1), ")".repeat(EXPRESSION_DEPTH_MAX - 1));
    assert!(Expression::compile(&just, Wanted::Text, Section::Inbound).is_ok());
    let chain = format!("@(context.Request.Method{})", ".Trim()".repeat(EXPRESSION_DEPTH_MAX / 2 - 10));
    assert_eq!(outcome(&chain), "GET");

    let long = format!("@(\"{}\")", "a".repeat(EXPRESSION_BYTES_MAX));
    let faults = Expression::compile(&long, Wanted::Text, Section::Inbound).expect_err("too long");
    assert!(faults[0].message.contains("at most"));
}

#[test]
fn a_broken_type_is_told_once_for_each_place() {
    let text = format!("@{{ {} return 1; }}", "var a = b; ".repeat(100));
    let faults = Expression::compile(&text, Wanted::Text, Section::Inbound).expect_err("faults");
    assert_eq!(faults.len(), crate::limits::EXPRESSION_FAULTS_MAX);
}

/// Pieces that programs are made of, so that many of them compile.
const PIECES: [&str; 66] = [
    "context",
    ".",
    "Request",
    "Headers",
    "GetValueOrDefault",
    "(",
    ")",
    "\"a\"",
    "\"Authorization\"",
    ",",
    "AsJwt",
    "?.",
    "Subject",
    "??",
    "+",
    "-",
    "*",
    "/",
    "%",
    "1",
    "2147483647",
    "9223372036854775807L",
    "0",
    "1.5",
    "'c'",
    "true",
    "false",
    "null",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "[",
    "]",
    "string",
    "int",
    "(int)",
    "(string)",
    "Variables",
    "x",
    "=>",
    "Where",
    "Select",
    "Any",
    "FirstOrDefault",
    "Split",
    "Length",
    "Substring",
    "ToString",
    "$\"{",
    "}\"",
    "@{",
    "return ",
    ";",
    "var x = ",
    "if (",
    "else ",
    "Regex.IsMatch",
    "new",
    "é😀",
];

/// Well-formed operands and what can be done to them.
fn program() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "context.Request.Method",
        "\"aé😀z\"",
        "\"\"",
        "context.Request.Headers.GetValueOrDefault(\"Accept\")",
        "null",
        "1",
        "-1",
        "2147483647",
        "int.MinValue",
        "long.MaxValue",
        "0",
        "1.5e300",
        "double.Parse(\"NaN\")",
        "'x'",
        "true",
        "context.Variables[\"number\"]",
        "(int)context.Variables[\"number\"]",
        "DateTime.UtcNow",
        "DateTime.MaxValue",
        "TimeSpan.FromDays(1e6)",
        "new[] { \"a\", \"b\" }",
        "context.Request.Url.Query",
        "context.Subscription",
        "((Jwt)context.Variables[\"jwt\"])",
        "((Jwt)context.Variables[\"jwt\"]).ExpirationTime",
        "Guid.Empty",
        "context.Request.OriginalUrl.Path.Split('/')",
        "Regex.Match(\"ab\", \"(a)(b)\")",
        "context.Request.Headers.Keys",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let members: Vec<&'static str> =
            super::super::members::all().map(|member| member.name).filter(|name| *name != "new").collect();
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "??", "&", "^",
        ]);
        prop_oneof![
            (inner.clone(), binary, inner.clone())
                .prop_map(|(left, sign, right)| format!("({left} {sign} {right})")),
            (inner.clone(), prop::sample::select(members.clone()))
                .prop_map(|(on, name)| format!("{on}.{name}")),
            (inner.clone(), prop::sample::select(members.clone()))
                .prop_map(|(on, name)| format!("{on}?.{name}()")),
            (inner.clone(), prop::sample::select(members.clone()), inner.clone())
                .prop_map(|(on, name, argument)| format!("{on}.{name}({argument})")),
            (inner.clone(), prop::sample::select(members), inner.clone(), inner.clone())
                .prop_map(|(on, name, one, two)| format!("{on}.{name}({one}, {two})")),
            (inner.clone(), inner.clone()).prop_map(|(on, index)| format!("{on}[{index}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(one, two, three)| format!("({one} == null ? {two} : {three})")),
            inner.clone().prop_map(|on| format!("{on}.Select(e => e + \"!\").ToArray()")),
            inner.clone().prop_map(|on| format!("$\"{{{on}}}\"")),
            inner.prop_map(|on| format!("(string)(object){on}")),
        ]
    })
}

fn compile_and_run(text: &str) {
    for wanted in [Wanted::Text, Wanted::Bool, Wanted::Kept] {
        match Expression::compile(text, wanted, Section::Outbound) {
            Ok(expression) => with_context(|context| {
                let outcome = expression.evaluate(context, &mut Scripted::default());
                let is_mistyped =
                    outcome.is_err_and(|thrown| thrown.message.contains("not of the type that was checked"));
                assert!(!is_mistyped, "the checker let something through: {text}");
            }),
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    assert!(
                        fault.position.offset <= text.len() && !fault.message.contains(char::is_control),
                        "{fault}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_compiles_or_is_refused(text in ".{0,80}") {
        compile_and_run(&text);
        compile_and_run(&format!("@({text})"));
        compile_and_run(&format!("@{{{text}}}"));
    }

    #[test]
    fn any_order_of_pieces_compiles_or_is_refused(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24)) {
        compile_and_run(&format!("@({})", pieces.concat()));
        compile_and_run(&format!("@{{ {} }}", pieces.join(" ")));
    }

    #[test]
    fn any_program_ends_with_a_value_or_an_exception(program in program()) {
        compile_and_run(&format!("@({program})"));
    }
}
