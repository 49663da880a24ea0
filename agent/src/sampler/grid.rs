//! The fixed grid of instants at which samples are due.

use std::time::Duration;

/// Points at `k x period` after a start that the caller keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    period: Duration,
}

impl Grid {
    /// `period` is not zero; one that is counts as a nanosecond.
    pub(super) fn new(period: Duration) -> Self {
        Self { period: period.max(Duration::from_nanos(1)) }
    }

    /// The point to sample next: the one after `last`, or, when that and more are past at `elapsed` after the
    /// start, the latest that is due. So a late sample leaves the grid where it is, and points missed
    /// meanwhile are skipped rather than made up for.
    pub(super) fn next(self, last: Option<u64>, elapsed: Duration) -> u64 {
        let due = u64::try_from(elapsed.as_nanos() / self.period.as_nanos()).unwrap_or(u64::MAX);
        last.map_or(due, |last| due.max(last.saturating_add(1)))
    }

    /// How long after the start a point is.
    pub(super) fn offset(self, point: u64) -> Duration {
        let nanos = self.period.as_nanos().saturating_mul(point.into());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_sample_is_due_at_once_and_the_next_ones_a_period_apart() {
        let grid = Grid::new(ms(500));
        assert_eq!(grid.next(None, ms(0)), 0);
        assert_eq!(grid.next(Some(0), ms(3)), 1);
        assert_eq!(grid.next(Some(1), ms(504)), 2);
        assert_eq!([0, 1, 2].map(|k| grid.offset(k)), [ms(0), ms(500), ms(1000)]);
    }

    #[test]
    fn a_late_sample_does_not_shift_the_grid() {
        let grid = Grid::new(ms(500));
        // Point 1 was sampled 450 ms late; point 2 stays where it was, 50 ms from there.
        let next = grid.next(Some(1), ms(950));
        assert_eq!((next, grid.offset(next)), (2, ms(1000)));
    }

    #[test]
    fn missed_points_are_skipped_but_for_the_latest() {
        let grid = Grid::new(ms(500));
        // Point 1 took until 2.6 s: 2, 3 and 4 are gone, 5 is due now, 6 comes on time.
        assert_eq!(grid.next(Some(1), ms(2600)), 5);
        assert_eq!(grid.next(Some(5), ms(2610)), 6);
    }

    #[test]
    fn a_reading_that_takes_exactly_a_period_misses_nothing() {
        let grid = Grid::new(ms(500));
        assert_eq!(grid.next(Some(0), ms(500)), 1);
        assert_eq!(grid.next(Some(1), ms(1001)), 2);
    }

    #[test]
    fn a_grid_can_run_for_as_long_as_it_likes() {
        let grid = Grid::new(Duration::MAX);
        assert_eq!(grid.next(Some(u64::MAX), Duration::MAX), u64::MAX);
        assert_eq!(grid.offset(u64::MAX), Duration::from_nanos(u64::MAX));
    }
}
