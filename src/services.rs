//! The services for people and tools beside the gateway: the status page, and the built-in echo backend and the page for
//! browsers to try it with.
//!
//! Not here: anything that a session, a publish, a signal or the look-up of a backend's name waits for.

pub mod demo_page;
pub mod echo;
pub mod runtime;
pub mod status_page;
