//! `report.html`: one file that asks for nothing from outside and needs no script.

use super::page_style::STYLE;
use super::plots::{self, Scale, Series, Shape};
use super::summary;
use super::text::{self, escape};
use crate::compare::attempts::Comparison;
use crate::compare::figures::key_figure_name;
use crate::compare::floor_rule::FloorVerdict;
use crate::compare::rows::{Row, TargetRow};
use crate::compare::statistics::Spread;
use crate::plan::Measures;
use std::fmt::Write;

const HOW_TO_READ: &str = "<ul>\
<li><b>Cost</b> is the busy time of the proxy's core (user, system, interrupts, soft interrupts; less what the idle \
machine uses) per message or session. The processor time of the proxy's processes is in the tables as well: it misses \
what the kernel does for them in threads of its own, so it can look better than the truth.</li>\
<li><b>Ratios</b> are taken within a round, where targets ran right after each other, against the peer with the smallest \
median of the row. Shown is the median of these ratios. ▼ less than the best peer, ▲ more, ≈ the middle half of the rounds has 1 \
in it; colour says the same. * some runs do not count (see the notes).</li>\
<li><b>Whiskers</b>: thin from the smallest round to the largest, thick between the quartiles.</li>\
<li><b>Memory</b>: the slope from the first to the last number of sessions. Slab is the whole machine's, so the sockets of \
clients and backend are in it, the same for all targets.</li>\
<li><b>Latency</b> counts from the moment at which a message was to be sent, so a stall counts for all that it delayed.</li>\
<li><b>Echoes</b> beside greedy sessions: how many were asked for, by how many were answered in the window; 1 is all, and a \
ratio of 2 is half as many answered as the best peer did. What never came counts in the latency with the time for which it was \
waited for. The base of these rows is the better of nginx and HAProxy.</li>\
<li><b>What this does not say</b>: everything runs on one machine over loopback, without a network, a network card or \
encryption; one core for the proxy; arrival at fixed rates. Absolute figures hold for this machine only.</li></ul>";

/// The page.
pub fn page(comparison: &Comparison) -> String {
    let rows = Row::all(comparison);
    let floor = FloorVerdict::of(&rows);
    let about = &comparison.about;
    let mut out = String::with_capacity(1 << 18);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>ringgate beside other proxies, {date}</title><style>{STYLE}</style></head><body><main>\
         <h1>ringgate beside other proxies</h1>\
         <p class=\"soft\">{date} · commit {commit} · {cpu} · Linux {kernel} · {rounds} rounds</p>",
        date = escape(&about.date),
        commit = escape(about.commit.get(..12).unwrap_or(&about.commit)),
        cpu = escape(&about.cpu),
        kernel = escape(&about.kernel),
        rounds = comparison.rounds
    );
    if let Some(warning) = build_warning(&about.build) {
        let _ = write!(out, "<p class=\"warn\">{}</p>", code(&warning));
    }
    out.push_str(&summary::answer(&rows));
    let class = if floor.is_floor == Some(true) { "soft" } else { "warn" };
    let _ = write!(out, "<p class=\"{class}\">{}</p>", code(&floor.words()));
    let _ = write!(out, "<div class=\"card\">{}</div>", summary::matrix(&rows));
    out.push_str("<p class=\"legend\">Each cell: median ratio to the row's best peer, its smallest and largest, and the figure itself. ");
    for (class, name) in [
        ("ours", "ringgate"),
        ("floor", "floor, a bare relay"),
        ("best", "best peer"),
        ("peer", "other peers"),
    ] {
        let _ = write!(
            out,
            "<span><span class=\"swatch\" style=\"background: var(--{class})\"></span> {name}</span> "
        );
    }
    let _ =
        write!(out, "</p><h2>How to read it</h2><div class=\"card\">{HOW_TO_READ}</div><h2>Row by row</h2>");
    for row in &rows {
        section(&mut out, comparison, row);
    }
    notes(&mut out, &rows);
    machine(&mut out, comparison);
    out + "</main></body></html>\n"
}

/// Why the figures of a build are not for others, if they are not.
fn build_warning(build: &str) -> Option<String> {
    match build {
        "dist" => None,
        "release" => Some("A release build was measured: it builds fast and is slower. Publish figures of `--profile dist`.".to_owned()),
        _ => Some(format!("A {build} build was measured: its costs say nothing.")),
    }
}

/// Words between backquotes as code.
fn code(text: &str) -> String {
    let mut parts = text.split('`');
    let mut out = escape(parts.next().unwrap_or_default());
    for (index, part) in parts.enumerate() {
        out.push_str(if index % 2 == 0 { "<code>" } else { "</code>" });
        out.push_str(&escape(part));
    }
    out
}

fn section(out: &mut String, comparison: &Comparison, row: &Row) {
    let (name, unit) = key_figure_name(row.measures);
    let _ = write!(
        out,
        "<section class=\"card\" id=\"{}\"><h3>{}</h3><div class=\"plots\"><div><h4>{name}, {unit}</h4>{}</div>",
        escape(&row.name),
        escape(&row.title),
        plots::bars(row, unit)
    );
    let (title, series) = second_plot(row.measures);
    // The slope of memory may be 0.
    let (scale, scale_name) = if matches!(row.measures, Measures::Memory | Measures::Resident) {
        (Scale::Linear, "")
    } else {
        (Scale::Logarithmic, ", logarithmic")
    };
    if let Some(plot) = plots::dots(row, &series, title, scale) {
        let _ = write!(out, "<div><h4>{title}{scale_name}</h4>{plot}{}</div>", plots::legend(&series));
    }
    out.push_str(
        "</div><details><summary>All figures: median over the rounds; smallest–largest; quartiles</summary>",
    );
    figures(out, row);
    out.push_str("</details>");
    if let Some(plan) = comparison.plans.iter().find(|plan| plan.name == row.plan) {
        let _ = write!(
            out,
            "<details><summary>The plan ({} s, after {} s of warm-up)</summary><pre>{}</pre></details>",
            plan.plan.duration_s,
            plan.plan.warmup_s,
            escape(&plan.text)
        );
    }
    out.push_str("</section>");
}

fn second_plot(measures: Measures) -> (&'static str, [Series<'static>; 3]) {
    let series = |names: [(&'static str, &'static str); 3]| {
        let mut shapes = [Shape::Circle, Shape::Square, Shape::Diamond].into_iter();
        names.map(|(key, name)| Series { key, name, shape: shapes.next().unwrap_or(Shape::Circle) })
    };
    match measures {
        Measures::CostPerMessage | Measures::Tail | Measures::Echoes | Measures::EchoP99 => (
            "Latency, µs",
            series([("latency_p50_us", "p50"), ("latency_p99_us", "p99"), ("latency_p999_us", "p99.9")]),
        ),
        Measures::CostPerSession => (
            "Connect to first echo, µs",
            series([("opening_p50_us", "p50"), ("opening_p99_us", "p99"), ("opening_p999_us", "p99.9")]),
        ),
        Measures::PlainTail => (
            "Latency of sessions without TLS, µs",
            series([
                ("plain_latency_p50_us", "p50"),
                ("plain_latency_p99_us", "p99"),
                ("plain_latency_p999_us", "p99.9"),
            ]),
        ),
        Measures::Memory | Measures::Resident => (
            "RSS per session, KiB",
            series([
                ("rss_kib_per_session/fresh", "fresh"),
                ("rss_kib_per_session/after 100 B", "after 100 B"),
                ("rss_kib_per_session/after 60000 B", "after 60,000 B"),
            ]),
        ),
    }
}

fn figures(out: &mut String, row: &Row) {
    out.push_str("<div class=\"scroll\"><table class=\"figures\"><thead><tr><th>figure</th>");
    for target in &row.targets {
        let _ = write!(out, "<th>{}</th>", escape(&target.target));
    }
    out.push_str("</tr></thead><tbody>");
    let line = |out: &mut String, name: &str, cell: &dyn Fn(&TargetRow) -> Option<String>| {
        let _ = write!(out, "<tr><td>{}</td>", escape(name));
        for target in &row.targets {
            let _ = write!(out, "<td>{}</td>", cell(target).unwrap_or_else(|| "–".to_owned()));
        }
        out.push_str("</tr>");
    };
    line(out, "ratio to the best peer", &|target| {
        target.figure(row.key)?.to_best_peer.as_ref().map(spread_cell)
    });
    line(out, "ratio to floor", &|target| target.figure(row.key)?.to_floor.as_ref().map(spread_cell));
    for figure in row.figures() {
        let name = format!("{}, {}", figure.name, figure.unit);
        line(out, &name, &|target| Some(spread_cell(&target.figure(&figure.key)?.spread)));
    }
    line(out, "rounds that count", &|target| Some(target.rounds_counted.to_string()));
    out.push_str("</tbody></table></div>");
}

fn spread_cell(spread: &Spread) -> String {
    let Spread { min, q1, q3, max, .. } = *spread;
    let median = text::number(spread.median);
    if spread.count < 2 {
        return median;
    }
    let [min, q1, q3, max] = [min, q1, q3, max].map(text::number);
    format!("{median}<small>{min}–{max}</small><small>{q1}–{q3}</small>")
}

fn notes(out: &mut String, rows: &[Row]) {
    out.push_str("<h2>Runs that do not count</h2><div class=\"card\">");
    let mut lines = String::new();
    for (row, target) in rows.iter().flat_map(|row| row.targets.iter().map(move |target| (row, target))) {
        for excluded in &target.not_counted {
            let repetition = if excluded.repetition > 0 { ", repeated" } else { "" };
            let _ = write!(
                lines,
                "<li>{}, {}, round {}{repetition}: <b>{}</b>, {}</li>",
                escape(&row.title),
                escape(&target.target),
                excluded.round + 1,
                excluded.what.words(),
                escape(&excluded.why)
            );
        }
    }
    if lines.is_empty() {
        out.push_str("<p>Every run counts.</p></div>");
        return;
    }
    let _ = write!(
        out,
        "<p>Thrown out: clients and backend were too busy or too late to measure anything; such a run is repeated once. \
         Faults: the target lost, changed or ended what it should have relayed.</p><ul>{lines}</ul></div>"
    );
}

fn machine(out: &mut String, comparison: &Comparison) {
    let about = &comparison.about;
    out.push_str("<h2>The machine and the sources</h2><div class=\"card\"><dl>");
    let mut entry = |name: &str, value: &str| {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    };
    entry("commit", &about.commit);
    entry("date", &about.date);
    entry("processor", &format!("{}, {} cores", about.cpu, about.cores));
    entry("memory", &format!("{} MiB", about.memory_mib));
    entry("kernel", &format!("Linux {}", about.kernel));
    entry("cores", &format!("proxy on {}, clients and backend on {}", about.proxy_core, about.load_core));
    entry("build", &about.build);
    let conditions = about.conditions;
    entry("idle cores", if conditions.kept_awake { "kept from halting" } else { "halt" });
    entry("load", if conditions.real_time_load { "with real-time priority" } else { "like any process" });
    entry("asked for", &comparison.asked_for.join(" "));
    entry("seed", &comparison.seed.to_string());
    for target in &comparison.targets {
        entry(&target.name, &target.version);
    }
    out.push_str("</dl></div>");
}
