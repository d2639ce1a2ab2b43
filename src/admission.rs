//! Who gets in: proof of admission, given back when it is dropped.
//!
//! Not here: when an opening takes its places, and the map of source networks, which needs a lock (`front`); the words
//! of a refusal (`session::termination`).

pub mod permit;
pub mod places;
pub mod registry;
pub mod source;
