//! Power of a GPU before the first trial.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;

use super::energy::power::Power;
use super::figures::Idle;
use super::span::{Measure, Taken};
use crate::analysis::report::{Missing, Value};

/// Readings that an idle power needs.
pub const IDLE_LEAST_READINGS: u64 = 3;

/// Time over which they must lie.
pub const IDLE_LEAST: Duration = Duration::from_millis(300);

/// The median of the power before the first trial. At worst the truth is as far from it as the farthest reading.
///
/// # Errors
/// When there was too little to go by.
pub(super) fn idle(power: &Power, first_trial: Option<Mono>) -> Value<Idle> {
    let before = |reading: &&Taken| first_trial.is_none_or(|start| reading.latest <= start);
    let readings: Vec<_> = power.readings().iter().filter(before).collect();
    let seen = match (readings.first(), readings.last()) {
        (Some(first), Some(last)) => last.middle().since(first.middle()),
        _ => Duration::ZERO,
    };
    let count = readings.len() as u64;
    if let (0, Some(why)) = (power.readings().len(), power.absent()) {
        return Err(why.clone());
    }
    if count < IDLE_LEAST_READINGS || seen < IDLE_LEAST {
        let seen_ms = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        return Err(Missing::IdleTooShort { readings: count, seen_ms });
    }
    let mut watts: Vec<_> = readings.iter().map(|r| r.value).collect();
    watts.sort_by(f64::total_cmp);
    let median = f64::midpoint(watts[(watts.len() - 1) / 2], watts[watts.len() / 2]);
    let farthest = watts.iter().map(|w| (w - median).abs()).fold(0.0, f64::max);
    Ok(Idle { watts: Measure { value: median, uncertainty: farthest }, seconds: seen.as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(readings: &[(i64, f64)]) -> Power {
        let taken: Vec<_> = readings
            .iter()
            .map(|(ms, w)| Taken::new(Mono::from_nanos(ms * 1_000_000), Duration::ZERO, 0, Ok(*w)))
            .collect();
        Power::new(&taken, &[], Duration::from_millis(100))
    }

    fn start(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn idle_power_is_the_median_before_the_first_trial() {
        let power = power(&[(0, 70.0), (100, 66.0), (200, 90.0), (300, 68.0), (400, 68.0), (500, 600.0)]);
        let got = idle(&power, Some(start(450))).unwrap();
        assert_eq!(got.watts, Measure { value: 68.0, uncertainty: 22.0 });
        assert!((got.seconds - 0.4).abs() < 1e-9);
    }

    #[test]
    fn too_few_readings_or_too_short_a_time_measure_nothing() {
        let power = power(&[(0, 70.0), (100, 66.0), (200, 90.0), (300, 68.0)]);
        assert_eq!(idle(&power, Some(start(150))), Err(Missing::IdleTooShort { readings: 2, seen_ms: 100 }));
        assert_eq!(idle(&power, Some(start(250))), Err(Missing::IdleTooShort { readings: 3, seen_ms: 200 }));
        assert!(idle(&power, Some(start(300))).is_ok());
        assert_eq!(idle(&power, Some(start(-1))), Err(Missing::IdleTooShort { readings: 0, seen_ms: 0 }));
    }
}
