//! `ringgate serve`: opens the listeners and carries sessions.

use std::path::Path;
use std::process::ExitCode;

/// Says that there is nothing to serve with, and fails.
pub fn run(_config: Option<&Path>) -> ExitCode {
    eprintln!("cannot serve: this build has no front and no relay");
    ExitCode::FAILURE
}
