//! `ringgate serve` as a process: how it starts, what it says when it cannot, and how signals end it.

mod broken_stderr;

mod control_socket;

mod drain;

mod examples;

mod first_message;

mod held;

mod identity;

mod log;

mod runtimes;

mod service_manager;

mod sinks;

use crate::support::backend::{Backend, Pair, closed_port, tungstenite_echo};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::handshake::read_refusal;
use crate::support::raw::{Raw, StreamEnd, request};
use crate::support::served::{Configuration, INSTANCE, Served, output_in_time, wait_for_exit};
use crate::support::{api_file, wait_until};
use ringgate::limits::HEALTH_OPENINGS_KEPT;
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

/// An instance file whose drain may take so many seconds.
fn with_drain(seconds: u64) -> String {
    INSTANCE.replace("drain_s = 4", &format!("drain_s = {seconds}"))
}

/// A failed start: exit code 1, nothing announced, and what was said.
fn failure(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(output.stdout, b"", "{said}");
    said
}

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
    served.wait_until_said(
        "draining 1 session: each is closed within 1 s, and what is open after 4 s (drain_s) is cut",
    );
    served.wait_until_said("drained; 1 session was closed in ");
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
    let instance = with_drain(3600);
    let configuration = Configuration::new(&instance, &api_file("t", closed_port(), ""));
    let mut served = Served::start(&configuration);
    served.signal(Signal::TERM);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("drained");
}

#[test]
fn a_second_signal_ends_at_once() {
    let backend = Backend::new();
    let instance = with_drain(3600);
    let configuration = Configuration::new(&instance, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let Pair { mut client, backend: session } = Pair::open(served.address, &backend);
    // An unfinished frame: there is no boundary for a Close, so the drain has to wait.
    client.send(&client_frame(0x82, b"payload")[..8]);
    served.signal(Signal::TERM);
    served.wait_until_said("draining");
    stop_again(&mut served);
    served.wait_until_said("ended at once");
    drop((client, session));
}

/// Signals until it counts: within half a second of the first, a second one is the same.
fn stop_again(served: &mut Served) {
    wait_until("the end at once", || {
        served.signal(Signal::TERM);
        served.child.try_wait().unwrap().is_some()
    });
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
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
fn a_port_that_is_in_use_for_a_moment_is_waited_for() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let instance = INSTANCE.replace("127.0.0.1:0", &address.to_string());
    let configuration = Configuration::new(&instance, &api_file("t", tungstenite_echo(), ""));
    let mut child = configuration.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = said.find(|line| line.contains("the address is in use; trying again for 1 s"));
    assert!(waits.is_some_and(|line| line.contains(&address.to_string())));
    drop(holder);
    let mut announced = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(announced.any(|line| line.starts_with("try it: ")), "it serves");
    assert!(Raw::open(address, "/t").is_silent_for(Duration::from_millis(1)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_port_in_use_is_named_with_its_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let instance = INSTANCE.replace("127.0.0.1:0", &address.to_string());
    let configuration = Configuration::new(&instance, &api_file("t", address, ""));
    let said = failure(output_in_time(configuration.command()));
    assert!(said.contains(&format!("cannot listen on {address}: ")), "{said}");
    let own = std::process::id();
    let remedy = format!("stop what listens there (process {own}), or choose another address");
    assert!(said.contains(&remedy), "{said}");
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
        said.contains("cannot hold 10000 sessions (tier basic, 2 units): needs 20640 open files"),
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
        "cannot hold 1000 sessions (limits.connections_max): needs 2512 open files, 64 of them for openings";
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

/// How often a line of the log says that it happened.
fn times(line: &str) -> u64 {
    match line.split_once(" times=") {
        Some((_, behind)) => behind.split(' ').next().unwrap().parse().unwrap(),
        None => 1,
    }
}

#[test]
fn a_later_second_signal_cuts_what_the_drain_has_not_ended_and_tells_whom_it_can_with_close_1001() {
    let backend = Backend::new();
    let instance = INSTANCE.replace("workers = 2", "workers = 1").replace("drain_s = 4", "drain_s = 60");
    let mut served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    // The drain tells the first one at once, and waits for a boundary of the second.
    let mut told = Pair::open(served.address, &backend);
    let mut within_frame = Pair::open(served.address, &backend);
    let part = &server_frame(0x82, &[3; 1000])[..500];
    within_frame.backend.send(part);
    within_frame.client.expect(part);
    let close = server_frame(0x88, &close_payload(1001, "drain"));

    served.signal(Signal::TERM);
    served.wait_until_said("draining 2 sessions: ");
    told.client.expect(&close);
    stop_again(&mut served);
    assert_eq!(told.client.read_to_end(), (vec![], StreamEnd::Fin));
    assert_eq!(within_frame.client.read_to_end(), (vec![], StreamEnd::Fin));
    // Masked, so its length tells it: a header of 6 bytes, a code, "drain".
    let (sent, end) = within_frame.backend.read_to_end();
    assert_eq!((sent.len(), sent[0], end), (6 + 2 + 5, 0x88, StreamEnd::Fin));
    served.wait_until_said("ended at once; ");
}

#[test]
fn terminate_cuts_sessions_that_were_told_nothing_with_close_1001_at_their_boundary() {
    let backend = Backend::new();
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let mut pair = Pair::open(served.address, &backend);
    let mut terminate = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    terminate.args(["ctl", "terminate", "-c"]).arg(configuration.file()).env_remove("RUNTIME_DIRECTORY");
    assert!(output_in_time(terminate).status.success());
    let close = server_frame(0x88, &close_payload(1001, "drain"));
    assert_eq!(pair.client.read_to_end(), (close, StreamEnd::Fin));
    let (sent, end) = pair.backend.read_to_end();
    assert_eq!((sent.len(), sent[0], end), (6 + 2 + 5, 0x88, StreamEnd::Fin));
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("ended at once; 1 session was cut");
}

#[test]
fn accepting_pauses_while_open_files_are_used_up_and_goes_on_when_they_are_back() {
    let backend = Backend::new();
    let instance = INSTANCE.replace("workers = 2", "workers = 1");
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    // A session that lives; and the front waits for the next connection.
    let mut pair = Pair::open(served.address, &backend);
    served.wait_for_looks();
    let in_use = served.open_files();
    let lowest_free = (0..).find(|number| !in_use.contains(number)).unwrap();
    served.limit_open_files(Some(lowest_free));

    // The accept that is already waiting takes one connection more; there is no open file left for its backend.
    let mut first = Raw::connect(served.address);
    first.send(request("/t", "").as_bytes());
    read_refusal(&mut first, 503, "this instance has no open files or memory left");
    for _ in 0..3 {
        assert_eq!(times(&served.wait_until_said("cannot accept connections")), 1);
    }
    // Ten seconds later all pauses since are told in one line: of 100 ms, about a hundred.
    let more = times(&served.wait_until_said("cannot accept connections"));
    assert!((2..=110).contains(&more), "{more} pauses in ten seconds");
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
    /// Connections of a worker that were turned away and linger, those that may ask for the health path, and one that is just accepted.
    const PASSING: usize = 32 + HEALTH_OPENINGS_KEPT + 1;
    let instance = INSTANCE.replace("workers = 2", "workers = 1")
        + "[limits]\nopenings_max = 8\ntrusted_networks = [\"127.0.0.1\"]\nhead_timeout_ms = 120000\n";
    let backend = Backend::new();
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    // Once it carries a session, it has all the files that it works with.
    let mut pair = Pair::open(served.address, &backend);
    served.wait_for_looks();
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

#[test]
fn clients_whose_heads_have_come_read_why_they_are_turned_away_even_if_they_may_not_linger() {
    /// Twice as many connections as may linger.
    const FLOOD: usize = 64;
    let backend = Backend::new();
    let instance = INSTANCE.replace("workers = 2", "workers = 1")
        + "[limits]\nopenings_max = 1\nhead_timeout_ms = 120000\n";
    let served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    let pair = Pair::open(served.address, &backend);
    served.wait_for_looks();
    let before = served.open_files().len();
    let silent = Raw::connect(served.address);
    wait_until("an opening", || served.open_files().len() == before + 1);

    // All but the first wait in the listener's queue until their heads are there.
    let in_use = served.open_files();
    served.limit_open_files((0..).find(|number| !in_use.contains(number)));
    let mut flood: Vec<Raw> = (0..FLOOD).map(|_| Raw::connect(served.address)).collect();
    flood.iter_mut().for_each(|client| client.send(request("/t", "").as_bytes()));
    served.limit_open_files(None);
    for client in &mut flood {
        let (answer, end) = client.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&answer));
        assert_eq!(end, StreamEnd::Fin);
    }
    drop((flood, silent, pair));
}

/// A command that runs another one where the files `hosts`, `resolv.conf` and `nsswitch.conf` of a folder are the host's.
fn with_name_service(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = "for file in hosts resolv.conf nsswitch.conf; do mount --bind \"$0/$file\" \"/etc/$file\" || exit; done; exec \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder);
    command
}

#[test]
fn a_backend_whose_name_cannot_be_resolved_for_a_while_is_reached_where_it_was() {
    const KNOWN: &str = "127.0.0.1 backend.example\n";
    let backend = Backend::new();
    let instance = format!("{INSTANCE}[status]\naddress = \"127.0.0.1:0\"\n[names]\nrefresh_s = 1\n");
    let api = api_file("t", backend.address, "").replace("127.0.0.1", "backend.example");
    let configuration = Configuration::new(&instance, &api)
        .with_file("hosts", KNOWN)
        .with_file("nsswitch.conf", "hosts: files dns\n")
        // Nothing listens there.
        .with_file("resolv.conf", "nameserver 127.255.255.254\noptions timeout:1 attempts:1\n");
    let mut probe = with_name_service(configuration.folder());
    if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED a_backend_whose_name_cannot_be_resolved_for_a_while_is_reached_where_it_was: no mounts in a name space of \
             one's own here"
        );
        return;
    }
    let inner = configuration.command();
    let mut command = with_name_service(configuration.folder());
    command.arg(inner.get_program()).args(inner.get_args()).stderr(Stdio::piped());
    let served = Served::start_command(&configuration, command);
    let mut first = Pair::open(served.address, &backend);
    let hosts = |text: &str| fs::write(configuration.folder().join("hosts"), text).unwrap();
    hosts("");
    let said = served.wait_until_said("its old addresses stay in use");
    assert!(said.contains("cannot resolve backend.example"), "{said}");
    let mut second = Pair::open(served.address, &backend);
    let mut page = Raw::connect(served.status_address());
    page.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = String::from_utf8(page.read_to_end().0).unwrap();
    let number = |name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    };
    assert!(number("name_refreshes_failed") >= 1 && number("names_served_stale") >= 1, "{page}");
    hosts(KNOWN);
    served.wait_until_said("backend.example can be resolved again");
    for pair in [&mut first, &mut second] {
        pair.exchange();
    }
}
