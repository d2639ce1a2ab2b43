//! The parts of a plan: what sessions are for, and when something is due.

use super::random::Random;
use crate::plan::{Churn, End};
use crate::wire::{client_frame, opening};
use std::net::SocketAddr;
use std::rc::Rc;

/// The purpose of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Steady,
    Push,
    Churn,
    Idle,
    Stopped,
}

impl Kind {
    pub(super) const COUNT: usize = 5;
}

/// The activity of a session by itself once it is open.
#[derive(Clone, Debug)]
pub(super) enum Job {
    None,
    /// Comes for a message if there is one, ends when it came back, or else when it is open.
    Visit {
        message: Option<Sample>,
        intended: u64,
        end: End,
    },
}

/// A prebuilt message.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) frame: Rc<[u8]>,
    /// Its payload.
    pub(super) bytes: usize,
}

/// Arrivals at a rate, independent of each other: exponential gaps (a Poisson process), as many users make them.
///
/// An even rate would keep step with the kernel's tick, by which /proc/stat counts, and with the target's own timers.
#[derive(Debug)]
pub(crate) struct Arrivals {
    mean_gap_ns: f64,
    random: Random,
    next: f64,
}

impl Arrivals {
    pub(crate) fn new(now: u64, rate_per_s: f64, random: Random) -> Self {
        let mut arrivals = Self { mean_gap_ns: 1e9 / rate_per_s, random, next: now as f64 };
        arrivals.step();
        arrivals
    }

    /// When the next arrival is due.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next as u64
    }

    /// The intended time of the next arrival, if it is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<u64> {
        let due = self.next_ns();
        if due > now {
            return None;
        }
        self.step();
        Some(due)
    }

    fn step(&mut self) {
        self.next -= (1.0 - self.random.share()).ln() * self.mean_gap_ns;
    }
}

/// How many steady messages may be on their way.
#[derive(Debug)]
pub(super) struct Pace {
    at_once: usize,
    on_their_way: usize,
    /// The last moment at which the bound held something back.
    held_until: u64,
}

impl Pace {
    pub(super) fn new(at_once: Option<usize>) -> Self {
        Self { at_once: at_once.unwrap_or(usize::MAX), on_their_way: 0, held_until: 0 }
    }

    /// Whether there is a bound, and so no schedule that the generator could be late against.
    pub(super) fn is_bounded(&self) -> bool {
        self.at_once != usize::MAX
    }

    /// Whether no more may go.
    pub(super) fn is_full(&self) -> bool {
        self.on_their_way >= self.at_once
    }

    /// Whether one more may go.
    pub(super) fn lets_go(&mut self, now: u64) -> bool {
        if self.is_full() {
            self.held_until = now;
        }
        !self.is_full()
    }

    /// The moment from which a message's latency counts: when it was due, or when the bound let it go.
    pub(super) fn intended(&self, due: u64) -> u64 {
        due.max(self.held_until)
    }

    pub(super) fn sent(&mut self) {
        self.on_their_way += 1;
    }

    pub(super) fn came_back(&mut self, messages: usize) {
        self.on_their_way = self.on_their_way.saturating_sub(messages);
    }
}

/// New sessions, at a rate or as fast as they go.
#[derive(Debug)]
pub(super) struct Churning {
    arrivals: Option<Arrivals>,
    at_once: usize,
    message: Option<Sample>,
    end: End,
    opening: Option<Rc<[u8]>>,
}

impl Churning {
    pub(super) fn new(now: u64, churn: &Churn, random: Random) -> Self {
        Self {
            arrivals: churn.rate_per_s.map(|rate| Arrivals::new(now, rate, random)),
            at_once: churn.at_once,
            message: churn
                .bytes
                .map(|bytes| Sample { frame: client_frame(0x82, &vec![0; bytes]).into(), bytes }),
            end: churn.end,
            opening: None,
        }
    }

    /// When the next session may begin while so many are in progress; `None` if that is for one of them to end.
    pub(super) fn next_ns(&self, running: usize) -> Option<u64> {
        (running < self.at_once).then(|| self.arrivals.as_ref().map_or(0, Arrivals::next_ns))
    }

    pub(super) fn job(&self, intended: u64) -> Job {
        Job::Visit { message: self.message.clone(), intended, end: self.end }
    }

    /// The intended time of the next session, if it may begin while so many are in progress.
    pub(super) fn take_due(&mut self, now: u64, running: usize) -> Option<u64> {
        if running >= self.at_once {
            return None;
        }
        match &mut self.arrivals {
            Some(arrivals) => arrivals.take_due(now),
            None => Some(now),
        }
    }

    pub(super) fn opening(&mut self, host: &SocketAddr) -> Rc<[u8]> {
        Rc::clone(self.opening.get_or_insert_with(|| opening(&host.to_string(), "/").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(seed: u64) -> Arrivals {
        Arrivals::new(1_000, 1_000_000.0, Random::new(seed))
    }

    #[test]
    fn arrivals_keep_their_rate_whenever_they_are_asked() {
        let (mut often, mut once) = (arrivals(1), arrivals(1));
        let second = 1_000_001_000;
        let asked_often: Vec<_> = (0..=1_000)
            .flat_map(|ms| std::iter::from_fn(|| often.take_due(ms * second / 1_000)).collect::<Vec<_>>())
            .collect();
        let asked_once: Vec<_> = std::iter::from_fn(|| once.take_due(second)).collect();
        assert_eq!(asked_often, asked_once);
        assert!(asked_once.len().abs_diff(1_000_000) < 5_000, "{}", asked_once.len());
        assert!(asked_once.is_sorted());
    }

    #[test]
    fn gaps_are_those_of_independent_arrivals() {
        let mut arrivals = arrivals(2);
        let due: Vec<_> = std::iter::from_fn(|| arrivals.take_due(1_000_000_000)).collect();
        let gaps = || due.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
        let mean = gaps().sum::<f64>() / gaps().count() as f64;
        let variance = gaps().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps().count() as f64;
        assert!((0.99..1.01).contains(&(variance.sqrt() / mean)), "{}", variance.sqrt() / mean);
    }

    #[test]
    fn a_pace_holds_back_and_does_not_charge_for_it() {
        let mut pace = Pace::new(Some(2));
        assert!(pace.lets_go(10));
        assert_eq!(pace.intended(9), 9);
        pace.sent();
        pace.sent();
        assert!(!pace.lets_go(20));
        pace.came_back(1);
        assert!(pace.lets_go(30));
        assert_eq!(pace.intended(15), 20);
        assert_eq!(pace.intended(25), 25);
    }

    #[test]
    fn a_closed_loop_of_new_sessions_begins_the_next_one_when_one_has_ended() {
        let churn = Churn {
            rate_per_s: None,
            at_once: 2,
            bytes: None,
            handshake: Default::default(),
            end: End::Reset,
        };
        let mut churning = Churning::new(0, &churn, Random::new(1));
        assert_eq!([churning.next_ns(0), churning.next_ns(1), churning.next_ns(2)], [Some(0), Some(0), None]);
        assert_eq!([churning.take_due(9, 1), churning.take_due(9, 2)], [Some(9), None]);
        assert!(matches!(churning.job(9), Job::Visit { message: None, intended: 9, end: End::Reset }));
    }

    #[test]
    fn another_seed_draws_other_times() {
        assert_ne!(arrivals(1).take_due(u64::MAX), arrivals(2).take_due(u64::MAX));
    }
}
