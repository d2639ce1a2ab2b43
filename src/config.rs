//! What an operator configures of an instance: its own file (`ringgate.toml`), checked.
//!
//! Text comes in with the name of its file; a value or *every* fault of that text goes out.
//!
//! Not here: reading the file (`cli`), what is published (`catalog`).

pub mod instance;
pub mod listener;
pub mod tier;

pub use instance::{InstanceConfig, InstanceLimits, NamesConfig, SessionsFrom, StatusConfig, parse_instance};
pub use listener::ListenerConfig;
pub use tier::TierUnits;
