//! Exhausted receive buffers of a relay: receives wait their turn, and nothing is lost.

use crate::support::relay::{OPAQUE, TestRelay};
use crate::support::wait_until;
use ringgate::relay::RelayLimits;

#[test]
fn an_empty_pool_parks_receives_until_buffers_are_back_and_loses_nothing() {
    // Four buffers for eight sessions at full speed both ways.
    let relay = TestRelay::start(4, RelayLimits::default());
    let bytes: Vec<u8> = (0..8_000_000u32).map(|n| (n % 253) as u8).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (client, backend) = relay.open(OPAQUE, None);
            for (mut from, mut to) in [
                (client.clone_handle(), backend.clone_handle()),
                (backend.clone_handle(), client.clone_handle()),
            ] {
                let bytes = &bytes;
                scope.spawn(move || from.send(bytes));
                scope.spawn(move || to.expect(bytes));
            }
        }
    });
    wait_until("a parked receive", || relay.count(|counters| &counters.parked) > 0);
    relay.end();
}
