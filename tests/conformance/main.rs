//! What RFC 6455 §5 demands of frames and RFC 9110 of answers, row by row, and a run against an independent
//! implementation.

mod answers;
mod differential;
mod musts;

#[path = "../support/frames.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
mod frames;
