//! How long the stages of openings took, counted by ranges.

use super::histogram::Histogram;
use super::stages::{Stage, StageTimes};

/// The ranges of a stage's time end at these, in microseconds; the last has no end.
pub const STAGE_BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// The same in seconds, as text.
pub const STAGE_BOUNDS_TEXT: [&str; STAGE_BOUNDS_US.len()] = [
    "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25", "0.5", "1", "2.5", "10",
];

/// The stages of the openings of one front.
#[derive(Debug, Default)]
pub struct StageHistograms([Histogram<{ STAGE_BOUNDS_US.len() + 1 }>; Stage::ALL.len()]);

impl StageHistograms {
    /// Counts an opening that is over. For the one front that it was of.
    pub fn count(&self, times: &StageTimes) {
        for stage in Stage::ALL {
            if let Some(took_us) = times.of(stage) {
                self.0[stage as usize].count(took_us.into(), &STAGE_BOUNDS_US);
            }
        }
    }

    /// The times of a stage.
    pub fn of(&self, stage: Stage) -> &Histogram<{ STAGE_BOUNDS_US.len() + 1 }> {
        &self.0[stage as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::histogram::HistogramSums;

    #[test]
    fn the_bounds_as_text_are_those_as_numbers() {
        for (text, bound) in STAGE_BOUNDS_TEXT.iter().zip(STAGE_BOUNDS_US) {
            let seconds: f64 = text.parse().unwrap();
            assert_eq!((seconds * 1e6).round() as u64, bound, "{text}");
        }
    }

    #[test]
    fn a_stage_that_an_opening_came_to_is_counted_and_no_other() {
        let histograms = StageHistograms::default();
        histograms.count(&StageTimes::new([Some(7), None, Some(2_000_000), None, None, None], 2_000_007));
        let sums = |stage| {
            let mut sums = HistogramSums::default();
            histograms.of(stage).add_to(&mut sums);
            sums
        };
        assert_eq!((sums(Stage::Accept).counts[0], sums(Stage::Accept).sum), (1, 7));
        assert_eq!((sums(Stage::Head).counts[14], sums(Stage::Head).sum), (1, 2_000_000));
        assert_eq!(sums(Stage::Tls), HistogramSums::default());
    }
}
