//! Counters and gauges: one list, each written by one worker, readable from anywhere.
//!
//! A counter is one line of the list in `counters` (or, if it is not a worker's, in `telemetry::figures`). The status page and
//! the log lines are made from that list, so everything that is counted is shown.
//!
//! Figures by API, product and subscription are in `entity_cells`, under `labels`.
//!
//! The events of openings and sessions are in `events`; each front and each relay leaves them in a ring (`event_ring`). The tables
//! of the log, whose rows are made of them, are in `tables`.
//!
//! Not here: serving the page (`services::status_page`), logs of single sessions, which the relay never writes.

pub mod counters;
pub mod entity_cells;
pub mod event_ring;
pub mod events;
pub mod heartbeats;
pub mod histogram;
pub mod labels;
pub mod publishes;
pub mod record;
pub mod refusals;
pub mod sampling;
pub mod stage_histograms;
pub mod stages;
pub mod state;
pub mod tables;

pub use counters::{Counters, WorkerCounters};
pub use labels::{EntityLabel, LabelRegistry, SessionLabels};
pub use record::SessionRecord;
pub use sampling::Logged;
