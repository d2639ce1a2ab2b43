//! Rows to systemd's journal, with a field for each column (Native Journal Protocol, systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! A row is one datagram: `NAME=value` lines, or `NAME`, the length in 8 bytes, little-endian, and the value, for a value with a line
//! end. The name of a column is in upper case with underscores behind `RINGGATE_`: `RINGGATE_CORRELATION_ID`.
//!
//! A row that is larger than a datagram may be (`net.core.wmem_default`, some 200 KiB) is lost and counted; the protocol's way around
//! that (a descriptor of a sealed memory file) is not needed for rows, whose largest columns are heads of at most 16 KiB.
//!
//! A journal that is started anew costs no row: it is connected to again, and gets the row that it did not take.

use super::access_line::AccessLines;
use super::queue::{RowWriter, WriteFault};
use crate::observe::tables::{Ticks, Value};
use crate::process::files::reason;
use crate::telemetry::calendar::datetime_text;
use crate::telemetry::sink::LogRow;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// Where the journal listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// How long a journal that was there a moment ago is waited for.
const RESTART_PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked for meanwhile.
const RESTART_INTERVAL: Duration = Duration::from_millis(50);

/// Longest name of a field that the journal takes.
const FIELD_BYTES_MAX: usize = 64;

/// Sends rows to a journal.
#[derive(Debug)]
pub struct JournalWriter {
    path: PathBuf,
    /// `None`: it is opened with the next row.
    socket: Option<UnixDatagram>,
    lines: AccessLines,
    datagram: Vec<u8>,
    restart_patience: Duration,
}

impl JournalWriter {
    /// A writer to the journal that listens at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            socket: None,
            lines: AccessLines::default(),
            datagram: Vec::new(),
            restart_patience: RESTART_PATIENCE,
        }
    }

    fn send(&mut self, row: &LogRow) -> io::Result<()> {
        let mut line = String::new();
        self.lines.push(&mut line, row);
        self.datagram.clear();
        push_datagram(&mut self.datagram, row, line.trim_end());
        let was_there = self.socket.is_some();
        let sent = self.send_datagram();
        match sent {
            Err(error) if was_there && !is_too_large(&error) => self.send_to_restarted(),
            sent => sent,
        }
    }

    /// Sends to the journal that takes the place of the one that failed, if it comes soon.
    fn send_to_restarted(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.restart_patience;
        loop {
            self.socket = None;
            match self.send_datagram() {
                Err(error) if !is_too_large(&error) && Instant::now() < deadline => {
                    thread::park_timeout(RESTART_INTERVAL);
                }
                sent => return sent,
            }
        }
    }

    fn send_datagram(&mut self) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.path)?;
            self.socket = Some(socket);
        }
        let socket = self.socket.as_ref().expect("it was opened just now");
        socket.send(&self.datagram).map(drop)
    }
}

fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

impl RowWriter for JournalWriter {
    const PATIENCE: Duration = Duration::from_millis(200);

    fn write(&mut self, rows: &[LogRow], _now: Ticks) -> Result<(), WriteFault> {
        let mut last = None;
        let mut rows_lost = 0;
        for (index, row) in rows.iter().enumerate() {
            let Err(error) = self.send(row) else { continue };
            rows_lost += 1;
            let is_of_this_row = is_too_large(&error);
            last = Some(error);
            if !is_of_this_row {
                // The journal is away: the others would fail as well.
                self.socket = None;
                rows_lost += (rows.len() - index - 1) as u64;
                break;
            }
        }
        match last {
            None => Ok(()),
            Some(error) => Err(WriteFault {
                rows_lost,
                reason: format!(
                    "the journal at {}: {}; start systemd-journald, or set logs.journald to false",
                    self.path.display(),
                    reason(&error)
                ),
            }),
        }
    }

    fn upkeep(&mut self, _now: Ticks) -> Result<(), WriteFault> {
        Ok(())
    }
}

/// Appends the fields of a row. `line` is its access line, if it has one.
fn push_datagram(datagram: &mut Vec<u8>, row: &LogRow, line: &str) {
    let table = row.table().name;
    let mut message = table.to_owned();
    row.visit(&mut |column, value| {
        if let ("EventName" | "CorrelationId", Value::Text(text)) = (column.name, value) {
            message = format!("{message} {text}");
        }
    });
    push_field(datagram, "MESSAGE", if line.is_empty() { &message } else { line });
    push_field(datagram, "PRIORITY", "6");
    push_field(datagram, "SYSLOG_IDENTIFIER", "ringgate");
    push_field(datagram, "RINGGATE_TABLE", table);
    row.visit(&mut |column, value| {
        let text = match value {
            Value::Null | Value::Text("") => return,
            Value::Datetime(ticks) => datetime_text(ticks.0),
            Value::Text(text) | Value::Dynamic(text) => text.to_owned(),
            Value::Long(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
        };
        push_field(datagram, &field_name(column.name), &text);
    });
}

fn push_field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// The field of a column: `CorrelationId` is `RINGGATE_CORRELATION_ID`.
fn field_name(column: &str) -> String {
    let mut name = "RINGGATE".to_owned();
    let mut before = 'a';
    for char in column.chars() {
        if char.is_ascii_uppercase() && !before.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(char.to_ascii_uppercase());
        before = char;
    }
    name.truncate(FIELD_BYTES_MAX);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tables::{ConnectionRow, TABLES};
    use std::collections::HashSet;

    fn row(error: &'static str) -> LogRow {
        ConnectionRow {
            time_generated: Ticks::from_unix_ns(1_796_047_212_000_000_000),
            correlation_id: "0f3c".into(),
            event_name: "closing".into(),
            error: error.into(),
            client_close_code: Some(1000),
            ..ConnectionRow::default()
        }
        .into()
    }

    #[test]
    fn a_row_is_a_datagram_with_a_field_for_each_column_that_is_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut writer = JournalWriter::new(path);
        assert_eq!(writer.write(&[row("two\nlines")], Ticks(0)), Ok(()));
        let mut bytes = [0; 4096];
        let count = journal.recv(&mut bytes).unwrap();
        let expected = b"MESSAGE=ApiManagementWebSocketConnectionLogs 0f3c closing\nPRIORITY=6\nSYSLOG_IDENTIFIER=ringgate\n\
            RINGGATE_TABLE=ApiManagementWebSocketConnectionLogs\nRINGGATE_TIME_GENERATED=2026-11-30T14:00:12.0000000Z\n\
            RINGGATE_CORRELATION_ID=0f3c\nRINGGATE_EVENT_NAME=closing\nRINGGATE_ERROR\n\x09\0\0\0\0\0\0\0two\nlines\n\
            RINGGATE_CLIENT_CLOSE_CODE=1000\n";
        assert_eq!(String::from_utf8_lossy(&bytes[..count]), String::from_utf8_lossy(expected));
    }

    #[test]
    fn every_column_has_a_field_of_its_own_that_the_journal_takes() {
        for table in TABLES {
            let names: HashSet<_> = table.columns.iter().map(|column| field_name(column.name)).collect();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
            for name in names {
                let is_allowed =
                    |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
                assert!(name.len() <= FIELD_BYTES_MAX && name.chars().all(is_allowed), "{name}");
            }
        }
    }

    #[test]
    fn a_journal_that_is_away_costs_its_rows_and_is_found_again_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut writer = JournalWriter::new(path.clone());
        let fault = writer.write(&[row(""), row("")], Ticks(0)).expect_err("nobody listens");
        assert_eq!(fault.rows_lost, 2);
        let journal = UnixDatagram::bind(&path).unwrap();
        assert_eq!(writer.write(&[row("")], Ticks(0)), Ok(()));
        assert!(journal.recv(&mut [0; 4096]).unwrap() > 0);
    }

    #[test]
    fn a_journal_that_is_started_anew_gets_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut writer = JournalWriter::new(path.clone());
        writer.restart_patience = Duration::from_secs(60);
        assert_eq!(writer.write(&[row("")], Ticks(0)), Ok(()));
        // Another socket at the same path: at once, and after it was away for a while.
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        let journal = UnixDatagram::bind(&path).unwrap();
        assert_eq!(writer.write(&[row("first"), row("second")], Ticks(0)), Ok(()));
        let received = |journal: &UnixDatagram| {
            let mut bytes = [0; 4096];
            let count = journal.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        assert!(received(&journal).contains("=first\n") && received(&journal).contains("=second\n"));
        drop(journal);
        std::fs::remove_file(&path).unwrap();
        let (sender, at_work) = std::sync::mpsc::channel();
        let writing = thread::spawn(move || {
            sender.send(()).unwrap();
            writer.write(&[row("third")], Ticks(0))
        });
        at_work.recv().unwrap();
        let journal = UnixDatagram::bind(&path).unwrap();
        assert!(received(&journal).contains("=third\n"));
        assert_eq!(writing.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_row_that_no_datagram_holds_is_lost_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let huge = ConnectionRow { error: "x".repeat(64 << 20).into(), ..ConnectionRow::default() };
        let mut writer = JournalWriter::new(path);
        let fault = writer.write(&[huge.into(), row("")], Ticks(0)).expect_err("it is too large");
        assert_eq!(fault.rows_lost, 1);
        assert!(journal.recv(&mut [0; 4096]).unwrap() > 0);
    }
}
