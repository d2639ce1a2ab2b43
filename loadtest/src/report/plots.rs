//! Plots as inline SVG. Colours come from the page's classes, so they follow its light and dark styles.

use super::text::{escape, number};
use crate::compare::attempts::{FLOOR, RINGGATE};
use crate::compare::rows::{Row, TargetRow};
use crate::compare::statistics::Spread;
use std::fmt::Write;

const WIDTH: f64 = 560.0;
/// Room for the names of targets.
const LEFT: f64 = 116.0;
/// Room for values behind bars.
const RIGHT: f64 = 64.0;
const LINE: f64 = 26.0;
const TOP: f64 = 8.0;
/// Room for the axis.
const BOTTOM: f64 = 24.0;

/// A mark of the dot plot: a figure, its name in the legend, its shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<'a> {
    pub(super) key: &'a str,
    pub(super) name: &'a str,
    pub(super) shape: Shape,
}

/// Shapes, so that marks can be told apart without colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle,
    Square,
    Diamond,
}

/// One bar for each target, shortest first, with whiskers: thin from smallest to largest, thick between the quartiles.
pub(super) fn bars(row: &Row, unit: &str) -> String {
    let mut lines: Vec<(&TargetRow, Spread)> =
        row.targets.iter().filter_map(|target| Some((target, target.figure(row.key)?.spread))).collect();
    lines.sort_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    let largest = lines.iter().map(|(_, spread)| spread.max).fold(0.0, f64::max);
    let ticks = linear_ticks(largest);
    let end = ticks.last().copied().unwrap_or(1.0).max(largest).max(f64::MIN_POSITIVE);
    let x = |value: f64| LEFT + value.max(0.0) / end * (WIDTH - LEFT - RIGHT);
    let mut out = open(lines.len(), &format!("{}: {unit}, by target", row.title));
    axis(&mut out, lines.len(), &ticks, x);
    for (index, (target, spread)) in lines.iter().enumerate() {
        let middle = TOP + (index as f64 + 0.5) * LINE;
        let class = class_of(row, &target.target);
        label(&mut out, middle, &target.target, class);
        let (zero, median) = (x(0.0), x(spread.median));
        let _ = write!(
            out,
            "<rect class=\"bar {class}\" x=\"{zero:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>",
            middle - 8.0,
            (median - zero).max(1.0)
        );
        whisker(&mut out, middle, spread, x);
        let _ = write!(
            out,
            "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x(spread.max) + 6.0,
            middle + 4.0,
            number(spread.median)
        );
    }
    out + "</svg>"
}

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0; what is less is drawn at 0.
    Linear,
    /// Only values above 0 are drawn.
    Logarithmic,
}

/// One line for each target with a mark for each figure, in the order of the first figure's medians.
pub(super) fn dots(row: &Row, series: &[Series<'_>], title: &str, scale: Scale) -> Option<String> {
    let first = series.first()?;
    let value = |target: &TargetRow, key: &str| {
        target
            .figure(key)
            .map(|figure| figure.spread)
            .filter(|spread| scale == Scale::Linear || spread.min > 0.0)
    };
    let mut lines: Vec<(&TargetRow, f64)> =
        row.targets.iter().filter_map(|target| Some((target, value(target, first.key)?.median))).collect();
    lines.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let all: Vec<Spread> = lines
        .iter()
        .flat_map(|(target, _)| series.iter().filter_map(|series| value(target, series.key)))
        .collect();
    let smallest = all.iter().map(|spread| spread.min).reduce(f64::min)?;
    let largest = all.iter().map(|spread| spread.max).reduce(f64::max)?;
    let ticks = match scale {
        Scale::Linear => linear_ticks(largest),
        Scale::Logarithmic => logarithmic_ticks(smallest, largest),
    };
    let place = |value: f64| match scale {
        Scale::Linear => value.max(0.0),
        Scale::Logarithmic => value.ln(),
    };
    let (low, high) = (place(*ticks.first()?), place(*ticks.last()?));
    let x = |value| LEFT + (place(value) - low) / (high - low).max(1e-9) * (WIDTH - LEFT - RIGHT / 2.0);
    let mut out = open(lines.len(), &format!("{}: {title}, by target", row.title));
    axis(&mut out, lines.len(), &ticks, x);
    for (index, (target, _)) in lines.iter().enumerate() {
        let middle = TOP + (index as f64 + 0.5) * LINE;
        let class = class_of(row, &target.target);
        label(&mut out, middle, &target.target, class);
        let found: Vec<(&Series<'_>, Spread)> =
            series.iter().filter_map(|series| Some((series, value(target, series.key)?))).collect();
        if let (Some((_, from)), Some((_, to))) = (found.first(), found.last()) {
            let (from, to) = (x(from.median), x(to.median));
            let _ = write!(
                out,
                "<line class=\"link {class}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>"
            );
        }
        for (series, spread) in found {
            whisker(&mut out, middle + 7.0, &spread, x);
            let hint = format!("{} {}: {}", target.target, series.name, super::text::spread(&spread));
            mark(&mut out, series.shape, x(spread.median), middle, class, &hint);
        }
    }
    Some(out + "</svg>")
}

/// The shapes of a dot plot, in words.
pub(super) fn legend(series: &[Series<'_>]) -> String {
    let mut out = String::from("<p class=\"legend\">");
    for series in series {
        out.push_str(
            "<svg class=\"key\" viewBox=\"0 0 14 14\" width=\"14\" height=\"14\" aria-hidden=\"true\">",
        );
        mark(&mut out, series.shape, 7.0, 7.0, "peer", series.name);
        let _ = write!(out, "</svg> {} ", escape(series.name));
    }
    out + "</p>"
}

fn open(lines: usize, title: &str) -> String {
    let height = TOP + BOTTOM + lines as f64 * LINE;
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    )
}

fn axis(out: &mut String, lines: usize, ticks: &[f64], x: impl Fn(f64) -> f64) {
    let bottom = TOP + lines as f64 * LINE;
    for &tick in ticks {
        let at = x(tick);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 15.0,
            escape(&tick_label(tick))
        );
    }
}

pub(super) fn tick_label(tick: f64) -> String {
    if tick >= 1000.0 || tick.fract() == 0.0 {
        number(tick.round()).trim_end_matches(".0").trim_end_matches(".00").to_owned()
    } else {
        format!("{tick}")
    }
}

fn label(out: &mut String, middle: f64, name: &str, class: &str) {
    let at = LEFT - 8.0;
    let _ = write!(
        out,
        "<text class=\"name {class}\" x=\"{at}\" y=\"{:.1}\">{}</text>",
        middle + 4.0,
        escape(name)
    );
}

fn whisker(out: &mut String, middle: f64, spread: &Spread, x: impl Fn(f64) -> f64) {
    if spread.count < 2 {
        return;
    }
    let (min, max, q1, q3) = (x(spread.min), x(spread.max), x(spread.q1), x(spread.q3));
    let (above, below) = (middle - 3.0, middle + 3.0);
    let _ = write!(
        out,
        "<path class=\"whisker\" d=\"M{min:.1} {middle:.1}H{max:.1}M{min:.1} {above:.1}V{below:.1}M{max:.1} {above:.1}V{below:.1}\"/>\
         <path class=\"quartiles\" d=\"M{q1:.1} {middle:.1}H{q3:.1}\"/>"
    );
}

fn mark(out: &mut String, shape: Shape, x: f64, y: f64, class: &str, hint: &str) {
    let hint = escape(hint);
    let _ = match shape {
        Shape::Circle => {
            write!(
                out,
                "<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"><title>{hint}</title></circle>"
            )
        }
        Shape::Square => write!(
            out,
            "<path class=\"mark {class}\" d=\"M{:.1} {:.1}h8v8h-8z\"><title>{hint}</title></path>",
            x - 4.0,
            y - 4.0
        ),
        Shape::Diamond => write!(
            out,
            "<path class=\"mark {class}\" d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"><title>{hint}</title></path>",
            y - 5.5
        ),
    };
}

fn class_of(row: &Row, target: &str) -> &'static str {
    match target {
        RINGGATE => "ours",
        FLOOR => "floor",
        peer if row.best_peer.as_deref() == Some(peer) => "best",
        _ => "peer",
    }
}

/// From 0 to at least `largest`, in four to eight round steps.
pub(super) fn linear_ticks(largest: f64) -> Vec<f64> {
    if !largest.is_finite() || largest <= 0.0 {
        return vec![0.0, 1.0];
    }
    let power = 10f64.powf((largest / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| largest / step <= 6.0);
    let step = step.unwrap_or(10.0 * power);
    let count = (largest / step).ceil() as usize;
    // Rounded, so that 0.3 does not become 0.30000000000000004.
    (0..=count).map(|index| (index as f64 * step * 1e9).round() / 1e9).collect()
}

/// 1, 2, 5, 10, …: the last one not above `smallest` to the first one not below `largest`; tens only over many decades.
pub(super) fn logarithmic_ticks(smallest: f64, largest: f64) -> Vec<f64> {
    let steps: &[f64] = if largest / smallest > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let first = smallest.log10().floor() as i32;
    let last = largest.log10().ceil() as i32;
    let all: Vec<f64> =
        (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power))).collect();
    let from = all.iter().rposition(|tick| *tick <= smallest).unwrap_or(0);
    let to = all.iter().position(|tick| *tick >= largest).unwrap_or(all.len() - 1);
    // Two at least: an axis of one value has no length.
    all[from..=to.max(from + 1).min(all.len() - 1)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_begin_at_0_and_hold_the_largest() {
        assert_eq!(linear_ticks(16.2), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(linear_ticks(0.0), [0.0, 1.0]);
        for largest in [0.0021, 0.9, 1.0, 43.0, 1940.0] {
            let ticks = linear_ticks(largest);
            assert!(ticks.last().is_some_and(|last| *last >= largest) && ticks.len() <= 8, "{ticks:?}");
        }
    }

    #[test]
    fn logarithmic_ticks_hold_both_ends() {
        assert_eq!(logarithmic_ticks(60.0, 900.0), [50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(logarithmic_ticks(3.0, 90_000.0), [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        assert!(logarithmic_ticks(10.0, 10.0).len() >= 2);
        assert!(logarithmic_ticks(7.0, 7.0).len() >= 2);
    }
}
