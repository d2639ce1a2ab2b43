//! Files of JSON lines as a source of queries: their rows, in a temporary database with the tables of a segment.
//!
//! A line is an object with the table's name as `Type`, as `sinks::json_line` writes it. Members that are no column of the table are
//! ignored, so lines of a newer version are read. A line that is no such object is left out, and counted.
//!
//! Not here: the store (`reader`).

use super::reader::{SourceView, all_columns, create_view};
use super::segment::{create_tables, insertion, stored};
use crate::observe::tables::{Column, ColumnType, TABLES, Value};
use crate::telemetry::kql::parse_datetime;
use flate2::read::MultiGzDecoder;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, Statement};
use serde_json::Value as Json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

/// Longest line, in bytes. Over it, the line is left out.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Rows of files, in a temporary database.
#[derive(Debug)]
pub struct JsonLines {
    connection: Connection,
    lines_left_out: u64,
}

impl JsonLines {
    /// An empty one. It is a temporary file, which SQLite keeps in memory while it is small.
    ///
    /// # Errors
    /// SQLite's.
    pub fn new() -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags("", flags)?;
        create_tables(&connection)?;
        Ok(Self { connection, lines_left_out: 0 })
    }

    /// Adds the rows of a file, which may be compressed (`.gz`).
    ///
    /// # Errors
    /// The file cannot be read to its end, or the temporary one not be written.
    pub fn add(&mut self, path: &Path) -> Result<(), String> {
        let told = |error: io::Error| format!("{}: {}", path.display(), error.to_string().to_lowercase());
        let file = BufReader::with_capacity(64 * 1024, File::open(path).map_err(told)?);
        let is_compressed = path.extension().is_some_and(|end| end == "gz");
        let mut file: Box<dyn BufRead> =
            if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        let transaction = self.connection.unchecked_transaction().map_err(|error| error.to_string())?;
        let prepare = |table| transaction.prepare(&insertion(table));
        let prepared: Result<Vec<_>, _> = TABLES.iter().map(prepare).collect();
        let mut statements = prepared.map_err(|error| error.to_string())?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(told)?;
            if count == 0 {
                break;
            }
            if count as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                // The rest of it is no row either.
                while !line.ends_with(b"\n") && count > 0 {
                    line.clear();
                    if (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(told)? == 0 {
                        break;
                    }
                }
                self.lines_left_out += 1;
                continue;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match insert(&mut statements, &line) {
                Ok(true) => {}
                Ok(false) => self.lines_left_out += 1,
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        drop(statements);
        transaction.commit().map_err(|error| error.to_string())
    }

    /// Lines that were no rows.
    pub fn lines_left_out(&self) -> u64 {
        self.lines_left_out
    }

    /// The connection, with a view for each source.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connect(self, sources: &[SourceView<'_>]) -> rusqlite::Result<Connection> {
        for source in sources {
            let select = format!("SELECT {} FROM main.\"{}\"", all_columns(source.table), source.table.name);
            create_view(&self.connection, source, vec![select])?;
        }
        Ok(self.connection)
    }
}

/// Inserts the row of a line; `false`: it is none.
fn insert(statements: &mut [Statement<'_>], line: &[u8]) -> rusqlite::Result<bool> {
    let Ok(Json::Object(members)) = serde_json::from_slice::<Json>(line) else { return Ok(false) };
    let table = members.get("Type").and_then(Json::as_str);
    let Some(at) = TABLES.iter().position(|known| Some(known.name) == table) else { return Ok(false) };
    let (table, statement) = (&TABLES[at], &mut statements[at]);
    if members.get("TimeGenerated").and_then(Json::as_str).and_then(parse_datetime).is_none() {
        return Ok(false);
    }
    for (index, column) in table.columns.iter().enumerate() {
        let member = members.get(column.name).unwrap_or(&Json::Null);
        let text = match column.kind {
            ColumnType::Dynamic if !member.is_null() => member.to_string(),
            ColumnType::Datetime
            | ColumnType::String
            | ColumnType::Int
            | ColumnType::Long
            | ColumnType::Real
            | ColumnType::Bool
            | ColumnType::Dynamic => String::new(),
        };
        let value = value_of(column, member, &text);
        statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(stored(value)))?;
    }
    statement.raw_execute()?;
    Ok(true)
}

/// The value of a member; null or empty if it is of another type.
fn value_of<'m>(column: &Column, member: &'m Json, dynamic: &'m str) -> Value<'m> {
    let found = match column.kind {
        ColumnType::Datetime => member.as_str().and_then(parse_datetime).map(Value::Datetime),
        ColumnType::String => Some(Value::Text(member.as_str().unwrap_or_default())),
        ColumnType::Int | ColumnType::Long => member.as_i64().map(Value::Long),
        ColumnType::Real => member.as_f64().map(Value::Real),
        ColumnType::Bool => member.as_bool().map(Value::Bool),
        ColumnType::Dynamic => (!member.is_null()).then_some(Value::Dynamic(dynamic)),
    };
    found.unwrap_or(Value::Null)
}
