//! What serves people and tools beside the gateway: the status page, and what to try it with: the built-in echo
//! backend and a page for browsers.
//!
//! Not here: anything that a session, a publish, a signal or the name of a backend waits for.

pub mod demo_page;
pub mod echo;
pub mod runtime;
pub mod status_page;
