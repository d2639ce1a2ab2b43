//! Ends that hide behind a side that does not read, on legs under TLS; and sides that do not read for long.

use crate::backends::{HOST, api, gateway, trusts};
use crate::gateway::Secured;
use crate::pki::{Authority, provider, server_config};
use crate::secured::{Client, Server, accept, read_head, send, trusting};
use crate::support::TestInstance;
use crate::support::backend::{Backend, switching};
use crate::support::frames::{client_frame, server_frame};
use crate::support::raw::{Raw, StreamEnd, request};
use ringgate::limits::UNREAD_PATIENCE_MS;
use ringgate::session::{Cause, Phase};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ConnectionCommon, SideData, StreamOwned};
use socket2::SockRef;
use std::io::{ErrorKind, Write as _};
use std::net::{Shutdown, TcpStream};
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Sends a message again and again, whole, until the other side has taken nothing for half a second; gives how often, the last
/// time perhaps not to its end.
fn flood<C, D>(end: &mut StreamOwned<C, TcpStream>, message: &[u8]) -> usize
where
    C: DerefMut<Target = ConnectionCommon<D>>,
    D: SideData,
{
    end.sock.set_nonblocking(true).unwrap();
    let mut messages = 0;
    loop {
        if !end.conn.wants_write() {
            end.conn.writer().write_all(message).unwrap();
            messages += 1;
        }
        match end.conn.write_tls(&mut end.sock) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "a peer that is there");
                let mut watched = [PollFd::new(&end.sock, PollFlags::OUT)];
                let time = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
                if matches!(poll(&mut watched, Some(&time)), Ok(0)) {
                    break;
                }
            }
        }
    }
    end.sock.set_nonblocking(false).unwrap();
    messages
}

/// Closes a connection with a reset, without a word of TLS.
fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A gateway before a backend under TLS, with lines of its instance, and a session.
fn with_secured_backend(limits: &str) -> (TestInstance, Raw, Server, TempDir) {
    let (authority, folder, backend) = (Authority::new("ca"), TempDir::new().unwrap(), Backend::new());
    let file = api(&backend, &trusts(folder.path(), &authority));
    let gateway = if limits.is_empty() {
        gateway(&file)
    } else {
        TestInstance::start_with(&format!("workers = 1\ndrain_s = 0\n{limits}"), &[("t", &file)])
    };
    let config = Arc::new(server_config(&provider(), &authority.leaf(&[HOST])));
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    let mut session = accept(backend.take().stream, &config);
    let head = read_head(&mut session);
    send(&mut session, switching(&head, "").as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    (gateway, client, session, folder)
}

#[test]
fn a_reset_of_a_client_that_hides_behind_its_backend_ends_both() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    flood(&mut client, &client_frame(0x82, &[7; 10_000]));
    reset(&client.sock);
    drop(client);
    scene.gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
    scene.gateway.wait_for_rest();
    assert_eq!(session.read_to_end().1, StreamEnd::Reset);
    scene.end();
}

#[test]
fn a_reset_of_a_backend_that_hides_behind_its_client_ends_both() {
    let (gateway, mut client, mut session, _folder) = with_secured_backend("");
    flood(&mut session, &server_frame(0x82, &[7; 10_000]));
    reset(&session.sock);
    drop(session);
    gateway.wait_for_terminations(Cause::Reset, Phase::Relay, 1);
    gateway.wait_for_rest();
    assert_eq!(client.read_to_end().1, StreamEnd::Reset);
    gateway.end();
}

#[test]
fn an_end_behind_records_that_nobody_reads_is_no_error() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    let message = client_frame(0x82, &[7; 10_000]);
    let messages = flood(&mut client, &message);
    client.sock.shutdown(Shutdown::Write).unwrap();
    let mut socket = Raw::new(client.sock.try_clone().unwrap());
    assert!(socket.is_silent_for(Duration::from_millis(4 * UNREAD_PATIENCE_MS)));
    assert_eq!(scene.gateway.instance.places().taken(), 1, "it is left alone");
    // All that came whole arrives; the last record was cut.
    let whole = message.repeat(messages - 1);
    let mut got = Vec::new();
    assert!(session.read_up_to(whole.len(), &mut got) && got == whole);
    // The backend stays until then: its own end could come before the rest of the client's bytes, and be the cause.
    scene.gateway.wait_for_terminations(Cause::Truncated, Phase::Relay, 1);
    drop((client, socket, session));
    scene.end();
}

#[test]
fn a_client_that_reads_nothing_for_the_dead_peer_time_out_is_a_slow_reader() {
    let scene = Secured::start_with("[limits]\ndead_peer_timeout_s = 5", |_, _| String::new());
    let (client, mut session): (Client, _) = scene.open(&trusting(&scene.authority));
    session.flood(&server_frame(0x82, &[5; 50_000]), Duration::from_millis(500));
    scene.gateway.wait_for_terminations(Cause::SlowReader, Phase::Relay, 1);
    drop((client, session));
    scene.end();
}

#[test]
fn a_backend_that_reads_nothing_for_the_dead_peer_time_out_is_a_slow_reader() {
    let (gateway, mut client, session, _folder) = with_secured_backend("[limits]\ndead_peer_timeout_s = 5");
    client.flood(&client_frame(0x82, &[5; 50_000]), Duration::from_millis(500));
    gateway.wait_for_terminations(Cause::SlowReader, Phase::Relay, 1);
    drop((client, session));
    gateway.wait_for_rest();
    gateway.end();
}
