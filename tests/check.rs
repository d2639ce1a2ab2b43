//! `ringgate check` and `ringgate catalogue` on the configurations in `tests/golden/check/`: one at fault everywhere, one without fault.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the command where the package is, so that no path in its output depends on the machine.
fn check(case: &str) -> Output {
    run(&["check"], case)
}

fn run(command: &[&str], case: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(command)
        .args(["--config", &format!("tests/golden/check/{case}/ringgate.toml")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary runs")
}

fn assert_golden(file: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check").join(file);
    let actual = String::from_utf8_lossy(actual);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual.as_ref()).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).expect("the golden file can be read");
    assert_eq!(actual, expected, "{file}; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn names_every_fault_of_every_file_and_fails() {
    let output = check("bad");
    assert_golden("bad.stderr", &output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
}

#[test]
fn says_what_would_be_open_and_succeeds() {
    let output = check("good");
    assert_golden("good.stdout", &output.stdout);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
}

#[test]
fn a_catalogue_is_counted_shown_and_exported_with_its_secrets_masked() {
    for command in ["check", "show", "export"] {
        let output = run(&["catalogue", command], "good");
        assert_golden(&format!("good.catalogue.{command}"), &output.stdout);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &[][..]));
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!shown.contains("hush") && !shown.contains("00112233"), "{shown}");
    }
}

#[test]
fn a_catalogue_at_fault_is_neither_shown_nor_exported() {
    for command in ["check", "show", "export"] {
        let output = run(&["catalogue", command], "bad");
        assert_golden("bad.stderr", &output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &[][..]));
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(!shown.contains("hush") && !shown.contains("0123456789abcdef"), "{shown}");
    }
}
