//! The load harness: drives many concurrent socket pairs through a proxy and measures what they cost it.
//!
//! `backend` answers, `load` asks, `floor` is the least that a proxy can do, and `machine` reads the processor's work. `compare`
//! runs the same plans through several proxies in turn, and `report` presents the results. `soak` lets one ringgate run for an
//! hour, and checks whether it is then as it was before. Both ends run on one core and the proxy on another, so that its core's
//! busy time is the proxy's cost.

pub mod backend;
pub mod compare;
pub mod floor;
pub mod load;
pub mod machine;
pub mod plan;
pub mod poller;
pub mod report;
pub mod result;
pub mod soak;
pub mod tls;
pub(crate) mod transport;
pub mod wire;
