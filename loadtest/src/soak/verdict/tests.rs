//! Cases that a verdict must notice.

use super::*;
use crate::soak::made_up::flat;
use crate::soak::record::Ended;

/// The checks that fail once a flat record is spoilt.
fn failed(spoil: impl FnOnce(&mut Record)) -> Vec<&'static str> {
    let mut record = flat();
    spoil(&mut record);
    let verdict = Verdict::of(&record);
    let failed: Vec<_> =
        verdict.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
    assert_eq!(verdict.is_flat, failed.is_empty());
    failed
}

fn rest(record: &mut Record, number: usize) -> &mut Sample {
    let rests = record.samples.iter_mut().filter(|sample| sample.own.stage == Stage::Rest);
    rests.into_iter().nth(number).expect("a rest")
}

fn end_of(record: &mut Record) -> &mut Sample {
    record.samples.last_mut().expect("samples")
}

/// Adds what grows by so much per hour to the resident memory of each sample.
fn grow(record: &mut Record, kib_per_h: f64) {
    for sample in &mut record.samples {
        sample.target.rss_kib += (sample.own.at_s / 3600.0 * kib_per_h) as u64;
    }
}

#[test]
fn a_flat_hour_is_flat_though_its_pools_grow() {
    assert_eq!(failed(|_| {}), [""; 0]);
    let verdict = Verdict::of(&flat());
    assert_eq!(verdict.rss_slope_kib_per_h, Some(0.0));
    assert!(verdict.whole_rss_slope_kib_per_h.is_some_and(|slope| slope > 3_000.0), "{verdict:?}");
}

#[test]
fn a_slope_of_memory_is_caught_and_one_odd_rest_is_none() {
    assert_eq!(failed(|record| grow(record, 1_500.0)), ["memory"]);
    assert_eq!(failed(|record| grow(record, 500.0)), [""; 0]);
    assert_eq!(failed(|record| rest(record, 8).target.rss_kib += 50_000), [""; 0]);
    // What the first rests bring is the warm-up's.
    assert_eq!(failed(|record| rest(record, 0).target.rss_kib -= 20_000), [""; 0]);
}

/// From this rest on, so much more is resident.
fn step(record: &mut Record, at: usize, kib: u64) {
    for number in at..13 {
        rest(record, number).target.rss_kib += kib;
    }
}

#[test]
fn steps_are_told_from_a_slope_and_have_a_bound_of_their_own() {
    assert_eq!(failed(|record| step(record, 12, 6_000)), [""; 0]);
    let two_steps = |record: &mut Record| {
        step(record, 5, 3_000);
        step(record, 9, 6_000);
    };
    assert_eq!(failed(two_steps), [""; 0]);
    let over_a_slope = |record: &mut Record| {
        two_steps(record);
        grow(record, 1_500.0);
    };
    assert_eq!(failed(over_a_slope), ["memory"]);
    assert_eq!(failed(|record| step(record, 5, 17_000)), ["memory"]);
    let stairs = |record: &mut Record| (3..13).step_by(2).for_each(|at| step(record, at, 2_000));
    assert_eq!(failed(stairs), ["memory"]);
}

#[test]
fn all_memory_decides_where_pools_cannot_be_told_apart() {
    let merged = |record: &mut Record| {
        rest(record, 5).target.large_mappings_kib = vec![[131_848, 60_000]];
    };
    assert_eq!(failed(merged), ["memory"]);
}

#[test]
fn a_descriptor_more_is_caught_at_a_rest_and_at_the_end() {
    assert_eq!(failed(|record| rest(record, 12).target.descriptors += 1), ["descriptors"]);
    assert_eq!(failed(|record| end_of(record).target.descriptors += 1), ["descriptors"]);
}

#[test]
fn a_session_that_is_missing_or_left_over_is_caught() {
    assert_eq!(failed(|record| rest(record, 3).own.idle -= 1), ["sessions"]);
    assert_eq!(failed(|record| rest(record, 3).own.steady -= 1), ["sessions"]);
    assert_eq!(failed(|record| rest(record, 3).own.slow += 1), ["sessions"]);
}

#[test]
fn every_gauge_must_be_back_at_a_rest_and_at_the_end() {
    for name in OF_SESSIONS.iter().chain(&OF_WORK).chain(&OF_STATE) {
        let add = |sample: &mut Sample| *sample.target.status.get_mut(*name).expect("a gauge") += 1;
        assert_eq!(failed(|record| add(rest(record, 4))), ["slots, places, pool"], "{name}");
        assert_eq!(failed(|record| add(end_of(record))), ["slots, places, pool"], "{name}");
        let without = failed(|record| {
            rest(record, 4).target.status.remove(*name);
        });
        assert!(without.contains(&"slots, places, pool"), "{name}");
    }
}

#[test]
fn faults_a_page_that_cannot_be_read_and_unplanned_causes_are_caught() {
    assert_eq!(failed(|record| end_of(record).own.fault_count = 1), ["faults"]);
    let unread = |record: &mut Record| {
        record.samples[2].target.status.clear();
        record.samples[2].target.status_failure = Some("refused".to_owned());
    };
    assert_eq!(failed(unread), ["faults"]);
    for cause in ["bug", "slow_reader", "instance_full", "no_local_port"] {
        let name = format!("terminations{{cause=\"{cause}\",phase=\"relay\"}}");
        let counted = failed(|record| {
            end_of(record).target.status.insert(name, 1);
        });
        assert_eq!(counted, ["terminations"], "{cause}");
    }
}

#[test]
fn a_run_in_which_nothing_happened_or_that_did_not_end_well_is_not_flat() {
    assert_eq!(failed(|record| end_of(record).own.ends.slow_reset = 0), ["what happened"]);
    assert_eq!(failed(|record| record.ended = None), ["end"]);
    let exits = |exit_code| {
        move |record: &mut Record| {
            record.ended = Some(Ended { exit_code, ..Ended::default() });
        }
    };
    assert_eq!(failed(exits(Some(1))), ["end"]);
    assert_eq!(failed(exits(None)), ["end"]);
    let killed = failed(|record| {
        record.samples.truncate(7);
        record.ended = None;
    });
    for name in ["memory", "descriptors", "slots, places, pool", "end"] {
        assert!(killed.contains(&name), "{name}");
    }
}
