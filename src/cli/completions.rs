//! `ringgate completions SHELL`: the completions of a shell, made of the command line itself.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::{Shell, generate};

use super::exit;

/// The shell to complete for.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints the completions.
    pub fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        generate(self.shell, &mut super::documented(), "ringgate", &mut script);
        // Half a script would be worse than none.
        match io::stdout().write_all(&script) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "ringgate: cannot write the completions: {error}");
                exit::FAILED.into()
            }
        }
    }
}
