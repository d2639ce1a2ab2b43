//! Openings on scripted connections and virtual time: every cut, every moment to leave, every deadline.
//!
//! The opening is the real one; the connections under it follow a script. [`scene::Scene::play`] checks what holds for every
//! opening, whatever its script; each test adds what its own script should lead to.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bugs;
mod cuts;
mod deadlines;
mod leaving;
mod random;
mod scene;
mod scripted;
