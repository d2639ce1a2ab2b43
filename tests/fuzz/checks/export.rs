//! Exports of live state, which another process wrote or nobody did: what is imported is exported again to the byte, and whatever
//! happens to it then, it does not panic.

use ringgate::admission::permit_token::PermitToken;
use ringgate::export::ExportKind;
use ringgate::observe::{LabelRegistry, SessionRecord};
use ringgate::relay::carrier::{CarrierAtRest, CarrierName, LegName};
use ringgate::relay::session_slot::SessionName;
use ringgate::relay::slab::SlotName;
use ringgate::ring::BufferPool;
use ringgate::session::{Acknowledged, Cause, Effects, Gone, Leg, Moment, Session};
use ringgate::tls::record::{LegRecords, Step};

/// The bytes of a leg of an imported session: the start of a masked and of an unmasked frame among noise.
const WORDS: [&[u8]; 3] =
    [&[0x82, 0x83, 1, 2, 3, 4, 9, 9, 9], &[0x81, 0x03, b'a', b'b'], &[0x88, 0x00, 0xff]];

/// `input` is an export: its first byte is its kind.
pub fn check(input: &[u8]) {
    let Some(kind) = ExportKind::ALL.into_iter().find(|kind| input.first() == Some(&(*kind as u8))) else {
        return;
    };
    let is_newest = input.get(1) == Some(&kind.version());
    let again = match kind {
        ExportKind::Session => Session::import(input, Moment::ZERO).ok().map(|session| {
            let exported = session.export(Moment::ZERO).expect("a session that is over is not imported");
            live_on(session);
            exported
        }),
        ExportKind::Record => {
            SessionRecord::import(input, &LabelRegistry::new(1)).ok().map(|record| record.export())
        }
        ExportKind::Permit => PermitToken::import(input).ok().map(|token| token.export()),
        ExportKind::RecordLayer => LegRecords::import(input).ok().map(|leg| {
            let exported = leg.export().expect("a leg that broke is not imported");
            talk_on(leg);
            exported
        }),
        ExportKind::Carrier => return carry_on(input),
    };
    assert!(!is_newest || again.is_none_or(|again| *again == *input), "what is imported is exported again");
}

/// Its state may contradict itself in ways that an import does not see: then it says that it is broken.
fn live_on(mut session: Session) {
    let mut effects = Effects::new();
    for (index, words) in (1..).zip(WORDS.iter().cycle().take(12)) {
        let (leg, now) = (Leg::BOTH[index % 2], Moment::from_millis(index as u64 * 7_000));
        let passing = session.unseen_bytes(leg).min(5);
        let result = session
            .handle_bytes(leg, words, now, &mut effects)
            .and_then(|()| session.handle_sent(leg, 4, now, &mut effects))
            .and_then(|()| {
                session.handle_passed(leg, passing.min(session.unseen_bytes(leg)), now, &mut effects)
            });
        if result.is_err() {
            session.break_off(now, &mut effects);
        }
        if session.awaits_acknowledged(leg, now) {
            session.handle_acknowledged(leg, Acknowledged { is_all: false, ms_ago: 9 }, now);
        }
        session.handle_deadline(now, &mut effects);
    }
    session.handle_gone(Leg::Upstream, Gone::Finished, Moment::from_millis(90_000), &mut effects);
    session.end_by_ringgate(Cause::Drain, Moment::from_millis(90_001), &mut effects);
}

/// A carrier that is woken holds what was exported, counted, and exports the same.
fn carry_on(input: &[u8]) {
    let Ok(carrier) = CarrierAtRest::import(input) else { return };
    let mut pool = BufferPool::new(1).expect("the pool can be mapped");
    let name = SlotName { index: 0, generation: 0 };
    let leg = LegName { session: SessionName(name), leg: Leg::Downstream };
    let mut carrier = carrier.wake(CarrierName(name), leg, (), &mut pool);
    assert_eq!(pool.backlog_bytes(), carrier.heap_bytes(&pool));
    let exported = carrier.export(&pool).expect("nothing of it is in flight");
    assert!(
        input[1] != ExportKind::Carrier.version() || *exported == *input,
        "what is imported is exported again"
    );
    carrier.queue.clear(&mut pool);
}

fn talk_on(mut leg: LegRecords) {
    let mut out = vec![0; leg.sealed_bytes(9)];
    let _ = leg.seal(&[b"some data"], &mut out);
    let mut received = [&[23, 3, 3, 0, 20][..], &[7; 20], &[21, 3, 3, 0, 2, 1, 0]].concat();
    let mut at = 0;
    while let Ok(Step::Plaintext(_) | Step::Ticket(_)) = leg.open(&mut received, &mut at) {}
    let mut out = vec![0; leg.sealed_bytes(0)];
    let _ = leg.seal(&[], &mut out);
}
