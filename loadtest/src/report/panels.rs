//! Figures over time as SVG: panels under each other with one axis of time, readable alone or within a page.

use super::plots::{Scale, linear_ticks, logarithmic_ticks, tick_label};
use super::text::escape;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
/// Room for the values of the axis.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
/// Room for a panel's title.
const HEAD: f64 = 26.0;
const PANEL: f64 = 120.0;
/// Room under a panel.
const GAP: f64 = 14.0;
/// Room for the axis of time.
const BOTTOM: f64 = 36.0;

/// Light and dark, for the page and for the file alone.
const STYLE: &str = "<style>\
.panels { --ink: #1c1e21; --soft: #5c6268; --line: #dcdcd7; --one: #1f5fbf; --other: #c96212; \
font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }\
@media (prefers-color-scheme: dark) { \
.panels { --ink: #e8e8e4; --soft: #a0a6ad; --line: #353a40; --one: #6aa3f2; --other: #de7c2e; } }\
.panels text { fill: var(--ink); } .panels .tick { fill: var(--soft); font-size: 11px; }\
.panels .grid { stroke: var(--line); } .panels .rest { stroke: var(--soft); stroke-dasharray: 2 3; }\
.panels .one, .panels .other { fill: none; stroke-width: 1.5; stroke-linejoin: round; }\
.panels .one { stroke: var(--one); } .panels .other { stroke: var(--other); }\
.panels .mark { stroke: none; fill: var(--one); } .panels .mark.second { fill: var(--other); }\
.panels .name.first { fill: var(--one); } .panels .name.second { fill: var(--other); }\
</style>";

/// A line of a panel.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Seconds and values, in the order of time.
    pub(super) points: Vec<(f64, f64)>,
    /// Those that stand out.
    pub(super) marks: Vec<(f64, f64)>,
}

/// One or two lines over time.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) scale: Scale,
    pub(super) lines: Vec<Line>,
}

/// Panels under each other; dotted lines stand where the rests were, in seconds.
pub(super) fn panels(panels: &[Panel], rests: &[f64], title: &str) -> String {
    let ends = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let end_s = ends().map(|(at_s, _)| *at_s).fold(1.0, f64::max);
    let height = panels.len() as f64 * (HEAD + PANEL + GAP) + BOTTOM;
    let mut out = format!(
        "<svg class=\"panels\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">{STYLE}",
        escape(title)
    );
    let x = |at_s: f64| LEFT + at_s / end_s * (WIDTH - LEFT - RIGHT);
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, index as f64 * (HEAD + PANEL + GAP) + HEAD, rests, x);
    }
    time_axis(&mut out, height - BOTTOM - GAP, end_s, x);
    out + "</svg>"
}

fn draw(out: &mut String, panel: &Panel, top: f64, rests: &[f64], x: impl Fn(f64) -> f64) {
    let bottom = top + PANEL;
    let _ = write!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"600\">{}</text>",
        top - 9.0,
        escape(&panel.title)
    );
    let values = || panel.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let largest = values().fold(0.0, f64::max);
    let smallest = values().filter(|value| *value > 0.0).fold(largest.max(1.0), f64::min);
    let ticks = match panel.scale {
        Scale::Linear => linear_ticks(largest),
        Scale::Logarithmic => logarithmic_ticks(smallest, largest.max(smallest)),
    };
    let place = |value: f64| match panel.scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.max(smallest).ln(),
    };
    let low = place(ticks.first().copied().unwrap_or(0.0));
    let high = place(ticks.last().copied().unwrap_or(1.0));
    let y = |value: f64| bottom - (place(value) - low) / (high - low).max(1e-9) * PANEL;
    for tick in ticks {
        let at = y(tick);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            escape(&tick_label(tick))
        );
    }
    for at_s in rests {
        let at = x(*at_s);
        let _ = write!(
            out,
            "<line class=\"rest\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
        );
    }
    let mut name_at = WIDTH - RIGHT;
    for (line, (class, order)) in panel.lines.iter().zip([("one", "first"), ("other", "second")]).rev() {
        let path: Vec<String> =
            line.points.iter().map(|(at_s, value)| format!("{:.1} {:.1}", x(*at_s), y(*value))).collect();
        if !path.is_empty() {
            let _ = write!(out, "<path class=\"{class}\" d=\"M{}\"/>", path.join("L"));
        }
        for (at_s, value) in &line.marks {
            let _ = write!(
                out,
                "<circle class=\"mark {order}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                x(*at_s),
                y(*value)
            );
        }
        let _ = write!(
            out,
            "<text class=\"name {order}\" text-anchor=\"end\" x=\"{name_at:.0}\" y=\"{:.0}\">{}</text>",
            top - 9.0,
            escape(line.name)
        );
        name_at -= line.name.chars().count() as f64 * 7.0 + 16.0;
    }
}

/// In minutes, or in seconds where there are only few of those.
fn time_axis(out: &mut String, top: f64, end_s: f64, x: impl Fn(f64) -> f64) {
    let (unit_s, unit) = if end_s < 300.0 { (1.0, "s") } else { (60.0, "min") };
    for tick in linear_ticks(end_s / unit_s).into_iter().filter(|tick| tick * unit_s <= end_s) {
        let _ = write!(
            out,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{} {unit}</text>",
            x(tick * unit_s),
            top + 18.0,
            escape(&tick_label(tick))
        );
    }
}
