use super::*;
use crate::admission::places::HolderKind;
use crate::catalog::{CatalogFiles, Name};
use crate::compiled::compile;
use crate::observe::counters::add;
use crate::observe::entity_cells::Writer;
use crate::observe::labels::OWN_SERIES_MAX;
use crate::observe::stages::StageTimes;
use crate::session::Termination;
use crate::shared_counts::budgets::Budgets;
use crate::telemetry::figures::{CertificateExpiry, Shown};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

fn observed(workers: usize) -> Observed {
    Observed::of(Counters::new(workers), Budgets::of(1_000, 64))
}

/// A catalogue of so many APIs, named by their numbers.
fn apis(count: usize) -> CatalogFiles {
    let mut files = CatalogFiles::default();
    for number in 0..count {
        let text = format!("display_name = \"X\"\nurl = \"ws://h\"\nsuffix = \"a{number}\"\n");
        files.insert(&format!("apis/api-{number}.toml"), text);
    }
    files
}

/// The samples of a page, by name and labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (what, number) = line.rsplit_once(' ').unwrap();
        (what.to_owned(), number.parse().unwrap())
    });
    samples.collect()
}

/// Checks the rules that hold for every page: each family stands once, with HELP and TYPE before its samples, each sample once, and
/// names have the suffix of their kind.
fn check_format(page: &str) {
    let (mut families, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(!text.is_empty() && families.insert(name.to_owned()), "{line}");
            let next = lines.next().unwrap();
            kind =
                next.strip_prefix(&format!("# TYPE {name} ")).unwrap_or_else(|| panic!("{next}")).to_owned();
            family = name.to_owned();
        } else if line == "# EOF" {
            assert!(lines.peek().is_none(), "nothing stands behind the end");
        } else {
            let (what, number) = line.rsplit_once(' ').unwrap();
            assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(seen.insert(what.to_owned()), "{line} stands twice");
            let name = what.split('{').next().unwrap();
            let rest = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} in {family}"));
            let allowed: &[&str] = match kind.as_str() {
                "counter" => &["", "_total"],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(allowed.contains(&rest), "{line} in {family} ({kind})");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let is_name = |text: &str| {
                text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            };
            assert!(name.starts_with("ringgate_") && is_name(name), "{line}");
        }
    }
    assert!(families.len() > 60, "{}", families.len());
}

#[test]
fn every_page_keeps_the_rules_of_both_formats() {
    let observed = observed(2);
    let registry = &observed.labels;
    let _published = registry.publish(&compile(&apis(2), None).unwrap());
    for format in [Format::Prometheus, Format::OpenMetrics] {
        check_format(&metrics(&observed, format));
    }
}

#[test]
fn a_cause_has_a_row_for_the_phases_in_which_it_occurs_and_for_no_other() {
    let observed = observed(2);
    let page = samples(&metrics(&observed, Format::Prometheus));
    for cause in Cause::ALL {
        for phase in Phase::ALL {
            let row = format!(
                "ringgate_terminations_total{{cause=\"{}\",phase=\"{}\"}}",
                cause.name(),
                phase.name()
            );
            assert_eq!(page.contains_key(&row), cause.phases().contains(&phase), "{row}");
        }
    }
}

#[test]
fn no_name_has_a_sum_beside_its_parts() {
    let observed = observed(2);
    for worker in observed.counters.workers() {
        add(&worker.connections_accepted, 3);
        add(&worker.slots, 5);
    }
    let page = samples(&metrics(&observed, Format::Prometheus));
    assert_eq!(page["ringgate_connections_accepted_total"], 6.0);
    assert_eq!(page["ringgate_slots{worker=\"1\"}"], 5.0);
    assert!(!page.contains_key("ringgate_slots"));
    // By name: either with or without a worker.
    let by_worker = |is_so: bool| -> BTreeSet<&str> {
        let rows = page.keys().filter(|row| row.contains("worker=\"") == is_so);
        rows.map(|row| row.split('{').next().unwrap()).collect()
    };
    assert_eq!(by_worker(true).intersection(&by_worker(false)).count(), 0);
}

#[test]
fn apims_metrics_are_those_of_their_parts() {
    let observed = observed(1);
    let worker = observed.counters.worker(0);
    add(&worker.sessions_opened, 4);
    for (cause, phase) in [
        (Cause::NoApi, Phase::Head),
        (Cause::BackendRefused, Phase::Dial),
        (Cause::BackendAnswer, Phase::Answer),
        (Cause::Closed, Phase::Relay),
    ] {
        worker.count_termination(cause, phase);
    }
    let label = observed.labels.label_of(HolderKind::Api, &Name::parse("chat").unwrap());
    label.cells(Writer::relay(0)).unwrap().count_relayed(Leg::Upstream, 7, 70);
    let page = samples(&metrics(&observed, Format::Prometheus));
    let attempts = |source: &str, destination: &str, state: &str| {
        page[&format!(
            "ringgate_apim_connection_attempts_total{{location=\"\",source=\"{source}\",destination=\"{destination}\",state=\"{state}\"}}"
        )]
    };
    assert_eq!(
        (attempts("client", "gateway", "succeeded"), attempts("client", "gateway", "failed")),
        (4.0, 3.0)
    );
    assert_eq!(
        (attempts("gateway", "backend", "succeeded"), attempts("gateway", "backend", "failed")),
        (4.0, 2.0)
    );
    let messages = |source: &str, destination: &str| {
        page[&format!(
            "ringgate_apim_websocket_messages_total{{location=\"\",source=\"{source}\",destination=\"{destination}\"}}"
        )]
    };
    assert_eq!((messages("client", "backend"), messages("backend", "client")), (0.0, 7.0));
}

#[test]
fn stages_turns_and_certificates_have_rows_of_their_own() {
    let mut observed = observed(1);
    let certificate = CertificateExpiry {
        listener: "127.0.0.1:443".into(),
        name: "a.example".into(),
        not_after_s: 1_900_000_000,
    };
    observed.shown =
        watch::Sender::new(Shown { certificates: [certificate].into(), ..Shown::default() }).subscribe();
    let worker = observed.counters.worker(0);
    worker.stages.count(&StageTimes::new([Some(40), None, Some(3_000), None, None, None], 3_040));
    let page = samples(&metrics(&observed, Format::Prometheus));
    for (row, value) in [
        ("ringgate_opening_stage_seconds_bucket{stage=\"accept\",le=\"5e-05\"}", 1.0),
        ("ringgate_opening_stage_seconds_bucket{stage=\"head\",le=\"0.0025\"}", 0.0),
        ("ringgate_opening_stage_seconds_bucket{stage=\"head\",le=\"0.005\"}", 1.0),
        ("ringgate_opening_stage_seconds_sum{stage=\"head\"}", 0.003),
        ("ringgate_opening_stage_seconds_count{stage=\"tls\"}", 0.0),
        ("ringgate_relay_turn_completions_count", 0.0),
        (
            "ringgate_certificate_expiry_time_seconds{listener=\"127.0.0.1:443\",certificate=\"a.example\"}",
            1_900_000_000.0,
        ),
    ] {
        assert_eq!(page.get(row), Some(&value), "{row}");
    }
}

#[test]
fn ten_thousand_apis_make_a_page_that_is_bounded_in_size_and_made_at_once() {
    const APIS: usize = 10_000;
    let observed = observed(1);
    let published = observed.labels.publish(&compile(&apis(APIS), None).unwrap());
    let ended = Termination { cause: Cause::Closed, phase: Phase::Relay, by: None, close_code: Some(1000) };
    for label in observed.labels.all_of(HolderKind::Api) {
        let cells = label.cells(Writer::relay(0)).unwrap();
        (0..3).for_each(|_| cells.count_open());
        cells.count_end(&ended);
    }
    let before = uptime_ms();
    let page = metrics(&observed, Format::Prometheus);
    let took_ms = uptime_ms() - before;
    check_format(&page);
    let samples = samples(&page);
    let rows: Vec<_> = samples.keys().filter(|row| row.starts_with("ringgate_api_sessions{")).collect();
    assert_eq!(rows.len(), OWN_SERIES_MAX + 1);
    assert_eq!(samples["ringgate_api_sessions{api=\"_other\"}"], (2 * (APIS - OWN_SERIES_MAX)) as f64);
    let name = rows[0].strip_prefix("ringgate_api_sessions{").and_then(|row| row.strip_suffix('}')).unwrap();
    let of_one = samples.keys().filter(|row| row.contains(&format!("{{{name}"))).count();
    assert_eq!(of_one, 8, "as the manual says, of {name}");
    let sum = |name: &str| -> f64 {
        samples.iter().filter(|(row, _)| row.starts_with(name)).map(|(_, number)| *number).sum()
    };
    assert_eq!(sum("ringgate_api_sessions_opened_total{"), (3 * APIS) as f64, "nothing is lost");
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    // A debug build on a busy machine; it is some milliseconds.
    assert!(took_ms < 5_000, "{took_ms} ms");

    // A publish without them: what is summed up never becomes less, and names come free.
    drop((published, observed.labels.publish(&compile(&apis(1), None).unwrap())));
    let closed = |label: &Arc<crate::observe::EntityLabel>| {
        let cells = label.cells(Writer::relay(0)).unwrap();
        (0..2).for_each(|_| cells.count_end(&ended));
    };
    observed.labels.all_of(HolderKind::Api).iter().for_each(closed);
    observed.labels.forget_gone();
    let after = self::samples(&metrics(&observed, Format::Prometheus));
    let others = after["ringgate_api_sessions_opened_total{api=\"_other\"}"];
    assert_eq!(others, (3 * (APIS - OWN_SERIES_MAX)) as f64);
    assert_eq!(after["ringgate_api_sessions{api=\"_other\"}"], 0.0);
    let newcomer = observed.labels.label_of(HolderKind::Api, &Name::parse("newcomer").unwrap());
    assert!(newcomer.has_own_series());
}
