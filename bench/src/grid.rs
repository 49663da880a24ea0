//! Send punctuality: arrivals beside the ideal grid of a constant rate.
//!
//! The `k`-th arrival of an ideal generator comes at `phase + k / rate`. The server does not know the phase: it does
//! not know when the generator decided to begin. It is therefore taken from the arrivals themselves, as the phase at
//! which 1 % of them come before their grid point: the punctual ones define the grid, a few early ones do not move it,
//! and lateness cannot hide in it as it would in a mean. A request that is never sent makes every later one late by a
//! whole grid step, so a generator that is too slow or leaves requests out shows it.

/// Share of arrivals before the grid's phase.
const ANCHOR: f64 = 0.01;

/// How far arrivals are off the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Arrivals seen.
    pub count: usize,
    /// Median of the distance from the grid, in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the distance from the grid, in microseconds.
    pub p99_us: f64,
    /// Largest distance from the grid, in microseconds.
    pub max_us: f64,
    /// 99th percentile of the time between two neighbours, in microseconds.
    pub gap_p99_us: f64,
}

/// Compares stamps in nanoseconds, in any order, with the grid of `rate` a second. `None` below two stamps or
/// without a rate.
pub fn deviation(stamps: &[i64], rate: f64) -> Option<Deviation> {
    if stamps.len() < 2 || rate <= 0.0 {
        return None;
    }
    let mut stamps = stamps.to_vec();
    stamps.sort_unstable();
    let (first, step) = (stamps[0], 1e9 / rate);
    let mut offsets: Vec<f64> =
        stamps.iter().enumerate().map(|(k, &at)| (at - first) as f64 - k as f64 * step).collect();
    offsets.sort_by(f64::total_cmp);
    let phase = quantile(&offsets, ANCHOR);
    let mut distances: Vec<f64> = offsets.iter().map(|offset| (offset - phase).abs() / 1e3).collect();
    distances.sort_by(f64::total_cmp);
    let mut gaps: Vec<f64> = stamps.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e3).collect();
    gaps.sort_by(f64::total_cmp);
    Some(Deviation {
        count: stamps.len(),
        p50_us: quantile(&distances, 0.5),
        p99_us: quantile(&distances, 0.99),
        max_us: quantile(&distances, 1.0),
        gap_p99_us: quantile(&gaps, 0.99),
    })
}

/// The smallest value that at least this share does not exceed (nearest rank). Not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the length")]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 1_000_000;

    fn grid(count: i64) -> Vec<i64> {
        (0..count).map(|k| 7_000 + k * STEP).collect()
    }

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-6
    }

    #[test]
    fn a_perfect_grid_of_any_phase_has_no_deviation() {
        let found = deviation(&grid(1000), 1000.0).expect("enough stamps");
        assert!(close(found.max_us, 0.0), "{found:?}");
        assert!(close(found.gap_p99_us, 1000.0), "{found:?}");
        assert_eq!(found.count, 1000);
    }

    #[test]
    fn the_late_two_in_a_hundred_are_seen_at_p99_and_do_not_move_the_grid() {
        let mut stamps = grid(1000);
        for k in (0..1000).step_by(50) {
            stamps[k] += 80_000;
        }
        let found = deviation(&stamps, 1000.0).expect("enough stamps");
        assert!(close(found.p99_us, 80.0) && close(found.p50_us, 0.0), "{found:?}");
    }

    #[test]
    fn a_start_that_is_late_is_late_itself_and_nothing_else_is() {
        let mut stamps = grid(1000);
        stamps[0] += 500_000;
        let found = deviation(&stamps, 1000.0).expect("enough stamps");
        assert!(close(found.max_us, 500.0) && close(found.p99_us, 0.0), "{found:?}");
    }

    #[test]
    fn one_early_arrival_does_not_make_the_others_late() {
        let mut stamps = grid(1000);
        stamps[500] -= 300_000;
        let found = deviation(&stamps, 1000.0).expect("enough stamps");
        assert!(close(found.p99_us, 0.0) && close(found.max_us, 300.0), "{found:?}");
    }

    #[test]
    fn requests_that_are_never_sent_make_the_rest_late() {
        // Every tenth is missing: 900 arrivals, the last of them about 99 steps behind.
        let stamps: Vec<i64> =
            grid(1000).into_iter().enumerate().filter(|(k, _)| k % 10 != 9).map(|(_, s)| s).collect();
        let found = deviation(&stamps, 1000.0).expect("enough stamps");
        assert!(found.p99_us > 90_000.0, "{found:?}");
    }

    #[test]
    fn two_stamps_are_needed() {
        assert_eq!(deviation(&[1], 1000.0), None);
        assert_eq!(deviation(&[1, 2], 0.0), None);
    }
}
