//! The end of an instance: how fast it drains, which signals count, and what can be seen meanwhile.

use super::with_drain;
use crate::support::backend::{Backend, Pair};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::served::{Configuration, INSTANCE, Served, status_page, wait_for_exit};
use crate::support::{api_file, wait_until};
use rustix::process::Signal;

/// A session that no Close can be put into: its client has sent half a frame.
fn within_frame(served: &Served, backend: &Backend) -> Pair {
    let mut pair = Pair::open(served.address, backend);
    pair.client.send(&client_frame(0x82, b"payload")[..8]);
    pair
}

#[test]
fn three_sessions_are_closed_at_once_however_long_a_drain_may_take() {
    let backend = Backend::new();
    let configuration = Configuration::new(&with_drain(3600), &api_file("t", backend.address, ""));
    let mut served = Served::start(&configuration);
    let mut pairs: Vec<_> = (0..3).map(|_| Pair::open(served.address, &backend)).collect();
    served.signal(Signal::TERM);
    let line = served.wait_until_said("draining 3 sessions: ");
    assert!(
        line.contains("each is closed within 1 s, and what is open after 3600 s (drain_s) is cut"),
        "{line}"
    );
    // Spread over an hour, the third would be told after half an hour.
    for pair in &mut pairs {
        pair.client.expect(&server_frame(0x88, &close_payload(1001, "drain")));
        pair.client.send(&client_frame(0x88, &close_payload(1001, "")));
        assert_eq!(pair.backend.read(1), [0x88]);
    }
    drop(pairs);
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("drained; 3 sessions were closed in ");
}

#[test]
fn a_drain_without_sessions_says_so() {
    let configuration = Configuration::new(INSTANCE, &api_file("t", Backend::new().address, ""));
    let mut served = Served::start(&configuration);
    served.signal(Signal::TERM);
    served.wait_until_said("draining; no session is open");
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
}

#[test]
fn a_second_signal_that_comes_with_the_first_is_the_same_and_a_later_one_cuts() {
    let backend = Backend::new();
    let instance = format!("{}[status]\naddress = \"127.0.0.1:0\"\n", with_drain(3600));
    let mut served = Served::start(&Configuration::new(&instance, &api_file("t", backend.address, "")));
    let pair = within_frame(&served, &backend);
    // As a terminal does, whose Ctrl-C goes to the process and to the one that started it.
    served.signal(Signal::INT);
    served.signal(Signal::TERM);
    served.wait_until_said("draining 1 session: ");
    // Another order comes behind both: the instance answers it, and is draining still.
    served.signal(Signal::USR1);
    served.wait_until_said("end of counters");
    assert!(served.status_page().contains("# ringgate is draining\n"));
    wait_until("the end at once", || {
        served.signal(Signal::TERM);
        served.child.try_wait().unwrap().is_some()
    });
    assert_eq!(wait_for_exit(&mut served.child).code(), Some(0));
    served.wait_until_said("ended at once; 1 session was cut");
    drop(pair);
}

#[test]
fn the_status_page_says_draining_to_the_end_and_the_next_instance_starts_without_it_and_gets_it_then() {
    let backend = Backend::new();
    let with_status = |listener: &str, status: &str| {
        let instance = with_drain(3600).replace("127.0.0.1:0", listener);
        format!("{instance}[status]\naddress = \"{status}\"\n")
    };
    let api = api_file("t", backend.address, "");
    let mut first = Served::start(&Configuration::new(&with_status("127.0.0.1:0", "127.0.0.1:0"), &api));
    let (address, status) = (first.address, first.status_address());
    let serving = status_page(status);
    assert!(serving.contains("# ringgate is serving\n") && serving.contains("\ndraining 0\n"), "{serving}");
    let held = within_frame(&first, &backend);
    first.signal(Signal::TERM);
    first.wait_until_said("draining 1 session: ");
    let draining = status_page(status);
    let is_told = draining.contains("# ringgate is draining\n") && draining.contains("\ndraining 1\n");
    assert!(is_told, "{draining}");

    // The next one takes over the listener, which the first has closed, and does not wait for the page's address.
    wait_until("a port that is closed", || std::net::TcpStream::connect(address).is_err());
    let instance = with_status(&address.to_string(), &status.to_string());
    let second = Served::start(&Configuration::new(&instance, &api));
    let told = format!("  no status page yet: {status} is in use; it is tried again until it is free");
    assert!(second.announced.contains(&told), "{:?}", second.announced);
    second.wait_until_said("the status page's address is in use");
    let mut pair = Pair::open(second.address, &backend);
    pair.exchange();
    assert!(status_page(status).contains("# ringgate is draining\n"), "the first one's page still");

    drop(held);
    assert_eq!(wait_for_exit(&mut first.child).code(), Some(0));
    // Nothing was said about the address in between.
    assert!(second.next_said().contains("the status page is served"));
    assert!(status_page(status).contains("# ringgate is serving\n"), "the second one's");
    drop(pair);
}
