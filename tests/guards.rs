//! Policies that keep count, over sockets: who is let in, and when a place comes back.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use std::net::SocketAddr;
use support::backend::{Backend, closed_port, switching, tungstenite_echo};
use support::frames::client_frame;
use support::raw::{Raw, request};
use support::{TestInstance, api_file, wait_until};

const FULL: &str = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 83\r\n\
                    Connection: close\r\n\r\n\
                    { \"statusCode\": 429, \"message\": \"Concurrency limit is exceeded. Try again later.\" }";

fn gateway(workers: usize, backend: SocketAddr, document: &str) -> TestInstance {
    let api = api_file("t", backend, "");
    TestInstance::start_catalog(
        &format!("workers = {workers}"),
        &[("apis/t.toml", &api), ("policies/apis/t.xml", document)],
    )
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
    String::from_utf8(ask(gateway, user).read_to_end().0).unwrap()
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

#[test]
fn exactly_max_count_are_let_in_of_a_storm_on_two_workers() {
    const MOST: usize = 7;
    let gateway = gateway(2, tungstenite_echo(), &limited(MOST as u32));
    let clients: Vec<Raw> = std::thread::scope(|scope| {
        let storm: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..10).map(|_| ask(&gateway, "all")).collect::<Vec<_>>()))
            .collect();
        storm.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
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
    assert_eq!(let_in.len(), MOST);
    drop(let_in);
    gateway.wait_for_rest();
    gateway.end();
}
