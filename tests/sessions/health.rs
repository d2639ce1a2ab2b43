//! Health checks of balancers on every listener: by each method and version, while openings are used up, and during a drain.

use crate::support::backend::{Backend, Pair, closed_port};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::limits::HEALTH_OPENINGS_KEPT;
use ringgate::session::{Cause, Phase};
use std::net::{Ipv4Addr, SocketAddr};

const PATH: &str = "/status-0123456789abcdef";

/// One opening, for which whoever waits longest never gives way, and a deadline that nobody reaches.
const ONE_OPENING: &str =
    "workers = 1\n[limits]\nopenings_max = 1\ntrusted_networks = [\"127.0.0.0/8\"]\nhead_timeout_ms = 120000";

fn start(lines: &str, backend: SocketAddr) -> TestInstance {
    TestInstance::start_with(lines, &[("t", &api_file("t", backend, ""))])
}

/// The answer to a request, to the end of the stream.
fn ask(gateway: SocketAddr, request: &str) -> String {
    let mut client = Raw::connect(gateway);
    client.send(request.as_bytes());
    let (answer, end) = client.read_to_end();
    assert_eq!(end, StreamEnd::Fin, "{request}");
    String::from_utf8(answer).unwrap()
}

fn health_checks(gateway: &TestInstance) -> u64 {
    gateway.instance.counters().sum(|worker| &worker.health_checks)
}

#[test]
fn every_method_and_version_is_answered_and_nothing_is_counted_but_the_check() {
    let gateway = start("workers = 2", closed_port());
    let mut asked = 0;
    for version in ["HTTP/1.1\r\nHost: a", "HTTP/1.0\r\nHost: a", "HTTP/1.0", "HTTP/1.2\r\nHost: a:80"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            for query in ["", "?x=1"] {
                let answer = ask(gateway.address, &format!("{method} {PATH}{query} {version}\r\n\r\n"));
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{method} {version}: {answer}");
                assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
                assert_eq!(answer.ends_with("serving\n"), method != "HEAD", "{answer}");
                let allow = "\r\nAllow: GET, HEAD, OPTIONS\r\n";
                assert_eq!(answer.contains(allow), method == "OPTIONS", "{answer}");
                asked += 1;
            }
        }
    }
    gateway.wait_for_rest();
    assert_eq!(health_checks(&gateway), asked);
    let ends: u64 = Cause::ALL.map(|cause| gateway.terminations(cause, Phase::Head)).iter().sum();
    assert_eq!(ends, 0, "a health check is no end of an opening");
    gateway.end();
}

#[test]
fn what_is_no_correct_health_check_is_an_opening_as_any_other() {
    let gateway = start("workers = 1", closed_port());
    for (request, status) in [
        (format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n\r\n"), "405"),
        (format!("GET {PATH} HTTP/1.1\r\n\r\n"), "400"),
        (format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"), "400"),
        (format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), "400"),
        (format!("GET {PATH} HTTP/2.0\r\nHost: a\r\n\r\n"), "505"),
        (format!("GET {PATH}/ HTTP/1.1\r\nHost: a\r\n\r\n"), "404"),
        ("OPTIONS / HTTP/1.0\r\n\r\n".to_owned(), "426"),
        ("HEAD /t HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "405"),
    ] {
        let answer = ask(gateway.address, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    assert_eq!(health_checks(&gateway), 0);
    gateway.end();
}

#[test]
fn the_path_is_the_configured_one_or_none() {
    for (lines, path, status) in [
        ("[health]\npath = \"/up\"", "/up", "200"),
        ("[health]\npath = \"/up\"", PATH, "404"),
        ("[health]\npath = \"\"", PATH, "404"),
        // Judged before routes: it hides this path of an API.
        ("[health]\npath = \"/t/up\"", "/t/up", "200"),
    ] {
        let gateway = start(&format!("workers = 1\n{lines}"), closed_port());
        let answer = ask(gateway.address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{lines} {path}: {answer}");
        gateway.end();
    }
}

#[test]
fn an_instance_whose_places_of_sessions_are_all_taken_is_healthy() {
    let backend = Backend::new();
    let gateway = start("workers = 1\n[limits]\nconnections_max = 1", backend.address);
    let mut pair = Pair::open(gateway.address, &backend);
    let answer = ask(gateway.address, &format!("GET {PATH} HTTP/1.0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    pair.exchange();
    drop(pair);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_storm_that_takes_every_opening_leaves_the_health_path_answered() {
    let gateway = start(ONE_OPENING, closed_port());
    let mut first = Raw::connect(gateway.address);
    gateway.wait_for_openings(1);
    // Silent connections in any number: each newcomer pushes the oldest of those that are kept out.
    let mut storm = Vec::new();
    for _ in 0..4 {
        storm.extend((0..2 * HEALTH_OPENINGS_KEPT).map(|_| Raw::connect(gateway.address)));
        for (method, rest) in [("GET", "HTTP/1.1\r\nHost: a"), ("HEAD", "HTTP/1.0"), ("OPTIONS", "HTTP/1.0")]
        {
            let mut balancer = Raw::connect(gateway.address);
            // In two parts, the first of which does not tell yet.
            balancer.send(&method.as_bytes()[..2]);
            balancer.send(format!("{} {PATH} {rest}\r\n\r\n", &method[2..]).as_bytes());
            let head = balancer.read_head();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
    }
    wait_until("all checks counted", || health_checks(&gateway) == 12);
    // Whoever asks for anything else is refused, as all are that say nothing.
    let answer = ask(gateway.address, &request("/t", ""));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("openings_max = 1"), "{answer}");
    let refused = storm.len() as u64 + 1;
    for client in &mut storm {
        let (answer, _) = client.read_to_end();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    }
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, refused);
    // The one opening was never taken away.
    first.send(format!("GET {PATH} HTTP/1.0\r\n\r\n").as_bytes());
    assert!(first.read_head().starts_with("HTTP/1.1 200 "));
    drop((first, storm));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_network_with_more_than_its_share_is_told_at_once_and_takes_no_kept_opening() {
    let gateway = start(
        "workers = 1\n[limits]\nopenings_max = 100\nopenings_per_source_max = 1\nhead_timeout_ms = 120000",
        closed_port(),
    );
    let from = |last: u8| Raw::connect_from(Ipv4Addr::new(127, 0, 0, last).into(), gateway.address);
    let first = from(9);
    gateway.wait_for_openings(1);
    for _ in 0..3 {
        // It has said nothing, which may be the begin of a health check.
        let mut silent = from(9);
        let head = silent.read_head();
        assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    }
    // Even where it does ask.
    let mut asking = from(9);
    asking.send(format!("GET {PATH} HTTP/1.0\r\n\r\n").as_bytes());
    assert!(asking.read_head().starts_with("HTTP/1.1 429 "));
    // A balancer of another network has a place as any client.
    let mut balancer = from(10);
    balancer.send(format!("GET {PATH} HTTP/1.0\r\n\r\n").as_bytes());
    assert!(balancer.read_head().starts_with("HTTP/1.1 200 "));
    gateway.wait_for_terminations(Cause::SourceFull, Phase::Head, 4);
    drop((first, asking, balancer));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn a_kept_opening_that_asks_for_something_else_late_is_refused_as_its_cause_says() {
    let gateway = start(ONE_OPENING, closed_port());
    let first = Raw::connect(gateway.address);
    gateway.wait_for_openings(1);
    for (begin, rest) in [("GE", "T /t HTTP/1.1\r\n"), ("G", ""), ("", "")] {
        let mut client = Raw::connect(gateway.address);
        client.send(begin.as_bytes());
        client.send(rest.as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: "), "{head}");
    }
    gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 3);
    drop(first);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn during_a_drain_the_answer_is_503() {
    let backend = Backend::new();
    let gateway = start("workers = 1", backend.address);
    let mut balancer = Raw::connect(gateway.address);
    balancer.send(format!("GET {PATH} HTTP/1.1\r\nHost").as_bytes());
    gateway.wait_for_openings(1);
    gateway.instance.drain();
    let head = balancer.read_head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop(balancer);
    gateway.end();
}

#[test]
fn without_a_health_path_connections_without_a_place_are_turned_away_at_once() {
    let gateway = start(&format!("{ONE_OPENING}\n[health]\npath = \"\""), closed_port());
    let first = Raw::connect(gateway.address);
    gateway.wait_for_openings(1);
    let mut silent = Raw::connect(gateway.address);
    assert!(silent.read_head().starts_with("HTTP/1.1 503 "));
    wait_until("its end", || gateway.terminations(Cause::OpeningsFull, Phase::Head) == 1);
    drop((first, silent));
    gateway.wait_for_rest();
    gateway.end();
}
