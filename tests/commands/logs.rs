//! `ringgate logs` on a store, while it is written and after.

use crate::support::wait_until;
use ringgate::observe::tables::{ConnectionRow, GatewayRow, Ticks};
use ringgate::telemetry::sink::LogRow;
use ringgate::telemetry::sinks::queue::{RowWriter as _, now};
use ringgate::telemetry::store::retention::Retention;
use ringgate::telemetry::store::writer::StoreWriter;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

fn writer(folder: &Path) -> StoreWriter {
    StoreWriter::new(folder.to_owned(), Retention { days: 7, bytes_max: 64 << 20 })
}

fn opening(at: Ticks, code: i32) -> LogRow {
    GatewayRow {
        time_generated: at,
        correlation_id: format!("id-{code}").into(),
        api_id: "chat".into(),
        url: "ws://gateway/chat".into(),
        response_code: Some(code),
        is_request_success: Some(code == 101),
        cause: if code == 101 { "" } else { "key" }.into(),
        ..GatewayRow::default()
    }
    .into()
}

fn ended(at: Ticks) -> LogRow {
    ConnectionRow {
        time_generated: at,
        correlation_id: "id-101".into(),
        event_name: "terminated".into(),
        phase: "relay".into(),
        cause: "closed".into(),
        client_close_code: Some(1000),
        ..ConnectionRow::default()
    }
    .into()
}

/// A store with an opening of two hours ago, one of now, and an end.
fn store(folder: &Path) -> StoreWriter {
    let mut writer = writer(folder);
    let hours_ago = Ticks(now().0 - 2 * 3600 * Ticks::PER_SECOND);
    writer.write(&[opening(hours_ago, 401), opening(now(), 101), ended(now())], now()).unwrap();
    writer
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.arg("logs").args(arguments).arg("--store").arg(folder).stdin(Stdio::null());
    command.env_remove("RINGGATE_CONFIG").env_remove("RINGGATE_LOG").env_remove("STATE_DIRECTORY");
    command
}

/// The segments of a store, the oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "sqlite"))
        .collect();
    paths.sort();
    paths
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn answer(folder: &Path, arguments: &[&str]) -> String {
    let (out, error, code) = said(&command(folder, arguments).output().unwrap());
    assert_eq!((error.as_str(), code), ("", Some(0)), "{arguments:?}: {out}");
    out
}

#[test]
fn a_query_is_answered_while_the_store_is_written_as_a_table_json_and_csv() {
    let folder = TempDir::new().unwrap();
    let _writer = store(folder.path());
    let query = "ApiManagementGatewayLogs | where ResponseCode == 401 | project ApiId, ResponseCode";
    assert_eq!(answer(folder.path(), &[query]), "ApiId  ResponseCode\nchat            401\n");
    assert_eq!(answer(folder.path(), &[query, "-o", "json"]), "{\"ApiId\":\"chat\",\"ResponseCode\":401}\n");
    assert_eq!(answer(folder.path(), &[query, "-o", "csv"]), "ApiId,ResponseCode\r\nchat,401\r\n");
    let none = answer(folder.path(), &[query, "--since", "1h", "-o", "json"]);
    assert_eq!(none, "", "it is two hours old");
    let first = answer(
        folder.path(),
        &["ApiManagementGatewayLogs | project ResponseCode", "--limit", "1", "-o", "json"],
    );
    assert_eq!(first.lines().count(), 1);
}

#[test]
fn named_queries_files_and_no_query_at_all_are_answered() {
    let folder = TempDir::new().unwrap();
    store(folder.path()).close().unwrap();
    let newest = answer(folder.path(), &[]);
    assert_eq!(newest.lines().count(), 3, "{newest}");
    assert!(newest.lines().last().is_some_and(|line| line.contains(" 101 ")), "{newest}");
    let closes = answer(folder.path(), &["--name", "close-codes", "-o", "json"]);
    assert!(closes.contains("\"ClientCloseCode\":1000") && closes.contains("\"Sessions\":1"), "{closes}");
    for line in answer(folder.path(), &["--list"]).lines().take_while(|line| !line.is_empty()) {
        answer(folder.path(), &["--name", line.split(' ').next().unwrap()]);
    }
    let file = folder.path().join("count.kql");
    fs::write(&file, "ApiManagementGatewayLogs\n| count\n").unwrap();
    let counted = answer(folder.path(), &["--query-file", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(counted, "{\"Count\":2}\n");
}

#[test]
fn what_is_exported_is_asked_again_as_json_lines() {
    let folder = TempDir::new().unwrap();
    store(folder.path()).close().unwrap();
    let mut export = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    let exported =
        export.args(["logs", "export", "--since", "1h", "--store"]).arg(folder.path()).output().unwrap();
    let (lines, error, code) = said(&exported);
    assert_eq!((lines.lines().count(), error.as_str(), code), (2, "", Some(0)), "{lines}");
    let file = folder.path().join("rows.jsonl");
    fs::write(&file, lines).unwrap();
    let mut asked = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    let asked =
        asked.args(["logs", "--name", "opened", "-o", "json", "--json-lines"]).arg(&file).output().unwrap();
    let (rows, error, code) = said(&asked);
    assert_eq!((error.as_str(), code), ("", Some(0)));
    assert!(rows.contains("\"CorrelationId\":\"id-101\""), "{rows}");
}

/// A command that follows, and its lines as they come.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(folder, &["-f", "-o", "json"]);
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|count| count > 0)
                && sender.send(std::mem::take(&mut line)).is_ok()
            {}
        });
        Self { child, lines }
    }

    /// Has rows written until one is shown: it shows what comes from its start on, which nothing else tells.
    fn shows_new_rows(&self, writer: &mut StoreWriter) {
        wait_until("a row that is shown", || {
            writer.write(&[opening(now(), 429)], now()).unwrap();
            let line = self.lines.recv_timeout(Duration::from_millis(300));
            line.is_ok_and(|line| line == "{\"ResponseCode\":429}\n")
        });
    }
}

#[test]
fn following_shows_rows_as_they_come_and_ends_with_its_reader() {
    let folder = TempDir::new().unwrap();
    let mut writer = store(folder.path());
    let query = "ApiManagementGatewayLogs | project ResponseCode";
    let Following { mut child, lines } = {
        let following = Following::start(folder.path(), &[query]);
        following.shows_new_rows(&mut writer);
        following
    };
    drop(lines);
    wait_until("the end of the command", || {
        writer.write(&[opening(now(), 429)], now()).unwrap();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn following_goes_on_when_a_segment_is_damaged_and_when_one_is_deleted() {
    let folder = TempDir::new().unwrap();
    let mut writer = writer(folder.path());
    let day = |days: i64| Ticks(now().0 - days * 86_400 * Ticks::PER_SECOND);
    let mut paths = Vec::new();
    for days in [2, 1] {
        writer.write(&vec![opening(day(days), 101); 2000], day(days)).unwrap();
        paths = segments(folder.path());
    }
    // The newest one is another one by now.
    writer.write(&[opening(now(), 101)], now()).unwrap();
    let mut bytes = fs::read(&paths[0]).unwrap();
    bytes[10 * 8192..11 * 8192].fill(0x55);
    fs::write(&paths[0], bytes).unwrap();
    let query = "ApiManagementGatewayLogs | project ResponseCode";
    let mut following = Following::start(folder.path(), &["--since", "7d", query]);
    let shown: Vec<_> = following.lines.iter().take(2001).collect();
    assert!(shown.iter().all(|line| line == "{\"ResponseCode\":101}\n"));
    fs::remove_file(&paths[1]).unwrap();
    following.shows_new_rows(&mut writer);
    following.child.kill().unwrap();
    let mut error = String::new();
    following.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    let name = paths[0].file_name().unwrap().to_str().unwrap();
    assert!(error.contains(&format!("{name} is left out: it is damaged")), "{error}");
    assert_eq!(error.matches(" is left out").count(), 1, "it is said once: {error}");
    following.child.wait().unwrap();
}

#[test]
fn following_ends_with_as_many_rows_as_were_asked_for() {
    let folder = TempDir::new().unwrap();
    let mut writer = store(folder.path());
    let query = "ApiManagementGatewayLogs | project ResponseCode";
    let Following { mut child, lines } =
        Following::start(folder.path(), &["--since", "1h", "--limit", "3", query]);
    assert_eq!(lines.recv_timeout(Duration::from_secs(60)).unwrap(), "{\"ResponseCode\":101}\n");
    writer.write(&vec![opening(now(), 429); 5], now()).unwrap();
    let rest: Vec<_> = lines.iter().collect();
    assert_eq!(rest, ["{\"ResponseCode\":429}\n"; 2]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    store(folder.path()).close().unwrap();
    for (arguments, part) in [
        (&["ApiManagementGatewayLogs | where Cod == 1"][..], "the query is not understood: "),
        (&["--name", "none"], "no query is named \"none\"; there are newest, "),
        (&["--query-file", "/nowhere"], "cannot read the query /nowhere: "),
    ] {
        let (out, error, code) = said(&command(folder.path(), arguments).output().unwrap());
        assert_eq!((out.as_str(), code), ("", Some(1)), "{error}");
        assert!(error.contains(part), "{error}");
    }
    let (_, error, code) = said(&command(&folder.path().join("absent"), &[]).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(error.starts_with("ringgate: cannot read the log store "), "{error}");
}

#[test]
fn a_damaged_segment_is_left_out_and_the_others_are_answered() {
    let folder = TempDir::new().unwrap();
    store(folder.path()).close().unwrap();
    fs::write(folder.path().join("log-20200101T000000000Z.sqlite"), vec![7; 50_000]).unwrap();
    let query = "ApiManagementGatewayLogs | count";
    let (out, error, code) = said(&command(folder.path(), &[query, "-o", "json"]).output().unwrap());
    assert_eq!((out.as_str(), code), ("{\"Count\":2}\n", Some(0)));
    assert!(error.contains("log-20200101T000000000Z.sqlite is left out: it is damaged"), "{error}");
}
