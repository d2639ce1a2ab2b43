//! Checks whether a soaked gateway was as before at every rest, and at the end as at the beginning.
//!
//! Figures that are counted one by one (descriptors, slots, places, buffers) must be equal, since one too many is a leak.
//! Resident memory varies by itself, so its slope over the rests has a bound, and its steps have one of their own
//! (`verdict/growth.rs`).

mod growth;

use super::plan::SoakPlan;
use super::record::{Record, Sample, Stage};
use growth::Growth;
use serde::Serialize;

/// Rests behind the warm-up without which nothing is said about a slope.
pub(super) const SLOPE_RESTS_MIN: usize = 3;
/// By how much the mapping of a pool may be larger than its buffers, as a factor: what stands between them, and what the
/// kernel put into the same mapping.
const POOL_MAPPING_FACTOR_MAX: f64 = 1.25;

/// Gauges of the status page that count sessions: the standing ones at a rest, 0 at the end.
const OF_SESSIONS: [&str; 2] = ["slots", "places_taken"];
/// Gauges of the status page that are 0 where nothing is on its way.
const OF_WORK: [&str; 6] =
    ["openings", "opening_places_taken", "buffers", "backlog_bytes", "lookups", "lookup_waiters"];
/// Gauges of the status page that are at every rest what they were at the first, and at the end what they were at the start.
const OF_STATE: [&str; 2] = ["buffers_limit", "source_networks"];
/// Causes of terminations that the plan brings about. Any other is the gateway's own doing.
const CAUSES: [&str; 4] = ["closed", "ended", "reset", "client_gone"];
/// Failures of a check that are told one by one.
const TOLD_MAX: usize = 5;

/// The verdict on a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Nothing failed.
    pub is_flat: bool,
    /// Slope of resident memory outside the pools over the rests behind the warm-up, in KiB per hour, steps taken out. Absent
    /// with too few rests.
    pub rss_slope_kib_per_h: Option<f64>,
    /// The sum of these steps, in KiB.
    pub rss_steps_kib: Option<f64>,
    /// The same of all resident memory, which decides only where pools cannot be told from the rest.
    pub whole_rss_slope_kib_per_h: Option<f64>,
    /// Its bound, of the plan.
    pub rss_slope_kib_per_h_max: f64,
    /// The checks.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is as it must be.
    pub passed: bool,
    /// The finding.
    pub words: String,
}

impl Verdict {
    /// Judges a run.
    pub fn of(record: &Record) -> Self {
        let plan = &record.begun.plan;
        let rests = record.rests();
        let whole_rss_slope_kib_per_h =
            growth(plan, &rests, |rest| rest.target.rss_kib).map(|whole| whole.slope_kib_per_h);
        let has_pools = rests.iter().all(|rest| rest.pools_kib(plan).is_some());
        let growth =
            growth(
                plan,
                &rests,
                |rest| {
                    if has_pools { rest.outside_pools_kib(plan) } else { rest.target.rss_kib }
                },
            );
        let checks = vec![
            memory(plan, growth, whole_rss_slope_kib_per_h),
            descriptors(record, &rests),
            sessions(plan, &rests),
            gateway(record, &rests),
            faults(record),
            causes(record),
            what_happened(record),
            end(record),
        ];
        let is_flat = checks.iter().all(|check| check.passed);
        Self {
            is_flat,
            rss_slope_kib_per_h: growth.map(|growth| growth.slope_kib_per_h),
            rss_steps_kib: growth.map(|growth| growth.steps_kib),
            whole_rss_slope_kib_per_h,
            rss_slope_kib_per_h_max: plan.rss_slope_kib_per_h_max,
            checks,
        }
    }

    /// In one sentence.
    pub fn words(&self) -> String {
        if self.is_flat {
            return "flat: at every rest as at the first one, and at the end as at the start".to_owned();
        }
        let failed: Vec<&str> =
            self.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
        format!("NOT flat: {}", failed.join(", "))
    }
}

impl Record {
    /// The rest points.
    pub fn rests(&self) -> Vec<&Sample> {
        self.of_stage(Stage::Rest)
    }

    pub(crate) fn of_stage(&self, stage: Stage) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.own.stage == stage).collect()
    }
}

impl Check {
    /// Passed if nothing failed.
    fn of(name: &'static str, failures: &[String], otherwise: String) -> Self {
        if failures.is_empty() {
            return Self { name, passed: true, words: otherwise };
        }
        let mut words = failures.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
        if failures.len() > TOLD_MAX {
            words += &format!("; and {} more", failures.len() - TOLD_MAX);
        }
        Self { name, passed: false, words }
    }
}

impl Sample {
    /// Returns the resident part of the gateway's pools, in KiB; `None` where they cannot be told apart from its other mappings.
    pub fn pools_kib(&self, plan: &SoakPlan) -> Option<u64> {
        let buffers = self.target.status.get("buffers_limit")? / plan.workers as u64;
        let least = buffers * plan.pool_buffer_kib;
        let most = (least as f64 * POOL_MAPPING_FACTOR_MAX) as u64;
        let is_pool = |mapping: &&[u64; 2]| (least..=most).contains(&mapping[0]);
        let pools: Vec<u64> =
            self.target.large_mappings_kib.iter().filter(is_pool).map(|[_, rss]| *rss).collect();
        (pools.len() == plan.workers).then(|| pools.iter().sum())
    }

    /// Resident memory outside the pools, in KiB: what grows if something is kept.
    pub fn outside_pools_kib(&self, plan: &SoakPlan) -> u64 {
        self.target.rss_kib.saturating_sub(self.pools_kib(plan).unwrap_or(0))
    }
}

/// How what `kib` tells of the rests behind the warm-up grows. `None`: too few of them.
fn growth(plan: &SoakPlan, rests: &[&Sample], kib: impl Fn(&Sample) -> u64) -> Option<Growth> {
    let first_s = rests.first()?.own.at_s;
    let points: Vec<_> = rests
        .iter()
        .filter(|rest| rest.own.at_s - first_s >= plan.warmup_s)
        .map(|rest| (rest.own.at_s / 3600.0, kib(rest) as f64))
        .collect();
    if points.len() < SLOPE_RESTS_MIN { None } else { Growth::of(&points) }
}

fn memory(plan: &SoakPlan, growth: Option<Growth>, whole: Option<f64>) -> Check {
    let (max, steps_max) = (plan.rss_slope_kib_per_h_max, plan.rss_steps_kib_max);
    let (passed, words) = match growth.zip(whole) {
        Some((Growth { slope_kib_per_h: slope, is_rise, steps, steps_kib }, whole)) => (
            !(is_rise && slope > max) && steps_kib <= steps_max,
            format!(
                "resident memory outside the pools moves by {slope:.0} KiB per hour over the rests{} (at most {max:.0}), and by \
                 {steps_kib:.0} KiB in {steps} step{} (at most {steps_max:.0}); all of it by {whole:.0} KiB per hour",
                if is_rise || slope <= max { "" } else { ", which may be chance" },
                if steps == 1 { "" } else { "s" },
            ),
        ),
        None => (false, format!("fewer than {SLOPE_RESTS_MIN} rests behind the warm-up: no slope")),
    };
    Check { name: "memory", passed, words }
}

fn descriptors(record: &Record, rests: &[&Sample]) -> Check {
    let mut failures = Vec::new();
    let at_first = rests.first().map_or(0, |rest| rest.target.descriptors);
    for rest in rests.iter().filter(|rest| rest.target.descriptors != at_first) {
        failures.push(format!("{} at {:.0} s and not {at_first}", rest.target.descriptors, rest.own.at_s));
    }
    let [start, end] = edges(record).map(|sample| sample.map(|sample| sample.target.descriptors));
    if start.is_none() || start == Some(0) || start != end {
        failures.push(format!("{} at the end and not {} as at the start", or_none(end), or_none(start)));
    }
    let words = format!("{at_first} at each of {} rests; {} at start and end", rests.len(), or_none(start));
    Check::of("descriptors", &failures, words)
}

fn sessions(plan: &SoakPlan, rests: &[&Sample]) -> Check {
    let expected = [plan.steady.sessions, plan.idle.sessions, 0, 0];
    let mut failures = Vec::new();
    for own in rests.iter().map(|rest| &rest.own) {
        let found = [own.steady, own.idle, own.churn, own.slow];
        for ((name, found), expected) in ["steady", "idle", "churn", "slow"].iter().zip(found).zip(expected) {
            if found != expected {
                failures.push(format!("{found} {name} sessions at {:.0} s and not {expected}", own.at_s));
            }
        }
    }
    let words = format!("{} steady and {} idle at each rest", plan.steady.sessions, plan.idle.sessions);
    Check::of("sessions", &failures, words)
}

/// Checks the figures of the status page.
fn gateway(record: &Record, rests: &[&Sample]) -> Check {
    let standing = record.begun.plan.standing_sessions() as u64;
    let [start, end] = edges(record);
    if record.samples.iter().all(|sample| sample.target.has_no_status()) {
        return Check::of("slots, places, pool", &[], "there is no status page to look at".to_owned());
    }
    let mut failures = Vec::new();
    let mut expect = |sample: &Sample, names: &[&str], expected: &dyn Fn(&str) -> Option<u64>| {
        for name in names {
            let (found, expected) = (sample.target.status.get(*name).copied(), expected(name));
            if found.is_none() || found != expected {
                let at_s = sample.own.at_s;
                failures.push(format!(
                    "{name} {} at {at_s:.0} s and not {}",
                    or_none(found),
                    or_none(expected)
                ));
            }
        }
    };
    for rest in rests {
        expect(rest, &OF_SESSIONS, &|_| Some(standing));
        expect(rest, &OF_WORK, &|_| Some(0));
        expect(rest, &OF_STATE, &|name| rests.first()?.target.status.get(name).copied());
    }
    if let Some(end) = end {
        expect(end, &OF_SESSIONS, &|_| Some(0));
        expect(end, &OF_WORK, &|_| Some(0));
        expect(end, &OF_STATE, &|name| start?.target.status.get(name).copied());
    } else {
        failures.push("nothing is known of the end".to_owned());
    }
    let buffers = rests.first().and_then(|rest| rest.target.status.get("buffers_limit")).copied();
    let words = format!(
        "{standing} slots and places and all {} buffers free at each rest; no slot and no place taken at the end",
        or_none(buffers)
    );
    Check::of("slots, places, pool", &failures, words)
}

fn faults(record: &Record) -> Check {
    let mut failures: Vec<String> = Vec::new();
    let count = record.samples.last().map_or(0, |sample| sample.own.fault_count);
    if count > 0 {
        failures.push(format!("{count} faults"));
        failures.extend(record.samples.iter().flat_map(|sample| sample.own.faults.iter().cloned()));
    }
    let unread = record.samples.iter().find_map(|sample| sample.target.status_failure.as_ref());
    failures.extend(unread.map(|why| format!("the status page could not be read: {why}")));
    Check::of(
        "faults",
        &failures,
        "no message changed or lost, no session lost, no opening refused".to_owned(),
    )
}

fn causes(record: &Record) -> Check {
    let known = |name: &str| CAUSES.iter().any(|cause| name.contains(&format!("cause=\"{cause}\"")));
    let last = record.samples.last();
    let counted = last.into_iter().flat_map(|sample| &sample.target.status);
    let failures: Vec<String> = counted
        .filter(|(name, count)| name.starts_with("terminations{") && **count > 0 && !known(name))
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    Check::of("terminations", &failures, format!("no cause but {}", CAUSES.join(", ")))
}

/// A run that did nothing would be flat as well.
fn what_happened(record: &Record) -> Check {
    let ends = record.samples.last().map(|sample| sample.own.ends).unwrap_or_default();
    let churn = &record.begun.plan.churn;
    let slow = &record.begun.plan.slow;
    let expected = [
        ("churn that closed", churn.mid_frame_share + churn.in_opening_share < 1.0, ends.closed),
        ("reset in a frame", churn.mid_frame_share > 0.0, ends.reset_mid_frame),
        ("left in its opening", churn.in_opening_share > 0.0, ends.left_in_opening),
        ("slow reader that read all", slow.reset_share < 1.0, ends.slow_read_all),
        ("slow reader that was reset", slow.reset_share > 0.0, ends.slow_reset),
    ];
    let failures: Vec<String> = expected
        .iter()
        .filter(|(_, is_planned, count)| *is_planned && *count == 0)
        .map(|(name, ..)| format!("not one {name}"))
        .collect();
    let words = format!(
        "{} sessions closed, {} reset in a frame, {} left in their opening; {} slow readers read all, {} were reset",
        ends.closed, ends.reset_mid_frame, ends.left_in_opening, ends.slow_read_all, ends.slow_reset
    );
    Check::of("what happened", &failures, words)
}

fn end(record: &Record) -> Check {
    let Some(ended) = &record.ended else {
        return Check { name: "end", passed: false, words: "the run is not over".to_owned() };
    };
    let mut failures: Vec<String> = ended.failure.iter().map(|why| format!("broken off: {why}")).collect();
    if ended.exit_code != Some(0) {
        failures.push(format!("exit status {} after SIGTERM", or_none(ended.exit_code)));
    }
    Check::of("end", &failures, format!("exit status 0, {:.2} s after SIGTERM", ended.drain_s))
}

/// Before anything was open, and after everything was closed.
fn edges(record: &Record) -> [Option<&Sample>; 2] {
    [Stage::Start, Stage::End].map(|stage| record.of_stage(stage).into_iter().next())
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
