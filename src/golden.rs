//! Golden files of what only this crate sees: exports of live state, and sizes. For tests.

pub(crate) mod exports;
mod sizes;
