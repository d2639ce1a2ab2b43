//! The commands to a serving instance: one list for signals and the control socket.
//!
//! ```text
//! SIGHUP, SIGTERM, SIGINT ─┐
//!                          ├─► order ─► serving ─► progress, reply ─► who asked
//! control socket ──────────┘
//! ```
//!
//! Not here: carrying a command out (`serving`), and receiving one (`signals`, `socket`).

pub mod status;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::status::Status;
use crate::catalog::Revision;

/// A command. A new one needs a name here, and its action in `serving`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tell how the instance is.
    Status,
    /// Look at the files, and publish what they say.
    Reload,
    /// Take no new sessions, finish those that are open, and end.
    Drain,
    /// End at once.
    Terminate,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Status, Self::Reload, Self::Drain, Self::Terminate];

    /// Its name, for requests and command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::Terminate => "terminate",
        }
    }

    /// Returns the command of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.name() == name)
    }
}

/// A command, and the asker that is told its result.
#[derive(Debug)]
pub struct Order {
    /// The command.
    pub command: Command,
    /// The asker.
    pub asker: Asker,
}

/// The progress of a command, for its asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Sessions that were opened and whose sockets are not both closed yet.
    pub sessions: u64,
    /// Openings in progress.
    pub openings: u64,
}

/// The result of a command.
#[derive(Debug)]
pub enum Reply {
    /// The state of the instance.
    Status(Box<Status>),
    /// The files are served as they are.
    Reloaded {
        /// Their revision.
        revision: Revision,
        /// The number of APIs that are served.
        apis: usize,
        /// Whether they were not served before.
        is_new: bool,
    },
    /// The files have faults: the previous catalogue stays in use.
    ReloadRefused {
        /// Their revision.
        revision: Revision,
        /// The revision that is served.
        served: Revision,
        /// Every fault, a line each.
        faults: Arc<[String]>,
    },
    /// Files of TLS have faults: their previous content stays in use. The catalogue is served as its files are.
    TlsRefused {
        /// The revision of the catalogue.
        revision: Revision,
        /// Whether it was not served before.
        is_new: bool,
        /// Every fault, a line each.
        faults: Arc<[String]>,
    },
    /// The files were not read, or their content was not published, for a reason outside them.
    NotReloaded(&'static str),
    /// All sessions and openings are over.
    Drained,
    /// The time of the drain is over, and openings in progress were cut.
    DrainedInPart,
    /// Another command ended the drain before all sessions were over.
    DrainCut,
    /// The drain goes on, but too many wait for its end already.
    NotAwaited,
    /// Sessions were cut, and the process ends.
    Terminated,
}

/// The asker of a command, which is told the result unless it is gone.
#[derive(Debug)]
pub struct Asker(Option<mpsc::Sender<Answer>>);

/// A message to an asker.
#[derive(Debug)]
pub enum Answer {
    /// The command is still in progress.
    Progress(Progress),
    /// The command has finished.
    Reply(Reply),
}

/// Answers that wait until the asker takes them: some progress, and the reply.
const ANSWERS_WAITING_MAX: usize = 4;

impl Asker {
    /// The log's reader: a signal has no other recipient for an answer.
    pub const LOG: Self = Self(None);

    /// An asker that waits for answers, and its queue.
    pub fn new() -> (Self, mpsc::Receiver<Answer>) {
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        (Self(Some(sender)), answers)
    }

    /// Whether this is the asker of a signal.
    pub fn is_log(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the asker is gone.
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    /// Reports the progress. A slow asker misses some reports.
    pub fn tell(&self, progress: Progress) {
        // The last place is the reply's.
        if let Some(sender) = self.0.as_ref().filter(|sender| sender.capacity() > 1) {
            let _ = sender.try_send(Answer::Progress(progress));
        }
    }

    /// Gives the result.
    pub fn reply(self, reply: Reply) {
        if let Some(sender) = self.0 {
            // It may be gone.
            let _ = sender.try_send(Answer::Reply(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_found_by_its_name_alone() {
        for command in Command::ALL {
            assert_eq!(Command::named(command.name()), Some(command));
        }
        for strange in ["", "Status", "status ", "stop", "kill"] {
            assert_eq!(Command::named(strange), None, "{strange}");
        }
    }

    #[test]
    fn one_who_does_not_listen_misses_progress_and_never_the_reply() {
        let (asker, mut answers) = Asker::new();
        for sessions in 0..100 {
            asker.tell(Progress { sessions, openings: 0 });
        }
        asker.reply(Reply::Drained);
        let mut told = Vec::new();
        while let Ok(answer) = answers.try_recv() {
            told.push(answer);
        }
        assert_eq!(told.len(), ANSWERS_WAITING_MAX);
        assert!(matches!(told.last(), Some(Answer::Reply(Reply::Drained))), "{told:?}");
    }

    #[test]
    fn one_who_is_gone_is_told_nothing() {
        let (asker, answers) = Asker::new();
        assert!(!asker.is_gone() && !Asker::LOG.is_gone());
        drop(answers);
        assert!(asker.is_gone());
        asker.tell(Progress { sessions: 1, openings: 1 });
        asker.reply(Reply::Terminated);
        Asker::LOG.reply(Reply::Drained);
    }
}
