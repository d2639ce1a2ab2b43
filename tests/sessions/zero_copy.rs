//! Sends that lend their bytes to the kernel: tried above a size, given up where the kernel copies all the same.
//!
//! On a loopback it always does (`skb_orphan_frags` of the receiving side), so what a socket that is served without a copy does
//! next is the simulation's to show.

use crate::support::raw::Raw;
use crate::support::relay::{OPAQUE, TestRelay};
use crate::support::wait_until;
use ringgate::relay::RelayLimits;

const LEAST: usize = 4096;

fn relay(zero_copy_bytes_min: Option<usize>) -> TestRelay {
    // Many more than one turn receives: nothing is lent while most of them are out.
    TestRelay::start(1024, RelayLimits { zero_copy_bytes_min, ..RelayLimits::default() })
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|n| (n % 253) as u8).collect()
}

/// Sends from one side while the other one reads.
fn pass(from: &Raw, to: &mut Raw, bytes: &[u8]) {
    std::thread::scope(|scope| {
        let mut from = from.clone_handle();
        scope.spawn(move || from.send(bytes));
        to.expect(bytes);
    });
}

fn sends(relay: &TestRelay) -> u64 {
    relay.count(|counters| &counters.zero_copy_sends)
}

fn copied(relay: &TestRelay) -> u64 {
    relay.count(|counters| &counters.zero_copy_copied)
}

#[test]
fn a_socket_whose_bytes_are_copied_all_the_same_is_switched_back_to_copying() {
    let relay = relay(Some(LEAST));
    let (mut client, mut backend) = relay.open(OPAQUE, None);
    let bulk = bytes(4_000_000);
    pass(&backend, &mut client, &bulk);
    wait_until("what the kernel did with it", || copied(&relay) == 1);
    assert_eq!(
        sends(&relay),
        1,
        "one send of a socket lends at a time, and the first one said that it was copied"
    );

    pass(&backend, &mut client, &bulk);
    assert_eq!(sends(&relay), 1, "a socket that was switched off is not tried again");

    // The other socket of the session is another matter.
    pass(&client, &mut backend, &bulk);
    wait_until("what the kernel did with it", || copied(&relay) == 2);
    pass(&client, &mut backend, &bulk);
    assert_eq!((sends(&relay), copied(&relay)), (2, 2));
    drop((client, backend));
    relay.end();
}

#[test]
fn small_sends_and_relays_that_were_not_asked_to_lend_nothing() {
    for (least, count) in [(None, 4_000_000), (Some(LEAST), 1_000)] {
        let relay = relay(least);
        let (mut client, backend) = relay.open(OPAQUE, None);
        pass(&backend, &mut client, &bytes(count));
        assert_eq!(sends(&relay), 0, "{least:?}");
        drop((client, backend));
        relay.end();
    }
}

#[test]
fn a_reader_that_takes_nothing_keeps_no_buffer_from_others_and_its_session_ends_without_it() {
    let relay = relay(Some(LEAST));
    let (stopped, stopped_backend) = relay.open(OPAQUE, Some(LEAST));
    let flood = {
        let mut backend = stopped_backend.clone_handle();
        std::thread::spawn(move || backend.try_send(&bytes(4_000_000)))
    };
    wait_until("a send that lends", || sends(&relay) > 0);
    let (mut client, backend) = relay.open(OPAQUE, None);
    pass(&backend, &mut client, &bytes(1_000_000));
    drop((client, backend));

    drop((stopped, stopped_backend));
    let _ = flood.join().unwrap();
    wait_until("every buffer", || relay.count(|counters| &counters.buffers) == 0);
    relay.end();
}
