//! Policies: rules that judge and change an opening handshake, as in Azure API Management.
//!
//! ```text
//! documents ─► compile ─► pipeline          once, at publish
//!                            │
//! handshake ─► exchange ─► machine ─► dial · respond · pass on      at each handshake
//! ```
//!
//! Everything here is checked and compiled when the catalogue is published, and bounded when it runs.
//!
//! The machine and the table know a policy by its `contract` alone: the machine runs the compiled policy, and the table says
//! where it may stand.
//!
//! Not here: sockets (`front`), where documents lie (`catalog`).

pub mod addresses;
pub mod compile;
pub(crate) mod compiling;
pub mod contract;
pub mod counters;
pub(crate) mod date_time;
pub(crate) mod document;
pub mod exchange;
pub mod expression;
pub mod failure;
pub mod guards;
pub mod jwt;
pub mod machine;
pub mod pipeline;
mod policies;
pub mod records;
mod setting;
pub mod slot;
mod table;
pub mod token;

pub use table::policy_names;

#[cfg(test)]
mod tests;
