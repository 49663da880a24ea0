//! Newtype units.

use std::time::Duration;

/// A duration in whole microseconds, the resolution of every recorded latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// The nearest whole microsecond.
    pub fn from_duration(d: Duration) -> Self {
        // In 64 bits: it runs several times for each request.
        let below = u64::from((d.subsec_nanos() + 500) / 1000);
        Self(d.as_secs().saturating_mul(1_000_000).saturating_add(below))
    }

    /// The nearest whole microsecond to so many nanoseconds.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns.saturating_add(500) / 1000)
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl From<Duration> for Micros {
    fn from(d: Duration) -> Self {
        Self::from_duration(d)
    }
}
