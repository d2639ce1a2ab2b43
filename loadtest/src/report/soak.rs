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

/// A drawing as a file of its own, which a name space must tell what it is.
fn alone(svg: &str) -> String {
    svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1) + "\n"
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
        ("soak.svg", alone(&plot(record))),
        ("report.html", page(record, verdict)),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::made_up;
    use crate::soak::record::Stage;

    #[test]
    fn the_page_asks_for_nothing_from_outside_and_obeys_no_markup() {
        let mut record = made_up::flat();
        record.begun.plan.title = "<b onclick=\"x\">soak".to_owned();
        let page = page(&record, &Verdict::of(&record));
        for forbidden in
            ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<img", "<iframe", "<b o"]
        {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("&lt;b onclick=&quot;x&quot;&gt;soak") && page.contains("A &lt;processor&gt;"));
    }

    #[test]
    fn the_table_has_a_line_for_each_rest_and_says_what_failed() {
        let mut record = made_up::flat();
        let flat = table(&record, &Verdict::of(&record));
        assert_eq!(flat.lines().filter(|line| line.starts_with("rest ")).count(), 13);
        assert!(flat.lines().last().is_some_and(|line| line.starts_with("flat: ")), "{flat}");
        record.samples.retain(|sample| sample.own.stage != Stage::End);
        let not_flat = table(&record, &Verdict::of(&record));
        assert!(not_flat.contains("FAIL descriptors: none at the end and not 30"), "{not_flat}");
        assert!(not_flat.ends_with("NOT flat: descriptors, slots, places, pool\n"), "{not_flat}");
    }

    #[test]
    fn a_run_that_was_broken_off_at_once_has_a_report() {
        let mut record = made_up::flat();
        record.samples.clear();
        record.ended = None;
        let folder = std::env::temp_dir().join(format!("ringgate-soak-report-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        write(&record, &Verdict::of(&record), &folder).expect("a report");
        let svg = std::fs::read_to_string(folder.join("soak.svg")).expect("a drawing");
        assert!(svg.starts_with("<svg xmlns=") && !svg.contains("NaN"), "{svg}");
        std::fs::remove_dir_all(&folder).expect("the folder");
    }
}
