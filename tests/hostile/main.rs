//! Peers that mean harm: what each attack comes to, and that a neighbouring session feels nothing of it.
//!
//! Every attack happens in a [`scene::Scene`]: one worker, the API that is attacked, and a session of another API on the same
//! worker that echoes from before the attack until after it. A scene that is not ended fails, so none forgets to look.
//!
//! Not here: the answers to single faults of a head, which `refusals` and `backends` go through one by one.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests wait for real events with real deadlines, and fail by panicking"
)]

mod confusion;
mod floods;
mod lying_backends;
mod scene;
mod slowness;
#[path = "../support/mod.rs"]
mod support;
