//! `report.html` of a soak: one file that asks for nothing from outside and needs no script.

use super::super::page_style::STYLE;
use super::super::text::escape;
use super::plot::plot;
use super::table::{HEADS, load, rows};
use crate::soak::record::Record;
use crate::soak::verdict::Verdict;
use std::fmt::Write;

/// The page.
pub fn page(record: &Record, verdict: &Verdict) -> String {
    let begun = &record.begun;
    let about = &begun.about;
    let mut out = String::with_capacity(1 << 17);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}, {date}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>\
         <p class=\"soft\">{date} · {version} · seed {seed} · {cpu} · Linux {kernel}</p>\
         <p class=\"answer{warn}\">{words}</p>",
        title = escape(&begun.plan.title),
        date = escape(&about.date),
        version = escape(&begun.version),
        seed = begun.seed,
        cpu = escape(&about.cpu),
        kernel = escape(&about.kernel),
        warn = if verdict.is_flat { "" } else { " warn" },
        words = escape(&verdict.words())
    );
    out.push_str("<div class=\"card\"><dl>");
    for check in &verdict.checks {
        let name = escape(check.name);
        let class = if check.passed { "" } else { " class=\"warn\"" };
        let _ = write!(out, "<dt{class}>{name}</dt><dd{class}>{}</dd>", escape(&check.words));
    }
    for (name, words) in [("load", load(record)), ("harness", Some(format!("commit {}", about.commit)))] {
        let _ = words.map(|words| write!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&words)));
    }
    let _ = write!(
        out,
        "</dl></div><h2>Over time</h2><div class=\"card\">{}<p class=\"soft\">Dotted lines and marks are rests: steady \
         and idle sessions are open, nothing else is, and not a message is on its way.</p></div>",
        plot(record)
    );
    out.push_str("<h2>At the rests</h2><div class=\"card scroll\"><table class=\"figures\"><thead><tr>");
    for head in HEADS {
        let _ = write!(out, "<th>{}</th>", escape(head));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows(record) {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(&cell));
        }
        out.push_str("</tr>");
    }
    let _ = writeln!(
        out,
        "</tbody></table><p class=\"soft\">Buffers: lent out. Sessions and round trips: from the start. p99: median of the \
         samples since the line above.</p></div><h2>The plan</h2><div class=\"card\"><pre>{}</pre></div>\
         </main></body></html>",
        escape(&begun.plan_text)
    );
    out
}
