//! Policies that keep count, over sockets: who is let in, and when a place comes back.

use crate::support::backend::{Backend, closed_port, switching, tungstenite_echo};
use crate::support::frames::client_frame;
use crate::support::handshake::without_date;
use crate::support::raw::{Raw, header, request};
use crate::support::{TestInstance, api_file, locked_api_file, subscription_file, wait_until};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::net::SocketAddr;

const FULL: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 83\r\n\
                    Connection: close\r\n\r\n\
                    { \"statusCode\": 429, \"message\": \"Concurrency limit is exceeded. Try again later.\" }";

fn gateway(workers: usize, backend: SocketAddr, document: &str) -> TestInstance {
    let api = api_file("t", backend, "");
    TestInstance::start_catalog(&format!("workers = {workers}"), &files(&api, document))
}

fn files<'f>(api: &'f str, document: &'f str) -> [(&'static str, &'f str); 2] {
    [("apis/t.toml", api), ("policies/apis/t.xml", document)]
}

/// A document that lets in `most` sessions at once for each value of `X-User`.
fn limited(most: u32) -> String {
    format!(
        "<policies><inbound><base/><limit-concurrency max-count=\"{most}\" \
         key=\"@(context.Request.Headers.GetValueOrDefault(\"X-User\",\"\"))\"/></inbound></policies>"
    )
}

fn ask(gateway: &TestInstance, user: &str) -> Raw {
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", &format!("X-User: {user}\r\n")).as_bytes());
    client
}

fn answer(gateway: &TestInstance, user: &str) -> String {
    without_date(&String::from_utf8(ask(gateway, user).read_to_end().0).unwrap())
}

/// A session that has echoed, so that it is with a relay.
fn session(gateway: &TestInstance, user: &str) -> Raw {
    let mut client = ask(gateway, user);
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.send(&client_frame(0x81, b"hello"));
    client.expect(b"\x81\x05hello");
    client
}

#[test]
fn a_session_holds_its_slot_until_it_ends() {
    let gateway = gateway(1, tungstenite_echo(), &limited(2));
    let slots = || gateway.instance.budgets().slots().keys();
    let first = session(&gateway, "ann");
    let second = session(&gateway, "ann");
    assert_eq!(answer(&gateway, "ann"), FULL);
    let other = session(&gateway, "bob");
    assert_eq!(slots(), 2);
    drop(other);
    wait_until("the slot of a session that is over", || slots() == 1);
    drop(first);
    wait_until("a slot for another", || ask(&gateway, "ann").read_head().starts_with("HTTP/1.1 101 "));
    drop(second);
    gateway.wait_for_rest();
    wait_until("all slots", || slots() == 0);
    gateway.end();
}

#[test]
fn an_opening_holds_its_slot_and_gives_it_back_however_it_fails() {
    let backend = Backend::new();
    let waiting = gateway(1, backend.address, &limited(1));
    let slots = |gateway: &TestInstance| gateway.instance.budgets().slots().keys();

    // The backend has not answered yet.
    let client = ask(&waiting, "ann");
    let (mut leg, _) = backend.take_request();
    assert_eq!(answer(&waiting, "ann"), FULL);
    // It refuses.
    leg.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    wait_until("the slot of a refused opening", || slots(&waiting) == 0);
    drop((client, leg));

    // The client leaves.
    let client = ask(&waiting, "ann");
    let (leg, _) = backend.take_request();
    assert_eq!(slots(&waiting), 1);
    drop(client);
    wait_until("the slot of a client that left", || slots(&waiting) == 0);
    drop(leg);

    // And it is there for the next.
    let mut client = ask(&waiting, "ann");
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    drop((client, leg));
    waiting.wait_for_rest();
    waiting.end();

    // Nobody listens.
    let refused = gateway(1, closed_port(), &limited(1));
    for _ in 0..3 {
        assert!(answer(&refused, "ann").starts_with("HTTP/1.1 502 "));
    }
    refused.wait_for_rest();
    refused.end();
}

/// Forty clients from four threads at once: the sessions of those who are let in; the others get a 429.
fn storm(gateway: &TestInstance) -> Vec<Raw> {
    let clients: Vec<Raw> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..10).map(|_| ask(gateway, "all")).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut let_in = Vec::new();
    for mut client in clients {
        let head = client.read_head();
        if head.starts_with("HTTP/1.1 101 ") {
            let_in.push(client);
        } else {
            assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
        }
    }
    let_in
}

#[test]
fn exactly_max_count_are_let_in_of_a_storm_on_two_workers() {
    const MOST: usize = 7;
    let gateway = gateway(2, tungstenite_echo(), &limited(MOST as u32));
    let let_in = storm(&gateway);
    assert_eq!(let_in.len(), MOST);
    drop(let_in);
    gateway.wait_for_rest();
    gateway.end();
}

/// A document that lets in so many handshakes in five minutes for each value of `X-User`.
fn rated(calls: u32) -> String {
    format!(
        "<policies><inbound><base/><rate-limit-by-key calls=\"{calls}\" renewal-period=\"300\" \
         counter-key=\"@(context.Request.Headers.GetValueOrDefault(\"X-User\",\"\"))\"/></inbound></policies>"
    )
}

#[test]
fn exactly_as_many_calls_as_a_rate_allows_are_let_in_of_a_storm_and_a_publish_forgets_none() {
    let echo = tungstenite_echo();
    let api = api_file("t", echo, "");
    let mut gateway = gateway(2, echo, &rated(7));
    assert_eq!(storm(&gateway).len(), 7);
    assert_eq!(storm(&gateway).len(), 0, "those who have ended were counted all the same");
    gateway.publish_catalog(&files(&api, &rated(7).replace("<base/>", "")));
    assert_eq!(storm(&gateway).len(), 0);
    gateway.publish_catalog(&files(&api, &rated(10)));
    assert_eq!(storm(&gateway).len(), 3);
    gateway.publish_catalog(&files(&api, "<policies/>"));
    assert_eq!(storm(&gateway).len(), 40);
    gateway.publish_catalog(&files(&api, &rated(11)));
    assert_eq!(storm(&gateway).len(), 1, "what is counted outlives the document that it was counted for");
    gateway.wait_for_rest();
    gateway.end();
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A token of HS256 with this payload.
fn token(payload: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A policy that wants such a token, and finds it by these attributes.
fn validate(attributes: &str) -> String {
    format!(
        "<validate-jwt {attributes} require-expiration-time=\"false\" output-token-variable-name=\"jwt\">\
         <issuer-signing-keys><key>{}</key></issuer-signing-keys></validate-jwt>",
        STANDARD.encode(SECRET)
    )
}

#[test]
fn each_guard_in_turn_refuses_with_its_own_words_and_who_passes_all_is_told_to_the_backend() {
    let backend = Backend::new();
    let document = format!(
        "<policies><inbound><base/>{}\
         <rate-limit calls=\"1\" renewal-period=\"300\"/>\
         <set-header name=\"X-User\"><value>@(((Jwt)context.Variables[\"jwt\"]).Subject)</value></set-header>\
         <set-header name=\"Authorization\" exists-action=\"delete\"/>\
         </inbound></policies>",
        validate("header-name=\"Authorization\" require-scheme=\"Bearer\"")
    );
    let api = locked_api_file("t", backend.address, "");
    let subscription = subscription_file("/apis/t", "one", "");
    let mut all = files(&api, &document).to_vec();
    all.push(("subscriptions/acme.toml", &subscription));
    let gateway = TestInstance::start_catalog("workers = 1", &all);
    let answer = |lines: &str| {
        let mut client = Raw::connect(gateway.address);
        client.send(request("/t", lines).as_bytes());
        client
    };
    let refused = |lines: &str| without_date(&String::from_utf8(answer(lines).read_to_end().0).unwrap());

    // Lengths as they were captured from Azure API Management.
    for (lines, length, word) in
        [("", 152, "missing"), ("Ocp-Apim-Subscription-Key: two\r\n", 143, "invalid")]
    {
        let refused = refused(lines);
        assert!(refused.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{refused}");
        assert!(refused.contains(&format!("\r\nContent-Length: {length}\r\n")), "{refused}");
        assert!(refused.contains(&format!("due to {word} subscription key.")), "{refused}");
    }
    let key = "Ocp-Apim-Subscription-Key: one\r\n";
    assert_eq!(
        refused(key),
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 52\r\nConnection: close\r\n\r\n\
         { \"statusCode\": 401, \"message\": \"JWT not present.\" }"
    );
    let with_token = format!("{key}Authorization: Bearer {}\r\n", token(r#"{"sub":"ann"}"#));
    let mut client = answer(&with_token);
    let (mut leg, asked) = backend.take_request();
    assert_eq!((header(&asked, "X-User"), header(&asked, "Authorization")), (Some("ann"), None), "{asked}");
    leg.send(switching(&asked, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    // A second may have passed meanwhile, so the number is not always the same; its length is.
    let limited = refused(&with_token);
    let seconds = header(&limited, "Retry-After").unwrap();
    assert!((290..=300).contains(&seconds.parse::<u32>().unwrap()), "{limited}");
    assert_eq!(
        limited,
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: {seconds}\r\n\
             Content-Length: 85\r\nConnection: close\r\n\r\n\
             {{ \"statusCode\": 429, \"message\": \"Rate limit is exceeded. Try again in {seconds} seconds.\" }}"
        )
    );
    drop((client, leg));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_browser_shows_its_token_as_a_subprotocol_which_nobody_behind_sees() {
    let backend = Backend::new();
    let document =
        format!("<policies><inbound><base/>{}</inbound></policies>", validate("protocol-prefix=\"bearer.\""));
    let gateway = gateway(1, backend.address, &document);
    let asking = |protocols: &str| {
        let mut client = Raw::connect(gateway.address);
        let lines = format!("Origin: https://app.example\r\nSec-WebSocket-Protocol: {protocols}\r\n");
        client.send(request("/t", &lines).as_bytes());
        client
    };
    let carrying = format!("bearer.{}", token("{}"));
    let mut client = asking(&format!("chat, {carrying}"));
    let (mut leg, asked) = backend.take_request();
    assert_eq!(header(&asked, "Sec-WebSocket-Protocol"), Some("chat"), "{asked}");
    assert!(!asked.contains("bearer."), "{asked}");
    leg.send(switching(&asked, "Sec-WebSocket-Protocol: chat\r\n").as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "Sec-WebSocket-Protocol"), Some("chat"), "{head}");
    drop((client, leg));

    // A backend that chooses what it was not asked for, as it would if it had the token some other way.
    let mut client = asking(&format!("chat, {carrying}"));
    let (mut leg, asked) = backend.take_request();
    leg.send(switching(&asked, &format!("Sec-WebSocket-Protocol: {carrying}\r\n")).as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    drop((client, leg));

    for (protocols, message) in [("chat", "JWT not present."), ("chat, bearer.x", "Invalid JWT.")] {
        let refused = String::from_utf8(asking(protocols).read_to_end().0).unwrap();
        assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains(message), "{refused}");
        assert!(!refused.contains("bearer."), "{refused}");
    }
    gateway.wait_for_rest();
    gateway.end();
}
