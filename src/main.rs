//! The `ringgate` binary: parses arguments, dispatches.

use clap::Parser;
use ringgate::cli::Cli;
use ringgate::telemetry;
use std::io::{self, Write as _};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = telemetry::start() {
        let _ = writeln!(io::stderr(), "ringgate: cannot start the thread that writes the log: {error}");
        return ExitCode::FAILURE;
    }
    let code = Cli::parse().run();
    telemetry::finish();
    code
}
