//! Medians and spreads of few values, and ratios within rounds.

use serde::Serialize;

/// Values of one figure, one for each round that counted.
pub type Rounds = Vec<(usize, f64)>;

/// Median and spread. With one value all five are that value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many values.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// First quartile, interpolated.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile, interpolated.
    pub q3: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Of values in any order; `None` without a value. Values that are not numbers are left out.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |share| quantile(&sorted, share);
        Some(Self { count: sorted.len(), min, q1: at(0.25), median: at(0.5), q3: at(0.75), max })
    }

    /// Of the values of rounds.
    pub fn of_rounds(rounds: &[(usize, f64)]) -> Option<Self> {
        Self::of(rounds.iter().map(|(_, value)| *value))
    }
}

/// Linear between the two nearest values. `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

/// `values / base`, round by round: only rounds that both have count, since the machine drifts between rounds.
pub fn ratios_within_rounds(values: &[(usize, f64)], base: &[(usize, f64)]) -> Rounds {
    values
        .iter()
        .filter_map(|(round, value)| {
            let (_, base) = base.iter().find(|(other, base)| other == round && *base > 0.0)?;
            Some((*round, value / base))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles_of_odd_and_even_counts() {
        let odd = Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]).expect("values");
        assert_eq!((odd.min, odd.q1, odd.median, odd.q3, odd.max), (1.0, 2.0, 3.0, 4.0, 5.0));
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]).expect("values");
        assert_eq!((even.q1, even.median, even.q3), (1.75, 2.5, 3.25));
        let one = Spread::of([7.0]).expect("a value");
        assert_eq!((one.min, one.median, one.max, one.count), (7.0, 7.0, 7.0, 1));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn ratios_pair_rounds_and_not_positions() {
        // Round 1 was slow for both: the ratio stays 0.5, where a ratio of medians would not.
        let ours = vec![(0, 5.0), (1, 10.0), (2, 5.0)];
        let theirs = vec![(1, 20.0), (2, 10.0), (3, 1.0)];
        assert_eq!(ratios_within_rounds(&ours, &theirs), vec![(1, 0.5), (2, 0.5)]);
    }

    #[test]
    fn a_base_of_zero_gives_no_ratio() {
        assert!(ratios_within_rounds(&[(0, 1.0)], &[(0, 0.0)]).is_empty());
    }
}
