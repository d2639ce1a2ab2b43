//! Made-up comparisons, for tests.

use crate::compare::about::{About, Conditions};
use crate::compare::attempts::{Attempt, Comparison, PlanRun, TargetAbout};
use crate::plan::Plan;
use crate::result::{GreedyBeside, MemoryStep, Percentiles, Processor, RunResult};

/// No plan and no run yet.
pub(crate) fn empty(targets: &[&str], rounds: usize) -> Comparison {
    let about = About {
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        date: "2030-01-02 03:04 UTC".to_owned(),
        kernel: "6.1.0-made-up".to_owned(),
        cpu: "A made-up processor @ 2.50GHz".to_owned(),
        cores: 2,
        memory_mib: 7_900,
        proxy_core: 0,
        load_core: 1,
        build: "dist".to_owned(),
        conditions: Conditions { kept_awake: true, real_time_load: true },
    };
    let targets = targets
        .iter()
        .map(|&name| TargetAbout { name: name.to_owned(), version: format!("{name} 1.2.3") })
        .collect();
    Comparison {
        about,
        asked_for: vec!["standard".to_owned()],
        seed: 1,
        rounds,
        targets,
        plans: Vec::new(),
        attempts: Vec::new(),
    }
}

/// A plan with a title.
pub(crate) fn plan(name: &str, title: &str, measures: &str) -> PlanRun {
    let text = format!(
        "title = {title:?}\nmeasures = \"{measures}\"\n[steady]\nsessions = 1\nsizes = [{{ bytes = 64 }}]\n"
    );
    let plan = Plan::parse(&text).expect("a plan");
    PlanRun { name: name.to_owned(), text, plan }
}

/// A plan with a greedy session in it.
pub(crate) fn greedy_plan(name: &str) -> PlanRun {
    let text = "title = \"Echoes beside one that is greedy\"\nmeasures = \"echoes\"\n[steady]\nsessions = 1\n\
                rate_per_s = 1000\nsizes = [{ bytes = 64 }]\n[greedy]\nsessions = 1\ndoes = \"send_empty_frames\"\n";
    PlanRun { name: name.to_owned(), text: text.to_owned(), plan: Plan::parse(text).expect("a plan") }
}

/// A run in which so many of 5,000 echoes were answered.
pub(crate) fn echoes(plan: &str, target: &str, round: usize, answered: u64, p99_us: f64) -> Attempt {
    let mut attempt = cost(plan, target, round, 1.0);
    if let Some(result) = &mut attempt.result {
        result.messages = answered;
        result.latency = Some(Percentiles { p99_us, ..Percentiles::default() });
        result.greedy = Some(GreedyBeside { asked: 5_000, answered, ..GreedyBeside::default() });
    }
    attempt
}

/// A run that costs so many µs per message, and otherwise looks like one.
pub(crate) fn cost(plan: &str, target: &str, round: usize, cost_us: f64) -> Attempt {
    let messages = 100_000;
    let processor = Processor {
        proxy_core_busy_us: cost_us * messages as f64,
        proxy_core_ticks_us: cost_us * messages as f64,
        proxy_process_us: cost_us * messages as f64 * 0.8,
        load_core_busy: 0.62,
        stolen_us: 1_300.0,
        ..Processor::default()
    };
    let percentiles = |scale: f64| Percentiles {
        p50_us: scale,
        p99_us: scale * 3.1,
        p999_us: scale * 7.7,
        max_us: scale * 31.0,
    };
    let result = RunResult {
        plan: plan.to_owned(),
        target: target.to_owned(),
        seed: 1,
        window_s: 5.0,
        messages,
        latency: Some(percentiles(cost_us * 9.0)),
        lateness: Some(percentiles(4.0)),
        processor: Some(processor),
        ..RunResult::default()
    };
    let (plan, target) = (plan.to_owned(), target.to_owned());
    Attempt { plan, target, round, repetition: 0, result: Some(result), failure: None }
}

/// Everything that a report can hold: rows of all sorts, a repetition, faults, a target that did not start.
pub(crate) fn full() -> Comparison {
    let costs = [
        ("ringgate", 8.1),
        ("floor", 5.2),
        ("haproxy", 9.9),
        ("nginx", 11.4),
        ("envoy", 16.3),
        ("caddy", 15.1),
        ("traefik", 15.8),
        ("haproxy26", 10.1),
        ("nginx122", 11.2),
        ("haproxy-splice", 12.9),
        ("haproxy-tcp", 8.7),
    ];
    let mut comparison = empty(&costs.map(|(name, _)| name), 5);
    let rows = [
        ("round-trip-64b-100", "64 B round trips, 100 sessions", "cost_per_message", 1.0, 1.0),
        ("round-trip-64b-4000", "64 B round trips, 4,000 sessions", "cost_per_message", 2.3, 1.29),
        ("round-trip-16kib-100", "16 KiB round trips, 100 sessions", "cost_per_message", 2.0, 0.75),
        ("round-trip-1mib-8", "1 MiB round trips, 8 sessions", "cost_per_message", 90.0, 1.09),
        ("idle-crowd", "Idle crowd, 1,000 to 9,000 sessions", "memory", 1.0, 0.8),
        ("new-sessions", "New sessions, 2,500/s", "cost_per_session", 9.0, 1.0),
        ("isolation", "Steady echo beside 2,700 new sessions/s", "tail", 3.0, 0.9),
    ];
    let mut noise = 1u64;
    for (name, title, measures, scale, ours) in rows {
        comparison.plans.push(plan(name, title, measures));
        for round in 0..5 {
            for (target, base) in costs {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let jitter = 0.96 + 0.08 * (noise >> 40) as f64 / (1u64 << 24) as f64;
                let factor = if target == "ringgate" { ours } else { 1.0 };
                let mut attempt = cost(name, target, round, base * scale * factor * jitter);
                if let Some(result) = &mut attempt.result {
                    dress(result, measures, base * factor * jitter);
                }
                comparison.attempts.push(attempt);
            }
        }
    }
    comparison.plans.push(greedy_plan("greedy-empty-frames"));
    for round in 0..5 {
        for (target, base) in
            costs.into_iter().filter(|(target, _)| !["floor", "haproxy-tcp"].contains(target))
        {
            let answered = 4_990 - (base * 10.0) as u64;
            comparison.attempts.push(echoes("greedy-empty-frames", target, round, answered, base * 1_000.0));
        }
    }
    spoil(&mut comparison);
    comparison
}

fn dress(result: &mut RunResult, measures: &str, size: f64) {
    match measures {
        "cost_per_session" => {
            (result.sessions, result.messages) = (result.messages, 0);
            result.opening_latency = result.latency.take();
        }
        "memory" => {
            (result.messages, result.latency, result.lateness) = (0, None, None);
            let step = |state: &str, sessions: usize, each: f64| MemoryStep {
                state: state.to_owned(),
                sessions,
                rss_kib: 9_000 + (sessions as f64 * each) as u64,
                slab_kib: 50_000 + sessions as u64 * 14,
            };
            result.memory = vec![
                step("fresh", 1_000, size * 0.3),
                step("fresh", 9_000, size * 0.3),
                step("after 100 B", 9_000, size * 0.5),
                step("after 60000 B", 9_000, size * 2.1),
            ];
        }
        _ => {}
    }
}

fn spoil(comparison: &mut Comparison) {
    let mut thrown_out = comparison.attempts[4].clone();
    if let Some(result) = &mut thrown_out.result {
        result.thrown_out.push("load core 91 % busy (at most 85 %)".to_owned());
    }
    comparison.attempts[4].repetition = 1;
    comparison.attempts.insert(4, thrown_out);
    for attempt in &mut comparison.attempts {
        if (attempt.plan.as_str(), attempt.target.as_str()) == ("idle-crowd", "traefik") {
            attempt.result = None;
            attempt.failure = Some("traefik start failed: <no such file>".to_owned());
        }
        let is_lossy =
            (attempt.plan.as_str(), attempt.target.as_str(), attempt.round) == ("new-sessions", "envoy", 2);
        if let Some(result) = attempt.result.as_mut().filter(|_| is_lossy) {
            result.faults.push("14 sessions ended".to_owned());
        }
    }
}
