//! The instance file that a command reads: the one given by `-c`, else `RINGGATE_CONFIG`, else `./ringgate.toml`.
//!
//! The property to trust: every command that reads the configuration finds it here, so all of them read the same file. A named
//! file that is missing is an error of the command that reads it; the search never falls back to the next place.
//!
//! Not here: reading the file (`control::files::store`).

use core::fmt;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::exit;

/// The environment variable that names the instance file.
pub const VARIABLE: &str = "RINGGATE_CONFIG";

/// The instance file of the working folder.
pub const FILE: &str = "ringgate.toml";

/// The option that names the instance file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct InstanceFileOption {
    /// The instance file. Without it: the file that $RINGGATE_CONFIG names, else ./ringgate.toml
    #[arg(short = 'c', long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The source of an instance file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The option `-c`.
    Option,
    /// [`VARIABLE`].
    Variable,
    /// Neither: the file is in the working folder.
    WorkingFolder,
}

/// An instance file, and the source of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceFile {
    /// Its path.
    pub path: PathBuf,
    /// The source of its name.
    pub by: NamedBy,
}

impl fmt::Display for InstanceFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.by {
            NamedBy::Option => write!(formatter, "{path} (-c)"),
            NamedBy::Variable => write!(formatter, "{path} ({VARIABLE})"),
            NamedBy::WorkingFolder => write!(formatter, "{path} (in the working folder)"),
        }
    }
}

/// No instance file is named, and the working folder has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no instance file: -c is not given, {VARIABLE} is not set, and the working folder has no {FILE}")]
pub struct NoInstanceFile;

impl InstanceFileOption {
    /// The file that the option names.
    pub fn given(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The file to read.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self) -> Result<InstanceFile, NoInstanceFile> {
        find(self.given(), std::env::var_os(VARIABLE), Path::new(FILE))
    }

    /// Runs a command on the file, and gives its exit code. If the command fails, says why it was this file, unless `-c` named it.
    pub fn with_file(&self, command: impl FnOnce(&Path) -> ExitCode) -> ExitCode {
        let file = match self.find() {
            Ok(file) => file,
            Err(none) => {
                let _ = writeln!(io::stderr(), "ringgate: {none}; give one with -c FILE");
                return exit::USAGE.into();
            }
        };
        let code = command(&file.path);
        if code != ExitCode::SUCCESS && file.by != NamedBy::Option {
            let _ = writeln!(io::stderr(), "the instance file is {file}");
        }
        code
    }
}

/// The help of the option, with the file that would be read here and now.
pub fn help_here() -> String {
    let taken = match InstanceFileOption::default().find() {
        Ok(file) => format!("here: {file}"),
        Err(NoInstanceFile) => format!("here: none, as {VARIABLE} is not set and there is no ./{FILE}"),
    };
    format!("The instance file. Without it: the file that ${VARIABLE} names, else ./{FILE} [{taken}]")
}

/// Finds the file: `option` first, then `variable`, then `in_folder` if it is there.
fn find(
    option: Option<&Path>,
    variable: Option<OsString>,
    in_folder: &Path,
) -> Result<InstanceFile, NoInstanceFile> {
    let named = |path: PathBuf, by| InstanceFile { path, by };
    if let Some(path) = option {
        return Ok(named(path.to_owned(), NamedBy::Option));
    }
    // Set to nothing is not set, as with most variables of this kind.
    if let Some(path) = variable.filter(|path| !path.is_empty()) {
        return Ok(named(path.into(), NamedBy::Variable));
    }
    match in_folder.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NoInstanceFile),
        // A link that leads nowhere and a file that this user may not read are named by the error of who reads them.
        Ok(_) | Err(_) => Ok(named(in_folder.to_owned(), NamedBy::WorkingFolder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_variable_and_both_before_the_working_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, absent) = (folder.path().join("there.toml"), folder.path().join("absent.toml"));
        std::fs::write(&there, "").expect("a file");
        let option = Some(Path::new("option.toml"));
        let variable = || Some(OsString::from("variable.toml"));
        let found = |option, variable, in_folder: &Path| {
            find(option, variable, in_folder).map(|file| (file.path.display().to_string(), file.by))
        };
        let by = |path: &str, by| Ok((path.to_owned(), by));
        assert_eq!(found(option, variable(), &there), by("option.toml", NamedBy::Option));
        assert_eq!(found(None, variable(), &there), by("variable.toml", NamedBy::Variable));
        let in_folder = by(&there.display().to_string(), NamedBy::WorkingFolder);
        assert_eq!(found(None, None, &there), in_folder);
        assert_eq!(found(None, Some(OsString::new()), &there), in_folder);
        assert_eq!(found(None, None, &absent), Err(NoInstanceFile));
        // A file that is named does not have to be there to be the one.
        assert_eq!(found(Some(&absent), None, &there).map(|(_, by)| by), Ok(NamedBy::Option));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_the_file_and_not_the_absence_of_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("ringgate.toml");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        assert_eq!(find(None, None, &link).map(|file| file.by), Ok(NamedBy::WorkingFolder));
    }
}
