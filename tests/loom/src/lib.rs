//! Tries every order in which threads can take their steps (loom): pushers and a relay around the wake-up flag; fronts that take
//! places for openings of APIs that share them; fronts and relays that take and return places of a key.
//!
//! Queue and event descriptor are loom's: a vector under a lock, and a counter whose reader waits. The flag and the counts are
//! the real ones: the same files that the relay's mailbox and the places are built from.

#![cfg(loom)]

/// The atomics that `count` uses.
mod atomic {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "../../../src/admission/count.rs"]
#[allow(missing_docs, unreachable_pub)]
mod count;

/// The synchronisation types that `shard` uses.
mod sync {
    pub use loom::sync::Mutex as Lock;
    pub use loom::sync::atomic::{Ordering, fence};

    use loom::sync::atomic::AtomicUsize;

    /// A queue that says whether it is empty without a lock, as the real one does: only the fences around that look order it.
    #[derive(Debug)]
    pub struct SegQueue<T> {
        items: Lock<Vec<T>>,
        len: AtomicUsize,
    }

    impl<T> SegQueue<T> {
        pub fn new() -> Self {
            Self { items: Lock::new(Vec::new()), len: AtomicUsize::new(0) }
        }

        pub fn push(&self, item: T) {
            let mut items = self.items.lock().unwrap();
            items.push(item);
            self.len.store(items.len(), Ordering::Relaxed);
        }

        pub fn pop(&self) -> Option<T> {
            let mut items = self.items.lock().unwrap();
            let item = items.pop();
            self.len.store(items.len(), Ordering::Relaxed);
            drop(items);
            // Something may be pushed between this look and what the caller does with its outcome: a step for loom to go between.
            self.len.load(Ordering::Relaxed);
            item
        }

        pub fn is_empty(&self) -> bool {
            self.len.load(Ordering::Relaxed) == 0
        }
    }
}

#[path = "../../../src/shared_counts/shard.rs"]
#[allow(missing_docs, unreachable_pub, dead_code)]
mod shard;

#[path = "../../../src/relay/wake_flag.rs"]
#[allow(missing_docs)]
mod wake_flag;

use count::{Count, Lack, take_with_share};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use shard::Shard;
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

/// Places of an instance, and the shares of two APIs of it.
struct Places {
    all: Count,
    shares: [Count; 2],
}

const BORROWER: usize = 0;
const OTHER: usize = 1;

impl Places {
    fn new(all: u32, shares: [u32; 2]) -> Arc<Self> {
        Arc::new(Self { all: Count::new(all), shares: shares.map(Count::new) })
    }

    /// Takes a place for an API, which leaves the other one its whole share when it borrows.
    fn take(&self, api: usize) -> Result<(), Lack> {
        let reserve = self.shares[1 - api].limit();
        take_with_share(&self.all, &self.shares[api], Some(reserve))
    }

    fn give_back(&self, api: usize) {
        self.all.give_back();
        self.shares[api].give_back();
    }
}

/// Tries the orders in which threads are interrupted twice at most. Those of three threads are too many to try all.
fn model_of_three(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn an_api_gets_its_share_whatever_two_fronts_borrow_for_another_meanwhile() {
    model_of_three(|| {
        let places = Places::new(3, [1, 1]);
        let borrowers: Vec<_> = (0..2)
            .map(|_| {
                let places = Arc::clone(&places);
                thread::spawn(move || (0..2).filter(|_| places.take(BORROWER).is_ok()).count() as u32)
            })
            .collect();
        assert_eq!(places.take(OTHER), Ok(()), "its share is its own");
        let borrowed: u32 = borrowers.into_iter().map(|thread| thread.join().unwrap()).sum();
        // With the other's place among those that are taken, the borrower has its own share at least.
        assert!((1..=2).contains(&borrowed), "{borrowed}");
        assert_eq!((places.all.taken(), places.shares[BORROWER].taken()), (1 + borrowed, borrowed));
    });
}

#[test]
fn what_comes_back_is_there_again_and_nothing_of_a_refusal_stays() {
    model_of_three(|| {
        let places = Places::new(2, [1, 1]);
        let threads: Vec<_> = [BORROWER, BORROWER, OTHER]
            .map(|api| {
                let places = Arc::clone(&places);
                thread::spawn(move || {
                    let is_taken = places.take(api).is_ok();
                    assert!(places.all.taken() <= 2);
                    if is_taken {
                        places.give_back(api);
                    }
                })
            })
            .into();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((places.all.taken(), places.shares.each_ref().map(Count::taken)), (0, [0, 0]));
        assert_eq!((places.take(BORROWER), places.take(OTHER)), (Ok(()), Ok(())));
    });
}

#[test]
fn a_limit_that_is_lowered_meanwhile_is_never_exceeded_by_who_comes_after() {
    model_of_three(|| {
        let count = Arc::new(Count::new(2));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || count.take(0))
            })
            .collect();
        count.set_limit(1);
        let taken = count.taken();
        // From here on only the first one may come.
        assert!(!count.take(0) || taken == 0);
        for thread in takers {
            thread.join().unwrap();
        }
        assert!(count.taken() <= taken.max(1));
        assert_eq!(count.free(), 0);
    });
}

#[test]
#[should_panic(expected = "its share is its own")]
fn a_borrower_that_leaves_nothing_is_noticed() {
    loom::model(|| {
        let places = Places::new(2, [1, 1]);
        let borrower = {
            let places = Arc::clone(&places);
            thread::spawn(move || {
                for _ in 0..2 {
                    let _ = take_with_share(&places.all, &places.shares[BORROWER], Some(0));
                }
            })
        };
        assert_eq!(places.take(OTHER), Ok(()), "its share is its own");
        borrower.join().unwrap();
    });
}

const KEY: u32 = 7;

#[test]
fn the_one_place_of_a_key_is_given_to_one_of_two_fronts_and_is_free_when_both_are_done() {
    model_of_three(|| {
        let shard = Arc::new(Shard::new());
        let fronts: Vec<_> = (0..2)
            .map(|_| {
                let shard = Arc::clone(&shard);
                thread::spawn(move || shard.take(KEY, 1))
            })
            .collect();
        let taken =
            fronts.into_iter().map(|front| front.join().unwrap()).filter(|is_taken| *is_taken).count();
        assert_eq!(taken, 1);
        shard.give_back(KEY);
        assert!(shard.is_settled() && shard.take(KEY, 1));
    });
}

#[test]
fn what_relays_give_back_while_a_front_takes_is_settled_when_all_are_done() {
    model_of_three(|| {
        let shard = Arc::new(Shard::new());
        assert!(shard.take(KEY, 2) && shard.take(KEY, 2));
        let relays: Vec<_> = (0..2)
            .map(|_| {
                let shard = Arc::clone(&shard);
                thread::spawn(move || shard.give_back(KEY))
            })
            .collect();
        let is_taken = shard.take(KEY, 2);
        for relay in relays {
            relay.join().unwrap();
        }
        // Nobody is left who would settle it.
        assert!(shard.is_settled(), "what came back is settled");
        assert_eq!(shard.with_taken(|taken| taken.get(&KEY).copied().unwrap_or(0)), u32::from(is_taken));
    });
}
