//! Unread files in a catalogue's folders that seem to be meant for it: `apis/chat.yaml`, `api/chat.toml`.
//!
//! Editors' copies, notes and hidden files are ignored without a message.
//!
//! Not here: which files are read (`store`).

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::store::{ENTITY_FOLDERS, POLICY_FOLDER, is_catalog_file};
use crate::catalog::fault::nearest;
use crate::catalog::named_value::NAMED_VALUES_FILE;
use crate::process::files::watchdog::attempt;

/// Extensions of files that could be meant for the catalogue.
const TAKEN_FOR_ONE: [&str; 6] = ["toml", "yaml", "yml", "json", "xml", "conf"];

/// Most files that are reported. Files after them are not looked at.
const TOLD_MAX: usize = 20;

/// Returns a line for each such file, in the order of paths.
pub fn ignored_files(catalog: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for folder in ENTITY_FOLDERS.iter().chain([&POLICY_FOLDER]) {
        let extension = if *folder == POLICY_FOLDER { "xml" } else { "toml" };
        for name in names_in(&catalog.join(folder), false) {
            let path = format!("{folder}/{name}");
            if is_taken_for_one(&name) && !is_catalog_file(&path) {
                told.push(format!(
                    "{path} is not read: only *.{extension} is read in {folder}; rename or move it"
                ));
            }
        }
    }
    let known: Vec<&str> = ENTITY_FOLDERS.into_iter().chain([POLICY_FOLDER]).collect();
    for name in names_in(catalog, true).into_iter().filter(|name| !known.contains(&name.as_str())) {
        let near = nearest(&known, &name);
        told.extend(near.map(|near| format!("folder {name} is not read; did you mean {near}?")));
    }
    for name in names_in(catalog, false) {
        let stem = Path::new(&name).file_stem().and_then(OsStr::to_str);
        if stem == Some("named-values") && name != NAMED_VALUES_FILE {
            told.push(format!("{name} is not read: named values stand in {NAMED_VALUES_FILE}; rename it"));
        }
    }
    told.sort_unstable();
    told.truncate(TOLD_MAX);
    told
}

fn is_taken_for_one(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    !name.starts_with('.') && TAKEN_FOR_ONE.contains(&extension.to_lowercase().as_str())
}

/// Names of the folders, or of the other files, in `folder`; none if it cannot be read, which the reading of its files reports.
fn names_in(folder: &Path, of_folders: bool) -> Vec<String> {
    let Ok(_attempt) = attempt(folder) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_one = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir() == of_folders);
    let names = entries.flatten().filter(is_one).map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_meant_and_is_not_read_is_told_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [
            "apis/chat.toml",
            "apis/chat.toml~",
            "apis/.chat.yaml",
            "apis/README.md",
            "apis/echo.yaml",
            "apis/news.TOML",
            "policies/apis/chat.xml",
            "policies/chat.toml",
            "product/starter.toml",
            "notes/a.toml",
            "named-values.toml",
            "named-values.yml",
            "ringgate.toml",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        assert_eq!(
            ignored_files(folder.path()),
            [
                "apis/echo.yaml is not read: only *.toml is read in apis; rename or move it",
                "apis/news.TOML is not read: only *.toml is read in apis; rename or move it",
                "folder product is not read; did you mean products?",
                "named-values.yml is not read: named values stand in named-values.toml; rename it",
                "policies/chat.toml is not read: only *.xml is read in policies; rename or move it",
            ]
        );
        assert_eq!(ignored_files(&folder.path().join("none")), [""; 0]);
    }
}
