//! Changes to a catalogue's files: refused where they would do harm, and whole whatever ends the process that makes them.

use proptest::prelude::*;
use ringgate::catalog::{CatalogFiles, ETag, Revision};
use ringgate::compiled::compile;
use ringgate::control::files::store::read_catalog;
use ringgate::control::files::writer::{CatalogWriter, Change, IfMatch, NotWritten};
use rustix::process::{Signal, getpid, kill_process};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PATH: &str = "apis/chat.toml";

/// The environment variable that gives a child process its folder. Others say what to do, and before which step it is to be
/// killed.
const FOLDER: &str = "RINGGATE_TEST_FOLDER";
const CHANGE: &str = "RINGGATE_TEST_CHANGE";
const STEP: &str = "RINGGATE_TEST_STEP";

fn api(display_name: &str) -> String {
    format!("display_name = \"{display_name}\"\nurl = \"ws://h\"\nsuffix = \"chat\"\n")
}

/// A catalogue with one API, `chat`.
fn catalogue() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("apis")).unwrap();
    fs::write(folder.path().join(PATH), api("Old")).unwrap();
    folder
}

fn writer(folder: &TempDir) -> CatalogWriter {
    CatalogWriter::new(folder.path().to_owned(), None)
}

fn text(folder: &TempDir, path: &str) -> Option<String> {
    fs::read_to_string(folder.path().join(path)).ok()
}

/// Every file below a folder, hidden ones included, with its text.
fn everything_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        } else {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// All that is there but the lock, which stays.
fn without_lock(folder: &TempDir) -> Vec<(PathBuf, String)> {
    let mut all = everything_in(folder.path());
    all.retain(|(path, _)| !path.ends_with(".ringgate-lock"));
    all
}

#[test]
fn writes_reads_and_deletes_and_says_what_state_is_there() {
    let folder = catalogue();
    let written = writer(&folder).change(PATH, Change::Put(&api("New")), IfMatch::Anything).unwrap();
    assert_eq!(text(&folder, PATH), Some(api("New")));
    assert_eq!(written.etag, Some(ETag::of(&api("New"))));
    assert_eq!(written.revision, Revision::of(&read_catalog(folder.path())));

    let product = "display_name = \"Starter\"\n";
    let made =
        writer(&folder).change("products/starter.toml", Change::Put(product), IfMatch::Nothing).unwrap();
    assert_eq!(text(&folder, "products/starter.toml").as_deref(), Some(product));
    let policy =
        writer(&folder).change("policies/products/starter.xml", Change::Put("<policies/>"), IfMatch::Nothing);
    assert_ne!(policy.unwrap().revision, made.revision);
    writer(&folder).change("policies/products/starter.xml", Change::Delete, IfMatch::Anything).unwrap();

    let gone = writer(&folder).change("products/starter.toml", Change::Delete, IfMatch::Anything).unwrap();
    assert_eq!((gone.etag, gone.revision), (None, written.revision), "the same files are the same revision");
    assert_eq!(without_lock(&folder).len(), 1);
}

#[test]
fn a_change_that_its_author_would_not_make_is_not_made() {
    let folder = catalogue();
    let (old, put) = (ETag::of(&api("Old")), api("New"));
    let change = |path: &str, change: Change<'_>, if_match| writer(&folder).change(path, change, if_match);
    let before = without_lock(&folder);
    for (path, condition) in [
        (PATH, IfMatch::State(ETag::of("another"))),
        (PATH, IfMatch::Nothing),
        ("apis/other.toml", IfMatch::State(old)),
    ] {
        let refused = change(path, Change::Put(&put), condition).unwrap_err();
        let there = (path == PATH).then_some(old);
        assert!(matches!(refused, NotWritten::HasChanged(etag) if etag == there), "{refused:?}");
    }
    for path in ["apis/chat.txt", "../apis/chat.toml", "apis/.chat.toml", ".ringgate-lock", "ringgate.toml"] {
        let refused = change(path, Change::Put(&put), IfMatch::Anything).unwrap_err();
        assert!(matches!(refused, NotWritten::NoPath(_)), "{path}: {refused:?}");
    }
    let refused = change("apis/other.toml", Change::Delete, IfMatch::Anything).unwrap_err();
    assert!(matches!(refused, NotWritten::NotThere(_)));
    assert_eq!(without_lock(&folder), before);
    change(PATH, Change::Put(&put), IfMatch::State(old)).unwrap();
    let refused = change(PATH, Change::Delete, IfMatch::State(old)).unwrap_err();
    assert!(matches!(refused, NotWritten::HasChanged(_)));
    change(PATH, Change::Delete, IfMatch::State(ETag::of(&put))).unwrap();
}

#[test]
fn a_change_that_puts_the_catalogue_at_fault_is_refused_with_every_fault_and_nothing_is_written() {
    let folder = catalogue();
    let before = without_lock(&folder);
    let bad = "display_name = \"\"\nurl = \"http://h\"\nsuffix = \"chat\"\n";
    let refused = writer(&folder).change("apis/other.toml", Change::Put(bad), IfMatch::Anything).unwrap_err();
    let NotWritten::Faulty(faults) = refused else { panic!("{refused:?}") };
    let keys: Vec<_> = faults.iter().map(|fault| (fault.file.as_str(), fault.key.as_str())).collect();
    assert_eq!(
        keys,
        [("apis/other.toml", "display_name"), ("apis/other.toml", "url"), ("apis/other.toml", "suffix")]
    );

    // A fault of another file that the change leaves behind: nobody has this product any more.
    let with_product = api("Old") + "products = [\"starter\"]\n";
    writer(&folder)
        .change("products/starter.toml", Change::Put("display_name = \"S\""), IfMatch::Nothing)
        .unwrap();
    writer(&folder).change(PATH, Change::Put(&with_product), IfMatch::Anything).unwrap();
    let refused =
        writer(&folder).change("products/starter.toml", Change::Delete, IfMatch::Anything).unwrap_err();
    let NotWritten::Faulty(faults) = refused else { panic!("{refused:?}") };
    assert_eq!(faults[0].file, PATH);
    assert!(text(&folder, "products/starter.toml").is_some());

    let large = format!("{}#{}", api("Large"), "x".repeat(1024 * 1024));
    let refused = writer(&folder).change(PATH, Change::Put(&large), IfMatch::Anything).unwrap_err();
    assert!(matches!(refused, NotWritten::Faulty(_)), "what could not be read again");
    assert_eq!(before[0].0, folder.path().join(PATH));
}

#[test]
fn a_file_keeps_its_mode() {
    let folder = catalogue();
    let path = folder.path().join(PATH);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    writer(&folder).change(PATH, Change::Put(&api("New")), IfMatch::Anything).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn writers_take_turns_and_no_change_is_lost() {
    let folder = catalogue();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let add_line =
                        |text: Option<&str>| Ok::<_, NotWritten>(text.map(|text| format!("{text}#\n")));
                    writer(&folder).edit(PATH, add_line).unwrap();
                }
            });
        }
    });
    assert_eq!(text(&folder, PATH), Some(api("Old") + &"#\n".repeat(20)));
}

/// Does the change that the environment asks for, and is killed before the step that it names.
#[test]
#[ignore = "the child of the test below"]
fn killed_child() {
    let (Some(folder), Ok(change), Ok(step)) =
        (std::env::var_os(FOLDER), std::env::var(CHANGE), std::env::var(STEP))
    else {
        return;
    };
    let die_at: usize = step.parse().unwrap();
    let mut steps = 0;
    let mut step = |_: &'static str| {
        if steps == die_at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        steps += 1;
    };
    let after = (!change.is_empty()).then_some(change);
    CatalogWriter::new(folder.into(), None)
        .change_watched(PATH, |_| Ok::<_, NotWritten>(after), IfMatch::Anything, &mut step)
        .unwrap();
}

/// Whether the child was killed, rather than done before it came to the step.
fn run_child(folder: &Path, change: &str, step: usize) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "catalog_writer::killed_child", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(CHANGE, change)
        .env(STEP, step.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status}");
    status.signal().is_some()
}

/// Kills a child before each step of a change in turn. What is left is always one of two catalogues, and the next writer
/// is not held up and leaves nothing of it behind.
fn kill_at_every_step(before: Option<&str>, after: &str) {
    let mut was_killed = true;
    let mut step = 0;
    let mut seen_old = 0;
    while was_killed {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("apis")).unwrap();
        if let Some(text) = before {
            fs::write(folder.path().join(PATH), text).unwrap();
        }
        was_killed = run_child(folder.path(), after, step);
        let files = read_catalog(folder.path());
        compile(&files, None).expect("a whole catalogue");
        let found: Vec<_> = files.iter().map(|(path, text)| (path, text.unwrap().as_ref())).collect();
        let old: Vec<_> = before.iter().map(|text| (PATH, *text)).collect();
        let new = if after.is_empty() { Vec::new() } else { vec![(PATH, after)] };
        assert!(found == old || found == new, "step {step}: {found:?}");
        assert!(was_killed || found == new, "it was done");
        seen_old += usize::from(found == old);

        let next = writer(&folder).change(
            "apis/next.toml",
            Change::Put(&api("Next").replace("chat", "next")),
            IfMatch::Nothing,
        );
        next.unwrap();
        let left = without_lock(&folder).len();
        assert_eq!(left, found.len() + 1, "step {step}: nothing of the killed one is left");
        step += 1;
    }
    assert!(step > 4 && seen_old > 2 && seen_old < step, "{seen_old} of {step} steps left the old catalogue");
}

#[test]
fn a_process_that_is_killed_at_any_step_leaves_a_whole_catalogue() {
    kill_at_every_step(Some(&api("Old")), &api("New"));
    kill_at_every_step(None, &api("New"));
    kill_at_every_step(Some(&api("Old")), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Write, read, write: what is read is what was written, to the byte, and writing it again changes nothing.
    #[test]
    fn writing_what_was_read_changes_nothing(
        display_name in "[^\\\\\"\\p{Cc}]{1,40}",
        comment in "[^\\p{Cc}]{0,40}",
        order in 0..6_usize,
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let mut lines = vec![format!("display_name = \"{display_name}\" # {comment}"), "url = 'ws://h'".into(), "suffix=\"chat\"".into()];
        lines.rotate_left(order % 3);
        if order > 2 {
            lines.insert(1, String::new());
        }
        let text = lines.join(end) + end;
        let folder = catalogue();
        let first = writer(&folder).change(PATH, Change::Put(&text), IfMatch::Anything).unwrap();
        let read: CatalogFiles = read_catalog(folder.path());
        let again = read.text(PATH).expect("it is there");
        prop_assert_eq!(again.as_ref(), text.as_str());
        let second = writer(&folder).change(PATH, Change::Put(again), IfMatch::State(first.etag.unwrap())).unwrap();
        prop_assert_eq!(first, second);
    }
}
