//! Output that is lost, and output that nobody wants to the end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const DOCUMENT: &str = "catalog/policies/global.xml";

/// Every command that prints and ends, but `ctl`, whose exit code is the instance's answer.
const PRINTING: [&[&str]; 13] = [
    &["check"],
    &["check", "--host"],
    &["catalogue", "check"],
    &["catalogue", "show"],
    &["catalogue", "export"],
    &["policy", "check", DOCUMENT],
    &["policy", "trace", DOCUMENT],
    &["logs", "--list"],
    &["logs", "--json-lines", "log.jsonl"],
    &["manual"],
    &["manual", "reference"],
    &["completions", "bash"],
    &["man"],
];

/// A configuration without faults.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let api =
        "display_name = \"A\"\nurl = \"ws://127.0.0.1:9\"\nsuffix = \"a\"\nsubscription_required = false\n";
    let global = "<policies><inbound/><backend><forward-request/></backend></policies>";
    for (path, text) in [
        ("ringgate.toml", "[[listeners]]\naddress = \"127.0.0.1:0\"\n"),
        ("catalog/apis/a.toml", api),
        (DOCUMENT, global),
        ("log.jsonl", ""),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str], stdout: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(arguments).current_dir(folder).stdout(stdout).stderr(Stdio::piped());
    command.env_remove("RINGGATE_CONFIG").env_remove("RINGGATE_LOG").env_remove("RUNTIME_DIRECTORY");
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn output_that_finds_no_room_is_a_failure_that_is_told_and_a_reader_that_has_left_is_none() {
    let folder = folder();
    for arguments in PRINTING {
        let full = run(folder.path(), arguments, File::create("/dev/full").unwrap().into());
        let told = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {told}");
        let why = "ringgate: cannot write to standard output: No space left on device";
        assert!(told.contains(why), "{arguments:?}: {told}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = run(folder.path(), arguments, writer.into());
        assert_eq!((left.status.code(), &*left.stderr), (Some(0), &b""[..]), "{arguments:?}");
    }
}
