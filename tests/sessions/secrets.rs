//! Secrets: none of those that travel through an instance, or lie in its catalogue, stands in anything that it writes or shows.

use crate::support::backend::{Backend, closed_port, switching};
use crate::support::otlp::OtlpReceiver;
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, status_page, wait_for_exit};
use crate::support::{api_file, comes_true, locked_api_file};
use ringgate::catalog::key_secret::KeySecret;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What each secret is, and its text.
const SECRETS: [(&str, &str); 15] = [
    ("the subscription's key, in a header and in a query", "k3y-of-the-subscription"),
    ("a wrong key in the header", "wr0ng-key-in-the-header"),
    ("a wrong key in the query", "wr0ng-key-in-the-query"),
    ("a bearer token", "eyJhbGciOiJub25lIn0.dGhlIHRva2Vu.c2lnbmF0dXJl"),
    ("a password in Authorization, encoded", "dXNlcjpwYTU1d29yZC1vZi1iYXNpYw=="),
    ("the same password, decoded", "pa55word-of-basic"),
    ("a cookie of the client's", "c00kie-of-the-client"),
    ("a cookie of the backend's", "c00kie-of-the-backend"),
    ("a token in a subprotocol", "dG9rZW4taW4tYS1zdWJwcm90b2NvbA"),
    ("a value of the query", "v4lue-of-the-query"),
    ("a value of the query in Referer", "v4lue-in-referer"),
    ("user name and password in Origin", "us3r:in-origin"),
    ("a named value that goes to the backend in a header", "n4med-value-in-a-header"),
    ("a named value that goes to the backend in a query", "n4med-value-in-a-query"),
    ("a named value in the path to the backend, and in names of a trace", "n4med-value-in-a-path"),
];

const SECRET_OF_KEYS: &str = "6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d";

/// Every header in which a secret travels is captured on every leg, and one query parameter is shown.
const DIAGNOSTICS: &str = "[diagnostics]\nquery_names = [\"shown\"]\n\
    frontend_request_headers = [\"Authorization\", \"Cookie\", \"Referer\", \"Origin\", \"Sec-WebSocket-Protocol\", \"Ocp-Apim-Subscription-Key\"]\n\
    frontend_response_headers = [\"Set-Cookie\", \"X-Echo\", \"WWW-Authenticate\"]\n\
    backend_request_headers = [\"Authorization\", \"Cookie\", \"Referer\", \"Origin\", \"Sec-WebSocket-Protocol\", \"X-Secret\"]\n\
    backend_response_headers = [\"Set-Cookie\", \"X-Echo\", \"Sec-WebSocket-Protocol\"]\n";

const NAMED_VALUES: &str = "[header]\nvalue = \"n4med-value-in-a-header\"\nsecret = true\n\
                            [query]\nvalue = \"n4med-value-in-a-query\"\nsecret = true\n\
                            [path]\nvalue = \"n4med-value-in-a-path\"\nsecret = true\n";

/// All that a policy sees of a request, and the secrets of the document, as an expression.
fn everything() -> String {
    let field = |name: &str| format!("context.Request.Headers.GetValueOrDefault(\"{name}\", \"\")");
    let query = |name: &str| format!("context.Request.OriginalUrl.Query.GetValueOrDefault(\"{name}\", \"\")");
    let fields = [
        "Authorization",
        "Cookie",
        "Referer",
        "Origin",
        "Sec-WebSocket-Protocol",
        "Ocp-Apim-Subscription-Key",
    ];
    let mut parts: Vec<_> = fields.into_iter().map(field).collect();
    parts.extend(["token", "subscription-key"].into_iter().map(query));
    parts.push(format!("{}.AsBasic()?.Password", field("Authorization")));
    parts.push("context.Subscription?.Key".to_owned());
    parts.push("(string)context.Variables[\"header\"]".to_owned());
    parts.push("\"{{query}}\"".to_owned());
    parts.join(" + \" \" + ").replace('"', "&quot;")
}

/// A policy document that traces everything, at every severity and on both ways, and throws it if it is asked to.
fn document() -> String {
    let everything = everything();
    let trace = |severity: &str| {
        format!(
            "<trace source=\"all {{{{path}}}}\" severity=\"{severity}\"><message>@({everything})</message>\
             <metadata name=\"again {{{{path}}}}\" value=\"@({everything})\"/></trace>"
        )
    };
    format!(
        "<policies><inbound><base/>\
         <set-variable name=\"header\" value=\"{{{{header}}}}\"/>\
         {}{}{}\
         <set-header name=\"X-Secret\"><value>{{{{header}}}}</value></set-header>\
         <rewrite-uri template=\"/hook/{{{{path}}}}\"/>\
         <set-query-parameter name=\"code\"><value>{{{{query}}}}</value></set-query-parameter>\
         <set-variable name=\"x\" value=\"@{{ context.Trace({everything}); return 1; }}\"/>\
         <set-variable name=\"y\" value=\"@(context.Request.Headers.ContainsKey(&quot;X-Throw&quot;) ? throw new Exception({everything}) : 1)\"/>\
         </inbound><outbound><base/><trace source=\"answer\" severity=\"error\">\
         <message>@(context.Response.Headers.GetValueOrDefault(&quot;Set-Cookie&quot;, &quot;none&quot;) + {everything})</message></trace>\
         </outbound></policies>",
        trace("verbose"),
        trace("information"),
        trace("error"),
    )
}

/// Every file below a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_in(&path)) } else { found.push(path) }
    }
    found
}

/// The secrets that stand in some bytes.
fn secrets_in(bytes: &[u8]) -> Vec<&'static str> {
    let stands = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    SECRETS.iter().filter(|(_, secret)| stands(secret)).map(|(what, _)| *what).collect()
}

/// The address behind `announcement` in what was written to standard output.
fn address_behind(announcement: &str, stdout: &Path) -> SocketAddr {
    let find = || {
        let text = fs::read_to_string(stdout).unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(announcement).map(str::to_owned));
        line.and_then(|line| line.trim_end_matches('/').parse().ok())
    };
    let mut found = None;
    assert!(
        comes_true(|| {
            found = find();
            found.is_some()
        }),
        "{announcement}"
    );
    found.unwrap()
}

#[test]
fn no_secret_stands_in_anything_that_an_instance_writes_or_shows() {
    let [
        key,
        wrong_header,
        wrong_query,
        bearer,
        basic,
        password,
        cookie,
        set_cookie,
        protocol,
        query,
        referer,
        origin,
        ..,
    ] = SECRETS.map(|(_, secret)| secret);
    assert!(!password.is_empty());
    let hash = KeySecret::parse(SECRET_OF_KEYS).unwrap().hasher().text_of(key.as_bytes());
    let subscription = format!("display_name = \"Test\"\nscope = \"/apis\"\nprimary_key_hash = \"{hash}\"\n");
    let backend = Backend::new();
    let address = backend.address;
    let mut receiver = OtlpReceiver::taking();
    let otlp = format!("[otlp]\nendpoint = \"http://{}\"\nmetrics_interval_s = 1\n", receiver.address);
    let instance = "workers = 1\ndrain_s = 4\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[status]\naddress = \"127.0.0.1:0\"\n\
                    [logs]\nstore = true\nfolder = \"log\"\njson_file = \"rows.json\"\naccess_lines = true\n";
    let configuration =
        Configuration::new(&format!("{instance}{otlp}"), &locked_api_file("t", address, DIAGNOSTICS))
            .with_secret_file("ringgate.key", SECRET_OF_KEYS)
            .with_file("catalog/subscriptions/acme.toml", &subscription)
            .with_file("catalog/policies/apis/t.xml", &document())
            .with_secret_file("catalog/named-values.toml", NAMED_VALUES)
            .with_log("trace");
    let given: Vec<_> = files_in(configuration.folder());
    let stdout = configuration.folder().join("stdout");
    let stderr = configuration.folder().join("stderr");
    let mut command = configuration.command();
    command.stdout(Stdio::from(fs::File::create(&stdout).unwrap()));
    command.stderr(Stdio::from(fs::File::create(&stderr).unwrap()));
    let mut child = command.spawn().unwrap();
    let gateway = address_behind("listening on ws://", &stdout);
    let status = address_behind("status page on http://", &stdout);

    let common = format!(
        "Cookie: sid={cookie}\r\nReferer: https://app.example/a?token={referer}\r\nOrigin: https://{origin}@app.example\r\n\
         Sec-WebSocket-Protocol: chat, base64url.bearer.authorization.k8s.io.{protocol}\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: v={query}\r\n"
    );
    let right = format!("{common}Ocp-Apim-Subscription-Key: {key}\r\nAuthorization: Bearer {bearer}\r\n");
    let throws =
        format!("{common}Ocp-Apim-Subscription-Key: {key}\r\nAuthorization: Basic {basic}\r\nX-Throw: 1\r\n");
    // A session, whose backend sets a cookie and closes with it.
    let mut client = Raw::connect(gateway);
    client.send(request(&format!("/t?token={query}&shown=by-intent"), &right).as_bytes());
    let (mut leg, asked) = backend.take_request();
    assert!(
        asked.contains("n4med-value-in-a-header") && asked.contains("code=n4med-value-in-a-query"),
        "{asked}"
    );
    let answer = format!(
        "Sec-WebSocket-Protocol: chat\r\nSet-Cookie: sid={set_cookie}; HttpOnly\r\n\
         X-Echo: {set_cookie} and {cookie} and n4med-value-in-a-query\r\n"
    );
    leg.send(switching(&asked, &answer).as_bytes());
    assert!(client.read_head().contains(set_cookie), "the client has it");
    drop((client, leg));
    // Refusals: by a thrown expression, by keys, for the head, for the path.
    for (path, lines, expected) in [
        (format!("/t?token={query}"), throws.clone(), "500"),
        (format!("/t?token={query}&subscription-key={key}"), throws.clone(), "500"),
        (format!("/t?token={query}"), throws.replace(key, wrong_header), "401"),
        (format!("/t?token={query}&subscription-key={wrong_query}"), common.clone(), "401"),
        (format!("/t?{query}"), format!("{right}Sec-WebSocket-Version: 7\r\n"), "4"),
        (format!("/nowhere?subscription-key={wrong_query}&token={query}"), right.clone(), "404"),
    ] {
        let mut client = Raw::connect(gateway);
        client.send(request(&path, &lines).as_bytes());
        let answer = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        assert_eq!(secrets_in(answer.as_bytes()), Vec::<&str>::new(), "{path}: {answer}");
        assert!(answer.split(' ').nth(1).unwrap().starts_with(expected), "{path}: {answer}");
    }

    // While it runs, the last rows are in the WAL.
    let written = |name: &str| files_in(configuration.folder()).into_iter().find(|path| path.ends_with(name));
    assert!(comes_true(|| {
        let rows = written("rows.json").and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        rows.matches("\"terminated\"").count() == 7
    }));
    let look = || {
        let mut seen = Vec::new();
        for path in files_in(configuration.folder()).into_iter().filter(|path| !given.contains(path)) {
            // Not the control socket, nor a file that is removed meanwhile.
            let Ok(bytes) = fs::read(&path) else { continue };
            assert_eq!(secrets_in(&bytes), Vec::<&str>::new(), "{path:?}");
            seen.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        seen
    };
    let seen = look();
    for part in [".sqlite", ".sqlite-wal", "rows.json", "stdout", "stderr"] {
        assert!(seen.iter().any(|name| name.ends_with(part)), "no {part} among {seen:?}");
    }
    assert_eq!(secrets_in(status_page(status).as_bytes()), Vec::<&str>::new());
    let mut scraper = Raw::connect(status);
    scraper.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = scraper.read_to_end().0;
    assert!(metrics.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(secrets_in(&metrics), Vec::<&str>::new());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    wait_for_exit(&mut child);
    look();
    let sent = receiver.all();
    for signal in ["logs", "traces", "metrics"] {
        assert!(sent.iter().any(|request| request.signal == signal), "no {signal}");
    }
    for request in &sent {
        assert_eq!(secrets_in(&request.bytes), Vec::<&str>::new(), "{}", request.message());
    }
    let spans: Vec<_> = sent.iter().filter(|request| request.signal == "traces").collect();
    assert!(spans.iter().any(|request| String::from_utf8_lossy(&request.bytes).contains("token=***")));

    // They were there to be masked.
    let text = fs::read_to_string(written("rows.json").unwrap()).unwrap();
    let said = fs::read_to_string(&stderr).unwrap();
    for part in ["TraceRecords", "token=***", "\"exception\":\"Exception\"", "***", "shown=by-intent"] {
        assert!(text.contains(part), "{part}");
    }
    let opened = text.lines().find(|line| line.contains("\"ResponseCode\":101")).expect("a session");
    let opened: serde_json::Value = serde_json::from_str(opened).unwrap();
    for (column, name, value) in [
        ("RequestHeaders", "Authorization", "***"),
        ("RequestHeaders", "Ocp-Apim-Subscription-Key", "***"),
        ("RequestHeaders", "Referer", "https://app.example/a?token=***"),
        ("ResponseHeaders", "X-Echo", "*** and *** and ***"),
        ("BackendRequestHeaders", "X-Secret", "***"),
        ("BackendRequestHeaders", "Cookie", "***"),
        ("BackendResponseHeaders", "Set-Cookie", "***"),
        ("BackendResponseHeaders", "X-Echo", "*** and *** and ***"),
    ] {
        assert_eq!(opened[column][name], value, "{column} {name}: {opened}");
    }
    for part in ["a policy traces", "an expression of a policy threw", "***"] {
        assert!(said.contains(part), "{part}");
    }
}

#[test]
fn a_secret_in_the_name_of_a_backends_host_is_masked_in_rows() {
    let document = "<policies><inbound><base/>\
                    <set-backend-service base-url=\"ws://{{host}}.invalid:9/hook\"/></inbound></policies>";
    let instance = "workers = 1\ndrain_s = 1\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[logs]\njson_file = \"rows.json\"\n";
    let configuration = Configuration::new(instance, &api_file("t", closed_port(), "dial_timeout_ms = 2000"))
        .with_file("catalog/policies/apis/t.xml", document)
        .with_secret_file("catalog/named-values.toml", "[host]\nvalue = \"N4med-Value\"\nsecret = true\n");
    let stdout = configuration.folder().join("stdout");
    let mut command = configuration.command();
    command.stdout(Stdio::from(fs::File::create(&stdout).unwrap()));
    let mut child = command.spawn().unwrap();
    let gateway = address_behind("listening on ws://", &stdout);
    let mut client = Raw::connect(gateway);
    client.send(request("/t", "").as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 50"), "{head}");
    drop(client);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    wait_for_exit(&mut child);
    let rows = fs::read_to_string(configuration.folder().join("rows.json")).unwrap();
    assert!(rows.contains("\"BackendUrl\":\"ws://***.invalid:9/hook"), "{rows}");
    assert!(!rows.to_lowercase().contains("n4med-value"), "{rows}");
}
