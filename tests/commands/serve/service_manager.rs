//! What `serve` tells a service manager. The test is the manager: it has the socket that `NOTIFY_SOCKET` names.

use super::held::{Held, thread_of};
use super::*;
use crate::support::PATIENCE;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The time of the watchdog: half of it is 4 s, so it is fed every 2 s.
const WATCHDOG_USEC: u64 = 8_000_000;

/// A service manager's socket, and its name.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// With a socket in the folder of a configuration.
    fn in_folder_of(configuration: &Configuration) -> Self {
        let path = configuration.folder().join("notify");
        Self::of(UnixDatagram::bind(&path).unwrap(), path.display().to_string())
    }

    fn of(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, name }
    }

    /// Starts `serve` with further variables, as this manager's service.
    fn start(&self, configuration: &Configuration, variables: &[(&str, &str)]) -> Served {
        let mut command = configuration.command();
        command.env("NOTIFY_SOCKET", &self.name).envs(variables.iter().copied()).stderr(Stdio::piped());
        for absent in ["WATCHDOG_USEC", "WATCHDOG_PID"] {
            if !variables.iter().any(|(name, _)| *name == absent) {
                command.env_remove(absent);
            }
        }
        Served::start_command(configuration, command)
    }

    /// The next message.
    fn next(&self) -> String {
        self.next_within(PATIENCE).expect("a message that was expected")
    }

    /// The next message, if one comes in this time.
    fn next_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..count].to_vec()).unwrap())
    }

    /// Waits for a message that has this line, or a line that begins so.
    fn wait_for(&self, line: &str) -> String {
        loop {
            let message = self.next();
            if message.lines().any(|one| one.starts_with(line)) {
                return message;
            }
        }
    }

    /// Takes what is there already.
    fn take_all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next_within(Duration::from_millis(1))).collect()
    }
}

fn ctl(configuration: &Configuration, command: &str) -> Output {
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    ctl.args(["ctl", command, "-c"]).arg(configuration.file()).env_remove("RUNTIME_DIRECTORY");
    output_in_time(ctl)
}

/// The revision that an instance says it serves.
fn served_revision(configuration: &Configuration) -> String {
    let said = String::from_utf8(ctl(configuration, "status").stdout).unwrap();
    let behind = said.split_once("catalogue: revision ").unwrap().1;
    behind.split(',').next().unwrap().to_owned()
}

#[test]
fn ready_is_told_when_clients_are_served_with_sessions_limit_and_catalogue() {
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[limits]\nconnections_max = 7\n");
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let manager = Manager::in_folder_of(&configuration);
    let served = manager.start(&configuration, &[]);
    let first = manager.next();
    let mut pair = Pair::open(served.address, &backend);
    pair.exchange();
    let status = |sessions| {
        format!("STATUS=serving {sessions} of 7 sessions, catalogue {}", served_revision(&configuration))
    };
    assert_eq!(first, format!("READY=1\n{}", status(0)));
    // It follows the sessions.
    assert_eq!(manager.next(), status(1));
    drop(pair);
    assert_eq!(manager.next(), status(0));
}

#[test]
fn a_manager_with_an_abstract_socket_is_told_too() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let name = format!("ringgate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"));
    let _served = manager.start(&configuration, &[]);
    assert!(manager.next().starts_with("READY=1\n"));
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end_and_a_refused_one_stays_in_the_status() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let manager = Manager::in_folder_of(&configuration);
    let served = manager.start(&configuration, &[]);
    assert!(manager.next().starts_with("READY=1\n"));

    // As `ExecReload=` does, and as `Type=notify-reload` does.
    assert_eq!(ctl(&configuration, "reload").status.code(), Some(0));
    served.wait_until_said("catalogue unchanged");
    for _ in 0..2 {
        assert!(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(manager.next(), "READY=1");
        served.signal(Signal::HUP);
    }
    manager.wait_for("READY=1");

    let good = served_revision(&configuration);
    fs::write(configuration.folder().join("catalog/apis/u.toml"), "nonsense = 1\n").unwrap();
    let refused = ctl(&configuration, "reload");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("apis/u.toml:1: nonsense"), "{said}");
    let status = manager.wait_for("STATUS=");
    assert!(status.contains(&format!("catalogue {good}; newer files were refused (")), "{status}");
    served.wait_until_said("refused the catalogue");
    drop(manager);
}

#[test]
fn the_demo_answers_a_reload_of_its_manager() {
    let configuration = Configuration::empty();
    let manager = Manager::in_folder_of(&configuration);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(["serve", "--demo", "--listen", "127.0.0.1:0"]).current_dir(configuration.folder());
    command.env_remove("RUNTIME_DIRECTORY").env("NOTIFY_SOCKET", &manager.name).stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    assert!(manager.next().starts_with("READY=1\n"));
    served.signal(Signal::HUP);
    assert!(manager.wait_for("RELOADING=1").contains("\nMONOTONIC_USEC="));
    assert_eq!(manager.next(), "READY=1");
}

#[test]
fn a_drain_is_told_at_its_beginning_and_asks_for_more_time_until_its_end() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(4), &api_file("t", backend.address, ""));
    let manager = Manager::in_folder_of(&configuration);
    let mut served = manager.start(&configuration, &[]);
    let Pair { mut client, backend: session } = Pair::open(served.address, &backend);
    // An unfinished frame: there is no boundary for a Close, so the drain takes its 4 s.
    client.send(&client_frame(0x82, b"payload")[..8]);
    served.signal(Signal::TERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert_eq!(stopping, "STOPPING=1\nSTATUS=draining, 1 session left\nEXTEND_TIMEOUT_USEC=15000000");
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    let later = manager.take_all();
    let extended = later.iter().filter(|message| message.contains("EXTEND_TIMEOUT_USEC=15000000")).count();
    assert!(extended >= 3, "{later:?}");
    assert!(
        !later.iter().any(|message| message.contains("READY=1") || message.contains("STOPPING=1")),
        "{later:?}"
    );
    drop((client, session));
}

#[test]
fn the_watchdog_of_an_idle_instance_is_fed_and_that_of_one_with_a_thread_that_is_held_is_not() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let manager = Manager::in_folder_of(&configuration);
    let served = manager.start(&configuration, &[("WATCHDOG_USEC", &WATCHDOG_USEC.to_string())]);
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let (front, relay) = (thread_of(&served, "front-1"), thread_of(&served, "relay-0"));
    let (Some(front), Some(relay)) = (Held::stop(front), Held::stop(relay)) else {
        eprintln!(
            "SKIPPED the_watchdog_of_an_idle_instance_is_fed_and_that_of_one_with_a_thread_that_is_held_is_not: no tracing here"
        );
        return;
    };
    let mut said = [(); 2].map(|()| served.wait_until_said("has not been at work for "));
    said.sort_by_key(|line| line.contains("relay"));
    assert!(said[0].contains("thread front-1 ") && said[1].contains("thread relay-0 "), "{said:?}");
    assert!(said[0].contains(" ERROR ") && said[0].contains("restarts the service after 8 s"), "{said:?}");
    let is_fed_within = |time: Duration| {
        let deadline = std::time::Instant::now() + time;
        let left =
            || deadline.saturating_duration_since(std::time::Instant::now()).max(Duration::from_millis(1));
        std::iter::from_fn(|| manager.next_within(left())).any(|message| message == "WATCHDOG=1")
    };
    manager.take_all();
    assert!(!is_fed_within(Duration::from_secs(5)), "it would be fed twice in this time");
    // The other one is still held.
    drop(front);
    assert!(!is_fed_within(Duration::from_secs(3)), "it would be fed in this time");
    drop(relay);
    served.wait_until_said("every thread is at work again");
    manager.wait_for("WATCHDOG=1");
}

#[test]
fn the_watchdog_of_another_process_is_not_fed_and_its_time_has_to_be_a_number() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", closed_port(), ""));
    let manager = Manager::in_folder_of(&configuration);
    let usec = WATCHDOG_USEC.to_string();
    let served = manager.start(&configuration, &[("WATCHDOG_USEC", &usec), ("WATCHDOG_PID", "1")]);
    assert!(manager.next().starts_with("READY=1\n"));
    assert_eq!(manager.next_within(Duration::from_secs(3)), None, "it would be fed at once");
    drop(served);

    let served = manager.start(&configuration, &[("WATCHDOG_USEC", "30s")]);
    let said = served.wait_until_said("cannot feed the service manager's watchdog");
    assert!(said.contains("is \"30s\", allowed is a number"), "{said}");
    manager.wait_for("READY=1");
}

#[test]
fn a_manager_that_reads_nothing_keeps_nothing_waiting() {
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let manager = Manager::in_folder_of(&configuration);
    // Its queue is full before the service starts.
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"STATUS=of another", &manager.name).is_ok() {}
    let mut served = manager.start(&configuration, &[("WATCHDOG_USEC", &WATCHDOG_USEC.to_string())]);
    for _ in 0..3 {
        served.wait_for_looks();
        Pair::open(served.address, &backend).exchange();
        assert_eq!(ctl(&configuration, "status").status.code(), Some(0));
    }
    assert!(manager.take_all().iter().all(|message| message == "STATUS=of another"));
    // Now that there is room, it is told all that still holds.
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    served.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn a_manager_that_cannot_be_told_anything_is_warned_of_and_the_instance_serves() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", tungstenite_echo(), ""));
    let gone = configuration.folder().join("gone").display().to_string();
    for (name, said) in [
        (gone.as_str(), "cannot tell the service manager how this instance is"),
        ("vsock:2:9999", "NOTIFY_SOCKET=vsock:2:9999: allowed is an absolute path"),
    ] {
        let mut command = configuration.command();
        command.env("NOTIFY_SOCKET", name).stderr(Stdio::piped());
        let served = Served::start_command(&configuration, command);
        served.wait_until_said(said);
        drop(Raw::open(served.address, "/t"));
    }
}
