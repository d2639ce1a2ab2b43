//! Every suite in both versions and both roles: rustls' connections and the records that were taken over.

use super::pki::{Authority, client_config, mutual_server_config, provider, server_config};
use super::*;
use crate::tls::record::{Alert, Role, Version};

/// A connection of each suite with ringgate in each role, and what is to be done with it.
fn each_connection(mut check: impl FnMut(&str, Finished, &mut Peer, Vec<u8>)) {
    let authority = Authority::new("authority");
    let (elliptic, rsa) = (authority.leaf(&["localhost"]), authority.rsa_leaf(&["localhost"]));
    for (suite, provider) in each_suite() {
        let name = format!("{:?}", suite.suite());
        let leaf = if name.contains("_RSA_") { &rsa } else { &elliptic };
        let (server, client) =
            (server_config(&provider, leaf), Arc::new(client_config(&provider, &authority)));

        let mut peer = Peer::client(&client, "localhost");
        // Said before the handshake is over, so that it comes in one piece with its last message.
        peer.say(b"at once");
        let handshake = Handshake::with_client(&server).expect("a handshake");
        let (finished, behind) = shake(handshake, &mut peer, usize::MAX).expect("a connection");
        assert_eq!(finished.server_name.as_deref(), Some("localhost"));
        check(&format!("{name}, towards a client"), finished, &mut peer, behind);

        let mut peer = Peer::server(&Arc::new(server));
        peer.say(b"at once");
        let name_of_backend = ServerName::try_from("localhost").expect("a name");
        let handshake = Handshake::with_backend(&client, name_of_backend).expect("a handshake");
        let (mut finished, mut behind) = shake(handshake, &mut peer, usize::MAX).expect("a connection");
        // The peer's data comes with the answer to ours in TLS 1.2, and before in TLS 1.3.
        peer.take(&seal(&mut finished.records, b"?")).expect("a record");
        behind.extend(peer.give());
        check(&format!("{name}, towards a backend"), finished, &mut peer, behind);
    }
}

#[test]
fn what_came_behind_the_handshake_is_heard() {
    let mut connections = 0;
    each_connection(|name, mut finished, _, mut behind| {
        let heard = hear(&mut finished.records, &mut behind);
        assert_eq!((heard.plaintext.as_slice(), heard.end), (&b"at once"[..], None), "{name}");
        let is_tls13_client =
            finished.records.role() == Role::Client && finished.records.suite().version == Version::Tls13;
        assert_eq!(!heard.tickets.is_empty(), is_tls13_client, "{name}");
        connections += 1;
    });
    assert_eq!(connections, 2 * 9);
}

#[test]
fn data_goes_both_ways_in_any_amount() {
    each_connection(|name, mut finished, peer, mut behind| {
        let records = &mut finished.records;
        hear(records, &mut behind);
        for bytes in [1, 100, 16_384, 16_385, 50_000] {
            let content: Vec<u8> = (0..bytes).map(|index: u32| (index % 251) as u8).collect();
            let said = seal(records, &content);
            assert_eq!(peer.take(&said).expect("authentic").0, content, "{name}, {bytes} bytes");
            peer.say(&content);
            let heard = hear(records, &mut peer.give());
            assert_eq!((heard.plaintext, heard.end), (content, None), "{name}, {bytes} bytes");
            records.rest();
        }
    });
}

#[test]
fn both_sides_change_keys_whenever_they_like() {
    each_connection(|name, mut finished, peer, mut behind| {
        let records = &mut finished.records;
        hear(records, &mut behind);
        if records.suite().version == Version::Tls12 {
            return;
        }
        for round in 0..3 {
            // The peer changes its keys and asks for others.
            peer.0.refresh_traffic_keys().expect("tls 1.3");
            peer.say(b"new keys");
            let heard = hear(records, &mut peer.give());
            assert_eq!(heard.plaintext, b"new keys", "{name}, round {round}");
            assert!(records.owes());
            assert_eq!(peer.take(&seal(records, b"mine too")).expect("authentic").0, b"mine too");
            // Ringgate does.
            records.refresh_keys();
            assert_eq!(peer.take(&seal(records, b"again")).expect("authentic").0, b"again");
            peer.say(b"answered");
            assert_eq!(hear(records, &mut peer.give()).plaintext, b"answered");
            assert!(!records.owes(), "an answer is not answered");
            // Moved in the middle of it all.
            *records = LegRecords::import(&records.export().expect("open")).expect("exported");
        }
    });
}

#[test]
fn each_side_says_its_end_and_hears_the_others() {
    each_connection(|name, mut finished, peer, mut behind| {
        let records = &mut finished.records;
        hear(records, &mut behind);
        let mut out = vec![0; records.sealed_alert_bytes()];
        assert_eq!(records.seal_alert(Alert::CloseNotify, &mut out), Ok(out.len()));
        assert!(peer.take(&out).expect("authentic").1, "{name}");
        peer.say(b"last");
        peer.0.send_close_notify();
        let heard = hear(records, &mut peer.give());
        assert_eq!((heard.plaintext.as_slice(), heard.end), (&b"last"[..], Some(Ok(Step::Closed))), "{name}");
        assert!(records.is_closed_by_peer());
    });
}

#[test]
fn the_peer_understands_the_alert_for_its_fault() {
    each_connection(|name, mut finished, peer, mut behind| {
        let records = &mut finished.records;
        hear(records, &mut behind);
        peer.say(b"to be broken");
        let mut broken = peer.give();
        *broken.last_mut().expect("a record") ^= 1;
        let heard = hear(records, &mut broken);
        assert_eq!(heard.end, Some(Err(RecordFault::NotAuthentic)), "{name}");
        let mut out = vec![0; records.sealed_alert_bytes()];
        records.seal_alert(RecordFault::NotAuthentic.alert(), &mut out).expect("a number is left");
        let refused = peer.take(&out).expect_err("an alert");
        assert_eq!(refused, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    });
}

#[test]
fn the_peer_notices_a_wrong_tag() {
    each_connection(|name, mut finished, peer, _| {
        let mut said = seal(&mut finished.records, b"x");
        *said.last_mut().expect("a record") ^= 1;
        assert_eq!(peer.take(&said).expect_err("a wrong tag"), rustls::Error::DecryptError, "{name}");
    });
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let authority = Authority::new("authority");
    let leaf = authority.leaf(&["localhost"]);
    let client = Arc::new(client_config(&provider(), &authority));
    for step in [1, 2, 7, 100, 1000] {
        let mut peer = Peer::client(&client, "localhost");
        peer.say(b"behind");
        let handshake = Handshake::with_client(&server_config(&provider(), &leaf)).expect("a handshake");
        let (mut finished, mut behind) = shake(handshake, &mut peer, step).expect("a connection");
        assert_eq!(hear(&mut finished.records, &mut behind).plaintext, b"behind", "{step} bytes at a time");
    }
}

/// Messages that are spread over records, and records that come one byte at a time.
#[test]
fn a_handshake_may_come_in_many_small_records() {
    let authority = Authority::new("authority");
    let mut server = server_config(&provider(), &authority.leaf(&["localhost"]));
    let mut client = client_config(&provider(), &authority);
    server.max_fragment_size = Some(64);
    client.max_fragment_size = Some(64);
    let (server, client) = (Arc::new(server), Arc::new(client));
    for step in [1, 50, usize::MAX] {
        let mut peer = Peer::client(&client, "localhost");
        peer.say(b"behind");
        let handshake = Handshake::with_client(&server).expect("a handshake");
        let (mut finished, mut behind) = shake(handshake, &mut peer, step).expect("a connection");
        assert_eq!(hear(&mut finished.records, &mut behind).plaintext, b"behind");

        let mut peer = Peer::server(&server);
        peer.say(b"behind");
        let name = ServerName::try_from("localhost").expect("a name");
        let handshake = Handshake::with_backend(&client, name).expect("a handshake");
        let (mut finished, mut behind) = shake(handshake, &mut peer, step).expect("a connection");
        behind.extend(peer.give());
        let heard = hear(&mut finished.records, &mut behind);
        assert_eq!((heard.plaintext.as_slice(), heard.end), (&b"behind"[..], None));
        assert_eq!(finished.records.tickets(), 2, "spread over records, and read over");
    }
}

#[test]
fn the_chain_of_the_peer_is_there() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (server, own) = (servers.leaf(&["localhost"]), clients.leaf(&["someone"]));
    let config = ClientConfig::builder_with_provider(provider());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config =
        config.with_root_certificates(servers.roots()).with_client_auth_cert(own.chain(), own.key_der());
    let mut peer = Peer::client(&Arc::new(config.expect("a pair")), "localhost");
    let handshake = Handshake::with_client(&mutual_server_config(&server, &clients)).expect("a handshake");
    let (finished, _) = shake(handshake, &mut peer, usize::MAX).expect("a connection");
    assert_eq!(finished.peer_chain, Some(own.chain()));
}

/// Whatever byte of a peer's part is wrong, there is no panic; behind the first hello there is no connection either.
#[test]
fn a_wrong_byte_anywhere_in_a_handshake_does_no_harm() {
    let authority = Authority::new("authority");
    let server = server_config(&provider(), &authority.leaf(&["localhost"]));
    let client = Arc::new(client_config(&provider(), &authority));
    let (mut at, mut bytes) = (0, usize::MAX);
    while at < bytes {
        let mut peer = Peer::client(&client, "localhost");
        let mut handshake = Handshake::with_client(&server).expect("a handshake");
        let mut hello = peer.give();
        let mut out = Vec::new();
        if at < hello.len() {
            hello[at] ^= 0x15;
            // Some bytes mean nothing yet: the transcript shows them to be wrong at the end.
            let _ = handshake.advance(&mut hello, &mut out);
        } else {
            assert!(matches!(handshake.advance(&mut hello.clone(), &mut out), Ok(Progress::NeedsMore)));
            peer.take(&out).expect("the server's part");
            let mut rest = peer.give();
            bytes = hello.len() + rest.len();
            let at = at - hello.len();
            rest[at] ^= 0x15;
            let is_done = matches!(handshake.advance(&mut rest, &mut out), Ok(Progress::Done));
            // RFC 8446 §5.1: minor versions in headers, of change_cipher_spec and of the last record, are not looked at.
            assert_eq!(is_done, [2, 8].contains(&at), "byte {at}");
        }
        at += 1;
    }
}

/// A peer that does not speak TLS, and the answer to it.
#[test]
fn what_is_no_handshake_is_refused() {
    let leaf = Authority::new("authority").leaf(&["localhost"]);
    let advance = |bytes: &[u8]| {
        let mut handshake = Handshake::with_client(&server_config(&provider(), &leaf)).expect("a handshake");
        let mut out = Vec::new();
        let progress = handshake.advance(&mut bytes.to_vec(), &mut out);
        (progress, out)
    };
    let (fault, out) = advance(b"GET / HTTP/1.1\r\n");
    assert!(matches!(fault, Err(HandshakeFault::PlainHttp)) && out.is_empty());
    assert!(matches!(advance(b"G").0, Err(HandshakeFault::PlainHttp)));
    assert!(matches!(advance(&[]).0, Ok(Progress::NeedsMore)));
    assert!(matches!(advance(&[22, 3, 1, 2, 0, 1]).0, Ok(Progress::NeedsMore)));
    // A record that is too long, one of another type, and a message that is none: each with its alert.
    for (bytes, alert) in
        [(&[22, 3, 1, 0xff, 0xff][..], 50), (&[23, 3, 3, 0, 1, 0], 10), (&[22, 3, 1, 0, 4, 99, 0, 0, 0], 10)]
    {
        let (fault, out) = advance(bytes);
        assert!(matches!(fault, Err(HandshakeFault::Refused(_))), "{fault:?}");
        assert_eq!(out, [21, 3, 3, 0, 2, 2, alert], "{fault:?}");
    }
}

/// A message that goes on and on is refused before its bytes are many, whoever refuses it first.
#[test]
fn a_handshake_that_never_ends_is_refused() {
    let leaf = Authority::new("authority").leaf(&["localhost"]);
    let mut handshake = Handshake::with_client(&server_config(&provider(), &leaf)).expect("a handshake");
    let mut received = Vec::new();
    let mut records = 0;
    let fault = loop {
        let content = if records == 0 { vec![1, 0, 0xff, 0xff] } else { vec![0; 16_000] };
        received.extend_from_slice(&[22, 3, 1, (content.len() >> 8) as u8, content.len() as u8]);
        received.extend_from_slice(&content);
        records += 1;
        if let Err(fault) = handshake.advance(&mut received, &mut Vec::new()) {
            break fault;
        }
        assert!(received.len() <= crate::limits::TLS_HANDSHAKE_BYTES_MAX);
    };
    assert!(matches!(fault, HandshakeFault::Refused(_)), "{fault:?}");
    assert!(records <= 6, "{records}");
}
