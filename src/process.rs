//! The process on its host: open files, locked memory, threads, cores, scheduling, small files, its one log, and how a panic ends it.
//!
//! Everything else in the shell stands on this, so nothing here knows what the process is for. What asks the host for something
//! says what it got; what is refused comes back as an error with its remedy, and the caller decides whether it is fatal.
//!
//! Not here: what the kernel's io_uring can do (`ring::probe`), and the service manager.

pub mod cores;
pub mod fatal;
pub mod files;
pub mod host_limits;
pub mod log;
pub mod open_files;
pub mod scheduling;
