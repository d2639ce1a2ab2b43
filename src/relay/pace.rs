//! Steps that are spread evenly over a window: the first step at once, the last one at the end.

use crate::session::Moment;

/// So many steps, and how many of them are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Moment,
    spread_ms: u64,
    steps: u64,
    taken: u64,
}

impl Pace {
    /// A window of `spread_ms` that begins now.
    pub(super) fn new(now: Moment, steps: u64, spread_ms: u64) -> Self {
        Self { started: now, spread_ms, steps, taken: 0 }
    }

    /// Whether the next step is due; counts it as taken.
    pub(super) fn take_due(&mut self, now: Moment) -> bool {
        let is_due = self.next_at().is_some_and(|next| next <= now);
        self.taken += u64::from(is_due);
        is_due
    }

    /// When the next step is due. `None`: all are taken.
    pub(super) fn next_at(&self) -> Option<Moment> {
        let gaps = self.steps.saturating_sub(1).max(1);
        (self.taken < self.steps).then(|| self.started.after_millis(self.spread_ms * self.taken / gaps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_taken_once_and_none_before_it_is_due() {
        let mut pace = Pace::new(Moment::from_millis(50), 3, 100);
        let mut at = |millis| pace.take_due(Moment::from_millis(millis));
        assert_eq!(
            [50, 50, 99, 100, 149, 150, 999].map(&mut at),
            [true, false, false, true, false, true, false]
        );
        assert_eq!(pace.next_at(), None);
    }

    #[test]
    fn what_is_late_is_due_at_once_and_no_steps_are_over_before_they_begin() {
        let mut pace = Pace::new(Moment::ZERO, 1_000, 10);
        let late = Moment::from_millis(10);
        assert_eq!((0..2_000).filter(|_| pace.take_due(late)).count(), 1_000);
        assert_eq!(Pace::new(Moment::ZERO, 0, 10).next_at(), None);
    }
}
