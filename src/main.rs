//! The `ringgate` binary: parses arguments, dispatches.

use ringgate::cli::{Cli, exit};
use ringgate::process::log::{self, NoLog};
use std::io::{self, Write as _};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Asking for help, or a wrong command line, ends here.
    let cli = Cli::read();
    if let Err(error) = log::start() {
        let _ = writeln!(io::stderr(), "ringgate: {error}");
        return match error {
            NoLog::Filter(_) => exit::USAGE.into(),
            NoLog::Thread(_) => exit::FAILED.into(),
        };
    }
    let code = cli.run();
    log::finish();
    code
}
