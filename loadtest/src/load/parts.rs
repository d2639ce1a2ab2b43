//! The parts of a plan: what sessions are for, and when something is due.

use crate::plan::Churn;
use crate::wire::{client_frame, opening};
use std::rc::Rc;

/// What a session is for.
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

/// What a session does by itself when it is open.
#[derive(Clone, Debug)]
pub(super) enum Job {
    None,
    /// Sends a message, closes when it came back.
    EchoAndClose {
        frame: Rc<[u8]>,
        bytes: usize,
        intended: u64,
    },
}

/// Messages at an even rate.
#[derive(Debug)]
pub(super) struct Arrivals {
    started: u64,
    every_ns: f64,
    taken: u64,
    pub(super) next_ns: u64,
}

impl Arrivals {
    pub(super) fn new(now: u64, rate_per_s: f64) -> Self {
        Self { started: now, every_ns: 1e9 / rate_per_s, taken: 0, next_ns: now }
    }

    /// The intended time of the next arrival, if it is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<u64> {
        if self.next_ns > now {
            return None;
        }
        let due = self.next_ns;
        self.taken += 1;
        self.next_ns = self.started + (self.taken as f64 * self.every_ns) as u64;
        Some(due)
    }
}

/// New sessions, at a rate or as fast as they go.
#[derive(Debug)]
pub(super) struct Churning {
    arrivals: Option<Arrivals>,
    at_once: usize,
    pub(super) frame: Rc<[u8]>,
    pub(super) bytes: usize,
    opening: Option<Rc<[u8]>>,
}

impl Churning {
    pub(super) fn new(now: u64, churn: &Churn) -> Self {
        Self {
            arrivals: churn.rate_per_s.map(|rate| Arrivals::new(now, rate)),
            at_once: churn.at_once,
            frame: client_frame(0x82, &vec![0; churn.bytes]).into(),
            bytes: churn.bytes,
            opening: None,
        }
    }

    pub(super) fn next_ns(&self) -> Option<u64> {
        self.arrivals.as_ref().map(|arrivals| arrivals.next_ns)
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

    pub(super) fn opening(&mut self, host: &str) -> Rc<[u8]> {
        Rc::clone(self.opening.get_or_insert_with(|| opening(host, "/").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_whenever_they_are_asked() {
        let mut arrivals = Arrivals::new(1_000, 1_000_000.0);
        let due: Vec<_> = std::iter::from_fn(|| arrivals.take_due(5_000)).collect();
        assert_eq!(due, [1_000, 2_000, 3_000, 4_000, 5_000]);
        assert_eq!(arrivals.take_due(5_999), None);
        assert_eq!(arrivals.take_due(6_000), Some(6_000));
    }
}
