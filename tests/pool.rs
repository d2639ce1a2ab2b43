//! What happens when the relay's received buffers run out: receives wait their turn, and nothing is lost.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use bytes::Bytes;
use ringgate::admission::places::Places;
use ringgate::observe::WorkerCounters;
use ringgate::relay::{Mailbox, Message, NewSession, Relay};
use ringgate::ring::KernelRing;
use ringgate::session::SessionLimits;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::raw::Raw;
use support::wait_until;

/// Received buffers of the relay under test.
const BUFFERS: u16 = 4;

/// A connection, and the relay's side of it.
fn connection(listener: &TcpListener) -> (Raw, OwnedFd) {
    let outside = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inside, _) = listener.accept().unwrap();
    inside.set_nodelay(true).unwrap();
    (Raw::new(outside), inside.into())
}

#[test]
fn an_empty_pool_parks_receives_until_buffers_are_back_and_loses_nothing() {
    let mailbox = Mailbox::<OwnedFd>::new().unwrap();
    let counters = Arc::new(WorkerCounters::default());
    let places = Places::new(10);
    let relay = std::thread::spawn({
        let (mailbox, counters) = (mailbox.clone(), counters.clone());
        move || {
            let ring = KernelRing::with_buffers(mailbox.wake_up().unwrap(), BUFFERS).unwrap();
            Relay::new(ring, mailbox, counters).run().unwrap();
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits =
        SessionLimits { frames: None, idle_timeout_ms: 60_000, longest_life_ms: None, linger_ms: 1_000 };
    let open = || {
        let (client, client_inside) = connection(&listener);
        let (backend, backend_inside) = connection(&listener);
        mailbox.push(Message::Open(Box::new(NewSession {
            sockets: [client_inside, backend_inside],
            early: [Bytes::new(), Bytes::new()],
            limits,
            mask: [0; 4],
            permit: places.take().unwrap(),
        })));
        (client, backend)
    };
    let (mut slow_client, mut slow_backend) = open();
    let (mut client, mut backend) = open();

    // The client does not read: once the sockets are full, what its backend sends holds every buffer.
    let bytes: Vec<u8> = (0..40_000_000u32).map(|n| (n % 253) as u8).collect();
    let sender = std::thread::spawn({
        let bytes = bytes.clone();
        move || {
            slow_backend.send(&bytes);
            slow_backend
        }
    });
    wait_until("a parked receive", || counters.parked.load(Ordering::Relaxed) > 0);
    wait_until("every buffer lent out", || counters.buffers.load(Ordering::Relaxed) == u64::from(BUFFERS));

    // Another session waits as well; its bytes stay in its socket.
    client.send(b"waits its turn");
    let mut read = 0;
    while read < bytes.len() {
        let part = 100_000.min(bytes.len() - read);
        assert!(slow_client.read(part) == bytes[read..read + part], "at {read}");
        read += part;
    }
    backend.expect(b"waits its turn");
    backend.send(b"and is answered");
    client.expect(b"and is answered");

    drop((sender.join().unwrap(), slow_client, client, backend));
    mailbox.push(Message::NoMore);
    relay.join().unwrap();
    assert_eq!(counters.slots.load(Ordering::Relaxed), 0);
    assert_eq!(counters.buffers.load(Ordering::Relaxed), 0);
    assert_eq!(places.taken(), 0);
}
