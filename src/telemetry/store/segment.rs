//! One segment: its name, its tables, rows into it, and its end.

use crate::observe::tables::{ColumnType, TABLES, Table, Ticks, UsageRow, Value};
use crate::observe::tables::{ConnectionRow, GatewayRow, Row as _};
use crate::telemetry::kql::{datetime_text, parse_datetime};
use crate::telemetry::sink::LogRow;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the tables' layout (`PRAGMA user_version`). A segment of another one is not written to.
pub const STORE_VERSION: i64 = 1;

/// What tells a segment from other SQLite files (`PRAGMA application_id`): `rgLg`.
const APPLICATION_ID: i64 = 0x7267_4c67;

/// Bytes of a page: a row has some hundred.
const PAGE_BYTES: i64 = 8192;

/// Pages of the write-ahead log from which on SQLite writes them into the file: 16 MiB.
const CHECKPOINT_PAGES: i64 = 2048;

/// How long a statement waits for another connection's lock.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);

const PREFIX: &str = "log-";
const SUFFIX: &str = ".sqlite";
const DAMAGED: &str = ".damaged";

/// What is the matter with a segment that cannot be written to.
#[derive(Debug)]
pub enum SegmentFault {
    /// It is not a database, or a broken one.
    Damaged(rusqlite::Error),
    /// It is of another version of ringgate.
    OtherVersion,
    /// Anything else: a full disk, a folder that may not be written to.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for SegmentFault {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { Self::Damaged(error) } else { Self::Failed(error) }
    }
}

/// Whether the error says that the file is broken.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The file name of a segment that begins at a time.
pub fn file_name(begin: Ticks) -> String {
    let digits: String = datetime_text(begin).chars().filter(char::is_ascii_alphanumeric).take(18).collect();
    format!("{PREFIX}{digits}Z{SUFFIX}")
}

/// When the segment with this file name began, and whether it is set aside. `None`: it is not the name of a segment's main file.
pub fn begin_of(name: &str) -> Option<(Ticks, bool)> {
    let (name, is_damaged) = match name.strip_suffix(DAMAGED) {
        Some(name) => (name, true),
        None => (name, false),
    };
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let part = |from: usize, to: usize| digits.get(from..to);
    if digits.len() != 19 || !digits.ends_with('Z') {
        return None;
    }
    let text = format!(
        "{}-{}-{}T{}:{}:{}.{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?,
        part(15, 18)?
    );
    Some((parse_datetime(&text)?, is_damaged))
}

/// The files that SQLite keeps beside a database; the write-ahead log is the first.
pub fn beside(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|end| with_end(path, end))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Renames a damaged segment, so that nobody opens it as one.
///
/// # Errors
/// The file system's.
pub fn set_aside(path: &Path) -> io::Result<()> {
    let aside = with_end(path, DAMAGED);
    for (from, to) in beside(path).into_iter().zip(beside(&aside)) {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, aside)
}

/// A segment that rows are written to.
#[derive(Debug)]
pub struct Segment {
    connection: Connection,
    path: PathBuf,
    begin: Ticks,
}

impl Segment {
    /// Makes a new one in `folder`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(folder: &Path, now: Ticks) -> Result<Self, SegmentFault> {
        let mut begin = now;
        let path = loop {
            let path = folder.join(file_name(begin));
            // Before SQLite opens it: it would be open to everybody.
            match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path) {
                Ok(_) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    begin.0 += Ticks::PER_SECOND / 1000;
                }
                Err(error) => return Err(SegmentFault::Failed(io_fault(&error))),
            }
        };
        let made = Self::open(&path, begin).and_then(|segment| {
            create_tables(&segment.connection)?;
            Ok(segment)
        });
        if made.is_err() {
            let _ = fs::remove_file(&path);
            beside(&path).into_iter().for_each(|file| drop(fs::remove_file(file)));
        }
        made
    }

    /// Goes on with one that is there, if it is of this version.
    ///
    /// # Errors
    /// What is the matter with it.
    pub fn resume(path: &Path, begin: Ticks) -> Result<Self, SegmentFault> {
        let segment = Self::open(path, begin)?;
        let version: i64 = segment.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 && table_columns(&segment.connection, "main", GatewayRow::TABLE)?.is_empty() {
            // Its making broke off.
            create_tables(&segment.connection)?;
            return Ok(segment);
        }
        for table in TABLES {
            let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
            if version != STORE_VERSION || table_columns(&segment.connection, "main", table)? != names {
                return Err(SegmentFault::OtherVersion);
            }
        }
        Ok(segment)
    }

    fn open(path: &Path, begin: Ticks) -> Result<Self, SegmentFault> {
        let connection = open_for_writing(path)?;
        connection.busy_timeout(BUSY_PATIENCE)?;
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;"
        ))?;
        Ok(Self { connection, path: path.to_owned(), begin })
    }

    /// Has it take no more than so many pages.
    #[cfg(test)]
    pub fn limit_pages(&self, pages: u32) {
        self.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).expect("a pragma");
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it began.
    pub fn begin(&self) -> Ticks {
        self.begin
    }

    /// Bytes of its file, and of its write-ahead log.
    pub fn bytes(&self) -> (u64, u64) {
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        (bytes(&self.path), bytes(&beside(&self.path)[0]))
    }

    /// Writes all rows, or none.
    ///
    /// # Errors
    /// They could not be written.
    pub fn insert(&mut self, rows: &[LogRow]) -> Result<(), SegmentFault> {
        let transaction =
            rusqlite::Transaction::new(&mut self.connection, rusqlite::TransactionBehavior::Immediate)?;
        {
            let [gateway, connection, usage] =
                [GatewayRow::TABLE, ConnectionRow::TABLE, UsageRow::TABLE].map(insertion);
            let mut gateway = transaction.prepare(&gateway)?;
            let mut connection = transaction.prepare(&connection)?;
            let mut usage = transaction.prepare(&usage)?;
            for row in rows {
                let statement = match row {
                    LogRow::Gateway(_) => &mut gateway,
                    LogRow::Connection(_) => &mut connection,
                    LogRow::Usage(_) => &mut usage,
                };
                let (mut index, mut bound) = (0, Ok(()));
                row.visit(&mut |_, value| {
                    index += 1;
                    if bound.is_ok() {
                        bound = statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(stored(value)));
                    }
                });
                bound?;
                statement.raw_execute()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// How a segment is opened, beside for what: not through a link, in whose place somebody could have it write to another file.
pub const OPEN_FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

fn open_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(in_real_folder(path), OPEN_FLAGS | OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// The path without links in front of the file's name: those are the operator's.
pub fn in_real_folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default();
    fs::canonicalize(folder).map_or_else(|_| path.to_owned(), |folder| folder.join(name))
}

/// Ends a segment that is written to no more: makes the index of CorrelationId, which as random text would cost too much with every row,
/// and moves its write-ahead log into the file, which is then plain and needs no writer beside its readers.
///
/// # Errors
/// It cannot be done now; while a reader has it open, for one. It is to be tried again.
pub fn finish(path: &Path) -> Result<(), SegmentFault> {
    let connection = open_for_writing(path)?;
    connection.busy_timeout(BUSY_PATIENCE)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == STORE_VERSION {
        // Still with a write-ahead log, so that readers need not wait for it.
        for table in [GatewayRow::TABLE, ConnectionRow::TABLE] {
            let name = table.name;
            connection.execute_batch(&format!(
                "CREATE INDEX IF NOT EXISTS \"{name}_id\" ON \"{name}\" (\"CorrelationId\")"
            ))?;
        }
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode != "delete" {
        return Err(SegmentFault::Failed(io_fault(&io::ErrorKind::ResourceBusy.into())));
    }
    Ok(())
}

/// Makes the tables.
///
/// # Errors
/// SQLite's.
pub fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    let mut text = "BEGIN;".to_owned();
    for table in TABLES {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| format!("\"{}\" {}", column.name, declared(column.kind)))
            .collect();
        let name = table.name;
        text.push_str(&format!("CREATE TABLE \"{name}\" ({});", columns.join(", ")));
        if name == UsageRow::TABLE.name {
            text.push_str(&format!("CREATE UNIQUE INDEX \"{name}_key\" ON \"{name}\" ({USAGE_KEY});"));
        } else {
            text.push_str(&format!("CREATE INDEX \"{name}_time\" ON \"{name}\" (\"TimeGenerated\");"));
        }
    }
    text.push_str(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {STORE_VERSION}; COMMIT;"
    ));
    connection.execute_batch(&text)
}

/// What tells the rows of usage apart.
const USAGE_KEY: &str = "\"TimeGenerated\", \"ApiId\", \"ProductId\", \"ApimSubscriptionId\"";

fn declared(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Datetime => "INTEGER NOT NULL",
        ColumnType::String => "TEXT NOT NULL",
        ColumnType::Int | ColumnType::Long | ColumnType::Bool => "INTEGER",
        ColumnType::Real => "REAL",
        ColumnType::Dynamic => "TEXT",
    }
}

/// The statement that stores a row. Usage of the same hour is added up.
pub fn insertion(table: &'static Table) -> String {
    let marks = vec!["?"; table.columns.len()].join(", ");
    let name = table.name;
    let mut text = format!("INSERT INTO \"{name}\" VALUES ({marks})");
    if name == UsageRow::TABLE.name {
        let sums = table.columns.iter().filter(|column| column.kind == ColumnType::Long);
        let sums: Vec<_> =
            sums.map(|column| format!("\"{0}\" = \"{0}\" + excluded.\"{0}\"", column.name)).collect();
        text.push_str(&format!(" ON CONFLICT ({USAGE_KEY}) DO UPDATE SET {}", sums.join(", ")));
    }
    text
}

/// A value as it is stored.
pub fn stored(value: Value<'_>) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Datetime(ticks) => ValueRef::Integer(ticks.0),
        Value::Text(text) | Value::Dynamic(text) => ValueRef::Text(text.as_bytes()),
        Value::Long(number) => ValueRef::Integer(number),
        Value::Real(number) => ValueRef::Real(number),
        Value::Bool(is) => ValueRef::Integer(is.into()),
    }
}

/// The names of a table's columns in a database; none if it has no such table.
///
/// # Errors
/// SQLite's.
pub fn table_columns(connection: &Connection, schema: &str, table: &Table) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1, ?2) ORDER BY cid")?;
    statement.query_map([table.name, schema], |row| row.get(0))?.collect()
}

fn io_fault(error: &io::Error) -> rusqlite::Error {
    let code = if error.kind() == io::ErrorKind::StorageFull {
        rusqlite::ffi::SQLITE_FULL
    } else if error.kind() == io::ErrorKind::ResourceBusy {
        rusqlite::ffi::SQLITE_BUSY
    } else {
        rusqlite::ffi::SQLITE_CANTOPEN
    };
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(error.to_string().to_lowercase()))
}
