//! What runs once per process, on a thread with a tokio runtime of its own. That thread waits for events only: what may block
//! (files, look-ups of names) has threads beside it.
//!
//! Not here: anything that a byte of a session waits for.

pub mod binding;
mod bug_log;
pub mod catalog_watch;
pub mod catalog_writer;
pub mod echo;
pub mod instance;
pub mod key_file;
pub mod looker;
pub mod publisher;
pub mod signals;
pub mod status;
pub mod store;
pub mod tls_files;
