//! A set of durations: mergeable histogram plus exact sums.

use crate::histogram::Histogram;
use crate::units::Micros;

/// Durations recorded so far. Merging two gives exactly what recording everything into one would have given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    pub(crate) histogram: Histogram,
    pub(crate) overflow: u64,
    pub(crate) sum_us: u128,
    pub(crate) sum_sq: u128,
    pub(crate) extremes: Option<(Micros, Micros)>,
}

impl Latency {
    /// Nothing recorded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing recorded, and the memory for what a fast service mostly takes at hand: the first durations take no longer
    /// to record than later ones.
    pub fn prepared() -> Self {
        Self { histogram: Histogram::prepared(), ..Self::new() }
    }

    /// Adds one duration. One beyond the histogram's range is counted as overflow; it still enters the sums
    /// and the extremes.
    pub fn record(&mut self, d: Micros) {
        if !self.histogram.record(d.0) {
            self.overflow += 1;
        }
        let us = u128::from(d.0);
        self.sum_us += us;
        self.sum_sq = self.sum_sq.saturating_add(us * us);
        self.extremes = Some(match self.extremes {
            None => (d, d),
            Some((min, max)) => (min.min(d), max.max(d)),
        });
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.overflow += other.overflow;
        self.sum_us += other.sum_us;
        self.sum_sq = self.sum_sq.saturating_add(other.sum_sq);
        self.extremes = match (self.extremes, other.extremes) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        let Self { histogram, overflow, sum_us, sum_sq, extremes } = self;
        histogram.clear();
        *overflow = 0;
        *sum_us = 0;
        *sum_sq = 0;
        *extremes = None;
    }

    /// Durations recorded, overflow included.
    pub fn count(&self) -> u64 {
        self.histogram.len() + self.overflow
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Durations above the histogram's range.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The duration that the share `q` (0 to 1) of all durations does not exceed, by the nearest-rank
    /// definition; at most 0.1 % above the true one, and never above [`max`](Self::max). `None` when nothing
    /// was recorded. A rank that falls into the overflow gives the longest duration.
    pub fn quantile(&self, q: f64) -> Option<Micros> {
        let max = self.max()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the count")]
        let rank = ((q.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64).max(1);
        self.histogram.at_rank(rank).map_or(Some(max), |us| Some(Micros(us).min(max)))
    }

    /// Exact sum in microseconds.
    pub fn sum_us(&self) -> u128 {
        self.sum_us
    }

    /// Exact arithmetic mean in microseconds. `None` when nothing was recorded.
    pub fn mean_us(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum_us as f64 / self.count() as f64)
    }

    /// Sample standard deviation (n - 1) in microseconds, from the exact sums. `None` below two durations.
    pub fn std_dev_us(&self) -> Option<f64> {
        let n = u128::from(self.count());
        if n < 2 {
            return None;
        }
        // n * sum_sq - sum^2 in integers: no cancellation. Falls back to floats where 128 bits do not suffice.
        let spread = match (n.checked_mul(self.sum_sq), self.sum_us.checked_mul(self.sum_us)) {
            (Some(a), Some(b)) => a.saturating_sub(b) as f64,
            _ => (n as f64 * self.sum_sq as f64 - (self.sum_us as f64).powi(2)).max(0.0),
        };
        Some((spread / (n as f64 * (n - 1) as f64)).sqrt())
    }

    /// Shortest duration, exact.
    pub fn min(&self) -> Option<Micros> {
        self.extremes.map(|(min, _)| min)
    }

    /// Longest duration, exact.
    pub fn max(&self) -> Option<Micros> {
        self.extremes.map(|(_, max)| max)
    }

    /// The histogram, without the overflow.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Latency {
        let mut latency = Latency::new();
        for &v in values {
            latency.record(Micros(v));
        }
        latency
    }

    #[test]
    fn a_prepared_one_is_empty_and_becomes_what_another_would() {
        let mut prepared = Latency::prepared();
        assert!(prepared.is_empty());
        assert_eq!((prepared.quantile(0.5), &prepared), (None, &Latency::new()));
        prepared.record(Micros(7));
        assert_eq!(prepared, of(&[7]));
    }

    proptest! {
        #[test]
        fn merged_parts_equal_one_that_saw_everything(
            values in proptest::collection::vec(0u64..10_000_000_000, 1..300),
            parts in 1usize..7,
        ) {
            let whole = of(&values);
            let mut merged = Latency::new();
            for part in values.chunks(values.len().div_ceil(parts)) {
                merged.merge(&of(part));
            }
            prop_assert_eq!(&merged, &whole);
            for q in [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
                prop_assert_eq!(merged.quantile(q), whole.quantile(q));
            }
        }

        #[test]
        fn quantiles_are_within_a_thousandth_of_the_sorted_values(
            mut values in proptest::collection::vec(1u64..=histogram::HIGHEST_US, 1..300), q in 0.0f64..=1.0,
        ) {
            let got = of(&values).quantile(q).expect("not empty").0;
            values.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            prop_assert!(got >= exact && got - exact <= exact / 1000 + 1, "{} for {}", got, exact);
        }
    }

    #[test]
    fn durations_beyond_the_range_are_counted_and_stay_in_the_sums() {
        let latency = of(&[10, 20, histogram::HIGHEST_US + 7]);
        assert_eq!((latency.count(), latency.overflow()), (3, 1));
        assert_eq!(latency.max(), Some(Micros(histogram::HIGHEST_US + 7)));
        assert_eq!(latency.quantile(0.99), latency.max());
        assert_eq!(latency.quantile(0.5), Some(Micros(20)));
    }

    #[test]
    fn one_duration_has_a_mean_and_no_deviation() {
        let latency = of(&[1500]);
        assert_eq!(latency.mean_us(), Some(1500.0));
        assert_eq!(latency.std_dev_us(), None);
        assert_eq!(of(&[]).mean_us(), None);
        let deviation = of(&[2, 4, 4, 4, 5, 5, 7, 9]).std_dev_us().expect("eight values");
        assert!((deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_quantile_is_never_above_the_longest_duration() {
        let latency = of(&[1_000_003]);
        assert_eq!(latency.quantile(0.999), Some(Micros(1_000_003)));
    }
}
