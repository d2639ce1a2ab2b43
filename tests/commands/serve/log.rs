//! The log of a process that serves: repeated warnings, and lines that could not be written.

use super::broken_stderr::{Broken, number};
use super::times;
use crate::support::backend::{Backend, Deaf, Pair, closed_port};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, request};
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

/// An opening that is refused because its backend is down.
fn refused_opening(served: &Served, path: &str) {
    let mut client = Raw::connect(served.address);
    client.send(request(path, "").as_bytes());
    read_refusal(&mut client, 502, "the backend cannot be reached");
}

/// Whether all threads of a process wait for something.
fn is_at_rest(served: &Served) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", served.child.id())).unwrap();
    // One that has ended meanwhile has no entry any more.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.into_iter().all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
}

fn with_status(instance: &str) -> String {
    format!("{instance}[status]\naddress = \"127.0.0.1:0\"\n")
}

#[test]
fn a_flood_of_openings_to_dead_backends_is_told_in_a_few_lines_that_name_the_api_and_count() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""))
        .with_api("u", &api_file("u", closed_port(), ""));
    let mut served = Served::start(&configuration);
    let begun = std::time::Instant::now();
    let floods = [("/t", "api=\"t\"", 200), ("/u", "api=\"u\"", 50), ("/t", "api=\"t\"", 100)];
    for (path, _, openings) in floods {
        (0..openings).for_each(|_| refused_opening(&served, path));
    }
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    let took = begun.elapsed();
    let said = served.said_to_the_end();
    for (api, openings) in [("api=\"t\"", 300), ("api=\"u\"", 50)] {
        let lines: Vec<&String> = said
            .iter()
            .filter(|line| line.contains("cannot connect to a backend") && line.contains(api))
            .collect();
        assert_eq!(lines.iter().map(|line| times(line)).sum::<u64>(), openings, "{lines:#?}");
        assert!(lines[..3].iter().all(|line| times(line) == 1), "the first at once: {lines:#?}");
        // Beside them one at the end, and one for every ten seconds.
        assert!(lines.len() as u64 <= 4 + took.as_secs() / 10, "{took:?}: {lines:#?}");
    }
    assert_eq!(
        said.iter()
            .filter(|line| line.contains("cannot connect"))
            .filter(|line| !line.contains("api="))
            .count(),
        0
    );
}

#[test]
fn the_count_of_a_repeated_warning_is_told_though_nothing_more_happens() {
    let served = Served::start(&Configuration::new(INSTANCE, &api_file("t", closed_port(), "")));
    (0..8).for_each(|_| refused_opening(&served, "/t"));
    let mut told = 0;
    while told < 8 {
        told += times(&served.wait_until_said("cannot connect to a backend"));
    }
    assert_eq!(told, 8);
}

#[test]
fn a_backend_that_answers_wrongly_is_warned_of_with_its_api() {
    let backend = Backend::new();
    let served = Served::start(&Configuration::new(INSTANCE, &api_file("t", backend.address, "")));
    let mut client = Raw::connect(served.address);
    client.send(request("/t", "").as_bytes());
    let (mut leg, _) = backend.take_request();
    leg.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    read_refusal(&mut client, 502, "the backend's answer is not a correct opening handshake");
    let line = served.wait_until_said("a backend's answer is not a correct one");
    assert!(line.contains(" WARN ") && line.contains("api=\"t\"") && line.contains("error="), "{line}");
}

#[test]
fn a_backend_that_is_silent_is_warned_of_with_its_api_its_address_and_the_deadline() {
    let (deaf, backend) = (Deaf::new(), Backend::new());
    let configuration = Configuration::new(INSTANCE, &api_file("t", deaf.address, "dial_timeout_ms = 100"))
        .with_api("u", &api_file("u", backend.address, "answer_timeout_ms = 100"));
    let served = Served::start(&configuration);
    for (path, told, logged, deadline, address) in [
        (
            "/t",
            "the backend did not take the connection in time",
            "a backend did not take a connection in time",
            "dial_timeout_ms",
            deaf.address,
        ),
        (
            "/u",
            "the backend did not answer in time",
            "a backend did not answer in time",
            "answer_timeout_ms",
            backend.address,
        ),
    ] {
        let mut client = Raw::connect(served.address);
        client.send(request(path, "").as_bytes());
        read_refusal(&mut client, 504, told);
        let line = served.wait_until_said(logged);
        let api = format!("api=\"{}\"", &path[1..]);
        for part in [" WARN ", &api, &format!("address={address}"), deadline] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
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
    // Faults are logged by threads of their own.
    wait_until("a process at rest", || is_at_rest(&served));
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
        assert!(
            line.contains("apis/u.toml:") && line.ends_with(", tls, diagnostics"),
            "a line in part: {line}"
        );
    }
    assert!(lines.last().is_some_and(|line| line.starts_with("drained")), "{:?}", lines.last());
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
