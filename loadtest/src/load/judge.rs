//! Whether a run counts: what was too busy, too late, too slow, or not what the plan asked for.

use crate::plan::{Handshake, Plan};
use crate::result::RunResult;

/// Busy share of the load core above which a run does not count.
const LOAD_CORE_BUSY_MAX: f64 = 0.85;

/// Busy time of the proxy's core before the run, in µs per second, above which it does not count: somebody else uses it.
const BASELINE_US_PER_S_MAX: f64 = 50_000.0;

/// Share of both cores that the hypervisor may take; above it a run says more about the neighbours.
const STOLEN_SHARE_MAX: f64 = 0.1;

/// 99th percentile of the generator's own lateness, in µs, above which an open loop does not count.
const LATENESS_P99_US_MAX: f64 = 5_000.0;

/// Share of resumed handshakes below which a run that resumes does not count.
const RESUMED_SHARE_MIN: f64 = 0.95;

/// Says why a run does not count.
pub(super) fn judge(plan: &Plan, result: &mut RunResult) {
    if let Some(processor) = &result.processor
        && processor.load_core_busy > LOAD_CORE_BUSY_MAX
        && !may_fill_load_core(plan)
    {
        result.thrown_out.push(format!(
            "the load core was {:.0} % busy (at most {:.0} %)",
            processor.load_core_busy * 100.0,
            LOAD_CORE_BUSY_MAX * 100.0
        ));
    }
    if let Some(processor) = &result.processor
        && processor.idle_baseline_us_per_s > BASELINE_US_PER_S_MAX
    {
        result.thrown_out.push(format!(
            "the proxy's core was {:.0} % busy before the run",
            processor.idle_baseline_us_per_s / 1e4
        ));
    }
    if let Some(processor) = &result.processor
        && processor.stolen_us > STOLEN_SHARE_MAX * 2.0 * result.window_s * 1e6
    {
        result.thrown_out.push(format!(
            "the hypervisor took {:.0} % of the two cores",
            processor.stolen_us / (2e4 * result.window_s)
        ));
    }
    if let Some(lateness) = &result.lateness
        && lateness.p99_us > LATENESS_P99_US_MAX
    {
        result.thrown_out.push(format!("the generator itself was late: p99 {:.0} µs", lateness.p99_us));
    }
    judge_handshakes(plan, result);
    if !result.faults.is_empty() {
        result.thrown_out.push(format!("{} faults", result.faults.len()));
    }
}

/// Whether a full load core says nothing against the run: where memory is measured, and where new sessions come as fast as
/// they go, whose figure is what each costs the proxy and not how many there are.
fn may_fill_load_core(plan: &Plan) -> bool {
    let is_closed_loop = plan.churn.as_ref().is_some_and(|churn| churn.rate_per_s.is_none());
    plan.idle.is_some() || is_closed_loop
}

/// Says whether handshakes were those that the plan asked for.
fn judge_handshakes(plan: &Plan, result: &mut RunResult) {
    let (Some(churn), Some(handshakes)) = (&plan.churn, &result.handshakes) else { return };
    let share = handshakes.resumed_share();
    match churn.handshake {
        Handshake::Full if handshakes.resumed > 0 => {
            result.faults.push(format!("{} handshakes were resumed, and none was to be", handshakes.resumed));
        }
        Handshake::Resumed if share < RESUMED_SHARE_MIN => result.faults.push(format!(
            "{:.1} % of the handshakes were resumed (at least {:.0} %)",
            share * 100.0,
            RESUMED_SHARE_MIN * 100.0
        )),
        Handshake::Full | Handshake::Resumed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Handshakes, Processor};

    fn faults(handshake: &str, full: u64, resumed: u64) -> usize {
        let plan = Plan::parse(&format!(
            "title = \"t\"\nmeasures = \"cost_per_session\"\ntls = \"clients\"\n[churn]\nat_once = 1\nbytes = 1\n\
             handshake = \"{handshake}\"\n"
        ))
        .expect("a plan");
        let handshakes = Some(Handshakes { full, resumed });
        let mut result = RunResult { handshakes, ..RunResult::default() };
        judge(&plan, &mut result);
        assert_eq!(result.faults.is_empty(), result.thrown_out.is_empty());
        result.faults.len()
    }

    #[test]
    fn handshakes_of_the_other_sort_make_a_run_not_count() {
        assert_eq!([faults("full", 100, 0), faults("full", 99, 1)], [0, 1]);
        assert_eq!([faults("resumed", 5, 95), faults("resumed", 6, 94), faults("resumed", 0, 0)], [0, 1, 1]);
    }

    fn is_thrown_out(lines: &str, load_core_busy: f64) -> bool {
        let plan = Plan::parse(&format!("title = \"t\"\n{lines}")).expect("a plan");
        let mut result = RunResult {
            window_s: 1.0,
            processor: Some(Processor { load_core_busy, ..Processor::default() }),
            ..RunResult::default()
        };
        judge(&plan, &mut result);
        !result.thrown_out.is_empty()
    }

    #[test]
    fn a_full_load_core_counts_where_it_says_nothing_about_the_figure() {
        let open_loop = "measures = \"cost_per_session\"\n[churn]\nrate_per_s = 9.0\nat_once = 64\n";
        let closed_loop = "measures = \"cost_per_session\"\n[churn]\nat_once = 64\n";
        for (lines, expected) in [(open_loop, true), (closed_loop, false)] {
            assert_eq!(is_thrown_out(lines, 0.99), expected, "{lines}");
            assert!(!is_thrown_out(lines, 0.5), "{lines}");
        }
    }
}
