//! What an operator reads of an instance: every figure at one moment, and its text.
//!
//! Not here: what is counted, and by whom (`observe`), the log of the process (`process::log`), and serving a page (`control`).

mod entity_figures;
pub mod figures;
pub mod text;

pub use figures::Observed;
