//! `ringgate serve` as a process: how it starts, what it says when it cannot, and how signals end it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::process::Output;
use support::backend::{Backend, Pair, closed_port, tungstenite_echo};
use support::frames::{client_frame, close_payload, server_frame};
use support::raw::{Raw, StreamEnd};
use support::served::{Configuration, INSTANCE, Served, output_in_time, wait_for_exit};
use support::{api_file, wait_until};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

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
fn more_sessions_than_open_files_are_refused_with_the_remedy() {
    let instance =
        "workers = 1\n[limits]\nconnections_max = 1000\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let configuration = Configuration::new(instance, &api_file("t", tungstenite_echo(), ""));
    let said = failure(configuration.run_with_open_files(1024));
    assert!(said.contains("cannot hold 1000 sessions: needs 2320 open files, the limit is 1024"), "{said}");
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
