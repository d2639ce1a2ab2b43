//! `ringgate catalogue check|show|export`: examines a catalogue's files without an instance.
//!
//! Secrets are masked in every output.
//!
//! Not here: the rules (`catalog`), changing a catalogue.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::check::report;
use super::help;
use super::instance_file::InstanceFileOption;
use super::output;
use crate::compiled::Snapshot;
use crate::compiled::export::export;
use crate::control::files::store;

mod tables;

/// The subcommands of `ringgate catalogue`.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// Name every fault, or say how much there is
    #[command(after_help = help::CATALOGUE_CHECK)]
    Check(Catalogue),
    /// List what there is, as tables
    #[command(after_help = help::CATALOGUE_SHOW)]
    Show(Catalogue),
    /// Write everything as one JSON document
    #[command(after_help = help::CATALOGUE_EXPORT)]
    Export(Catalogue),
}

/// The catalogue.
#[derive(Debug, clap::Args)]
pub struct Catalogue {
    #[command(flatten)]
    config: InstanceFileOption,
}

impl CatalogueCommand {
    /// Runs the command. Exit code 0 and the requested output, or 1 and the faults on standard error.
    pub fn run(&self) -> ExitCode {
        let (Self::Check(Catalogue { config })
        | Self::Show(Catalogue { config })
        | Self::Export(Catalogue { config })) = self;
        config.with_file(|file| self.run_on(file))
    }

    fn run_on(&self, config: &Path) -> ExitCode {
        match store::load(config) {
            Ok(loaded) => output::print(self.output(config, &loaded.snapshot).as_bytes()),
            Err(faults) => {
                let _ = io::stderr().write_all(report(config, &faults).as_bytes());
                ExitCode::FAILURE
            }
        }
    }

    fn output(&self, config: &Path, snapshot: &Snapshot) -> String {
        match self {
            Self::Check(_) => format!("{}: no faults\n{}", config.display(), tables::counts(snapshot)),
            Self::Show(_) => tables::tables(snapshot),
            Self::Export(_) => format!("{:#}\n", export(snapshot)),
        }
    }
}
