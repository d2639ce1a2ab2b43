//! What an operator is shown of an instance: all figures at one moment, and rows of the log, which the observer makes of events.
//!
//! Not here: what is counted, and by whom (`observe`), the log of the process (`process::log`), and serving a page (`control`).

mod calendar;
pub mod captured;
mod entity_figures;
pub mod exposition;
mod families;
pub mod figures;
pub mod kql;
pub mod masking;
pub mod metrics;
pub mod observer;
pub mod open_sessions;
pub mod opening_trace;
pub mod otlp;
pub mod rows;
pub mod sampling;
pub mod sink;
pub mod sinks;
pub mod store;
pub mod text;

pub use figures::Observed;
