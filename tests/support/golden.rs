//! Golden files: what is expected, in files that a reviewer reads.

#![allow(unreachable_pub, reason = "each test binary uses it by its own path")]

use std::fmt::Debug;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Compares with `tests/golden/<file>`, or rewrites that file if `UPDATE_GOLDEN` is set.
///
/// # Panics
/// They differ: with the first line that does.
#[track_caller]
pub fn assert_golden(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == actual {
        return;
    }
    let differs = |(_, (expected, actual)): &(usize, (Option<&str>, Option<&str>))| expected != actual;
    let first = (1..).zip(lines(&expected).zip(lines(actual))).find(differs);
    let (number, (expected, actual)) = first.expect("texts that differ do so in a line");
    panic!(
        "tests/golden/{file}:{number}\n  expected {expected:?}\n    actual {actual:?}\nUPDATE_GOLDEN=1 rewrites it"
    );
}

/// Lines with their ends, then none for ever.
fn lines(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.split_inclusive('\n').map(Some).chain(std::iter::repeat(None))
}

/// Returns the transition table: a line for every event in every state, in the order of the lists.
#[allow(dead_code, reason = "not every test binary has states")]
pub fn transitions<S: Copy + Debug, E: Copy + Debug>(
    states: &[S],
    events: &[E],
    next: impl Fn(S, E) -> String,
) -> String {
    let mut table = String::new();
    for state in states {
        let _ = writeln!(table, "{state:?}");
        for event in events {
            let _ = writeln!(table, "    {:<26} {}", format!("{event:?}"), next(*state, *event));
        }
    }
    table
}
