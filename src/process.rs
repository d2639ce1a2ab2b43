//! The process on its host: open files, locked memory, threads, cores, scheduling, small files, its one log, and how a panic ends it.
//!
//! The rest of the shell builds on this module, so nothing here depends on the purpose of the process. A function that asks the
//! host for something reports what it got; a refusal is an error with its remedy, and the caller decides whether it is fatal.
//!
//! Not here: what the kernel's io_uring can do (`ring::probe`), and the service manager.

pub mod cores;
pub mod fatal;
pub mod files;
pub mod host_limits;
pub mod log;
pub mod open_files;
pub mod scheduling;
pub mod uptime;
