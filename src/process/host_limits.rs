//! The host's limits for this process besides open files: locked memory and threads.
//!
//! Not here: how much an instance needs (`control::host`), open files (`open_files`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The capability that exempts from the limit of locked memory (capabilities(7)).
pub const CAP_IPC_LOCK: u32 = 14;

/// The two capabilities each of which exempts from the limit of a user's threads (capabilities(7), setrlimit(2)).
const CAPS_OF_THREADS: [u32; 2] = [21, 24];

/// A limit of threads, and how many of other processes it already counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadRoom {
    /// The kind of the limit.
    pub from: ThreadLimit,
    /// The most threads.
    pub limit: u64,
    /// Threads that count against it already, without those of this process.
    pub used: u64,
}

/// The kinds of limits of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadLimit {
    /// `RLIMIT_NPROC`: all threads of the user.
    User,
    /// `pids.max` of a control group: all threads in it.
    ControlGroup,
}

/// Raises the soft limit of locked memory to the hard one, and gives what the process may lock from then on, in bytes.
pub fn raise_locked_memory() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Memlock);
    // A soft limit may always be raised to the hard one; if it is not, what follows tells the limit that holds.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX)
}

/// Runs `work` while the process may lock no memory at all.
///
/// # Errors
/// The kernel's: the limit cannot be set.
pub fn without_locked_memory<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let before = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), ..before })?;
    let done = work();
    setrlimit(Resource::Memlock, before)?;
    Ok(done)
}

/// Whether this process has a capability.
pub fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    set & (1 << number) != 0
}

/// Returns every limit of threads that applies to this process.
pub fn thread_rooms() -> Vec<ThreadRoom> {
    user_room().into_iter().chain(group_rooms()).collect()
}

/// Returns the limit of the user. `None`: there is none, or the process is exempt.
fn user_room() -> Option<ThreadRoom> {
    let limit = getrlimit(Resource::Nproc).current?;
    let user = rustix::process::getuid();
    if user.is_root() || CAPS_OF_THREADS.into_iter().any(has_capability) {
        return None;
    }
    let used = threads_of(user.as_raw()).saturating_sub(own_threads());
    Some(ThreadRoom { from: ThreadLimit::User, limit, used })
}

/// Counts the threads of this process, which include an instance's own.
fn own_threads() -> u64 {
    fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count() as u64)
}

/// Counts the threads of all processes of a user, as far as they are visible.
fn threads_of(user: u32) -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let threads = |process: fs::DirEntry| {
        let is_of_user = process.metadata().ok()?.uid() == user;
        let is_process = process.file_name().to_str()?.bytes().all(|byte| byte.is_ascii_digit());
        let tasks = (is_of_user && is_process).then(|| fs::read_dir(process.path().join("task")).ok())??;
        Some(tasks.count() as u64)
    };
    processes.flatten().filter_map(threads).sum()
}

/// Returns the limits of this process's control group and of all groups above it.
fn group_rooms() -> Vec<ThreadRoom> {
    let Ok(groups) = fs::read_to_string("/proc/self/cgroup") else { return Vec::new() };
    let mut rooms = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            "pids" => Path::new("/sys/fs/cgroup/pids"),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        for group in own.ancestors().take_while(|group| group.starts_with(root)) {
            let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
            let room = number("pids.max").zip(number("pids.current"));
            rooms.extend(room.map(|(limit, used): (u64, u64)| {
                let used = used.saturating_sub(own_threads());
                ThreadRoom { from: ThreadLimit::ControlGroup, limit, used }
            }));
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_taken_away_for_a_while_comes_back() {
        let before = getrlimit(Resource::Memlock).current;
        let during = without_locked_memory(|| getrlimit(Resource::Memlock).current).expect("a limit");
        assert_eq!(during, Some(0));
        assert_eq!(getrlimit(Resource::Memlock).current, before);
    }

    #[test]
    fn counts_the_threads_of_this_user() {
        assert!(threads_of(rustix::process::getuid().as_raw()) >= 1);
    }
}
