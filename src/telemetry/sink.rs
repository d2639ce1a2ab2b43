//! Where rows of the log go: the observer makes them, sinks take them.

use super::opening_trace::OpeningTrace;
use crate::observe::tables::{Column, ConnectionRow, GatewayRow, Row, Table, Ticks, UsageRow, Value};
use std::sync::Arc;
use tokio::time::Instant;

/// A row of any table. Sinks share it: a clone copies nothing of it.
#[derive(Clone, Debug)]
pub enum LogRow {
    /// Of an opening.
    Gateway(Arc<GatewayRow>),
    /// Of an event of a connection.
    Connection(Arc<ConnectionRow>),
    /// Of an hour's usage.
    Usage(Arc<UsageRow>),
}

impl LogRow {
    /// Its table.
    pub fn table(&self) -> &'static Table {
        match self {
            Self::Gateway(_) => GatewayRow::TABLE,
            Self::Connection(_) => ConnectionRow::TABLE,
            Self::Usage(_) => UsageRow::TABLE,
        }
    }

    /// Shows the value of each stored column, in the order of the table's columns.
    pub fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'static Column, Value<'a>)) {
        match self {
            Self::Gateway(row) => row.visit(visit),
            Self::Connection(row) => row.visit(visit),
            Self::Usage(row) => row.visit(visit),
        }
    }

    /// Bytes of memory that it takes. Sinks that share it count them each.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Gateway(row) => row.bytes(),
            Self::Connection(row) => row.bytes(),
            Self::Usage(row) => row.bytes(),
        }
    }
}

impl From<GatewayRow> for LogRow {
    fn from(row: GatewayRow) -> Self {
        Self::Gateway(Arc::new(row))
    }
}

impl From<ConnectionRow> for LogRow {
    fn from(row: ConnectionRow) -> Self {
        Self::Connection(Arc::new(row))
    }
}

impl From<UsageRow> for LogRow {
    fn from(row: UsageRow) -> Self {
        Self::Usage(Arc::new(row))
    }
}

/// A taker of rows. It runs on the observer's thread and never fails: what it cannot take, it drops and counts.
pub trait RowSink: Send {
    /// Takes rows, in the order in which they were made. It must not wait for a disk or a peer: a sink that writes has a thread
    /// of its own behind a bounded queue.
    fn take(&mut self, rows: &[LogRow]);

    /// Takes the trace of an opening that is sampled. It must not wait either.
    fn take_trace(&mut self, _trace: &Arc<OpeningTrace>) {}
    /// Counts rows that sampling leaves out, towards usage. They have what that takes, and no more.
    fn count_left_out(&mut self, _rows: &[LogRow]) {}

    /// Is called after each batch, and at least once a second.
    fn turn(&mut self, now: Ticks);

    /// Tells it that no more rows come. It waits for nothing.
    fn end(&mut self) {}

    /// Closes it, once it was told of its end: when this returns, what it has taken is written, or counted as lost because the
    /// deadline has passed.
    fn close(self: Box<Self>, deadline: Instant);
}

/// Closes sinks by one deadline. They write what they have all at the same time, so one that hangs takes no time from the others.
pub fn close_all(mut sinks: Vec<Box<dyn RowSink>>, deadline: Instant) {
    sinks.iter_mut().for_each(|sink| sink.end());
    sinks.into_iter().for_each(|sink| sink.close(deadline));
}
