//! The comparison on a terminal.

use super::text;
use crate::compare::attempts::Comparison;
use crate::compare::figures::{ANSWERED, ASKED_PER_ANSWER, PLAIN_P999, key_figure_name};
use crate::compare::floor_rule::FloorVerdict;
use crate::compare::rows::{Row, TargetRow};
use std::fmt::Write;

const HEADS: [&str; 8] =
    ["", "median (min–max)", "to best peer", "to floor", "process", "p50", "p99", "p99.9"];
/// In place of `process` where echoes are counted.
const ANSWERED_HEAD: &str = "answered";

/// One block for each row; medians with their spread.
pub fn table(comparison: &Comparison) -> String {
    let rows = Row::all(comparison);
    let mut out = String::new();
    for row in &rows {
        block(&mut out, row);
    }
    let _ = writeln!(out, "\n{}", FloorVerdict::of(&rows).words());
    out
}

fn block(out: &mut String, row: &Row) {
    let (name, unit) = key_figure_name(row.measures);
    let _ = writeln!(out, "\n{}: {name}, {unit}", row.title);
    let head = |head| if row.key == ASKED_PER_ANSWER && head == "process" { ANSWERED_HEAD } else { head };
    let mut lines: Vec<Vec<String>> = vec![HEADS.into_iter().map(head).map(str::to_owned).collect()];
    lines.extend(row.targets.iter().map(|target| cells(row, target)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for (line, target) in lines.iter().zip(std::iter::once(None).chain(row.targets.iter().map(Some))) {
        for (column, cell) in line.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let _ =
                if column == 0 { write!(out, "  {cell}{padding}") } else { write!(out, "  {padding}{cell}") };
        }
        if let Some(target) = target {
            if row.best_peer.as_deref() == Some(&target.target) {
                out.push_str("  best peer");
            }
            if let Some(lacks) = target.lacks {
                let _ = write!(out, "  {lacks}");
            }
            if !target.not_counted.is_empty() {
                let _ = write!(out, "  {} not counted", target.not_counted.len());
            }
        }
        out.push('\n');
    }
}

fn cells(row: &Row, target: &TargetRow) -> Vec<String> {
    let none = || "–".to_owned();
    let median =
        |key: &str| target.figure(key).map_or_else(none, |figure| text::number(figure.spread.median));
    let Some(figure) = target.figure(row.key) else {
        let mut cells = vec![target.target.clone()];
        cells.resize_with(HEADS.len(), none);
        return cells;
    };
    let per_session = target.figure("process_us_per_session").filter(|_| row.key.ends_with("per_session"));
    let process = if row.key == ASKED_PER_ANSWER {
        ANSWERED
    } else if per_session.is_some() {
        "process_us_per_session"
    } else {
        "process_us_per_message"
    };
    let latency = if row.key == PLAIN_P999 {
        "plain_latency"
    } else if target.figure("latency_p50_us").is_some() {
        "latency"
    } else {
        "opening"
    };
    vec![
        target.target.clone(),
        text::spread(&figure.spread),
        figure.to_best_peer.as_ref().map_or_else(none, text::ratio_spread),
        figure.to_floor.as_ref().map_or_else(none, text::ratio_spread),
        median(process),
        median(&format!("{latency}_p50_us")),
        median(&format!("{latency}_p99_us")),
        median(&format!("{latency}_p999_us")),
    ]
}
