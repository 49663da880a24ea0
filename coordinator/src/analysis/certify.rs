//! Whether a sample count supports a percentile, or anything at all.
//!
//! The least counts are those of MLPerf's early-stopping rule at 99 % confidence: the least number of samples of
//! which one may lie over a bound while the true percentile is still shown to lie below it, P(X <= 1) <= 1 % for
//! X ~ Binomial(n, 1 - p).

/// Samples with which a strategy can be judged. Of fewer not even the largest is shown to be over the median, with
/// 95 % confidence: all of n lie below it by chance with 0.5^n, which is 3.1 % of five and 6.3 % of four.
pub const LEAST_SAMPLES: u64 = 5;
/// Samples that a 90th percentile needs: fewer certify none.
pub const P90_SAMPLES: u64 = 64;
/// Samples that a 95th percentile needs.
pub const P95_SAMPLES: u64 = 130;
/// Samples that a 99th percentile needs.
pub const P99_SAMPLES: u64 = 662;
/// Samples that a 99.9th percentile needs.
pub const P999_SAMPLES: u64 = 6_636;

/// The percentiles of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The median; any sample has one.
    P50,
    /// The 90th.
    P90,
    /// The 95th.
    P95,
    /// The 99th.
    P99,
    /// The 99.9th.
    P999,
}

impl Rank {
    /// As a share, 0 to 1.
    pub fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }

    /// Whether `count` samples support it.
    pub fn certified_by(self, count: u64) -> bool {
        count
            >= match self {
                Self::P50 => 1,
                Self::P90 => P90_SAMPLES,
                Self::P95 => P95_SAMPLES,
                Self::P99 => P99_SAMPLES,
                Self::P999 => P999_SAMPLES,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_certified_from_its_least_count_on() {
        for (rank, least) in
            [(Rank::P50, 1), (Rank::P90, 64), (Rank::P95, 130), (Rank::P99, 662), (Rank::P999, 6_636)]
        {
            assert!(rank.certified_by(least), "{rank:?}");
            assert!(!rank.certified_by(least - 1), "{rank:?}");
        }
    }
}
