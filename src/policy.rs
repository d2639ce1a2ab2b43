//! Policies: what an opening handshake is judged and changed by, as Azure API Management has them.
//!
//! Everything here is checked and compiled when the catalogue is published, and bounded when it runs.

pub mod expression;
pub mod jwt;
