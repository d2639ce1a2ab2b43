mod cuts;
mod ends;
mod moves;
mod refusals;
mod sealing;
mod vectors;

use super::*;

/// Both ends of a connection that has just been opened: ringgate as a server, and its client.
pub(super) fn pair(suite: Suite) -> (LegRecords, LegRecords) {
    let direction = |from: u8| match suite.version {
        Version::Tls13 => DirectionState::from_secret(suite, &vec![from; suite.secret_bytes()], 0),
        Version::Tls12 => {
            DirectionState::from_keys(suite, &vec![from; suite.aead.key_bytes()], [from; 12], 1)
        }
    };
    let direction = |from: u8| direction(from).expect("the suite has such keys");
    (
        LegRecords::new(Role::Server, direction(1), direction(2)),
        LegRecords::new(Role::Client, direction(2), direction(1)),
    )
}

/// `content` and what is owed before it, as it goes over the wire.
pub(super) fn sealed(by: &mut LegRecords, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0; by.sealed_bytes(content.len())];
    let bytes = by.seal(&[content], &mut out).expect("the key is not used up");
    assert_eq!(bytes, out.len(), "the size is known before");
    out
}

/// One record of any content.
pub(super) fn record(by: &mut LegRecords, content_type: ContentType, content: &[u8]) -> Vec<u8> {
    let sealer = &mut by.outbound.sealer;
    let mut out = vec![0; sealer.sealed_bytes(content.len())];
    assert_eq!(sealer.seal(content_type, &[content], &mut out), Ok(out.len()));
    out
}

/// A record of type 23 whose plaintext, in TLS 1.3 type and padding included, is `inner`.
pub(super) fn raw_record(by: &mut LegRecords, inner: &[u8]) -> Vec<u8> {
    use aws_lc_rs::aead::{Aad, Nonce};
    let sealer = &mut by.outbound.sealer;
    let (state, suite) = (sealer.state(), sealer.state().suite());
    let nonce = state.nonce_bytes();
    let explicit = &nonce[12 - suite.explicit_nonce_bytes()..];
    let length = ((explicit.len() + inner.len() + suite::TAG_BYTES) as u16).to_be_bytes();
    let header = [23, 3, 3, length[0], length[1]];
    let (data, data_bytes) = state.additional_data(header, inner.len());
    let mut body = inner.to_vec();
    let data = Aad::from(&data[..data_bytes]);
    let sealed =
        state.context().seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), data, &mut body);
    sealed.expect("any content can be sealed");
    sealer.state.count(0);
    [&header[..], explicit, &body].concat()
}

/// A record of application data without any.
pub(super) fn empty_record(by: &mut LegRecords) -> Vec<u8> {
    match by.suite().version {
        Version::Tls12 => raw_record(by, &[]),
        Version::Tls13 => raw_record(by, &[23]),
    }
}

/// Makes a key one that has protected so much.
pub(super) fn wear(state: &mut DirectionState, sequence: u64, blocks: u64) {
    state.sequence = sequence;
    state.blocks = blocks;
}

/// One end's view of a stream.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) plaintext: Vec<u8>,
    pub(super) tickets: Vec<Vec<u8>>,
    pub(super) end: Option<Result<Step, RecordFault>>,
    pub(super) owes: bool,
}

/// Plays received pieces as a relay does, cut records collected on the heap.
pub(super) fn hear(leg: &mut LegRecords, pieces: &[&[u8]]) -> Heard {
    let mut heard = Heard::default();
    let mut held: Option<HeldRecord> = None;
    for piece in pieces {
        let mut received = piece.to_vec();
        let mut at = 0;
        if let Some(record) = &mut held {
            match record.fill(&received) {
                Ok(taken) => at = taken,
                Err(fault) => return Heard { end: Some(Err(fault)), ..heard },
            }
            if !record.is_whole() {
                assert_eq!(at, received.len());
                continue;
            }
            let mut record = held.take().expect("a record was held");
            if !open_all(leg, record.bytes_mut(), &mut 0, &mut heard) {
                assert!(heard.end.is_some(), "a whole record is not held");
                break;
            }
        }
        if !open_all(leg, &mut received, &mut at, &mut heard) {
            if heard.end.is_some() {
                break;
            }
            let mut record = leg.held();
            match record.fill(&received[at..]) {
                Ok(taken) => assert_eq!(at + taken, received.len(), "what is held is the rest"),
                Err(fault) => return Heard { end: Some(Err(fault)), ..heard },
            }
            held = Some(record);
        }
    }
    heard.owes = leg.owes();
    heard
}

/// Whether all was handled; if not, an end was noted or a record is cut at `at`.
fn open_all(leg: &mut LegRecords, received: &mut [u8], at: &mut usize, heard: &mut Heard) -> bool {
    loop {
        match leg.open(received, at) {
            Ok(Step::Plaintext(range)) => heard.plaintext.extend_from_slice(&received[range]),
            Ok(Step::Ticket(range)) => heard.tickets.push(received[range].to_vec()),
            Ok(Step::Done) => return true,
            Ok(Step::Hold) => return false,
            end @ (Ok(Step::Closed | Step::Alert(_)) | Err(_)) => {
                heard.end = Some(end);
                return false;
            }
        }
    }
}

/// Returns the fault that a fresh server finds in one record of its client.
pub(super) fn fault_of(suite: Suite, make: impl FnOnce(&mut LegRecords) -> Vec<u8>) -> Option<RecordFault> {
    let (mut server, mut client) = pair(suite);
    match hear(&mut server, &[&make(&mut client)]).end {
        Some(Err(fault)) => Some(fault),
        Some(Ok(_)) | None => None,
    }
}
