//! The drain of a relay: the sessions are closed one after the other, evenly over a window; those that are left are cut.

use super::pace::Pace;
use crate::session::Moment;

/// A drain in progress. Sessions are told in the order of their slots.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    telling: Pace,
    cut_at: Moment,
    /// The slot to look at next.
    pub cursor: u32,
}

impl Drain {
    /// A drain of so many sessions.
    pub fn new(now: Moment, sessions: usize, spread_ms: u64, cut_after_ms: u64) -> Self {
        let telling = Pace::new(now, sessions as u64, spread_ms);
        Self { telling, cut_at: now.after_millis(cut_after_ms), cursor: 0 }
    }

    /// Whether another session is due to be told; counts it as told.
    pub fn take_due(&mut self, now: Moment) -> bool {
        self.telling.take_due(now)
    }

    /// Whether what is left is to be cut.
    pub fn is_cut_due(&self, now: Moment) -> bool {
        self.cut_at <= now
    }

    /// When something is to be done next.
    pub fn next_at(&self) -> Moment {
        self.telling.next_at().map_or(self.cut_at, |next| next.min(self.cut_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by(drain: &mut Drain, millis: u64) -> usize {
        std::iter::repeat_with(|| drain.take_due(Moment::from_millis(millis))).take_while(|due| *due).count()
    }

    #[test]
    fn tells_sessions_evenly_from_the_first_moment_to_the_last() {
        let mut drain = Drain::new(Moment::ZERO, 11, 1000, 2000);
        let told: Vec<_> = [0, 99, 100, 499, 500, 999, 1000, 5000].map(|at| told_by(&mut drain, at)).into();
        assert_eq!(told, [1, 0, 1, 3, 1, 4, 1, 0]);
        assert_eq!(drain.next_at(), Moment::from_millis(2000));
    }

    #[test]
    fn tells_a_single_session_at_once_and_none_without_end() {
        assert_eq!(told_by(&mut Drain::new(Moment::ZERO, 1, 1000, 2000), 0), 1);
        assert_eq!(told_by(&mut Drain::new(Moment::ZERO, 0, 1000, 2000), 5000), 0);
    }
}
