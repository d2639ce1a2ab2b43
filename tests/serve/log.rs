//! What a process that serves logs of what it could not write.

use crate::broken_stderr::{Broken, number};
use crate::support::backend::{Backend, Pair};
use crate::support::served::{Configuration, INSTANCE, Served, wait_for_exit};
use crate::support::{PATIENCE, api_file, wait_until};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

fn with_status(instance: &str) -> String {
    format!("{instance}[status]\naddress = \"127.0.0.1:0\"\n")
}

/// How many dropped lines a line of the log tells.
fn told_dropped(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" log lines were dropped (")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn lines_that_nobody_reads_are_dropped_by_whole_lines_counted_and_told_when_they_are_read_again() {
    /// A file with so many faults, each of which is a line of the log.
    const FAULTS: usize = 900;
    let backend = Backend::new();
    let configuration = Configuration::new(&with_status(INSTANCE), &api_file("t", backend.address, ""));
    let (stderr, reader) = Broken::Unread.open();
    let mut served = Served::start_with_stderr(&configuration, stderr);
    let pair = Pair::open(served.address, &backend);
    let faults: String = (0..FAULTS).map(|number| format!("none_{number} = 1\n")).collect();
    fs::write(configuration.folder().join("catalog/apis/u.toml"), faults).unwrap();
    wait_until("lines that are dropped", || {
        let refusals = number(&served, "catalogue_refusals");
        served.signal(Signal::HUP);
        wait_until("a look at the catalogue", || number(&served, "catalogue_refusals") > refusals);
        number(&served, "log_lines_dropped") > 100
    });

    let said = lines_of(reader.unwrap());
    let mut lines: Vec<String> = Vec::new();
    // A report that is read was behind all that was in the queue: there is room from then on.
    wait_until("a report that is written", || {
        served.signal(Signal::USR1);
        lines.extend(said.try_iter());
        lines.iter().any(|line| line == "end of counters")
    });
    let dropped = number(&served, "log_lines_dropped");
    drop(pair);
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    while let Ok(line) = said.recv_timeout(PATIENCE) {
        lines.push(line);
    }
    assert_eq!(lines.iter().filter_map(|line| told_dropped(line)).sum::<u64>(), dropped, "each is told once");
    let faults: Vec<_> = lines.iter().filter(|line| line.contains("none_")).collect();
    assert!(faults.len() >= FAULTS, "{}", faults.len());
    for line in faults {
        assert!(line.contains("apis/u.toml:") && line.ends_with(", tls"), "a line in part: {line}");
    }
    assert_eq!(lines.last().map(String::as_str), Some("drained"));
}

/// The lines that can be read, as they come.
fn lines_of(reader: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    let read =
        move || BufReader::new(reader).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    thread::spawn(read);
    lines
}

/// Opens the reading end of a FIFO, whether it is written to or not.
fn read_fifo(path: &Path) -> File {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    rustix::io::ioctl_fionbio(&reader, false).unwrap();
    reader.into()
}

#[test]
fn what_was_dropped_without_a_reader_is_told_to_the_next_one() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_status(INSTANCE), &api_file("t", backend.address, ""));
    let path = configuration.folder().join("stderr");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let first = read_fifo(&path);
    let stderr = File::options().write(true).open(&path).unwrap();
    let served = Served::start_with_stderr(&configuration, Stdio::from(stderr));
    drop(first);
    served.signal(Signal::USR1);
    wait_until("a report that is dropped", || number(&served, "log_lines_dropped") > 1);
    let dropped = number(&served, "log_lines_dropped");

    let lines = lines_of(read_fifo(&path));
    let next = || lines.recv_timeout(PATIENCE).expect("a line");
    // Within a second, without anything more to say.
    let told = next();
    assert_eq!(told_dropped(&told), Some(dropped), "{told}");
    assert!(told.contains("could not be written: Broken pipe"), "{told}");
    served.signal(Signal::USR1);
    while next() != "end of counters" {}
}
