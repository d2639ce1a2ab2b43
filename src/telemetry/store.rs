//! The store of the log's rows: SQLite files, each of which has the rows of a while.
//!
//! ```text
//! queue ─► writer ─► log-20261130T140012345Z.sqlite   the newest segment, in WAL mode
//!                    log-20261129T140012001Z.sqlite   finished: one plain file, with an index of CorrelationId
//!                    log-20261128T…Z.sqlite.damaged   set aside
//! ```
//!
//! A segment has a table for each table of the log, with the columns' names. Retention deletes whole segments, the oldest first.
//!
//! The property to trust: a fault of the store costs rows, which are counted, and nothing else. A query that holds a segment open delays
//! nobody: the write-ahead log of a segment has a bound, at which a new segment is begun.
//!
//! Not here: queries (`kql`), the thread and its queue (`sinks::queue`).

pub mod json_lines;
pub mod reader;
pub mod retention;
pub mod segment;
pub mod usage;
pub mod writer;

#[cfg(test)]
mod tests;
