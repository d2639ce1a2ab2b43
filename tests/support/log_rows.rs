//! The rows of an instance's log, collected in memory, and what holds for those of every instance.

use crossbeam_queue::SegQueue;
use ringgate::observe::tables::{ConnectionRow, GatewayRow, Ticks};
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::Observed;
use ringgate::telemetry::sink::{LogRow, RowSink};
use ringgate::telemetry::sinks::Sinks;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// A sink that keeps all rows.
pub struct Collecting(Arc<SegQueue<LogRow>>);

impl RowSink for Collecting {
    fn take(&mut self, rows: &[LogRow]) {
        for row in rows {
            self.0.push(row.clone());
        }
    }

    fn turn(&mut self, _now: Ticks) {}

    fn close(self: Box<Self>, _deadline: Instant) {}
}

/// What a collecting sink has taken.
pub struct LogRows(Arc<SegQueue<LogRow>>);

/// A sink of a test's own, as those of an instance.
pub fn sinks_of(sink: Box<dyn RowSink>) -> Sinks {
    Sinks { sinks: vec![sink], ..Sinks::default() }
}

/// A sink that keeps all rows, and what it keeps.
pub fn collecting() -> (Sinks, LogRows) {
    let rows = Arc::<SegQueue<LogRow>>::default();
    (sinks_of(Box::new(Collecting(Arc::clone(&rows)))), LogRows(rows))
}

/// All rows of an instance that is over, by table.
#[derive(Default)]
pub struct AllRows {
    pub gateway: Vec<GatewayRow>,
    pub connections: Vec<ConnectionRow>,
}

impl LogRows {
    /// All that was taken until now.
    pub fn all(&self) -> AllRows {
        let mut all = AllRows::default();
        while let Some(row) = self.0.pop() {
            match row {
                LogRow::Gateway(row) => all.gateway.push(Arc::unwrap_or_clone(row)),
                LogRow::Connection(row) => all.connections.push(Arc::unwrap_or_clone(row)),
                LogRow::Usage(_) => panic!("nobody makes rows of usage here"),
            }
        }
        all
    }
}

impl AllRows {
    /// The rows of one name.
    pub fn named(&self, name: &str) -> Vec<&ConnectionRow> {
        self.connections.iter().filter(|row| row.event_name.as_str() == name).collect()
    }

    /// Compares them with what the instance has counted: nothing is missing, nothing is there twice.
    pub fn check(&self, observed: &Observed) {
        let counters = &observed.counters;
        let dropped = counters.sum(|worker| &worker.front_events_dropped)
            + counters.sum(|worker| &worker.relay_events_dropped);
        if dropped > 0 {
            return;
        }
        let accepted = counters.sum(|worker| &worker.connections_accepted);
        // Health checks have no rows: a balancer asks every second.
        let openings = accepted - counters.sum(|worker| &worker.health_checks);
        assert_eq!(self.gateway.len() as u64, openings, "a row of the gateway log for each opening");
        assert_eq!(self.named("arrived").len() as u64, openings);
        let mut ends: BTreeMap<(String, String), u64> = BTreeMap::new();
        for row in self.named("terminated") {
            let end = (row.cause.as_str().to_owned(), row.phase.as_str().to_owned());
            *ends.entry(end).or_default() += 1;
        }
        let mut counted = BTreeMap::new();
        for (cause, phase) in Cause::ALL.iter().flat_map(|cause| Phase::ALL.map(|phase| (*cause, phase))) {
            if let count @ 1.. = counters.terminations(cause, phase) {
                counted.insert((cause.name().to_owned(), phase.name().to_owned()), count);
            }
        }
        assert_eq!(ends, counted, "rows of ends, and what was counted");
        let sessions = counters.sum(|worker| &worker.sessions_opened);
        assert_eq!(self.named("closing").len() as u64, sessions);
        let opened = self.gateway.iter().filter(|row| row.is_request_success == Some(true)).count();
        assert_eq!((opened as u64, self.named("established").len() as u64), (sessions, sessions));
        assert_eq!(
            observed.observer.rows.load(Ordering::Relaxed) as usize,
            self.gateway.len() + self.connections.len()
        );
        self.check_order();
    }

    /// The events of each connection are in the order in which they come about, in what is given and by their times.
    fn check_order(&self) {
        const ORDER: [&str; 6] =
            ["arrived", "backendConnected", "established", "progress", "closing", "terminated"];
        let mut by_id: BTreeMap<&str, Vec<&ConnectionRow>> = BTreeMap::new();
        for row in &self.connections {
            by_id.entry(row.correlation_id.as_str()).or_default().push(row);
        }
        for row in &self.gateway {
            let events = by_id.get(row.correlation_id.as_str()).expect("one id joins both tables");
            let place = |row: &&ConnectionRow| ORDER.iter().position(|name| *name == row.event_name.as_str());
            let places: Vec<_> = events.iter().map(|row| place(row).expect("a name of the list")).collect();
            assert!(places.is_sorted(), "{places:?}");
            assert_eq!((places[0], places.last()), (0, Some(&(ORDER.len() - 1))), "{events:?}");
            assert!(events.is_sorted_by_key(|row| row.time_generated), "{events:?}");
            assert_eq!(events[0].time_generated, row.time_generated);
        }
        assert_eq!(by_id.len(), self.gateway.len());
    }
}
