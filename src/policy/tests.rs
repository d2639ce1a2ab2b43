//! Handshakes run through documents, and what became of them.

mod faults;
mod flow;
mod heads;
mod scene;
