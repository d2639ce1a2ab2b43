//! Golden files of what only this crate sees: exports of live state, tables of states, and sizes. For tests.

pub(crate) mod exports;
mod sizes;

#[path = "../tests/support/golden.rs"]
pub(crate) mod text;
