//! Peers that mean harm, over real sockets: what each of them gets, what the other side sees of it, and that a session
//! beside it feels nothing.
//!
//! Every attack but those of `paths` runs in a `neighbour::Scene`, which checks the neighbour's session behind each case. A
//! case names the rule that decides it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod broken_frames;
mod bulkheads;
mod confusion;
mod floods;
mod lying_backends;
mod neighbour;
mod normal_form;
mod paths;
mod pipelining;
mod slowness;

#[path = "../support/golden.rs"]
mod golden;
#[path = "../support/mod.rs"]
mod support;
