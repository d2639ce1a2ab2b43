//! Rows of the log for the ends that TLS has of its own.

use crate::backends::{api, gateway};
use crate::gateway::Secured;
use crate::golden::assert_golden;
use crate::secured::trusting;
use crate::support::backend::Backend;
use crate::support::raw::{Raw, request};
use ringgate::session::{Cause, Phase};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;

#[test]
fn every_end_of_tls_has_its_rows() {
    let mut text = String::new();
    let scene = Secured::start();
    let (client, mut session) = scene.open(&trusting(&scene.authority));
    client.sock.shutdown(Shutdown::Write).unwrap();
    session.read_to_end();
    drop((client, session));
    scene.gateway.wait_for_terminations(Cause::Truncated, Phase::Relay, 1);
    scene.gateway.wait_for_rest();
    scene.gateway.end().push_scene(&mut text, "the client's stream is cut");

    let scene = Secured::start();
    let (mut client, mut session) = scene.open(&trusting(&scene.authority));
    // A record of application data that no key has sealed.
    client.sock.write_all(&[&[23, 3, 3, 0, 40], &[7; 40][..]].concat()).unwrap();
    client.read(&mut [0; 64]).expect_err("an alert");
    session.read_to_end();
    drop((client, session));
    scene.gateway.wait_for_terminations(Cause::RecordFault, Phase::Relay, 1);
    scene.gateway.wait_for_rest();
    scene.gateway.end().push_scene(&mut text, "a record of the client's is wrong");

    let scene = Secured::start();
    let mut client = Raw::connect(scene.gateway.address);
    client.send(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 9]);
    client.read_to_end();
    scene.gateway.wait_for_terminations(Cause::TlsFault, Phase::Head, 1);
    scene.gateway.wait_for_rest();
    scene.gateway.end().push_scene(&mut text, "the client's handshake is wrong");

    let backend = Backend::new();
    let gateway = gateway(&api(&backend, ""));
    let mut client = Raw::connect(gateway.address);
    client.send(request("/t", "").as_bytes());
    let mut leg = backend.take();
    leg.send(b"no TLS at all");
    client.read_head();
    drop((client, leg));
    gateway.wait_for_terminations(Cause::BackendTls, Phase::Dial, 1);
    gateway.wait_for_rest();
    gateway.end().push_scene(&mut text, "the backend speaks no TLS");

    assert_golden("log-tls.txt", &text);
}
