//! What happens, counted. One list of counters, read from anywhere, written by one worker each.
//!
//! A counter is one line of the list in `counters` (or, if it is not a worker's, in `telemetry::figures`). The status page and the
//! lines of the log are made out of that list, so what is counted is shown.
//!
//! What is counted by API, product and subscription is in `entity_cells`, under `labels`.
//!
//! Not here: serving the page (`services::status_page`), logs of single sessions, which the relay never writes.

pub mod counters;
pub mod entity_cells;
pub mod labels;
pub mod publishes;
pub mod record;

pub use counters::{Counters, WorkerCounters};
pub use labels::{EntityLabel, LabelRegistry, SessionLabels};
pub use record::SessionRecord;
