//! What readings say of a stretch of time: each holds for the time before it, up to its predecessor.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::reading::Reading;

use super::energy::power::GAP_PERIODS;
use super::span::{Span, seconds_between};
use crate::analysis::report::{Missing, Value};

/// How long each of these instants' readings holds within a window, in seconds. A reading holds for three periods at
/// most: nothing is known of a longer gap. The first has no predecessor and holds for one.
pub(super) fn weights(instants: &[Mono], period: Duration, span: Span) -> Vec<f64> {
    let longest = period * GAP_PERIODS;
    let weight = |(at, instant): (usize, &Mono)| {
        let before = at.checked_sub(1).map_or(*instant - period, |before| instants[before]);
        let from = before.max(*instant - longest).max(span.from);
        seconds_between(from, span.to.min(*instant)).max(0.0)
    };
    instants.iter().enumerate().map(weight).collect()
}

/// Mean of the readings that are there, weighted, and the share of `length_s` that they hold for, in percent.
///
/// # Errors
/// The first reason of a reading that holds and is absent; without one, that there is no sample.
pub(super) fn mean(readings: &[Reading], weights: &[f64], length_s: f64) -> Value<(f64, f64)> {
    let (mut sum, mut held_s, mut why) = (0.0, 0.0, None);
    for (reading, weight) in readings.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
        match reading {
            Ok(value) => {
                sum += value * weight;
                held_s += weight;
            }
            Err(absence) => why = why.or(Some(Missing::NotRead(absence.clone()))),
        }
    }
    if held_s > 0.0 {
        Ok((sum / held_s, (100.0 * held_s / length_s).min(100.0)))
    } else {
        Err(why.unwrap_or(Missing::NoSample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    const HALF: Duration = Duration::from_millis(500);

    #[test]
    fn a_reading_holds_for_the_time_before_it_within_the_window() {
        let span = Span { from: at(700), to: at(1_800), error_ns: 0 };
        let instants = [500, 1_000, 1_500, 2_000, 2_500].map(at);
        assert_eq!(weights(&instants, HALF, span), [0.0, 0.3, 0.5, 0.3, 0.0]);
    }

    #[test]
    fn a_reading_after_a_long_gap_holds_for_three_periods_and_the_first_for_one() {
        let span = Span { from: at(0), to: at(10_000), error_ns: 0 };
        assert_eq!(weights(&[1_000, 9_000].map(at), HALF, span), [0.5, 1.5]);
    }

    #[test]
    fn a_mean_is_of_the_time_that_readings_hold_for() {
        let readings = [
            Ok(100.0),
            Ok(0.0),
            Err(fluxfleet_proto::reading::Absence::new(fluxfleet_proto::reading::AbsenceReason::Lost, "")),
        ];
        assert_eq!(mean(&readings, &[0.3, 0.1, 0.4], 1.0), Ok((75.0, 40.0)));
        assert!(matches!(mean(&readings, &[0.0, 0.0, 0.4], 1.0), Err(Missing::NotRead(_))));
        assert_eq!(mean(&readings, &[0.0; 3], 1.0), Err(Missing::NoSample));
    }
}
