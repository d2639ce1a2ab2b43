//! TLS records: every cut of a stream, and every move of the leg between its pieces, yields the same; only what a peer with the
//! keys said comes out.

use super::{Choices, cut};
use ringgate::tls::record::key_schedule::next_secret;
use ringgate::tls::record::sealer::Sealer;
use ringgate::tls::record::{
    ContentType, DirectionState, HeldRecord, LegRecords, RecordFault, Role, Step, Suite, Version,
};

const RECEIVING: u8 = 1;
const SENDING: u8 = 2;

/// The peer, which has the keys and no manners.
struct Peer {
    suite: Suite,
    secret: Vec<u8>,
    sealer: Sealer,
    said: Vec<u8>,
    stream: Vec<u8>,
}

impl Peer {
    fn new(suite: Suite) -> Self {
        let secret = vec![RECEIVING; suite.secret_bytes()];
        let sealer = Sealer::new(direction(suite, RECEIVING));
        Self { suite, secret, sealer, said: Vec::new(), stream: Vec::new() }
    }

    fn record(&mut self, content_type: ContentType, content: &[u8]) {
        let start = self.stream.len();
        self.stream.resize(start + self.sealer.sealed_bytes(content.len()), 0);
        let sealed = self.sealer.seal(content_type, &[content], &mut self.stream[start..]);
        assert_eq!(sealed, Ok(self.stream.len() - start), "the size is known before");
    }

    fn say(&mut self, content: &[u8]) {
        self.said.extend_from_slice(content);
        self.record(ContentType::ApplicationData, content);
    }

    fn change_keys(&mut self, request: u8) {
        self.record(ContentType::Handshake, &[24, 0, 0, 1, request]);
        if self.suite.version == Version::Tls13 {
            let bytes = self.suite.secret_bytes();
            self.secret = next_secret(self.suite, &self.secret)[..bytes].to_vec();
            let next = DirectionState::from_secret(self.suite, &self.secret, 0);
            self.sealer = Sealer::new(next.expect("a secret of this suite"));
        }
    }
}

/// The outcome of a stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    plaintext: Vec<u8>,
    tickets: u32,
    end: Option<Result<Step, RecordFault>>,
    owes: bool,
    is_closed: bool,
}

/// `input` is suite and role, up to 15 cuts, and what the peer does.
pub fn check(input: &[u8]) {
    let mut choices = Choices(input);
    let by = choices.byte();
    let suite = Suite::ALL[usize::from(by & 7) % Suite::ALL.len()];
    let role = if by & 8 == 0 { Role::Server } else { Role::Client };
    let cuts: Vec<u8> = (0..by >> 4).map(|_| choices.byte()).collect();
    let mut peer = Peer::new(suite);
    for _ in 0..64 {
        if choices.is_empty() {
            break;
        }
        act(&mut peer, &mut choices);
    }

    let whole = hear(suite, role, &[&peer.stream], false);
    assert!(peer.said.starts_with(&whole.plaintext), "what is heard was said");
    assert_eq!(whole.is_closed, whole.end == Some(Ok(Step::Closed)));
    let pieces = cut(&peer.stream, &cuts);
    assert_eq!(hear(suite, role, &pieces, false), whole, "cut by {cuts:?}");
    assert_eq!(hear(suite, role, &pieces, true), whole, "cut by {cuts:?} and moved");
    if peer.stream.len() < 2_000 {
        let bytes: Vec<&[u8]> = peer.stream.chunks(1).collect();
        assert_eq!(hear(suite, role, &bytes, true), whole, "byte by byte and moved");
    }
}

fn act(peer: &mut Peer, choices: &mut Choices<'_>) {
    let action = choices.byte();
    match action & 7 {
        0 => peer.say(&vec![action; usize::from(choices.byte())]),
        1 => peer.say(&vec![action; usize::from(choices.byte()) << 8]),
        2 => {
            let alert = [choices.byte(), choices.byte()];
            peer.record(ContentType::Alert, &alert);
        }
        3 => {
            let content: Vec<u8> = (0..=action >> 3).map(|_| choices.byte()).collect();
            peer.record(ContentType::Handshake, &content);
        }
        4 => peer.change_keys(action >> 3 & 1),
        5 => {
            // A ticket, or another message, in two records.
            let body = choices.byte();
            let message = [&[choices.byte(), 0, 0, body][..], &vec![0; body.into()]].concat();
            let (front, behind) = message.split_at(usize::from(action >> 3).min(message.len()));
            peer.record(ContentType::Handshake, front);
            peer.record(ContentType::Handshake, behind);
        }
        6 => {
            let garbage: Vec<u8> = (0..=action >> 3).map(|_| choices.byte()).collect();
            peer.stream.extend(garbage);
        }
        _ => {
            let start = peer.stream.len();
            peer.record(ContentType::ApplicationData, b"to be broken");
            let at = start + usize::from(action >> 3) % (peer.stream.len() - start);
            peer.stream[at] ^= choices.byte() | 1;
        }
    }
}

fn direction(suite: Suite, from: u8) -> DirectionState {
    let state = match suite.version {
        Version::Tls13 => DirectionState::from_secret(suite, &vec![from; suite.secret_bytes()], 0),
        Version::Tls12 => {
            DirectionState::from_keys(suite, &vec![from; suite.aead.key_bytes()], [from; 12], 1)
        }
    };
    state.expect("keys of this suite")
}

fn hear(suite: Suite, role: Role, pieces: &[&[u8]], is_moving: bool) -> Outcome {
    let mut leg = LegRecords::new(role, direction(suite, RECEIVING), direction(suite, SENDING));
    let (mut plaintext, mut end, mut held) = (Vec::new(), None, None::<HeldRecord>);
    for piece in pieces {
        let mut received = piece.to_vec();
        let mut at = 0;
        if let Some(record) = &mut held {
            match record.fill(&received) {
                Ok(taken) => at = taken,
                Err(fault) => {
                    end = Some(Err(fault));
                    break;
                }
            }
            assert!(record.heap_bytes() <= 2 * (5 + (1 << 14) + 2048), "no more than a record is held");
            if !record.is_whole() {
                continue;
            }
            end = open(&mut leg, record.bytes_mut(), &mut 0, &mut plaintext);
            assert!(end != Some(Ok(Step::Hold)), "a whole record is not held");
            held = None;
        }
        if end.is_none() {
            end = open(&mut leg, &mut received, &mut at, &mut plaintext);
        }
        if end == Some(Ok(Step::Hold)) {
            end = None;
            let mut record = leg.held();
            match record.fill(&received[at..]) {
                Ok(taken) => assert_eq!(at + taken, received.len()),
                Err(fault) => end = Some(Err(fault)),
            }
            held = Some(record);
        }
        if end.is_some() {
            break;
        }
        if is_moving {
            let exported = leg.export().expect("the leg is open");
            leg = LegRecords::import(&exported).expect("what was exported is imported");
            leg.rest();
        }
    }
    let outcome = Outcome {
        plaintext,
        tickets: leg.tickets(),
        owes: leg.owes(),
        is_closed: leg.is_closed_by_peer(),
        end,
    };
    let mut out = vec![0; leg.sealed_bytes(3)];
    assert_eq!(leg.seal(&[b"a", b"bc"], &mut out), Ok(out.len()), "the size is known before");
    assert!(!leg.owes());
    outcome
}

/// Opens what there is; nothing if all of it was handled.
fn open(
    leg: &mut LegRecords,
    received: &mut [u8],
    at: &mut usize,
    plaintext: &mut Vec<u8>,
) -> Option<Result<Step, RecordFault>> {
    loop {
        match leg.open(received, at) {
            Ok(Step::Plaintext(range)) => plaintext.extend_from_slice(&received[range]),
            Ok(Step::Ticket(_)) => {}
            Ok(Step::Done) => return None,
            end => return Some(end),
        }
    }
}
