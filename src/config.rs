//! The operator's configuration of an instance: its own file (`ringgate.toml`), checked.
//!
//! The input is a text and the name of its file; the result is a value, or *every* fault of that text.
//!
//! Not here: reading the file (`cli`), what is published (`catalog`).

pub mod health;
pub mod instance;
pub mod listener;
pub mod logs;
pub mod otlp;
pub mod tier;

pub use health::HealthPath;
pub use instance::{InstanceConfig, InstanceLimits, NamesConfig, SessionsFrom, StatusConfig, parse_instance};
pub use listener::ListenerConfig;
pub use logs::LogsConfig;
pub use otlp::OtlpConfig;
pub use tier::TierUnits;
