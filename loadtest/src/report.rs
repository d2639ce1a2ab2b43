//! How a comparison looks: a table for a terminal, `results.json` with everything, `report.html` for people.

mod html;
mod page_style;
mod panels;
mod plots;
#[cfg(test)]
pub(crate) mod sample;
pub mod soak;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod text;

use crate::compare::attempts::Comparison;
use crate::compare::floor_rule::FloorVerdict;
use crate::compare::rows::Row;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

pub use html::page;
pub use table::table;

/// `results.json`: what was run, and what it comes to. Reading it back takes the first part only.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    rows: Vec<Row>,
    floor: FloorVerdict,
}

/// Writes `results.json` and `report.html` into a folder, which is made.
///
/// # Errors
/// A file cannot be written.
pub fn write(comparison: &Comparison, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let rows = Row::all(comparison);
    let floor = FloorVerdict::of(&rows);
    let document = Document { comparison, rows, floor };
    let files =
        [("results.json", serde_json::to_string(&document)? + "\n"), ("report.html", page(comparison))];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
