//! A bad day of one API, or of one network, beside a neighbour that is polite: it gets in, every time.

use crate::neighbour::{Scene, attacked};
use crate::support::raw::{Raw, request};
use crate::support::wait_until;
use ringgate::session::{Cause, Phase};
use std::net::{IpAddr, Ipv4Addr};

/// Rounds of an attack. In each the neighbour opens a session, and leaves.
const ROUNDS: u32 = 100;

/// Few places, so that little is enough to take all that can be taken.
const FEW_PLACES: &str = "openings_max = 32\nhead_timeout_ms = 120000";

/// A polite client from an address of its own, which is let in.
fn open_politely(scene: &Scene) {
    let mut client = Raw::connect(scene.gateway.address);
    client.send(request("/neighbour", "").as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "the neighbour is not let in: {head}");
}

fn ended(scene: &Scene, cause: Cause) -> u64 {
    scene.gateway.terminations(cause, Phase::Head)
}

#[test]
fn an_api_whose_backend_never_answers_keeps_no_other_out() {
    attacked(FEW_PLACES, "answer_timeout_ms = 120000", |scene| {
        // The neighbour's clients are of another network: those that are refused here stay for a while, too.
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
        let mut waiting = Vec::new();
        scene.case("a backend that takes connections and never answers (RFC 9110 §15.6.4)", || {
            for _ in 0..ROUNDS {
                for _ in 0..2 {
                    let mut client = Raw::connect_from(from, scene.gateway.address);
                    client.try_send(request("/t", "").as_bytes());
                    waiting.push(client);
                }
                open_politely(scene);
            }
        });
        // All that it may have, and everybody else of its clients is told so.
        let pending = scene.gateway.instance.budgets().pending();
        assert_eq!((pending.limit(), pending.taken()), (32, 24));
        let refused = || ended(scene, Cause::BackendBusy) + ended(scene, Cause::SourceFull);
        wait_until("all others refused", || refused() == u64::from(2 * ROUNDS) - 24);
        assert!(ended(scene, Cause::BackendBusy) > 0);
        drop(waiting);
        scene.gateway.wait_for_openings(0);
    });
}

#[test]
fn connections_of_one_network_that_say_nothing_keep_no_other_out() {
    attacked(FEW_PLACES, "", |scene| {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
        let mut silent = Vec::new();
        scene.case("silent connections of one network (RFC 9110 §15.5.9)", || {
            for _ in 0..ROUNDS {
                silent.extend((0..2).map(|_| Raw::connect_from(from, scene.gateway.address)));
                open_politely(scene);
            }
        });
        scene.gateway.wait_for_openings(16);
        scene.gateway.wait_for_terminations(Cause::SourceFull, Phase::Head, u64::from(2 * ROUNDS) - 16);
        drop(silent);
        scene.gateway.wait_for_openings(0);
    });
}

#[test]
fn connections_of_many_networks_that_say_nothing_keep_no_other_out() {
    let half = request("/t", "").into_bytes();
    attacked(FEW_PLACES, "", |scene| {
        let mut silent = Vec::new();
        scene.case("silent connections of 200 networks, half a head of some (RFC 9110 §15.5.9)", || {
            for round in 0..ROUNDS {
                for part in 0..2 {
                    let from = Ipv4Addr::new(127, 9, part, u8::try_from(round + 1).unwrap());
                    let mut client = Raw::connect_from(from.into(), scene.gateway.address);
                    client.try_send(&half[..usize::from(part) * half.len() / 2]);
                    silent.push(client);
                }
                open_politely(scene);
            }
        });
        scene.gateway.wait_for_openings(31);
        let given_way = scene.gateway.instance.counters().sum(|worker| &worker.openings_given_way);
        assert_eq!(ended(scene, Cause::OpeningsFull), given_way, "nobody was turned away");
        assert!(given_way >= u64::from(2 * ROUNDS) - 32, "{given_way}");
        drop(silent);
        scene.gateway.wait_for_openings(0);
    });
}
