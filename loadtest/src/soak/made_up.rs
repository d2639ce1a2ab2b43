//! Made-up records for tests: an hour that was flat, to be spoilt.

use super::figures::Ends;
use super::plan::SoakPlan;
use super::record::{Begun, Ended, Machine, OwnFigures, Record, Sample, Stage};
use super::subject::SubjectFigures;

const KEPT_KIB: u64 = 40_000;
const POOL_KIB: u64 = 30_000;
const DESCRIPTORS: u64 = 30;

/// An hour with 13 rests of the committed plan, and a sample in the midst of the mix between any two. The pools grow until
/// the end, the rest does not.
pub(crate) fn flat() -> Record {
    let plan_text = include_str!("../../plans/soak.toml").to_owned();
    let plan = SoakPlan::parse(&plan_text).expect("the committed plan");
    let mut samples = vec![sample(&plan, 0.0, Stage::Start)];
    for rest in 0..=12 {
        let at_s = 10.0 + f64::from(rest) * 300.0;
        samples.push(sample(&plan, at_s, Stage::Rest));
        samples.push(sample(&plan, at_s + 100.0, Stage::Mix));
    }
    samples.push(sample(&plan, 3_700.0, Stage::End));
    let about =
        Machine { commit: "c0ffee".to_owned(), cpu: "A <processor>".to_owned(), ..Machine::default() };
    let begun = Begun { about, version: "ringgate 0.1.0".to_owned(), plan, plan_text, seed: 7 };
    let ended = Ended { exit_code: Some(0), drain_s: 0.03, failure: None };
    Record { begun, samples, ended: Some(ended) }
}

fn sample(plan: &SoakPlan, at_s: f64, stage: Stage) -> Sample {
    let is_open = !matches!(stage, Stage::Start | Stage::End);
    let is_mix = stage == Stage::Mix;
    let standing = if is_open { plan.standing_sessions() as u64 } else { 0 };
    let visitors = if is_mix { 14 } else { 0 };
    let own = OwnFigures {
        at_s,
        stage,
        steady: if is_open { plan.steady.sessions } else { 0 },
        idle: if is_open { plan.idle.sessions } else { 0 },
        churn: visitors / 2,
        slow: visitors / 2,
        round_trips: 5_000,
        latency_us: is_mix.then_some([110.0, 900.0 + at_s, 9_000.0]),
        lateness_p99_us: is_mix.then_some(80.0),
        ends: Ends {
            closed: 8_000,
            reset_mid_frame: 1_000,
            left_in_opening: 1_000,
            slow_read_all: 600,
            slow_reset: 400,
            standing_closed: 0,
        },
        faults: Vec::new(),
        fault_count: 0,
        harness_cpu_us: at_s * 6e4,
    };
    let grown_kib = at_s as u64;
    let pools_kib = [POOL_KIB + grown_kib, POOL_KIB];
    let target = SubjectFigures {
        rss_kib: KEPT_KIB + pools_kib.iter().sum::<u64>(),
        anonymous_kib: KEPT_KIB + pools_kib.iter().sum::<u64>() - 5_000,
        large_mappings_kib: vec![
            [1 << 20, 20_000],
            [65_924, pools_kib[0]],
            [65_404, 0],
            [65_924, pools_kib[1]],
        ],
        descriptors: DESCRIPTORS + 2 * (standing + visitors as u64),
        threads: 5,
        slab_kib: 700_000,
        cpu_us: at_s * 5e4,
        status: [
            ("slots", standing + visitors as u64),
            ("places_taken", standing + visitors as u64),
            ("openings", 0),
            ("opening_places_taken", 0),
            ("buffers", visitors as u64),
            ("buffers_limit", 2_048),
            ("backlog_bytes", visitors as u64 * 100_000),
            ("lookups", 0),
            ("lookup_waiters", 0),
            ("source_networks", if is_open { 32 } else { 0 }),
            ("sessions_opened", 8_000),
            ("terminations{cause=\"closed\",phase=\"relay\"}", 8_000),
            ("terminations{cause=\"reset\",phase=\"relay\"}", 1_400),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        status_failure: None,
    };
    Sample { own, target }
}
