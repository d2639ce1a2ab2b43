//! Measures the stages of an opening: one reading of the clock for each.
//!
//! Not here: what the stages are (`observe::stages`).

use crate::observe::stages::{Stage, StageTimes};
use std::cell::Cell;
use tokio::time::Instant;

/// The stopwatch of one opening.
#[derive(Debug)]
pub(super) struct Stopwatch {
    accepted_at: Instant,
    /// The end of the last stage.
    last: Cell<Instant>,
    micros: [Cell<Option<u32>>; Stage::ALL.len()],
}

impl Stopwatch {
    /// Begins with the accept.
    pub(super) fn begin(accepted_at: Instant) -> Self {
        Self { accepted_at, last: Cell::new(accepted_at), micros: [const { Cell::new(None) }; _] }
    }

    /// When the connection was accepted.
    pub(super) fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Reads the clock: `stage` has succeeded or failed, and the next one begins. Gives the time.
    pub(super) fn complete(&self, stage: Stage) -> Instant {
        let now = Instant::now();
        self.micros[stage as usize].set(Some(micros(self.last.replace(now), now)));
        now
    }

    /// Reads the clock: the opening is over.
    pub(super) fn stop(&self) -> StageTimes {
        let total_us = micros(self.accepted_at, Instant::now());
        StageTimes::new(self.micros.each_ref().map(Cell::get), total_us)
    }
}

/// Microseconds between two readings; 71 minutes at most.
pub(super) fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_the_time_since_the_one_before_it() {
        let watch = Stopwatch::begin(Instant::now());
        for (stage, took_us) in [(Stage::Accept, 5), (Stage::Head, 70), (Stage::Policy, 900)] {
            advance(Duration::from_micros(took_us)).await;
            assert_eq!(watch.complete(stage), Instant::now());
        }
        advance(Duration::from_micros(25)).await;
        let times = watch.stop();
        assert_eq!(times, StageTimes::new([Some(5), None, Some(70), Some(900), None, None], 1_000));
        assert_eq!(times.until(Stage::Policy), Some(975));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_without_end_does_not_wrap_around() {
        let watch = Stopwatch::begin(Instant::now());
        advance(Duration::from_secs(80 * 60)).await;
        watch.complete(Stage::Accept);
        assert_eq!(watch.stop(), StageTimes::new([Some(u32::MAX), None, None, None, None, None], u32::MAX));
    }
}
