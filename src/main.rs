//! The `ringgate` binary: parses arguments, dispatches.

use clap::Parser;
use ringgate::cli::Cli;
use ringgate::process::log;
use std::io::{self, Write as _};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = log::start() {
        let _ = writeln!(io::stderr(), "ringgate: cannot start the thread that writes the log: {error}");
        return ExitCode::FAILURE;
    }
    let code = Cli::parse().run();
    log::finish();
    code
}
