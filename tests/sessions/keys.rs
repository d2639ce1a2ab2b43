//! Subscription keys over sockets: who gets in, what the others are told, and what the backend is asked.

use crate::support::backend::{Backend, closed_port, switching, tungstenite_echo};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, header, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time};
use crate::support::{TestInstance, api_file, key_hash, locked_api_file, subscription_file, wait_until};
use ringgate::catalog::key_secret::KeySecret;
use ringgate::catalog::timestamp::Timestamp;
use ringgate::session::{Cause, Phase};
use rustix::process::Signal;
use std::time::{SystemTime, UNIX_EPOCH};

const MISSING: &str = "Access denied due to missing subscription key. Make sure to include subscription key when making \
                       requests to an API.";
const INVALID: &str = "Access denied due to invalid subscription key. Make sure to provide a valid key for an active \
                       subscription.";

/// The secret of an instance, as its file has it.
const SECRET: &str = "6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d6b1f0c7d";

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The status that a request is answered with.
fn status(gateway: &TestInstance, path: &str, lines: &str) -> u16 {
    let mut client = Raw::connect(gateway.address);
    client.send(request(path, lines).as_bytes());
    let head = client.read_head();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Looks whether a request is refused in Azure API Management's exact words.
fn refuses(
    gateway: &TestInstance,
    path: &str,
    lines: &str,
    (message, length): (&str, &str),
    header_name: &str,
) {
    let mut client = Raw::connect(gateway.address);
    client.send(request(path, lines).as_bytes());
    let head = read_refusal(&mut client, 401, message);
    assert_eq!(header(&head, "Content-Length"), Some(length), "{head}");
    let suffix = path.split('?').next().unwrap();
    let challenge = format!(
        "AzureApiManagementKey realm=\"http://gateway.example{suffix}\",name=\"{header_name}\",type=\"header\""
    );
    assert_eq!(header(&head, "WWW-Authenticate"), Some(challenge.as_str()), "{head}");
}

#[test]
fn a_valid_key_opens_from_the_header_or_the_query_and_goes_on_to_the_backend() {
    let backend = Backend::new();
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[
            ("apis/t.toml", &locked_api_file("t", backend.address, "")),
            ("subscriptions/acme.toml", &subscription_file("/apis/t", KEY, "")),
        ],
    );
    let in_header = format!("Ocp-Apim-Subscription-Key: {KEY}\r\n");
    let in_query = format!("/t/room?a=b&subscription-key={KEY}");
    let encoded = format!("/t?subscription-key=%30{}", &KEY[1..]);
    for (path, lines) in [("/t/room?a=b", in_header.as_str()), (&in_query, ""), (&encoded, "")] {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, lines).as_bytes());
        let (mut leg, asked) = backend.take_request();
        // As Azure API Management does, the key stays in the request unless a policy takes it out.
        assert!(
            asked.starts_with(&format!("GET {} HTTP/1.1\r\n", &path[2..]).replace("GET ?", "GET /?")),
            "{asked}"
        );
        let key = (!lines.is_empty()).then_some(KEY);
        assert_eq!(header(&asked, "Ocp-Apim-Subscription-Key"), key, "{asked}");
        leg.send(switching(&asked, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    }
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn the_names_of_header_and_parameter_are_those_of_the_api() {
    let names = "subscription_key_names = { header = \"X-Api-Key\", query = \"key\" }";
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[
            ("apis/t.toml", &locked_api_file("t", tungstenite_echo(), names)),
            ("subscriptions/acme.toml", &subscription_file("/apis", KEY, "")),
        ],
    );
    assert_eq!(status(&gateway, "/t", &format!("x-api-key: {KEY}\r\n")), 101);
    assert_eq!(status(&gateway, &format!("/t?key={KEY}"), ""), 101);
    let usual = format!("Ocp-Apim-Subscription-Key: {KEY}\r\n");
    refuses(&gateway, "/t", &usual, (MISSING, "152"), "X-Api-Key");
    refuses(&gateway, &format!("/t?subscription-key={KEY}"), "", (MISSING, "152"), "X-Api-Key");
    refuses(&gateway, &format!("/t?key={KEY}"), "X-Api-Key: other\r\n", (INVALID, "143"), "X-Api-Key");
    gateway.wait_for_terminations(Cause::Key, Phase::Head, 3);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_key_that_opens_nothing_is_refused_even_where_none_is_needed() {
    let nowhere = closed_port();
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[
            ("apis/t.toml", &api_file("t", nowhere, "")),
            ("apis/other.toml", &locked_api_file("other", nowhere, "")),
            ("subscriptions/of-other.toml", &subscription_file("/apis/other", "of-other", "")),
            ("subscriptions/stopped.toml", &subscription_file("/apis", "stopped", "state = \"suspended\"")),
        ],
    );
    let name = "Ocp-Apim-Subscription-Key";
    for key in ["unknown", "of-other", "stopped"] {
        refuses(&gateway, "/t", &format!("{name}: {key}\r\n"), (INVALID, "143"), name);
        refuses(&gateway, &format!("/t?subscription-key={key}"), "", (INVALID, "143"), name);
    }
    // Which one a backend would take is not known.
    let twice = format!("{name}: of-other\r\n").repeat(2);
    refuses(&gateway, "/other", &twice, (INVALID, "143"), name);
    refuses(
        &gateway,
        "/other?subscription-key=of-other&subscription-key=of-other",
        "",
        (INVALID, "143"),
        name,
    );
    // Nobody answers there, which shows who got through.
    assert_eq!(status(&gateway, "/t", ""), 502);
    assert_eq!(status(&gateway, "/other", &format!("{name}: of-other\r\n")), 502);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_open_product_lets_everybody_in_while_it_is_published() {
    let api = locked_api_file("t", closed_port(), "products = [\"open\", \"starter\"]");
    let starter = subscription_file("/products/starter", KEY, "");
    let open =
        |state: &str| format!("display_name = \"O\"\nsubscription_required = false\nstate = \"{state}\"");
    let (published, hidden) = (open("published"), open("notPublished"));
    let files = |open| {
        [
            ("apis/t.toml", api.as_str()),
            ("products/open.toml", open),
            ("products/starter.toml", "display_name = \"S\""),
            ("subscriptions/acme.toml", starter.as_str()),
        ]
    };
    let mut gateway = TestInstance::start_catalog("workers = 1", &files(&published));
    let key = format!("/t?subscription-key={KEY}");
    // Nobody answers there, which shows who got through.
    assert_eq!((status(&gateway, "/t", ""), status(&gateway, &key, "")), (502, 502));
    gateway.publish_catalog(&files(&hidden));
    assert_eq!((status(&gateway, "/t", ""), status(&gateway, &key, "")), (401, 502));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_subscription_is_over_at_its_moment_without_a_publish() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let soon = Timestamp::from_unix(now + 2);
    let gateway = TestInstance::start_catalog(
        "workers = 1",
        &[
            ("apis/t.toml", &locked_api_file("t", closed_port(), "")),
            (
                "subscriptions/acme.toml",
                &subscription_file("/apis/t", KEY, &format!("expiration_date = {soon}")),
            ),
        ],
    );
    let key = format!("/t?subscription-key={KEY}");
    let mut seen = Vec::new();
    wait_until("the end of the subscription", || {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let answer = status(&gateway, &key, "");
        seen.push((before, answer));
        answer == 401
    });
    assert!(seen.iter().all(|(before, answer)| *before < now + 2 || *answer == 401), "{seen:?}");
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn versions_are_told_apart_by_a_header_or_a_parameter() {
    let nowhere = closed_port();
    let [closed, missing] = [api_file("t", nowhere, ""), locked_api_file("t", nowhere, "")];
    for (scheme, path, lines) in [
        ("\"Header\"\nversion_header_name = \"Api-Version\"", "/t", "Api-Version: v2\r\n"),
        ("\"Query\"\nversion_query_name = \"v\"", "/t?v=v2", ""),
        ("\"Segment\"", "/t/v2", ""),
    ] {
        let set = format!("display_name = \"V\"\nversioning_scheme = {scheme}");
        let gateway = TestInstance::start_catalog(
            "workers = 1",
            &[
                ("apis/original.toml", &format!("{closed}version_set = \"v\"")),
                ("apis/second.toml", &format!("{missing}version_set = \"v\"\nversion = \"v2\"")),
                ("version-sets/v.toml", &set),
            ],
        );
        // The original needs no key and nobody answers; the second version needs one.
        assert_eq!((status(&gateway, path, lines), status(&gateway, "/t", "")), (401, 502), "{scheme}");
        gateway.wait_for_rest();
        gateway.end();
    }
}

#[test]
fn serve_lets_in_who_has_a_key_that_was_hashed_under_the_secret_in_its_file() {
    let hash = KeySecret::parse(SECRET).unwrap().hasher().text_of(KEY.as_bytes());
    let subscription = subscription_file("/apis", KEY, "").replace(&key_hash(KEY), &hash);
    let configuration = Configuration::new(INSTANCE, &locked_api_file("t", tungstenite_echo(), ""))
        .with_file("catalog/subscriptions/acme.toml", &subscription)
        .with_secret_file("ringgate.key", SECRET);
    let served = Served::start(&configuration);
    for (key, status) in [(KEY, "101"), ("another", "401")] {
        let mut client = Raw::connect(served.address);
        client.send(request("/t", &format!("Ocp-Apim-Subscription-Key: {key}\r\n")).as_bytes());
        assert_eq!(client.read_head().split(' ').nth(1), Some(status), "{key}");
    }
}

#[test]
fn serve_does_not_start_without_the_secret_of_its_keys_or_with_one_that_others_can_read() {
    let api = locked_api_file("t", closed_port(), "");
    let configuration = Configuration::new(INSTANCE, &api)
        .with_file("catalog/subscriptions/acme.toml", &subscription_file("/apis", KEY, ""));
    let said = |configuration: &Configuration| {
        let output = output_in_time(configuration.command());
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said(&configuration);
    assert!(missing.contains("ringgate.key: is not there"), "{missing}");
    let configuration = configuration.with_file("ringgate.key", SECRET);
    let open = said(&configuration);
    assert!(open.contains("ringgate.key: is open to others") && !open.contains(SECRET), "{open}");
    let configuration = configuration.with_secret_file("ringgate.key", &SECRET[1..]);
    let short = said(&configuration);
    assert!(short.contains("ringgate.key: holds no secret") && !short.contains(&SECRET[1..]), "{short}");
}

#[test]
fn no_log_and_no_counter_shows_a_key_however_much_is_logged() {
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    let configuration =
        Configuration::new(&instance, &locked_api_file("t", closed_port(), "")).with_log("trace");
    let served = Served::start(&configuration);
    for (path, lines) in [
        ("/t".to_owned(), format!("Ocp-Apim-Subscription-Key: {KEY}\r\n")),
        (format!("/t?subscription-key={KEY}"), String::new()),
        // A head that is refused before its key is looked at.
        (format!("/t?subscription-key={KEY}"), "Sec-WebSocket-Version: 7\r\n".to_owned()),
        (format!("/nowhere?subscription-key={KEY}"), String::new()),
    ] {
        let mut client = Raw::connect(served.address);
        client.send(request(&path, &lines).as_bytes());
        let (answer, _) = client.read_to_end();
        assert!(!String::from_utf8_lossy(&answer).contains(KEY));
    }
    assert!(!served.status_page().contains(KEY));
    served.signal(Signal::TERM);
    let mut said = String::new();
    while !said.contains("drained") {
        said.push_str(&served.next_said());
        said.push('\n');
    }
    assert!(said.contains("refused an opening") && !said.contains(KEY), "{said}");
}

#[test]
fn no_debug_output_of_a_snapshot_shows_a_hash_or_a_secret() {
    let mut files = ringgate::catalog::CatalogFiles::default();
    files.insert("apis/t.toml", api_file("t", closed_port(), ""));
    files.insert("subscriptions/acme.toml", subscription_file("/apis", KEY, ""));
    files.insert("named-values.toml", "[password]\nvalue = \"hush\"\nsecret = true");
    let snapshot = ringgate::compiled::compile(&files, None).unwrap();
    let shown = format!("{snapshot:?}");
    assert!(
        shown.contains("acme") && !shown.contains("hush") && !shown.contains(&key_hash(KEY)[12..]),
        "{shown}"
    );
}
