//! `ringgate catalogue check|show|export`: a catalogue's files, looked at without an instance.
//!
//! What is secret is masked in every output.
//!
//! Not here: the rules (`catalog`), changing a catalogue.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::check::report;
use crate::compiled::Snapshot;
use crate::compiled::export::export;
use crate::control::files::store;

mod tables;

/// What can be done with a catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// Name every fault, or say how much there is
    Check(Catalogue),
    /// List what there is, as tables
    Show(Catalogue),
    /// Write everything as one JSON document
    Export(Catalogue),
}

/// Which catalogue.
#[derive(Debug, clap::Args)]
pub struct Catalogue {
    /// The instance file that names it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl CatalogueCommand {
    /// Does it. Exit code 0 and what was asked for, or 1 and the faults on standard error.
    pub fn run(&self) -> ExitCode {
        let (Self::Check(Catalogue { config })
        | Self::Show(Catalogue { config })
        | Self::Export(Catalogue { config })) = self;
        // Who reads the output may leave early (`| head`): that changes nothing about the result.
        match store::load(config) {
            Ok(loaded) => {
                let _ = io::stdout().write_all(self.output(config, &loaded.snapshot).as_bytes());
                ExitCode::SUCCESS
            }
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
