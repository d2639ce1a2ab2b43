//! What an operator reads: the status page, and what SIGUSR1 writes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

#[path = "support/golden.rs"]
mod golden;

use golden::assert_golden;
use ringgate::observe::Counters;
use ringgate::shared_counts::budgets::Budgets;
use ringgate::telemetry::Observed;
use ringgate::telemetry::text::page;
use rustix::process::Signal;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use support::backend::{Backend, Pair};
use support::frames::{client_frame, close_payload};
use support::handshake::read_refusal;
use support::raw::{Raw, StreamEnd, request};
use support::served::{Configuration, INSTANCE, Served, wait_for_exit};
use support::{api_file, wait_until};

#[test]
fn the_page_names_and_explains_every_counter() {
    let observed = Observed::of(Counters::new(2), Budgets::of(1000, 64));
    assert_golden("status.txt", &page(&observed));
}

/// The numbers of a status page by what stands in front of them.
fn numbers(status: SocketAddr) -> HashMap<String, u64> {
    let mut client = Raw::connect(status);
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (bytes, end) = client.read_to_end();
    assert_eq!(end, StreamEnd::Fin);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let numbers = lines.map(|line| {
        let (what, number) = line.rsplit_once(' ').unwrap();
        (what.to_owned(), number.parse().unwrap())
    });
    numbers.collect()
}

/// A client whose request is refused with this; it reads to the end.
fn refused(gateway: SocketAddr, request: &str, status: u16, message: &str) {
    let mut client = Raw::connect(gateway);
    client.send(request.as_bytes());
    read_refusal(&mut client, status, message);
}

#[test]
fn the_status_page_has_the_exact_numbers_by_cause() {
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[limits]\nconnections_max = 3\n[status]\naddress = \"127.0.0.1:0\"\n");
    let locked = api_file("locked", backend.address, "").replace("required = false", "required = true");
    let configuration =
        Configuration::new(&instance, &api_file("t", backend.address, "")).with_api("locked", &locked);
    let served = Served::start(&configuration);
    let status = served.status_address();

    for _ in 0..2 {
        refused(served.address, &request("/nowhere", ""), 404, "Resource not found");
    }
    let missing_key = "Access denied due to missing subscription key. Make sure to include subscription key when \
                       making requests to an API.";
    refused(served.address, &request("/locked", ""), 401, missing_key);
    refused(served.address, "POST /t HTTP/1.1\r\n\r\n", 405, "Method not allowed: use GET");
    let mut sessions: Vec<_> = (0..3).map(|_| Pair::open(served.address, &backend)).collect();
    let full = "this instance holds as many connections as it may (connections_max = 3)";
    refused(served.address, &request("/t", ""), 503, full);

    // One session ends by its client's Close, after two messages.
    let Pair { mut client, backend: mut session } = sessions.remove(0);
    client.send(&client_frame(0x81, b"one"));
    client.send(&client_frame(0x81, b"two!"));
    client.send(&client_frame(0x88, &close_payload(1000, "")));
    session.read(9 + 10);
    session.send(b"\x88\x02\x03\xe8");
    client.finish();
    session.finish();
    assert_eq!(client.read_to_end().1, StreamEnd::Fin);

    wait_until("two sessions, and every refusal's end", || {
        let numbers = numbers(status);
        numbers["places_taken"] == 2 && numbers["openings"] == 0 && numbers["slots"] == 2
    });
    let numbers = numbers(status);
    for (what, number) in [
        ("connections_accepted", 8),
        ("sessions_opened", 3),
        ("places_limit", 3),
        ("terminations{cause=\"no_api\",phase=\"head\"}", 2),
        ("terminations{cause=\"key\",phase=\"head\"}", 1),
        ("terminations{cause=\"head_fault\",phase=\"head\"}", 1),
        ("terminations{cause=\"instance_full\",phase=\"head\"}", 1),
        ("terminations{cause=\"closed\",phase=\"relay\"}", 1),
        ("frames{leg=\"downstream\",kind=\"UTF8Message\"}", 2),
        ("frames{leg=\"downstream\",kind=\"Close\"}", 1),
        ("frames{leg=\"upstream\",kind=\"Close\"}", 1),
        ("payload_bytes{leg=\"downstream\",kind=\"UTF8Message\"}", 7),
        ("payload_bytes{leg=\"upstream\",kind=\"UTF8Message\"}", 0),
    ] {
        assert_eq!(numbers.get(what), Some(&number), "{what}");
    }
    let total = |is_counted: &dyn Fn(&str) -> bool| -> u64 {
        numbers.iter().filter(|(what, _)| is_counted(what)).map(|(_, number)| number).sum()
    };
    let is_of_worker = |what: &str| what.contains("worker=\"");
    // Nothing ended of which the test does not know, and the workers' parts make up the sums.
    assert_eq!(total(&|what| what.starts_with("terminations") && !is_of_worker(what)), 6);
    assert_eq!(total(&|what| what.starts_with("terminations") && is_of_worker(what)), 6);
    assert_eq!(total(&|what| what.starts_with("connections_accepted{worker=")), 8);
    drop(sessions);
}

#[test]
fn the_status_page_is_announced_and_a_port_in_use_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let instance = format!("{INSTANCE}[status]\naddress = \"{address}\"\n");
    let configuration = Configuration::new(&instance, &api_file("t", address, ""));
    let output = support::served::output_in_time(configuration.command());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}: ")), "{said}");
    drop(holder);
    assert_eq!(Served::start(&configuration).status_address(), address);
}

#[test]
fn reports_that_nobody_reads_hold_nothing_up() {
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    // A backend with a name: its look-up is the control thread's.
    let api = api_file("t", backend.address, "").replace("ws://127.0.0.1:", "ws://localhost:");
    let (stderr, unread) = UnixStream::pair().unwrap();
    // The least there is: a few reports.
    socket2::SockRef::from(&stderr).set_send_buffer_size(1).unwrap();
    let stderr = Stdio::from(std::os::fd::OwnedFd::from(stderr));
    let served = Served::start_with_stderr(&Configuration::new(&instance, &api), stderr);
    for _ in 0..20 {
        served.signal(Signal::USR1);
        assert_eq!(numbers(served.status_address())["slots"], 0);
    }
    drop(Pair::open(served.address, &backend));
    drop(unread);
}

/// Asks for the counters, and gives their lines.
fn report(served: &Served) -> Vec<String> {
    served.signal(Signal::USR1);
    served.wait_until_said("counters that are not 0:");
    let lines = std::iter::repeat_with(|| served.next_said());
    lines.take_while(|line| line != "end of counters").collect()
}

/// The sum that a line of these has.
fn reported<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' ')?.split(' ').next())
}

#[test]
fn sigusr1_writes_the_counters_as_often_as_it_comes_also_while_draining() {
    let backend = Backend::new();
    let instance = INSTANCE.replace("drain_s = 4", "drain_s = 3600");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let lines = report(&served);
    assert_eq!(reported(&lines, "sessions_opened"), None, "{lines:?}");
    assert!(reported(&lines, "places_limit").is_some(), "{lines:?}");

    let Pair { mut client, backend: mut session } = Pair::open(served.address, &backend);
    for _ in 0..3 {
        // The relay counts a session a moment after its client has the 101.
        let mut lines = Vec::new();
        wait_until("a report with the session", || {
            lines = report(&served);
            reported(&lines, "slots") == Some("1")
        });
        assert_eq!(reported(&lines, "sessions_opened"), Some("1"), "{lines:?}");
        // Two workers: each one's part stands behind the sum.
        let opened = lines.iter().find(|line| line.contains("sessions_opened")).unwrap();
        assert!(opened.ends_with(" 1 = 1 + 0") || opened.ends_with(" 1 = 0 + 1"), "{opened}");
        client.send(&client_frame(0x82, b"undisturbed"));
        session.read(17);
    }

    // An unfinished frame: there is no boundary for a Close, so the drain has to wait.
    client.send(&client_frame(0x82, b"payload")[..8]);
    session.read(8);
    served.signal(Signal::TERM);
    served.wait_until_said("draining");
    for _ in 0..2 {
        let lines = report(&served);
        assert_eq!(reported(&lines, "slots"), Some("1"), "{lines:?}");
    }
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    drop((client, session));
}
