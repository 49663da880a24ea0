//! The efficiency score.
//!
//! The formula is the seed tool's: `0.5 * min(throughput / reference, 1) + 0.3 * max(0, 1 - response / reference)
//! + 0.2 * gpu / 100`, with 1 item/s and 30 s as references.

use thiserror::Error;

/// Weight of the throughput.
pub const THROUGHPUT_WEIGHT: f64 = 0.5;
/// Weight of the mean response time.
pub const RESPONSE_TIME_WEIGHT: f64 = 0.3;
/// Weight of the GPU utilization.
pub const GPU_WEIGHT: f64 = 0.2;

/// References of the efficiency score; both are positive and finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSettings {
    throughput_items_per_s: f64,
    response_time_s: f64,
}

/// A reference that makes no sense.
#[derive(Debug, Error, PartialEq)]
#[error("the score's {what} reference is {value}; it must be a positive number of {unit}")]
pub struct InvalidReference {
    what: &'static str,
    unit: &'static str,
    value: f64,
}

impl Default for ScoreSettings {
    /// The seed tool's: 1 item/s and 30 s.
    fn default() -> Self {
        Self { throughput_items_per_s: 1.0, response_time_s: 30.0 }
    }
}

impl ScoreSettings {
    /// References of one's own: the throughput that earns the full throughput term, in items per second, and
    /// the mean response time that earns nothing, in seconds.
    ///
    /// # Errors
    /// When one is not a positive number.
    pub fn try_new(throughput_items_per_s: f64, response_time_s: f64) -> Result<Self, InvalidReference> {
        let positive = |what, unit, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(InvalidReference { what, unit, value })
            }
        };
        positive("throughput", "items per second", throughput_items_per_s)?;
        positive("response time", "seconds", response_time_s)?;
        Ok(Self { throughput_items_per_s, response_time_s })
    }

    /// The throughput that earns the full throughput term, in items per second.
    pub fn throughput_items_per_s(&self) -> f64 {
        self.throughput_items_per_s
    }

    /// The mean response time that earns nothing, in seconds.
    pub fn response_time_s(&self) -> f64 {
        self.response_time_s
    }

    /// Whether more throughput than this would not change the score.
    pub fn saturates(&self, throughput_items_per_s: f64) -> bool {
        throughput_items_per_s >= self.throughput_items_per_s
    }

    /// The score, 0 to 1. Without a GPU reading the two other weights are rescaled to sum up to 1, since an
    /// unknown utilization is no utilization of zero.
    pub fn score(&self, throughput_items_per_s: f64, mean_response_s: f64, gpu_percent: Option<f64>) -> f64 {
        let throughput = (throughput_items_per_s / self.throughput_items_per_s).min(1.0);
        let response = (1.0 - mean_response_s / self.response_time_s).max(0.0);
        let known = THROUGHPUT_WEIGHT * throughput + RESPONSE_TIME_WEIGHT * response;
        match gpu_percent {
            Some(gpu) => known + GPU_WEIGHT * gpu / 100.0,
            None => known / (THROUGHPUT_WEIGHT + RESPONSE_TIME_WEIGHT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }

    #[test]
    fn the_score_is_the_seeds_formula() {
        let score = ScoreSettings::default();
        near(score.score(0.25, 15.0, Some(45.0)), 0.125 + 0.15 + 0.09);
        near(score.score(7.0, 60.0, Some(100.0)), 0.5 + 0.0 + 0.2);
        near(score.score(0.0, 0.0, Some(0.0)), 0.3);
    }

    #[test]
    fn without_a_gpu_reading_the_other_weights_sum_up_to_one() {
        let score = ScoreSettings::default();
        near(score.score(1.0, 0.0, None), 1.0);
        near(score.score(0.5, 30.0, None), 0.3125);
    }

    #[test]
    fn references_can_be_chosen_and_senseless_ones_are_named() {
        let fast = ScoreSettings::try_new(100.0, 2.0).expect("positive");
        near(fast.score(50.0, 1.0, None), 0.5);
        assert!(!fast.saturates(99.0) && fast.saturates(100.0));
        for (throughput, response) in [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            assert!(ScoreSettings::try_new(throughput, response).is_err());
        }
        assert_eq!(
            ScoreSettings::try_new(1.0, 0.0).unwrap_err().to_string(),
            "the score's response time reference is 0; it must be a positive number of seconds"
        );
    }
}
