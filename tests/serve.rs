//! `ringgate serve` as a process: how it starts, what it says when it cannot, and how signals end it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use support::backend::{Backend, Pair, closed_port, tungstenite_echo};
use support::frames::{client_frame, close_payload, server_frame};
use support::handshake::read_refusal;
use support::raw::{Raw, StreamEnd, request};
use support::{PATIENCE, api_file, wait_until};
use tempfile::TempDir;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// A configuration in a folder of its own, with one API at `/t`.
struct Configuration {
    folder: TempDir,
}

impl Configuration {
    fn new(instance: &str, api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("catalog/apis")).unwrap();
        fs::write(folder.path().join("ringgate.toml"), instance).unwrap();
        fs::write(folder.path().join("catalog/apis/t.toml"), api).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ringgate.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.arg("serve").arg("--config").arg(self.file());
        command
    }

    /// Runs it under a limit of open files, soft and hard.
    fn run_with_open_files(&self, limit: u64) -> Output {
        let script = format!("ulimit -n {limit} && exec \"$0\" serve --config \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringgate")]).arg(self.file());
        output_in_time(command)
    }
}

/// Runs a command that is to end by itself.
fn output_in_time(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = wait_for_exit(&mut child);
    let read = |mut from: Box<dyn Read>| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    Output { status, stdout, stderr: read(Box::new(child.stderr.take().unwrap())) }
}

fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let mut status = None;
    let deadline = Instant::now() + PATIENCE;
    while status.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process did not end by itself");
        }
        status = child.try_wait().unwrap();
        thread::park_timeout(Duration::from_millis(1));
    }
    status.unwrap()
}

/// A failed start: exit code 1, nothing announced, and what was said.
fn failure(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(output.stdout, b"", "{said}");
    said
}

/// A process that serves; ended when dropped.
struct Served {
    child: Child,
    address: SocketAddr,
    announced: Vec<String>,
    /// What it says on stderr, line by line.
    said: Receiver<String>,
}

impl Served {
    fn start(configuration: &Configuration) -> Self {
        let mut command = configuration.command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut announced: Vec<String> = Vec::new();
        while !announced.last().is_some_and(|line| line.starts_with("try it: ")) {
            announced.push(lines.next().expect("an announcement to its end").unwrap());
        }
        let address = announced.iter().find_map(|line| line.trim().strip_prefix("listening on ws://"));
        let address = address.expect("an address").parse().unwrap();
        let (sender, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, address, announced, said }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line on stderr that has `part` in it.
    fn wait_until_said(&self, part: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).expect("a line that was expected");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The numbers of its open files.
    fn open_files(&self) -> Vec<u64> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // One that is closed meanwhile has no entry any more.
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// Sets its soft limit of open files; `None` makes it the hard one again, which it has from this process.
    fn limit_open_files(&self, limit: Option<u64>) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limits = Rlimit { current: limit.or(maximum), maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limits).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const INSTANCE: &str = "workers = 2\ndrain_s = 4\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";

#[test]
fn serves_a_file_and_drains_at_sigterm_with_close_1001_and_exit_0() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let mut served = Served::start(&configuration);
    assert_eq!(served.announced[0].split(',').next(), Some("ringgate is open: 2 workers"));
    assert!(
        served.announced.iter().any(|line| line.starts_with("  /t → ws://127.0.0.1:")),
        "{:?}",
        served.announced
    );

    let url = format!("ws://{}/t", served.address);
    let (mut client, _) = tungstenite::connect(&url).expect("a session");
    for message in [Message::text("héllo"), Message::binary(vec![7; 100_000])] {
        client.send(message.clone()).unwrap();
        assert_eq!(client.read().unwrap(), message);
    }

    served.signal(Signal::TERM);
    let Message::Close(Some(close)) = client.read().unwrap() else { panic!("a Close with a code") };
    assert_eq!((close.code, close.reason.as_str()), (CloseCode::Away, "drain"));
    // Reading on answers the Close.
    while client.read().is_ok() {}
    let status = wait_for_exit(&mut served.child);
    assert_eq!(status.code(), Some(0));
    served.wait_until_said("draining for at most 4 s");
    served.wait_until_said("drained");
}

#[test]
fn takes_no_connection_after_sigint_and_lets_a_session_finish_its_close() {
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let Pair { mut client, backend: mut session } = Pair::open(served.address, &backend);
    served.signal(Signal::INT);
    let close = server_frame(0x88, &close_payload(1001, "drain"));
    client.expect(&close);
    wait_until("a port that is closed", || std::net::TcpStream::connect(served.address).is_err());
    client.send(&client_frame(0x88, &close_payload(1001, "")));
    assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin));
    // The backend is told too: a masked Close.
    assert_eq!(session.read(1), [0x88]);
    drop((client, session));
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn an_instance_without_sessions_ends_at_its_first_signal_however_long_it_may_drain() {
    let instance = INSTANCE.replace("drain_s = 4", "drain_s = 3600");
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let mut served = Served::start(&configuration);
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("drained");
}

#[test]
fn a_second_signal_ends_at_once() {
    let backend = Backend::new();
    let instance = INSTANCE.replace("drain_s = 4", "drain_s = 3600");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let Pair { mut client, backend: session } = Pair::open(served.address, &backend);
    // An unfinished frame: there is no boundary for a Close, so the drain has to wait.
    client.send(&client_frame(0x82, b"payload")[..8]);
    served.signal(Signal::TERM);
    served.wait_until_said("draining");
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("ended at once");
    drop((client, session));
}

#[test]
fn a_configuration_with_faults_is_told_with_all_of_them() {
    let configuration = Configuration::new(
        "workers = 0\ndrain_s = 3601\n",
        "display_name = \"T\"\nurl = \"http://a\"\nsuffix = \"t\"\nx = 1\n",
    );
    let said = failure(output_in_time(configuration.command()));
    for part in ["workers = 0", "drain_s = 3601", "url = \"http://a\"", "x"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(said.lines().count(), 5, "a line for each of the four: {said}");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let configuration = Configuration::new("", "");
    fs::remove_file(configuration.file()).unwrap();
    let said = failure(output_in_time(configuration.command()));
    assert!(said.contains("ringgate.toml"), "{said}");
}

#[test]
fn a_port_in_use_is_named_with_its_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let instance = INSTANCE.replace("127.0.0.1:0", &address.to_string());
    let configuration = Configuration::new(&instance, &api_file("t", address, ""));
    let said = failure(output_in_time(configuration.command()));
    assert!(said.contains(&format!("cannot listen on {address}: ")), "{said}");
    assert!(said.contains("stop what listens there, or choose another address"), "{said}");
}

#[test]
fn a_port_of_another_instance_is_in_use() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let served = Served::start(&configuration);
    let instance = INSTANCE.replace("127.0.0.1:0", &served.address.to_string());
    let second = Configuration::new(&instance, &api_file("t", served.address, ""));
    let said = failure(output_in_time(second.command()));
    assert!(said.contains(&format!("cannot listen on {}: ", served.address)), "{said}");
    // The first one goes on.
    drop(Raw::open(served.address, "/t"));
}

#[test]
fn says_how_many_sessions_it_holds_and_what_says_so() {
    for (limits, announced) in [
        ("tier = \"developer\"", "2500 sessions (tier developer, 1 unit)"),
        ("tier = \"basic\"\nunits = 1\nconnections_max = 7", "7 sessions (limits.connections_max)"),
        ("", "sessions (open-file limit)"),
    ] {
        let instance = format!("{INSTANCE}[limits]\n{limits}\n");
        let served = Served::start(&Configuration::new(&instance, &api_file("t", closed_port(), "")));
        assert!(served.announced[0].ends_with(announced), "{limits}: {}", served.announced[0]);
    }
}

#[test]
fn a_tier_that_needs_more_open_files_is_refused_with_the_remedy() {
    let instance = format!("{INSTANCE}[limits]\ntier = \"basic\"\nunits = 2\n");
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let said = failure(configuration.run_with_open_files(4096));
    assert!(
        said.contains("cannot hold 10000 sessions (tier basic, 2 units): needs 20448 open files"),
        "{said}"
    );
    assert!(said.contains("or set limits.connections_max lower than the tier"), "{said}");
}

#[test]
fn more_sessions_than_open_files_are_refused_with_the_remedy() {
    let instance =
        "workers = 1\n[limits]\nconnections_max = 1000\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let configuration = Configuration::new(instance, &api_file("t", tungstenite_echo(), ""));
    let said = failure(configuration.run_with_open_files(1024));
    let needed =
        "cannot hold 1000 sessions (limits.connections_max): needs 2384 open files, 64 of them for openings";
    assert!(said.contains(&format!("{needed}, and the limit is 1024")), "{said}");
    assert!(
        said.contains("raise LimitNOFILE in the unit or ulimit -n, or lower limits.connections_max"),
        "{said}"
    );
}

#[test]
fn a_limit_of_open_files_that_holds_no_session_is_refused_with_the_remedy() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    for limit in [64, 385] {
        let said = failure(configuration.run_with_open_files(limit));
        assert!(said.contains(&format!("the limit is {limit}; raise LimitNOFILE")), "{said}");
    }
}

#[test]
fn accepting_pauses_while_open_files_are_used_up_and_goes_on_when_they_are_back() {
    let backend = Backend::new();
    let instance = INSTANCE.replace("workers = 2", "workers = 1");
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    // A session that lives; and the front waits for the next connection.
    let mut pair = Pair::open(served.address, &backend);
    let in_use = served.open_files();
    let lowest_free = (0..).find(|number| !in_use.contains(number)).unwrap();
    served.limit_open_files(Some(lowest_free));

    // The accept that is already waiting takes one connection more; there is no open file left for its backend.
    let mut first = Raw::connect(served.address);
    first.send(request("/t", "").as_bytes());
    read_refusal(&mut first, 503, "this instance has no open files or memory left");
    let pauses = |line: String| line.split("pauses=").nth(1).and_then(|number| number.trim().parse().ok());
    assert_eq!(pauses(served.wait_until_said("cannot accept connections")), Some(1));
    // A second later all pauses since are told in one line: about ten of 100 ms.
    let more: u32 = pauses(served.wait_until_said("cannot accept connections")).unwrap();
    assert!((1..=12).contains(&more), "{more} pauses in a second");
    pair.exchange();

    // Who comes now waits in the listener's queue.
    let mut late = Raw::connect(served.address);
    late.send(request("/t", "").as_bytes());
    served.limit_open_files(None);
    let session = backend.take_session();
    assert!(late.read_head().starts_with("HTTP/1.1 101 "));
    drop((late, session, pair));
}

#[test]
fn a_flood_of_connections_beyond_openings_max_keeps_few_open_files() {
    /// Connections of a worker that were turned away and linger, and one that is just accepted.
    const PASSING: usize = 32 + 1;
    let instance = INSTANCE.replace("workers = 2", "workers = 1")
        + "[limits]\nopenings_max = 8\nhead_timeout_ms = 120000\n";
    let backend = Backend::new();
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    // Once it carries a session, it has all the files that it works with.
    let mut pair = Pair::open(served.address, &backend);
    let before = served.open_files().len();
    let silent: Vec<Raw> = (0..8).map(|_| Raw::connect(served.address)).collect();
    wait_until("eight openings", || served.open_files().len() == before + silent.len());

    let mut flood: Vec<Raw> = (0..200).map(|_| Raw::connect(served.address)).collect();
    for client in &mut flood {
        let (answer, end) = client.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&answer));
        assert_eq!(end, StreamEnd::Fin);
        let open = served.open_files().len();
        assert!(open <= before + silent.len() + PASSING, "{open} open files, {before} before");
    }
    pair.exchange();
    drop((flood, silent));
    wait_until("as many open files as before", || served.open_files().len() == before);
}
