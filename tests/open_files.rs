//! Accepting without open files, seen from inside: the pauses are counted, and they end by themselves.
//!
//! A binary of its own with one test, because the limit of open files is that of the whole process: the test's own
//! sockets exist before it is lowered.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for real events"
)]

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::os::fd::AsRawFd;
use support::backend::{Backend, Pair};
use support::raw::{Raw, request};
use support::{TestInstance, wait_until};

/// Sets the soft limit of open files; `None` makes it the hard one again.
fn limit_open_files(limit: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.or(maximum), maximum }).unwrap();
}

#[test]
fn pauses_for_lack_of_open_files_are_counted_and_end_by_themselves() {
    let backend = Backend::new();
    let gateway = TestInstance::start(backend.address, "");
    let pauses = || gateway.instance.counters().sum(|worker| &worker.accept_pauses);
    let accepted = || gateway.instance.counters().sum(|worker| &worker.connections_accepted);
    let connect = |socket: Socket| {
        socket.connect(&gateway.address.into()).unwrap();
        Raw::new(socket.into())
    };
    // A session that lives; and the front waits for the next connection.
    let mut pair = Pair::open(gateway.address, &backend);
    gateway.wait_for_openings(0);
    let mut sockets: Vec<Socket> =
        (0..3).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let lowest_free = File::open("/proc/self/fd").unwrap().as_raw_fd();

    limit_open_files(Some(u64::try_from(lowest_free).unwrap()));
    // The accept that is already waiting was let under the limit before.
    let first = connect(sockets.pop().unwrap());
    wait_until("the accept that was waiting", || accepted() == 2);
    let mut others: Vec<Raw> = sockets.into_iter().map(connect).collect();
    let paused = pauses();
    wait_until("two pauses more", || pauses() >= paused + 2);
    assert_eq!(accepted(), 2);
    pair.exchange();

    limit_open_files(None);
    for client in &mut others {
        client.send(request("/nowhere", "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 404 "));
    }
    assert_eq!(accepted(), 4);
    drop((first, others, pair));
    gateway.wait_for_rest();
    gateway.end();
}
