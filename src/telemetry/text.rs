//! Figures as text: the status page, and the lines of the log.

use super::entity_figures::push_entities;
use super::figures::{Figure, Observed};
use crate::observe::counters::Label;
use std::fmt::Write as _;

/// The status page: the state of the instance and of the last publish, what each figure means and all its numbers, then what is not 0 by worker, and
/// by API, product and subscription.
///
/// A line is a comment (`#`), empty, or `name value` or `name{label="value",…} value`.
pub fn page(observed: &Observed) -> String {
    let figures = observed.figures();
    let mut page = format!("# ringgate is {}\n", observed.state.get().name());
    page.push_str(&observed.publishes.describe("# "));
    page.push_str(&observed.sinks.describe("# "));
    page.push_str(&observed.otlp.describe("# "));
    for Figure { info, series } in &figures {
        let (name, kind, unit, help) = (info.name, info.kind.name(), info.unit, info.help);
        push_line(&mut page, format_args!("# {name} ({kind}, {unit}): {help}"));
        for series in series {
            push_number(&mut page, name, &series.labels, None, series.sum);
        }
        page.push('\n');
    }
    page.push_str("# What is not 0, by worker.\n");
    for Figure { info, series } in &figures {
        for series in series {
            for (worker, value) in series.of_workers.iter().enumerate().filter(|(_, value)| **value > 0) {
                push_number(&mut page, info.name, &series.labels, Some(worker), *value);
            }
        }
    }
    page.push('\n');
    push_entities(&mut page, &observed.labels);
    page
}

/// Lines for the log: the state of the last publish, every figure that is not 0, and behind an `=` its part by each worker if there are several.
pub fn log_lines(observed: &Observed) -> String {
    let mut lines =
        observed.publishes.describe("") + &observed.sinks.describe("") + &observed.otlp.describe("");
    lines.push_str("counters that are not 0:\n");
    for Figure { info, series } in observed.figures() {
        for series in series.iter().filter(|series| series.sum > 0) {
            let mut line = format!("  {}{} {}", info.name, braced(&series.labels, None), series.sum);
            if series.of_workers.len() > 1 {
                let parts: Vec<_> = series.of_workers.iter().map(u64::to_string).collect();
                line.push_str(" = ");
                line.push_str(&parts.join(" + "));
            }
            push_line(&mut lines, format_args!("{line}"));
        }
    }
    lines.push_str("end of counters\n");
    lines
}

fn push_number(text: &mut String, name: &str, labels: &[Label], worker: Option<usize>, value: u64) {
    push_line(text, format_args!("{name}{} {value}", braced(labels, worker)));
}

/// Labels as they stand behind a name. No value of ours has anything in it to be escaped.
fn braced(labels: &[Label], worker: Option<usize>) -> String {
    let mut parts: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    parts.extend(worker.map(|worker| format!("worker=\"{worker}\"")));
    if parts.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) }
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Counters;
    use crate::observe::counters::add;
    use crate::session::{Cause, Phase};
    use crate::shared_counts::budgets::Budgets;

    fn observed(workers: usize) -> Observed {
        let observed = Observed::of(Counters::new(workers), Budgets::of(9, 5));
        add(&observed.counters.worker(workers - 1).parked, 4);
        for _ in 0..2 {
            observed.counters.worker(0).count_termination(Cause::Idle, Phase::Relay);
        }
        observed
    }

    #[test]
    fn the_log_has_what_is_not_0_with_each_workers_part() {
        let start = "counters that are not 0:\n  places_limit 9\n  opening_places_limit 5\n  pending_places_limit 5\n  lookups_limit 64\n  lookup_waiters_limit 65536\n";
        let end = "end of counters\n";
        let one = "  parked 4\n  terminations{cause=\"idle\",phase=\"relay\"} 2\n";
        assert_eq!(log_lines(&observed(1)), [start, one, end].concat());
        let three = "  parked 4 = 0 + 0 + 4\n  terminations{cause=\"idle\",phase=\"relay\"} 2 = 2 + 0 + 0\n";
        assert_eq!(log_lines(&observed(3)), [start, three, end].concat());
    }

    #[test]
    fn the_page_has_every_sum_once_and_then_the_workers_that_counted() {
        let page = page(&observed(2));
        let lines: Vec<_> = page.lines().collect();
        for line in
            ["openings 0", "parked 4", "terminations{cause=\"idle\",phase=\"relay\"} 2", "places_limit 9"]
        {
            assert_eq!(lines.iter().filter(|found| **found == line).count(), 1, "{line}");
        }
        let by_worker = lines.iter().position(|line| *line == "# What is not 0, by worker.");
        let by_worker: Vec<_> = lines[by_worker.expect("a part by worker") + 1..]
            .iter()
            .take_while(|line| !line.is_empty())
            .copied()
            .collect();
        assert_eq!(
            by_worker,
            ["parked{worker=\"1\"} 4", "terminations{cause=\"idle\",phase=\"relay\",worker=\"0\"} 2"]
        );
    }
}
