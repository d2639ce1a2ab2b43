//! What the process asks of its host at the start: open files, cores, scheduling; and how a panic ends it.
//!
//! Each leaf changes one thing and says what it got; what is refused comes back as an error with its remedy, and the
//! caller decides whether it is fatal.
//!
//! Not here: what the kernel's io_uring can do, and the service manager.

pub mod cores;
pub mod fatal;
pub mod open_files;
pub mod scheduling;
