//! Which sample is due next.

use std::time::Duration;

use fluxfleet_proto::message::Cadence;
use fluxfleet_proto::reading::Occasion;

use super::grid::Grid;

/// The lanes' grids and the edges to come. Times count from a start that the caller keeps.
#[derive(Debug)]
pub(super) struct Schedule {
    /// In the order in which they go when several are due.
    lanes: Vec<Lane>,
    /// Edges of trials, not in order.
    marks: Vec<(Duration, Occasion)>,
}

#[derive(Debug)]
struct Lane {
    occasion: Occasion,
    grid: Grid,
    last: Option<u64>,
}

/// A sample to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// When.
    pub(super) due: Duration,
    /// Of which occasion.
    pub(super) occasion: Occasion,
    point: u64,
}

impl Schedule {
    /// Lanes at this pace for so many GPUs. The normal lane begins at once, the others one period later; the slow lane
    /// comes to one GPU at a time. Without GPUs there is no fast lane.
    pub(super) fn new(pace: Cadence, gpus: usize) -> Self {
        let lane = |occasion, period, last| Lane { occasion, grid: Grid::new(period), last };
        let of_each = u32::try_from(gpus.max(1)).unwrap_or(u32::MAX);
        let mut lanes = vec![
            lane(Occasion::Normal, pace.normal, None),
            lane(Occasion::Slow, pace.slow / of_each, Some(0)),
        ];
        if gpus > 0 {
            lanes.insert(1, lane(Occasion::Fast, pace.fast, Some(0)));
        }
        Self { lanes, marks: Vec::new() }
    }

    /// Goes on with so many GPUs.
    pub(super) fn grow(&mut self, pace: Cadence, gpus: usize) {
        let mut grown = Self::new(pace, gpus);
        for lane in &mut grown.lanes {
            let before = self.lanes.iter().find(|before| before.occasion == lane.occasion);
            // The slow lane's points are others now.
            if let Some(before) = before.filter(|before| before.occasion != Occasion::Slow) {
                lane.last = before.last;
            }
        }
        self.lanes = grown.lanes;
    }

    /// Has a sample taken at an edge.
    pub(super) fn mark(&mut self, edge: Occasion, due: Duration) {
        self.marks.push((due, edge));
    }

    /// What is due next, at `elapsed` after the start; it may be due already. Edges go before lanes.
    pub(super) fn next(&self, elapsed: Duration) -> Turn {
        let mark = self.marks.iter().min_by_key(|(due, _)| *due);
        let mark = mark.map(|&(due, occasion)| Turn { due, occasion, point: 0 });
        let lane = |lane: &Lane| {
            let point = lane.grid.next(lane.last, elapsed);
            Turn { due: lane.grid.offset(point), occasion: lane.occasion, point }
        };
        let turns = mark.into_iter().chain(self.lanes.iter().map(lane));
        // Of those that are due the first counts, not the oldest: a slow lane that lags must not hold up the fast one.
        let due = |turn: &Turn| turn.due.max(elapsed);
        turns.min_by_key(due).unwrap_or(Turn { due: Duration::MAX, occasion: Occasion::Event, point: 0 })
    }

    /// The turn is taken. The normal lane reads all that the fast one does: what is due on both is taken once.
    pub(super) fn take(&mut self, turn: Turn) {
        if turn.occasion == Occasion::Normal
            && let Some(fast) = self.lanes.iter_mut().find(|lane| lane.occasion == Occasion::Fast)
        {
            let next = fast.grid.next(fast.last, turn.due);
            if fast.grid.offset(next) == turn.due {
                fast.last = Some(next);
            }
        }
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.occasion == turn.occasion) {
            lane.last = Some(turn.point);
        } else if let Some(at) = self.marks.iter().position(|mark| *mark == (turn.due, turn.occasion)) {
            self.marks.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::id::TrialId;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn schedule(gpus: usize) -> Schedule {
        Schedule::new(Cadence { fast: ms(100), normal: ms(500), slow: ms(2000) }, gpus)
    }

    /// What is taken up to `until`, each at its time.
    fn walk(schedule: &mut Schedule, until: u64) -> Vec<(u64, Occasion)> {
        let mut now = Duration::ZERO;
        let mut taken = Vec::new();
        loop {
            let turn = schedule.next(now);
            now = now.max(turn.due);
            if now > ms(until) {
                return taken;
            }
            schedule.take(turn);
            taken.push((u64::try_from(now.as_millis()).unwrap(), turn.occasion));
        }
    }

    fn times(taken: &[(u64, Occasion)], of: Occasion) -> Vec<u64> {
        taken.iter().filter(|(_, occasion)| *occasion == of).map(|(at, _)| *at).collect()
    }

    #[test]
    fn each_lane_keeps_to_its_own_grid() {
        let taken = walk(&mut schedule(2), 2000);
        assert_eq!(times(&taken, Occasion::Normal), [0, 500, 1000, 1500, 2000]);
        let between = (1..=20).map(|k| k * 100).filter(|ms| ms % 500 != 0);
        assert_eq!(
            times(&taken, Occasion::Fast),
            between.collect::<Vec<_>>(),
            "the normal lane reads it too"
        );
        assert_eq!(times(&taken, Occasion::Slow), [1000, 2000], "each of two GPUs once in two seconds");
    }

    #[test]
    fn without_gpus_there_is_no_fast_lane() {
        let taken = walk(&mut schedule(0), 2000);
        assert!(times(&taken, Occasion::Fast).is_empty());
        assert_eq!(times(&taken, Occasion::Slow), [2000]);
    }

    #[test]
    fn gpus_that_are_found_get_their_lanes_and_the_normal_one_keeps_to_its_grid_and_the_edges_to_their_times()
    {
        let mut schedule = schedule(0);
        let end = Occasion::End(TrialId(1));
        schedule.mark(end, ms(1300));
        assert_eq!(walk(&mut schedule, 600), [(0, Occasion::Normal), (500, Occasion::Normal)]);
        schedule.grow(Cadence { fast: ms(100), normal: ms(500), slow: ms(2000) }, 2);
        let taken = walk(&mut schedule, 1400);
        assert_eq!(times(&taken, Occasion::Normal), [1000]);
        assert_eq!(times(&taken, end), [1300]);
        assert!(
            times(&taken, Occasion::Fast).ends_with(&[700, 800, 900, 1100, 1200, 1300, 1400]),
            "{taken:?}"
        );
        assert_eq!(times(&taken, Occasion::Slow), [1000], "each of two GPUs once in two seconds");
    }

    #[test]
    fn an_edge_is_taken_at_its_time_and_before_what_is_due_with_it() {
        let mut schedule = schedule(1);
        let (start, end) = (Occasion::Start(TrialId(1)), Occasion::End(TrialId(1)));
        schedule.mark(end, ms(500));
        schedule.mark(start, ms(130));
        let taken = walk(&mut schedule, 600);
        assert_eq!(times(&taken, start), [130]);
        let at_500: Vec<_> = taken.iter().filter(|(at, _)| *at == 500).map(|(_, o)| *o).collect();
        assert_eq!(at_500, [end, Occasion::Normal]);
    }

    #[test]
    fn of_what_is_overdue_the_slow_lane_goes_last_and_missed_points_are_skipped() {
        let mut schedule = schedule(1);
        let first = schedule.next(ms(0));
        schedule.take(first);
        let turn = schedule.next(ms(2250));
        assert_eq!((turn.occasion, turn.due), (Occasion::Normal, ms(2000)));
        schedule.take(turn);
        let turn = schedule.next(ms(2250));
        assert_eq!((turn.occasion, turn.due), (Occasion::Fast, ms(2200)));
        schedule.take(turn);
        assert_eq!(schedule.next(ms(2250)).occasion, Occasion::Slow);
    }
}
