//! The plots of a soak.

use super::super::panels::{Line, Panel, panels};
use super::super::plots::Scale;
use crate::soak::record::{Record, Sample, Stage};

const KIB_PER_MIB: f64 = 1024.0;
const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

/// Everything over time, to stand in a page.
pub fn plot(record: &Record) -> String {
    let plan = &record.begun.plan;
    let line = |name, value: &dyn Fn(&Sample) -> Option<f64>| line(record, name, value);
    let status = |sample: &Sample, name: &str| sample.target.status.get(name).map(|value| *value as f64);
    let panel =
        |title: &str, lines: Vec<Line>| Panel { title: title.to_owned(), scale: Scale::Linear, lines };
    let mut all = vec![
        panel(
            "Memory, MiB",
            vec![
                line("resident", &|sample| Some(sample.target.rss_kib as f64 / KIB_PER_MIB)),
                line("outside the pools", &|sample| {
                    Some(sample.outside_pools_kib(plan) as f64 / KIB_PER_MIB)
                }),
            ],
        ),
        panel(
            "Open descriptors",
            vec![line("of the gateway", &|sample| Some(sample.target.descriptors as f64))],
        ),
        panel("Sessions of the gateway", vec![line("slots", &|sample| status(sample, "slots"))]),
        panel(
            "Visitors",
            vec![
                line("churn", &|sample| Some(sample.own.churn as f64)),
                line("slow readers", &|sample| Some(sample.own.slow as f64)),
            ],
        ),
        panel("Buffers of the pool in use", vec![line("lent out", &|sample| status(sample, "buffers"))]),
        panel(
            "Held for slow readers, MiB",
            vec![line("backlog", &|sample| Some(status(sample, "backlog_bytes")? / BYTES_PER_MIB))],
        ),
    ];
    all.push(Panel {
        title: "Round trips of the steady sessions, µs, logarithmic".to_owned(),
        scale: Scale::Logarithmic,
        lines: vec![
            line("p99", &|sample| sample.own.latency_us.map(|[_, p99, _]| p99)),
            line("p50", &|sample| sample.own.latency_us.map(|[p50, ..]| p50)),
        ],
    });
    let rests: Vec<f64> = record.rests().iter().map(|rest| rest.own.at_s).collect();
    panels(&all, &rests, &record.begun.plan.title)
}

/// A figure over time; where it is at a rest stands out.
fn line(record: &Record, name: &'static str, value: &dyn Fn(&Sample) -> Option<f64>) -> Line {
    let of = |sample: &Sample| Some((sample.own.at_s, value(sample)?));
    let marks = record.of_stage(Stage::Rest).into_iter().filter_map(of).collect();
    Line { name, points: record.samples.iter().filter_map(of).collect(), marks }
}
