//! How a soak looks: a table of its rests, `results.json`, `soak.svg` with everything over time, `report.html` with all.

mod html;
mod plot;
mod table;

use crate::soak::record::{Begun, Ended, Record, Sample};
use crate::soak::verdict::Verdict;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

pub use html::page;
pub use plot::plot;
pub use table::table;

/// `results.json`: all but the samples between the rests, which are in the record beside it.
#[derive(Serialize)]
struct Document<'a> {
    verdict: &'a Verdict,
    #[serde(flatten)]
    begun: &'a Begun,
    ended: &'a Option<Ended>,
    rests: Vec<&'a Sample>,
    last: Option<&'a Sample>,
}

/// Writes `results.json`, `table.txt`, `soak.svg` and `report.html` into a folder.
///
/// # Errors
/// A file cannot be written.
pub fn write(record: &Record, verdict: &Verdict, folder: &Path) -> Result<()> {
    let Record { begun, ended, samples } = record;
    let document = Document { verdict, begun, ended, rests: record.rests(), last: samples.last() };
    let files = [
        ("results.json", serde_json::to_string_pretty(&document)? + "\n"),
        ("table.txt", table(record, verdict)),
        ("soak.svg", plot(record) + "\n"),
        ("report.html", page(record, verdict)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
