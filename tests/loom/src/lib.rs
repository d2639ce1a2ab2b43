//! Tries every order in which pushers and a relay can take their steps around the wake-up flag (loom).
//!
//! Queue and event descriptor are loom's: a vector under a lock, and a counter whose reader waits. What is tried is the
//! flag itself, the very file that the relay's mailbox is built of.

#![cfg(loom)]

#[path = "../../../src/relay/wake_flag.rs"]
#[allow(missing_docs)]
mod wake_flag;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use wake_flag::WakeFlag;

#[derive(Default)]
struct Mailbox {
    messages: Mutex<Vec<u32>>,
    flag: WakeFlag,
    wake_ups: Mutex<u32>,
    is_written: Condvar,
}

impl Mailbox {
    fn push(&self, message: u32) {
        self.messages.lock().unwrap().push(message);
        if self.flag.claim() {
            *self.wake_ups.lock().unwrap() += 1;
            self.is_written.notify_one();
        }
    }

    /// Waits for a wake-up and takes what is there. A lost wake-up is a wait without end, which loom reports.
    fn wait_and_take(&self, clear: fn(&WakeFlag)) -> Vec<u32> {
        let mut wake_ups = self.wake_ups.lock().unwrap();
        while *wake_ups == 0 {
            wake_ups = self.is_written.wait(wake_ups).unwrap();
        }
        *wake_ups = 0;
        drop(wake_ups);
        clear(&self.flag);
        std::mem::take(&mut *self.messages.lock().unwrap())
    }
}

fn every_message_is_taken(pushers: u32, each: u32, clear: fn(&WakeFlag)) {
    loom::model(move || {
        let mailbox = Arc::new(Mailbox::default());
        let threads: Vec<_> = (0..pushers)
            .map(|pusher| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || (0..each).for_each(|count| mailbox.push(pusher * each + count)))
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < (pushers * each) as usize {
            taken.extend(mailbox.wait_and_take(clear));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..pushers * each).collect::<Vec<_>>());
    });
}

#[test]
fn no_message_of_two_pushers_is_overlooked() {
    every_message_is_taken(2, 1, WakeFlag::clear);
}

#[test]
fn no_message_of_one_pusher_is_overlooked() {
    every_message_is_taken(1, 3, WakeFlag::clear);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_that_is_never_cleared_is_noticed() {
    every_message_is_taken(1, 2, |_| ());
}
