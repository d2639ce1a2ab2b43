//! Ends the process at a panic: at once, with a log line.
//!
//! A panic is a broken invariant that was not confined to one session or opening, so shared state may be broken too: a buffer, a
//! place, a count. A runtime that catches the panic of a task would go on with that. So a panic on any thread, in a task or not,
//! ends the process with SIGABRT, and the unit restarts it.
//!
//! The property to trust: the process ends, whatever state standard error is in. It waits for the log, but not for long.
//!
//! One thread is excepted ([`end_this_thread_only`]): the one that reads and compiles the files of a catalogue. It changes
//! nothing that others share, and hands over its result only as a whole. A catalogue that makes it panic must not end open
//! sessions.
//!
//! Not here: how a panic is logged (`process::log`), and a session's or an opening's broken invariant, which ends that one only
//! (`session::invariant`).

use super::log;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

thread_local! {
    /// A panic of this thread does not end the process.
    static ENDS_THREAD_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic of the calling thread end that thread only. For a thread that changes no shared state, and whose end is
/// noticed.
pub fn end_this_thread_only() {
    ENDS_THREAD_ONLY.set(true);
}

/// Makes every panic from here on, on any thread, end the process, after the current hook has reported it.
pub fn end_process_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if ENDS_THREAD_ONLY.get() {
            return tell(panic);
        }
        static IS_ENDING: AtomicBool = AtomicBool::new(false);
        if IS_ENDING.swap(true, Ordering::Relaxed) {
            // Another thread is about to end the process. Its panic is the one that says why.
            loop {
                thread::park();
            }
        }
        tell(panic);
        log::say("ringgate: that is a bug: the process ends, and its sessions with it");
        log::finish();
        std::process::abort()
    }));
}

/// Tests that end their process: each runs in a process of its own.
#[cfg(test)]
pub(crate) mod child {
    use std::process::{Command, Output, Stdio};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Far longer than any child takes, on a busy machine too.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// The first action of a serving process, before anything can panic.
    pub(crate) fn begin() {
        crate::process::log::start().expect("a thread for the log");
        super::end_process_on_panic();
    }

    /// Runs the ignored test of that name in a process of its own, to its end.
    pub(crate) fn run(test: &str) -> Output {
        run_with(test, Stdio::piped())
    }

    /// As [`run`], with another standard error.
    pub(crate) fn run_with(test: &str, stderr: Stdio) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("this test is a file"));
        command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let child = command.spawn().expect("a process can be started");
        let id = child.id();
        leaves_no_core(id);
        let (ended, has_ended) = mpsc::channel();
        std::thread::spawn(move || ended.send(child.wait_with_output()));
        match has_ended.recv_timeout(PATIENCE) {
            Ok(output) => output.expect("a child can be waited for"),
            Err(_) => {
                let id = rustix::process::Pid::from_raw(id as i32).expect("a process has a number");
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
                panic!("{test} did not end its process");
            }
        }
    }

    /// A process that aborts on purpose leaves no file behind.
    fn leaves_no_core(id: u32) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        // It may have ended by now.
        let _ = prlimit(Pid::from_raw(id as i32), Resource::Core, none);
    }

    /// Whether a process ended by SIGABRT.
    pub(crate) fn is_aborted(output: &Output) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        output.status.signal() == Some(libc::SIGABRT)
    }

    /// Returns the output on standard error.
    pub(crate) fn stderr(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::child::{begin, is_aborted, run, run_with, stderr};
    use std::fs::File;
    use std::process::Stdio;
    use std::thread;

    /// Stays: whatever panics elsewhere has to end the process.
    fn wait_for_the_end() -> ! {
        loop {
            thread::park();
        }
    }

    #[test]
    #[ignore = "ends its process: a_panic_anywhere_ends_the_process_and_is_told runs it in one of its own"]
    fn child_panics_on_a_thread() {
        begin();
        let worker = thread::Builder::new().name("relay-7".to_owned());
        worker.spawn(|| panic!("an invariant\nof a thread")).unwrap();
        wait_for_the_end();
    }

    #[test]
    #[ignore = "ends its process: a_panic_anywhere_ends_the_process_and_is_told runs it in one of its own"]
    fn child_panics_where_the_panic_is_caught() {
        begin();
        let _caught = std::panic::catch_unwind(|| panic!("an invariant"));
        wait_for_the_end();
    }

    #[test]
    #[ignore = "ends its process: a_panic_anywhere_ends_the_process_and_is_told runs it in one of its own"]
    fn child_panics_in_a_task_of_a_front() {
        begin();
        tokio_uring::start(async {
            tokio_uring::spawn(async { panic!("an invariant") });
            std::future::pending::<()>().await;
        });
    }

    #[test]
    #[ignore = "ends its process: a_panic_anywhere_ends_the_process_and_is_told runs it in one of its own"]
    fn child_panics_in_a_task_of_the_control_thread() {
        begin();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(async { panic!("an invariant") });
            std::future::pending::<()>().await;
        });
    }

    #[test]
    #[ignore = "ends its process: a_panic_anywhere_ends_the_process_and_is_told runs it in one of its own"]
    fn child_panics_in_blocking_work_of_the_control_thread() {
        begin();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            tokio::task::spawn_blocking(|| panic!("an invariant"));
            std::future::pending::<()>().await;
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts processes")]
    fn a_panic_anywhere_ends_the_process_and_is_told() {
        for child in [
            "child_panics_on_a_thread",
            "child_panics_where_the_panic_is_caught",
            "child_panics_in_a_task_of_a_front",
            "child_panics_in_a_task_of_the_control_thread",
            "child_panics_in_blocking_work_of_the_control_thread",
        ] {
            let ended = run(&format!("process::fatal::tests::{child}"));
            let told = stderr(&ended);
            assert!(is_aborted(&ended), "{child}: {:?}, {told}", ended.status);
            assert!(told.contains(" panicked at ") && told.contains("an invariant"), "{child}: {told}");
            assert!(told.contains("src/process/fatal.rs:"), "{child}: {told}");
        }
    }

    #[test]
    #[ignore = "needs a process of its own: a_panic_of_a_thread_that_shares_nothing_ends_that_thread_only gives it one"]
    fn child_panics_on_a_thread_that_shares_nothing() {
        begin();
        let ended = thread::spawn(|| {
            super::end_this_thread_only();
            panic!("a catalogue")
        });
        assert!(ended.join().is_err());
        crate::process::log::finish();
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts processes")]
    fn a_panic_of_a_thread_that_shares_nothing_ends_that_thread_only() {
        let ended = run("process::fatal::tests::child_panics_on_a_thread_that_shares_nothing");
        let told = stderr(&ended);
        assert!(ended.status.success(), "{:?}, {told}", ended.status);
        assert!(told.contains(" panicked at ") && told.contains("a catalogue"), "{told}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts processes")]
    fn the_last_lines_name_the_thread_and_say_what_becomes_of_the_process() {
        let told = stderr(&run("process::fatal::tests::child_panics_on_a_thread"));
        let mut lines = told.lines();
        let line = lines.find(|line| line.contains("thread relay-7 panicked at ")).unwrap_or_default();
        assert!(line.ends_with(r#": "an invariant\nof a thread""#), "{told}");
        let last = "ringgate: that is a bug: the process ends, and its sessions with it";
        assert_eq!(lines.next(), Some(last), "{told}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts processes")]
    fn a_panic_ends_the_process_whatever_standard_error_is() {
        let (unread, nobody_writes) = std::io::pipe().unwrap();
        // Nobody reads it, and it is full.
        rustix::io::ioctl_fionbio(&nobody_writes, true).unwrap();
        while rustix::io::write(&nobody_writes, &[0; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&nobody_writes, false).unwrap();
        let (reader, without_reader) = std::io::pipe().unwrap();
        drop(reader);
        let full = File::options().write(true).open("/dev/full").unwrap();
        for (what, standard_error) in [
            ("full", Stdio::from(full)),
            ("a pipe without a reader", Stdio::from(without_reader)),
            ("a pipe that nobody reads", Stdio::from(nobody_writes)),
        ] {
            let ended = run_with("process::fatal::tests::child_panics_on_a_thread", standard_error);
            assert!(is_aborted(&ended), "{what}: {:?}", ended.status);
        }
        drop(unread);
    }
}
