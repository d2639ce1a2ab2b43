//! Legs that are exported in the middle of a connection and go on elsewhere.

use proptest::prelude::*;

use super::*;
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};

use crate::golden::exports;

const KIND: ExportKind = ExportKind::RecordLayer;

fn moved(leg: &LegRecords) -> LegRecords {
    LegRecords::import(&leg.export().expect("the leg is open")).expect("what was exported is imported")
}

#[test]
fn an_imported_leg_goes_on_with_everything_that_is_owed() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        for round in 0..4 {
            client.refresh_keys();
            let stream = sealed(&mut client, &[round; 40]);
            assert_eq!(hear(&mut server, &[&stream]).plaintext, [round; 40]);
            (server, client) = (moved(&server), moved(&client));
            assert_eq!(server.owes(), suite.version == Version::Tls13);
            let stream = sealed(&mut server, &[round; 20]);
            assert_eq!(hear(&mut client, &[&stream]).plaintext, [round; 20]);
            assert_eq!(server.export(), moved(&server).export());
        }
    }
}

#[test]
fn a_leg_moves_inside_a_message() {
    let (mut server, mut client) = pair(Suite::ALL[0]);
    for byte in [24, 0, 0, 1, 1] {
        let part = record(&mut client, ContentType::Handshake, &[byte]);
        assert_eq!(hear(&mut server, &[&part]).end, None);
        server = moved(&server);
    }
    client.outbound.sealer.advance();
    assert!(server.owes());
    assert_eq!(hear(&mut server, &[&sealed(&mut client, b"new")]).plaintext, b"new");
}

#[test]
fn a_leg_whose_peer_has_closed_goes_on_sending_elsewhere() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        let mut out = vec![0; client.sealed_alert_bytes()];
        assert_eq!(client.seal_alert(Alert::CloseNotify, &mut out), Ok(out.len()));
        assert_eq!(hear(&mut server, &[&out]).end, Some(Ok(Step::Closed)));
        (server, client) = (moved(&server), moved(&client));
        assert!(server.is_closed_by_peer() && !client.is_closed_by_peer());
        assert_eq!(hear(&mut server, &[b"behind the end"]).end, Some(Ok(Step::Closed)));
        assert_eq!((client.sealed_alert_bytes(), client.sealed_bytes(5)), (0, 0), "it has said its end");
        assert_eq!(hear(&mut client, &[&sealed(&mut server, b"last")]).plaintext, b"last");
    }
}

#[test]
fn a_leg_that_broke_or_was_ended_by_an_alert_is_not_exported() {
    let (mut server, mut client) = pair(Suite::ALL[0]);
    assert_eq!(hear(&mut server, &[&[23, 3, 3, 0, 17, 0]]).end, None);
    assert!(server.export().is_some(), "a record that is cut is no fault");
    assert!(matches!(hear(&mut server, &[&[20, 3, 3, 0, 1, 1]]).end, Some(Err(_))));
    assert!(server.export().is_none());
    let mut out = vec![0; server.sealed_alert_bytes()];
    assert_eq!(server.seal_alert(Alert::InternalError, &mut out), Ok(out.len()));
    assert!(matches!(hear(&mut client, &[&out]).end, Some(Ok(Step::Alert(80)))));
    assert!(client.export().is_none());
}

#[test]
fn a_cut_record_moves_beside_its_leg_at_every_byte() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        let stream = sealed(&mut client, &[7; 100]);
        for cut in 1..stream.len() {
            let mut held = server.held();
            assert_eq!(held.fill(&stream[..cut]), Ok(cut));
            let mut writer = FieldWriter::new(KIND);
            held.export_fields(&mut writer);
            let bytes = writer.finish();
            let mut reader = FieldReader::new(KIND, &bytes).expect("an export");
            let mut held =
                HeldRecord::import_fields(&mut reader, suite).expect("what was exported is imported");
            assert_eq!(reader.finish(), Ok(()));
            assert_eq!((held.fill(&stream[cut..]), held.is_whole()), (Ok(stream.len() - cut), true));
            assert_eq!(held.heap_bytes(), stream.len(), "it takes no more than the record has");
            assert_eq!(held.into_bytes(), stream);
        }
        for wrong in [&[][..], &stream, &[99; 5]] {
            let mut writer = FieldWriter::new(KIND);
            writer.block("held_record", wrong);
            let bytes = writer.finish();
            let mut reader = FieldReader::new(KIND, &bytes).expect("an export");
            let fault = HeldRecord::import_fields(&mut reader, suite).err();
            assert_eq!(
                fault,
                Some(ExportFault::Impossible { kind: KIND, field: "held_record" }),
                "{wrong:?}"
            );
        }
        assert_eq!(hear(&mut server, &[&stream]).plaintext, [7; 100]);
    }
}

#[test]
fn no_cut_and_no_changed_field_of_an_export_is_imported_unseen() {
    for suite in Suite::ALL {
        let exported = pair(suite).0.export().expect("the leg is open");
        let import = |bytes: &[u8]| LegRecords::import(bytes).map(|_| ());
        for bytes in 2..exported.len() {
            let fault = import(&exported[..bytes]).unwrap_err();
            assert!(matches!(fault, ExportFault::Truncated { kind: KIND, .. }), "{bytes} bytes: {fault}");
        }
        let trailing = Err(ExportFault::TrailingBytes { kind: KIND, bytes: 1 });
        assert_eq!(import(&[&exported[..], &[0]].concat()), trailing);
    }
    for (index, field, change) in IMPOSSIBLE {
        let suite = Suite::ALL[index];
        let mut bytes = pair(suite).0.export().expect("the leg is open").to_vec();
        change(&mut bytes);
        assert_eq!(
            LegRecords::import(&bytes).map(|_| ()),
            Err(ExportFault::Impossible { kind: KIND, field }),
            "{field} of {suite:?}"
        );
    }
}

/// A suite, and a change of an export of it that makes the field impossible. Offsets are those of TLS 1.3 and 1.2 with AES-128.
type Impossible = (usize, &'static str, fn(&mut [u8]));

const IMPOSSIBLE: [Impossible; 8] = [
    (0, "role", |bytes| bytes[2] = 2),
    (0, "suite", |bytes| bytes[3] = 0x55),
    (0, "key", |bytes| bytes[20] = 15),
    (0, "key", |bytes| bytes[3] = 0x32),
    // A message of 0 bytes of which 4 came is whole.
    (0, "message_came", |bytes| bytes[93] = 4),
    (0, "without_content", |bytes| bytes[98] = 33),
    // Only TLS 1.3 updates keys, only TLS 1.2 refuses a second handshake.
    (3, "is_update_asked", |bytes| bytes[71] = 1),
    (0, "is_no_renegotiation_owed", |bytes| *bytes.iter_mut().nth_back(1).expect("a byte") = 1),
];

/// A record layer of each version and role, with the name of what it shows.
fn examples() -> [(&'static str, LegRecords); 3] {
    let (mut server, mut client) = pair(Suite::ALL[0]);
    client.refresh_keys();
    let stream = sealed(&mut client, &[7; 40]);
    assert_eq!(hear(&mut server, &[&stream]).end, None);
    let part = record(&mut client, ContentType::Handshake, &[24, 0]);
    assert_eq!(hear(&mut server, &[&part]).end, None);
    let (mut of_tls12, mut its_client) = pair(Suite::ALL[4]);
    let stream = sealed(&mut its_client, b"two records");
    let asking = record(&mut its_client, ContentType::Handshake, &[1, 0, 0, 1, 0]);
    assert_eq!(hear(&mut of_tls12, &[&stream, &asking]).end, None);
    let (_, mut closed) = pair(Suite::ALL[2]);
    let mut out = vec![0; closed.sealed_alert_bytes()];
    assert_eq!(closed.seal_alert(Alert::CloseNotify, &mut out), Ok(out.len()));
    [
        ("a server of TLS 1.3 that owes a KeyUpdate, in the middle of a message", server),
        ("a server of TLS 1.2 that owes an answer to a second handshake", of_tls12),
        ("a client that has said its end", closed),
    ]
}

#[test]
fn exports_have_the_layout_of_their_version() {
    let examples = examples().map(|(shown, leg)| {
        let mut writer = FieldWriter::with_layout(KIND);
        assert!(leg.export_fields(&mut writer));
        (shown, writer)
    });
    exports::assert_exports(KIND, &examples);
}

#[test]
fn record_layers_that_any_supported_version_exported_are_imported() {
    exports::assert_imports(KIND, |bytes| LegRecords::import(bytes).map(|leg| leg.export()));
}

proptest! {
    #[test]
    fn whatever_bytes_are_imported_as_a_leg_it_does_not_panic(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        example in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = LegRecords::import(&[&[KIND as u8, KIND.version()], &noise[..]].concat());
        let mut bytes = examples()[example].1.export().expect("the leg is not broken").to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut leg) = LegRecords::import(&bytes) {
            hear(&mut leg, &[&[23, 3, 3, 0, 30], &[7; 30], &noise]);
            let mut out = vec![0; leg.sealed_bytes(9)];
            let _ = leg.seal(&[b"some data"], &mut out);
            let mut out = vec![0; leg.sealed_alert_bytes()];
            let _ = leg.seal_alert(Alert::CloseNotify, &mut out);
        }
    }
}

#[test]
fn secrets_are_in_no_debug_output() {
    let (server, _) = pair(Suite::ALL[0]);
    let shown = format!("{server:?}");
    // The secrets are all ones and all twos.
    assert!(shown.contains("suite"));
    for told in ["key:", "iv:", "secret:", "1, 1", "2, 2"] {
        assert!(!shown.contains(told), "{shown}");
    }
}
