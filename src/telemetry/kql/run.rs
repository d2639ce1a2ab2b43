//! A translated query on a connection, within its bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode};

use super::functions::{self, AggregateMemory, Exceeded, VALUE_BYTES_MAX};
use super::sql::Statement;
use super::types::{Literal, Type};
use super::{Cell, ResultColumn, calendar};
use crate::observe::tables::Ticks;

/// Longest statement that SQLite is given, in bytes.
const SQL_BYTES_MAX: i32 = 8 << 20;

/// Steps of SQLite's machine between two looks at the clock: well under a millisecond.
const STEPS_PER_LOOK: i32 = 2_000;

/// What a query may take.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Time until its last row. 60 s for a command, 10 s for services.
    pub time: Duration,
    /// Rows of its result.
    pub rows: u64,
    /// Bytes of its result: texts as they are, 8 for any other value.
    pub bytes: u64,
    /// Memory of lists, sets, percentiles and rows that its aggregates hold, in bytes. SQLite's own is bound on the connection.
    pub aggregate_bytes: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), rows: 500_000, bytes: 64 << 20, aggregate_bytes: 128 << 20 }
    }
}

/// Why a query did not come to its end. Rows before it have been given.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// It took longer than it may.
    #[error("the query took longer than {} s; select a shorter time span, or filter before summarizing", .0.as_secs_f64())]
    TookTooLong(Duration),
    /// Someone interrupted it.
    #[error("the query was interrupted")]
    Interrupted,
    /// Its result has more rows than it may.
    #[error("the result has more than {0} rows; `take` or `summarize` makes it smaller")]
    TooManyRows(u64),
    /// Its result has more bytes than it may.
    #[error("the result has more than {0} bytes; `project` or `take` makes it smaller")]
    TooManyBytes(u64),
    /// Its aggregates, or one value, held more memory than they may.
    #[error("the query needs too much memory: {0}")]
    TooMuchMemory(String),
    /// SQLite failed.
    #[error("the store failed: {0}")]
    Store(#[from] rusqlite::Error),
}

/// Adds the functions of the language to a connection. A run does it by itself; this is for who looks at the SQL.
///
/// # Errors
/// The connection is in use.
pub fn register_functions(connection: &Connection) -> rusqlite::Result<()> {
    functions::register(
        connection,
        &AggregateMemory { held: Arc::default(), bytes_max: QueryLimits::default().aggregate_bytes },
    )
}

/// A query's statement may read tables and call functions, and nothing else.
fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

pub(super) fn run(
    statement: &Statement,
    columns: &[ResultColumn],
    connection: &mut Connection,
    limits: &QueryLimits,
    take: &mut dyn FnMut(&[Cell<'_>]),
) -> Result<(), RunFault> {
    let memory = AggregateMemory { held: Arc::new(AtomicU64::new(0)), bytes_max: limits.aggregate_bytes };
    functions::register(connection, &memory)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX as i32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX)?;
    let is_late = Arc::new(AtomicBool::new(false));
    #[expect(clippy::disallowed_methods, reason = "the deadline of a query runs on a thread of its own")]
    let start = Instant::now();
    let (time, late) = (limits.time, Arc::clone(&is_late));
    connection.progress_handler(
        STEPS_PER_LOOK,
        Some(move || {
            let is_over = start.elapsed() > time;
            late.fetch_or(is_over, Relaxed);
            is_over
        }),
    )?;
    connection.authorizer(Some(authorize))?;
    let ended = give(statement, columns, connection, limits, take);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    connection.progress_handler(0, None::<fn() -> bool>)?;
    ended.map_err(|fault| placed(fault, is_late.load(Relaxed), limits))
}

/// Tells apart why SQLite stopped.
fn placed(fault: RunFault, is_late: bool, limits: &QueryLimits) -> RunFault {
    let RunFault::Store(error) = fault else { return fault };
    // What a function fails with comes back as its text.
    let exceeded = [Exceeded::Value.to_string(), Exceeded::Aggregates(limits.aggregate_bytes).to_string()];
    match (&error, error.sqlite_error_code()) {
        (rusqlite::Error::SqliteFailure(_, Some(text)), _) if exceeded.contains(text) => {
            RunFault::TooMuchMemory(text.clone())
        }
        _ if is_late => RunFault::TookTooLong(limits.time),
        (_, Some(ErrorCode::OperationInterrupted)) => RunFault::Interrupted,
        (_, Some(ErrorCode::TooBig)) => RunFault::TooMuchMemory(Exceeded::Value.to_string()),
        (_, Some(ErrorCode::OutOfMemory)) => RunFault::TooMuchMemory("SQLite has no more".to_owned()),
        _ => RunFault::Store(error),
    }
}

fn give(
    statement: &Statement,
    columns: &[ResultColumn],
    connection: &Connection,
    limits: &QueryLimits,
    take: &mut dyn FnMut(&[Cell<'_>]),
) -> Result<(), RunFault> {
    let mut prepared = connection.prepare(&statement.sql)?;
    for (index, literal) in statement.parameters.iter().enumerate() {
        prepared.raw_bind_parameter(index + 1, bound(literal))?;
    }
    let mut rows = prepared.raw_query();
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        count += 1;
        if count > limits.rows {
            return Err(RunFault::TooManyRows(limits.rows));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let cell = cell(column.kind, row.get_ref(index)?);
            bytes += match cell {
                Cell::Text(text) | Cell::Dynamic(text) => text.len() as u64,
                _ => 8,
            };
            cells.push(cell);
        }
        if bytes > limits.bytes {
            return Err(RunFault::TooManyBytes(limits.bytes));
        }
        take(&cells);
    }
    Ok(())
}

fn bound(literal: &Literal) -> Value {
    match literal {
        Literal::Null(_) => Value::Null,
        Literal::Bool(is) => Value::Integer(i64::from(*is)),
        Literal::Int(number) => Value::Integer(i64::from(*number)),
        Literal::Long(number) | Literal::Datetime(number) | Literal::Timespan(number) => {
            Value::Integer(*number)
        }
        Literal::Real(number) => Value::Real(*number),
        Literal::Text(text) | Literal::Dynamic(text) => Value::Text(text.clone()),
    }
}

/// What SQLite gives as a value of the column's type.
fn cell(kind: Type, value: ValueRef<'_>) -> Cell<'_> {
    let number = match value {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Real(number) => Some(number as i64),
        ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    };
    let text = match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => str::from_utf8(bytes).ok(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    };
    let cell = match (kind, value) {
        (Type::String, _) => return Cell::Text(text.unwrap_or_default()),
        (Type::Dynamic, _) => text.map(Cell::Dynamic),
        (Type::Real, ValueRef::Real(number)) => Some(Cell::Real(number)),
        (Type::Real, _) => number.map(|number| Cell::Real(number as f64)),
        (Type::Int | Type::Long, _) => number.map(Cell::Long),
        (Type::Bool, _) => number.map(|number| Cell::Bool(number != 0)),
        (Type::Timespan, _) => number.map(Cell::Timespan),
        (Type::Datetime, _) => {
            number.filter(|ticks| calendar::is_within(*ticks)).map(|ticks| Cell::Datetime(Ticks(ticks)))
        }
    };
    cell.unwrap_or(Cell::Null)
}
