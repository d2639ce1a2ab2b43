//! How many files the process may open, and how many sessions that holds.
//!
//! The property to trust: a number of sessions that this module agreed to can be open at once, each with both of its
//! descriptors, without the process running out of them.
//!
//! Not here: counting sessions (`admission`), and `fs.nr_open` and `fs.file-max`, which bound the limit itself.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::OPEN_FILES_PER_SESSION;

/// Raises the soft limit of open files to the hard one and returns what the process has from then on.
///
/// The soft limit is kept low by default only for programs that use `select`, which this one does not.
///
/// # Errors
/// The kernel's. The limit stays as it was, and [`open_files_max`] tells it.
pub fn raise_open_files() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(open_files_max())
}

/// How many files the process may have open: the soft limit.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A number of sessions that the limit of open files does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot hold {sessions} sessions: needs {open_files_needed} open files, the limit is {open_files_max}; \
     raise LimitNOFILE in the unit or ulimit -n, or lower limits.connections_max"
)]
pub struct TooManySessions {
    /// The sessions that were asked for; 1 when none were, and not even one fits.
    pub sessions: u64,
    /// Open files that they need, the reserve included.
    pub open_files_needed: u64,
    /// The limit of open files.
    pub open_files_max: u64,
}

/// The most sessions that the instance holds at once: `asked`, or with nothing asked what `open_files_max` allows.
///
/// `reserve` is the number of open files that are not for sessions: [`crate::limits::open_files_reserve`], plus what
/// else lives in the process, such as the connections of the built-in echo backend.
///
/// # Errors
/// When `asked` needs more open files than there are, or when not even one session fits.
pub fn fit_connections_max(
    asked: Option<u64>,
    open_files_max: u64,
    reserve: u64,
) -> Result<u64, TooManySessions> {
    let fitting = open_files_max.saturating_sub(reserve) / OPEN_FILES_PER_SESSION;
    let sessions = asked.unwrap_or(fitting.max(1));
    if sessions <= fitting {
        return Ok(sessions);
    }
    let open_files_needed = sessions.saturating_mul(OPEN_FILES_PER_SESSION).saturating_add(reserve);
    Err(TooManySessions { sessions, open_files_needed, open_files_max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::open_files_reserve;

    #[test]
    fn derives_the_sessions_from_the_limit() {
        let reserve = open_files_reserve(2);
        assert_eq!(reserve, 384);
        for (open_files_max, sessions) in
            [(386, 1), (387, 1), (388, 2), (20_000, 9_808), (u64::MAX, (u64::MAX - 384) / 2)]
        {
            assert_eq!(fit_connections_max(None, open_files_max, reserve), Ok(sessions), "{open_files_max}");
        }
    }

    #[test]
    fn takes_the_number_that_was_asked_for_up_to_the_last_that_fits() {
        assert_eq!(fit_connections_max(Some(0), 1_000, 384), Ok(0));
        assert_eq!(fit_connections_max(Some(308), 1_000, 384), Ok(308));
        let refused = fit_connections_max(Some(309), 1_000, 384).unwrap_err();
        assert_eq!((refused.sessions, refused.open_files_needed), (309, 1_002));
    }

    #[test]
    fn refuses_a_limit_that_holds_no_session() {
        for open_files_max in [0, 384, 385] {
            let refused = fit_connections_max(None, open_files_max, 384).unwrap_err();
            assert_eq!((refused.sessions, refused.open_files_needed), (1, 386), "{open_files_max}");
        }
        assert!(fit_connections_max(Some(u64::MAX), 1_000, 384).is_err());
    }

    #[test]
    fn says_what_is_missing_and_what_to_do() {
        let refused = fit_connections_max(Some(50_000), 20_000, open_files_reserve(2)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot hold 50000 sessions: needs 100384 open files, the limit is 20000; raise LimitNOFILE in the unit or \
             ulimit -n, or lower limits.connections_max"
        );
    }

    #[test]
    fn raises_the_soft_limit_to_the_hard_one() {
        let raised = raise_open_files().unwrap();
        assert_eq!(Some(raised), getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)));
        assert_eq!(open_files_max(), raised);
    }
}
