//! The top of the page: the answer in a sentence, and rows × targets.

use super::text::{self, escape};
use crate::compare::attempts::RINGGATE;
use crate::compare::figures::key_figure_name;
use crate::compare::rows::{FigureRow, Row, TargetRow};
use crate::compare::statistics::Spread;
use std::fmt::Write;

/// How a ratio stands to 1. Level: the middle half of the rounds has 1 in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Better,
    Level,
    Worse,
}

impl Standing {
    pub(super) fn of(ratio: &Spread) -> Self {
        if ratio.q3 < 1.0 {
            Self::Better
        } else if ratio.q1 > 1.0 {
            Self::Worse
        } else {
            Self::Level
        }
    }
}

/// How ringgate stands, in a sentence or two.
pub(super) fn answer(rows: &[Row]) -> String {
    let ratios: Vec<(&Row, Spread)> = rows
        .iter()
        .filter_map(|row| Some((row, row.target(RINGGATE)?.figure(row.key)?.to_best_peer?)))
        .collect();
    let Some((best_row, best)) = ratios.iter().min_by(|one, other| one.1.median.total_cmp(&other.1.median))
    else {
        return "<p class=\"answer\">No row has both ringgate and a peer, so nothing is compared.</p>"
            .to_owned();
    };
    let (worst_row, worst) =
        ratios.iter().max_by(|one, other| one.1.median.total_cmp(&other.1.median)).unwrap_or(&ratios[0]);
    let count = |standing| ratios.iter().filter(|(_, ratio)| Standing::of(ratio) == standing).count();
    let missing = match rows.len() - ratios.len() {
        0 => String::new(),
        missing => format!(" {missing} could not be compared."),
    };
    format!(
        "<p class=\"answer\">Against the best peer of each row, ringgate needs less in {} of {} rows, the same in {}, \
         more in {}.{missing}</p><p>From {} ({}) to {} ({}). Less than 1 is less cost, memory or latency than the best \
         peer; <em>the same</em> is where the middle half of the rounds has 1 in it.</p>",
        count(Standing::Better),
        ratios.len(),
        count(Standing::Level),
        count(Standing::Worse),
        text::ratio(best.median),
        escape(&best_row.title),
        text::ratio(worst.median),
        escape(&worst_row.title)
    )
}

/// Rows × targets.
pub(super) fn matrix(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut out = String::from("<div class=\"scroll\"><table class=\"summary\"><thead><tr><th>row</th>");
    for target in &first.targets {
        let class = if target.target == RINGGATE { " class=\"ours\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(&target.target));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        let (name, unit) = key_figure_name(row.measures);
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><a href=\"#{}\">{}</a><small>{name}, {unit}</small></th>",
            escape(&row.name),
            escape(&row.title)
        );
        for target in &row.targets {
            cell(&mut out, row, target);
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div>"
}

fn cell(out: &mut String, row: &Row, target: &TargetRow) {
    let mut classes = Vec::new();
    if target.target == RINGGATE {
        classes.push("ours");
    }
    let is_best = row.best_peer.as_deref() == Some(target.target.as_str());
    if is_best {
        classes.push("best");
    }
    let class = classes.join(" ");
    let Some(figure) = target.figure(row.key) else {
        let excluded = target.not_counted.first().map(|excluded| excluded.what.words());
        let why = target.lacks.or(excluded).unwrap_or("not run");
        let _ = write!(out, "<td class=\"{class}\"><b>–</b><span>{why}</span></td>");
        return;
    };
    let mark = if target.not_counted.is_empty() { "" } else { "*" };
    let hint = hint(figure);
    let ratio = match &figure.to_best_peer {
        Some(_) if is_best => "best peer".to_owned(),
        Some(ratio) => format!("{}{}", text::ratio(ratio.median), sign(Standing::of(ratio))),
        None => "–".to_owned(),
    };
    let shade = figure.to_best_peer.as_ref().map_or_else(String::new, |ratio| shade(ratio.median));
    let value = text::number(figure.spread.median);
    let range = match &figure.to_best_peer {
        Some(ratio) if !is_best && ratio.count > 1 => format!("<i>{:.2}–{:.2}</i>", ratio.min, ratio.max),
        Some(_) | None => String::new(),
    };
    let _ = write!(
        out,
        "<td class=\"{class}\"{shade} title=\"{}\"><b>{ratio}</b>{range}<span>{value}{mark}</span></td>",
        escape(&hint)
    );
}

fn hint(figure: &FigureRow) -> String {
    let mut hint = format!("{}: {} {}", figure.figure.name, text::spread(&figure.spread), figure.figure.unit);
    if let Some(ratio) = &figure.to_best_peer {
        let _ = write!(hint, "; to best peer {}", text::ratio_spread(ratio));
    }
    if let Some(ratio) = &figure.to_floor {
        let _ = write!(hint, "; to floor {}", text::ratio_spread(ratio));
    }
    hint
}

/// Says without colour what the shade says.
pub(super) fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Better => " ▼",
        Standing::Level => " ≈",
        Standing::Worse => " ▲",
    }
}

/// The further from 1 (in doublings, up to two), the stronger.
fn shade(ratio: f64) -> String {
    if !ratio.is_finite() || ratio <= 0.0 {
        return String::new();
    }
    let doublings = ratio.log2();
    let hue = if doublings < 0.0 { "better" } else { "worse" };
    let strength = (doublings.abs() / 2.0).min(1.0) * 0.5;
    if strength < 0.01 {
        return String::new();
    }
    format!(" style=\"background: rgba(var(--{hue}), {strength:.2})\"")
}
