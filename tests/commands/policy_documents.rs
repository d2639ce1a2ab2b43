//! The policy documents in `tests/golden/policies/`: what those without fault compile to and do to a handshake, step by step,
//! and what is said about those at fault. `ringgate policy` is how they are looked at.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.

use crate::golden::assert_golden;
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

/// A copy of the catalogue without fault.
fn copy_of_good() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies/good");
    let copied = Command::new("cp").arg("-r").arg(good).arg(folder.path().join("catalog")).status().unwrap();
    assert!(copied.success());
    folder
}

fn write(folder: &Path, path: &str, text: &str) -> String {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_draft_beside_a_catalogue_finds_its_named_values() {
    let folder = copy_of_good();
    write(folder.path(), "catalog/named-values.toml", "[tenant]\nvalue = \"blue\"\n");
    let text = "<policies><inbound><set-variable name=\"x\" value=\"{{tenant}}\"/></inbound></policies>";
    for place in ["draft.xml", "catalog/draft.xml", "catalog/drafts/draft.xml"] {
        let path = write(folder.path(), place, text);
        let output = policy(&["check", &path]);
        assert!(!stderr_of(&output).contains("{{tenant}}"), "{place}: {}", stderr_of(&output));
    }
    let unknown = write(folder.path(), "draft.xml", &text.replace("tenant", "tenat"));
    let told = stderr_of(&policy(&["check", &unknown]));
    assert!(told.contains("{{tenat}} is not known; did you mean {{tenant}}?"), "{told}");
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_document_without_its_owner_is_told_with_all_else_that_is_wrong_in_it() {
    let folder = copy_of_good();
    let text = "<policies><inbound><a/><set-status code=\"1\"/></inbound></policies>";
    let path = write(folder.path(), "catalog/policies/apis/gone.xml", text);
    let told = stderr_of(&policy(&["check", &path]));
    for part in [
        "belongs to api gone, and there is no apis/gone.toml; ",
        ":1:20: <a> is not known here; ",
        "set-status code = 1: allowed",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(told.ends_with("3 faults\n"), "{told}");
}

#[test]
fn a_trace_ends_with_1_where_the_client_gets_another_status_than_expected() {
    let document = "tests/golden/policies/good/policies/apis/guarded.xml";
    let trace = |expect: &str| policy(&["trace", document, "--no-times", EVE, "--expect", expect]);
    let (right, wrong) = (trace("401"), trace("101"));
    assert_eq!((right.status.code(), stderr_of(&right)), (Some(0), String::new()));
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(stderr_of(&wrong), "expected status 101, and the client gets 401\n");
    assert_eq!(right.stdout, wrong.stdout);
}

#[test]
fn a_trace_for_programs_is_one_document_of_a_stable_shape() {
    let document = "tests/golden/policies/good/policies/apis/guarded.xml";
    let output = policy(&["trace", document, "--no-times", EVE, "--json"]);
    let shown = said(&output);
    let (_, signature) = EVE.rsplit_once('.').unwrap();
    assert!(!shown.contains(signature));
    let trace: serde_json::Value = serde_json::from_str(shown).unwrap();
    let keys: Vec<&str> = trace.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["left_out", "path", "status", "steps", "version"]);
    assert_golden("policies/guarded-guest.json", shown);
}

#[test]
fn faults_of_files_that_a_handshake_does_not_need_do_not_stop_its_trace() {
    let folder = copy_of_good();
    write(folder.path(), "catalog/apis/realtime.toml", "display_name = ");
    write(
        folder.path(),
        "catalog/policies/apis/authorized.xml",
        "<policies><inbound><a/></inbound></policies>",
    );
    let document = folder.path().join("catalog/policies/apis/forwarded.xml").display().to_string();
    let output = policy(&["trace", &document, "--no-times", "--header=X-Bucket: 7"]);
    let shown = said(&output);
    let left_out: Vec<&str> = shown.lines().filter(|line| line.starts_with("left out, at fault: ")).collect();
    assert_eq!(left_out.len(), 2, "{shown}");
    assert!(shown.contains("client gets the backend's 101"), "{shown}");
    // What it needs does.
    write(folder.path(), "catalog/apis/forwarded.toml", "display_name = ");
    let output = policy(&["trace", &document]);
    assert!(
        output.status.code() == Some(1) && stderr_of(&output).contains("apis/forwarded.toml:1: "),
        "{output:?}"
    );
}

#[test]
fn with_an_instance_file_listener_scheme_and_key_are_judged_as_the_instance_would() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = copy_of_good();
    let (secret, at) = ("0".repeat(64), folder.path());
    let key_file = write(at, "ringgate.key", &secret);
    fs::set_permissions(key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let hash = ringgate::catalog::key_secret::KeySecret::parse(&secret)
        .unwrap()
        .hasher()
        .text_of(b"0123456789abcdef");
    let subscription =
        format!("display_name = \"A\"\nscope = \"/apis/forwarded\"\nprimary_key_hash = \"{hash}\"\n");
    write(at, "catalog/subscriptions/ann.toml", &subscription);
    let api =
        "display_name = \"F\"\nurl = \"ws://backend.example\"\nsuffix = \"forwarded\"\nschemes = [\"wss\"]\n";
    write(at, "catalog/apis/forwarded.toml", api);
    let tls = "tls = { certificates = [{ chain = \"c\", key = \"k\" }] }\n";
    let listener = |port: u16, lines: &str| format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\n{lines}");
    let config = write(at, "ringgate.toml", &(listener(8080, "") + &listener(8443, tls)));
    let document = at.join("catalog/policies/apis/forwarded.xml").display().to_string();
    let trace = |arguments: &[&str]| {
        let mut all = vec!["trace", &document, "--config", &config, "--no-times", "--header=X-Bucket: 7"];
        all.extend(arguments);
        let output = policy(&all);
        assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for (arguments, told) in [
        (
            &["--header=Ocp-Apim-Subscription-Key: 0123456789abcdef", "--expect=101"][..],
            &[
                "listener: wss://127.0.0.1:8443",
                "scheme: wss",
                "subscription key: valid, of subscription ann",
            ][..],
        ),
        (&["--expect=401"], &["subscription key: none is given, and one is needed"]),
        (
            &["--header=Ocp-Apim-Subscription-Key: wrong-wrong", "--expect=401"],
            &["subscription key: opens nothing here, or nothing now", "on-error"],
        ),
        (
            &["--subscription=ann", "--expect=101"],
            &["assumed to be one of subscription ann (--subscription)"],
        ),
        (
            &["--url=ws://gateway.example/forwarded", "--expect=404"],
            &[
                "listener: ws://127.0.0.1:8080",
                "answer: 404, because api forwarded is not served under this scheme",
            ],
        ),
    ] {
        let shown = trace(arguments);
        for part in told {
            assert!(shown.contains(part), "{arguments:?}: {part}\n{shown}");
        }
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("wrong-wrong"), "{shown}");
    }
    write(at, "ringgate.toml", &listener(8443, tls));
    let url = "--url=ws://gateway.example/forwarded";
    let output = policy(&["trace", &document, "--config", &config, url]);
    assert!(stderr_of(&output).starts_with("no listener of this instance takes ws; "), "{output:?}");
}
