//! Faults of documents: each is reported with its position and its remedy.

use super::scene::Scene;

/// The one fault of these inbound policies, from its column on; they stand on line 1 from column 27 on.
fn fault(policies: &str) -> String {
    let faults = Scene::inbound(policies).faults();
    assert_eq!(faults.len(), 1, "{policies}: {faults:#?}");
    faults[0].strip_prefix("policies/apis/chat.xml:1:").unwrap_or(&faults[0]).to_owned()
}

#[test]
fn each_fault_has_its_place_and_says_what_is_allowed() {
    for (policies, expected) in [
        (
            "<set-headr name=\"X\"/>",
            "27: <set-headr> is not known here; did you mean set-header? in inbound may stand authentication-basic, base, ",
        ),
        ("<forward-request/>", "27: <forward-request>; move it: it may stand in backend only"),
        ("<set-variable name=\"x\"/>", "27: set-variable value is missing; add this attribute"),
        (
            "<set-variable name=\"x\" valeu=\"1\" value=\"\"/>",
            "50: set-variable valeu is not known; did you mean value? the attributes here are name, value",
        ),
        (
            "<set-variable name=\"@(1)\" value=\"\"/>",
            "47: set-variable name = @(1): allowed is text; an expression is not",
        ),
        (
            "<set-status code=\"600\"/>",
            "45: set-status code = 600: allowed is a status from 200 to 599, or an expression",
        ),
        (
            "<set-status code=\"101\"/>",
            "45: set-status code = 101: allowed is a status from 200 to 599, or an expression",
        ),
        (
            "<set-header name=\"Host\"><value>x</value></set-header>",
            "45: set-header name = Host: allowed is a header other than Host, those",
        ),
        (
            "<set-header name=\"X Y\"><value>x</value></set-header>",
            "45: set-header name = X Y: allowed is the name of a header",
        ),
        (
            "<set-header name=\"X\"/>",
            "27: set-header value is missing; add a <value>, or set exists-action to delete",
        ),
        (
            "<set-header name=\"X\" exists-action=\"add\"><value>x</value></set-header>",
            "63: set-header exists-action = add: allowed is override, skip, append or delete, or an expression",
        ),
        (
            "<set-header name=\"X\"><value>&#13;a&#10;b</value></set-header>",
            "48: value = a\\nb: allowed is a value without line ends and control characters",
        ),
        (
            "<set-header name=\"X\"><valu>x</valu><value>y</value></set-header>",
            "48: <valu> is not known here; did you mean value? in set-header may stand value",
        ),
        ("<choose><otherwise/></choose>", "27: choose when is missing; add a <when> with its condition"),
        (
            "<choose><otherwise/><when condition=\"@(true)\"/></choose>",
            "35: <otherwise>; it may stand once, behind every <when>: move or remove it",
        ),
        (
            "<choose><when condition=\"true\"/></choose>",
            "52: when condition = true: allowed is an expression that gives a bool: @(…)",
        ),
        (
            "<choose><when condition=\"@(1 + x)\"/></choose>",
            "58: when condition = @(1 + x); correct the expression: ",
        ),
        (
            "<set-backend-service base-url=\"ftp://h\"/>",
            "58: set-backend-service base-url = ftp://h: allowed is the url of a backend, ",
        ),
        (
            "<include-fragment fragment-id=\"gone\"/>",
            "58: include-fragment fragment-id = gone; there is no policies/fragments/gone.xml: add it, or name another fragment",
        ),
        (
            "<set-variable name=\"x\" value=\"{{gone}}\"/>",
            "57: {{gone}} is not known; add [gone] with its value to named-values.toml",
        ),
        (
            "<rewrite-uri template=\"/a/{b}\"/>",
            "50: rewrite-uri template = /a/{b}: allowed is a path without {parameters}, which onHandshake does not have",
        ),
        (
            "<rewrite-uri template=\"/a/@(context.Api.Id)\"/>",
            "50: rewrite-uri template = /a/@(context.Api.Id): allowed is a path, or one expression and nothing",
        ),
        (
            "<rewrite-uri template=\"/a/../../b\"/>",
            "50: rewrite-uri template = /a/../../b: allowed is a path that stays below",
        ),
        (
            "<retry condition=\"@(true)\"/>",
            "27: <retry>; remove it: ringgate does not have this policy of Azure API Management yet",
        ),
        ("<cors/>", "27: <cors>; remove it: it does not apply to an opening handshake "),
        (
            "<return-response><set-method>GET</set-method></return-response>",
            "44: <set-method> is not known here; in return-response may stand set-status, set-header, set-body",
        ),
        (
            "<return-response><set-status code=\"400\"/><set-status code=\"401\"/></return-response>",
            "68: <set-status>; it may stand once in return-response: remove one of them",
        ),
        ("<trace source=\"x\"/>", "27: trace message is missing; add a <message>"),
        ("<base/>", "27: <base>; <base/> may stand once in a section: remove one of them"),
        (
            "<choose><when condition=\"@(true)\"><base/></when></choose>",
            "61: <base>; move it: it stands directly in a section",
        ),
        ("text", "27: inbound = text; no text may stand here, only elements: remove it"),
    ] {
        let fault = fault(policies);
        assert!(fault.starts_with(expected), "{policies}\n{fault}\n{expected}");
    }
}

#[test]
fn every_fault_of_every_document_is_told_at_once() {
    let scene = Scene::inbound("<a/><b/>")
        .file("policies/global.xml", "<policies>\n<inbound><c/></inbound>\n<x/><inbound/></policies>")
        .file("policies/products/starter.xml", "<policies")
        .file("policies/fragments/f.xml", "<policies/>");
    let faults = scene.faults();
    let places: Vec<&str> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    assert_eq!(
        places,
        [
            "policies/apis/chat.xml:1:27",
            "policies/apis/chat.xml:1:31",
            "policies/fragments/f.xml:1:1",
            "policies/global.xml:2:10",
            "policies/global.xml:3:1",
            "policies/global.xml:3:5",
            "policies/products/starter.xml:1:1",
        ],
        "{faults:#?}"
    );
}

#[test]
fn what_does_not_apply_is_skipped_where_it_is_inherited() {
    let scene = Scene::new()
        .file("policies/global.xml", "<policies><inbound>\n <cors><allowed-origins/></cors><include-fragment fragment-id=\"f\"/></inbound></policies>")
        .file("policies/fragments/f.xml", "<fragment><set-body>x</set-body><set-variable name=\"x\" value=\"1\"/></fragment>");
    assert_eq!(
        scene.notes(),
        [
            "policies/global.xml:2:2: <cors>: skipped: it does not apply to onHandshake",
            "policies/fragments/f.xml:1:11: <set-body>: skipped: it does not apply to onHandshake",
        ]
    );
    assert!(scene.run().answered.starts_with("passed on: 101"));
}

#[test]
fn a_fragment_that_includes_itself_or_too_much_is_a_fault() {
    let include = "<include-fragment fragment-id=\"f\"/>";
    let itself =
        Scene::inbound(include).file("policies/fragments/f.xml", &format!("<fragment>{include}</fragment>"));
    assert_eq!(
        itself.faults(),
        [
            "policies/fragments/f.xml:1:11: <include-fragment>; fragments may include one another at most 5 deep: does one include itself?"
        ]
    );
    let much = Scene::inbound(&include.repeat(5)).file(
        "policies/fragments/f.xml",
        &format!("<fragment>{}</fragment>", "<set-variable name=\"x\" value=\"1\"/>".repeat(400)),
    );
    let faults = much.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0]
            .ends_with("a section may have at most 2000 policies and steps, those of fragments included"),
        "{faults:?}"
    );
}

#[test]
fn short_names_of_long_texts_and_fragments_that_are_included_often_come_to_a_bounded_size() {
    let long = format!("[a]\nvalue = \"{}\"\n", "x".repeat(4_096));
    let many = Scene::inbound(&format!("<set-variable name=\"x\" value=\"{}\"/>", "{{a}}".repeat(100_000)));
    let include = "<include-fragment fragment-id=\"f\"/>".repeat(900);
    let often = Scene::inbound(&include).file(
        "policies/fragments/f.xml",
        &format!("<fragment><set-variable name=\"x\" value=\"{}\"/></fragment>", "x".repeat(500_000)),
    );
    for scene in [many.named_values(&long), often] {
        let faults = scene.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains(
                ": too much text up to this value; the values of a document may have at most 4 MiB together"
            ),
            "{faults:?}"
        );
    }
}

#[test]
fn no_fault_shows_a_secret() {
    for policies in [
        "<set-status code=\"{{key}}\"/>",
        "<set-header name=\"{{key}} x\"><value>a</value></set-header>",
        "<set-variable name=\"x\" value=\"@({{key}}.Foo)\"/>",
        "<choose><when condition=\"{{key}}\"/></choose>",
    ] {
        let faults = Scene::inbound(policies).named_values("[key]\nvalue = \"hush\"\nsecret = true").faults();
        assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.contains("hush")), "{faults:?}");
    }
}

#[test]
fn neither_faults_nor_notes_nor_compiled_forms_show_a_secret_wherever_it_stands() {
    let documents = [
        include_str!("../../../tests/fuzz/corpora/policy_document/every_policy"),
        include_str!("../../../tests/fuzz/corpora/policy_document/guards"),
    ];
    // What a name, a number, an address, a moment, a status, a URL and a key can be.
    let secrets =
        ["hush", "7654321", "10.77.66.55", "2025-07-07T07:07:07Z", "477", "wss://hush.example:77/x"];
    for document in documents {
        let marks = ["=\"", "='", ">"].into_iter().flat_map(|mark| document.match_indices(mark));
        for (start, mark) in marks.map(|(at, mark)| (at + mark.len(), mark)) {
            let end = if mark == ">" { "<" } else { &mark[1..] };
            let Some(length) = document[start..].find(end) else { continue };
            let (before, behind) = (&document[..start], &document[start + length..]);
            let changed = format!("{before}{{{{key}}}}{behind}");
            for secret in secrets {
                let scene = Scene::new()
                    .file("policies/apis/chat.xml", &changed)
                    .file("policies/fragments/common.xml", "<fragment/>")
                    .named_values(&format!(
                        "[key]\nvalue = \"{secret}\"\nsecret = true\n[host]\nvalue = \"h\"\n[secret]\nvalue = \"s\"\n"
                    ));
                let mut shown = scene.faults();
                if shown.is_empty() {
                    shown = scene.notes();
                    shown.push(scene.compiled());
                }
                let told = shown.iter().find(|text| text.contains(secret));
                assert_eq!(told, None, "{secret} in {changed}");
            }
        }
    }
}

#[test]
fn a_large_fragment_that_is_included_often_is_refused_soon() {
    let include = "<include-fragment fragment-id=\"f\"/>";
    for inside in [
        "<x/>".to_owned(),
        "<set-header name=\"X\"><valu/></set-header>".to_owned(),
        include.replace("\"f\"", "\"g\""),
    ] {
        let faults = Scene::inbound(&include.repeat(4_000))
            .file("policies/fragments/f.xml", &format!("<fragment>{}</fragment>", inside.repeat(3_000)))
            .file(
                "policies/fragments/g.xml",
                &format!("<fragment>{}</fragment>", include.replace("\"f\"", "\"h\"").repeat(3_000)),
            )
            .file("policies/fragments/h.xml", "<fragment/>")
            .faults();
        assert!(!faults.is_empty() && faults.len() <= crate::limits::POLICY_FAULTS_MAX, "{}", faults.len());
    }
}

#[test]
fn attributes_of_azure_api_management_that_are_not_here_are_named() {
    for (policy, told) in [
        (
            "<set-backend-service backend-id=\"b\"/>",
            "set-backend-service backend-id = b; ringgate has no backends by id yet: use base-url",
        ),
        (
            "<return-response response-variable-name=\"r\"/>",
            "return-response response-variable-name = r; no policy puts a response into a variable yet: \
             put set-status, set-header and set-body into it",
        ),
    ] {
        let faults = Scene::inbound(policy).faults();
        assert!(faults.len() == 1 && faults[0].contains(told), "{policy}: {faults:#?}");
    }
}

#[test]
fn no_fault_shows_a_word_of_a_secret() {
    for secret in ["hush-hushed", "one.hushed", "one hushed", "{hushed"] {
        for expression in ["{{key}}", "\"a\".{{key}}", "1 + {{key}}", "Regex.IsMatch(\"a\", \"(?<{{key}})\")"]
        {
            let value = format!("@({expression})").replace('<', "&lt;").replace('"', "&quot;");
            let scene = Scene::inbound(&format!("<set-variable name=\"x\" value=\"{value}\"/>"));
            let faults = scene.named_values(&format!("[key]\nvalue = '{secret}'\nsecret = true")).faults();
            let shows = faults.iter().any(|fault| fault.contains("hush") || fault.contains("one"));
            assert!(!faults.is_empty() && !shows, "{faults:?}");
        }
    }
}

#[test]
fn a_secret_that_holds_another_is_masked_as_a_whole() {
    let policies = "<set-variable name=\"x\" value=\"{{short}} {{long}}\"/>";
    let named = "[short]\nvalue = 'hush'\nsecret = true\n[long]\nvalue = 'hush-tail'\nsecret = true";
    let compiled = Scene::inbound(policies).named_values(named).compiled();
    assert!(compiled.contains("*** ***") && !compiled.contains("tail"), "{compiled}");
}

#[test]
fn regular_expressions_are_so_many() {
    let policy = "<set-variable name=\"x\" value=\"@(Regex.IsMatch(&quot;a&quot;, &quot;b&quot;, RegexOptions.None))\"/>";
    let most = crate::limits::POLICY_PATTERNS_MAX;
    assert!(Scene::inbound(&policy.repeat(most)).faults().is_empty());
    let faults = Scene::inbound(&policy.repeat(2 * most)).faults();
    assert!(faults.len() == 1 && faults[0].contains("at most 300 regular expressions"), "{faults:?}");
}

#[test]
fn an_exception_is_told_with_its_place_in_the_file_that_it_stands_in() {
    let in_fragment = "<fragment>\n<set-variable name=\"x\"\n value=\"@(&quot;{{long}}&quot; + int.Parse(&quot;no&quot;))\"/></fragment>";
    let scene = Scene::inbound("<include-fragment fragment-id=\"f\"/>")
        .named_values("[long]\nvalue = \"a long text\"")
        .file("policies/fragments/f.xml", in_fragment);
    let [threw] = &scene.run().threw[..] else { panic!("one exception") };
    let place = "include-fragment[1]/set-variable[1] at policies/fragments/f.xml:3:38: FormatException: ";
    assert!(threw.starts_with(place), "{threw}");

    let scene = Scene::inbound(
        "<choose>\n<when condition=\"@(context.Variables[&quot;gone&quot;] == null)\"/></choose>",
    );
    let [threw] = &scene.run().threw[..] else { panic!("one exception") };
    assert!(
        threw.starts_with("choose[1]/when[1] at policies/apis/chat.xml:2:37: KeyNotFoundException: "),
        "{threw}"
    );
}

#[test]
fn what_throws_behind_the_answer_is_told_too() {
    let policy = "<rate-limit-by-key calls=\"5\" renewal-period=\"60\" counter-key=\"k\" \
                  increment-condition=\"@(int.Parse(&quot;no&quot;) == 1)\"/>";
    let [threw] = &Scene::inbound(policy).run().threw[..] else { panic!("one exception") };
    assert!(threw.starts_with("put off at policies/apis/chat.xml:1:"), "{threw}");
}
