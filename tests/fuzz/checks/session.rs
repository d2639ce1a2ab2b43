//! One session and any order of events: its driver checks after each what a session promises, and it ends.

#[path = "../../../src/session/life/tests/driver.rs"]
mod driver;

use self::driver::{Driver, IDLE_MS, LINGER_MS, OPAQUE, STRICT, frame};
use super::Choices;
use ringgate::session::{Cause, Leg};

/// Most bytes that come at once: enough to owe more than is read on with, in few steps.
const BURST_BYTES: usize = 300_000;

/// `input` is the kind of session, then events: what happens, to whom, and how much of it.
pub fn check(input: &[u8]) {
    let mut choices = Choices(input);
    let kind = choices.byte();
    let limits = if kind & 1 == 0 { STRICT } else { OPAQUE };
    let mut driver = Driver::on(limits, [kind & 2 != 0, kind & 4 != 0]);
    let mut is_reset = [false; 2];
    while !choices.is_empty() {
        let event = choices.byte();
        let leg = Leg::BOTH[usize::from(event & 1)];
        let amount = usize::from(choices.byte());
        let is_gone = driver.end(leg).is_gone;
        match event >> 1 {
            // Raw bytes, as many as the amount says and there are.
            0..=31 if !is_gone => {
                let (bytes, rest) = choices.0.split_at(amount.min(choices.0.len()));
                choices.0 = rest;
                driver.bytes(leg, bytes);
            }
            // A whole frame, with the first byte that the amount is.
            32..=63 if !is_gone => {
                let payload = vec![7; usize::from(choices.byte())];
                driver.bytes(leg, &frame(leg, amount as u8, &payload));
            }
            64..=67 if !is_gone => {
                driver.bytes(leg, &frame(leg, 0x82, &vec![7; amount * BURST_BYTES / 255]));
            }
            68..=95 => {
                driver.sent(leg, 1 << (amount % 24));
            }
            96..=99 => {
                driver.all_sent();
            }
            100..=103 if !is_gone => {
                driver.finished(leg);
            }
            104..=105 if !std::mem::replace(&mut is_reset[leg as usize], true) => {
                driver.reset(leg);
            }
            106..=111 => {
                driver.slow(leg);
            }
            112..=113 => {
                driver.end_slow_reader(leg);
            }
            114..=121 => {
                driver.pass([1, LINGER_MS - 1, LINGER_MS, IDLE_MS][amount % 4]);
            }
            122 => {
                driver.end_by_ringgate(Cause::Drain);
            }
            123 => {
                driver.cut(Cause::Drain);
            }
            124 if !is_gone => {
                driver.within_record(leg, amount & 1 == 0);
            }
            125 if !is_gone => {
                driver.record_fault(leg);
            }
            126 => {
                driver.moved();
            }
            _ => {}
        }
    }
    driver.pass(IDLE_MS);
    driver.pass(LINGER_MS);
    assert!(driver.ended.is_some(), "the longest that an unfinished session can take is over");
}
