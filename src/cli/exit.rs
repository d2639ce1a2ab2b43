//! The exit codes of every command.
//!
//! Not here: what a command counts as a failure (its own module).

use std::process::ExitCode;

/// An exit code, and its meaning as help and man pages tell it.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// The code.
    pub code: u8,
    /// Its meaning.
    pub meaning: &'static str,
}

/// The command was carried out.
pub const DONE: Exit =
    Exit { code: 0, meaning: "it was done; serve: the instance ended because it was told to" };

/// The command was refused, or it failed.
pub const FAILED: Exit = Exit {
    code: 1,
    meaning: "it was refused, or it failed: standard error says why, and what to do about it",
};

/// The command was not begun.
pub const USAGE: Exit = Exit {
    code: 2,
    meaning: "nothing was done: the command line, RINGGATE_LOG or the choice of the instance file is wrong; ctl: \
              no instance was reached, or it did not answer",
};

/// All exit codes.
pub const ALL: [Exit; 3] = [DONE, FAILED, USAGE];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code)
    }
}
