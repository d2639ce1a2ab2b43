//! Where rows of the log go: the observer makes them, sinks take them.

use crate::observe::tables::{ConnectionRow, GatewayRow, Row as _, Table, Ticks, UsageRow};

/// A row of any table.
#[derive(Clone, Debug)]
pub enum LogRow {
    /// Of an opening.
    Gateway(Box<GatewayRow>),
    /// Of an event of a connection.
    Connection(Box<ConnectionRow>),
    /// Of an hour's usage.
    Usage(Box<UsageRow>),
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
}

/// A taker of rows. It runs on the observer's thread and never fails: what it cannot take, it drops and counts.
pub trait RowSink: Send {
    /// Takes rows, in the order in which they were made. It must not wait for a disk or a peer: a sink that writes has a thread
    /// of its own behind a bounded queue.
    fn take(&mut self, rows: &[LogRow]);

    /// Is called after each batch, and at least once a second.
    fn turn(&mut self, now: Ticks);

    /// Ends it: what it has taken is written when this returns, or counted as lost.
    fn close(self: Box<Self>);
}
