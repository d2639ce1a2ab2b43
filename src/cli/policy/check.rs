//! `ringgate policy check`: every fault of policy documents and fragments.
//!
//! References of a document are looked up in its catalogue (`stage`). A fragment is valid if it compiles in any section,
//! because the documents that include it decide where it stands.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::lines;
use super::stage::{MADE_UP, Stage};
use crate::catalog::Fault;
use crate::cli::instance_file::InstanceFileOption;
use crate::cli::output;
use crate::compiled::Snapshot;

/// The documents to check.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: InstanceFileOption,
}

impl Check {
    /// Checks all documents.
    pub(super) fn run(&self) -> ExitCode {
        let mut faults: Vec<Fault> = Vec::new();
        let mut said = String::new();
        for file in &self.files {
            match check(file, &self.config) {
                Ok(notes) => said.push_str(&notes),
                // Documents of one catalogue share its fragments, and with them their faults.
                Err(found) => {
                    for fault in found {
                        if !faults.contains(&fault) {
                            faults.push(fault);
                        }
                    }
                }
            }
        }
        let printed = output::print(said.as_bytes());
        if faults.is_empty() {
            return printed;
        }
        let (count, plural) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
        let _ = io::stderr().write_all(format!("{}{count} fault{plural}\n", lines(&faults)).as_bytes());
        ExitCode::FAILURE
    }
}

/// Returns the report on a document without faults, or its faults.
fn check(file: &Path, config: &InstanceFileOption) -> Result<String, Vec<Fault>> {
    let mut stage = Stage::of(file, config, None)?;
    let compiled = match stage.fragment().map(str::to_owned) {
        Some(name) => in_any_section(&mut stage, &name),
        None => compile(&stage),
    };
    let snapshot = compiled.map_err(|faults| stage.told(faults))?;
    let notes = snapshot.iter().flat_map(Snapshot::notes).filter_map(|note| stage.renamed(note));
    let notes: String = notes.map(|note| note + "\n").collect();
    Ok(format!("{}: no faults\n{notes}", file.display()))
}

/// Compiles the catalogue; gives the faults of the document, or `None` if only other files have faults.
fn compile(stage: &Stage) -> Result<Option<Snapshot>, Vec<Fault>> {
    match stage.compile() {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(faults) => {
            let own: Vec<Fault> = faults.into_iter().filter(|fault| stage.concerns(fault)).collect();
            if own.is_empty() { Ok(None) } else { Err(own) }
        }
    }
}

/// Compiles a fragment in each section in turn. If it compiles in none, the faults are those of the first.
fn in_any_section(stage: &mut Stage, name: &str) -> Result<Option<Snapshot>, Vec<Fault>> {
    stage.make_up();
    let mut first = None;
    for section in ["inbound", "backend", "outbound", "on-error"] {
        let including =
            format!("<policies><{section}><include-fragment fragment-id=\"{name}\"/></{section}></policies>");
        stage.files.insert(&format!("policies/apis/{MADE_UP}.xml"), including);
        match compile(stage) {
            Ok(compiled) => return Ok(compiled),
            Err(faults) => drop(first.get_or_insert(faults)),
        }
    }
    Err(first.unwrap_or_default())
}
