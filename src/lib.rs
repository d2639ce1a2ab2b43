//! ringgate: a WebSocket API gateway for bare-metal Linux.
//!
//! The modules stand in the order in which a byte meets them. `ARCHITECTURE.md` beside this file is the one-page map.

pub mod admission;
pub mod catalog;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod front;
pub mod http1;
pub mod limits;
pub mod observe;
pub mod relay;
pub mod ring;
pub mod session;
pub mod websocket;
