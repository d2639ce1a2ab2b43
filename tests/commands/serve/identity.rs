//! One id names an opening and its session: in the log, to policies, and so to clients and backends where policies say it.

use crate::support::api_file;
use crate::support::backend::{Backend, closed_port, switching};
use crate::support::raw::{Raw, header, request};
use crate::support::served::{Configuration, INSTANCE, Served};
use std::collections::BTreeSet;

/// Tells the id to the backend, to the log, and to the client, whatever the answer is.
const TELLS_ITS_ID: &str = "<policies>\
    <inbound><base/>\
      <set-header name=\"X-Id\"><value>@(context.RequestId.ToString())</value></set-header>\
      <trace source=\"test\" severity=\"information\"><message>@(\"traced \" + context.RequestId)</message></trace>\
    </inbound>\
    <outbound><base/><set-header name=\"X-Id\"><value>@(context.RequestId.ToString())</value></set-header></outbound>\
    <on-error><base/><set-header name=\"X-Id\"><value>@(context.RequestId.ToString())</value></set-header></on-error>\
    </policies>";

fn served(backend: std::net::SocketAddr) -> Served {
    let configuration = Configuration::new(INSTANCE, &api_file("t", backend, ""))
        .with_file("catalog/policies/apis/t.xml", TELLS_ITS_ID)
        .with_log("ringgate=debug");
    Served::start(&configuration)
}

/// Whether this is a GUID of version 4 (RFC 9562 §5.4), as it is written.
fn is_random_guid(id: &str) -> bool {
    let groups: Vec<_> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && groups[2].starts_with('4')
        && groups[3].starts_with(['8', '9', 'a', 'b'])
}

/// Waits for a line with `part`, which has to name the opening.
fn expect_line(served: &Served, part: &str, id: &str) {
    let line = served.wait_until_said(part);
    assert!(line.contains(&format!("id={id} ")), "{id}: {line}");
}

#[test]
fn an_opening_has_one_id_for_its_policies_its_backend_its_client_and_the_log() {
    let backend = Backend::new();
    let served = served(backend.address);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let mut client = Raw::connect(served.address);
        // A client has no say in it.
        client.send(request("/t", "X-Id: 1\r\n").as_bytes());
        let (mut leg, asked) = backend.take_request();
        let id = header(&asked, "X-Id").unwrap().to_owned();
        assert!(is_random_guid(&id), "{id}");
        leg.send(switching(&asked, "").as_bytes());
        let answer = client.read_head();
        assert_eq!(header(&answer, "X-Id"), Some(id.as_str()), "{answer}");
        let line = served.wait_until_said("a policy traces");
        assert!(line.contains(&format!("id={id} ")) && line.contains(&format!("traced {id}")), "{line}");
        expect_line(&served, "opened a session", &id);
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3, "each opening has its own: {ids:?}");
}

#[test]
fn the_warning_of_a_backend_that_fails_and_the_line_of_the_refusal_have_the_id_that_on_error_sees() {
    let served = served(closed_port());
    let mut client = Raw::connect(served.address);
    client.send(request("/t", "").as_bytes());
    let answer = String::from_utf8(client.read_to_end().0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let id = header(&answer, "X-Id").unwrap();
    expect_line(&served, "cannot connect to a backend", id);
    expect_line(&served, "policies answered an opening", id);
}

#[test]
fn a_connection_that_comes_to_no_request_has_an_id_in_the_log() {
    let served = served(closed_port());
    let mut ids = BTreeSet::new();
    for bytes in ["GET /nowhere HTTP/1.1\r\n\r\n", "\x16\x03\x01", "BREW /t HTTP/1.1\r\n\r\n"] {
        let mut client = Raw::connect(served.address);
        client.send(bytes.as_bytes());
        client.read_to_end();
        let line = served.wait_until_said("refused an opening");
        let (_, behind) = line.split_once("id=").expect("an id");
        let id = behind.split(' ').next().unwrap();
        assert!(is_random_guid(id), "{line}");
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
}
