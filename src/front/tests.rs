//! Openings on scripted connections and virtual time: every cut, every moment to leave, every deadline.
//!
//! The opening is the real one; the connections under it do what a script says when it says so. Whatever the script,
//! [`scene::Scene::play`] checks what holds for every opening; what a script is to come to, its own test says.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bugs;
mod cuts;
mod deadlines;
mod leaving;
mod random;
mod scene;
mod scripted;
