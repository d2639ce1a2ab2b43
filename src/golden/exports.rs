//! Golden files of exports: one for each version of each kind, `tests/golden/export/<kind>-v<version>.txt`.
//!
//! A file has one or more exports, each under a line `== <what it shows>`, and each field of an export on a line of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::export::{ExportFault, ExportKind, FieldWriter};

/// An export that notes its layout, with the name of what it shows.
pub(crate) type Example = (&'static str, FieldWriter);

/// Each field on a line: its name and its bytes in hexadecimal.
pub(crate) fn annotated(writer: &FieldWriter) -> String {
    let (bytes, layout) = (writer.as_bytes(), writer.layout());
    let ends = layout.iter().skip(1).map(|(start, _)| *start).chain([bytes.len()]);
    let mut text = String::new();
    for ((start, name), end) in layout.iter().zip(ends) {
        let digits: String = bytes[*start..end].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = if digits.is_empty() { format!("[{name}]") } else { (*name).to_owned() };
        writeln!(text, "{}", format!("{name:<24} {digits}").trim_end()).expect("a string takes everything");
    }
    text
}

fn path(kind: ExportKind, version: u8) -> PathBuf {
    let file = format!("tests/golden/export/{kind}-v{version}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Compares what is exported with the golden file of the kind's version. With `UPDATE_GOLDEN` set, a file that is missing is written;
/// one that is there is never changed.
#[track_caller]
pub(crate) fn assert_exports(kind: ExportKind, examples: &[Example]) {
    let may_write = std::env::var_os("UPDATE_GOLDEN").is_some();
    if let Err(difference) = check_exports(kind, examples, may_write) {
        panic!("{difference}");
    }
}

/// Says how what is exported differs from the golden file, and what to do about it.
pub(crate) fn check_exports(kind: ExportKind, examples: &[Example], may_write: bool) -> Result<(), String> {
    let actual: String =
        examples.iter().map(|(name, writer)| format!("== {name}\n{}\n", annotated(writer))).collect();
    let path = path(kind, kind.version());
    if may_write && !path.exists() {
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::write(&path, &actual).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let lines = 0..expected.len().max(actual.len());
    let Some(line) = lines.into_iter().find(|line| expected.get(*line) != actual.get(*line)) else {
        return Ok(());
    };
    Err(format!(
        "{}:{}\n  expected {:?}\n    actual {:?}\n\
         The layout of an exported {kind} differs from that of version {}, so older and newer processes could not read each other's.\n\
         Raise the version of {kind} in `ExportKind::version`, keep reading the older one, and run this test with UPDATE_GOLDEN=1: it \
         writes the file of the new version.\n\
         Where no release has written this version yet, or only the test's examples have changed, remove the file instead, and run this \
         test with UPDATE_GOLDEN=1.",
        path.display(),
        line + 1,
        expected.get(line),
        actual.get(line),
        kind.version(),
    ))
}

/// Checks that what any version exported that can be read is imported: the exports in the golden files of all of them, which are what
/// older processes write. `again` imports one and exports it again: one of the newest version stays as it is.
#[track_caller]
pub(crate) fn assert_imports(
    kind: ExportKind,
    again: impl Fn(&[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, ExportFault>,
) {
    for version in kind.oldest_version()..=kind.version() {
        let path = path(kind, version);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let exports = exports_in(&text);
        assert!(!exports.is_empty(), "there are no exports in {}", path.display());
        for (name, bytes) in exports {
            let again =
                again(&bytes).unwrap_or_else(|fault| panic!("{kind} of version {version}, {name}: {fault}"));
            let again =
                again.unwrap_or_else(|| panic!("{kind} of version {version}, {name}: not exported again"));
            assert!(version < kind.version() || *again == bytes, "{kind}, {name}: it is exported otherwise");
        }
    }
}

/// The exports of one file, each with its name.
pub(crate) fn exports_in(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut exports: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            exports.push((name.to_owned(), Vec::new()));
        } else if let (Some((_, bytes)), Some((_, digits))) = (exports.last_mut(), line.rsplit_once(' '))
            && !line.starts_with('[')
        {
            let byte =
                |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
            bytes.extend((0..digits.len()).step_by(2).map(byte));
        }
    }
    exports
}
