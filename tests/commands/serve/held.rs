//! Threads of a process that serves, held as an operator would hold them, with a debugger: the test traces the thread, and the kernel
//! stops it. The others run on, which SIGSTOP would not let them.

use crate::support::served::Served;
use std::fs;

/// A thread of another process that is stopped until this is dropped.
pub(super) struct Held(libc::pid_t);

impl Held {
    /// Stops a thread. `None`: this host lets nobody trace.
    #[expect(unsafe_code, reason = "nothing else has ptrace(2)")]
    pub(super) fn stop(thread: u32) -> Option<Self> {
        let thread = thread as libc::pid_t;
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: none of these calls takes memory of this process, but for `status`, which outlives its call.
        unsafe {
            if libc::ptrace(libc::PTRACE_SEIZE, thread, nothing, nothing) != 0 {
                return None;
            }
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, nothing, nothing), 0);
            let mut status = 0;
            assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
            assert!(libc::WIFSTOPPED(status), "{status}");
        }
        Some(Self(thread))
    }

    /// Whether it was ended meanwhile: with its process, since it is stopped.
    #[expect(unsafe_code, reason = "nothing else waits for a thread of another process")]
    pub(super) fn has_ended(&self) -> bool {
        let mut status = 0;
        // SAFETY: the kernel writes to `status` only, which outlives the call.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL | libc::WNOHANG) };
        waited == self.0 && (libc::WIFEXITED(status) || libc::WIFSIGNALED(status))
    }
}

impl Drop for Held {
    #[expect(unsafe_code, reason = "nothing else has ptrace(2)")]
    fn drop(&mut self) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the call takes no memory of this process. It fails where the thread has ended.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, nothing, nothing) };
    }
}

/// The number of the thread of a process that has this name.
pub(super) fn thread_of(served: &Served, name: &str) -> u32 {
    let tasks = format!("/proc/{}/task", served.child.id());
    let named = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = fs::read_dir(tasks).unwrap().flatten().find(named);
    task.unwrap_or_else(|| panic!("no thread {name}")).file_name().to_str().unwrap().parse().unwrap()
}
