//! What serves people and tools beside the gateway: the status page, and the built-in echo backend to try it with.
//!
//! Not here: anything that a session, a publish, a signal or the name of a backend waits for.

pub mod echo;
pub mod runtime;
pub mod status_page;
