//! The command line: a module per subcommand.
//!
//! Results go to standard output, errors go to standard error, and the exit code says which it was (`exit`).
//!
//! Not here: what the subcommands do (their own modules).

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use catalogue::CatalogueCommand;
use completions::Completions;
use ctl::CtlArguments;
use instance_file::InstanceFileOption;
use logs::LogsArguments;
use man::ManPages;
use manual::Manual;
use policy::PolicyCommand;
use serve::ServeArguments;
use subscription::SubscriptionCommand;

pub mod catalogue;
pub mod check;
pub mod completions;
pub mod ctl;
pub mod exit;
pub mod help;
pub mod instance_file;
pub mod logs;
pub mod man;
pub mod manual;
pub mod output;
pub mod policy;
pub mod serve;
pub mod subscription;

/// A WebSocket API gateway for bare-metal Linux, on io_uring.
#[derive(Debug, Parser)]
#[command(name = "ringgate", version, after_help = help::RINGGATE, after_long_help = help::behind_help())]
pub struct Cli {
    /// The subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of ringgate.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open the listeners and carry sessions until told to stop
    #[command(after_help = help::SERVE)]
    Serve(ServeArguments),
    /// Name every fault of an instance's files, for which serve would not start, or say what would be open
    #[command(after_help = help::CHECK)]
    Check {
        /// Which instance file.
        #[command(flatten)]
        config: InstanceFileOption,
        /// Check the host too: open files, locked memory, threads, io_uring, addresses
        #[arg(long)]
        host: bool,
        /// Check the host with the limits that systemd gives this unit, instead of those of this process
        #[arg(long, value_name = "NAME", requires = "host")]
        unit: Option<String>,
    },
    /// Tell a running instance what to do
    #[command(after_help = help::CTL)]
    Ctl(CtlArguments),
    /// Look at a catalogue's files
    #[command(subcommand, after_help = help::CATALOGUE)]
    Catalogue(CatalogueCommand),
    /// Check policy documents, or see what one does to a handshake
    #[command(subcommand, after_help = help::POLICY)]
    Policy(PolicyCommand),
    /// Change a subscription
    #[command(subcommand, after_help = help::SUBSCRIPTION)]
    Subscription(SubscriptionCommand),
    /// Query the log: who connected, what happened, and why it ended
    #[command(after_help = help::LOGS)]
    Logs(LogsArguments),
    /// Show a page of the manual, or the list of pages
    #[command(after_help = help::MANUAL)]
    Manual(Manual),
    /// Print the completions of a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(Completions),
    /// Print the man page, or write those of all commands into a folder
    #[command(after_help = help::MAN)]
    Man(ManPages),
}

impl Cli {
    /// Reads the command line of this process. Where it is wrong, or asks for help, the process says so and ends.
    pub fn read() -> Self {
        let matches = with_help_of_config(documented(), &instance_file::help_here()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Does what was asked for, and returns the exit code of the process.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve(arguments) => arguments.run(),
            Command::Check { config, host, unit } => config
                .with_file(|file| check::run(file, host.then_some(check::Host { unit: unit.as_deref() }))),
            Command::Ctl(arguments) => arguments.run(),
            Command::Catalogue(command) => command.run(),
            Command::Policy(command) => command.run(),
            Command::Subscription(command) => command.run(),
            Command::Logs(arguments) => arguments.run(),
            Command::Manual(manual) => manual.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(pages) => pages.run(),
        }
    }
}

/// The command line as completions and man pages describe it: the same wherever they are made.
fn documented() -> clap::Command {
    Cli::command()
}

/// The same command and all within it, with this help of the option that names the instance file.
fn with_help_of_config(command: clap::Command, help: &str) -> clap::Command {
    let has_option = command.get_arguments().any(|argument| argument.get_id() == "config");
    let command = if has_option {
        command.mut_arg("config", |argument| argument.help(help.to_owned()))
    } else {
        command
    };
    command.mut_subcommands(|inner| with_help_of_config(inner, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        with_help_of_config(documented(), "another").debug_assert();
    }

    #[test]
    fn every_command_that_reads_the_configuration_takes_c_config_or_neither() {
        for command in [
            "serve",
            "check",
            "catalogue check",
            "catalogue show",
            "catalogue export",
            "policy check a.xml",
            "policy trace a.xml",
            "subscription new-key acme",
            "ctl status",
            "logs",
            "logs export",
        ] {
            for option in ["", " --config a", " -c a"] {
                let line = format!("ringgate {command}{option}");
                assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn takes_what_it_is_to_take_and_nothing_else() {
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
        assert!(Cli::try_parse_from(["ringgate", "check", "--config", "a", "--host", "--unit", "u"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "check", "--config", "a", "--unit", "u"]).is_err());
        assert!(Cli::try_parse_from(["ringgate", "serve", "--demo"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "serve", "--demo", "-c", "a"]).is_err());
        assert!(Cli::try_parse_from(["ringgate", "completions", "bash"]).is_ok());
        assert!(Cli::try_parse_from(["ringgate", "completions", "cmd"]).is_err());
    }

    /// Every command, with its whole name.
    fn commands() -> Vec<clap::Command> {
        fn add(found: &mut Vec<clap::Command>, command: &clap::Command) {
            found.push(command.clone());
            command.get_subcommands().for_each(|inner| add(found, inner));
        }
        let mut top = documented().disable_help_subcommand(true);
        top.build();
        let mut found = Vec::new();
        add(&mut found, &top);
        found
    }

    #[test]
    fn every_example_in_a_help_text_is_a_correct_command_line() {
        let mut count = 0;
        for command in commands() {
            let behind = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in behind.lines().filter(|line| line.starts_with("  ")) {
                // Without its comment, what reads or takes its output, and a variable in front of it.
                let typed = line.split(['#', '|', '>']).next().unwrap_or_default();
                let words = typed.split_whitespace().skip_while(|word| word.contains('='));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}: {error}");
                }
                count += 1;
            }
        }
        assert!(count > 20, "{count} examples");
    }

    #[test]
    fn the_help_of_every_command_has_examples() {
        for command in commands() {
            let name = command.get_display_name().unwrap_or_default();
            assert!(command.get_after_help().is_some(), "{name}");
        }
    }

    #[test]
    fn the_help_of_ringgate_tells_every_exit_code_signal_variable_and_file() {
        let mut command = documented();
        let long = command.render_long_help().to_string();
        let entries = help::SIGNALS.iter().chain(&help::ENVIRONMENT).chain(&help::FILES);
        for (name, meaning) in entries {
            assert!(long.contains(name), "{name} in {long}");
            assert!(!meaning.is_empty());
        }
        for exit in exit::ALL {
            assert!(long.contains(&format!("  {}\n          {}", exit.code, exit.meaning)), "{long}");
        }
    }
}
