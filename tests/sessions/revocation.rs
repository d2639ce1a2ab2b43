//! Revocation: the ends of open sessions whose API, product or subscription is revoked, over real sockets.

use crate::support::TestInstance;
use crate::support::backend::{Backend, Pair, switching};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::{api_file, locked_api_file, subscription_file};
use ringgate::catalog::timestamp::Timestamp;
use ringgate::session::{Cause, Phase};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "00000000000000000000000000000000";

/// Files of a catalogue, by path.
type Files = Vec<(&'static str, String)>;

/// Two APIs that end revoked sessions and one that keeps them, a product, and two subscriptions.
fn files(backend: SocketAddr) -> Files {
    let closes = "on_revoke = \"close\"";
    let product = "display_name = \"P\"\nstate = \"published\"\n".to_owned();
    vec![
        ("apis/t.toml", locked_api_file("t", backend, &format!("{closes}\nproducts = [\"p\"]"))),
        ("apis/open.toml", api_file("open", backend, closes)),
        ("apis/keeps.toml", locked_api_file("keeps", backend, "products = [\"p\"]")),
        ("products/p.toml", product),
        ("subscriptions/acme.toml", subscription_file("/products/p", KEY, "")),
        ("subscriptions/other.toml", subscription_file("/apis", OTHER_KEY, "")),
    ]
}

/// The same with another text for one of the files, or without it if that is empty.
fn with(files: &Files, path: &str, text: &str) -> Files {
    let mut files = files.clone();
    if text.is_empty() {
        files.retain(|(of, _)| *of != path);
    } else {
        files.iter_mut().find(|(of, _)| *of == path).expect("one of the files").1 = text.to_owned();
    }
    files
}

fn start(files: &Files) -> TestInstance {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    TestInstance::start_catalog("workers = 2", &files)
}

fn publish(gateway: &mut TestInstance, files: &Files) {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    gateway.publish_catalog(&files);
}

fn ask(gateway: &TestInstance, path: &str, key: &str) -> Raw {
    let mut client = Raw::connect(gateway.address);
    let line = if key.is_empty() { String::new() } else { format!("Ocp-Apim-Subscription-Key: {key}\r\n") };
    client.send(request(path, &line).as_bytes());
    client
}

fn open(gateway: &TestInstance, backend: &Backend, path: &str, key: &str) -> Pair {
    let mut client = ask(gateway, path, key);
    let session = backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    Pair { client, backend: session }
}

/// The client is told 1008, the backend 1001, and both ends close.
fn expect_revoked(mut pair: Pair) {
    pair.client.expect(&server_frame(0x88, &close_payload(1008, "revoked")));
    let close = pair.backend.read(6 + 2 + "revoked".len());
    assert_eq!(close[..2], [0x88, 0x80 | 9], "a masked Close");
    let payload: Vec<u8> =
        close[6..].iter().enumerate().map(|(index, byte)| byte ^ close[2 + index % 4]).collect();
    assert_eq!(payload, close_payload(1001, "revoked"));
    pair.client.send(&client_frame(0x88, &close_payload(1008, "")));
    assert_eq!(pair.client.read_to_end(), (vec![], StreamEnd::Fin));
}

#[test]
fn whatever_is_gone_or_stopped_ends_its_sessions_and_no_others() {
    let stopped = subscription_file("/products/p", KEY, "state = \"suspended\"");
    let over = subscription_file("/products/p", KEY, "end_date = 2020-01-01T00:00:00Z");
    // The product's APIs and subscriptions have to go with it, or there is a fault.
    let backend = Backend::new();
    let all = files(backend.address);
    let elsewhere = all[0].1.clone() + "gateways = [\"elsewhere\"]\n";
    let moved = subscription_file("/apis/t", KEY, "");
    let without_product = with(
        &with(
            &with(&with(&all, "products/p.toml", ""), "subscriptions/acme.toml", &moved),
            "apis/t.toml",
            &all[0].1.replace("products = [\"p\"]", ""),
        ),
        "apis/keeps.toml",
        &all[2].1.replace("products = [\"p\"]", ""),
    );
    for (what, after, is_of_all) in [
        ("a suspended subscription", with(&all, "subscriptions/acme.toml", &stopped), false),
        ("a subscription that is over", with(&all, "subscriptions/acme.toml", &over), false),
        ("a subscription that is gone", with(&all, "subscriptions/acme.toml", ""), false),
        ("a product that is gone", without_product, false),
        ("an api that is gone", with(&all, "apis/t.toml", ""), true),
        ("an api of another gateway", with(&all, "apis/t.toml", &elsewhere), true),
    ] {
        let mut gateway = start(&all);
        let of_acme = open(&gateway, &backend, "/t", KEY);
        let mut of_other = open(&gateway, &backend, "/t", OTHER_KEY);
        let mut kept = open(&gateway, &backend, "/keeps", KEY);
        let mut without_key = open(&gateway, &backend, "/open", "");
        publish(&mut gateway, &after);
        expect_revoked(of_acme);
        if is_of_all {
            expect_revoked(of_other);
        } else {
            of_other.exchange();
            drop(of_other);
        }
        kept.exchange();
        without_key.exchange();
        drop((kept, without_key));
        gateway.wait_for_rest();
        let revoked = if is_of_all { 2 } else { 1 };
        assert_eq!(gateway.terminations(Cause::Revoked, Phase::Relay), revoked, "{what}");
        gateway.end();
    }
}

#[test]
fn the_end_of_a_subscription_ends_its_sessions_when_it_comes() {
    let backend = Backend::new();
    let ending = subscription_file("/products/p", KEY, "end_date = 2100-01-01T00:00:00Z");
    let mut gateway = start(&with(&files(backend.address), "subscriptions/acme.toml", &ending));
    let mut pair = open(&gateway, &backend, "/t", KEY);
    let end = Timestamp::from_unix(4_102_444_800);
    gateway.instance.end_revoked(Timestamp::from_unix(4_102_444_799));
    pair.exchange();
    gateway.instance.end_revoked(end);
    expect_revoked(pair);
    gateway.wait_for_terminations(Cause::Revoked, Phase::Relay, 1);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_opening_in_progress_ends_under_the_catalogue_it_began_with_and_its_session_is_revoked_then() {
    let backend = Backend::new();
    let all = files(backend.address);
    let mut gateway = start(&all);
    let mut client = ask(&gateway, "/t", KEY);
    let (mut session, head) = backend.take_request();
    publish(&mut gateway, &with(&all, "apis/t.toml", ""));
    session.send(switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    expect_revoked(Pair { client, backend: session });
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_api_that_comes_to_end_revoked_sessions_ends_those_that_it_had_kept() {
    let backend = Backend::new();
    let all = files(backend.address);
    let mut gateway = start(&all);
    let mut pair = open(&gateway, &backend, "/keeps", KEY);
    let without = with(&all, "subscriptions/acme.toml", "");
    publish(&mut gateway, &without);
    pair.exchange();
    let closes = without[2].1.clone() + "on_revoke = \"close\"\n";
    publish(&mut gateway, &with(&without, "apis/keeps.toml", &closes));
    expect_revoked(pair);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn sessions_that_are_revoked_together_end_one_after_the_other() {
    const SESSIONS: u32 = 200;
    // At 500 in a second.
    const SPREAD: Duration = Duration::from_millis(400);
    let backend = Backend::new();
    let all = files(backend.address);
    let mut gateway = start(&all);
    let mut pairs: Vec<_> = (0..SESSIONS).map(|_| open(&gateway, &backend, "/open", "")).collect();
    let begun = Instant::now();
    publish(&mut gateway, &with(&all, "apis/open.toml", ""));
    let close = server_frame(0x88, &close_payload(1008, "revoked"));
    let mut told_at: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let reads: Vec<_> = pairs
            .iter_mut()
            .map(|pair| {
                let close = &close;
                scope.spawn(move || {
                    pair.client.expect(close);
                    begun.elapsed()
                })
            })
            .collect();
        told_at.extend(reads.into_iter().map(|read| read.join().unwrap()));
    });
    told_at.sort();
    let in_first_half = told_at.iter().filter(|at| **at < SPREAD / 2).count();
    assert!(told_at[SESSIONS as usize - 1] >= SPREAD * 9 / 10, "{:?}", told_at.last());
    assert!(in_first_half < SESSIONS as usize * 3 / 4, "{in_first_half} in the first half");
    drop(pairs);
    gateway.wait_for_terminations(Cause::Revoked, Phase::Relay, u64::from(SESSIONS));
    gateway.wait_for_rest();
    gateway.end();
}
