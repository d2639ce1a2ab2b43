//! Moves of carriers, at every cut of a record, a frame and a queue.

use super::*;
use crate::golden::exports;
use crate::relay::session_slot::SessionName;
use crate::relay::slab::SlotName;
use crate::ring::{Operation, Pipe};
use crate::session::Leg;
use crate::tls::record::{Aead, DirectionState, Role, Suite, Version};
use proptest::prelude::*;

const NAME: SlotName = SlotName { index: 0, generation: 0 };
const LEG: LegName = LegName { session: SessionName(NAME), leg: Leg::Downstream };

fn carrier(layer: Option<Box<RecordLayer>>) -> Carrier<()> {
    Carrier::new(CarrierName(NAME), LEG, (), layer)
}

fn pool() -> BufferPool {
    BufferPool::new(16).expect("the pool can be mapped")
}

/// The same carrier in another relay.
fn moved(carrier: &Carrier<()>, from: &BufferPool, to: &mut BufferPool) -> Carrier<()> {
    let bytes = carrier.export(from).expect("nothing of it is in flight");
    CarrierAtRest::import(&bytes).expect("what was exported is imported").wake(CarrierName(NAME), LEG, (), to)
}

/// Both ends of a connection's records: those of a relay that is the server, and its client's.
fn records(suite: Suite) -> [LegRecords; 2] {
    let state = |secret: u8| match suite.version {
        Version::Tls13 => DirectionState::from_secret(suite, &[secret; 48][..suite.secret_bytes()], 0),
        Version::Tls12 => {
            DirectionState::from_keys(suite, &[secret; 32][..suite.aead.key_bytes()], [7; 12], 0)
        }
    };
    let state = |secret| state(secret).expect("a suite");
    [LegRecords::new(Role::Server, state(1), state(2)), LegRecords::new(Role::Client, state(2), state(1))]
}

fn layer(suite: Suite) -> RecordLayer {
    let [relay, _] = records(suite);
    RecordLayer::new(Records::InProcess(relay))
}

/// Records of a client, one of which is large, that say `content`.
fn sealed(suite: Suite, content: &[u8]) -> Vec<u8> {
    let [_, mut client] = records(suite);
    let mut stream = Vec::new();
    for part in content.chunks(content.len().div_ceil(3).max(1)) {
        let mut record = vec![0; client.sealed_bytes(part.len())];
        let bytes = client.seal(&[part], &mut record).expect("a key that is not used up");
        stream.extend_from_slice(&record[..bytes]);
    }
    stream
}

/// A chunk of the pool with these bytes.
fn chunk(pool: &mut BufferPool, bytes: &[u8]) -> crate::ring::Chunk {
    let index = pool.take_to_post().expect("a free buffer");
    pool.fill(index, bytes);
    pool.take_received(index, bytes.len()).expect("some bytes")
}

fn waiting(carrier: &Carrier<()>, pool: &BufferPool) -> Vec<u8> {
    let mut bytes = Vec::new();
    carrier.queue.for_each_piece(pool, usize::MAX, |piece| bytes.extend_from_slice(piece));
    bytes
}

fn examples(pool: &mut BufferPool) -> Vec<(&'static str, Carrier<()>)> {
    let idle = carrier(None);
    let mut owing = carrier(None);
    owing.queue.push_early(Bytes::from_static(b"early"));
    let received = chunk(pool, b"received");
    owing.queue.push(pool, received);
    owing.queue.push_farewell(Bytes::from_static(b"\x88\x02\x03\xe9"));
    owing.sending = Sending::Ready;
    let mut broken = carrier(None);
    broken.receiving = Receiving::Over;
    broken.sending = Sending::Over;
    broken.broken = Some(Gone::Stalled);
    let mut heads = carrier(None);
    heads.reading = Reading::Heads { since_large: 2, fills: 3, is_awaited: true };
    heads.zero_copy = ZeroCopy::SwitchedOff;
    let suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };
    let mut wrapped = carrier(Some(Box::new(layer(suite))));
    let mut cut = sealed(suite, b"a record that is cut")[..17].to_vec();
    let opened = wrapped.record_layer.as_mut().expect("its records").open(&mut cut);
    assert!(opened.end.is_none() && opened.content.is_empty());
    vec![
        ("idle", idle),
        ("owes bytes and a Close frame", owing),
        ("broken, and nobody takes anything", broken),
        ("its frames are received by their heads", heads),
        ("under TLS 1.3, within a record", wrapped),
    ]
}

#[test]
fn exported_carriers_have_the_layout_of_their_version() {
    let mut pool = pool();
    let carriers = examples(&mut pool);
    let exports: Vec<_> = carriers
        .iter()
        .map(|(what, carrier)| {
            let mut writer = FieldWriter::with_layout(ExportKind::Carrier);
            assert!(carrier.export_fields(&mut writer, &pool), "{what}");
            (*what, writer)
        })
        .collect();
    exports::assert_exports(ExportKind::Carrier, &exports);
    carriers.into_iter().for_each(|(_, mut carrier)| carrier.queue.clear(&mut pool));
}

#[test]
fn every_version_that_can_be_read_is_read() {
    exports::assert_imports(ExportKind::Carrier, |bytes| {
        let mut pool = pool();
        let mut carrier = CarrierAtRest::import(bytes)?.wake(CarrierName(NAME), LEG, (), &mut pool);
        let again = carrier.export(&pool);
        carrier.queue.clear(&mut pool);
        Ok(again)
    });
}

#[test]
fn a_moved_carrier_is_in_the_same_states_and_exports_the_same() {
    let mut pool = pool();
    for (what, mut carrier) in examples(&mut pool) {
        let mut elsewhere = self::pool();
        let mut again = moved(&carrier, &pool, &mut elsewhere);
        assert_eq!(again.export(&elsewhere), carrier.export(&pool), "{what}");
        assert_eq!((again.receiving, again.broken), (carrier.receiving, carrier.broken), "{what}");
        assert_eq!(again.sending.is_discarding(), carrier.sending.is_discarding(), "{what}");
        assert_eq!(again.queue.has_farewell(), carrier.queue.has_farewell(), "{what}");
        assert_eq!(waiting(&again, &elsewhere), waiting(&carrier, &pool), "{what}");
        assert_eq!(
            elsewhere.backlog_bytes(),
            again.heap_bytes(&elsewhere),
            "what it holds is counted: {what}"
        );
        carrier.queue.clear(&mut pool);
        again.queue.clear(&mut elsewhere);
    }
}

#[test]
fn a_carrier_that_is_in_the_middle_of_something_of_the_kernels_does_not_move() {
    let pool = pool();
    let mut carrier = carrier(None);
    carrier.begin(Operation::Watch);
    assert!(carrier.export(&pool).is_none());
    let mut carrier = self::carrier(None);
    let mut pipe = Pipe::new(0);
    pipe.filled(1);
    carrier.pipe = Some(pipe);
    assert!(carrier.export(&pool).is_none());
    // One whose peer broke a rule of records is about to end.
    let suite = Suite { version: Version::Tls13, aead: Aead::Aes128Gcm };
    let mut carrier = self::carrier(Some(Box::new(layer(suite))));
    let mut wrong = sealed(suite, b"abc");
    *wrong.last_mut().expect("a record") ^= 1;
    assert!(carrier.record_layer.as_mut().expect("its records").open(&mut wrong).end.is_some());
    assert!(carrier.export(&pool).is_none());
}

/// One step of a script: bytes are queued, or some of them are sent.
#[derive(Clone, Debug)]
enum Step {
    Chunk(Vec<u8>),
    Heap(Vec<u8>),
    FallBehind,
    Send(usize),
    Farewell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..40);
    let step = prop_oneof![
        3 => bytes().prop_map(Step::Chunk),
        2 => bytes().prop_map(Step::Heap),
        1 => Just(Step::FallBehind),
        3 => (1usize..60).prop_map(Step::Send),
        1 => Just(Step::Farewell),
    ];
    prop::collection::vec(step, 1..14)
}

/// Does a step; gives what was sent.
fn take(carrier: &mut Carrier<()>, pool: &mut BufferPool, step: &Step) -> Vec<u8> {
    match step {
        Step::Chunk(_) | Step::Heap(_) | Step::Farewell if carrier.queue.has_farewell() => {}
        Step::Chunk(bytes) => {
            let chunk = chunk(pool, bytes);
            carrier.queue.push(pool, chunk);
        }
        Step::Heap(bytes) => carrier.queue.push_heap(pool, Bytes::copy_from_slice(bytes)),
        Step::FallBehind => carrier.queue.move_to_heap(pool),
        Step::Farewell => carrier.queue.push_farewell(Bytes::from_static(b"bye")),
        Step::Send(bytes) if !carrier.queue.is_empty() => {
            let mut sent = waiting(carrier, pool);
            sent.truncate(*bytes);
            carrier.queue.begin_simulated_send();
            carrier.queue.end_simulated_send(pool, sent.len());
            return sent;
        }
        Step::Send(_) => {}
    }
    Vec::new()
}

proptest! {
    #[test]
    fn a_carrier_that_moves_between_any_two_steps_sends_the_same(steps in steps()) {
        for cut in 0..=steps.len() {
            let (mut pool, mut elsewhere) = (pool(), pool());
            let (mut stays, mut moves) = (carrier(None), carrier(None));
            for step in &steps[..cut] {
                take(&mut stays, &mut pool, step);
            }
            {
                let mut before = self::pool();
                for step in &steps[..cut] {
                    take(&mut moves, &mut before, step);
                }
                let again = moved(&moves, &before, &mut elsewhere);
                moves.queue.clear(&mut before);
                moves = again;
            }
            let end = Step::Send(usize::MAX);
            for step in steps[cut..].iter().chain([&end]) {
                let sent = take(&mut stays, &mut pool, step);
                prop_assert_eq!(take(&mut moves, &mut elsewhere, step), sent, "moved before step {}", cut);
            }
            prop_assert!(stays.queue.is_empty() && moves.queue.is_empty());
            prop_assert_eq!((elsewhere.lent_out(), elsewhere.backlog_bytes()), (0, 0));
        }
    }

    #[test]
    fn no_bytes_are_taken_for_a_carrier_that_is_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut pool = pool();
        let mut waiting = carrier(None);
        waiting.queue.push_heap(&mut pool, Bytes::from_static(b"something"));
        let whole = waiting.export(&pool).expect("nothing of it is in flight");
        waiting.queue.clear(&mut pool);
        for len in 0..whole.len() {
            prop_assert!(CarrierAtRest::import(&whole[..len]).is_err(), "{} bytes", len);
        }
        let head = [ExportKind::Carrier as u8, ExportKind::Carrier.version()];
        let _ = CarrierAtRest::import(&bytes);
        let _ = CarrierAtRest::import(&[&head, &bytes[..]].concat());
    }
}

/// Opens a part of a stream the way a relay drives the layer, and returns the content.
fn open(layer: &mut RecordLayer, received: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    let mut rest = received;
    if layer.held.is_some() {
        let (taken, whole) = layer.fill_held(rest).expect("a header that may be");
        rest = &rest[taken..];
        if let crate::relay::record_layer::Whole::Record(mut record) = whole {
            let opened = layer.open(&mut record);
            said.extend_from_slice(&record[opened.content]);
        } else {
            return said;
        }
    }
    let mut rest = rest.to_vec();
    let opened = layer.open(&mut rest);
    said.extend_from_slice(&rest[opened.content]);
    said
}

#[test]
fn a_carrier_that_moves_at_any_cut_of_its_records_opens_and_seals_the_same() {
    let content: Vec<u8> = (0..90).collect();
    for suite in Suite::ALL {
        let stream = sealed(suite, &content);
        for cut in 0..=stream.len() {
            let (mut pool, mut elsewhere) = (pool(), pool());
            let mut carrier = carrier(Some(Box::new(layer(suite))));
            let before = carrier.record_layer.as_mut().expect("its records");
            let mut said = open(before, &stream[..cut]);
            before.held_bytes = before.held.as_ref().map_or(0, HeldRecord::heap_bytes);
            pool.add_backlog(before.held_bytes);
            let mut carrier = moved(&carrier, &pool, &mut elsewhere);
            assert_eq!(elsewhere.backlog_bytes(), carrier.heap_bytes(&elsewhere), "{suite:?}, {cut}");
            let after = carrier.record_layer.as_mut().expect("its records");
            said.extend(open(after, &stream[cut..]));
            assert_eq!(said, content, "{suite:?}, {cut}");
            // What it seals is what one seals that stayed.
            let mut stayed = layer(suite);
            let [mut by_moved, mut by_stayed] = [after, &mut stayed].map(|layer| {
                let mut record = vec![0; layer.records.sealed_bytes(5)];
                let bytes = layer.records.seal(&[b"hello"], &mut record);
                record.truncate(bytes.expect("a key that is not used up"));
                record
            });
            assert_eq!(by_moved, by_stayed, "{suite:?}, {cut}");
            by_moved.clear();
            by_stayed.clear();
        }
    }
}
