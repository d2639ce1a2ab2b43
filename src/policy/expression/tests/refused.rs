//! Expressions that are refused at publish: position and message.

use super::{Expression, Section, Wanted, whole};

fn faults(text: &str, wanted: Wanted, section: Section) -> Vec<String> {
    match Expression::compile(&whole(text), wanted, section) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn says_where_and_what() {
    let mut wrong = String::new();
    for (text, expected) in [
        // How it is written.
        ("@(", "1:3: an expression that begins with @( ends with )"),
        ("@()", "1:3: a value is expected here, not the end"),
        ("@(1", "1:4: an expression that begins with @( ends with )"),
        ("@{ return 1 }", "1:13: ';' is expected here, not the end"),
        ("1 +", "1:6: a value is expected here, not the end"),
        ("1 2", "1:5: the end of the expression is expected here, not '2'"),
        ("(1 + 2", "1:9: ')' is expected here, not the end"),
        ("\"abc", "1:3: the string has no end: \" is missing"),
        ("\"\\d\"", "1:4: \\d is no escape of C#: write \\\\d, or the string as @\"…\""),
        ("'ab'", "1:3: a character literal holds one character: 'a'"),
        ("$\"{1\"", "1:7: the string has no end: \" is missing"),
        ("1.5m", "1:3: decimal and float are not supported here: use double (1.5)"),
        ("5u", "1:3: unsigned numbers are not supported here: use int or long"),
        ("99999999999999999999", "1:3: this number does not fit a long"),
        ("1 # 2", "1:5: '#' means nothing here"),
        ("1 << 2", "1:5: shifts are not supported"),
        ("1 >> 2", "1:5: shifts are not supported"),
        ("typeof(string)", "1:3: typeof is not supported"),
        ("new { a = 1 }", "1:3: objects without a type are not supported"),
        ("@{ while (true) { } }", "1:4: while is not supported: use foreach, Where or Select"),
        ("@{ try { } }", "1:4: try is not supported: an exception ends the expression and goes to on-error"),
        ("@{ return; }", "1:10: return needs a value"),
        ("new[] { 1 }.Select(x => { return x; })", "1:27: a lambda is one expression here: x => x.Length"),
        (
            "\"a\".Substring(startIndex: 1)",
            "1:17: named arguments are not supported: give them in their order",
        ),
        // Names.
        ("contxt.Request", "1:3: contxt is not known: did you mean context?"),
        ("context.Reqest.Method", "1:11: context has no Reqest: did you mean Request?"),
        ("context.Request.Body", "1:19: context.Request has no Body"),
        ("\"a\".tolower()", "1:7: string has no tolower: did you mean ToLower?"),
        ("JObject.Parse(\"{}\")", "1:3: JObject is not supported"),
        ("new StringBuilder()", "1:7: StringBuilder is not supported"),
        ("(Jwtt)context.Variables[\"jwt\"]", "1:4: the type Jwtt is not known: did you mean Jwt?"),
        ("Guid", "1:3: Guid is a type, a value is wanted here"),
        ("context.Request.Method()", "1:19: context.Request.Method is a property: leave out the ()"),
        ("\"a\".Trim", "1:7: string.Trim is a method: call it, Trim(…)"),
        ("Foo(1)", "1:3: there is no function Foo: members are called on something"),
        ("System.IO.File.ReadAllText(\"a\")", "1:3: System is not known"),
        ("context.Request.Certificate.Thumb", "1:31: context.Request.Certificate has no Thumb"),
        (
            "context.Variables[\"a\"].Length",
            "1:26: an object has no Length: cast it first, ((string)…).Length",
        ),
        (
            "((Jwt)context.Variables[\"jwt\"]).ExpirationTime.Year",
            "1:50: DateTime? can be null: use .Value.Year or ?.Year",
        ),
        // Types.
        ("1 + true", "1:5: + does not take int and bool"),
        ("\"a\" - 1", "1:7: - does not take string and int"),
        ("context.Variables[\"n\"] + 1", "1:26: + does not take object and int: cast it, (string)…"),
        ("context.Variables[\"n\"] > 1", "1:26: > does not compare object and int: cast it, (int)…"),
        (
            "context.Variables[\"n\"] == \"a\"",
            "1:26: == does not compare object and string: an object is compared by reference, so cast it first, (string)…",
        ),
        ("1 == \"1\"", "1:5: == does not compare int and string"),
        ("\"a\" < \"b\"", "1:7: < does not compare string and string: use string.Compare"),
        ("!1", "1:4: a bool is wanted here, this is int"),
        ("1 && true", "1:3: a bool is wanted here, this is int"),
        ("1 ? 2 : 3", "1:3: a bool is wanted here, this is int"),
        ("true ? 1 : \"a\"", "1:8: the branches of ?: have no type in common: int and string"),
        ("true ? null : 1", "1:8: the branches of ?: have no type in common: null and int"),
        ("1 ?? 2", "1:5: ?? stands behind what can be null, int cannot"),
        ("1?.ToString()", "1:6: ?. stands behind what can be null, int cannot: use ."),
        ("(int)\"1\"", "1:3: string cannot be cast to int"),
        ("\"a\" as int", "1:7: as gives null for what is none, int cannot be null: use int?"),
        ("1 is string", "1:5: int is always or never a string"),
        ("new[] { 1, \"a\" }", "1:3: the elements have no type in common: write it, new object[] { … }"),
        ("context.Request.Headers[1]", "1:26: no [] takes (int); known is Headers[string]: string[]"),
        (
            "\"a\".Substring(\"b\")",
            "1:7: no Substring takes (string); known is string.Substring(int): string and string.Substring(int, int): string",
        ),
        ("new[] { 1 }.Where(x => x)", "1:26: this lambda gives a bool, here it is int"),
        ("new[] { 1 }.Where(x => x.Foo)", "1:28: int has no Foo"),
        ("context.Request", "1:11: context.Request has no text of its own"),
        ("new[] { \"a\" }", "1:3: string[] has no text of its own: use string.Join(\",\", …)"),
        ("2147483647 + 1", "1:14: this constant does not fit its type"),
        ("1 / 0", "1:5: this divides by zero"),
        (
            "context.Variables.GetValueOrDefault(\"a\")",
            "1:21: no GetValueOrDefault takes (string); known is context.Variables.GetValueOrDefault(string): U and context.Variables.GetValueOrDefault(string, U): U; write the type, GetValueOrDefault<string>(…)",
        ),
        // Literals with a syntax of their own.
        ("DateTime.UtcNow.ToString(\"q\")", "1:19: 'q' is no standard format of DateTime"),
        ("Guid.NewGuid().ToString(\"X\")", "1:18: 'X' is no format of Guid"),
        ("1.5.ToString(\"D\")", "1:7: 'D' is not supported as a format of numbers"),
        ("$\"{DateTime.UtcNow:q}\"", "1:15: 'q' is no standard format of DateTime"),
        ("Regex.IsMatch(\"a\", \"(?=a)\")", "1:22: in this regular expression: lookahead is not supported"),
        ("Regex.IsMatch(\"a\", \"(\")", "1:22: in this regular expression: unclosed group"),
        ("Regex.Replace(\"a\", \"a\", \"$`\")", "1:9: $` is not supported in a replacement"),
        ("string.Format(\"{1}\", 1)", "1:10: there is no argument {1}"),
        // Statements.
        ("@{ var x = 1; var x = 2; return x; }", "1:19: x is declared already"),
        ("@{ x = 1; return 1; }", "1:4: there is no variable x: declare it, var x = …"),
        ("@{ int x = \"a\"; return x; }", "1:12: string does not convert to int"),
        ("@{ int x = 1; x = \"a\"; return x; }", "1:19: string does not convert to int, the type of x"),
        ("@{ var x = null; return 1; }", "1:8: var needs a value with a type: string x = …"),
        ("@{ if (true) { return 1; } }", "1:4: not every way through the block returns a value"),
        ("@{ 1 + 1; return 1; }", "1:4: this does nothing: only a call stands by itself"),
        ("@{ foreach (var c in 5) { } return 1; }", "1:22: foreach goes through a collection, this is int"),
        ("@{ context.Request.Method = \"a\"; return 1; }", "1:27: only a local variable can be assigned to"),
        ("@{ { var x = 1; } return x; }", "1:26: x is not known"),
        (
            "@{ throw new FooException(\"a\"); }",
            "1:14: FooException cannot be thrown here; known are Exception, ArgumentException, InvalidOperationException, FormatException, NotSupportedException",
        ),
        ("@{\n  var a = 1;\n  return ä;\n}", "3:10: ä is not known"),
    ] {
        let found = faults(text, Wanted::Text, Section::Outbound);
        if found != [expected] {
            wrong.push_str(&format!("\n  {text}\n    expected {expected}\n    actual   {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn tells_every_fault_of_what_can_be_read() {
    assert_eq!(
        faults(
            "@{ var a = foo; int b = \"x\"; if (a) { return bar; } return b.c; }",
            Wanted::Text,
            Section::Inbound
        ),
        [
            "1:12: foo is not known",
            "1:25: string does not convert to int",
            "1:46: bar is not known",
            "1:62: int has no c",
        ]
    );
}

#[test]
fn refuses_what_is_not_wanted() {
    for (text, wanted, expected) in [
        ("1", Wanted::Bool, "1:3: a bool is wanted here, this is int"),
        (
            "context.Variables[\"a\"]",
            Wanted::Bool,
            "1:20: a bool is wanted here, this is object: cast it, (bool)…",
        ),
        ("\"1\"", Wanted::Int, "1:3: an int is wanted here, this is string"),
        ("1L", Wanted::Int, "1:3: an int is wanted here, this is long"),
        (
            "context.Request.Headers",
            Wanted::Kept,
            "1:19: Headers cannot be kept in a variable: keep a member of it",
        ),
        ("context.Trace(\"a\")", Wanted::Text, "1:11: void has no text of its own"),
    ] {
        assert_eq!(faults(text, wanted, Section::Inbound), [expected], "{text}");
    }
}

#[test]
fn there_is_no_response_before_the_backend_answers() {
    let text = "context.Response.StatusCode == 200";
    for section in [Section::Inbound, Section::Backend] {
        assert_eq!(
            faults(text, Wanted::Bool, section),
            ["1:11: context.Response exists in outbound and on-error only"]
        );
    }
    for section in [Section::Outbound, Section::OnError] {
        assert_eq!(faults(text, Wanted::Bool, section), [""; 0]);
    }
}
