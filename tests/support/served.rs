//! `ringgate serve` as a process of its own, on a configuration of its own.

use super::accounts::connections_of;
use super::raw::{Raw, StreamEnd};
use super::{PATIENCE, comes_true};
use ringgate::services::status_page::STATUS_PAGE_AGE_MAX;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An instance file with two workers on a port of their own.
pub const INSTANCE: &str = "workers = 2\ndrain_s = 4\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";

/// A configuration in a folder of its own, with one API at `/t`.
pub struct Configuration {
    folder: Arc<TempDir>,
    /// The filter of its log; if empty, the environment's.
    log: &'static str,
}

impl Configuration {
    pub fn new(instance: &str, api: &str) -> Self {
        Self::empty().with_file("ringgate.toml", instance).with_api("t", api)
    }

    /// An empty folder.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("catalog/apis")).unwrap();
        Self { folder: folder.into(), log: "" }
    }

    /// With a further API.
    pub fn with_api(self, name: &str, api: &str) -> Self {
        fs::write(self.folder.path().join(format!("catalog/apis/{name}.toml")), api).unwrap();
        self
    }

    /// With a further file, by its path in the folder, or with another text in one that is there.
    pub fn with_file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// With a further file that nobody but its owner can read.
    pub fn with_secret_file(self, path: &str, text: &str) -> Self {
        let with_file = self.with_file(path, text);
        fs::set_permissions(with_file.folder.path().join(path), fs::Permissions::from_mode(0o600)).unwrap();
        with_file
    }

    /// The same, where the process logs what `filter` says.
    pub fn with_log(self, filter: &'static str) -> Self {
        Self { log: filter, ..self }
    }

    /// The folder that all of it is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ringgate.toml")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.arg("serve").arg("--config").arg(self.file());
        // Its control socket is beside its file, whatever runs the tests.
        command.env_remove("RUNTIME_DIRECTORY");
        if !self.log.is_empty() {
            command.env("RINGGATE_LOG", self.log);
        }
        command
    }

    /// Runs it under a limit of open files, soft and hard.
    pub fn run_with_open_files(&self, limit: u64) -> Output {
        let script = format!("ulimit -n {limit} && exec \"$0\" serve --config \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringgate")]).arg(self.file());
        output_in_time(command)
    }
}

/// Runs a command that is to end by itself.
pub fn output_in_time(mut command: Command) -> Output {
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

/// The answer of a status page, made after this was called: one that was made before is given for some milliseconds more.
pub fn status_page(address: SocketAddr) -> String {
    let called = Instant::now();
    loop {
        let is_new = called.elapsed() >= STATUS_PAGE_AGE_MAX;
        let mut client = Raw::connect(address);
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (answer, end) = client.read_to_end();
        assert_eq!(end, StreamEnd::Fin);
        if is_new {
            return String::from_utf8(answer).unwrap();
        }
    }
}

pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
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

/// A process that serves; ended when dropped. Declare it before what connects to it.
pub struct Served {
    pub child: Child,
    pub address: SocketAddr,
    pub announced: Vec<String>,
    /// Its lines on stderr.
    said: Receiver<String>,
    /// The folder of its files, which it watches for as long as it lives.
    _folder: Arc<TempDir>,
}

impl Served {
    pub fn start(configuration: &Configuration) -> Self {
        Self::start_with_stderr(configuration, Stdio::piped())
    }

    /// With a stderr of the test's own, unless it is [`Stdio::piped`].
    pub fn start_with_stderr(configuration: &Configuration, stderr: Stdio) -> Self {
        let mut command = configuration.command();
        command.stderr(stderr);
        Self::start_command(configuration, command)
    }

    /// By a command of the test's own, which becomes the process that serves. Its stderr is piped unless it says otherwise.
    pub fn start_command(configuration: &Configuration, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut announced: Vec<String> = Vec::new();
        while !announced.last().is_some_and(|line| line.starts_with("try it: ")) {
            announced.push(lines.next().expect("an announcement to its end").unwrap());
        }
        let address = announced.iter().find_map(|line| line.trim().strip_prefix("listening on ws://"));
        let address = address.expect("an address").parse().unwrap();
        let (sender, said) = channel();
        if let Some(stderr) = child.stderr.take().map(BufReader::new) {
            let lines = move || stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
            thread::spawn(lines);
        }
        Self { child, address, announced, said, _folder: Arc::clone(&configuration.folder) }
    }

    /// Where it announced its status page.
    pub fn status_address(&self) -> SocketAddr {
        let url = self.announced.iter().find_map(|line| line.trim().strip_prefix("status page on http://"));
        url.and_then(|url| url.strip_suffix('/')).expect("a status page").parse().unwrap()
    }

    /// Its status page, as it is now.
    pub fn status_page(&self) -> String {
        status_page(self.status_address())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line on stderr that has `part` in it.
    pub fn wait_until_said(&self, part: &str) -> String {
        loop {
            let line = self.next_said();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The next line on stderr.
    pub fn next_said(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("a line that was expected")
    }

    /// Returns the unread rest of its lines on stderr, once it has ended or is about to.
    pub fn said_to_the_end(&self) -> Vec<String> {
        let next = || match self.said.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("stderr does not end"),
        };
        std::iter::from_fn(next).collect()
    }

    /// Waits until it looks at no file of its catalogue any more, as it does at its start.
    pub fn wait_for_looks(&self) {
        self.signal(Signal::HUP);
        self.wait_until_said("catalogue unchanged; still serving revision ");
    }

    /// The numbers of its open files.
    pub fn open_files(&self) -> Vec<u64> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // One that is closed meanwhile has no entry any more.
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// Sets its soft limit of open files; `None` makes it the hard one again, which it has from this process.
    pub fn limit_open_files(&self, limit: Option<u64>) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limits = Rlimit { current: limit.or(maximum), maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limits).unwrap();
    }
}

impl Drop for Served {
    /// Ends the process. One that still serves has to close all connections first, as the test has closed its own ends.
    fn drop(&mut self) {
        let is_to_be_at_rest = !thread::panicking() && matches!(self.child.try_wait(), Ok(None));
        let process = self.child.id().to_string();
        let comes_to_rest = !is_to_be_at_rest || comes_true(|| connections_of(&process).is_empty());
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Said when the process is ended, so that a failure leaves none behind.
        assert!(comes_to_rest, "a process keeps connections that their other ends have closed");
    }
}
