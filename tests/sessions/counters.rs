//! The operator's view: the status page, and the report of SIGUSR1.

use crate::golden::assert_golden;
use crate::support::backend::{Backend, Pair, closed_port};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served, status_page, wait_for_exit};
use crate::support::{TestInstance, api_file, comes_true, locked_api_file, subscription_file, wait_until};
use ringgate::observe::Counters;
use ringgate::shared_counts::budgets::Budgets;
use ringgate::telemetry::Observed;
use ringgate::telemetry::text::page;
use rustix::process::Signal;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

#[test]
fn the_page_names_and_explains_every_counter() {
    let observed = Observed::of(Counters::new(2), Budgets::of(1000, 64));
    assert_golden("status.txt", &page(&observed));
}

/// The numbers of a status page by what stands in front of them.
fn numbers(status: SocketAddr) -> HashMap<String, u64> {
    let text = status_page(status);
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
fn the_status_page_is_announced_and_an_address_of_another_host_is_named() {
    let with_status = |address: &str, more: &str| {
        let instance = format!("{INSTANCE}[status]\naddress = \"{address}\"\n{more}");
        Configuration::new(&instance, &api_file("t", closed_port(), ""))
    };
    let elsewhere = with_status("192.0.2.1:9900", "beyond_loopback = true\n");
    let output = crate::support::served::output_in_time(elsewhere.command());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on 192.0.2.1:9900: "), "{said}");
    assert!(Served::start(&with_status("127.0.0.1:0", "")).status_address().port() > 0);
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

/// Returns the figures of a page by API, product and subscription: name with labels, and number.
fn by_entity(page: &str) -> BTreeMap<String, u64> {
    let of_entity =
        |line: &&str| ["api_", "product_", "subscription_"].iter().any(|kind| line.starts_with(kind));
    let number = |line: &str| {
        let (what, number) = line.rsplit_once(' ').unwrap();
        (what.to_owned(), number.parse().unwrap())
    };
    page.lines().filter(of_entity).map(number).collect()
}

/// Waits until the page has these figures and no others by API, product and subscription.
#[track_caller]
fn assert_by_entity(gateway: &TestInstance, expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(what, number)| ((*what).to_owned(), *number)).collect();
    let mut seen = BTreeMap::new();
    let comes = comes_true(|| {
        seen = by_entity(&page(&gateway.instance.observed()));
        seen == expected
    });
    assert!(comes, "expected {expected:#?}\nseen {seen:#?}");
}

/// The files of two APIs, a product and a subscription to it.
fn two_apis(backend: SocketAddr, chat_lines: &str) -> [(&'static str, String); 4] {
    let chat = format!("products = [\"starter\"]\n{chat_lines}");
    [
        ("apis/chat.toml", locked_api_file("chat", backend, &chat)),
        ("apis/open.toml", api_file("open", closed_port(), "")),
        ("products/starter.toml", "display_name = \"S\"\nstate = \"published\"\n".to_owned()),
        ("subscriptions/acme.toml", subscription_file("/products/starter", "the-key", "")),
    ]
}

fn as_files<'f>(files: &'f [(&'static str, String)]) -> Vec<(&'static str, &'f str)> {
    files.iter().map(|(path, text)| (*path, text.as_str())).collect()
}

const WITH_KEY: &str = "Ocp-Apim-Subscription-Key: the-key\r\n";

/// Opens a session of `chat` with the key.
fn open_chat(gateway: &TestInstance, backend: &Backend) -> (Raw, Raw) {
    let mut client = Raw::connect(gateway.address);
    client.send(request("/chat", WITH_KEY).as_bytes());
    let session = backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    (client, session)
}

#[test]
fn figures_by_api_product_and_subscription_are_seen_while_sessions_live_and_through_a_publish() {
    let backend = Backend::new();
    let files = two_apis(backend.address, "");
    let mut gateway = TestInstance::start_catalog("workers = 2", &as_files(&files));
    assert_by_entity(&gateway, &[]);

    let (mut client, mut session) = open_chat(&gateway, &backend);
    client.send(&client_frame(0x81, b"hello"));
    session.read(6 + 5);
    session.send(&server_frame(0x82, b"so much"));
    client.expect(&server_frame(0x82, b"so much"));
    // A message in two frames, and a ping: one message more.
    client.send(&client_frame(0x01, b"a"));
    client.send(&client_frame(0x89, b""));
    client.send(&client_frame(0x80, b"b"));
    session.read(7 + 6 + 7);
    let live = |prefix: &str, name: &str| {
        let of = |figure: &str, further: &str| format!("{prefix}_{figure}{{{prefix}=\"{name}\"{further}}}");
        [
            (of("sessions", ""), 1),
            (of("sessions_opened", ""), 1),
            (of("messages", ",leg=\"downstream\""), 2),
            (of("messages", ",leg=\"upstream\""), 1),
            (of("bytes", ",leg=\"downstream\""), 11 + 20),
            (of("bytes", ",leg=\"upstream\""), 9),
        ]
    };
    let of_all = [live("api", "chat"), live("product", "starter"), live("subscription", "acme")].concat();
    let expected: Vec<_> = of_all.iter().map(|(what, number)| (what.as_str(), *number)).collect();
    assert_by_entity(&gateway, &expected);

    // Changed, and published again: it is the same API to whoever reads.
    let changed = two_apis(backend.address, "idle_timeout_s = 77");
    gateway.publish_catalog(&as_files(&changed));
    assert_by_entity(&gateway, &expected);

    client.send(&client_frame(0x88, &close_payload(4001, "")));
    session.read(8);
    session.send(b"\x88\x02\x0f\xa1");
    client.finish();
    session.finish();
    client.read_to_end();
    let mut after = BTreeMap::new();
    for (prefix, name) in [("api", "chat"), ("product", "starter"), ("subscription", "acme")] {
        let figures = live(prefix, name).into_iter().filter(|(what, _)| !what.contains("_sessions{"));
        after.extend(figures.map(|(what, number)| {
            let more = match () {
                () if what.contains("bytes") && what.contains("downstream") => 8,
                () if what.contains("bytes") => 4,
                () => 0,
            };
            (what, number + more)
        }));
        after.insert(format!("{prefix}_closes{{{prefix}=\"{name}\",code=\"4xxx\"}}"), 1);
        after.insert(format!("{prefix}_terminations{{{prefix}=\"{name}\",cause=\"closed\"}}"), 1);
    }
    let after: Vec<_> = after.iter().map(|(what, number)| (what.as_str(), *number)).collect();
    assert_by_entity(&gateway, &after);
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn openings_that_are_refused_count_under_what_they_would_have_been_of_and_nothing_made_up_is_a_label() {
    let backend = Backend::new();
    let files = two_apis(backend.address, "connections_max = 1");
    let gateway = TestInstance::start_catalog("workers = 1", &as_files(&files));
    let (client, session) = open_chat(&gateway, &backend);
    for (path, lines) in [
        ("/made-up", ""),
        ("/made-up/chat?api=made-up", WITH_KEY),
        ("/chat", ""),
        ("/chat?product=made-up", "Ocp-Apim-Subscription-Key: made-up\r\nHost-2: made-up\r\n"),
        ("/chat", WITH_KEY),
        ("/open", ""),
        ("/open/%2e%2e/made-up", ""),
    ] {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, lines).as_bytes());
        assert!(!client.read_head().starts_with("HTTP/1.1 101 "), "{path}");
        client.read_to_end();
    }
    assert_by_entity(
        &gateway,
        &[
            ("api_sessions{api=\"chat\"}", 1),
            ("api_sessions_opened{api=\"chat\"}", 1),
            ("api_terminations{api=\"chat\",cause=\"key\"}", 2),
            ("api_terminations{api=\"chat\",cause=\"api_full\"}", 1),
            ("api_terminations{api=\"open\",cause=\"backend_refused\"}", 1),
            ("product_sessions{product=\"starter\"}", 1),
            ("product_sessions_opened{product=\"starter\"}", 1),
            ("product_terminations{product=\"starter\",cause=\"api_full\"}", 1),
            ("subscription_sessions{subscription=\"acme\"}", 1),
            ("subscription_sessions_opened{subscription=\"acme\"}", 1),
            ("subscription_terminations{subscription=\"acme\",cause=\"api_full\"}", 1),
        ],
    );
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn an_api_that_is_deleted_keeps_its_figures_while_it_has_sessions_and_is_forgotten_then() {
    let backend = Backend::new();
    let mut gateway = TestInstance::start_with(
        "workers = 1",
        &[("t", &api_file("t", backend.address, "on_revoke = \"keep\""))],
    );
    let Pair { mut client, backend: mut session } = Pair::open(gateway.address, &backend);
    gateway.wait_for_sessions(1);
    gateway.publish(&[]);
    client.send(&client_frame(0x82, b"on and on"));
    session.read(6 + 9);
    let live = [
        ("api_sessions{api=\"t\"}", 1),
        ("api_sessions_opened{api=\"t\"}", 1),
        ("api_messages{api=\"t\",leg=\"downstream\"}", 1),
        ("api_bytes{api=\"t\",leg=\"downstream\"}", 15),
    ];
    assert_by_entity(&gateway, &live);
    gateway.instance.let_go_of_retired();
    assert_by_entity(&gateway, &live);
    drop((client, session));
    gateway.wait_for_rest();
    wait_until("an API that is forgotten", || {
        gateway.instance.let_go_of_retired();
        by_entity(&page(&gateway.instance.observed())).is_empty()
    });
    // Whoever takes its name begins anew.
    gateway.publish(&[("t", &api_file("t", backend.address, ""))]);
    drop(Pair::open(gateway.address, &backend));
    gateway.wait_for_sessions(2);
    gateway.wait_for_rest();
    let opened = by_entity(&page(&gateway.instance.observed()))["api_sessions_opened{api=\"t\"}"];
    assert_eq!(opened, 1);
    gateway.end();
}

#[test]
fn opaque_sessions_and_spliced_payload_count_their_bytes_and_opaque_ones_no_messages() {
    const LARGE: usize = 1 << 20;
    /// From the second on, they are received by their heads.
    const FRAMES: u64 = 4;
    let backend = Backend::new();
    let strict = api_file("strict", backend.address, "");
    let opaque = api_file("opaque", backend.address, "frames = \"opaque\"");
    let gateway = TestInstance::start_with("workers = 1", &[("strict", &strict), ("opaque", &opaque)]);
    let frame = client_frame(0x82, &vec![7; LARGE]);
    let mut sessions = Vec::new();
    for path in ["/strict", "/opaque"] {
        let mut client = Raw::connect(gateway.address);
        client.send(request(path, "").as_bytes());
        let mut session = backend.take_session();
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        for _ in 0..FRAMES {
            std::thread::scope(|scope| {
                scope.spawn(|| client.send(&frame));
                session.expect(&frame);
            });
        }
        sessions.push((client, session));
    }
    assert!(gateway.instance.counters().sum(|worker| &worker.spliced_bytes) > 0, "some went through a pipe");
    let bytes = FRAMES * frame.len() as u64;
    assert_by_entity(
        &gateway,
        &[
            ("api_sessions{api=\"opaque\"}", 1),
            ("api_sessions{api=\"strict\"}", 1),
            ("api_sessions_opened{api=\"opaque\"}", 1),
            ("api_sessions_opened{api=\"strict\"}", 1),
            ("api_messages{api=\"strict\",leg=\"downstream\"}", FRAMES),
            ("api_bytes{api=\"opaque\",leg=\"downstream\"}", bytes),
            ("api_bytes{api=\"strict\",leg=\"downstream\"}", bytes),
        ],
    );
    drop(sessions);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn the_status_page_that_is_served_has_the_figures_by_api() {
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n");
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    let sessions: Vec<_> = (0..3).map(|_| Pair::open(served.address, &backend)).collect();
    wait_until("three sessions of the API", || {
        numbers(served.status_address()).get("api_sessions{api=\"t\"}") == Some(&3)
    });
    drop(sessions);
    wait_until("no session", || {
        let numbers = numbers(served.status_address());
        numbers["slots"] == 0 && !numbers.contains_key("api_sessions{api=\"t\"}")
    });
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
