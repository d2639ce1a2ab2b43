//! `ringgate policy check|trace`: examines policy documents without an instance.
//!
//! Not here: the rules (`policy`), the catalogue of a document (`stage`).

use std::process::ExitCode;

use clap::Subcommand;

use super::help;
use crate::catalog::Fault;
use check::Check;
use trace::Trace;

mod check;
mod masks;
mod stage;
mod steps;
mod trace;

/// The subcommands of `ringgate policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Name every fault of documents or fragments, with line, column and what is allowed
    #[command(after_help = help::POLICY_CHECK)]
    Check(Check),
    /// Run one made-up handshake through a document and show every step; secrets are masked
    #[command(after_help = help::POLICY_TRACE)]
    Trace(Trace),
}

impl PolicyCommand {
    /// Runs the command. Exit code 0 and the requested output, or 1 and the faults on standard error.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Check(check) => check.run(),
            Self::Trace(trace) => trace.run(),
        }
    }
}

/// One line for each fault.
fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}
