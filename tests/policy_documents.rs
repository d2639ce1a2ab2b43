//! The policy documents in `tests/golden/policies/`: what those without fault compile to and do to a handshake, step by step,
//! and what is said about those at fault. `ringgate policy` is how they are looked at.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use golden::assert_golden;
use ringgate::catalog::access::Access;
use ringgate::compiled::compile;
use ringgate::control::files::store::read_catalog;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the command where the package is, so that no path in its output depends on the machine.
fn policy(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.arg("policy").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

fn said(output: &Output) -> &str {
    let shown = std::str::from_utf8(&output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]), "{shown}");
    shown
}

/// Every document of a catalogue, from where the package is.
fn documents(catalogue: &str) -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    below(&root.join("tests/golden/policies").join(catalogue).join("policies"), &mut found);
    let mut names: Vec<String> =
        found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect();
    names.sort();
    names
}

fn check(catalogue: &str) -> Output {
    let documents = documents(catalogue);
    let mut arguments = vec!["check"];
    arguments.extend(documents.iter().map(String::as_str));
    policy(&arguments)
}

#[test]
fn documents_without_fault_are_said_to_be_and_what_is_skipped_is_told() {
    assert_golden("policies/good.checked", said(&check("good")));
}

#[test]
fn every_fault_is_told_with_its_place_and_what_is_allowed() {
    let output = check("bad");
    assert_golden("policies/bad.checked", std::str::from_utf8(&output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn documents_of_all_scopes_come_to_one_pipeline() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies/good");
    let snapshot = compile(&read_catalog(&folder), None).unwrap();
    let partners = snapshot.entities().products.values().next();
    let mut text = String::new();
    for api in snapshot.served() {
        let own = partners.filter(|product| api.products.contains(&product.name));
        for product in std::iter::once(None).chain(own.map(Some)) {
            let access = Access { subscription: None, product };
            let context = product.map_or("no product", |product| product.name.as_str());
            let Some(pipeline) = snapshot.policies_of(api, &access) else { continue };
            text.push_str(&format!("{} in {context}\n{pipeline}\n", api.name));
        }
    }
    assert!(!text.contains("hush") && !text.contains("aHVzaC"));
    assert_golden("policies/good.compiled", &text);
}

/// Tokens by the key of `guarded.xml`, until 2100: of a speaker, of a listener who is suspended, and of a guest.
const ANN: &str = "--header=Authorization: Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImstMSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9nYXRld2F5LmV4YW1wbGUvZ3VhcmRlZCIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoiYW5uIiwidGlkIjoidC0xIiwicm9sZXMiOlsic3BlYWtlciJdfQ.pciqm0qHATDz5U_tv_2F8LMa_PaZh_A4Q3Ww--XGPuI";
const BOB: &str = "--header=Authorization: Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImstMSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9nYXRld2F5LmV4YW1wbGUvZ3VhcmRlZCIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoiYm9iIiwidGlkIjoidC0xIiwicm9sZXMiOlsibGlzdGVuZXIiXSwic3RhdGUiOiJzdXNwZW5kZWQifQ.SLnE6SnzKuJo1Ovatqeg7myxC3jiu7mOorGBvB5Aruw";
const EVE: &str = "--header=Authorization: Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImstMSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9nYXRld2F5LmV4YW1wbGUvZ3VhcmRlZCIsImV4cCI6NDEwMjQ0NDgwMCwic3ViIjoiZXZlIiwidGlkIjoidC0yIiwicm9sZXMiOlsiZ3Vlc3QiXX0.0ohixHvo5gvL9amC7kBlr8SAP_xS9G5JM-mvVTPoxRc";

/// A trace's name, its document, and the handshake.
const TRACES: [(&str, &str, &[&str]); 13] = [
    (
        "realtime-large",
        "apis/realtime.xml",
        &[
            "--subscription=acme",
            "--url=wss://gateway.example/realtime?deployment=LARGE&api-key=k&subscription-key=0123456789abcdef",
            "--header=Authorization: Bearer of-the-caller",
            "--answer-header=X-Powered-By: a framework",
        ],
    ),
    (
        "realtime-other",
        "apis/realtime.xml",
        &["--product=partners", "--url=wss://gateway.example/realtime/v1?deployment=small"],
    ),
    ("realtime-none", "apis/realtime.xml", &["--product=partners"]),
    ("authorized-tenant", "apis/authorized.xml", &["--header=X-Tenant: red"]),
    ("authorized-challenged", "apis/authorized.xml", &["--header=x-tenant: GREEN"]),
    (
        "authorized-let-in",
        "apis/authorized.xml",
        &[
            "--url=ws://gateway.example:8080/authorized/room?a=1",
            "--header=X-Tenant: blue",
            "--header=Authorization: Basic YW5uOnNlY3JldA==",
            "--client=2001:db8::7",
        ],
    ),
    ("guarded-let-in", "apis/guarded.xml", &["--client=10.1.2.3", ANN]),
    ("guarded-address", "apis/guarded.xml", &["--client=203.0.113.9", ANN]),
    ("guarded-no-token", "apis/guarded.xml", &[]),
    ("guarded-guest", "apis/guarded.xml", &[EVE]),
    ("guarded-suspended", "apis/guarded.xml", &[BOB]),
    ("forwarded-canary", "apis/forwarded.xml", &["--header=X-Bucket: 7", "--answer=500"]),
    ("forwarded-silent", "apis/forwarded.xml", &["--header=X-Bucket: much", "--answer=silent"]),
];

#[test]
fn a_trace_tells_each_step_what_it_changed_and_what_became_of_the_handshake() {
    for (name, document, handshake) in TRACES {
        let document = format!("tests/golden/policies/good/policies/{document}");
        let mut arguments = vec!["trace", &document, "--no-times"];
        arguments.extend(handshake);
        let output = policy(&arguments);
        for token in [ANN, BOB, EVE] {
            let (_, signature) = token.rsplit_once('.').unwrap();
            assert!(!said(&output).contains(signature), "{name}");
        }
        assert_golden(&format!("policies/{name}.trace"), said(&output));
    }
}

#[test]
fn no_secret_is_in_a_trace() {
    let document = "tests/golden/policies/good/policies/apis/realtime.xml";
    let secrets = ["hush-0123456789", "of-the-caller", "0123456789abcdef", "cookie-of-ann"];
    let output = policy(&[
        "trace",
        document,
        "--product=partners",
        "--url=wss://g/realtime?deployment=small&subscription-key=0123456789abcdef",
        "--header=Authorization: Bearer of-the-caller",
        "--header=Cookie: sid=cookie-of-ann",
        "--header=X-Copy: of-the-caller cookie-of-ann",
    ]);
    let shown = said(&output);
    assert!(shown.contains("***") && shown.contains(" µs)"), "{shown}");
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret}\n{shown}");
    }
}

#[test]
fn a_document_may_lie_anywhere_and_stand_for_that_of_an_api() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("draft.xml");
    fs::write(&path, "<policies><inbound><base/><set-header name=\"X-Draft\"><value>1</value></set-header></inbound></policies>")
        .unwrap();
    let path = path.display().to_string();
    assert_eq!(said(&policy(&["check", &path])), format!("{path}: no faults\n"));
    let alone = policy(&["trace", &path, "--no-times"]);
    assert!(said(&alone).contains("+ request X-Draft: 1"), "{}", said(&alone));

    let config = folder.path().join("ringgate.toml");
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies/good");
    fs::write(
        &config,
        format!("catalog = \"{}\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n", catalogue.display()),
    )
    .unwrap();
    let config = config.display().to_string();
    let of_an_api = policy(&["trace", &path, "--config", &config, "--api", "forwarded", "--no-times"]);
    let shown = said(&of_an_api);
    assert!(shown.contains("global set-header[1]") && shown.contains("+ request X-Draft: 1"), "{shown}");
    assert!(shown.contains("backend ws://backend.example:9001"), "{shown}");
}

#[test]
fn a_trace_takes_a_path_for_what_a_gateway_takes_it_for() {
    let document = "tests/golden/policies/good/policies/apis/forwarded.xml";
    for path in ["/forwarded/r%6fom", "//f%6frwarded/r%6fom", "/forwarded;rev=1/r%6fom"] {
        let url = format!("--url=ws://gateway.example{path}");
        let output = policy(&["trace", document, "--no-times", "--header=X-Bucket: 7", &url]);
        let shown = said(&output);
        let asked = shown.lines().find(|line| line.starts_with("backend ws"));
        assert_eq!(asked, Some("backend ws://canary.example:9001: GET /r%6fom HTTP/1.1"), "{path}");
    }
}

#[test]
fn what_cannot_be_traced_is_said() {
    let document = "tests/golden/policies/good/policies/apis/realtime.xml";
    for (arguments, expected) in [
        (&["--product=gone"][..], "there is no product gone\n"),
        (&["--subscription=gone"], "there is no subscription gone\n"),
        (&["--url=ws://g/elsewhere"], "/elsewhere: not a path of api realtime, which is at /realtime\n"),
        (&["--url=ws://g/realtimes"], "/realtimes: not a path of api realtime, which is at /realtime\n"),
        (
            &["--url=ws://g/realtime;rev=2"],
            "/realtime;rev=2: not a path of api realtime, which is at /realtime\n",
        ),
        (
            &["--url=ws://g/./realtime"],
            "/./realtime: the handshake is refused with 400: Request path has a dot segment where it names the API\n",
        ),
        (&["--url=g"], "g: allowed is ws://host/path or wss://host/path\n"),
        (&["--header=none"], "a header without its ':': allowed is \"Name: value\"\n"),
    ] {
        let mut all = vec!["trace", document];
        all.extend(arguments);
        let output = policy(&all);
        assert_eq!(std::str::from_utf8(&output.stderr).unwrap(), expected);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
    }
}
