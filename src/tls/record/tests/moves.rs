//! Legs that are exported in the middle of a connection and go on elsewhere.

use super::*;
use crate::tls::record::direction::ImportFault;

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
fn a_leg_that_is_over_is_not_exported() {
    let (mut server, mut client) = pair(Suite::ALL[0]);
    let mut out = vec![0; client.sealed_alert_bytes()];
    assert_eq!(client.seal_alert(Alert::CloseNotify, &mut out), Ok(out.len()));
    assert!(client.export().is_none());
    hear(&mut server, &[&out]);
    assert!(server.export().is_none());
}

#[test]
fn only_what_was_exported_is_imported() {
    for suite in Suite::ALL {
        let exported = pair(suite).0.export().expect("the leg is open");
        let import = |bytes: &[u8]| LegRecords::import(bytes).map(|_| ());
        for bytes in 0..exported.len() {
            assert_eq!(import(&exported[..bytes]), Err(ImportFault::WrongLength), "{bytes} bytes");
        }
        assert_eq!(import(&[&exported[..], &[0]].concat()), Err(ImportFault::WrongLength));
        for (at, fault) in [
            (0, ImportFault::UnknownVersion),
            (1, ImportFault::Impossible),
            (17, ImportFault::Impossible),
            (19, ImportFault::UnknownVersion),
            (20, ImportFault::UnknownSuite),
        ] {
            let mut wrong = exported.to_vec();
            wrong[at] = 0x55;
            assert_eq!(import(&wrong), Err(fault), "byte {at}");
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
