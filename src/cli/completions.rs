//! `ringgate completions SHELL`: the completions of a shell, made of the command line itself.

use std::process::ExitCode;

use clap_complete::{Shell, generate};

use super::output;

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
        output::print(&script)
    }
}
