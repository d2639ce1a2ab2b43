//! Queries over the log in the Kusto query language: text → checked query → one SQL statement with bound parameters.
//!
//! A query is parsed, its names and types are checked against the tables of the log (`observe::tables`), and it is translated.
//! Any text ends as a query or as a fault that says where and why. No text of a query is part of SQL, a query can only read, and
//! what it may take is bound ([`QueryLimits`]). Before [`Query::run`], the caller makes a temporary view for each of
//! [`Query::sources`], named [`Source::view`], with the stored columns of its table.
//!
//! Not here: where the rows are kept, and how results are shown.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most rules are of one or two types or tokens, and what is left is refused or stays as it is"
)]

mod checker;
mod fault;
mod functions;
mod lexer;
mod parser;
mod plan;
mod run;
mod sql;
mod syntax;
#[cfg(test)]
mod tests;
mod text_match;
mod types;

use super::calendar;
use crate::observe::tables::{Table, Ticks};
use rusqlite::Connection;

pub use fault::QueryFault;
pub use run::{QueryLimits, RunFault, register_functions};
pub use types::Type;

use fault::Fault;

/// Longest text of a query, in bytes. Over it: a fault.
pub const QUERY_BYTES_MAX: usize = 64 << 10;

/// A query: its names and types are checked, its SQL is made.
#[derive(Debug)]
pub struct Query {
    sources: Vec<Source>,
    columns: Vec<ResultColumn>,
    statement: sql::Statement,
}

/// A table that a query reads, once for each time that it names it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table.
    pub table: &'static Table,
    /// The name of the temporary view that has its stored columns.
    pub view: String,
    /// No row before this time is needed; `None`: any is.
    pub from: Option<Ticks>,
    /// No row after this time is needed.
    pub to: Option<Ticks>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: Type,
}

/// A value of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'r> {
    /// There is none.
    Null,
    /// True or false.
    Bool(bool),
    /// A number of a column of int or long.
    Long(i64),
    /// A number of a column of real.
    Real(f64),
    /// Text.
    Text(&'r str),
    /// A point in time, within the calendar.
    Datetime(Ticks),
    /// A length of time, in units of 100 ns.
    Timespan(i64),
    /// JSON, as its text.
    Dynamic(&'r str),
}

impl Query {
    /// Parses and checks a query. `now` is what `now()` and `ago(…)` count from.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, now: Ticks) -> Result<Self, QueryFault> {
        if text.len() > QUERY_BYTES_MAX {
            let reason = format!("a query has at most {QUERY_BYTES_MAX} bytes, not {}", text.len());
            return Err(Fault::new(0, reason).placed(text));
        }
        let plan = parser::parse(text)
            .and_then(|statements| checker::check(&statements, now))
            .map_err(|fault| fault.placed(text))?;
        let wanted: Vec<_> = plan.fields.iter().map(|field| field.id).collect();
        let statement = sql::translate(&plan.relation, &wanted, &plan.sources);
        let columns = plan.fields.into_iter().map(|field| ResultColumn { name: field.name, kind: field.of });
        Ok(Self { columns: columns.collect(), statement, sources: plan.sources })
    }

    /// Each table that it reads, and the time that it needs of it.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The columns of its result.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// Its SQL, for who wonders what it does.
    pub fn sql(&self) -> &str {
        &self.statement.sql
    }

    /// Runs it and shows each row of its result, in order. It can be interrupted by the connection's handle.
    ///
    /// # Errors
    /// A bound was reached, or the store failed; rows before that have been shown.
    pub fn run(
        &self,
        connection: &mut Connection,
        limits: &QueryLimits,
        take: &mut dyn FnMut(&[Cell<'_>]),
    ) -> Result<(), RunFault> {
        run::run(&self.statement, &self.columns, connection, limits, take)
    }
}

/// The text of a point in time in results: `2025-03-03T10:00:00.0000000Z`.
pub fn datetime_text(time: Ticks) -> String {
    calendar::datetime_text(time.0)
}

/// Reads a point in time, in any form that a query may write one in (ISO 8601, RFC 822, RFC 850); without a zone it is UTC.
pub fn parse_datetime(text: &str) -> Option<Ticks> {
    calendar::parse_datetime(text).map(Ticks)
}

/// The text of a length of time in results, in units of 100 ns: `1.02:03:04.5000000`.
pub fn timespan_text(ticks: i64) -> String {
    calendar::timespan_text(ticks)
}
