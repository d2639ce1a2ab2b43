//! The figures of an instance for its operator: all of them at one moment, and their text.
//!
//! Not here: what is counted, and by whom (`observe`), the log of the process (`process::log`), and serving a page (`control`).

mod entity_figures;
pub mod figures;
pub mod kql;
pub mod sink;
pub mod sinks;
pub mod store;
pub mod text;
pub mod tick_text;

pub use figures::Observed;
