//! The standard output of a command that prints and ends.
//!
//! The property to trust: output that is lost is a failure, so that a script does not take an empty file for the answer. A reader that
//! leaves early (`| head`) has what it wants: that is none.
//!
//! Not here: `ctl`, whose exit code is the instance's answer, and `new-key`, whose output exists nowhere else.

use super::exit;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// Writes `text` to standard output. Exit code 0, or 1 and the reason on standard error.
pub fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "ringgate: cannot write to standard output: {error}");
            exit::FAILED.into()
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
