//! Handshakes run through documents, and their outcomes.

mod concurrency;
mod contract;
mod expressions;
mod faults;
mod flow;
mod guards;
mod heads;
mod scene;
mod tokens;
