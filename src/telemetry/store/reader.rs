//! Reads a store, that of a running instance too: makes the tables of a query out of its segments.
//!
//! A segment is opened for reading only, and nothing of the store is changed. Columns that an older segment lacks are null or empty;
//! columns that a newer one has beyond those of this version are not shown. What cannot be read is left out, and a note says so.
//!
//! Not here: parsing and running queries (`kql`).

use super::retention::list;
use super::segment::{OPEN_FLAGS, beside, create_tables, in_real_folder, is_damage, table_columns};
use crate::observe::tables::{ColumnType, TABLES, Table, Ticks, Value};
use crate::process::files::reason;
use crate::telemetry::sinks::json_line::push_line_of;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows that an export reads at once.
const EXPORTED_ROWS: usize = 4096;

/// How long a read waits for a lock of the writer's.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum NoStore {
    /// The folder cannot be read.
    #[error("cannot read the log store {}: {}", .0.display(), reason(.1))]
    Folder(PathBuf, #[source] io::Error),
    /// SQLite's error.
    #[error("cannot read the log store: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A table that a query reads, under a name of its own.
#[derive(Clone, Copy, Debug)]
pub struct SourceView<'q> {
    /// The table.
    pub table: &'static Table,
    /// The name under which the query finds it.
    pub view: &'q str,
    /// Rows before it are not needed; `None`: all are.
    pub from: Option<Ticks>,
    /// Rows behind it are not needed.
    pub to: Option<Ticks>,
}

/// A table of a segment: the segment's file, and the table's name.
pub type TableOfSegment = (PathBuf, &'static str);

/// Which rows the views have, beside what a query asks for.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// None before it.
    pub since: Option<Ticks>,
    /// None from it on.
    pub until: Option<Ticks>,
    /// By segment and table: none up to this row, and none behind that one.
    pub between: Option<HashMap<TableOfSegment, (i64, i64)>>,
}

/// A table of a segment.
#[derive(Clone, Debug)]
struct StoredTable {
    columns: Vec<String>,
    from: Ticks,
    to: Ticks,
    last_row: i64,
}

/// A segment as it was found.
#[derive(Clone, Debug)]
struct FoundSegment {
    path: PathBuf,
    /// How it can be opened.
    uri: String,
    tables: HashMap<&'static str, StoredTable>,
}

/// A store that is read.
#[derive(Debug)]
pub struct StoreReader {
    segments: Vec<FoundSegment>,
    notes: Vec<String>,
}

impl StoreReader {
    /// Looks at every segment in a folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(folder: &Path) -> Result<Self, NoStore> {
        let files = list(folder).map_err(|error| NoStore::Folder(folder.to_owned(), error))?;
        let mut reader = Self { segments: Vec::new(), notes: Vec::new() };
        for file in files.into_iter().filter(|file| !file.is_damaged) {
            match look_at(&file.path) {
                Ok(segment) => reader.segments.push(segment),
                // Retention has deleted it meanwhile.
                Err(_) if !file.path.exists() => {}
                Err(error) => reader.leave_out(&file.path, &error),
            }
        }
        Ok(reader)
    }

    /// What is left out, and why: a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn leave_out(&mut self, path: &Path, error: &rusqlite::Error) {
        let why = if is_damage(error) { "it is damaged" } else { "it cannot be read" };
        self.notes.push(format!("{} is left out: {why} ({error})", path.display()));
    }

    /// Leaves out these segments, of which it is known that they are damaged.
    pub fn leave_out_known(&mut self, damaged: &[PathBuf]) {
        self.segments.retain(|segment| !damaged.contains(&segment.path));
    }

    /// Leaves out segments that retention has deleted meanwhile. Gives whether there was one.
    pub fn leave_out_deleted(&mut self) -> bool {
        let count = self.segments.len();
        self.segments.retain(|segment| segment.path.exists());
        self.segments.len() < count
    }

    /// Looks through the segments for the damaged ones, and leaves them out from here on. Gives these.
    pub fn leave_out_damaged(&mut self) -> Vec<PathBuf> {
        let mut left_out = Vec::new();
        for segment in std::mem::take(&mut self.segments) {
            let checked = open_read_only(&segment.uri).and_then(|connection| {
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            });
            match checked.as_deref() {
                Ok("ok") => {
                    self.segments.push(segment);
                    continue;
                }
                Ok(found) => {
                    let path = segment.path.display();
                    self.notes.push(format!("{path} is left out: it is damaged ({found})"));
                }
                // Retention has deleted it meanwhile.
                Err(_) if !segment.path.exists() => continue,
                Err(error) => self.leave_out(&segment.path, error),
            }
            left_out.push(segment.path);
        }
        left_out
    }

    /// The number of the last row of each table of each segment.
    pub fn last_rows(&self) -> HashMap<TableOfSegment, i64> {
        let of = |segment: &FoundSegment| {
            let last = |(name, table): (&&'static str, &StoredTable)| {
                ((segment.path.clone(), *name), table.last_row)
            };
            segment.tables.iter().map(last).collect::<Vec<_>>()
        };
        self.segments.iter().flat_map(of).collect()
    }

    /// A connection on which each source is a view with the rows of all segments that may have some within its bounds.
    ///
    /// SQLite attaches ten databases. Of the segments beyond, which only stores with many short ones have, the rows are copied into a
    /// temporary file, the oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connect(&self, sources: &[SourceView<'_>], rows: &Rows) -> Result<Connection, NoStore> {
        // An empty name is a temporary file that SQLite keeps in memory while it is small.
        let flags = OPEN_FLAGS
            | OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags("", flags)?;
        connection.busy_timeout(BUSY_PATIENCE)?;
        let has_rows = |segment: &&FoundSegment| sources.iter().any(|source| segment.overlaps(source, rows));
        let needed: Vec<_> = self.segments.iter().filter(has_rows).collect();
        let most = usize::try_from(connection.limit(Limit::SQLITE_LIMIT_ATTACHED)?).unwrap_or(0);
        let copied = if needed.len() > most { needed.len() - (most - 1) } else { 0 };
        if copied > 0 {
            create_tables(&connection)?;
        }
        for segment in &needed[..copied] {
            connection.execute("ATTACH ?1 AS copied", params![segment.uri])?;
            let is_needed = |table: &&Table| sources.iter().any(|source| source.table.name == table.name);
            for table in TABLES.iter().filter(is_needed) {
                if let Some(select) = segment.select(table, "copied", rows) {
                    // Usage has a key, and as it was copied its rows may be in twice: sums stay right.
                    let insert = super::segment::insertion(table);
                    let (into, conflict) = insert.split_once(" VALUES ").unwrap_or((&insert, ""));
                    let conflict = conflict.split_once(" ON CONFLICT").map(|(_, rest)| rest);
                    let conflict = conflict.map_or_else(String::new, |rest| format!(" ON CONFLICT{rest}"));
                    connection
                        .execute_batch(&format!("{into} SELECT * FROM ({select}) WHERE 1{conflict}"))?;
                }
            }
            connection.execute_batch("DETACH copied")?;
        }
        for (index, segment) in needed[copied..].iter().enumerate() {
            connection.execute(&format!("ATTACH ?1 AS s{index}"), params![segment.uri])?;
        }
        for source in sources {
            let mut parts = Vec::new();
            if copied > 0 {
                parts.push(format!(
                    "SELECT {} FROM main.\"{}\"",
                    all_columns(source.table),
                    source.table.name
                ));
            }
            for (index, segment) in needed[copied..].iter().enumerate() {
                if segment.overlaps(source, rows) {
                    parts.extend(segment.select(source.table, &format!("s{index}"), rows));
                }
            }
            create_view(&connection, source, parts)?;
        }
        Ok(connection)
    }
}

impl StoreReader {
    /// Gives every row within `rows` as JSON lines, some at a time, table by table, in the order in which they were stored. `take` says
    /// whether it wants more. No read of the store lasts while it takes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn export(&self, rows: &Rows, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), NoStore> {
        for table in TABLES {
            let all = SourceView { table, view: "", from: None, to: None };
            for segment in self.segments.iter().filter(|segment| segment.overlaps(&all, rows)) {
                let connection = open_read_only(&segment.uri)?;
                let Some(select) = segment.select(table, "main", rows) else { continue };
                let select = select.replacen("SELECT ", "SELECT rowid, ", 1);
                let word = if select.contains(" WHERE ") { "AND" } else { "WHERE" };
                let text = format!("{select} {word} rowid > ?1 ORDER BY rowid LIMIT {EXPORTED_ROWS}");
                let mut last = 0;
                loop {
                    let before = last;
                    let lines = export_some(&connection, &text, table, &mut last)?;
                    if last == before {
                        break;
                    }
                    if !take(&lines) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The lines of the rows behind `last`, which is moved on.
fn export_some(
    connection: &Connection,
    text: &str,
    table: &'static Table,
    last: &mut i64,
) -> rusqlite::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut statement = connection.prepare(text)?;
    let mut found = statement.query(params![*last])?;
    while let Some(row) = found.next()? {
        *last = row.get(0)?;
        let mut values = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            values.push((column, read_value(column.kind, row.get_ref(index + 1)?)));
        }
        push_line_of(&mut lines, table, values);
    }
    Ok(lines)
}

/// A stored value as the row had it.
fn read_value(kind: ColumnType, value: ValueRef<'_>) -> Value<'_> {
    match (kind, value) {
        (ColumnType::Datetime, ValueRef::Integer(ticks)) => Value::Datetime(Ticks(ticks)),
        (ColumnType::Int | ColumnType::Long, ValueRef::Integer(number)) => Value::Long(number),
        (ColumnType::Bool, ValueRef::Integer(is)) => Value::Bool(is != 0),
        (ColumnType::Real, ValueRef::Real(number)) => Value::Real(number),
        (ColumnType::String, value) => Value::Text(value.as_str().unwrap_or_default()),
        (ColumnType::Dynamic, ValueRef::Text(_)) => Value::Dynamic(value.as_str().unwrap_or("null")),
        _ => Value::Null,
    }
}

/// Makes the view of a source out of selections; an empty one if there are none.
///
/// # Errors
/// SQLite's.
pub(super) fn create_view(
    connection: &Connection,
    source: &SourceView<'_>,
    mut parts: Vec<String>,
) -> rusqlite::Result<()> {
    if parts.is_empty() {
        let nothing = |(name, kind): (&str, ColumnType)| format!("{} AS \"{name}\"", absent(kind));
        let columns: Vec<_> =
            source.table.columns.iter().map(|column| nothing((column.name, column.kind))).collect();
        parts.push(format!("SELECT {} WHERE 0", columns.join(", ")));
    }
    let name = source.view.replace('"', "\"\"");
    connection.execute_batch(&format!("CREATE TEMP VIEW \"{name}\" AS {}", parts.join(" UNION ALL ")))
}

/// The columns of a table, in their order.
pub(super) fn all_columns(table: &Table) -> String {
    table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

/// What stands in place of a column that is not stored.
fn absent(kind: ColumnType) -> &'static str {
    if kind == ColumnType::String { "''" } else { "NULL" }
}

impl FoundSegment {
    fn overlaps(&self, source: &SourceView<'_>, rows: &Rows) -> bool {
        self.tables.get(source.table.name).is_some_and(|stored| {
            let from = source.from.max(rows.since);
            let is_before = from.is_some_and(|from| stored.to < from);
            let is_behind = source.to.is_some_and(|to| stored.from > to)
                || rows.until.is_some_and(|until| stored.from >= until);
            !is_before && !is_behind
        })
    }

    /// The selection of a table's rows, if the segment has the table.
    fn select(&self, table: &'static Table, schema: &str, rows: &Rows) -> Option<String> {
        let stored = self.tables.get(table.name)?;
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| match stored.columns.iter().any(|name| name == column.name) {
                true => format!("\"{}\"", column.name),
                false => format!("{} AS \"{}\"", absent(column.kind), column.name),
            })
            .collect();
        let mut text = format!("SELECT {} FROM {schema}.\"{}\"", columns.join(", "), table.name);
        let mut conditions = Vec::new();
        conditions.extend(rows.since.map(|since| format!("\"TimeGenerated\" >= {}", since.0)));
        conditions.extend(rows.until.map(|until| format!("\"TimeGenerated\" < {}", until.0)));
        if let Some(between) = &rows.between {
            let (behind, to) = between.get(&(self.path.clone(), table.name)).copied().unwrap_or((0, 0));
            conditions.push(format!("rowid > {behind} AND rowid <= {to}"));
        }
        if !conditions.is_empty() {
            text = format!("{text} WHERE {}", conditions.join(" AND "));
        }
        Some(text)
    }
}

/// Opens a segment, and notes its tables and their times.
fn look_at(path: &Path) -> rusqlite::Result<FoundSegment> {
    let uri = uri(path, "mode=ro");
    let found = look_at_uri(path, uri);
    // Where no file can be made beside it, and nothing is missing from it, it is read as it is. Not where it is only locked: whoever
    // locks it changes it.
    let [wal, _, journal] = beside(path);
    let is_whole = [wal, journal].iter().all(|file| fs::metadata(file).map_or(true, |file| file.len() == 0));
    let is_refused = |error: &rusqlite::Error| {
        matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    };
    match found {
        Err(error) if is_whole && is_refused(&error) => {
            look_at_uri(path, self::uri(path, "immutable=1")).map_err(|_| error)
        }
        found => found,
    }
}

fn look_at_uri(path: &Path, uri: String) -> rusqlite::Result<FoundSegment> {
    let connection = open_read_only(&uri)?;
    let mut tables = HashMap::new();
    for table in TABLES {
        let columns = table_columns(&connection, "main", table)?;
        if !columns.iter().any(|column| column == "TimeGenerated") {
            continue;
        }
        let name = table.name;
        let value = |what: &str| -> rusqlite::Result<Option<i64>> {
            connection.query_row(&format!("SELECT {what} FROM \"{name}\""), [], |row| row.get(0))
        };
        // Each by itself: so that an index answers it.
        let (from, to, last_row) =
            (value("min(\"TimeGenerated\")")?, value("max(\"TimeGenerated\")")?, value("max(rowid)")?);
        if let (Some(from), Some(to), Some(last_row)) = (from, to, last_row) {
            tables.insert(name, StoredTable { columns, from: Ticks(from), to: Ticks(to), last_row });
        }
    }
    Ok(FoundSegment { path: path.to_owned(), uri, tables })
}

fn open_read_only(uri: &str) -> rusqlite::Result<Connection> {
    let flags = OPEN_FLAGS | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY_PATIENCE)?;
    Ok(connection)
}

/// The path as a URI of SQLite's (sqlite.org/uri.html).
fn uri(path: &Path, parameter: &str) -> String {
    let mut uri = "file:".to_owned();
    for byte in in_real_folder(path).as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{uri}?{parameter}")
}
