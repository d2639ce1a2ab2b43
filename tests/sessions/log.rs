//! Rows of the log: for every way in which openings and sessions end, as a sink gets them.

use crate::golden::assert_golden;
use crate::support::backend::{Backend, Pair, closed_port, switching, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::log_rows::{AllRows, sinks_of};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::{TestInstance, api_file, locked_api_file, subscription_file};
use ringgate::observe::event_ring::FRONT_EVENTS_MAX;
use ringgate::observe::tables::Ticks;
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::sink::{LogRow, RowSink};
use ringgate::telemetry::text::page;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

const KEY: &str = "a-key-that-is-never-shown";

/// The rows of all scenes.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn add(&mut self, scene: &str, rows: &AllRows) {
        rows.push_scene(&mut self.0, scene);
    }

    /// A session with both ends in hand.
    fn session(
        &mut self,
        scene: &str,
        api_lines: &str,
        cause: Cause,
        script: impl FnOnce(&mut Raw, &mut Raw),
    ) {
        let backend = Backend::new();
        let gateway = TestInstance::start(backend.address, api_lines);
        let mut pair = Pair::open(gateway.address, &backend);
        script(&mut pair.client, &mut pair.backend);
        drop(pair);
        gateway.wait_for_terminations(cause, Phase::Relay, 1);
        self.add(scene, &gateway.end());
    }

    /// An opening that comes to nothing, of a catalogue of these files.
    fn opening(&mut self, scene: &str, files: &[(&str, &str)], bytes: &[u8], status: u16) {
        let gateway = TestInstance::start_catalog("workers = 1", files);
        let mut client = Raw::connect(gateway.address);
        client.send(bytes);
        let head = client.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{scene}: {head}");
        drop(client);
        gateway.wait_for_rest();
        self.add(scene, &gateway.end());
    }
}

fn closes(raw: &mut Raw) {
    let _ = raw.read_to_end();
}

#[test]
fn every_session_that_ends_has_its_rows() {
    let mut shown = Shown::default();
    shown.session("the client closes", "", Cause::Closed, |client, backend| {
        client.send(&client_frame(0x81, b"hello"));
        backend.expect(&client_frame(0x81, b"hello"));
        backend.send(
            &[server_frame(0x02, b"in "), server_frame(0x80, b"two"), server_frame(0x89, b"")].concat(),
        );
        client.read(5 + 5 + 2);
        let close = client_frame(0x88, &close_payload(4001, "going home"));
        client.send(&close);
        backend.expect(&close);
        backend.send(&server_frame(0x88, &close_payload(1000, "")));
        closes(client);
    });
    shown.session("the backend closes without a code", "", Cause::Closed, |client, backend| {
        backend.send(&server_frame(0x88, b""));
        client.read(2);
        client.send(&client_frame(0x88, b""));
        closes(client);
    });
    shown.session("the client ends its stream", "", Cause::Ended, |client, backend| {
        client.finish();
        closes(backend);
        backend.finish();
        closes(client);
    });
    shown.session("the client breaks the framing", "", Cause::FrameFault, |client, backend| {
        client.send(&server_frame(0x81, b"not masked"));
        closes(backend);
        closes(client);
    });
    shown.session("a frame is too big", "frame_bytes_max = 4", Cause::FrameTooBig, |client, backend| {
        client.send(&client_frame(0x81, b"large"));
        closes(backend);
        closes(client);
    });
    shown.session(
        "a message is too big",
        "message_bytes_max = 4",
        Cause::MessageTooBig,
        |client, backend| {
            backend.send(&server_frame(0x81, b"large"));
            closes(client);
            closes(backend);
        },
    );
    shown.session(
        "nobody says anything",
        "idle_timeout_s = 1\nlinger_s = 1",
        Cause::Idle,
        |client, backend| {
            closes(client);
            closes(backend);
        },
    );
    let long = "longest_life_s = 1\nlinger_s = 1";
    shown.session("it lives too long", long, Cause::LongestLife, |client, backend| {
        closes(client);
        closes(backend);
    });
    shown.session("opaque bytes", "frames = \"opaque\"", Cause::Ended, |client, backend| {
        client.send(b"any bytes");
        backend.expect(b"any bytes");
        client.finish();
        closes(backend);
        backend.finish();
        closes(client);
    });
    shown.reset();
    shown.drained();
    shown.revoked();
    assert_golden("log-sessions.txt", &shown.0);
}

impl Shown {
    fn reset(&mut self) {
        let backend = Backend::new();
        let gateway = TestInstance::start(backend.address, "");
        let Pair { mut client, backend } = Pair::open(gateway.address, &backend);
        backend.reset();
        assert_eq!(client.read_to_end().1, StreamEnd::Reset);
        gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
        self.add("the backend resets", &gateway.end());
    }

    fn drained(&mut self) {
        let backend = Backend::new();
        let gateway = TestInstance::start(backend.address, "linger_s = 1");
        let mut pair = Pair::open(gateway.address, &backend);
        pair.exchange();
        gateway.instance.drain();
        closes(&mut pair.client);
        closes(&mut pair.backend);
        self.add("the instance drains", &gateway.end());
    }

    fn revoked(&mut self) {
        let backend = Backend::new();
        let api = locked_api_file(
            "t",
            backend.address,
            "on_revoke = \"close\"\nlinger_s = 1\nproducts = [\"gold\"]",
        );
        let product = "display_name = \"Gold\"\nstate = \"published\"\n";
        let subscription = subscription_file("/products/gold", KEY, "owner = \"acme inc\"");
        let with_all = [
            ("apis/t.toml", api.as_str()),
            ("products/gold.toml", product),
            ("subscriptions/acme.toml", subscription.as_str()),
        ];
        let mut gateway = TestInstance::start_catalog("workers = 1", &with_all);
        let mut client = Raw::connect(gateway.address);
        client.send(
            request(
                &format!("/t/room?subscription-key={KEY}&a=b"),
                "Sec-WebSocket-Protocol: chat, bearer.s3cret\r\n",
            )
            .as_bytes(),
        );
        let (mut leg, head) = backend.take_request();
        leg.send(switching(&head, "Sec-WebSocket-Protocol: chat\r\n").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        gateway.publish_catalog(&with_all[..2]);
        closes(&mut client);
        closes(&mut leg);
        gateway.wait_for_terminations(Cause::Revoked, Phase::Relay, 1);
        let rows = gateway.end();
        assert!(!format!("{:?} {:?}", rows.gateway, rows.connections).contains(KEY));
        self.add("its subscription is revoked", &rows);
    }
}

#[test]
fn every_opening_that_comes_to_nothing_has_its_rows() {
    let mut shown = Shown::default();
    let nowhere = closed_port();
    let (open, locked) = (api_file("t", nowhere, "revision = 3"), locked_api_file("t", nowhere, ""));
    let (open, locked) = ([("apis/t.toml", open.as_str())], [("apis/t.toml", locked.as_str())]);
    let correct = request("/t/a?token=s3cret", "");
    shown.opening("the backend cannot be reached", &open, correct.as_bytes(), 502);
    shown.opening("there is no such API", &open, request("/x?a=b", "").as_bytes(), 404);
    shown.opening("HTTP/1.0", &open, correct.replace("HTTP/1.1", "HTTP/1.0").as_bytes(), 426);
    shown.opening("another method", &open, correct.replace("GET", "POST").as_bytes(), 405);
    shown.opening("no upgrade", &open, b"GET /t HTTP/1.1\r\nHost: h\r\n\r\n", 426);
    shown.opening("no HTTP", &open, b"\x16\x03\x01 no HTTP", 400);
    shown.opening("no key", &locked, correct.as_bytes(), 401);
    let wrong = request("/t", "Ocp-Apim-Subscription-Key: not-a-key-of-anybody\r\n");
    shown.opening("a wrong key", &locked, wrong.as_bytes(), 401);
    let refuses = "<policies><inbound><return-response><set-status code=\"403\"/></return-response></inbound></policies>";
    let refuses = [open[0], ("policies/apis/t.xml", refuses)];
    shown.opening("a policy answers", &refuses, correct.as_bytes(), 403);
    let throws = "<policies><inbound><set-variable name=\"n\" value=\"@(int.Parse(context.Request.Headers.GetValueOrDefault(&quot;Authorization&quot;)))\"/></inbound></policies>";
    let throws = [open[0], ("policies/apis/t.xml", throws)];
    let secret = request("/t", "Authorization: s3cret-word\r\n");
    shown.opening("an expression throws and quotes a secret", &throws, secret.as_bytes(), 500);
    assert!(!shown.0.contains("s3cret"), "{}", shown.0);
    shown.answered(403);
    shown.silent();
    shown.left();
    shown.full();
    shown.openings_full();
    shown.drained_head();
    let no_port = api_file("t", nowhere, "source_addresses = [\"192.0.2.1\"]");
    shown.opening("no local port is left", &[("apis/t.toml", &no_port)], correct.as_bytes(), 503);
    shown.without_places();
    shown.busy();
    assert_golden("log-openings.txt", &shown.0);
}

impl Shown {
    fn answered(&mut self, status: u16) {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
        let backend: SocketAddr = Backend::new().serve(move |mut raw| {
            raw.read_head();
            raw.send(answer.as_bytes());
            let _ = raw.read_to_end();
        });
        let api = api_file("t", backend, "");
        self.opening("the backend refuses", &[("apis/t.toml", &api)], request("/t", "").as_bytes(), status);
    }

    fn silent(&mut self) {
        let backend = Backend::new();
        let api = api_file("t", backend.address, "answer_timeout_ms = 100");
        self.opening("the backend is silent", &[("apis/t.toml", &api)], request("/t", "").as_bytes(), 504);
        drop(backend);
    }

    fn left(&mut self) {
        let gateway = TestInstance::start(closed_port(), "");
        let mut client = Raw::connect(gateway.address);
        client.send(b"GET /t HT");
        drop(client);
        gateway.wait_for_terminations(Cause::ClientGone, Phase::Head, 1);
        self.add("the client leaves", &gateway.end());
    }

    fn full(&mut self) {
        let gateway = TestInstance::start_with(
            "workers = 1\n[limits]\nopenings_max = 1\nopenings_per_source_max = 1",
            &[("t", &api_file("t", closed_port(), ""))],
        );
        let first = Raw::connect(gateway.address);
        gateway.wait_for_openings(1);
        let mut second = Raw::connect(gateway.address);
        second.send(request("/t", "").as_bytes());
        assert!(second.read_head().starts_with("HTTP/1.1 "), "turned away");
        drop((first, second));
        gateway.wait_for_rest();
        self.add("there is no place", &gateway.end());
    }
}

impl Shown {
    /// A silent connection has the only place to read a head.
    fn openings_full(&mut self) {
        let gateway = TestInstance::start_with(
            "workers = 1\n[limits]\nopenings_max = 1\ntrusted_networks = [\"127.0.0.0/8\"]",
            &[("t", &api_file("t", closed_port(), ""))],
        );
        let first = Raw::connect(gateway.address);
        gateway.wait_for_openings(1);
        let mut second = Raw::connect(gateway.address);
        second.send(request("/t", "").as_bytes());
        assert!(second.read_head().starts_with("HTTP/1.1 503 "), "all are taken");
        gateway.wait_for_terminations(Cause::OpeningsFull, Phase::Head, 1);
        drop((first, second));
        gateway.wait_for_rest();
        self.add("all openings are taken, and the one that has the place leaves", &gateway.end());
    }

    /// A request whose rest does not come before the drain.
    fn drained_head(&mut self) {
        let gateway = TestInstance::start(closed_port(), "");
        let mut client = Raw::connect(gateway.address);
        client.send(b"GET /t HT");
        gateway.wait_for_openings(1);
        gateway.instance.drain();
        assert!(client.read_head().starts_with("HTTP/1.1 503 "), "it drains");
        drop(client);
        self.add("the instance drains while a request is read", &gateway.end());
    }

    /// A session has the only place of the instance, the client's network, the API, the product or the subscription.
    fn without_places(&mut self) {
        let one = "connections_max = 1";
        for (whose, of_instance, of_api, of_product, of_subscription) in [
            ("instance", "\n[limits]\nconnections_max = 1", "", "", ""),
            ("client's network", "\n[limits]\nsource_connections_max = 1", "", "", ""),
            ("API", "", one, "", ""),
            ("product", "", "", one, ""),
            ("subscription", "", "", "", one),
        ] {
            let backend = Backend::new();
            let api = locked_api_file("t", backend.address, &format!("products = [\"gold\"]\n{of_api}"));
            let product = format!("display_name = \"Gold\"\nstate = \"published\"\n{of_product}");
            let subscription = subscription_file("/products/gold", KEY, of_subscription);
            let files = [
                ("apis/t.toml", api.as_str()),
                ("products/gold.toml", &product),
                ("subscriptions/acme.toml", &subscription),
            ];
            let gateway = TestInstance::start_catalog(&format!("workers = 1{of_instance}"), &files);
            let asked = request("/t", &format!("Ocp-Apim-Subscription-Key: {KEY}\r\n"));
            let mut first = Raw::connect(gateway.address);
            first.send(asked.as_bytes());
            let (mut leg, head) = backend.take_request();
            leg.send(switching(&head, "").as_bytes());
            first.read_head();
            let mut second = Raw::connect(gateway.address);
            second.send(asked.as_bytes());
            let head = second.read_head();
            let status = if whose == "client's network" { 429 } else { 503 };
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{whose}: {head}");
            drop(second);
            gateway.wait_for_openings(0);
            leg.reset();
            let _ = first.read_to_end();
            gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
            let mut rows = gateway.end();
            rows.retain_refused();
            self.add(&format!("the {whose} is full"), &rows);
        }
    }

    /// An opening has the API's only place to wait for its backend.
    fn busy(&mut self) {
        let backend = Backend::new();
        let gateway = TestInstance::start(backend.address, "pending_openings_max = 1");
        let mut first = Raw::connect(gateway.address);
        first.send(request("/t", "").as_bytes());
        let leg = backend.take_request();
        let mut second = Raw::connect(gateway.address);
        second.send(request("/t", "").as_bytes());
        assert!(second.read_head().starts_with("HTTP/1.1 503 "), "it is busy");
        drop(second);
        gateway.wait_for_terminations(Cause::BackendBusy, Phase::Head, 1);
        drop(leg);
        first.read_head();
        drop(first);
        gateway.wait_for_rest();
        self.add("the backend is busy with another opening, and breaks that off", &gateway.end());
    }
}

/// Causes that no test of a whole instance brings about in the golden files: where their rows are shown, and why.
const MADE_ROWS: [(Cause, &str); 3] = [
    (Cause::Bug, "nobody outside can bring it about: log-causes.txt"),
    (Cause::DeadPeer, "it takes a network that loses everything: log-causes.txt, tests/checks/dead_peers"),
    (Cause::SlowReader, "the least dead_peer_timeout_s is 5 s: log-causes.txt, and its counter in tests/tls"),
];

#[test]
fn every_cause_has_golden_rows() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let golden = ["log-sessions.txt", "log-openings.txt", "log-tls.txt"].map(read).concat();
    let shows = |cause: Cause| {
        golden.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["Cause", cause.name()])
    };
    for cause in Cause::ALL {
        let made = MADE_ROWS.iter().find(|(of, _)| *of == cause);
        assert_ne!(shows(cause), made.is_some(), "{}: {made:?}", cause.name());
    }
    // Those that are made of events alone.
    let made = read("log-causes.txt");
    for (cause, _) in MADE_ROWS {
        assert!(made.lines().any(|line| line.starts_with(&format!("{} in relay by", cause.name()))));
    }
}

/// A sink that takes nothing until it is let go.
struct Blocked(Receiver<()>);

impl RowSink for Blocked {
    fn take(&mut self, _rows: &[LogRow]) {
        // An error: the test is over.
        let _ = self.0.recv();
    }

    fn turn(&mut self, _now: Ticks) {}

    fn close(self: Box<Self>, _deadline: Instant) {}
}

#[test]
fn while_a_sink_takes_nothing_sessions_go_on_and_what_is_dropped_is_counted() {
    let (let_go, blocked) = channel();
    let sinks = sinks_of(Box::new(Blocked(blocked)));
    let gateway = TestInstance::start_logging("workers = 1", &api_file("t", tungstenite_echo(), ""), sinks);
    let openings = FRONT_EVENTS_MAX as u64 + 200;
    for _ in 0..openings {
        // Refused, as quickly as can be.
        let mut client = Raw::connect(gateway.address);
        client.send(b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.read_head().starts_with("HTTP/1.1 404 "));
    }
    gateway.wait_for_rest();
    let dropped = gateway.instance.counters().sum(|worker| &worker.front_events_dropped);
    assert!((1..=200).contains(&dropped), "{dropped} of {openings}");
    let page = page(&gateway.instance.observed());
    assert!(page.lines().any(|line| line == format!("front_events_dropped {dropped}")), "{page}");
    let mut client = Raw::open(gateway.address, "/t");
    client.send(&client_frame(0x81, b"still here"));
    client.expect(&server_frame(0x81, b"still here"));
    drop(client);
    drop(let_go);
    gateway.end();
}

#[test]
fn rows_add_up_after_ten_thousand_openings_of_every_kind_and_publishes_between_them() {
    const ROUNDS: usize = 1_667;
    let backend = tungstenite_echo();
    let (open, locked) = (api_file("t", backend, ""), locked_api_file("locked", backend, ""));
    let gone = api_file("gone", backend, "on_revoke = \"close\"");
    let all = [("t", open.as_str()), ("locked", locked.as_str()), ("gone", gone.as_str())];
    let mut gateway = TestInstance::start_with("workers = 2", &all);
    for round in 0..ROUNDS {
        let mut closed = Raw::open(gateway.address, "/t");
        closed.send(&client_frame(0x88, &close_payload(1000, "bye")));
        let reset = Raw::open(gateway.address, "/t");
        let faulty = {
            let mut raw = Raw::open(gateway.address, "/t");
            raw.send(&server_frame(0x81, b"not masked"));
            raw
        };
        for path in ["/none", "/locked"] {
            let mut refused = Raw::connect(gateway.address);
            refused.send(request(path, "").as_bytes());
            refused.read_head();
        }
        let left = Raw::connect(gateway.address);
        reset.reset();
        drop((closed, faulty, left));
        if round % 100 == 50 {
            gateway.publish(&all[..2]);
        } else if round % 100 == 0 {
            gateway.publish(&all);
        }
    }
    gateway.wait_for_rest();
    // Each is compared with what was counted.
    let rows = gateway.end();
    assert_eq!(rows.gateway.len(), 6 * ROUNDS);
    assert_eq!(rows.named("closing").len(), 3 * ROUNDS);
}
