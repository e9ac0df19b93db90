//! Statistics of repeated measurements: medians, and ratios of interleaved runs with their spread.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A range of measured values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A measured value with its spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    pub(crate) spread: Spread,
}

impl Sample {
    /// The median and the quartiles of blocks, or of repetitions that are many.
    pub(crate) fn of_blocks(values: &[f64]) -> Self {
        let values = sorted(values);
        Self {
            value: quantile(&values, 0.5),
            spread: Spread { low: quantile(&values, 0.25), high: quantile(&values, 0.75) },
        }
    }

    /// The median of a few repetitions, with the lowest and the highest.
    pub(crate) fn of_repetitions(values: &[f64]) -> Self {
        let values = sorted(values);
        Self {
            value: quantile(&values, 0.5),
            spread: Spread { low: quantile(&values, 0.0), high: quantile(&values, 1.0) },
        }
    }

    /// The ratio of two interleaved series: one ratio of medians per block of `block` runs, then the median of these ratios.
    pub(crate) fn ratio(ours: &[Duration], base: &[Duration], block: usize) -> Self {
        Self::ratio_at(0.5, ours, base, block)
    }

    /// As [`Sample::ratio`], with another percentile of each block.
    pub(crate) fn ratio_at(share: f64, ours: &[Duration], base: &[Duration], block: usize) -> Self {
        let blocks = ours.chunks(block).zip(base.chunks(block));
        let ratios: Vec<f64> = blocks.map(|(ours, base)| micros(ours, share) / micros(base, share)).collect();
        Self::of_blocks(&ratios)
    }

    /// A percentile of a series in µs: one per block of `block` runs, then the median of these.
    pub(crate) fn micros(runs: &[Duration], share: f64, block: usize) -> Self {
        let blocks: Vec<f64> = runs.chunks(block).map(|block| micros(block, share)).collect();
        Self::of_blocks(&blocks)
    }
}

/// Returns the quantile `share` of a series in µs.
pub(crate) fn micros(runs: &[Duration], share: f64) -> f64 {
    let values: Vec<f64> = runs.iter().map(|run| run.as_secs_f64() * 1e6).collect();
    quantile(&sorted(&values), share)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Returns a quantile of sorted values, interpolated between the two nearest.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // indices are small
fn quantile(sorted: &[f64], share: f64) -> f64 {
    assert!(!sorted.is_empty(), "nothing was measured");
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        let sample = Sample::of_blocks(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(sample, Sample { value: 2.5, spread: Spread { low: 1.75, high: 3.25 } });
        assert_eq!(Sample::of_blocks(&[7.0]), Sample { value: 7.0, spread: Spread { low: 7.0, high: 7.0 } });
    }

    #[test]
    fn repetitions_have_their_extremes_as_spread() {
        let sample = Sample::of_repetitions(&[3.0, 1.0, 2.0]);
        assert_eq!(sample, Sample { value: 2.0, spread: Spread { low: 1.0, high: 3.0 } });
    }

    /// The machine is three times slower during the second block.
    #[test]
    fn ratio_does_not_depend_on_the_speed_of_the_machine() {
        let micros = |values: [u64; 4]| values.map(Duration::from_micros);
        let sample = Sample::ratio(&micros([30, 30, 90, 90]), &micros([20, 20, 60, 60]), 2);
        assert_eq!(sample, Sample { value: 1.5, spread: Spread { low: 1.5, high: 1.5 } });
    }

    /// One slow run in a block does not change the block.
    #[test]
    fn ratio_ignores_outliers() {
        let micros = |values: [u64; 3]| values.map(Duration::from_micros);
        assert_eq!(Sample::ratio(&micros([30, 900, 30]), &micros([20, 20, 20]), 3).value.to_string(), "1.5");
    }
}
