//! The demands of RFC 6455 §5 on frames and of RFC 9110 on answers, row by row, and a run against an independent implementation.

mod answers;
mod differential;
mod musts;

#[path = "../support/frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
mod frames;
