//! The rate of arrivals over time: straight pieces one after the other.

use std::time::Duration;

use thiserror::Error;

/// A stretch of time over which the rate goes straight from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Arrivals a second at its beginning.
    pub from: f64,
    /// Arrivals a second at its end. Equal to `from`: a step.
    pub to: f64,
    /// How long it lasts; `None`: for ever, and then it is the last one.
    pub length: Option<Duration>,
}

/// A profile that cannot be.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum InvalidProfile {
    /// A rate that is no rate.
    #[error("{0} is no rate; give a number from 0 to {MOST}")]
    Rate(f64),
    /// Nothing ever arrives.
    #[error("its rate is 0 throughout; give at least one stage with a rate above 0")]
    Nothing,
    /// Something follows a stage that never ends.
    #[error("a stage without an end is followed by another; only the last may have none")]
    AfterTheEnd,
    /// A ramp without an end never reaches its second rate.
    #[error("a stage without an end must keep its rate")]
    EndlessRamp,
    /// There are no stages, or one lasts no time.
    #[error("a stage must last longer than 0 s")]
    Empty,
}

/// Highest rate, in arrivals a second.
const MOST: f64 = 1e9;

/// Straight pieces of rate. Never empty, and somewhere above 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile(Vec<Stage>);

impl Profile {
    /// One rate for ever.
    ///
    /// # Errors
    /// When it is no positive number.
    pub fn steady(rate: f64) -> Result<Self, InvalidProfile> {
        Self::try_new(vec![Stage { from: rate, to: rate, length: None }])
    }

    /// These stages, one after the other.
    ///
    /// # Errors
    /// See [`InvalidProfile`].
    pub fn try_new(stages: Vec<Stage>) -> Result<Self, InvalidProfile> {
        for (at, stage) in stages.iter().enumerate() {
            for rate in [stage.from, stage.to] {
                if !(0.0..=MOST).contains(&rate) {
                    return Err(InvalidProfile::Rate(rate));
                }
            }
            match stage.length {
                None if at + 1 < stages.len() => return Err(InvalidProfile::AfterTheEnd),
                None if stage.is_ramp() => return Err(InvalidProfile::EndlessRamp),
                Some(length) if length.is_zero() => return Err(InvalidProfile::Empty),
                None | Some(_) => {}
            }
        }
        match stages.as_slice() {
            [] => Err(InvalidProfile::Empty),
            some if some.iter().all(|s| s.from == 0.0 && s.to == 0.0) => Err(InvalidProfile::Nothing),
            _ => Ok(Self(stages)),
        }
    }

    /// The stages.
    pub fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// Every rate times this: items a second become requests a second.
    ///
    /// # Errors
    /// When a rate is then out of range.
    pub fn scaled(&self, by: f64) -> Result<Self, InvalidProfile> {
        let scale = |s: &Stage| Stage { from: s.from * by, to: s.to * by, ..*s };
        Self::try_new(self.0.iter().map(scale).collect())
    }

    /// How long all stages last together; `None`: for ever.
    pub fn length(&self) -> Option<Duration> {
        self.0.iter().try_fold(Duration::ZERO, |sum, stage| Some(sum.saturating_add(stage.length?)))
    }

    /// The rate at `at` seconds; 0 after the end.
    pub fn rate(&self, at: f64) -> f64 {
        let mut begin = 0.0;
        for stage in &self.0 {
            let length = stage.seconds();
            if at < begin + length {
                return stage.from + stage.slope() * (at - begin).max(0.0);
            }
            begin += length;
        }
        0.0
    }

    /// Arrivals expected before `at` seconds: the integral of the rate.
    pub fn expected(&self, at: f64) -> f64 {
        let (mut begin, mut sum) = (0.0, 0.0);
        for stage in &self.0 {
            let within = (at - begin).min(stage.seconds());
            if within <= 0.0 {
                break;
            }
            sum += stage.expected(within);
            begin += stage.seconds();
        }
        sum
    }

    /// When `n` arrivals are expected to have come, in seconds. `None`: never.
    pub fn reached(&self, n: f64) -> Option<f64> {
        let (mut begin, mut sum) = (0.0, 0.0);
        for stage in &self.0 {
            let whole = stage.expected(stage.seconds());
            // An arrival that falls exactly on the end belongs to what follows.
            if n - sum < whole {
                return Some(begin + stage.reached(n - sum));
            }
            begin += stage.seconds();
            sum += whole;
        }
        None
    }
}

impl Stage {
    #[expect(clippy::float_cmp, reason = "equal as they were written, not as they were computed")]
    fn is_ramp(&self) -> bool {
        self.from != self.to
    }

    fn seconds(&self) -> f64 {
        self.length.map_or(f64::INFINITY, |l| l.as_secs_f64())
    }

    /// Change of the rate per second.
    fn slope(&self) -> f64 {
        if self.is_ramp() { (self.to - self.from) / self.seconds() } else { 0.0 }
    }

    fn expected(&self, within: f64) -> f64 {
        if !self.is_ramp() {
            // Not 0 times infinity, which is no number.
            return if self.from == 0.0 { 0.0 } else { self.from * within };
        }
        within * (self.from + self.slope() * within / 2.0)
    }

    /// Seconds until `n` are expected: the root of `slope/2 t^2 + from t = n`, in the form that neither cancels
    /// nor divides by a slope of zero.
    fn reached(&self, n: f64) -> f64 {
        if n <= 0.0 {
            return 0.0;
        }
        let root = (self.from * self.from + 2.0 * self.slope() * n).max(0.0).sqrt();
        2.0 * n / (self.from + root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stage(from: f64, to: f64, seconds: u64) -> Stage {
        Stage { from, to, length: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn a_ramp_from_nothing_expects_half_of_what_its_end_would() {
        let profile = Profile::try_new(vec![stage(0.0, 10.0, 10), stage(10.0, 10.0, 5)]).expect("valid");
        assert!((profile.expected(10.0) - 50.0).abs() < 1e-9);
        assert!((profile.expected(15.0) - 100.0).abs() < 1e-9);
        assert!((profile.rate(5.0) - 5.0).abs() < 1e-9 && profile.rate(15.0) == 0.0);
        assert_eq!(profile.length(), Some(Duration::from_secs(15)));
        assert_eq!(profile.reached(0.0), Some(0.0));
        assert_eq!(profile.reached(100.0), None);
    }

    #[test]
    fn a_pause_between_two_stages_is_passed_over() {
        let profile = Profile::try_new(vec![stage(1.0, 1.0, 2), stage(0.0, 0.0, 3), stage(1.0, 1.0, 2)])
            .expect("valid");
        assert_eq!([1.0, 2.0, 3.0].map(|n| profile.reached(n)), [Some(1.0), Some(5.0), Some(6.0)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (stages, problem) in [
            (vec![], InvalidProfile::Empty),
            (vec![stage(1.0, 1.0, 0)], InvalidProfile::Empty),
            (vec![stage(0.0, 0.0, 9)], InvalidProfile::Nothing),
            (vec![stage(-1.0, 1.0, 9)], InvalidProfile::Rate(-1.0)),
            (vec![Stage { from: 1.0, to: 2.0, length: None }], InvalidProfile::EndlessRamp),
            (
                vec![Stage { from: 1.0, to: 1.0, length: None }, stage(1.0, 1.0, 1)],
                InvalidProfile::AfterTheEnd,
            ),
        ] {
            assert_eq!(Profile::try_new(stages), Err(problem));
        }
        assert!(Profile::steady(f64::NAN).is_err() && Profile::steady(f64::INFINITY).is_err());
    }

    #[test]
    fn lengths_that_no_duration_holds_together_are_the_longest_there_is() {
        let eternal = Stage { from: 1.0, to: 1.0, length: Some(Duration::MAX) };
        let profile = Profile::try_new(vec![eternal, eternal]).expect("valid");
        assert_eq!(profile.length(), Some(Duration::MAX));
        assert_eq!(Profile::steady(1.0).expect("valid").length(), None);
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_the_integral(
            rates in proptest::collection::vec((0.0f64..1e4, 0.0f64..1e4, 1u64..100), 1..6), part in 0.0f64..1.0,
        ) {
            let stages = rates.iter().map(|&(from, to, s)| stage(from, to, s)).collect();
            let Ok(profile) = Profile::try_new(stages) else { return Ok(()) };
            let total = profile.expected(1e9);
            let n = total * part;
            if let Some(at) = profile.reached(n) {
                prop_assert!((profile.expected(at) - n).abs() <= 1e-6 * (1.0 + total), "{n} at {at}");
            }
        }
    }
}
