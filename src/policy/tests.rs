//! Handshakes run through documents, and what became of them.

mod concurrency;
mod contract;
mod expressions;
mod faults;
mod flow;
mod guards;
mod heads;
mod scene;
mod tokens;
