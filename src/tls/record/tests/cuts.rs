//! Every cut of a stream yields the same.

use super::*;
use proptest::prelude::*;

/// A bit of everything that a client may send, and what is heard of it.
fn stream(suite: Suite, client: &mut LegRecords) -> Vec<u8> {
    let mut stream = sealed(client, b"one");
    stream.extend(empty_record(client));
    stream.extend(sealed(client, &[2; 300]));
    if suite.version == Version::Tls13 {
        client.refresh_keys();
        stream.extend(raw_record(client, b"padded\x17\0\0\0\0\0"));
    }
    stream.extend(sealed(client, b"three"));
    let mut alert = vec![0; client.sealed_alert_bytes()];
    assert_eq!(client.seal_alert(Alert::CloseNotify, &mut alert), Ok(alert.len()));
    stream.extend(alert);
    // What stands behind close_notify is ignored, whatever it is.
    stream.extend(b"GET / HTTP/1.1");
    stream
}

fn expected(suite: Suite) -> Vec<u8> {
    let padded: &[u8] = if suite.version == Version::Tls13 { b"padded" } else { b"" };
    [b"one", &[2; 300][..], padded, b"three"].concat()
}

#[test]
fn one_cut_anywhere_changes_nothing() {
    for suite in Suite::ALL {
        let stream = stream(suite, &mut pair(suite).1);
        let whole = hear(&mut pair(suite).0, &[&stream]);
        assert_eq!((&whole.plaintext, &whole.end), (&expected(suite), &Some(Ok(Step::Closed))), "{suite:?}");
        assert_eq!(whole.owes, suite.version == Version::Tls13);
        for cut in 0..=stream.len() {
            let (front, behind) = stream.split_at(cut);
            assert_eq!(hear(&mut pair(suite).0, &[front, behind]), whole, "{suite:?} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(hear(&mut pair(suite).0, &bytes), whole, "{suite:?} byte by byte");
    }
}

/// A stream that ends anywhere before close_notify is truncated, and gives what came whole.
#[test]
fn a_truncated_stream_is_told_from_a_clean_end() {
    for suite in Suite::ALL {
        let stream = stream(suite, &mut pair(suite).1);
        let clean = stream.len() - b"GET / HTTP/1.1".len();
        for end in 0..stream.len() {
            let (mut server, _) = pair(suite);
            let heard = hear(&mut server, &[&stream[..end]]);
            assert!(expected(suite).starts_with(&heard.plaintext));
            assert_eq!(server.is_closed_by_peer(), end >= clean, "{suite:?} ends at {end}");
        }
    }
}

/// Tickets and messages that are spread over records.
#[test]
fn messages_are_read_over_however_they_are_spread() {
    let suite = Suite::ALL[0];
    let ticket = [&[4, 0, 0, 20][..], &[9; 20]].concat();
    let messages = [&ticket[..], &ticket, &ticket].concat();
    for step in 1..=messages.len() {
        let (mut server, mut client) = pair(suite);
        let records = messages.chunks(step).map(|part| record(&mut server, ContentType::Handshake, part));
        let mut stream: Vec<u8> = records.collect::<Vec<_>>().concat();
        if messages.len().div_ceil(step) > usize::from(inbound::RECORDS_WITHOUT_CONTENT_MAX) {
            continue;
        }
        stream.extend(sealed(&mut server, b"data"));
        let heard = hear(&mut client, &[&stream]);
        assert_eq!((heard.plaintext.as_slice(), heard.end), (&b"data"[..], None), "{step} bytes a record");
        assert_eq!(client.tickets(), 3);
        assert!(heard.tickets.iter().all(|ticket| *ticket == [9; 20]));
        assert_eq!(heard.tickets.len(), messages.chunks(step).filter(|part| has_whole(part, step)).count());
    }

    /// Whether a whole ticket's body begins and ends in this part.
    fn has_whole(part: &[u8], step: usize) -> bool {
        step >= 72 && part.len() == 72 || (step >= 24 && part.windows(20).any(|window| window == [9; 20]))
    }
}

proptest! {
    #[test]
    fn any_messages_in_any_pieces_come_through(
        suite in 0_usize..6,
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..8),
        updates in any::<u8>(),
        cuts in proptest::collection::vec(0_usize..2_000, 0..8),
    ) {
        let suite = Suite::ALL[suite];
        let (mut server, mut client) = pair(suite);
        let mut stream = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if updates >> index & 1 == 1 {
                client.refresh_keys();
            }
            let (front, behind) = message.split_at(message.len() / 3);
            let mut out = vec![0; client.sealed_bytes(message.len())];
            prop_assert_eq!(client.seal(&[front, &[], behind], &mut out), Ok(out.len()));
            stream.extend(out);
        }
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        let heard = hear(&mut server, &pieces);
        prop_assert_eq!((heard.plaintext, heard.end), (messages.concat(), None));
    }

    #[test]
    fn random_bytes_never_panic_and_give_no_plaintext(
        suite in 0_usize..6,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        looks_like_a_record in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if looks_like_a_record && bytes.len() > 5 {
            let length = (bytes.len() - 5) as u16;
            bytes[..3].copy_from_slice(&[23, 3, 3]);
            bytes[3..5].copy_from_slice(&length.to_be_bytes());
        }
        let heard = hear(&mut pair(Suite::ALL[suite]).0, &[&bytes]);
        prop_assert!(heard.plaintext.is_empty() && heard.tickets.is_empty());
    }
}
