//! Records of sessions: cuts, sizes, keys, ends, and what breaks them.

use crate::gateway::Secured;
use crate::secured::{Client, expect, send, trusting};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, StreamEnd};
use ringgate::session::{Cause, Phase};
use rustls::ClientConnection;
use std::io::{Read, Write};
use std::net::Shutdown;

/// Returns records of the client with some payload.
fn sealed(client: &mut Client, payload: &[u8]) -> Vec<u8> {
    client.conn.writer().write_all(payload).unwrap();
    drain(&mut client.conn)
}

fn drain(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}

#[test]
fn records_may_be_cut_anywhere() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    let message = [client_frame(0x82, &[3; 40]), client_frame(0x89, b"")].concat();
    // TLS 1.3: five bytes of header, one of type, sixteen of tag.
    let length = message.len() + 22;
    let mut stream = client.sock.try_clone().unwrap();
    for cut in 1..2 * length {
        let mut records = sealed(&mut client, &message);
        records.extend(sealed(&mut client, &message));
        let (first, second) = records.split_at(cut);
        stream.write_all(first).unwrap();
        if cut % 7 == 0 {
            // So that they are received by themselves.
            let whole = if cut >= length { message.len() } else { 0 };
            assert_eq!(session.read(whole).len(), whole);
            stream.write_all(second).unwrap();
            session.expect(&[&message[..], &message].concat()[whole..]);
        } else {
            stream.write_all(second).unwrap();
            session.expect(&message);
            session.expect(&message);
        }
    }
    drop((client, session, stream));
    scene.end();
}

#[test]
fn records_byte_by_byte_carry_a_message() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    let message = client_frame(0x82, &[9; 300]);
    let mut stream = client.sock.try_clone().unwrap();
    for byte in sealed(&mut client, &message) {
        stream.write_all(&[byte]).unwrap();
    }
    session.expect(&message);
    drop((client, session, stream));
    scene.end();
}

#[test]
fn a_client_that_changes_its_keys_is_understood_and_answered_in_new_ones() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    for round in 0..20u8 {
        client.conn.refresh_traffic_keys().unwrap();
        let up = client_frame(0x82, &vec![round; 1 + usize::from(round) * 900]);
        send(&mut client, &up);
        session.expect(&up);
        let down = server_frame(0x82, &vec![round; 1 + usize::from(round) * 900]);
        session.send(&down);
        expect(&mut client, &down);
    }
    drop((client, session));
    scene.end();
}

#[test]
fn a_wrong_record_ends_the_session_with_an_alert_and_an_end_for_the_backend() {
    for at in [5, 20, 45] {
        let scene = Secured::start();
        let (mut client, mut session) = scene.open(&trusting(&scene.authority));
        let message = client_frame(0x82, b"before");
        send(&mut client, &message);
        session.expect(&message);
        let mut records = sealed(&mut client, &client_frame(0x82, &[7; 40]));
        records[at] ^= 1;
        client.sock.write_all(&records).unwrap();
        let error = client.read(&mut [0; 64]).expect_err("an alert");
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        let told = session.read_to_end();
        assert_eq!(told, (vec![], StreamEnd::Fin), "the backend gets an end, and nothing of the record");
        drop((client, session));
        scene.gateway.wait_for_terminations(Cause::RecordFault, Phase::Relay, 1);
        scene.end();
    }
}

#[test]
fn a_truncated_stream_is_told_from_a_clean_end() {
    for (says_so, cause) in [(false, Cause::Truncated), (true, Cause::Ended)] {
        let scene = Secured::start();
        let (mut client, mut session) = scene.open(&trusting(&scene.authority));
        if says_so {
            client.conn.send_close_notify();
            client.conn.complete_io(&mut client.sock).ok();
        }
        client.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(session.read_to_end(), (vec![], StreamEnd::Fin));
        drop((client, session));
        scene.gateway.wait_for_terminations(cause, Phase::Relay, 1);
        scene.end();
    }
}

#[test]
fn a_close_handshake_ends_with_a_close_notify() {
    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    let close = client_frame(0x88, &close_payload(1000, ""));
    send(&mut client, &close);
    session.expect(&close);
    let answer = server_frame(0x88, &close_payload(1000, ""));
    session.send(&answer);
    drop(session);
    expect(&mut client, &answer);
    // An end without close_notify would be an error here.
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    drop(client);
    scene.gateway.wait_for_terminations(Cause::Closed, Phase::Relay, 1);
    scene.end();
}

#[test]
fn a_reader_that_stopped_gets_every_byte_when_it_goes_on() {
    let scene = Secured::start();
    let (mut client, session) = scene.open(&trusting(&scene.authority));
    let whole = server_frame(0x82, &[5; 50_000]).repeat(1_000);
    let sender = std::thread::spawn({
        let whole = whole.clone();
        let mut session: Raw = session;
        move || {
            session.send(&whole);
            session
        }
    });
    let taken_back = || scene.gateway.instance.counters().sum(|worker| &worker.sends_taken_back);
    crate::support::wait_until("a reader that has fallen behind", || taken_back() > 0);
    expect(&mut client, &whole);
    drop((client, sender.join().unwrap()));
    scene.end();
}

#[test]
fn a_drain_is_told_under_tls() {
    let scene = Secured::start();
    let (mut client, session) = scene.open(&trusting(&scene.authority));
    let Secured { gateway, backend, .. } = scene;
    let reader = std::thread::spawn(move || {
        let mut told = [0; 4];
        client.read_exact(&mut told).unwrap();
        (told, client)
    });
    gateway.instance.drain();
    let (told, client) = reader.join().unwrap();
    assert_eq!(told, [0x88, 7, 0x03, 0xe9], "1001 \"drain\"");
    drop((client, session, backend));
    gateway.end();
}
