//! Orders, repetitions, ratios and the floor's rule.

use super::*;
use crate::report::sample;
use floor_rule::FloorVerdict;
use rows::Row;

fn names() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).into()
}

fn plan() -> PlanRun {
    sample::plan("round-trip-64b-100", "64 B", "cost_per_message")
}

#[test]
fn the_order_turns_from_round_to_round_and_comes_from_the_seed() {
    let names = names();
    let order = |seed, round| order_of(&names, seed, round).cloned().collect::<Vec<_>>().concat();
    assert_eq!([order(0, 0), order(0, 1), order(0, 2), order(0, 3)], ["abc", "bca", "cab", "abc"]);
    assert_eq!(order(1, 0), "bca");
    assert_eq!(order(u64::MAX, 1), "abc");
}

#[test]
fn every_target_of_a_round_has_the_same_seed_and_no_other_round_has_it() {
    let mut seeds: Vec<u64> =
        (0..14).flat_map(|plan| (0..5).map(move |round| run_seed(7, plan, round))).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 14 * 5);
}

#[test]
fn a_thrown_out_run_is_repeated_once_and_both_are_kept() {
    let thrown_out =
        || Ok(RunResult { thrown_out: vec!["load core 91 % busy".to_owned()], ..RunResult::default() });
    assert_eq!(attempt_twice(&plan(), "a", 0, thrown_out).len(), 2);
    let mut runs = 0;
    let second_is_fine = attempt_twice(&plan(), "a", 0, || {
        runs += 1;
        if runs == 1 { thrown_out() } else { Ok(RunResult::default()) }
    });
    assert!(second_is_fine[0].counted().is_err() && second_is_fine[1].counted().is_ok());
}

#[test]
fn a_target_with_faults_or_that_does_not_start_is_not_repeated() {
    let faults = || Ok(RunResult { faults: vec!["3 messages lost".to_owned()], ..RunResult::default() });
    assert_eq!(attempt_twice(&plan(), "a", 0, faults).len(), 1);
    assert_eq!(attempt_twice(&plan(), "a", 0, || bail!("no such file")).len(), 1);
}

#[test]
fn ratios_are_to_the_peer_with_the_smallest_median() {
    let mut comparison = sample::empty(&["ringgate", "floor", "haproxy", "nginx"], 3);
    comparison.plans = vec![plan()];
    for round in 0..3 {
        // A machine that is slower in each round, by the same for all.
        let slow = 1.0 + round as f64;
        for (target, cost) in [("ringgate", 8.0), ("floor", 5.0), ("haproxy", 10.0), ("nginx", 16.0)] {
            comparison.attempts.push(sample::cost("round-trip-64b-100", target, round, cost * slow));
        }
    }
    let rows = Row::all(&comparison);
    assert_eq!(rows[0].best_peer.as_deref(), Some("haproxy"));
    let cost = rows[0].target("ringgate").and_then(|target| target.figure(rows[0].key)).expect("a cost");
    let ratio = cost.to_best_peer.expect("a ratio");
    assert!((ratio.min - 0.8).abs() < 1e-9 && (ratio.max - 0.8).abs() < 1e-9, "{ratio:?}");
    assert!((cost.to_floor.expect("a ratio").median - 1.6).abs() < 1e-9);
    assert!((cost.spread.max / cost.spread.min - 3.0).abs() < 1e-9);
}

#[test]
fn sessions_with_and_without_tls_are_two_rows_each_with_its_own_best_peer() {
    let mut comparison = sample::empty(&["ringgate", "haproxy", "nginx"], 1);
    let mut run = sample::plan("tls-isolation", "Isolation", "tail");
    run.plan.tls = Some(crate::plan::Tls::Clients);
    run.plan.steady.as_mut().expect("a steady part").plain_sessions = 1;
    comparison.plans = vec![run];
    for (target, tls, plain) in [("ringgate", 2.0, 1.0), ("haproxy", 4.0, 5.0), ("nginx", 8.0, 2.0)] {
        let mut attempt = sample::cost("tls-isolation", target, 0, 1.0);
        if let Some(result) = &mut attempt.result {
            let percentiles = |p999_us| Some(crate::result::Percentiles { p999_us, ..Default::default() });
            (result.latency, result.plain_latency) = (percentiles(tls), percentiles(plain));
        }
        comparison.attempts.push(attempt);
    }
    let rows = Row::all(&comparison);
    let ratio = |row: &Row| {
        let figure = row.target("ringgate").and_then(|target| target.figure(row.key)).expect("a figure");
        figure.to_best_peer.expect("a ratio").median
    };
    let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.best_peer.as_deref())).collect();
    assert_eq!(names, [("tls-isolation", Some("haproxy")), ("tls-isolation-plain", Some("nginx"))]);
    assert_eq!([ratio(&rows[0]), ratio(&rows[1])], [0.5, 0.5]);
}

#[test]
fn echoes_beside_greedy_sessions_are_two_rows_whose_base_is_the_better_of_nginx_and_haproxy() {
    let names = ["ringgate", "floor", "haproxy", "nginx", "haproxy-tcp", "caddy"];
    let mut comparison = sample::empty(&names, 1);
    comparison.plans = vec![sample::greedy_plan("greedy-empty-frames")];
    for (target, answered, p99_us) in [
        ("ringgate", 2_450, 500_000.0),
        ("haproxy", 4_900, 8_000.0),
        ("nginx", 4_800, 4_000.0),
        ("caddy", 5_000, 1_000.0),
    ] {
        comparison.attempts.push(sample::echoes("greedy-empty-frames", target, 0, answered, p99_us));
    }
    let rows = Row::all(&comparison);
    let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.best_peer.as_deref())).collect();
    assert_eq!(
        names,
        [("greedy-empty-frames", Some("haproxy")), ("greedy-empty-frames-p99", Some("nginx"))],
        "caddy is shown, and is no base"
    );
    let ratio = |row: &Row, target: &str| {
        let figure = row.target(target).and_then(|target| target.figure(row.key)).expect("a figure");
        figure.to_best_peer.expect("a ratio").median
    };
    // Less is better: half as many echoes are a ratio of 2.
    assert!((ratio(&rows[0], "ringgate") - 2.0).abs() < 1e-9 && ratio(&rows[0], "caddy") < 1.0);
    assert!((ratio(&rows[1], "ringgate") - 125.0).abs() < 1e-9);
    for blind in ["floor", "haproxy-tcp"] {
        assert_eq!(rows[0].target(blind).and_then(|target| target.lacks), Some("one backend only"));
    }
    let table = report::table(&comparison);
    assert!(
        table.contains("answered") && table.contains("2,450") && table.contains("one backend only"),
        "{table}"
    );
}

#[test]
fn the_floor_is_not_run_where_there_is_tls_and_its_row_says_why() {
    let mut comparison = sample::empty(&["floor", "nginx"], 1);
    let mut run = plan();
    run.plan.tls = Some(crate::plan::Tls::Both);
    comparison.plans = vec![run];
    comparison.attempts.push(sample::cost("round-trip-64b-100", "nginx", 0, 12.0));
    let row = &Row::all(&comparison)[0];
    assert_eq!(row.target("floor").and_then(|target| target.lacks), Some("no TLS"));
    assert_eq!(row.target("nginx").and_then(|target| target.lacks), None);
    assert!(report::table(&comparison).contains("no TLS"));
}

#[test]
fn what_does_not_count_is_listed_and_is_in_no_figure() {
    let mut comparison = sample::empty(&["ringgate", "haproxy", "nginx"], 2);
    comparison.plans = vec![plan()];
    for round in 0..2 {
        comparison.attempts.push(sample::cost("round-trip-64b-100", "nginx", round, 12.0));
        comparison.attempts.push(sample::cost("round-trip-64b-100", "ringgate", round, 6.0));
        let mut cheap_but_lossy = sample::cost("round-trip-64b-100", "haproxy", round, 1.0);
        if let Some(result) = &mut cheap_but_lossy.result {
            result.faults.push("2 sessions ended".to_owned());
        }
        comparison.attempts.push(cheap_but_lossy);
    }
    if let Some(result) = &mut comparison.attempts[1].result {
        result.thrown_out.push("late".to_owned());
    }
    let row = &Row::all(&comparison)[0];
    assert_eq!(row.best_peer.as_deref(), Some("nginx"));
    let haproxy = row.target("haproxy").expect("a row");
    assert_eq!((haproxy.rounds_counted, haproxy.not_counted.len()), (0, 2));
    assert!(haproxy.figures.is_empty());
    let ringgate = row.target("ringgate").expect("a row");
    assert_eq!(ringgate.rounds_counted, 1);
    assert_eq!(ringgate.not_counted[0].what, attempts::NotCounted::ThrownOut);
}

fn verdict(costs: [(&str, f64, f64); 3]) -> FloorVerdict {
    let mut comparison = sample::empty(&["floor", "nginx"], 2);
    for (name, floor, nginx) in costs {
        comparison.plans.push(sample::plan(name, name, "cost_per_message"));
        for round in 0..2 {
            comparison.attempts.push(sample::cost(name, "floor", round, floor));
            comparison.attempts.push(sample::cost(name, "nginx", round, nginx));
        }
    }
    FloorVerdict::of(&Row::all(&comparison))
}

#[test]
fn the_floor_must_hold_in_all_three_rows() {
    let small = ("round-trip-64b-100", 10.0, 10.0);
    let medium = ("round-trip-16kib-100", 5.4, 10.0);
    let large = ("round-trip-1mib-8", 4.6, 10.0);
    assert_eq!(verdict([small, medium, large]).is_floor, Some(true));
    let not = verdict([small, (medium.0, 5.6, 10.0), large]);
    assert_eq!(not.is_floor, Some(false));
    assert!(not.words().contains("NOT a floor") && not.words().contains("0.56 × nginx at 16 KiB"));
    assert_eq!(verdict([("round-trip-64b-100", 10.1, 10.0), medium, large]).is_floor, Some(false));
    assert_eq!(verdict([small, medium, (large.0, 4.8, 10.0)]).is_floor, Some(false));
    assert_eq!(verdict([small, medium, ("another", 1.0, 10.0)]).is_floor, None);
}

#[test]
fn comparisons_of_one_commit_and_machine_join_and_others_do_not() {
    let mut first = sample::empty(&["ringgate", "nginx"], 3);
    first.plans = vec![plan()];
    let mut second = sample::empty(&["ringgate", "envoy"], 1);
    second.plans = vec![sample::plan("push", "Push", "cost_per_message")];
    let mut joined = first.clone();
    joined.join(second.clone()).expect("the same machine");
    assert_eq!(joined.plans.len(), 2);
    let names: Vec<_> = joined.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["ringgate", "nginx", "envoy"]);
    second.attempts = vec![sample::cost("push", "ringgate", 0, 9.0)];
    joined.join(second.clone()).expect("a row that the first was stopped before");
    assert_eq!((joined.plans.len(), joined.attempts.len()), (2, 1));
    assert!(joined.join(second.clone()).is_err(), "the same row twice");
    second.about.commit = "another".to_owned();
    assert!(first.join(second).is_err());
}

#[test]
fn another_build_of_ours_is_no_peer_and_needs_a_name_of_its_own() {
    for (name, is_peer) in [
        ("ringgate", false),
        ("floor", false),
        ("ringgate-before", false),
        ("ringgate-", true),
        ("ringgates", true),
        ("nginx", true),
    ] {
        assert_eq!(Comparison::is_peer(name), is_peer, "{name}");
    }
}
