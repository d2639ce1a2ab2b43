//! The command line: a module per subcommand.
//!
//! Results go to standard output, what is wrong goes to standard error, and the exit code says which it was.
//!
//! Not here: what the subcommands do (their own modules).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use catalogue::CatalogueCommand;
use ctl::CtlArguments;
use manual::Manual;
use policy::PolicyCommand;
use subscription::SubscriptionCommand;

pub mod catalogue;
pub mod check;
pub mod ctl;
pub mod manual;
pub mod policy;
pub mod serve;
pub mod subscription;

/// A WebSocket API gateway for bare-metal Linux, on io_uring.
#[derive(Debug, Parser)]
#[command(name = "ringgate", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What ringgate can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open the listeners and carry sessions until told to stop
    Serve {
        /// The instance file. Without it: one listener on 127.0.0.1:8080 and a built-in echo API
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Name every fault of an instance's files, for which serve would not start, or say what would be open
    Check {
        /// The instance file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Check the host too: open files, locked memory, threads, io_uring, addresses
        #[arg(long)]
        host: bool,
        /// Check the host with the limits that systemd gives this unit, instead of those of this process
        #[arg(long, value_name = "NAME", requires = "host")]
        unit: Option<String>,
    },
    /// Tell a running instance what to do: exit code 0 if it was done, 1 if it was refused, 2 if it was not asked
    Ctl(CtlArguments),
    /// Look at a catalogue's files
    #[command(subcommand)]
    Catalogue(CatalogueCommand),
    /// Check policy documents, or see what one does to a handshake
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Change a subscription
    #[command(subcommand)]
    Subscription(SubscriptionCommand),
    /// Show a page of the manual, or the list of pages
    Manual(Manual),
}

impl Cli {
    /// Does what was asked for, and returns the exit code of the process.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve { config } => serve::run(config.as_deref()),
            Command::Check { config, host, unit } => {
                check::run(&config, host.then_some(check::Host { unit: unit.as_deref() }))
            }
            Command::Ctl(arguments) => arguments.run(),
            Command::Catalogue(command) => command.run(),
            Command::Policy(command) => command.run(),
            Command::Subscription(command) => command.run(),
            Command::Manual(manual) => manual.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_may_have_a_config_and_check_must() {
        assert!(Cli::try_parse_from(["ringgate", "serve"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "serve", "--config", "a"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "check", "--config", "a"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "check"]).is_err());
        assert!(Cli::try_parse_from(["ringgate", "check", "--config", "a", "--host", "--unit", "u"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "check", "--config", "a", "--unit", "u"]).is_err());
        for command in ["check", "show", "export"] {
            assert!(Cli::try_parse_from(["ringgate", "catalogue", command, "--config", "a"]).is_ok());
        }
        assert!(Cli::try_parse_from(["ringgate", "catalogue"]).is_err());
        for command in crate::control::command::Command::ALL {
            let name = command.name();
            assert!(Cli::try_parse_from(["ringgate", "ctl", name]).is_ok(), "{name}");
            assert!(Cli::try_parse_from(["ringgate", "ctl", name, "--json", "--socket", "a"]).is_ok());
            assert!(Cli::try_parse_from(["ringgate", "ctl", "--config", "a", name]).is_ok());
            assert!(
                Cli::try_parse_from(["ringgate", "ctl", name, "--config", "a", "--socket", "b"]).is_err()
            );
        }
        assert!(Cli::try_parse_from(["ringgate", "ctl"]).is_err());
        assert!(Cli::try_parse_from(["ringgate", "ctl", "halt"]).is_err());
    }
}
