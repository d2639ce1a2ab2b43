//! The limit of open files of the process, and the numbers of sessions and openings that fit in it.
//!
//! The property to trust: as many sessions as this module agreed to can be open at once, each with both of its
//! descriptors, and as many openings in progress besides, each with the client's descriptor, without the process running out.
//! So idle connections take no descriptor from an admitted session.
//!
//! Not here: counting them (`admission`), and `fs.nr_open` and `fs.file-max`, which bound the limit itself.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::SessionsFrom;
use crate::limits::{OPENINGS_MAX_DEFAULT, OPENINGS_MAX_DEFAULT_LEAST};

/// Open files of one session: the client's socket and the backend's.
const OPEN_FILES_PER_SESSION: u64 = 2;

/// Open files of one opening that reads a request head: its client's socket. An opening that waits for its backend takes none: it
/// holds the place of its future session until its sockets are closed or handed over, and with it that session's two.
const OPEN_FILES_PER_OPENING: u64 = 1;

/// The default share of the open files for openings, at most, where the sessions get all the rest: a sixteenth.
const OPENINGS_SHARE: u64 = 16;

/// Raises the soft limit of open files to the hard one and returns what the process has from then on.
///
/// The soft limit is kept low by default only for programs that use `select`, which this one does not.
///
/// # Errors
/// The kernel's. The limit stays as it was, and [`open_files_max`] returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(open_files_max())
}

/// How many files the process may have open once [`raise_open_files`] is called: the hard limit.
pub fn open_files_hard() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// How many files the process may have open: the soft limit.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many files the process has open. `None`: the system does not say.
///
/// Linux says it at once from 6.2 on, as the size of the folder of its descriptors (proc_pid_fd(5)); before, they are counted.
pub fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    let size = std::fs::metadata(FOLDER).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    // The folder itself is open while it is read.
    Some((std::fs::read_dir(FOLDER).ok()?.count() as u64).saturating_sub(1))
}

/// The sessions and openings that the instance file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedRoom {
    /// The source of the number of sessions.
    pub sessions: SessionsFrom,
    /// Openings in progress; `None`: the default, as far as it fits.
    pub openings: Option<u64>,
}

/// The sessions and openings that fit in the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Sessions at once.
    pub sessions: u64,
    /// Openings in progress at once.
    pub openings: u64,
}

/// A number of sessions that does not fit in the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot hold {sessions} session{}: needs {open_files_needed} open files, {openings} of them for openings, and the \
     limit is {open_files_max}; raise LimitNOFILE in the unit or ulimit -n, or {}",
    of_what(.from, .sessions), other_remedy(.from)
)]
pub struct TooManySessions {
    /// The configured sessions; 1 when none are configured, and not even one fits.
    pub sessions: u64,
    /// The source of their number.
    pub from: SessionsFrom,
    /// The openings besides them.
    pub openings: u64,
    /// Open files that they need, the reserve included.
    pub open_files_needed: u64,
    /// The limit of open files.
    pub open_files_max: u64,
}

fn of_what(from: &SessionsFrom, sessions: &u64) -> String {
    let plural = if *sessions == 1 { "" } else { "s" };
    match from {
        SessionsFrom::OpenFiles => plural.to_owned(),
        SessionsFrom::ConnectionsMax(_) | SessionsFrom::Tier(_) => format!("{plural} ({from})"),
    }
}

fn other_remedy(from: &SessionsFrom) -> &'static str {
    match from {
        SessionsFrom::ConnectionsMax(_) => "lower limits.connections_max or limits.openings_max",
        SessionsFrom::Tier(_) => {
            "set limits.connections_max lower than the tier, or lower limits.openings_max"
        }
        SessionsFrom::OpenFiles => "lower limits.openings_max or workers",
    }
}

/// Returns how many sessions and openings the instance has at once: those `asked` for, or else what `open_files_max` allows.
///
/// `reserve` is the number of open files that are for neither: [`crate::limits::open_files_reserve`], plus what else lives
/// in the process, such as the connections of the built-in echo backend. Sessions that are asked for come before the
/// default of openings, which gives way down to its least; where neither is asked for, openings get a share.
///
/// # Errors
/// When what was asked for needs more open files than there are, or when not even one session fits.
pub fn fit(asked: RequestedRoom, open_files_max: u64, reserve: u64) -> Result<Room, TooManySessions> {
    let free = open_files_max.saturating_sub(reserve);
    let sessions_asked = asked.sessions.asked();
    let openings = asked.openings.unwrap_or_else(|| {
        let room = match sessions_asked {
            Some(sessions) => free.saturating_sub(sessions.saturating_mul(OPEN_FILES_PER_SESSION)),
            None => free / OPENINGS_SHARE,
        };
        (room / OPEN_FILES_PER_OPENING).clamp(OPENINGS_MAX_DEFAULT_LEAST, OPENINGS_MAX_DEFAULT)
    });
    let open_files_of_openings = openings.saturating_mul(OPEN_FILES_PER_OPENING);
    let fitting = free.saturating_sub(open_files_of_openings) / OPEN_FILES_PER_SESSION;
    let sessions = sessions_asked.unwrap_or(fitting.max(1));
    if sessions <= fitting {
        return Ok(Room { sessions, openings });
    }
    let open_files_needed = sessions
        .saturating_mul(OPEN_FILES_PER_SESSION)
        .saturating_add(open_files_of_openings)
        .saturating_add(reserve);
    Err(TooManySessions { sessions, from: asked.sessions, openings, open_files_needed, open_files_max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TierUnits;
    use crate::limits::{TIERS, open_files_reserve};

    const NOTHING: RequestedRoom = RequestedRoom { sessions: SessionsFrom::OpenFiles, openings: None };

    fn asked(sessions: u64, openings: Option<u64>) -> RequestedRoom {
        RequestedRoom { sessions: SessionsFrom::ConnectionsMax(sessions), openings }
    }

    #[test]
    fn derives_sessions_and_openings_from_the_limit() {
        assert_eq!(open_files_reserve(2), 576);
        let reserve = 384;
        for (open_files_max, sessions, openings) in [
            (450, 1, 64),
            (451, 1, 64),
            (452, 2, 64),
            (1_024, 288, 64),
            (20_000, 9_195, 1_226),
            (1_048_576, 522_048, 4_096),
            (u64::MAX, (u64::MAX - 384 - 4_096) / 2, 4_096),
        ] {
            let room = Room { sessions, openings };
            assert_eq!(fit(NOTHING, open_files_max, reserve), Ok(room), "{open_files_max}");
        }
    }

    #[test]
    fn what_was_agreed_to_fits_and_one_session_more_does_not() {
        for open_files_max in 450..3_000 {
            let Room { sessions, openings } = fit(NOTHING, open_files_max, 384).unwrap();
            let needed = |sessions: u64| 384 + openings + 2 * sessions;
            assert!(needed(sessions) <= open_files_max && needed(sessions + 1) > open_files_max);
        }
    }

    #[test]
    fn openings_give_way_to_the_sessions_that_were_asked_for_down_to_their_least() {
        for (sessions, openings) in [(1, 614), (200, 216), (275, 66), (276, 64)] {
            assert_eq!(fit(asked(sessions, None), 1_000, 384), Ok(Room { sessions, openings }));
        }
        let refused = fit(asked(277, None), 1_000, 384).unwrap_err();
        assert_eq!((refused.sessions, refused.openings, refused.open_files_needed), (277, 64, 1_002));
        assert!(fit(asked(277, None), 1_002, 384).is_ok(), "what was said to be needed is enough");
        assert_eq!(fit(asked(1_000, None), 1_000_000, 384).map(|room| room.openings), Ok(4_096));
    }

    #[test]
    fn openings_that_were_asked_for_give_way_to_nothing() {
        assert_eq!(fit(asked(300, Some(16)), 1_000, 384), Ok(Room { sessions: 300, openings: 16 }));
        assert!(fit(asked(301, Some(16)), 1_000, 384).is_err());
        let openings = RequestedRoom { openings: Some(500), ..NOTHING };
        assert_eq!(fit(openings, 1_000, 384), Ok(Room { sessions: 58, openings: 500 }));
        assert!(fit(openings, 885, 384).is_err());
        assert!(fit(asked(1, Some(u64::MAX)), 1_000, 384).is_err());
    }

    #[test]
    fn refuses_a_limit_that_holds_no_session() {
        for open_files_max in [0, 384, 449] {
            let refused = fit(NOTHING, open_files_max, 384).unwrap_err();
            assert_eq!((refused.sessions, refused.open_files_needed), (1, 450), "{open_files_max}");
        }
        assert!(fit(asked(u64::MAX, None), 1_000, 384).is_err());
    }

    #[test]
    fn says_what_asked_for_them_what_is_missing_and_what_to_do() {
        let tier = SessionsFrom::Tier(TierUnits { tier: &TIERS[1], units: 2 });
        for (sessions, said, remedy) in [
            (
                SessionsFrom::ConnectionsMax(50_000),
                "50000 sessions (limits.connections_max): needs 100640",
                "lower limits.connections_max or limits.openings_max",
            ),
            (
                tier,
                "10000 sessions (tier basic, 2 units): needs 20640",
                "set limits.connections_max lower than the tier, or lower limits.openings_max",
            ),
        ] {
            let asked = RequestedRoom { sessions, openings: None };
            assert_eq!(
                fit(asked, 20_000, open_files_reserve(2)).unwrap_err().to_string(),
                format!(
                    "cannot hold {said} open files, 64 of them for openings, and the limit is 20000; raise LimitNOFILE \
                     in the unit or ulimit -n, or {remedy}"
                )
            );
        }
        assert!(
            fit(NOTHING, 64, 384)
                .unwrap_err()
                .to_string()
                .starts_with("cannot hold 1 session: needs 450 open files,")
        );
    }

    #[test]
    fn counts_the_open_files_of_the_process() {
        let held: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(open_files().unwrap() >= 50 + 3, "{:?}", open_files());
        drop(held);
    }

    #[test]
    fn raises_the_soft_limit_to_the_hard_one() {
        let raised = raise_open_files().unwrap();
        assert_eq!(Some(raised), getrlimit(Resource::Nofile).maximum.or(Some(u64::MAX)));
        assert_eq!(open_files_max(), raised);
    }
}
