//! Many at once: connections, handshakes, resets, frames.

use crate::scene::{Scene, status_of};
use crate::support::backend::Pair;
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::{Raw, request};
use ringgate::session::{Cause, Phase};

const FEW_OPENINGS: &str = "[limits]\nhead_timeout_ms = 400\nopenings_max = 8";

#[test]
fn silent_connections_take_no_more_than_the_openings_there_are() {
    let scene = Scene::with(FEW_OPENINGS, "");
    let mut clients: Vec<_> = (0..60).map(|_| Raw::connect(scene.address())).collect();
    let statuses: Vec<_> = clients.iter_mut().map(status_of).collect();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    // Places come back while the later ones wait, so some more than eight may have had one. RFC 9110 §15.6.4.
    assert!(count(408) >= 8 && count(503) > 0 && count(408) + count(503) == 60, "{statuses:?}");
    drop(clients);
    scene.end();
}

#[test]
fn half_heads_and_resets_at_once_leave_nothing_behind() {
    let scene = Scene::with(FEW_OPENINGS, "");
    for round in 0..200 {
        let mut client = Raw::connect(scene.address());
        match round % 4 {
            0 => {}
            1 => drop(client.try_send(b"GET /t HTTP/1.1\r\nHost: h\r\n")),
            2 => drop(client.try_send(request("/t", "").as_bytes())),
            _ => drop(client.try_send(&[0x16, 3, 1, 0, 5])),
        }
        client.reset();
        while !scene.backend.is_untouched() {}
    }
    scene.end();
}

#[test]
fn a_storm_of_handshakes_that_are_given_up_leaves_no_place_taken() {
    let scene = Scene::with("[limits]\nconnections_max = 40", "");
    for _ in 0..10 {
        let mut clients: Vec<_> = (0..20).map(|_| Raw::connect(scene.address())).collect();
        for client in &mut clients {
            client.send(request("/t", "").as_bytes());
        }
        let mut sessions: Vec<_> = clients.iter().map(|_| scene.backend.take()).collect();
        for (index, client) in clients.into_iter().enumerate() {
            if index % 2 == 0 { client.reset() } else { drop(client) }
        }
        for session in &mut sessions {
            session.read_to_end();
        }
    }
    scene.gateway().wait_for_terminations(Cause::ClientGone, Phase::Answer, 200);
    scene.end();
}

#[test]
fn a_flood_of_pings_and_tiny_fragments_costs_its_own_session_only() {
    // RFC 6455 §5.4, §5.5.2: all of it is allowed.
    let scene = Scene::new();
    let Pair { mut client, mut backend } = Pair::open(scene.address(), &scene.backend);
    let mut flood = client_frame(0x02, b"");
    for _ in 0..50_000 {
        flood.extend(client_frame(0x00, b"x"));
        flood.extend(client_frame(0x89, b""));
    }
    flood.extend(client_frame(0x80, b""));
    let sender = std::thread::spawn({
        let flood = flood.clone();
        move || {
            client.send(&flood);
            client
        }
    });
    backend.expect(&flood);
    drop((sender.join().unwrap(), backend));
    scene.end();
}

#[test]
fn a_flood_in_both_directions_at_once_loses_no_byte() {
    let scene = Scene::new();
    let Pair { mut client, mut backend } = Pair::open(scene.address(), &scene.backend);
    let down = server_frame(0x82, &[3; 70_000]).repeat(60);
    let up = client_frame(0x82, &[4; 70_000]).repeat(60);
    let (mut client_writer, mut backend_writer) = (client.clone_handle(), backend.clone_handle());
    std::thread::scope(|scope| {
        scope.spawn(|| client_writer.send(&up));
        scope.spawn(|| backend_writer.send(&down));
        scope.spawn(|| client.expect(&down));
        scope.spawn(|| backend.expect(&up));
    });
    drop((client, backend, client_writer, backend_writer));
    scene.end();
}

#[test]
fn sessions_that_are_opened_and_reset_in_a_storm_are_all_accounted_for() {
    let scene = Scene::with("", "linger_s = 1");
    for round in 0..100 {
        let Pair { mut client, mut backend } = Pair::open(scene.address(), &scene.backend);
        match round % 5 {
            0 => client.reset(),
            1 => backend.reset(),
            2 => {
                client.send(&client_frame(0x82, &[1; 5_000])[..2_000]);
                client.reset();
            }
            3 => {
                backend.send(&server_frame(0x82, &[1; 5_000])[..2_000]);
                drop(client);
                backend.reset();
            }
            _ => {
                client.send(&client_frame(0x88, &close_payload(1000, "")));
                backend.reset();
            }
        }
    }
    let gateway = scene.gateway();
    let ended = || {
        [Cause::Reset, Cause::Ended, Cause::Closed]
            .map(|cause| gateway.terminations(cause, Phase::Relay))
            .iter()
            .sum::<u64>()
    };
    crate::support::wait_until("a hundred ends", || ended() >= 100);
    assert_eq!(ended(), 100);
    scene.end();
}
