//! What tools ask the status page for: the page for Prometheus, and whether the instance is healthy and ready.

use crate::golden::assert_golden;
use crate::support::backend::{Backend, Pair};
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served, wait_for_exit};
use crate::support::{api_file, wait_until};
use ringgate::catalog::timestamp::Timestamp;
use ringgate::catalog::{CatalogFiles, Revision};
use ringgate::compiled::compile;
use ringgate::observe::Counters;
use ringgate::observe::publishes::LastPublish;
use ringgate::shared_counts::budgets::Budgets;
use ringgate::telemetry::Observed;
use ringgate::telemetry::exposition::Format;
use ringgate::telemetry::figures::{CertificateExpiry, Shown};
use ringgate::telemetry::metrics::metrics;
use rustix::process::Signal;
use std::collections::HashMap;
use std::net::SocketAddr;
use tokio::sync::watch;

/// Names whose numbers are of the process that makes the page.
const OF_THE_PROCESS: [&str; 3] =
    ["ringgate_open_files ", "ringgate_open_files_limit ", "ringgate_heartbeat_age_seconds{"];

#[test]
fn the_page_for_prometheus_is_as_shown() {
    let mut observed = Observed::of(Counters::new(2), Budgets::of(1000, 64));
    let mut files = CatalogFiles::default();
    files.insert(
        "apis/chat.toml",
        "display_name = \"C\"\nurl = \"ws://h\"\nsuffix = \"c\"\nproducts = [\"p\"]\n",
    );
    files.insert("products/p.toml", "display_name = \"P\"\n");
    let _labels = observed.labels.publish(&compile(&files, None).unwrap());
    let certificate = CertificateExpiry {
        listener: "0.0.0.0:443".into(),
        name: "gateway.example".into(),
        not_after_s: 1_900_000_000,
    };
    let shown = Shown { certificates: [certificate].into(), ..Shown::default() };
    observed.shown = watch::Sender::new(shown).subscribe();
    let (at, revision) = (Timestamp::from_unix(1_800_000_000), Revision::of(&CatalogFiles::default()));
    observed.publishes.note(LastPublish { at, revision, served: revision, fault_count: 0, faults: vec![] });
    let page = metrics(&observed, Format::Prometheus);
    let shown = page.lines().map(|line| match line.rsplit_once(' ') {
        Some((what, _)) if OF_THE_PROCESS.iter().any(|name| line.starts_with(name)) => format!("{what} …\n"),
        _ => format!("{line}\n"),
    });
    assert_golden("metrics.txt", &shown.collect::<String>());
}

/// The answer of the status page to a request for `path`: status and body.
fn ask(status: SocketAddr, path: &str) -> (u16, String) {
    let mut client = Raw::connect(status);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let (answer, end) = client.read_to_end();
    assert_eq!(end, StreamEnd::Fin);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The samples of the page for Prometheus.
fn samples(status: SocketAddr) -> HashMap<String, f64> {
    let (code, page) = ask(status, "/metrics");
    assert_eq!(code, 200, "{page}");
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (what, number) = line.rsplit_once(' ').unwrap();
        (what.to_owned(), number.parse().unwrap())
    });
    samples.collect()
}

#[test]
fn sessions_refusals_and_health_checks_are_counted_as_their_clients_saw_them() {
    let backend = Backend::new();
    let instance = format!(
        "gateway = \"edge\"\n{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n[limits]\nconnections_max = 2\n"
    );
    let refuse = "<policies><inbound><base/><return-response><set-status code=\"418\" reason=\"No\"/></return-response>\
                  </inbound></policies>";
    let api =
        |name: &str, lines: &str| api_file(name, backend.address, &format!("gateways = [\"edge\"]\n{lines}"));
    let configuration = Configuration::new(&instance, &api("t", "connections_max = 9"))
        .with_api("shut", &api("shut", ""))
        .with_file("catalog/policies/apis/shut.xml", refuse);
    let served = Served::start(&configuration);
    let status = served.status_address();
    assert_eq!(ask(status, "/healthz"), (200, "healthy\n".to_owned()));
    wait_until("a catalogue", || ask(status, "/readyz") == (200, "ready\n".to_owned()));

    let mut first = Pair::open(served.address, &backend);
    first.exchange();
    let second = Pair::open(served.address, &backend);
    let told = |path: &str| {
        let mut client = Raw::connect(served.address);
        client.send(request(path, "").as_bytes());
        client.read_head()[9..12].to_owned()
    };
    assert_eq!(told("/t"), "503");
    drop(second);
    wait_until("a place", || samples(status)["ringgate_places_taken"] == 1.0);
    assert_eq!(told("/shut"), "418");
    assert_eq!(told("/nowhere"), "404");
    let mut balancer = Raw::connect(served.address);
    balancer.send(b"HEAD /status-0123456789abcdef HTTP/1.0\r\n\r\n");
    assert!(balancer.read_head().starts_with("HTTP/1.1 200 "));
    // A page may be some hundred milliseconds old: the last of all is waited for in the page itself.
    let ended = [
        "ringgate_terminations_total{cause=\"instance_full\",phase=\"head\"}",
        "ringgate_terminations_total{cause=\"refused_by_policy\",phase=\"head\"}",
        "ringgate_terminations_total{cause=\"no_api\",phase=\"head\"}",
        "ringgate_health_checks_total",
    ];
    wait_until("all ends", || {
        let samples = samples(status);
        ended.iter().all(|row| samples[*row] == 1.0)
    });
    let samples = samples(status);
    for (row, number) in [
        ("ringgate_sessions_opened_total", 2.0),
        ("ringgate_places_taken", 1.0),
        ("ringgate_places_limit", 2.0),
        ("ringgate_api_places_taken{api=\"t\"}", 1.0),
        ("ringgate_api_places_limit{api=\"t\"}", 9.0),
        ("ringgate_api_sessions{api=\"t\"}", 1.0),
        ("ringgate_api_sessions{api=\"shut\"}", 0.0),
        ("ringgate_api_messages_total{api=\"t\",leg=\"downstream\"}", 1.0),
        ("ringgate_terminations_total{cause=\"instance_full\",phase=\"head\"}", 1.0),
        ("ringgate_terminations_total{cause=\"refused_by_policy\",phase=\"head\"}", 1.0),
        ("ringgate_terminations_total{cause=\"no_api\",phase=\"head\"}", 1.0),
        ("ringgate_policy_refusals_total{policy=\"return-response\"}", 1.0),
        ("ringgate_health_checks_total", 1.0),
        ("ringgate_connections_accepted_total", 6.0),
        ("ringgate_catalogue_publishes_total", 1.0),
    ] {
        assert_eq!(samples.get(row), Some(&number), "{row}");
    }
    let apim =
        "ringgate_apim_connection_attempts_total{location=\"edge\",source=\"client\",destination=\"gateway\"";
    assert_eq!(samples[&format!("{apim},state=\"succeeded\"}}")], 2.0);
    assert_eq!(samples[&format!("{apim},state=\"failed\"}}")], 3.0);
    assert!(!samples.contains_key("ringgate_api_places_limit{api=\"shut\"}"), "it has no limit");
    assert!(samples["ringgate_open_files"] > 10.0 && samples["ringgate_start_time_seconds"] > 1.7e9);
    assert!(samples["ringgate_heartbeat_age_seconds{worker=\"1\",thread=\"relay\"}"] < 10.0);
    assert_eq!(samples["ringgate_opening_stage_seconds_count{stage=\"tls\"}"], 0.0);
    drop(first);
}

#[test]
fn an_instance_that_drains_is_healthy_and_not_ready() {
    let backend = Backend::new();
    let instance =
        format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n").replace("drain_s = 4", "drain_s = 3600");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, "linger_s = 60"));
    let mut served = Served::start(&configuration);
    let status = served.status_address();
    let pair = Pair::open(served.address, &backend);
    served.signal(Signal::TERM);
    wait_until("its drain", || ask(status, "/readyz").0 == 503);
    let (code, body) = ask(status, "/readyz");
    assert!(code == 503 && body.contains("this instance drains"), "{body}");
    assert_eq!(ask(status, "/healthz").0, 200);
    assert_eq!(samples(status)["ringgate_draining"], 1.0);
    drop(pair);
    assert!(wait_for_exit(&mut served.child).success());
}
