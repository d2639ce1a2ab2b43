//! Counts of values by size: cells of one writer, which anyone may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number of values in each of `CELLS` ranges, and the sum of all of them.
#[derive(Debug)]
pub struct Histogram<const CELLS: usize> {
    cells: [AtomicU64; CELLS],
    sum: AtomicU64,
}

impl<const CELLS: usize> Default for Histogram<CELLS> {
    fn default() -> Self {
        Self { cells: [const { AtomicU64::new(0) }; CELLS], sum: AtomicU64::new(0) }
    }
}

impl<const CELLS: usize> Histogram<CELLS> {
    /// Counts a value. `bounds` are the largest values of all ranges but the last, in order. For the one writer.
    pub fn count(&self, value: u64, bounds: &[u64]) {
        let at = bounds.partition_point(|bound| *bound < value).min(CELLS - 1);
        add(&self.cells[at], 1);
        add(&self.sum, value);
    }

    /// Adds the counts and the sum to `sums`.
    pub fn add_to(&self, sums: &mut HistogramSums<CELLS>) {
        for (sum, cell) in sums.counts.iter_mut().zip(&self.cells) {
            *sum += cell.load(Ordering::Relaxed);
        }
        sums.sum += self.sum.load(Ordering::Relaxed);
    }
}

/// The sums over several writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSums<const CELLS: usize> {
    /// Values by range.
    pub counts: [u64; CELLS],
    /// All values together.
    pub sum: u64,
}

impl<const CELLS: usize> Default for HistogramSums<CELLS> {
    fn default() -> Self {
        Self { counts: [0; CELLS], sum: 0 }
    }
}

/// Adds to a cell of one's own: no other thread writes it, so a load and a store are enough.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_counts_in_the_first_range_that_holds_it_and_writers_are_summed() {
        const BOUNDS: [u64; 2] = [10, 100];
        let writers = [Histogram::<3>::default(), Histogram::<3>::default()];
        for value in [0, 10, 11, 100] {
            writers[0].count(value, &BOUNDS);
        }
        writers[1].count(101, &BOUNDS);
        let mut sums = HistogramSums::default();
        writers.iter().for_each(|writer| writer.add_to(&mut sums));
        assert_eq!(sums, HistogramSums { counts: [2, 2, 1], sum: 222 });
    }
}
