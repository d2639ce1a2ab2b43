//! Alerts both ways, renegotiation, and ends.

use super::*;

const TLS13: Suite = Suite::ALL[0];
const TLS12: Suite = Suite::ALL[3];

fn alert(by: &mut LegRecords, alert: Alert) -> Vec<u8> {
    let mut out = vec![0; by.sealed_alert_bytes()];
    assert_eq!(by.seal_alert(alert, &mut out), Ok(out.len()));
    out
}

#[test]
fn alerts_end_what_is_heard_and_say_how() {
    for (suite, content, end) in [
        (TLS13, [1, 0], Some(Step::Closed)),
        (TLS13, [2, 0], Some(Step::Closed)),
        (TLS13, [2, 20], Some(Step::Alert(20))),
        // RFC 8446 §6: whatever its level, and whether it is known or not.
        (TLS13, [1, 20], Some(Step::Alert(20))),
        (TLS13, [1, 255], Some(Step::Alert(255))),
        (TLS13, [1, 90], None),
        (TLS12, [1, 0], Some(Step::Closed)),
        (TLS12, [2, 40], Some(Step::Alert(40))),
        (TLS12, [1, 100], None),
    ] {
        let (mut server, mut client) = pair(suite);
        let mut stream = record(&mut client, ContentType::Alert, &content);
        stream.extend(sealed(&mut client, b"behind"));
        let heard = hear(&mut server, &[&stream]);
        let plaintext: &[u8] = if end.is_none() { b"behind" } else { b"" };
        assert_eq!((heard.plaintext.as_slice(), heard.end), (plaintext, end.clone().map(Ok)), "{content:?}");
        assert_eq!(server.is_closed_by_peer(), end == Some(Step::Closed));
    }
}

#[test]
fn nothing_is_sealed_behind_an_alert() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        client.refresh_keys();
        let stream = alert(&mut client, Alert::CloseNotify);
        assert_eq!(hear(&mut server, &[&stream]).end, Some(Ok(Step::Closed)));
        assert!(!client.owes());
        assert_eq!((client.sealed_bytes(10), client.sealed_alert_bytes()), (0, 0));
        assert_eq!(client.seal(&[b"0123456789"], &mut []), Ok(0));
        assert_eq!(client.seal_alert(Alert::InternalError, &mut []), Ok(0));
        // The other direction goes on.
        assert_eq!(hear(&mut client, &[&sealed(&mut server, b"still here")]).plaintext, b"still here");
    }
}

/// One answer to any number of requests, with the old keys, and what follows with the new ones.
#[test]
fn key_updates_are_answered_once() {
    let (mut server, mut client) = pair(TLS13);
    let mut stream = Vec::new();
    for _ in 0..3 {
        client.refresh_keys();
        stream.extend(sealed(&mut client, b"."));
    }
    let heard = hear(&mut server, &[&stream]);
    assert_eq!((heard.plaintext.as_slice(), heard.owes, heard.end), (&b"..."[..], true, None));
    let before = server.outbound.state().sequence();
    let answer = sealed(&mut server, b"answer");
    assert!(!server.owes());
    assert_eq!((before, server.outbound.state().sequence()), (0, 1));
    assert_eq!(answer.len(), (22 + 5) + (22 + 6));
    let heard = hear(&mut client, &[&answer]);
    assert_eq!((heard.plaintext.as_slice(), heard.owes), (&b"answer"[..], false), "answers are not answered");
}

#[test]
fn an_answer_is_owed_without_data_too() {
    let (mut server, mut client) = pair(TLS13);
    client.refresh_keys();
    assert!(hear(&mut server, &[&sealed(&mut client, &[])]).owes);
    let answer = sealed(&mut server, &[]);
    assert_eq!(answer.len(), 22 + 5);
    assert_eq!(hear(&mut client, &[&answer]), Heard::default());
    assert_eq!(server.sealed_bytes(0), 0);
}

#[test]
fn renegotiation_is_declined_with_a_warning() {
    let (mut server, mut client) = pair(TLS12);
    let hello = record(&mut client, ContentType::Handshake, &[1, 0, 0, 3, 1, 2, 3]);
    let heard = hear(&mut server, &[&[&hello[..], &sealed(&mut client, b"data")].concat()]);
    assert_eq!((heard.plaintext.as_slice(), heard.owes), (&b"data"[..], true));
    let answer = sealed(&mut server, b"answer");
    assert_eq!(answer.len(), 29 + 2 + 29 + 6);
    // A warning, which does not end anything.
    let heard = hear(&mut client, &[&answer]);
    assert_eq!((heard.plaintext.as_slice(), heard.end), (&b"answer"[..], None));

    let request = record(&mut server, ContentType::Handshake, &[0, 0, 0, 0]);
    assert!(hear(&mut client, &[&request]).owes);
}

#[test]
fn a_worn_key_is_changed_before_more_data_goes_out() {
    let (mut server, mut client) = pair(TLS13);
    wear(&mut client.outbound.sealer.state, 0, suite::GCM_BLOCKS_MAX - 1);
    let mut stream = sealed(&mut client, b"last");
    assert_eq!(client.sealed_bytes(0), 0, "an idle leg does not change keys");
    let next = sealed(&mut client, b"first");
    assert_eq!(next.len(), 22 + 5 + 22 + 5);
    stream.extend(next);
    let heard = hear(&mut server, &[&stream]);
    assert_eq!((heard.plaintext.as_slice(), heard.owes), (&b"lastfirst"[..], false));
    assert!(!client.outbound.state().is_worn());
}

#[test]
fn the_peer_is_asked_once_to_change_a_worn_key() {
    let (mut server, mut client) = pair(TLS13);
    wear(&mut server.inbound.opener.state, 0, suite::GCM_BLOCKS_MAX);
    assert!(hear(&mut server, &[&sealed(&mut client, b"1")]).owes);
    let request = sealed(&mut server, &[]);
    assert!(!hear(&mut server, &[&sealed(&mut client, b"2")]).owes, "asked already");
    assert!(hear(&mut client, &[&request]).owes);
    assert!(!hear(&mut server, &[&sealed(&mut client, b"3")]).owes);
    assert!(!server.inbound.state().is_worn());
}

/// TLS 1.2 has no other keys: what is left is to say goodbye.
#[test]
fn tls_12_ends_when_its_key_is_worn() {
    let (mut server, mut client) = pair(TLS12);
    wear(&mut client.outbound.sealer.state, 1, suite::GCM_BLOCKS_MAX);
    let mut out = vec![0; client.sealed_bytes(1)];
    assert_eq!(client.seal(&[b"x"], &mut out), Err(Exhausted));
    let goodbye = alert(&mut client, Alert::CloseNotify);
    assert_eq!(hear(&mut server, &[&goodbye]).end, Some(Ok(Step::Closed)));
}

#[test]
fn sequence_numbers_do_not_wrap() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        wear(&mut client.outbound.sealer.state, u64::MAX - 1, 0);
        wear(&mut server.inbound.opener.state, u64::MAX - 1, 0);
        let last = sealed(&mut client, b"x");
        let mut out = vec![0; client.sealed_bytes(1)];
        assert_eq!(client.seal(&[b"x"], &mut out), Err(Exhausted));
        assert_eq!(hear(&mut server, &[&last]).plaintext, b"x");
        assert_eq!(hear(&mut server, &[&last]).end, Some(Err(RecordFault::SequenceExhausted)));
    }
}
