//! A process that serves while its standard error takes nothing: every kind of that, and all that it logs at.

use super::stop_again;
use crate::support::backend::{Backend, Pair, closed_port, free_port};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served, wait_for_exit};
use crate::support::{api_file, wait_until};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{self, PipeReader, Write as _};
use std::process::{Child, Command, Stdio};

/// A standard error that takes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// Its disk is full: ENOSPC.
    Full,
    /// A pipe whose reader is gone: EPIPE.
    WithoutReader,
    /// A pipe that is full and that nobody reads: a write waits for ever.
    Unread,
    /// The same, not blocking: EAGAIN.
    UnreadNotBlocking,
}

impl Broken {
    pub(crate) const ALL: [Self; 4] =
        [Self::Full, Self::WithoutReader, Self::Unread, Self::UnreadNotBlocking];

    /// Such a standard error, and its reader if it has one.
    pub(crate) fn open(self) -> (Stdio, Option<PipeReader>) {
        if let Self::Full = self {
            return (File::options().write(true).open("/dev/full").unwrap().into(), None);
        }
        let (reader, mut writer) = io::pipe().unwrap();
        if let Self::WithoutReader = self {
            return (writer.into(), None);
        }
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        // By lines, so that a reader can tell them from those of the log.
        while writer.write_all(&[b'\n'; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&writer, matches!(self, Self::UnreadNotBlocking)).unwrap();
        (writer.into(), Some(reader))
    }
}

/// A process with such a standard error: one worker, an API at `/t` and one at `/dead` whose backend is down.
struct Scene {
    broken: Broken,
    configuration: Configuration,
    served: Served,
    backend: Backend,
    _reader: Option<PipeReader>,
}

impl Scene {
    fn start(broken: Broken) -> Self {
        let instance =
            INSTANCE.replace("workers = 2", "workers = 1").replace("drain_s = 4", "drain_s = 3600")
                + "[status]\naddress = \"127.0.0.1:0\"\n";
        let backend = Backend::new();
        let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""))
            .with_api("dead", &api_file("dead", closed_port(), ""));
        let (stderr, reader) = broken.open();
        let served = Served::start_with_stderr(&configuration, stderr);
        Self { broken, configuration, served, backend, _reader: reader }
    }

    /// A number of the status page.
    fn number(&self, name: &str) -> u64 {
        number(&self.served, name)
    }

    fn status_of(&self, path: &str) -> String {
        let mut client = Raw::connect(self.served.address);
        client.send(request(path, "").as_bytes());
        String::from_utf8_lossy(&client.read_to_end().0).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    fn write_api(&self, name: &str, text: &str) {
        fs::write(self.configuration.folder().join(format!("catalog/apis/{name}.toml")), text).unwrap();
    }
}

/// A number of the status page of a process.
pub(crate) fn number(served: &Served, name: &str) -> u64 {
    let page = served.status_page();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

/// Plays it with every kind.
fn with_every(play: impl Fn(&mut Scene)) {
    for broken in Broken::ALL {
        play(&mut Scene::start(broken));
    }
}

#[test]
fn changes_of_the_catalogue_are_taken_up_or_refused_and_sessions_stay() {
    with_every(|scene| {
        let mut pair = Pair::open(scene.served.address, &scene.backend);
        scene.write_api("u", &api_file("u", closed_port(), ""));
        wait_until(&format!("{:?}: an API that is new", scene.broken), || scene.status_of("/u") == "502");
        scene.write_api("v", "none = 1\n");
        wait_until(&format!("{:?}: a change that is refused", scene.broken), || {
            scene.number("catalogue_refusals") == 1
        });
        pair.exchange();
    });
}

#[test]
fn sigterm_drains_with_close_1001_and_exit_0() {
    with_every(|scene| {
        let Pair { mut client, backend } = Pair::open(scene.served.address, &scene.backend);
        scene.served.signal(Signal::TERM);
        client.expect(&server_frame(0x88, &close_payload(1001, "drain")));
        client.send(&client_frame(0x88, &close_payload(1001, "")));
        assert_eq!(client.read_to_end(), (vec![], StreamEnd::Fin), "{:?}", scene.broken);
        drop((client, backend));
        assert_eq!(wait_for_exit(&mut scene.served.child).code(), Some(0), "{:?}", scene.broken);
    });
}

#[test]
fn a_second_sigterm_ends_at_once_with_exit_0() {
    with_every(|scene| {
        let Pair { mut client, backend } = Pair::open(scene.served.address, &scene.backend);
        // An unfinished frame: there is no boundary for a Close, so the drain has to wait.
        client.send(&client_frame(0x82, b"payload")[..8]);
        scene.served.signal(Signal::TERM);
        let address = scene.served.address;
        wait_until("a port that is closed", || std::net::TcpStream::connect(address).is_err());
        stop_again(&mut scene.served);
        drop((client, backend));
    });
}

#[test]
fn reports_on_sigusr1_hold_nothing_up() {
    with_every(|scene| {
        let mut pair = Pair::open(scene.served.address, &scene.backend);
        for _ in 0..50 {
            scene.served.signal(Signal::USR1);
            assert_eq!(scene.number("catalogue_publishes"), 1, "{:?}", scene.broken);
        }
        pair.exchange();
        drop(Pair::open(scene.served.address, &scene.backend));
    });
}

#[test]
fn every_opening_to_a_dead_backend_is_answered_and_other_apis_are_served() {
    with_every(|scene| {
        for _ in 0..500 {
            let mut client = Raw::connect(scene.served.address);
            client.send(request("/dead", "").as_bytes());
            read_refusal(&mut client, 502, "the backend cannot be reached");
        }
        Pair::open(scene.served.address, &scene.backend).exchange();
    });
}

#[test]
fn accepting_goes_on_after_a_moment_without_open_files() {
    with_every(|scene| {
        let served = &scene.served;
        let mut pair = Pair::open(served.address, &scene.backend);
        wait_until(&format!("{:?}: a pause of the listener", scene.broken), || {
            let in_use = served.open_files();
            served.limit_open_files((0..).find(|number| !in_use.contains(number)));
            // The accept that is already waiting takes the first one; there is no open file for the second.
            let mut clients = [(); 2].map(|()| Raw::connect(served.address));
            clients.iter_mut().for_each(|client| client.send(request("/nowhere", "").as_bytes()));
            clients[0].read_head();
            served.limit_open_files(None);
            assert!(clients[1].read_head().starts_with("HTTP/1.1 404 "), "{:?}", scene.broken);
            scene.number("accept_pauses") > 0
        });
        pair.exchange();
        Pair::open(served.address, &scene.backend).exchange();
    });
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    for broken in [Broken::Full, Broken::WithoutReader] {
        let scene = Scene::start(broken);
        scene.served.signal(Signal::USR1);
        wait_until(&format!("{broken:?}: a report that is dropped"), || {
            scene.number("log_lines_dropped") > 1
        });
    }
}

#[test]
fn a_start_that_fails_ends_with_exit_1() {
    for broken in Broken::ALL {
        let configuration = Configuration::new("workers = 0\n", "");
        let (stderr, _reader) = broken.open();
        let mut child = configuration.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        assert_eq!(wait_for_exit(&mut child).code(), Some(1), "{broken:?}");
    }
}

/// A process that is ended when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serves_whatever_standard_output_is() {
    for broken in Broken::ALL {
        let listener = free_port();
        let backend = Backend::new();
        let instance = INSTANCE.replace("127.0.0.1:0", &listener.to_string());
        let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
        let (stdout, _reader) = broken.open();
        let child = configuration.command().stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
        let mut child = Ended(child);
        wait_until("a listener", || std::net::TcpStream::connect(listener).is_ok());
        Pair::open(listener, &backend).exchange();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), Signal::TERM).unwrap();
        assert_eq!(wait_for_exit(&mut child.0).code(), Some(0), "{broken:?}");
    }
}

/// Says that this process is the one that panics.
const PANICS: &str = "RINGGATE_TEST_PANICS";

#[test]
fn a_panic_is_logged_as_one_line_and_waits_for_nobody() {
    const NAME: &str = "serve::broken_stderr::a_panic_is_logged_as_one_line_and_waits_for_nobody";
    if std::env::var_os(PANICS).is_some() {
        ringgate::process::log::start().unwrap();
        let panics = std::thread::Builder::new().name("worker".to_owned());
        let panics = panics.spawn(|| panic!("said\nforged {}", 7)).unwrap();
        assert!(panics.join().is_err());
        return ringgate::process::log::finish();
    }
    let command = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]).env(PANICS, "yes").env("RUST_BACKTRACE", "0");
        command.stdout(Stdio::null());
        command
    };
    let said = String::from_utf8(command().output().unwrap().stderr).unwrap();
    let line = said.lines().find(|line| line.contains("thread worker panicked at ")).expect(&said);
    assert!(
        line.contains(" ERROR ringgate::process::log: ") && line.ends_with("\"said\\nforged 7\""),
        "{said}"
    );
    for broken in Broken::ALL {
        let (stderr, _reader) = broken.open();
        let mut child = command().stderr(stderr).spawn().unwrap();
        assert!(wait_for_exit(&mut child).success(), "{broken:?}");
    }
}
