//! Instants that are known to within an error, and numbers that are.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

use crate::aggregate::Window;

/// A number and how wrong it may be at worst: the truth lies within plus or minus that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// The number.
    pub value: f64,
    /// How wrong it may be, never negative.
    pub uncertainty: f64,
}

impl Measure {
    /// Both parts times a factor that is exact and not negative.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, uncertainty: self.uncertainty * factor }
    }

    /// The sum; at worst both are wrong in the same direction.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, uncertainty: self.uncertainty + other.uncertainty }
    }

    /// The difference; at worst they are wrong in opposite directions.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { value: self.value - other.value, uncertainty: self.uncertainty + other.uncertainty }
    }
}

/// A window whose edges are known to within an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First send of a request.
    pub from: Mono,
    /// Last end of a request.
    pub to: Mono,
    /// How wrong either may be, in nanoseconds: the error of the workers' clocks.
    pub error_ns: i64,
}

impl Span {
    /// A window whose edges are known as well as the worst clock behind them.
    pub fn new(window: Window, error_ns: u64) -> Self {
        Self { from: window.from, to: window.to, error_ns: i64::try_from(error_ns).unwrap_or(i64::MAX) }
    }

    /// How wrong its length may be, in seconds: both edges may be off in opposite directions.
    pub fn length_error_s(self) -> f64 {
        2.0 * self.error_ns as f64 / 1e9
    }

    /// Its length, in seconds.
    pub fn seconds(self) -> f64 {
        seconds_between(self.from, self.to).max(0.0)
    }
}

/// A value and when it was taken: at some instant of which no more is known than its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken<T = f64> {
    /// Not before.
    pub earliest: Mono,
    /// Not after.
    pub latest: Mono,
    /// What was read.
    pub value: T,
}

impl<T> Taken<T> {
    /// A value that was read within `took` from `at` on, which is itself known to within `error_ns`.
    pub fn new(at: Mono, took: Duration, error_ns: u64, value: T) -> Self {
        let error = Duration::from_nanos(error_ns);
        Self { earliest: at - error, latest: at + took + error, value }
    }

    /// The middle of the two bounds.
    pub fn middle(&self) -> Mono {
        let half = self.latest.signed_nanos_since(self.earliest) / 2;
        Mono::from_nanos(self.earliest.as_nanos().saturating_add(half))
    }

    /// How far the instant may be from the middle, in seconds.
    pub fn error_s(&self) -> f64 {
        seconds_between(self.earliest, self.latest) / 2.0
    }

    /// The same instant with another value.
    pub fn with<U>(&self, value: U) -> Taken<U> {
        Taken { earliest: self.earliest, latest: self.latest, value }
    }
}

/// Signed seconds from one instant to another.
pub(super) fn seconds_between(from: Mono, to: Mono) -> f64 {
    to.signed_nanos_since(from) as f64 / 1e9
}

/// The places of the last reading at or before `from` and of the first at or after `to`; by their middles, which
/// ascend. The first or the last of all will do where no more is known than that it may lie on the other side.
pub(super) fn enclosing<T>(readings: &[Taken<T>], span: Span) -> Option<(usize, usize)> {
    let first = readings.partition_point(|r| r.middle() <= span.from).checked_sub(1);
    let first = first.or_else(|| (readings.first()?.earliest <= span.from).then_some(0))?;
    let mut last = readings.partition_point(|r| r.middle() < span.to);
    if last == readings.len() {
        last = last.checked_sub(1).filter(|last| readings[*last].latest >= span.to)?;
    }
    // A window of no length on a reading has it on both sides.
    Some((first, last.max(first)))
}

/// The value at `at` on the line between two readings, `at` being between their middles.
pub(super) fn between(before: &Taken, after: &Taken, at: Mono) -> f64 {
    let length = seconds_between(before.middle(), after.middle());
    if length <= 0.0 {
        return before.value;
    }
    before.value + (after.value - before.value) * seconds_between(before.middle(), at) / length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_reading_lies_within_its_clocks_error_and_the_time_it_took() {
        let taken = Taken::new(at(100), Duration::from_millis(4), 1_000_000, 7.0);
        assert_eq!((taken.earliest, taken.latest, taken.middle()), (at(99), at(105), at(102)));
        assert!((taken.error_s() - 0.003).abs() < 1e-12);
    }

    #[test]
    fn readings_enclose_a_window_only_when_they_lie_on_both_sides() {
        let readings: Vec<_> =
            [100, 200, 300, 400].map(|ms| Taken::new(at(ms), Duration::ZERO, 0, 0.0)).into();
        let span = |from, to| Span { from: at(from), to: at(to), error_ns: 0 };
        assert_eq!(enclosing(&readings, span(150, 350)), Some((0, 3)));
        assert_eq!(enclosing(&readings, span(200, 300)), Some((1, 2)));
        assert_eq!(enclosing(&readings, span(210, 220)), Some((1, 2)));
        assert_eq!(enclosing(&readings, span(200, 200)), Some((1, 1)));
        assert_eq!(enclosing(&readings, span(99, 300)), None);
        assert_eq!(enclosing(&readings, span(100, 401)), None);
        assert_eq!(enclosing::<f64>(&[], span(100, 200)), None);
        let unsure: Vec<_> =
            readings.iter().map(|r| Taken::new(r.earliest, Duration::ZERO, 5_000_000, 0.0)).collect();
        assert_eq!(enclosing(&unsure, span(96, 404)), Some((0, 3)));
        assert_eq!(enclosing(&unsure, span(94, 404)), None);
        assert_eq!(enclosing(&unsure, span(96, 406)), None);
    }

    #[test]
    fn uncertainties_add_whatever_the_sign() {
        let (a, b) = (Measure { value: 10.0, uncertainty: 1.0 }, Measure { value: 4.0, uncertainty: 0.5 });
        assert_eq!(a.plus(b), Measure { value: 14.0, uncertainty: 1.5 });
        assert_eq!(a.minus(b), Measure { value: 6.0, uncertainty: 1.5 });
        assert_eq!(a.times(0.5), Measure { value: 5.0, uncertainty: 0.5 });
    }
}
