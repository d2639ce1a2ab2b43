//! A disk that is really full: a small file system in memory, in a name space of the process's own.

use crate::support::backend::tungstenite_echo;
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{Raw, request};
use crate::support::served::{Configuration, Served, wait_for_exit};
use crate::support::{api_file, comes_true};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INSTANCE: &str = "workers = 1\ndrain_s = 4\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[status]\naddress = \"127.0.0.1:0\"\n\
                        [logs]\nstore = true\nfolder = \"disk/store\"\njson_file = \"disk/rows.json\"\n";

/// A command that runs another one where the folder `$0` is a disk of 16 MiB.
fn with_small_disk(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder);
    command
}

/// The number that a query over the store gives to somebody who sees the disk of process `pid`; `None`: the store cannot be read.
fn asked(pid: u32, store: &Path, query: &str) -> Option<u64> {
    let mut command = Command::new("nsenter");
    command.args(["--preserve-credentials", "--user", "--mount", "-t", &pid.to_string()]);
    command.args([env!("CARGO_BIN_EXE_ringgate"), "logs", "-o", "csv", query, "--store"]).arg(store);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1)?.parse().ok()
}

/// Opens a session, has it carry something, and closes it.
fn carry_one(gateway: SocketAddr) {
    let mut client = Raw::open(gateway, "/t");
    exchange(&mut client);
}

fn exchange(client: &mut Raw) {
    client.send(&client_frame(0x81, b"still here"));
    client.expect(&server_frame(0x81, b"still here"));
}

/// Fills the disk to its last page.
fn fill(path: &Path) {
    let mut filler = fs::File::create(path).unwrap();
    for size in [64 * 1024, 4096] {
        while filler.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_costs_rows_and_no_session_and_once_there_is_room_rows_are_written_again() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let folder = configuration.folder().join("disk");
    fs::create_dir(&folder).unwrap();
    let mut probe = with_small_disk(&folder);
    if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED a_full_disk_costs_rows_and_no_session_and_once_there_is_room_rows_are_written_again: no mount in a name \
             space of one's own here"
        );
        return;
    }
    let inner = configuration.command();
    let mut command = with_small_disk(&folder);
    command.arg(inner.get_program()).args(inner.get_args());
    command.stderr(Stdio::piped());
    let mut served = Served::start_command(&configuration, command);
    let pid = served.child.id();
    // As the process sees it.
    let disk = PathBuf::from(format!("/proc/{pid}/root{}", folder.display()));
    let store = folder.join("store");
    let asked = |query: &str| asked(pid, &store, query);
    let openings = "ApiManagementGatewayLogs | count";

    let mut open_all_along = Raw::open(served.address, "/t");
    let mut sessions = 1;
    assert!(comes_true(|| {
        carry_one(served.address);
        sessions += 1;
        asked(openings).is_some_and(|count| count > 0)
    }));

    // Full: sessions are opened and carried, and what that costs is counted and shown.
    let filler = disk.join("filler");
    fill(&filler);
    let mut page = String::new();
    assert!(
        comes_true(|| {
            carry_one(served.address);
            sessions += 1;
            page = served.status_page();
            ["store", "json_file"].iter().all(|sink| {
                let line = page.lines().find(|line| line.contains(&format!("log sink {sink}: ")));
                line.is_some_and(|line| !line.contains("(0 rows lost"))
            })
        }),
        "{page}"
    );
    let figure = |page: &str, name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    };
    assert!(figure(&page, "log_rows_lost") > 0 && figure(&page, "log_sink_faults") > 0, "{page}");
    exchange(&mut open_all_along);
    served.wait_until_said("cannot write the log's rows");
    // What was written can be read.
    let mut readable = None;
    assert!(comes_true(|| {
        readable = asked(openings);
        readable.is_some()
    }));
    assert!(readable > Some(0));

    // Room again: rows again, without a fault.
    fs::remove_file(&filler).unwrap();
    assert!(comes_true(|| {
        carry_one(served.address);
        sessions += 1;
        page = served.status_page();
        !page.contains("log sink ")
    }));
    let mut late = Raw::connect(served.address);
    late.send(request("/after-there-was-room", "").as_bytes());
    assert!(late.read_head().starts_with("HTTP/1.1 404 "));
    drop(late);
    let rows = disk.join("rows.json");
    assert!(comes_true(|| {
        let is_in_lines = fs::read_to_string(&rows).unwrap().contains("/after-there-was-room");
        let late = "ApiManagementGatewayLogs | where Url endswith '/after-there-was-room' | count";
        is_in_lines && asked(late) == Some(1)
    }));
    exchange(&mut open_all_along);
    // No row was cut or glued to another one.
    for line in fs::read_to_string(&rows).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    // Rows are lost, and no session is missing in the usage.
    let mut counted = None;
    assert!(
        comes_true(|| {
            counted = asked("RinggateUsage | summarize tolong(sum(Sessions))");
            counted == Some(sessions)
        }),
        "{counted:?} of {sessions}"
    );
    drop(open_all_along);
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}
