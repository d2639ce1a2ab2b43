//! Services for people and tools: the status page, and the built-in echo backend.
//!
//! Not here: anything that a session, a publish, a signal or the name of a backend waits for.

pub mod echo;
pub mod runtime;
pub mod status_page;
