//! Spacing between arrivals, in units of expected arrivals: the mean is 1, whatever the rate.

use rand_distr::{Distribution as _, Exp1, Gamma};
use rand_xoshiro::Xoshiro256PlusPlus;

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Process {
    /// Evenly.
    Constant,
    /// Independently of each other, as many independent users would: exponential gaps.
    Poisson,
    /// Gamma-distributed gaps: 1 is Poisson, below 1 comes in bursts, above 1 is more even. Inference benchmarks
    /// call the shape *burstiness*.
    Gamma {
        /// Positive; the coefficient of variation of the gaps is 1 / sqrt(shape).
        shape: f64,
    },
}

/// Smallest and largest shape of a gamma process. Below, single gaps outlast a test; above, it is constant.
pub(super) const SHAPES: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;

impl Process {
    /// Whether a gamma process of this shape can be drawn.
    pub fn is_shape(shape: f64) -> bool {
        SHAPES.contains(&shape)
    }

    /// The gap before an arrival. `first`: nothing came before it; even spacing begins at once.
    pub(super) fn gap(self, first: bool, random: &mut Xoshiro256PlusPlus) -> f64 {
        match self {
            Self::Constant => f64::from(u8::from(!first)),
            Self::Poisson => Exp1.sample(random),
            Self::Gamma { shape } => Gamma::new(shape, 1.0 / shape).map_or(1.0, |gamma| gamma.sample(random)),
        }
    }
}
