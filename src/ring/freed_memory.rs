//! Waits for the locked memory of rings that were closed a moment ago.
//!
//! The kernel frees a ring after its last descriptor is closed, on a work queue (`io_ring_exit_work`), so after the process that
//! had it may have ended. A service that is restarted under a limit that its rings just fit in would otherwise fail to start.

use std::io;
use std::thread;
use std::time::Duration;

/// How often the kernel is asked again, and how long is waited before each: two seconds in total. A ring is usually freed within
/// tens of milliseconds, on a busy host within hundreds.
const RETRIES_MAX: u32 = 100;
const BETWEEN_RETRIES: Duration = Duration::from_millis(20);

/// Calls `make` again for up to two seconds while the kernel has no memory for it (`ENOMEM`). Blocks the thread.
///
/// # Errors
/// The error of the last call.
#[expect(clippy::disallowed_methods, reason = "the kernel announces no freed ring")]
pub fn when_memory_is_freed<T>(make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    retry(make, || thread::sleep(BETWEEN_RETRIES))
}

fn retry<T>(mut make: impl FnMut() -> io::Result<T>, mut pause: impl FnMut()) -> io::Result<T> {
    for _ in 0..RETRIES_MAX {
        match make() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => pause(),
            made => return made,
        }
    }
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the calls until `make`, which fails `failures` times with `errno`, has an answer.
    fn calls(failures: u32, errno: i32) -> (u32, Result<(), Option<i32>>) {
        let (mut calls, mut pauses) = (0, 0);
        let make = || {
            calls += 1;
            if calls > failures { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
        };
        let made = retry(make, || pauses += 1).map_err(|error| error.raw_os_error());
        assert_eq!(pauses, calls - 1, "a pause between every two calls");
        (calls, made)
    }

    #[test]
    fn asks_again_until_the_kernel_has_memory() {
        assert_eq!(calls(0, libc::ENOMEM), (1, Ok(())));
        assert_eq!(calls(7, libc::ENOMEM), (8, Ok(())));
        assert_eq!(calls(RETRIES_MAX, libc::ENOMEM), (RETRIES_MAX + 1, Ok(())));
    }

    #[test]
    fn gives_up_where_memory_is_not_freed() {
        let lasting = calls(u32::MAX, libc::ENOMEM);
        assert_eq!(lasting, (RETRIES_MAX + 1, Err(Some(libc::ENOMEM))));
        assert_eq!(BETWEEN_RETRIES * RETRIES_MAX, Duration::from_secs(2));
    }

    #[test]
    fn passes_any_other_error_on_at_once() {
        assert_eq!(calls(u32::MAX, libc::EPERM), (1, Err(Some(libc::EPERM))));
    }
}
