//! What gaps between its arrivals a lane should show.

use statrs::function::gamma::gamma_lr;

use super::{Arrivals, Process};
use crate::latency::Latency;

/// Gaps are recorded in millionths of the lane's mean gap, so that one law holds whatever the rate.
pub const UNIT: f64 = 1e6;

/// The distribution of a lane's gaps, in units of its mean gap. By the time-rescaling theorem it holds for a
/// changing rate too, when gaps are measured in expected arrivals (Brown et al., Neural Computation 14, 2002).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GapLaw {
    /// All the same.
    Even,
    /// Exponential with mean 1.
    Exponential,
    /// Gamma of this shape with mean 1.
    Gamma(f64),
}

impl GapLaw {
    /// The law of a lane out of `lanes`. Going round the lanes, `lanes` gaps of the whole make one of the lane's:
    /// the sum of gamma gaps is gamma, of that many times the shape.
    pub fn of(process: Process, lanes: u32) -> Self {
        match process {
            Process::Constant => Self::Even,
            Process::Poisson => Self::Exponential,
            Process::Gamma { shape } => Self::Gamma(shape * f64::from(lanes.max(1))),
        }
    }

    /// The law of these arrivals. `None` for a replay, which obeys none.
    pub fn of_arrivals(arrivals: &Arrivals, lanes: u32) -> Option<Self> {
        match arrivals {
            Arrivals::Drawn { process, .. } => Some(Self::of(*process, lanes)),
            Arrivals::Replay(_) => None,
        }
    }

    /// Share of gaps that are at most `gap`.
    pub fn share_below(self, gap: f64) -> f64 {
        match self {
            _ if gap < 0.0 => 0.0,
            Self::Even => f64::from(u8::from(gap >= 1.0)),
            Self::Exponential => -(-gap).exp_m1(),
            Self::Gamma(shape) => gamma_share(shape, shape * gap),
        }
    }

    /// Largest distance between the gaps recorded and this law (Kolmogorov and Smirnov), from 0 to 1. `None` for
    /// even gaps, whose law is a single step that any delay at all would contradict, and when nothing was
    /// recorded.
    ///
    /// `late`, in units of the mean gap: a send may be late by so much, and a gap longer or shorter by it. No distance that
    /// this explains counts.
    pub fn distance(self, recorded: &Latency, late: f64) -> Option<f64> {
        if recorded.is_empty() || self == Self::Even {
            return None;
        }
        let n = recorded.count() as f64;
        let (mut below, mut largest) = (0u64, 0f64);
        for bucket in recorded.histogram().recorded() {
            // A bucket's gaps lie anywhere within it: its lower edge is compared with what came before it, its
            // upper edge with what has come by its end.
            let before = self.share_below(bucket.lowest as f64 / UNIT - late);
            largest = largest.max(before - below as f64 / n);
            below += bucket.count;
            let after = self.share_below((bucket.highest + 1) as f64 / UNIT + late);
            largest = largest.max(below as f64 / n - after);
        }
        Some(largest)
    }
}

/// The regularised lower incomplete gamma function P(a, x).
fn gamma_share(a: f64, x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { gamma_lr(a, x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Micros;

    #[test]
    fn a_gamma_law_of_shape_one_is_the_exponential_and_known_values_come_out() {
        for gap in [0.01, 0.5, 1.0, 3.0, 9.0] {
            let (gamma, exponential) = (GapLaw::Gamma(1.0), GapLaw::Exponential);
            assert!((gamma.share_below(gap) - exponential.share_below(gap)).abs() < 1e-9);
        }
        // P(2, 2) = 1 - 3 e^-2; P(0.5, x) = erf(sqrt x), erf(1) = 0.8427007929.
        assert!((gamma_share(2.0, 2.0) - (1.0 - 3.0 * (-2f64).exp())).abs() < 1e-9);
        assert!((gamma_share(0.5, 1.0) - 0.842_700_792_9).abs() < 1e-9);
        assert!((gamma_share(10_000.0, 10_000.0) - 0.5).abs() < 0.01);
    }

    #[test]
    fn gaps_that_follow_their_law_are_near_it_and_others_are_far() {
        let mut right = Latency::new();
        let mut even = Latency::new();
        for i in 0..10_000u32 {
            let gap = -(1.0 - (f64::from(i) + 0.5) / 10_000.0).ln();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^24")]
            right.record(Micros((gap * UNIT) as u64));
            even.record(Micros(1_000_000));
        }
        assert!(GapLaw::Exponential.distance(&right, 0.0).expect("recorded") < 0.002);
        assert!(GapLaw::Exponential.distance(&even, 0.0).expect("recorded") > 0.35);
        assert_eq!(GapLaw::Even.distance(&even, 0.0), None);
        assert_eq!(GapLaw::Exponential.distance(&Latency::new(), 0.0), None);
    }

    #[test]
    fn what_late_sends_explain_is_no_distance_and_the_rest_is() {
        // As if no send could follow another in less than a fifth of the mean gap.
        let mut spread = Latency::new();
        for i in 0..10_000u32 {
            let gap = -(1.0 - (f64::from(i) + 0.5) / 10_000.0).ln();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^24")]
            spread.record(Micros((gap.max(0.2) * UNIT) as u64));
        }
        let distance = |late| GapLaw::Exponential.distance(&spread, late).expect("recorded");
        assert!((distance(0.0) - (1.0 - (-0.2f64).exp())).abs() < 0.002, "{}", distance(0.0));
        assert!(distance(0.1) > 0.09 && distance(0.1) < distance(0.0), "{}", distance(0.1));
        assert!(distance(0.2) < 0.002, "{}", distance(0.2));
        let mut even = Latency::new();
        (0..100).for_each(|_| even.record(Micros(1_000_000)));
        assert!(GapLaw::Exponential.distance(&even, 0.5).expect("recorded") > 0.2);
    }
}
