//! `ringgate logs` on a store, while it is written and after.

use crate::support::wait_until;
use ringgate::observe::tables::{ConnectionRow, GatewayRow, Ticks};
use ringgate::telemetry::sink::LogRow;
use ringgate::telemetry::sinks::queue::{RowWriter as _, now};
use ringgate::telemetry::store::retention::Retention;
use ringgate::telemetry::store::writer::StoreWriter;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
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
    store(folder.path()).close();
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
    store(folder.path()).close();
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

#[test]
fn following_shows_rows_as_they_come_and_ends_with_its_reader() {
    let folder = TempDir::new().unwrap();
    let mut writer = store(folder.path());
    let query = "ApiManagementGatewayLogs | project ResponseCode";
    let mut child =
        command(folder.path(), &["-f", "-o", "json", query]).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = channel();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|count| count > 0)
            && sender.send(std::mem::take(&mut line)).is_ok()
        {}
    });
    let mut line = None;
    // It shows what comes from its start on, which nothing else tells.
    wait_until("a row that is shown", || {
        writer.write(&[opening(now(), 429)], now()).unwrap();
        line = lines.recv_timeout(std::time::Duration::from_millis(300)).ok();
        line.is_some()
    });
    assert_eq!(line.as_deref(), Some("{\"ResponseCode\":429}\n"));
    drop(lines);
    wait_until("the end of the command", || {
        writer.write(&[opening(now(), 429)], now()).unwrap();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    store(folder.path()).close();
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
    store(folder.path()).close();
    fs::write(folder.path().join("log-20200101T000000000Z.sqlite"), vec![7; 50_000]).unwrap();
    let query = "ApiManagementGatewayLogs | count";
    let (out, error, code) = said(&command(folder.path(), &[query, "-o", "json"]).output().unwrap());
    assert_eq!((out.as_str(), code), ("{\"Count\":2}\n", Some(0)));
    assert!(error.contains("log-20200101T000000000Z.sqlite is left out: it is damaged"), "{error}");
}
