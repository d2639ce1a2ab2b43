//! Decides whether a run counts: finds what was too busy, too late, too slow, or not as the plan asked.

use crate::plan::{Greed, Handshake, Plan};
use crate::result::RunResult;

/// Busy share of the load core above which a run does not count.
const LOAD_CORE_BUSY_MAX: f64 = 0.85;

/// Busy time of the proxy's core before the run, in µs per second, above which it does not count: somebody else uses it.
const BASELINE_US_PER_S_MAX: f64 = 50_000.0;

/// Share of both cores that the hypervisor may take; above it a run says more about the neighbours.
const STOLEN_SHARE_MAX: f64 = 0.1;

/// 99th percentile of the generator's own lateness, in µs, above which an open loop does not count.
const LATENESS_P99_US_MAX: f64 = 5_000.0;

/// The same beside greedy sessions. Those fill the load core, so this alone says whether the steady ones were served there.
const GREEDY_LATENESS_P99_US_MAX: f64 = 1_000.0;

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
    let lateness_max = if plan.greedy.is_some() { GREEDY_LATENESS_P99_US_MAX } else { LATENESS_P99_US_MAX };
    if let Some(lateness) = &result.lateness
        && lateness.p99_us > lateness_max
    {
        result.thrown_out.push(format!("the generator itself was late: p99 {:.0} µs", lateness.p99_us));
    }
    judge_handshakes(plan, result);
    if let (Some(plan), Some(greedy)) = (&plan.greedy, &result.greedy)
        && plan.does != Greed::StopReading
        && greedy.sent_bytes == 0
    {
        result.faults.push("the greedy sessions could send nothing".to_owned());
    }
    if !result.faults.is_empty() {
        result.thrown_out.push(format!("{} faults", result.faults.len()));
    }
}

/// Whether a full load core says nothing against the run: where memory is measured, where greedy sessions fill it behind
/// those that are measured, and where new sessions come as fast as they go, whose figure is what each costs the proxy and
/// not how many there are.
fn may_fill_load_core(plan: &Plan) -> bool {
    let is_closed_loop = plan.churn.as_ref().is_some_and(|churn| churn.rate_per_s.is_none());
    plan.idle.is_some() || plan.greedy.is_some() || is_closed_loop
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
    use crate::result::{GreedyBeside, Handshakes, Percentiles, Processor};

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

    fn is_thrown_out(lines: &str, load_core_busy: f64, lateness_p99_us: f64, sent_bytes: u64) -> bool {
        let plan = Plan::parse(&format!("title = \"t\"\n{lines}")).expect("a plan");
        let greedy = plan.greedy.map(|_| GreedyBeside { sent_bytes, ..GreedyBeside::default() });
        let mut result = RunResult {
            window_s: 1.0,
            processor: Some(Processor { load_core_busy, ..Processor::default() }),
            lateness: Some(Percentiles { p99_us: lateness_p99_us, ..Percentiles::default() }),
            greedy,
            ..RunResult::default()
        };
        judge(&plan, &mut result);
        !result.thrown_out.is_empty()
    }

    const STEADY: &str = "[steady]\nsessions = 1\nrate_per_s = 1\nsizes = [{ bytes = 64 }]\n";

    #[test]
    fn a_full_load_core_counts_where_it_says_nothing_about_the_figure() {
        let steady = format!("measures = \"tail\"\n{STEADY}");
        let greedy =
            format!("measures = \"echoes\"\n{STEADY}[greedy]\nsessions = 1\ndoes = \"send_empty_frames\"\n");
        let open_loop = "measures = \"cost_per_session\"\n[churn]\nrate_per_s = 9.0\nat_once = 64\n";
        let closed_loop = "measures = \"cost_per_session\"\n[churn]\nat_once = 64\n";
        for (lines, expected) in
            [(steady.as_str(), true), (&greedy, false), (open_loop, true), (closed_loop, false)]
        {
            assert_eq!(is_thrown_out(lines, 0.99, 10.0, 1), expected, "{lines}");
            assert!(!is_thrown_out(lines, 0.5, 10.0, 1), "{lines}");
        }
    }

    #[test]
    fn steady_sessions_beside_greedy_ones_must_be_served_on_time_and_the_greedy_ones_must_send() {
        let greedy = |does: &str| format!("measures = \"echoes\"\n{STEADY}[greedy]\nsessions = 1\n{does}\n");
        let sends = greedy("does = \"send_empty_frames\"");
        assert!(is_thrown_out(&sends, 0.99, 1_001.0, 1));
        assert!(is_thrown_out(&sends, 0.99, 10.0, 0));
        assert!(!is_thrown_out(&greedy("does = \"stop_reading\"\nbytes = 9"), 0.99, 10.0, 0));
        assert!(!is_thrown_out(&format!("measures = \"tail\"\n{STEADY}"), 0.5, 1_001.0, 0));
    }
}
