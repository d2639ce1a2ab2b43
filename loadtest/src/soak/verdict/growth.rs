//! Tells growth of memory apart from steps.
//!
//! A burst of openings, or of readers that fall behind, makes the heap larger than it was before, and the allocator keeps pages of
//! it: memory then stands on another level, and stays there. What is left behind by every session is a slope instead. So the points
//! are cut where a step is, and a slope is looked for within the pieces only, where steps of any height leave no trace.
//!
//! A step is a difference between two neighbours that stands out from the others by far; there are few of them, or they are no steps.

/// By how many standard deviations of the differences a step stands out, and by how many KiB at least.
const STEP_DEVIATIONS: f64 = 3.0;
const STEP_KIB_MIN: f64 = 1024.0;
/// The standard deviation of normal noise, in median absolute deviations.
const DEVIATION_OF_MAD: f64 = 1.4826;
/// The largest share of the differences that may be steps. More are how memory grows.
const STEPS_SHARE_MAX: f64 = 0.25;
/// Standard deviations from which on a count of rises is none by chance: in 95 of 100 cases.
const RISES_DEVIATIONS: f64 = 1.645;

/// A point in time, in hours, and what was there, in KiB.
pub(super) type Point = (f64, f64);

/// How memory moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// KiB an hour: the median of the slopes between any two points of a piece, longer ones counting for more (Theil–Sen), so
    /// that no odd point decides.
    pub(super) slope_kib_per_h: f64,
    /// Whether memory rises from point to point within the pieces too often for chance (Mann–Kendall).
    pub(super) is_rise: bool,
    /// How many steps there are.
    pub(super) steps: usize,
    /// Their sum, in KiB.
    pub(super) steps_kib: f64,
}

impl Growth {
    /// How these points grow, which are in the order of time. `None`: too few to say.
    pub(super) fn of(points: &[Point]) -> Option<Self> {
        let differences: Vec<f64> = points.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        let usual = median(&differences)?;
        let steps = steps(&differences, usual);
        let mut slopes = Vec::new();
        let (mut rises, mut variance) = (0.0, 0.0);
        for piece in pieces(points, &steps) {
            let count = piece.len() as f64;
            variance += count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
            for (index, one) in piece.iter().enumerate() {
                for other in piece[index + 1..].iter().filter(|other| other.0 > one.0) {
                    let (hours, kib) = (other.0 - one.0, other.1 - one.1);
                    slopes.push((kib / hours, hours));
                    rises += if kib == 0.0 { 0.0 } else { kib.signum() };
                }
            }
        }
        Some(Self {
            slope_kib_per_h: weighted_median(slopes)?,
            // Less one for counting in whole numbers.
            is_rise: rises - 1.0 > RISES_DEVIATIONS * variance.sqrt(),
            steps: steps.len(),
            steps_kib: steps.iter().map(|step| differences[*step] - usual).sum(),
        })
    }
}

/// The differences that are steps, by their places; none where there are too many.
fn steps(differences: &[f64], usual: f64) -> Vec<usize> {
    let deviations: Vec<f64> = differences.iter().map(|difference| (difference - usual).abs()).collect();
    let noise = median(&deviations).unwrap_or(0.0) * DEVIATION_OF_MAD;
    let least = (STEP_DEVIATIONS * noise).max(STEP_KIB_MIN);
    let steps: Vec<usize> = (0..differences.len()).filter(|index| deviations[*index] > least).collect();
    let most = STEPS_SHARE_MAX * differences.len() as f64;
    if steps.len() as f64 > most { Vec::new() } else { steps }
}

/// The points between the steps.
fn pieces<'p>(points: &'p [Point], steps: &[usize]) -> Vec<&'p [Point]> {
    let mut begin = 0;
    let mut pieces = Vec::new();
    for step in steps {
        pieces.push(&points[begin..=*step]);
        begin = step + 1;
    }
    pieces.push(&points[begin..]);
    pieces
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

/// The value below and above which there is half of the weight.
fn weighted_median(mut values: Vec<(f64, f64)>) -> Option<f64> {
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut weight = 0.0;
    values.into_iter().find_map(|(value, own)| {
        weight += own;
        (weight >= half).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour of rests behind the warm-up, each five minutes after the other: so much an hour, noise, and steps at rests.
    fn hour(kib_per_h: f64, noise: &[f64], steps: &[(usize, f64)]) -> Vec<Point> {
        let point = |rest: usize| {
            let hours = 1.0 / 6.0 + rest as f64 / 12.0;
            let stepped: f64 = steps.iter().filter(|(at, _)| rest >= *at).map(|(_, kib)| kib).sum();
            (hours, 24_000.0 + kib_per_h * hours + noise[rest % noise.len()] + stepped)
        };
        (0..11).map(point).collect()
    }

    fn growth(points: &[Point]) -> Growth {
        Growth::of(points).expect("points enough")
    }

    /// Noise without a trend: both halves have the same values.
    const NOISE: [f64; 11] = [0.0, 420.0, -260.0, 130.0, -390.0, 310.0, -350.0, 90.0, -210.0, 380.0, -20.0];

    #[test]
    fn a_steady_slope_is_one_with_noise_and_without() {
        let steady = growth(&hour(2_400.0, &[0.0], &[]));
        assert!(
            (steady.slope_kib_per_h - 2_400.0).abs() < 1.0 && steady.is_rise && steady.steps == 0,
            "{steady:?}"
        );
        let noisy = growth(&hour(2_400.0, &NOISE, &[]));
        assert!((1_800.0..3_000.0).contains(&noisy.slope_kib_per_h) && noisy.is_rise, "{noisy:?}");
        let falling = growth(&hour(-2_400.0, &[0.0], &[]));
        assert!(falling.slope_kib_per_h < -2_000.0 && !falling.is_rise, "{falling:?}");
    }

    #[test]
    fn steps_that_level_off_are_no_slope() {
        for steps in [
            &[(3, 3_000.0)][..],
            &[(10, 6_000.0)],
            &[(4, 3_000.0), (7, 5_000.0)],
            &[(2, 3_000.0), (5, -3_000.0)],
        ] {
            let flat = growth(&hour(0.0, &[0.0], steps));
            assert_eq!(
                (flat.slope_kib_per_h, flat.is_rise, flat.steps),
                (0.0, false, steps.len()),
                "{steps:?}"
            );
            let sum: f64 = steps.iter().map(|(_, kib)| kib).sum();
            assert!((flat.steps_kib - sum).abs() < 1.0, "{flat:?}");
            // They stand out from half of that noise, and not from all of it.
            let noisy = growth(&hour(0.0, &NOISE.map(|kib| kib / 2.0), steps));
            assert!(!noisy.is_rise, "{steps:?}: {noisy:?}");
        }
    }

    #[test]
    fn noise_and_one_odd_point_are_no_slope() {
        for scale in [0.1, 1.0, 3.0] {
            let noisy = growth(&hour(0.0, &NOISE.map(|kib| kib * scale), &[]));
            assert!(!noisy.is_rise, "{scale}: {noisy:?}");
        }
        let odd = growth(&hour(0.0, &[0.0], &[(6, 50_000.0), (7, -50_000.0)]));
        assert_eq!((odd.slope_kib_per_h, odd.is_rise), (0.0, false), "{odd:?}");
    }

    #[test]
    fn a_slope_under_steps_is_found() {
        for steps in [&[(3, 3_000.0)][..], &[(4, 3_000.0), (7, 5_000.0)], &[(2, 6_000.0), (9, -6_000.0)]] {
            let sloping = growth(&hour(3_000.0, &[0.0], steps));
            assert!(
                (sloping.slope_kib_per_h - 3_000.0).abs() < 1.0 && sloping.is_rise,
                "{steps:?}: {sloping:?}"
            );
            assert_eq!(sloping.steps, steps.len());
            let noisy = growth(&hour(6_000.0, &NOISE, steps));
            assert!(noisy.slope_kib_per_h > 3_000.0 && noisy.is_rise, "{steps:?}: {noisy:?}");
        }
    }

    #[test]
    fn steps_that_go_on_and_on_are_a_slope() {
        let every_third: Vec<_> = [1, 4, 7, 10].map(|rest| (rest, 2_000.0)).into();
        let stairs = growth(&hour(0.0, &[0.0], &every_third));
        assert!(stairs.is_rise && stairs.slope_kib_per_h > 5_000.0 && stairs.steps == 0, "{stairs:?}");
    }

    #[test]
    fn nothing_is_said_of_fewer_than_two_points() {
        assert_eq!(Growth::of(&[]), None);
        assert_eq!(Growth::of(&[(0.0, 1.0)]), None);
    }
}
