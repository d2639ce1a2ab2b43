//! ringgate: a WebSocket API gateway for bare-metal Linux.
//!
//! The modules stand in the order in which a byte meets them. `ARCHITECTURE.md` beside this file is the one-page map.

pub mod control;
pub mod daemon;
pub mod front;
pub mod limits;
pub mod websocket;
pub mod admission;
pub mod session;
pub mod ring;
pub mod relay;
pub mod observe;
