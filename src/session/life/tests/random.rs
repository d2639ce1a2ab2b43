//! Random events in random order: the promises hold, and the session ends.

use super::driver::{Driver, IDLE_MS, LINGER_MS, OPAQUE, STRICT, close, frame};
use crate::limits::RECORD_TIMEOUT_MS;
use crate::session::life::{Gone, SessionLimits};
use crate::session::{Cause, Leg};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The leg's next bytes arrive, at most so many.
    Bytes(Leg, usize),
    Sent(Leg, u64),
    Gone(Leg, Gone),
    Pass(u64),
    Slow(Leg),
    EndSlow(Leg),
    WithinRecord(Leg, bool),
    RecordFault(Leg),
    Drain,
    Cut,
}

fn any_leg() -> impl Strategy<Value = Leg> {
    prop::sample::select(Leg::BOTH.to_vec())
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let any_portion = || prop_oneof![4 => 1usize..30, 2 => 30usize..500, 1 => Just(400_000)];
    prop_oneof![
        40 => (any_leg(), any_portion()).prop_map(|(leg, portion)| Step::Bytes(leg, portion)),
        20 => (any_leg(), any_portion()).prop_map(|(leg, portion)| Step::Sent(leg, portion as u64)),
        4 => (any_leg(), Just(Gone::Finished)).prop_map(|(leg, how)| Step::Gone(leg, how)),
        1 => (any_leg(), Just(Gone::Truncated)).prop_map(|(leg, how)| Step::Gone(leg, how)),
        2 => (any_leg(), Just(Gone::Reset)).prop_map(|(leg, how)| Step::Gone(leg, how)),
        3 => prop_oneof![Just(1), Just(LINGER_MS - 1), Just(RECORD_TIMEOUT_MS), Just(IDLE_MS)].prop_map(Step::Pass),
        3 => any_leg().prop_map(Step::Slow),
        1 => any_leg().prop_map(Step::EndSlow),
        3 => (any_leg(), any::<bool>()).prop_map(|(leg, is_within)| Step::WithinRecord(leg, is_within)),
        1 => any_leg().prop_map(Step::RecordFault),
        2 => Just(Step::Drain),
        1 => Just(Step::Cut),
    ]
}

/// A stream of one leg: mostly correct frames, then perhaps a Close, then perhaps noise.
pub(super) fn any_stream(from: Leg) -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        6 => (prop::sample::select(vec![0x81u8, 0x82, 0x89, 0x8a]), 0usize..40),
        2 => (Just(0x82u8), 120usize..400),
        1 => (Just(0x82u8), Just(300_000usize)),
        1 => (any::<u8>(), 0usize..10),
    ];
    let ending = prop_oneof![
        2 => Just(Vec::new()),
        2 => (1000u16..1016).prop_map(move |code| close(from, code, "bye")),
        1 => Just(frame(from, 0x88, b"")),
        1 => Just(frame(from, 0x88, b"x")),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    (prop::collection::vec(data, 0..8), ending, any::<bool>()).prop_map(
        move |(frames, ending, is_fragmented)| {
            let mut bytes = Vec::new();
            if is_fragmented {
                bytes.extend(frame(from, 0x01, b"one"));
                bytes.extend(frame(from, 0x89, b"ping"));
                bytes.extend(frame(from, 0x80, b"two"));
            }
            for (first, len) in frames {
                bytes.extend(frame(from, first, &vec![5; len]));
            }
            bytes.extend(&ending);
            bytes.extend(frame(from, 0x81, b"behind"));
            bytes
        },
    )
}

/// Plays the steps as sockets would: nothing comes from a leg after its FIN, and nothing but a reset is left of it.
fn play(limits: SessionLimits, is_wrapped: [bool; 2], streams: [&[u8]; 2], steps: &[Step]) -> Driver {
    play_and_move(limits, is_wrapped, streams, steps, |_| false)
}

/// As [`play`], and the session moves to another process before each step for whose index `moves` is true.
pub(super) fn play_and_move(
    limits: SessionLimits,
    is_wrapped: [bool; 2],
    streams: [&[u8]; 2],
    steps: &[Step],
    moves: impl Fn(usize) -> bool,
) -> Driver {
    let mut driver = Driver::on(limits, is_wrapped);
    let mut left = streams;
    let mut is_reset = [false; 2];
    for (index, step) in steps.iter().enumerate() {
        if moves(index) {
            driver.moved();
        }
        match *step {
            Step::Bytes(leg, most) if !driver.end(leg).is_gone => {
                let (bytes, behind) = left[leg as usize].split_at(most.min(left[leg as usize].len()));
                left[leg as usize] = behind;
                driver.bytes(leg, bytes);
            }
            Step::Gone(leg, how) if how == Gone::Reset || !driver.end(leg).is_gone => {
                if !std::mem::replace(&mut is_reset[leg as usize], how == Gone::Reset) {
                    driver.gone(leg, how);
                }
            }
            Step::Sent(leg, bytes) => {
                driver.sent(leg, bytes);
            }
            Step::Pass(millis) => {
                driver.pass(millis);
            }
            Step::Slow(leg) => {
                driver.slow(leg);
            }
            Step::EndSlow(leg) => {
                driver.end_slow_reader(leg);
            }
            Step::WithinRecord(leg, is_within) if !driver.end(leg).is_gone => {
                driver.within_record(leg, is_within);
            }
            Step::RecordFault(leg) if !driver.end(leg).is_gone => {
                driver.record_fault(leg);
            }
            Step::Drain => {
                driver.end_by_ringgate(Cause::Drain);
            }
            Step::Cut => {
                driver.cut(Cause::Drain);
            }
            Step::Bytes(..) | Step::Gone(..) | Step::WithinRecord(..) | Step::RecordFault(..) => {}
        }
    }
    driver
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_of_events_keeps_the_promises_and_ends_in_the_time_that_it_has(
        down in any_stream(Leg::Downstream),
        up in any_stream(Leg::Upstream),
        steps in prop::collection::vec(any_step(), 0..60),
        is_opaque in any::<bool>(),
        is_wrapped in any::<[bool; 2]>(),
    ) {
        let limits = if is_opaque { OPAQUE } else { STRICT };
        let mut driver = play(limits, is_wrapped, [&down, &up], &steps);
        // The longest that an unfinished session can take: its idle time, then its linger.
        driver.pass(IDLE_MS);
        driver.pass(LINGER_MS);
        prop_assert!(driver.ended.is_some());
    }

    #[test]
    fn a_session_whose_legs_have_both_ended_ends_with_the_last_byte_sent(
        down in any_stream(Leg::Downstream),
        up in any_stream(Leg::Upstream),
        steps in prop::collection::vec(any_step(), 0..60),
        is_opaque in any::<bool>(),
        is_wrapped in any::<[bool; 2]>(),
    ) {
        let limits = if is_opaque { OPAQUE } else { STRICT };
        let mut driver = play(limits, is_wrapped, [&down, &up], &steps);
        driver.endpoints_end();
        prop_assert!(driver.ended.is_some());
        // What still completes in the kernel changes nothing.
        driver.bytes(Leg::Downstream, b"late").bytes(Leg::Upstream, b"late");
        driver.reset(Leg::Downstream).reset(Leg::Upstream).pass(IDLE_MS);
    }
}
