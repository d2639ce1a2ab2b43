//! A log whose output behaves as a test prescribes.

use super::*;
use std::collections::VecDeque;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Longest that a test waits for something that is to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The behaviour of one write to an output.
enum Does {
    /// It takes at most so many bytes.
    Takes(usize),
    Fails(i32),
}

/// An output that does what it is told write by write, and waits to be told.
struct Scripted {
    script: Receiver<Does>,
    begun: Sender<()>,
    written: Sender<Vec<u8>>,
    waits: Sender<()>,
}

impl Output for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.send(());
        // A test that is over has no more to say.
        match self.script.recv().unwrap_or(Does::Takes(usize::MAX)) {
            Does::Takes(most) => {
                let taken = &bytes[..bytes.len().min(most)];
                let _ = self.written.send(taken.to_vec());
                Ok(taken.len())
            }
            Does::Fails(code) => {
                let _ = self.written.send(Vec::new());
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }

    fn wait(&mut self) {
        let _ = self.waits.send(());
    }
}

/// A log, and the other side of its output.
struct Scene {
    log: Log,
    script: Sender<Does>,
    /// A write that has begun.
    begun: Receiver<()>,
    is_writing: bool,
    written: Receiver<Vec<u8>>,
    waits: Receiver<()>,
    /// The written lines, and the start of the next one.
    lines: VecDeque<String>,
    line: String,
}

impl Scene {
    fn new(room: Room) -> Self {
        let (script, does) = channel();
        let (writes, written) = channel();
        let (waiting, waits) = channel();
        let (begins, begun) = channel();
        let output = Scripted { script: does, begun: begins, written: writes, waits: waiting };
        let log = Log::start("log", output, room, |_| false).unwrap();
        let (lines, line) = (VecDeque::new(), String::new());
        Self { log, script, begun, is_writing: false, written, waits, lines, line }
    }

    fn roomy() -> Self {
        Self::new(Room { entries: 1000, bytes: 100_000 })
    }

    /// Lets one write happen; gives how many bytes it took.
    fn lets(&mut self, does: Does) -> usize {
        self.wait_for_write();
        self.script.send(does).unwrap();
        let written = self.written.recv_timeout(PATIENCE).expect("a write");
        self.is_writing = false;
        self.line.push_str(std::str::from_utf8(&written).unwrap());
        while let Some((line, rest)) = self.line.split_once('\n') {
            self.lines.push_back(line.to_owned());
            self.line = rest.to_owned();
        }
        written.len()
    }

    /// Waits until the writer has begun a write, which then waits to be let.
    fn wait_for_write(&mut self) {
        if !self.is_writing {
            self.begun.recv_timeout(PATIENCE).expect("a write that begins");
            self.is_writing = true;
        }
    }

    /// Whether the writer has begun a write, which waits to be let.
    fn has_begun(&mut self) -> bool {
        self.is_writing |= self.begun.try_recv().is_ok();
        self.is_writing
    }

    /// The next line; lets the output take everything until it is there.
    fn line(&mut self) -> String {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return line;
            }
            self.lets(Does::Takes(usize::MAX));
        }
    }

    /// Has the writer hold this line, which is no longer in the queue, until its write is let.
    fn hold_writer(&mut self) {
        self.log.push("held\n");
        self.wait_for_write();
    }
}

/// How many dropped lines a line tells.
fn told_dropped(line: &str) -> u64 {
    let (before, _) = line.split_once(" log lines were dropped (").unwrap_or_else(|| panic!("{line}"));
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn writes_what_is_logged_in_order() {
    let mut scene = Scene::roomy();
    for number in 0..500 {
        scene.log.push(&format!("line {number}\n"));
    }
    for number in 0..500 {
        assert_eq!(scene.line(), format!("line {number}"));
    }
    assert_eq!(scene.log.lines_dropped(), 0);
}

#[test]
fn writes_many_lines_at_once_but_no_more_than_a_pipe_takes_in_one_piece() {
    let mut scene = Scene::roomy();
    scene.hold_writer();
    let long = format!("{}\n", "x".repeat(10_000));
    for text in ["a\n".repeat(1000), "b\n".repeat(1500), long, "c\n".to_owned()] {
        scene.log.push(&text);
    }
    let sizes: Vec<usize> = (0..5).map(|_| scene.lets(Does::Takes(usize::MAX))).collect();
    assert_eq!(sizes, [5, 2000, 3000, 10_001, 2]);
}

#[test]
fn a_full_queue_takes_no_more_and_tells_at_its_place_how_many_lines_are_missing() {
    let mut scene = Scene::new(Room { entries: 3, bytes: 100_000 });
    scene.hold_writer();
    for text in ["a\n", "b\n", "c\n", "dropped\n", "dropped\ndropped\n"] {
        scene.log.push(text);
    }
    assert_eq!(scene.log.lines_dropped(), 3);
    assert_eq!(scene.line(), "held");
    let told: Vec<_> = (0..4).map(|_| scene.line()).collect();
    assert_eq!(told[..3], ["a", "b", "c"]);
    assert!(told[3].contains(
        " WARN ringgate::process::log: 3 log lines were dropped (3 for lack of room in the queue)"
    ));
    scene.log.push("d\n");
    assert_eq!(scene.line(), "d", "they are told once");
}

#[test]
fn what_is_missing_is_told_between_the_lines_that_are_not() {
    let mut scene = Scene::new(Room { entries: 100, bytes: 10 });
    scene.hold_writer();
    scene.log.push("12345678\n");
    scene.log.push("too long\n");
    scene.lets(Does::Takes(usize::MAX));
    // The writer holds the first one: there is room again.
    scene.wait_for_write();
    scene.log.push("later\n");
    assert_eq!([scene.line(), scene.line()], ["held", "12345678"]);
    assert_eq!(told_dropped(&scene.line()), 1);
    assert_eq!(scene.line(), "later");
}

#[test]
fn a_text_that_is_larger_than_the_room_is_cut_between_lines() {
    let mut scene = Scene::new(Room { entries: 100, bytes: 20 });
    scene.hold_writer();
    scene.log.push("one\ntwo\nthree\nfour and more\nfive\n");
    assert_eq!(scene.log.lines_dropped(), 2);
    let told: Vec<_> = (0..4).map(|_| scene.line()).collect();
    assert_eq!(told, ["held", "one", "two", "three"]);
    assert_eq!(told_dropped(&scene.line()), 2);
}

#[test]
fn the_queue_never_holds_more_bytes_than_it_may_whoever_pushes() {
    let mut scene = Scene::new(Room { entries: 1000, bytes: 1000 });
    scene.hold_writer();
    let threads: u64 = 4;
    let each: u64 = 500;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    scene.log.push("seventeen bytes.\n");
                    assert!(scene.log.0.bytes.load(Ordering::Relaxed) <= 1000);
                }
            });
        }
    });
    let queued = scene.log.0.entries.len() as u64;
    assert!(queued <= 1000 / 17, "{queued}");
    assert_eq!(scene.log.lines_dropped() + queued, threads * each);
}

#[test]
fn a_write_that_fails_is_counted_and_the_next_lines_are_tried() {
    for code in [libc::ENOSPC, libc::EPIPE, libc::EIO, libc::EBADF] {
        let mut scene = Scene::roomy();
        for lost in ["lost\n", "lost\nlost\n"] {
            scene.log.push(lost);
            scene.lets(Does::Fails(code));
        }
        // Where the second text came late, the writer has tried to tell of the first one meanwhile.
        while scene.log.lines_dropped() < 3 {
            if scene.has_begun() {
                scene.lets(Does::Fails(code));
            } else {
                thread::yield_now();
            }
        }
        scene.log.push("again\n");
        let told = scene.line();
        assert_eq!(told_dropped(&told), 3);
        let error = io::Error::from_raw_os_error(code);
        assert!(told.ends_with(&format!("(3 that could not be written: {error})")), "{told}");
        assert_eq!(scene.line(), "again");
        assert_eq!(scene.log.lines_dropped(), 3, "what tells of it is no line of the log");
    }
}

#[test]
fn what_was_dropped_is_told_without_a_further_line() {
    let mut scene = Scene::roomy();
    scene.log.push("lost\n");
    scene.lets(Does::Fails(libc::ENOSPC));
    scene.lets(Does::Fails(libc::ENOSPC));
    assert_eq!(told_dropped(&scene.line()), 1);
}

#[test]
fn a_write_that_breaks_off_within_a_line_leaves_no_line_that_is_made_of_two() {
    let mut scene = Scene::roomy();
    scene.hold_writer();
    scene.log.push("whole\ntorn\nlost\n");
    scene.lets(Does::Takes(usize::MAX));
    assert_eq!(scene.lets(Does::Takes(8)), 8);
    scene.lets(Does::Fails(libc::ENOSPC));
    scene.log.push("next\n");
    assert_eq!([scene.line(), scene.line(), scene.line()], ["held", "whole", "to"]);
    assert_eq!(told_dropped(&scene.line()), 2);
    assert_eq!(scene.line(), "next");
}

#[test]
fn writes_that_take_a_part_are_gone_on_with() {
    let mut scene = Scene::roomy();
    scene.log.push("in many pieces\n");
    for _ in 0..7 {
        assert_eq!(scene.lets(Does::Takes(2)), 2);
    }
    assert_eq!(scene.line(), "in many pieces");
}

#[test]
fn an_output_that_would_have_to_wait_is_waited_for_and_loses_nothing() {
    let mut scene = Scene::roomy();
    scene.log.push("patient\n");
    for _ in 0..3 {
        scene.lets(Does::Fails(libc::EAGAIN));
        scene.waits.recv_timeout(PATIENCE).expect("a wait");
    }
    assert_eq!(scene.line(), "patient");
    assert_eq!(scene.log.lines_dropped(), 0);
}

#[test]
fn at_the_end_all_is_written_and_told() {
    let mut scene = Scene::new(Room { entries: 2, bytes: 1000 });
    scene.hold_writer();
    for text in ["a\n", "b\n", "dropped\n"] {
        scene.log.push(text);
    }
    for _ in 0..9 {
        let _ = scene.script.send(Does::Takes(usize::MAX));
    }
    assert!(scene.log.finish(PATIENCE));
    let written: Vec<u8> = scene.written.try_iter().flatten().collect();
    let written = String::from_utf8(written).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines[..3], ["held", "a", "b"]);
    assert_eq!(told_dropped(lines[3]), 1);
}

#[test]
fn the_end_waits_for_an_output_that_is_stuck_or_broken_for_a_bounded_time() {
    let scene = Scene::roomy();
    scene.log.push("never written\n");
    assert!(!scene.log.finish(Duration::from_millis(20)));

    let scene = Scene::roomy();
    scene.log.push("never written\n");
    for _ in 0..9 {
        scene.script.send(Does::Fails(libc::EPIPE)).unwrap();
    }
    assert!(scene.log.finish(PATIENCE), "an output that fails does not keep it");
}

#[test]
fn upkeep_is_done_for_as_long_as_there_is_any_and_once_more_at_the_end() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static AT_THE_END: AtomicBool = AtomicBool::new(false);
    let upkeep = |is_ending| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        AT_THE_END.fetch_or(is_ending, Ordering::Relaxed);
        true
    };
    let (_reader, output) = io::pipe().unwrap();
    let log = Log::start("log", Descriptor(output), Room { entries: 9, bytes: 99 }, upkeep).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while CALLS.load(Ordering::Relaxed) < 3 {
        assert!(Instant::now() < deadline, "upkeep is not done again");
        thread::park_timeout(Duration::from_millis(10));
    }
    assert!(!AT_THE_END.load(Ordering::Relaxed));
    assert!(log.finish(PATIENCE));
    assert!(AT_THE_END.load(Ordering::Relaxed));
}

#[test]
fn a_pipe_that_takes_no_more_without_waiting_is_written_to_when_it_does_again() {
    let (mut reader, pipe) = io::pipe().unwrap();
    let fd = OwnedFd::from(pipe);
    rustix::io::ioctl_fionbio(&fd, true).unwrap();
    while rustix::io::write(&fd, &[b'x'; 4096]).is_ok() {}
    let log = Log::start("log", Descriptor(fd), Room { entries: 9, bytes: 99 }, |_| false).unwrap();
    log.push("behind\n");
    assert!(!log.finish(Duration::from_millis(20)), "there is no room for it");
    let mut read = String::new();
    while !read.ends_with("behind\n") {
        let mut piece = [0; 4096];
        let count = reader.read(&mut piece).unwrap();
        assert!(count > 0, "the writer has ended without it");
        read.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    assert!(log.finish(PATIENCE));
    assert_eq!(log.lines_dropped(), 0);
}
