//! A soak on a terminal.

use super::super::text::number;
use crate::compare::statistics::Spread;
use crate::soak::record::{Record, Sample, Stage};
use crate::soak::verdict::Verdict;
use std::fmt::Write;

/// Names of the columns.
pub(super) const HEADS: [&str; 11] = [
    "",
    "at s",
    "RSS KiB",
    "outside pools",
    "descriptors",
    "slots",
    "places",
    "buffers",
    "sessions",
    "round trips",
    "p99 µs",
];

/// The figures at start, rests and end, and the verdict.
pub fn table(record: &Record, verdict: &Verdict) -> String {
    let begun = &record.begun;
    let about = &begun.about;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}\n{}, seed {}; harness of commit {}; {}, Linux {}, {} cores; {}\n",
        begun.plan.title,
        begun.version,
        begun.seed,
        about.commit,
        about.cpu,
        about.kernel,
        about.cores,
        about.date
    );
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows(record));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let _ =
                if column == 0 { write!(out, "{cell}{padding}") } else { write!(out, "  {padding}{cell}") };
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "\nbuffers: lent out; sessions: opened from the start; round trips: from the start; p99: median of the samples \
         since the line above\n"
    );
    for check in &verdict.checks {
        let _ =
            writeln!(out, "{} {}: {}", if check.passed { "ok  " } else { "FAIL" }, check.name, check.words);
    }
    if let Some(load) = load(record) {
        let _ = writeln!(out, "\n{load}");
    }
    let _ = writeln!(out, "\n{}", verdict.words());
    out
}

/// One for the start, each rest and the end.
pub(super) fn rows(record: &Record) -> Vec<[String; HEADS.len()]> {
    let mut rows = Vec::new();
    let (mut round_trips, mut p99s, mut rests) = (0, Vec::new(), 0);
    for sample in &record.samples {
        round_trips += sample.own.round_trips;
        p99s.extend(sample.own.latency_us.map(|[_, p99, _]| p99));
        let name = match sample.own.stage {
            Stage::Start => "start".to_owned(),
            Stage::End => "end".to_owned(),
            Stage::Rest => {
                rests += 1;
                format!("rest {rests}")
            }
            Stage::Opening | Stage::Mix | Stage::Settling | Stage::Closing => continue,
        };
        let outside_pools_kib = sample.outside_pools_kib(&record.begun.plan);
        let p99 = Spread::of(std::mem::take(&mut p99s));
        rows.push(cells(name, sample, outside_pools_kib, round_trips, p99));
    }
    rows
}

fn cells(
    name: String,
    sample: &Sample,
    outside_pools_kib: u64,
    round_trips: u64,
    p99: Option<Spread>,
) -> [String; HEADS.len()] {
    let target = &sample.target;
    let status = |name: &str| target.status.get(name).map_or_else(|| "–".to_owned(), u64::to_string);
    [
        name,
        format!("{:.0}", sample.own.at_s),
        target.rss_kib.to_string(),
        outside_pools_kib.to_string(),
        target.descriptors.to_string(),
        status("slots"),
        status("places_taken"),
        status("buffers"),
        status("sessions_opened"),
        round_trips.to_string(),
        p99.map_or_else(|| "–".to_owned(), |p99| number(p99.median)),
    ]
}

/// Returns the use of a core by both sides, from the first rest to the last.
pub(super) fn load(record: &Record) -> Option<String> {
    let rests = record.rests();
    let (first, last) = (rests.first()?, rests.last()?);
    let elapsed_us = (last.own.at_s - first.own.at_s) * 1e6;
    if elapsed_us <= 0.0 {
        return None;
    }
    Some(format!(
        "the gateway took {:.1} % of a core, clients and backend {:.1} %",
        (last.target.cpu_us - first.target.cpu_us) / elapsed_us * 100.0,
        (last.own.harness_cpu_us - first.own.harness_cpu_us) / elapsed_us * 100.0
    ))
}
