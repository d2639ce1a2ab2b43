//! Source addresses of dials: those of the API in turn, and the behaviour when their ports are used up.

use crate::support::backend::{Backend, Pair};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, header, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::session::{Cause, Phase};
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

/// An address of documentation (RFC 5737), which no host has.
const OF_NO_HOST: &str = "192.0.2.1";

/// The message to a client when no port is left.
const NO_PORT: &str = "no local port is left towards the backend";

/// Where the backend sees a session come from.
fn source_of(session: &Raw) -> IpAddr {
    session.stream.peer_addr().unwrap().ip()
}

#[test]
fn sessions_leave_from_each_listed_address_of_the_backends_family_in_turn() {
    let backend = Backend::new();
    let gateway = TestInstance::start(
        backend.address,
        "source_addresses = [\"127.0.0.2\", \"::1\", \"127.0.0.3\", \"127.0.0.4\"]",
    );
    let sessions: Vec<_> = (0..6).map(|_| Pair::open(gateway.address, &backend)).collect();
    let sources: Vec<_> = sessions.iter().map(|pair| source_of(&pair.backend).to_string()).collect();
    assert_eq!(sources, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    drop(sessions);
    gateway.wait_for_rest();
    gateway.end();
}

#[test]
fn where_no_address_of_the_family_is_listed_the_kernel_chooses() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "source_addresses = [\"::1\"]");
    let pair = Pair::open(gateway.address, &backend);
    assert_eq!(source_of(&pair.backend).to_string(), "127.0.0.1");
    drop(pair);
    gateway.end();
}

#[test]
fn an_address_that_is_not_of_this_host_is_passed_over_and_named_in_the_log() {
    let backend = Backend::new();
    let lines = format!("source_addresses = [\"{OF_NO_HOST}\", \"127.0.0.2\"]");
    let instance = INSTANCE.replace("workers = 2", "workers = 1");
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, &lines)));
    for _ in 0..4 {
        let pair = Pair::open(served.address, &backend);
        assert_eq!(source_of(&pair.backend).to_string(), "127.0.0.2");
    }
    let mut said = std::iter::repeat_with(|| served.next_said());
    let line = said.find(|line| line.contains("a source address is not an address of this host"));
    assert!(line.unwrap().contains(OF_NO_HOST));
}

#[test]
fn without_an_address_of_this_host_a_dial_has_no_port() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, &format!("source_addresses = [\"{OF_NO_HOST}\"]"));
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    let head = read_refusal(&mut client, 503, NO_PORT);
    assert!(header(&head, "Retry-After").is_some(), "{head}");
    drop(client);
    gateway.wait_for_terminations(Cause::NoLocalPort, Phase::Dial, 1);
    gateway.end();
}

/// Says that this process is the one inside the network namespace.
const INSIDE: &str = "RINGGATE_TEST_NETWORK";

/// Runs `body`, the rest of the test `name`, in a process and a network namespace of its own, so that it may do to the
/// network what it likes. Skips loudly where that is not allowed.
fn in_a_network_of_its_own(name: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let unshare = |options: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", &format!("ip link set lo up && {script}")]);
        command.arg(std::env::current_exe().unwrap()).arg(format!("ports::{name}")).env(INSIDE, "yes");
        command.output()
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let is_open = |way: &&&[&str]| unshare(way, "true").is_ok_and(|output| output.status.success());
    let Some(way) = ways.iter().find(is_open) else {
        eprintln!("SKIPPED: {name}: this user may not make a network namespace, or has no `unshare` or `ip`");
        return;
    };
    let output = unshare(way, "exec \"$0\" --exact \"$1\" --nocapture").unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}\n{}", told[0], told[1]);
    assert!(told[0].contains("1 passed"), "{}", told[0]);
}

/// A client that takes no port of the range that dials use: its own port is said.
fn connect_from(port: u16, gateway: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], port)))).unwrap();
    socket.connect(&gateway.into()).unwrap();
    Raw::new(socket.into())
}

/// Opens a session at `path`; gives its client and its backend.
fn open_from(port: u16, gateway: SocketAddr, path: &str, backend: &Backend) -> (Raw, Raw) {
    let mut client = connect_from(port, gateway);
    client.send(request(path, "").as_bytes());
    let session = backend.take_session();
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    (client, session)
}

/// From here on, each source address has four ports towards each backend. Who listens has its port already.
fn leave_four_ports() {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "61000 61003").unwrap();
}

#[test]
fn a_source_address_has_its_ports_towards_each_backend_once_more() {
    in_a_network_of_its_own("a_source_address_has_its_ports_towards_each_backend_once_more", || {
        for source in ["127.0.0.2", "::1"] {
            let source: IpAddr = source.parse().unwrap();
            let host = if source.is_ipv4() { [127, 0, 0, 1].into() } else { source };
            if let Err(error) = std::net::TcpListener::bind((host, 0)) {
                eprintln!("SKIPPED: {host}: {error}");
                continue;
            }
            let backends = [Backend::at(host), Backend::at(host)];
            let lines = format!("source_addresses = [\"{source}\"]");
            let of_first = api_file("t", backends[0].address, &lines);
            let of_second = api_file("u", backends[1].address, &lines);
            let gateway = TestInstance::start_with("workers = 1", &[("t", &of_first), ("u", &of_second)]);
            leave_four_ports();
            let mut sessions = Vec::new();
            for port in [61_100, 61_102, 61_104, 61_106] {
                sessions.push(open_from(port, gateway.address, "/t", &backends[0]));
                sessions.push(open_from(port + 1, gateway.address, "/u", &backends[1]));
            }
            assert!(sessions.iter().all(|(_, session)| source_of(session) == source));
            for session in sessions {
                session.0.reset();
            }
            std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999").unwrap();
            gateway.wait_for_rest();
            gateway.end();
        }
    });
}

#[test]
fn a_session_that_finds_no_port_is_refused_and_one_more_opens_when_a_port_is_back() {
    in_a_network_of_its_own(
        "a_session_that_finds_no_port_is_refused_and_one_more_opens_when_a_port_is_back",
        || {
            let backend = Backend::new();
            let listed = api_file("t", backend.address, "source_addresses = [\"127.0.0.2\", \"127.0.0.3\"]");
            let unlisted = api_file("u", backend.address, "");
            let gateway = TestInstance::start_with("workers = 1", &[("t", &listed), ("u", &unlisted)]);
            leave_four_ports();
            let mut client_ports = 61_100..;
            let mut open =
                |path: &str| open_from(client_ports.next().unwrap(), gateway.address, path, &backend);

            let mut sessions: Vec<_> = (0..8).map(|_| open("/t")).collect();
            for address in ["127.0.0.2", "127.0.0.3"] {
                let from = sessions.iter().filter(|(_, session)| source_of(session).to_string() == address);
                assert_eq!(from.count(), 4, "{address}");
            }
            // Without a list there is the one address that the kernel chooses, with as many ports.
            let others: Vec<_> = (0..4).map(|_| open("/u")).collect();
            assert!(others.iter().all(|(_, session)| source_of(session).to_string() == "127.0.0.1"));

            for (count, path) in [(1, "/t"), (2, "/u")] {
                let mut client = connect_from(61_200 + count as u16, gateway.address);
                client.send(request(path, "").as_bytes());
                let head = read_refusal(&mut client, 503, NO_PORT);
                assert!(header(&head, "Retry-After").is_some(), "{head}");
                drop(client);
                gateway.wait_for_terminations(Cause::NoLocalPort, Phase::Dial, count);
            }

            // The port that comes back is the only one left, and it is never that of the address whose turn it is.
            let wait_for_slots = |count| {
                let slots = || gateway.instance.counters().sum(|worker| &worker.slots);
                wait_until(&format!("{count} sessions"), || slots() == count);
            };
            for _ in 0..4 {
                let (client, session) = sessions.remove(0);
                let freed = source_of(&session);
                // Reset, so that no port waits in TIME_WAIT.
                client.reset();
                wait_for_slots(11);
                drop(session);
                let again = open("/t");
                wait_for_slots(12);
                assert_eq!(source_of(&again.1), freed);
                sessions.push(again);
            }

            drop((sessions, others));
            gateway.wait_for_rest();
            gateway.end();
        },
    );
}
