//! The compiled catalogue: entities and policies, checked against each other, as the snapshot that fronts hold.
//!
//! A [`Snapshot`] is immutable, and nothing in it depends on the order in which files were read.
//!
//! Not here: the content of one file (`catalog`, `policy`), reading files and giving a snapshot to the workers (`control`).

pub mod access;
pub mod changes;
pub mod compile;
pub mod export;
pub mod given_version;
pub mod path_segment;
mod routing;
pub mod snapshot;
pub mod suffixes;
pub mod useless;

pub use compile::compile;
pub use path_segment::PathFault;
pub use snapshot::{Routed, Snapshot};
