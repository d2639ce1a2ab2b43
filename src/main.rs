//! The `ringgate` binary: parses arguments, dispatches.

fn main() {}
