//! The one way from a catalogue's files to a snapshot: every file is read, and every fault of all of them is told.
//!
//! It is pure: the same files give the same snapshot or the same faults, in the order of paths and lines.
//!
//! Not here: where the files come from (`control::store`), what stands in one of them (each entity's own module).

use super::api::{claimed_suffix, parse_api};
use super::fault::Fault;
use super::files::CatalogFiles;
use super::snapshot::Snapshot;
use super::suffix::shared_suffixes;

/// Compiles a catalogue for an instance of `gateway`; `None` is an instance that is part of no gateway.
///
/// # Errors
/// Every fault of all the files, unreadable ones included.
pub fn compile(files: &CatalogFiles, gateway: Option<&str>) -> Result<Snapshot, Vec<Fault>> {
    let mut faults: Vec<Fault> = files.unreadable().cloned().collect();
    let (mut apis, mut claims) = (Vec::new(), Vec::new());
    for file in files.entities("apis", "toml") {
        let Ok(text) = file.text else { continue };
        claims.extend(claimed_suffix(file.path, text));
        match parse_api(file.path, file.stem, text) {
            Ok(api) => apis.push((file.path.to_owned(), api)),
            Err(found) => faults.extend(found),
        }
    }
    faults.extend(shared_suffixes(&claims));
    faults.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    if faults.is_empty() { Snapshot::build(apis, gateway) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "display_name = \"Chat\"\nurl = \"ws://h\"\nsuffix = \"chat\"\n";

    fn files(files: &[(&str, &str)]) -> CatalogFiles {
        let mut made = CatalogFiles::default();
        for (path, text) in files {
            made.insert(path, *text);
        }
        made
    }

    #[test]
    fn compiles_whole_or_not_at_all() {
        let good = files(&[("apis/chat.toml", CHAT)]);
        let snapshot = compile(&good, None).expect("no fault");
        assert_eq!(snapshot.served()[0].name.as_str(), "chat");
        let mut bad = good.clone();
        bad.insert("apis/echo.toml", "=");
        assert_eq!(compile(&bad, None).expect_err("a fault").len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_among_the_others() {
        let mut files = files(&[("apis/a.toml", "="), ("apis/c.toml", CHAT), ("apis/d.toml", CHAT)]);
        files.insert_unreadable("apis/b.toml", Fault::of_file("apis/b.toml", None, "not utf-8", "text"));
        let faults = compile(&files, None).expect_err("three faults");
        let at: Vec<_> = faults.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
        assert_eq!(at, [("apis/a.toml", Some(1)), ("apis/b.toml", None), ("apis/d.toml", Some(3))]);
    }
}
