//! Refusals: every answer of ringgate's own to a client that gets no session, over real sockets.

use crate::support::backend::{Backend, Pair, closed_port, switching};
use crate::support::handshake::{Handshake, is_to_come_again, read_refusal, read_refusal_of};
use crate::support::raw::{KEY, Raw, StreamEnd, header, request};
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::session::{Cause, Phase};
use std::time::{Duration, Instant};

/// One place only: a refusal that kept its place would show in the next one, as a 503.
const ONE_PLACE: &str = "workers = 1\n[limits]\nconnections_max = 1";

/// Heads that are not complete in time are refused soon.
const IMPATIENT: &str = "workers = 1\n[limits]\nhead_timeout_ms = 150";

/// An instance with one API at `/t` whose backend nobody is to reach.
fn without_backend(instance_lines: &str) -> TestInstance {
    let nowhere = closed_port();
    TestInstance::start_with(instance_lines, &[("t", &api_file("t", nowhere, ""))])
}

/// Header fields that an answer must have.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// Sends `bytes`, reads the refusal, and checks further header fields of it.
fn refuses(gateway: &TestInstance, bytes: &[u8], status: u16, message: &str, fields: Fields<'_>) {
    let mut client = Raw::connect(gateway.address);
    client.send(bytes);
    let head = read_refusal(&mut client, status, message);
    for (name, value) in fields {
        assert_eq!(header(&head, name), Some(*value), "{head}");
    }
}

#[test]
fn refuses_every_fault_of_a_head_with_its_own_answer_and_keeps_no_place() {
    let gateway = without_backend(ONE_PLACE);
    let correct = Handshake::new("/t");
    let with_many =
        |count: usize| (0..count).fold(correct.clone(), |head, index| head.with(format!("X-{index}: 1")));
    let method = |method| Handshake { method, ..correct.clone() };
    let version = |version| Handshake { version, ..correct.clone() };
    let upgrade = [("Upgrade", "websocket")];
    let version_13 = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let no_fields: Fields<'_> = &[];
    let table: &[(Handshake, u16, &str, Fields<'_>)] = &[
        (
            correct.clone().with(format!("X: {}", "x".repeat(16 * 1024))),
            431,
            "Request head too large",
            no_fields,
        ),
        (with_many(96), 431, "Too many request headers", no_fields),
        (Handshake::new(&format!("/t/{}", "x".repeat(8190))), 414, "Request target too long", no_fields),
        (version("HTTP/1.0"), 426, "WebSocket upgrade required: use HTTP/1.1", &upgrade),
        (version("HTTP/2.0"), 505, "HTTP version not supported: use HTTP/1.1", no_fields),
        (version("HTTP/3"), 505, "HTTP version not supported: use HTTP/1.1", no_fields),
        (version("HTTP/1.10"), 400, "Malformed request line", no_fields),
        (method("POST"), 405, "Method not allowed: use GET", &[("Allow", "GET")]),
        (method("get"), 405, "Method not allowed: use GET", &[("Allow", "GET")]),
        (correct.clone().without("Host"), 400, "Host header missing", no_fields),
        (correct.clone().with("host: gateway.example"), 400, "Host header repeated", no_fields),
        (correct.clone().with_only("Host: a b"), 400, "Host header is not a valid authority", no_fields),
        (correct.clone().with_only("Host: user@a"), 400, "Host header is not a valid authority", no_fields),
        (correct.clone().with(" folded"), 400, "Folded header line", no_fields),
        (correct.clone().with("X: a\rb"), 400, "Bare CR in head", no_fields),
        (correct.clone().with("X: a\nY: b"), 400, "Bare LF in head", no_fields),
        (correct.clone().with("X: a\0b"), 400, "Control character in head", no_fields),
        (correct.clone().with("X: a\x07b"), 400, "Control character in head", no_fields),
        (correct.clone().with("X : a"), 400, "Space before colon in header line", no_fields),
        (correct.clone().with("Content-Length: 1"), 400, "Content-Length not allowed", no_fields),
        (correct.clone().with("Transfer-Encoding: chunked"), 400, "Transfer-Encoding not allowed", no_fields),
        (Handshake::new("/"), 404, "Resource not found", no_fields),
        (Handshake::new("/tt"), 404, "Resource not found", no_fields),
        (Handshake::new("/T"), 404, "Resource not found", no_fields),
        (correct.clone().without("Upgrade"), 426, "WebSocket upgrade required", &upgrade),
        (correct.clone().with_only("Upgrade: h2c"), 426, "WebSocket upgrade required", &upgrade),
        (correct.clone().without("Connection"), 426, "WebSocket upgrade required", &upgrade),
        (correct.clone().with_only("Connection: keep-alive"), 426, "WebSocket upgrade required", &upgrade),
        (
            correct.clone().without("Sec-WebSocket-Version"),
            426,
            "WebSocket version not supported: use 13",
            &version_13,
        ),
        (
            correct.clone().with_only("Sec-WebSocket-Version: 8"),
            426,
            "WebSocket version not supported: use 13",
            &version_13,
        ),
        (correct.clone().without("Sec-WebSocket-Key"), 400, "Sec-WebSocket-Key header missing", no_fields),
        (
            correct.clone().with(format!("Sec-WebSocket-Key: {KEY}")),
            400,
            "Sec-WebSocket-Key header repeated",
            no_fields,
        ),
        (
            correct.clone().with_only("Sec-WebSocket-Key: c2hvcnQ="),
            400,
            "Sec-WebSocket-Key header is not 16 bytes in base64",
            no_fields,
        ),
        (Handshake::new("/t/.."), 400, "Request path leaves the API", no_fields),
        (Handshake::new("/x/../t"), 400, "Request path leaves the API", no_fields),
        (Handshake::new("/%2E/t"), 400, "Request path has a dot segment where it names the API", no_fields),
        (
            Handshake::new("/t%2Fx"),
            400,
            "Request path has a backslash or an encoded slash where it names the API",
            no_fields,
        ),
        (
            Handshake::new("/t;v=1"),
            400,
            "Request path has a parameter other than ;rev=N where it names the API",
            no_fields,
        ),
        (
            Handshake::new("/t%3bv"),
            400,
            "Request path has an encoded reserved character where it names the API",
            no_fields,
        ),
        (
            Handshake::new("/t%zz"),
            400,
            "Request path has a malformed percent-encoding where it names the API",
            no_fields,
        ),
        (Handshake::new("/t;rev=2"), 404, "Resource not found", no_fields),
        (Handshake::new("*"), 400, "Request target has no path", no_fields),
        (Handshake::new("gateway.example:80"), 400, "Request target has no path", no_fields),
    ];
    for (head, status, message, fields) in table {
        refuses(&gateway, &head.encode(), *status, message, fields);
    }
    refuses(&gateway, b"GET /t\r\n\r\n", 400, "Malformed request line", &[]);
    let without_api = table.iter().filter(|row| row.1 == 404).count() as u64;
    gateway.wait_for_terminations(Cause::NoApi, Phase::Head, without_api);
    let head_faults = table.len() as u64 + 1 - without_api;
    gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, head_faults);
    gateway.wait_for_rest();
    gateway.end();
}

/// Every fault at once; then they are mended in the order in which they count.
#[test]
fn the_first_fault_in_the_fixed_order_answers() {
    let gateway = without_backend("workers = 1");
    let mut head =
        Handshake { method: "POST", version: "HTTP/1.0", target: "/t/..".to_owned(), lines: vec![] };
    head.lines = (0..100).map(|index| format!("X-{index}: 1")).collect();
    head = head.with("X: a\nY: b").with("Content-Length: 1").with("Sec-WebSocket-Key: short");
    head.target = format!("/nowhere/{}", "x".repeat(16 * 1024));
    let expect =
        |head: &Handshake, status, message: &str| refuses(&gateway, &head.encode(), status, message, &[]);
    expect(&head, 431, "Request head too large");
    head.target.truncate(9 * 1024);
    expect(&head, 431, "Too many request headers");
    head.lines.drain(..100);
    expect(&head, 414, "Request target too long");
    head.target = "/nowhere".to_owned();
    expect(&head, 426, "WebSocket upgrade required: use HTTP/1.1");
    head.version = "HTTP/2.0";
    expect(&head, 505, "HTTP version not supported: use HTTP/1.1");
    head.version = "HTTP/1.1";
    expect(&head, 405, "Method not allowed: use GET");
    head.method = "GET";
    expect(&head, 400, "Host header missing");
    head = head.with("Host: a");
    expect(&head, 400, "Bare LF in head");
    head = head.with_only("X: a");
    expect(&head, 400, "Content-Length not allowed");
    head = head.without("Content-Length");
    head.target = "/nowhere/../..".to_owned();
    expect(&head, 400, "Request path leaves the API");
    head.target = "/nowhere".to_owned();
    expect(&head, 404, "Resource not found");
    head.target = "*".to_owned();
    expect(&head, 426, "WebSocket upgrade required");
    head = head.with("Connection: Upgrade").with("Upgrade: websocket");
    expect(&head, 426, "WebSocket version not supported: use 13");
    head = head.with("Sec-WebSocket-Version: 13");
    expect(&head, 400, "Sec-WebSocket-Key header is not 16 bytes in base64");
    head = head.with_only(&format!("Sec-WebSocket-Key: {KEY}"));
    expect(&head, 400, "Request target has no path");
    gateway.wait_for_rest();
    gateway.end();
}

/// HEAD is refused like every method but GET, and never passed on, so no backend's answer to it comes back either.
#[test]
fn an_answer_to_head_has_no_body_whatever_is_refused() {
    // At this address nobody listens: a dial would be 502.
    let gateway = without_backend("workers = 1\n[limits]\nhead_timeout_ms = 150");
    let methods = ["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get", "head", "HEADER"];
    for method in methods {
        let correct = Handshake { method, ..Handshake::new("/t") };
        let version = |version| Handshake { version, ..correct.clone() };
        let with_many = (0..96).fold(correct.clone(), |head, index| head.with(format!("X-{index}: 1")));
        let long_head = correct.clone().with(format!("X: {}", "x".repeat(16 * 1024)));
        let long_target = Handshake { target: format!("/t/{}", "x".repeat(8190)), ..correct.clone() };
        let late = correct.encode()[..40].to_vec();
        let other_method = |status, message| {
            if method == "GET" { (502, "the backend cannot be reached") } else { (status, message) }
        };
        let not_get = other_method(405, "Method not allowed: use GET");
        for (bytes, (status, message)) in [
            (long_head.encode(), (431, "Request head too large")),
            (with_many.encode(), (431, "Too many request headers")),
            (long_target.encode(), (414, "Request target too long")),
            (late, (408, "Request head not complete in time")),
            (version("HTTP/1.10").encode(), (400, "Malformed request line")),
            (version("HTTP/1.0").encode(), (426, "WebSocket upgrade required: use HTTP/1.1")),
            (version("HTTP/2.0").encode(), (505, "HTTP version not supported: use HTTP/1.1")),
            (version("HTTP/1.2").encode(), not_get),
            (correct.encode(), not_get),
            ([b"\r\n", &*correct.encode()].concat(), not_get),
        ] {
            let mut client = Raw::connect(gateway.address);
            client.send(&bytes);
            let head = read_refusal_of(method, &mut client, status, message);
            assert_eq!(header(&head, "Allow"), (status == 405).then_some("GET"), "{head}");
            assert_eq!(header(&head, "Upgrade"), (status == 426).then_some("websocket"), "{head}");
        }
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_answer_to_a_head_that_is_still_coming_at_the_drain_has_no_body_either() {
    let gateway = without_backend("workers = 1\ndrain_s = 0");
    let mut clients: Vec<(&str, Raw)> =
        ["HEAD", "POST"].map(|method| (method, Raw::connect(gateway.address))).into();
    for (method, client) in &mut clients {
        client.send(format!("{method} /t HTTP/1.1\r\nHost:").as_bytes());
    }
    gateway.wait_for_openings(2);
    // The one worker has read what came before when it answers this.
    refuses(&gateway, request("/nowhere", "").as_bytes(), 404, "Resource not found", &[]);
    gateway.instance.drain();
    for (method, client) in &mut clients {
        read_refusal_of(method, client, 503, "this instance is shutting down");
    }
    drop(clients);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_connection_that_is_turned_away_gets_no_body_if_its_head_request_has_come() {
    let gateway = without_backend("workers = 1\n[limits]\nopenings_max = 1\nhead_timeout_ms = 120000");
    let silent = Raw::connect(gateway.address);
    gateway.wait_for_openings(1);
    let asked = |method: &str| {
        let mut client = Raw::connect(gateway.address);
        client.try_send(format!("{method} /t HTTP/1.1\r\n").as_bytes());
        let (bytes, _) = client.read_to_end();
        String::from_utf8(bytes).unwrap()
    };
    // What is answered before the request has come cannot know its method.
    wait_until("a HEAD request that is there when it is turned away", || {
        let answer = asked("HEAD");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
        answer.ends_with("\r\n\r\n") && !answer.contains("Content-Length")
    });
    wait_until("another request that is turned away", || asked("POST").ends_with(" }"));
    drop(silent);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn refuses_a_tls_client_at_its_first_bytes() {
    let gateway = without_backend("workers = 1");
    // A ClientHello's record header and a few bytes of it; the rest never comes.
    refuses(
        &gateway,
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc],
        400,
        "Not an HTTP request",
        &[],
    );
    gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_client_that_has_sent_much_behind_its_head_reads_the_whole_answer_and_an_orderly_end() {
    let gateway = without_backend("workers = 1");
    for behind in [1, 4 * 1024, 60 * 1024] {
        let mut bytes = request("/nowhere", "").into_bytes();
        bytes.resize(bytes.len() + behind, b'x');
        refuses(&gateway, &bytes, 404, "Resource not found", &[]);
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_client_that_has_ended_its_stream_still_reads_its_refusal() {
    let gateway = without_backend("workers = 1");
    let mut client = Raw::connect(gateway.address);
    client.send(request("/nowhere", "").as_bytes());
    client.finish();
    assert!(client.read_head().starts_with("HTTP/1.1 404 "));
    let (body, end) = client.read_to_end();
    assert_eq!(body, b"{ \"statusCode\": 404, \"message\": \"Resource not found\" }");
    assert_eq!(end, StreamEnd::Fin);
    gateway.wait_for_terminations(Cause::NoApi, Phase::Head, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn gives_up_a_client_that_goes_on_sending_after_its_refusal() {
    let gateway = without_backend("workers = 1");
    let mut client = Raw::connect(gateway.address);
    client.send(request("/nowhere", "").as_bytes());
    // Far more than is read after a refusal: sending fails in the end.
    wait_until("a gateway that reads no more", || !client.try_send(&[b'x'; 16 * 1024]));
    drop(client);
    gateway.wait_for_terminations(Cause::NoApi, Phase::Head, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_head_that_is_not_complete_in_time_gets_408() {
    let gateway = without_backend(IMPATIENT);
    let whole = request("/t", "");
    for sent in [0, 1, 20, whole.len() - 1] {
        let begun = Instant::now();
        let mut client = Raw::connect(gateway.address);
        client.send(&whole.as_bytes()[..sent]);
        read_refusal(&mut client, 408, "Request head not complete in time");
        assert!(begun.elapsed() >= Duration::from_millis(150), "after {:?}", begun.elapsed());
    }
    gateway.wait_for_terminations(Cause::HeadFault, Phase::Head, 4);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_fault_that_counts_before_lateness_answers_for_a_late_head() {
    let gateway = without_backend(IMPATIENT);
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(8192));
    refuses(&gateway, long.as_bytes(), 414, "Request target too long", &[]);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_head_that_comes_byte_by_byte_opens_a_session() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    let mut client = Raw::connect(gateway.address);
    for byte in request("/t", "").into_bytes() {
        client.send(&[byte]);
    }
    let backend = backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop((client, backend));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_handshake_of_a_later_minor_version_opens_a_session_as_one_of_1_1() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let mut client = Raw::connect(gateway.address);
        client.send(&Handshake { version, ..Handshake::new("/t") }.encode());
        let (mut session, head) = backend.take_request();
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        session.send(switching(&head, "").replace("HTTP/1.1", version).as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "{version}");
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}

#[test]
fn a_client_that_leaves_before_its_head_is_complete_is_told_nothing() {
    let gateway = without_backend("workers = 1");
    for sent in ["", "GET /t HTTP/1.1\r\n"] {
        let mut client = Raw::connect(gateway.address);
        client.send(sent.as_bytes());
        client.finish();
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
        let mut client = Raw::connect(gateway.address);
        client.send(sent.as_bytes());
        client.reset();
    }
    gateway.wait_for_terminations(Cause::ClientGone, Phase::Head, 4);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_full_instance_says_which_limit_it_is_and_has_the_place_back_when_both_sockets_are_closed() {
    let backend = Backend::new();
    let gateway = TestInstance::start_with(ONE_PLACE, &[("t", &api_file("t", backend.address, ""))]);
    let message = "this instance holds as many connections as it may (connections_max = 1)";
    let full = |gateway: &TestInstance| {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", "").as_bytes());
        let head = read_refusal(&mut client, 503, message);
        assert!(is_to_come_again(&head), "{head}");
    };
    let Pair { mut client, backend: mut backend_end } = Pair::open(gateway.address, &backend);
    full(&gateway);
    // Half of a session is still one.
    client.finish();
    assert_eq!(backend_end.read_to_end(), (Vec::new(), StreamEnd::Fin), "the client's end, passed on");
    full(&gateway);
    drop((client, backend_end));
    gateway.wait_for_rest();

    let pair = Pair::open(gateway.address, &backend);
    full(&gateway);
    drop(pair);
    gateway.wait_for_terminations(Cause::InstanceFull, Phase::Head, 3);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_api_that_wants_a_key_says_what_apim_says() {
    let nowhere = closed_port();
    let api = api_file("t", nowhere, "").replace("subscription_required = false", "");
    let gateway = TestInstance::start_with(ONE_PLACE, &[("t", &api)]);
    let missing = "Access denied due to missing subscription key. \
                   Make sure to include subscription key when making requests to an API.";
    let invalid = "Access denied due to invalid subscription key. \
                   Make sure to provide a valid key for an active subscription.";
    let challenge = "AzureApiManagementKey realm=\"http://gateway.example/t\",name=\"Ocp-Apim-Subscription-Key\",type=\"header\"";
    for (head, message, length) in [
        (request("/t", ""), missing, "152"),
        (request("/t?x=subscription-key", ""), missing, "152"),
        (request("/t?a=b&subscription-key=k", ""), invalid, "143"),
        (request("/t", "ocp-apim-subscription-key: k\r\n"), invalid, "143"),
    ] {
        let fields = [("Content-Length", length), ("WWW-Authenticate", challenge)];
        refuses(&gateway, head.as_bytes(), 401, message, &fields);
    }
    // The key comes before the rules of the handshake.
    refuses(&gateway, b"GET /t HTTP/1.1\r\nHost: gateway.example\r\n\r\n", 401, missing, &[]);
    gateway.wait_for_terminations(Cause::Key, Phase::Head, 5);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_drain_refuses_heads_that_are_still_coming_and_connections_that_are_queued() {
    let gateway = without_backend("workers = 1\ndrain_s = 0");
    let mut clients: Vec<Raw> = (0..20).map(|_| Raw::connect(gateway.address)).collect();
    for client in clients.iter_mut().take(10) {
        client.send(b"GET /t HTTP/1.1\r\nHost:");
    }
    gateway.instance.drain();
    for client in &mut clients {
        let head = read_refusal(client, 503, "this instance is shutting down");
        assert!(is_to_come_again(&head), "{head}");
    }
    drop(clients);
    gateway.wait_for_terminations(Cause::Drain, Phase::Head, 20);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn no_spelling_of_dots_leaves_the_suffix() {
    let gateway = without_backend(ONE_PLACE);
    for target in [
        "/t/..",
        "/t/../",
        "/t/../other",
        "/t/a/../../other",
        "/t/./../other",
        "/t//../../other",
        "/t/%2e%2e",
        "/t/%2E%2e/other",
        "/t/.%2e/other",
        "/t/%2e./other",
        "/t/..%2fother",
        "/t/a%2f..%2F../other",
        "/t/..\\other",
        "/t/..%5cother",
        "/t/..;a=b/other",
        "/t/..?query",
        "http://gateway.example/t/../other",
    ] {
        refuses(&gateway, request(target, "").as_bytes(), 400, "Request path leaves the API", &[]);
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn the_longest_suffix_wins_and_the_rest_and_the_query_reach_its_backend() {
    let (short, long) = (Backend::new(), Backend::new());
    let api = |suffix: &str, backend: &Backend, path: &str| {
        let file = api_file(suffix, backend.address, "");
        file.replace(&format!("ws://{}", backend.address), &format!("ws://{}{path}", backend.address))
    };
    let gateway = TestInstance::start_with(
        ONE_PLACE,
        &[("short", &api("t", &short, "/base/")), ("long", &api("t/u", &long, ""))],
    );
    for (target, backend, expected) in [
        ("/t", &short, "/base/"),
        ("/t/", &short, "/base/"),
        ("/t?a=b", &short, "/base/?a=b"),
        ("/t/uu", &short, "/base/uu"),
        ("/t/a/../b%20c", &short, "/base/a/../b%20c"),
        ("/t/x?", &short, "/base/x?"),
        ("/t/u", &long, "/"),
        ("/t/u?a=?b", &long, "/?a=?b"),
        ("/t/u/v//w/?q", &long, "/v//w/?q"),
        ("ws://other.example/t/u/v", &long, "/v"),
    ] {
        let mut client = Raw::connect(gateway.address);
        client.send(request(target, "").as_bytes());
        let (mut session, head) = backend.take_request();
        assert!(head.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{target}: {head}");
        session.send(switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "{target}");
        drop((client, session));
        gateway.wait_for_rest();
    }
    gateway.end();
}
