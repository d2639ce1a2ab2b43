//! Violations by a peer, each with its fault and alert.

use super::*;

const TLS13: Suite = Suite::ALL[0];
const TLS12: Suite = Suite::ALL[3];

#[test]
fn a_wrong_byte_anywhere_is_never_taken() {
    for suite in Suite::ALL {
        let (_, mut client) = pair(suite);
        let record = sealed(&mut client, b"some plaintext");
        for at in 0..record.len() {
            let (mut server, _) = pair(suite);
            let mut wrong = record.clone();
            wrong[at] ^= 1;
            let heard = hear(&mut server, &[&wrong]);
            assert!(heard.plaintext.is_empty(), "{suite:?} byte {at}");
            // A longer length than came is waited for; everything else is a fault at once.
            let is_waiting = heard.end.is_none();
            assert_eq!(
                is_waiting,
                (3..5).contains(&at) && length(&wrong) > length(&record),
                "{suite:?} byte {at}"
            );
            if at >= 5 {
                assert_eq!(heard.end, Some(Err(RecordFault::NotAuthentic)), "{suite:?} byte {at}");
            }
        }
    }

    fn length(record: &[u8]) -> u16 {
        u16::from_be_bytes([record[3], record[4]])
    }
}

#[test]
fn records_that_are_repeated_left_out_or_swapped_are_not_authentic() {
    for suite in Suite::ALL {
        let (_, mut client) = pair(suite);
        let [one, two] = [b"1", b"2"].map(|content| sealed(&mut client, content));
        for order in [[&one, &one], [&two, &one]] {
            let (mut server, _) = pair(suite);
            let heard = hear(&mut server, &[&order.map(Vec::as_slice).concat()]);
            assert_eq!(heard.end, Some(Err(RecordFault::NotAuthentic)));
        }
    }
}

#[test]
fn a_fault_stays() {
    let (mut server, mut client) = pair(TLS13);
    let good = sealed(&mut client, b"good");
    let mut bad = good.clone();
    bad[20] ^= 1;
    assert_eq!(hear(&mut server, &[&bad]).end, Some(Err(RecordFault::NotAuthentic)));
    let heard = hear(&mut server, &[&good]);
    assert_eq!((heard.plaintext.len(), heard.end), (0, Some(Err(RecordFault::NotAuthentic))));
}

#[test]
fn content_is_taken_at_its_bound_and_refused_beyond() {
    let inner = |bytes: usize, padding: usize| [&vec![1; bytes][..], &[23], &vec![0; padding]].concat();
    let fault = |inner: Vec<u8>| fault_of(TLS13, |client| raw_record(client, &inner));
    assert_eq!(fault(inner(16_384, 0)), None);
    assert_eq!(fault(inner(0, 16_384)), None);
    assert_eq!(fault(inner(16_385, 0)), Some(RecordFault::ContentTooLong));
    assert_eq!(fault(inner(16_384, 1)), Some(RecordFault::ContentTooLong));
    assert_eq!(fault(vec![0; 40]), Some(RecordFault::NoContentType));
    assert_eq!(fault(vec![]), Some(RecordFault::NoContentType));
    assert_eq!(fault(b"x\x14".to_vec()), Some(RecordFault::UnexpectedChangeCipherSpec));
    assert_eq!(fault(b"x\x18".to_vec()), Some(RecordFault::UnknownContentType(24)));
    for content_type in [21, 22] {
        assert_eq!(fault(vec![content_type, 0, 0]), Some(RecordFault::EmptyRecord));
    }
}

#[test]
fn records_that_are_not_protected_are_refused() {
    for (record, fault) in [
        (&[20, 3, 3, 0, 1, 1][..], RecordFault::UnexpectedChangeCipherSpec),
        (&[21, 3, 3, 0, 2, 1, 0], RecordFault::NotProtected(21)),
        (&[22, 3, 3, 0, 4, 24, 0, 0, 1], RecordFault::NotProtected(22)),
        (b"GET / HTTP/1.1", RecordFault::UnknownContentType(b'G')),
        (&[23, 3, 3, 0x41, 1], RecordFault::RecordTooLong(0x4101)),
        (&[23, 3, 3, 0, 0], RecordFault::NotAuthentic),
    ] {
        assert_eq!(fault_of(TLS13, |_| record.to_vec()), Some(fault));
    }
    assert_eq!(fault_of(TLS12, |_| vec![20, 3, 3, 0, 1, 1]), Some(RecordFault::UnexpectedChangeCipherSpec));
    assert_eq!(fault_of(TLS12, |_| vec![21, 3, 3, 0, 2, 1, 0]), Some(RecordFault::NotAuthentic));
    assert_eq!(fault_of(TLS12, |_| vec![23, 3, 4, 0, 40]), Some(RecordFault::WrongVersion(0x0304)));
}

#[test]
fn handshake_messages_that_have_no_place_are_refused() {
    let key_update = [24, 0, 0, 1, 0];
    let server_hears =
        |suite, messages: &[u8]| fault_of(suite, |client| record(client, ContentType::Handshake, messages));
    for (suite, messages, fault) in [
        (TLS13, &[24, 0, 0, 1, 2][..], RecordFault::UnknownKeyUpdateRequest),
        (TLS13, &[24, 0, 0, 2, 0, 0], RecordFault::MalformedMessage),
        (TLS13, &[24, 0, 0, 0], RecordFault::MalformedMessage),
        (TLS13, &[key_update, key_update].concat(), RecordFault::MessageAcrossKeyChange),
        (TLS13, &[24, 0, 0, 1, 0, 24], RecordFault::MessageAcrossKeyChange),
        // Only a server sends tickets; a client's certificate was not asked for.
        (TLS13, &[4, 0, 0, 1, 0], RecordFault::UnexpectedMessage(4)),
        (TLS13, &[11, 0, 0, 1, 0], RecordFault::UnexpectedMessage(11)),
        (TLS13, &[1], RecordFault::UnexpectedMessage(1)),
        (TLS12, &[24, 0, 0, 1, 0], RecordFault::UnexpectedMessage(24)),
        (TLS12, &[0, 0, 0, 0], RecordFault::UnexpectedMessage(0)),
        (TLS12, &[1, 1, 0, 1], RecordFault::MessageTooLong(65_537)),
        (TLS12, &[1, 0, 0, 0], RecordFault::MalformedMessage),
    ] {
        assert_eq!(server_hears(suite, messages), Some(fault), "{messages:?}");
    }
    let client_hears = |suite, messages: &[u8]| {
        let (mut server, mut client) = pair(suite);
        let record = record(&mut server, ContentType::Handshake, messages);
        hear(&mut client, &[&record]).end
    };
    for (suite, messages, fault) in [
        (TLS13, &[13, 0, 0, 1, 0][..], RecordFault::UnexpectedMessage(13)),
        (TLS13, &[4, 1, 0, 1], RecordFault::MessageTooLong(65_537)),
        (TLS13, &[4, 0, 0, 0], RecordFault::MalformedMessage),
        (TLS12, &[4, 0, 0, 1], RecordFault::UnexpectedMessage(4)),
        (TLS12, &[0, 0, 0, 1, 1], RecordFault::MalformedMessage),
    ] {
        assert_eq!(client_hears(suite, messages), Some(Err(fault)), "{messages:?}");
    }
}

#[test]
fn nothing_stands_inside_a_message() {
    let (mut server, mut client) = pair(TLS13);
    let mut stream = record(&mut client, ContentType::Handshake, &[24, 0]);
    stream.extend(sealed(&mut client, b"data"));
    assert_eq!(hear(&mut server, &[&stream]).end, Some(Err(RecordFault::RecordInsideMessage)));
}

#[test]
fn alerts_have_two_bytes() {
    for alert in [&[1][..], &[1, 0, 1, 0], &[2]] {
        let fault = fault_of(TLS13, |client| record(client, ContentType::Alert, alert));
        assert_eq!(fault, Some(RecordFault::MalformedAlert));
    }
}

/// Empty records, KeyUpdates, warnings and tickets: a few in a row are fine, a stream of them is not.
#[test]
fn records_without_content_are_bounded_in_a_row() {
    let most = usize::from(inbound::RECORDS_WITHOUT_CONTENT_MAX);
    let empty = |client: &mut LegRecords| empty_record(client);
    let canceled = |client: &mut LegRecords| record(client, ContentType::Alert, &[1, 90]);
    let update = |client: &mut LegRecords| {
        client.refresh_keys();
        sealed(client, &[])
    };
    let hello = |client: &mut LegRecords| record(client, ContentType::Handshake, &[1, 0, 0, 1, 0]);
    type Make<'a> = &'a dyn Fn(&mut LegRecords) -> Vec<u8>;
    let kinds: [(Suite, Make<'_>); 5] =
        [(TLS13, &empty), (TLS13, &canceled), (TLS13, &update), (TLS12, &empty), (TLS12, &hello)];
    for (suite, make) in kinds {
        let (mut server, mut client) = pair(suite);
        for round in 0..3 {
            let mut stream: Vec<u8> = (0..most).flat_map(|_| make(&mut client)).collect();
            stream.extend(sealed(&mut client, b"data"));
            assert_eq!(hear(&mut server, &[&stream]).end, None, "round {round}");
        }
        let stream: Vec<u8> = (0..=most).flat_map(|_| make(&mut client)).collect();
        assert_eq!(hear(&mut server, &[&stream]).end, Some(Err(RecordFault::TooManyWithoutContent)));
    }
}

/// RFC 8446 §6, one of each alert.
#[test]
fn every_fault_has_its_alert() {
    for (fault, alert) in [
        (RecordFault::NotAuthentic, 20),
        (RecordFault::RecordTooLong(0), 22),
        (RecordFault::ContentTooLong, 22),
        (RecordFault::UnexpectedChangeCipherSpec, 10),
        (RecordFault::NoContentType, 10),
        (RecordFault::UnexpectedMessage(1), 10),
        (RecordFault::UnknownKeyUpdateRequest, 47),
        (RecordFault::MalformedAlert, 50),
        (RecordFault::WrongVersion(0), 70),
        (RecordFault::SequenceExhausted, 80),
    ] {
        assert_eq!(fault.alert().to_bytes(), [2, alert], "{fault}");
    }
}
