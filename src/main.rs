//! The `ringgate` binary: parses arguments, dispatches.

use std::process::ExitCode;

use clap::Parser as _;
use ringgate::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
