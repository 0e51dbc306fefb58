//! Many figures made one: medians and quantiles.

use std::time::Duration;

/// The median: the middle one, or the mean of the two in the middle. `None` of nothing.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(figures[middle]),
        _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
    }
}

/// The quantiles of a distribution in steps of one per cent, in microseconds: 101
/// figures, from the least to the greatest. This is how a distribution is kept.
#[must_use]
pub fn percentiles(times: &[Duration]) -> Vec<f64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return Vec::new() };
    // The nearest rank: each is a time that did occur.
    (0..=100).map(|p| times[(last * p).div_ceil(100)].as_nanos() as f64 / 1e3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn percentiles_go_from_the_least_to_the_greatest() {
        let times: Vec<_> = (0..=1000).rev().map(Duration::from_micros).collect();
        let percentiles = percentiles(&times);
        assert_eq!(percentiles.len(), 101);
        assert_eq!((percentiles[0], percentiles[100]), (0.0, 1000.0));
        assert_eq!((percentiles[50], percentiles[99]), (500.0, 990.0));
    }

    #[test]
    fn percentiles_of_few_times_are_among_them() {
        assert_eq!(percentiles(&[Duration::from_micros(7)]), vec![7.0; 101]);
        assert_eq!(percentiles(&[]), Vec::<f64>::new());
    }
}
