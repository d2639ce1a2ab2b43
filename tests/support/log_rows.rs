//! The rows of an instance's log, collected in memory, and what holds for those of every instance.

use crossbeam_queue::SegQueue;
use ringgate::observe::tables::{ConnectionRow, GatewayRow, Row, Ticks, Value};
use ringgate::session::{Cause, Phase};
use ringgate::telemetry::Observed;
use ringgate::telemetry::sink::{LogRow, RowSink};
use ringgate::telemetry::sinks::Sinks;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// A sink that keeps all rows.
pub struct Collecting(Arc<SegQueue<LogRow>>, Arc<SegQueue<LogRow>>);

impl RowSink for Collecting {
    fn take(&mut self, rows: &[LogRow]) {
        for row in rows {
            self.0.push(row.clone());
        }
    }

    fn count_left_out(&mut self, rows: &[LogRow]) {
        rows.iter().for_each(|row| self.1.push(row.clone()));
    }

    fn turn(&mut self, _now: Ticks) {}

    fn close(self: Box<Self>, _deadline: Instant) {}
}

/// What a collecting sink has taken.
pub struct LogRows {
    taken: Arc<SegQueue<LogRow>>,
    left_out: Arc<SegQueue<LogRow>>,
}

/// A sink of a test's own, as those of an instance.
pub fn sinks_of(sink: Box<dyn RowSink>) -> Sinks {
    Sinks { sinks: vec![sink], ..Sinks::default() }
}

/// A sink that keeps all rows, and what it keeps.
pub fn collecting() -> (Sinks, LogRows) {
    let (taken, left_out) = <(Arc<SegQueue<LogRow>>, Arc<SegQueue<LogRow>>)>::default();
    let sink = Collecting(Arc::clone(&taken), Arc::clone(&left_out));
    (sinks_of(Box::new(sink)), LogRows { taken, left_out })
}

/// All rows of an instance that is over, by table.
#[derive(Default)]
pub struct AllRows {
    pub gateway: Vec<GatewayRow>,
    pub connections: Vec<ConnectionRow>,
    /// Rows that count towards usage alone.
    pub left_out: Vec<LogRow>,
}

impl LogRows {
    /// All that was taken until now.
    pub fn all(&self) -> AllRows {
        let mut all =
            AllRows { left_out: std::iter::from_fn(|| self.left_out.pop()).collect(), ..AllRows::default() };
        while let Some(row) = self.taken.pop() {
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
    /// Appends all rows as a golden file has them.
    pub fn push_scene(&self, text: &mut String, scene: &str) {
        writeln!(text, "== {scene}").unwrap();
        self.gateway.iter().for_each(|row| push_row(text, row));
        self.connections.iter().for_each(|row| push_row(text, row));
        text.push('\n');
    }

    /// Drops those of openings that became sessions.
    pub fn retain_refused(&mut self) {
        let is_refused = |row: &GatewayRow| row.is_request_success == Some(false);
        let (refused, _): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.gateway).into_iter().partition(is_refused);
        self.connections.retain(|event| refused.iter().any(|row| row.correlation_id == event.correlation_id));
        self.gateway = refused;
    }

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
        // An opening that sampling leaves out counts, and has no row in either table.
        let left_out = observed.observer.left_out.load(Ordering::Relaxed);
        assert_eq!(
            self.gateway.len() as u64 + left_out,
            openings,
            "a row of the gateway log for each opening"
        );
        assert_eq!(self.named("arrived").len(), self.gateway.len());
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
        let of_none = |end: &(String, String)| counted.get(end).copied().unwrap_or(0);
        let missing: u64 = counted.values().sum::<u64>() - ends.values().sum::<u64>();
        assert!(
            missing == left_out && ends.iter().all(|(end, rows)| *rows <= of_none(end)),
            "{ends:?}, {counted:?}"
        );
        let sessions = counters.sum(|worker| &worker.sessions_opened);
        let opened = self.gateway.iter().filter(|row| row.is_request_success == Some(true)).count();
        assert!(
            opened as u64 <= sessions && (left_out > 0 || opened as u64 == sessions),
            "{opened}, {sessions}"
        );
        assert_eq!([self.named("established").len(), self.named("closing").len()], [opened; 2]);
        // Usage counts what is logged, and what is left out.
        let is_session = |row: &&LogRow| matches!(row, LogRow::Connection(row) if row.event_name.as_str() == "established");
        let used = opened + self.left_out.iter().filter(is_session).count();
        let is_refusal = |row: &&LogRow| matches!(row, LogRow::Gateway(_));
        let refused = self.gateway.len() - opened + self.left_out.iter().filter(is_refusal).count();
        assert_eq!((used as u64, refused as u64), (sessions, openings - sessions));
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

/// Columns whose values differ from run to run: whether there is one is all that is compared.
fn differs(column: &str) -> bool {
    let is_time = column.ends_with("TimeUs") || column.ends_with("Time") || column.ends_with("Elapsed");
    is_time && column != "CacheTime" || ["TimeGenerated", "CorrelationId", "DurationMs"].contains(&column)
}

/// Shows what a row has.
fn push_row<R: Row>(text: &mut String, row: &R) {
    writeln!(text, "  {}", R::TABLE.name).unwrap();
    row.visit(&mut |column, value| {
        let shown = match value {
            Value::Null | Value::Text("") => return,
            Value::Bool(false) if column.name.contains("Trace") => return,
            _ if differs(column.name) => "*".to_owned(),
            Value::Datetime(_) => "*".to_owned(),
            Value::Text(shown) | Value::Dynamic(shown) => without_ports(shown),
            Value::Long(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
        };
        if !["TimeGenerated", "CorrelationId"].contains(&column.name) {
            writeln!(text, "    {:<22} {shown}", column.name).unwrap();
        }
    });
}

/// The text with `PORT` for the port of each loopback address, and without elapsed times.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("127.0.0.1:PORT");
        shown.push_str(part.trim_start_matches(|char: char| char.is_ascii_digit()));
    }
    match shown.split_once("\"elapsed\":") {
        Some((before, after)) => {
            format!("{before}\"elapsed\":*{}", after.trim_start_matches(|char: char| char.is_ascii_digit()))
        }
        None => shown,
    }
}
