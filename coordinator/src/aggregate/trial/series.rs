//! A trial over time, on a grid that begins at the start barrier.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::tally::{Phase, Tally};

use crate::aggregate::{Point, Window};

/// Most stretches kept, two hours of seconds. When there are more, neighbours are merged by two, so that memory
/// stays flat however long a trial takes.
pub(super) const MOST_STRETCHES: usize = 7_200;

/// What all workers did, stretch by stretch. An interval belongs to the stretch that holds its middle: workers'
/// seconds do not begin at the same moment, and none of them is cut.
#[derive(Debug)]
pub(super) struct Series {
    start: Mono,
    length: Duration,
    stretches: BTreeMap<u64, Stretch>,
    latest: Mono,
}

#[derive(Debug, Default)]
struct Stretch {
    /// Warm-up and measured phase.
    sums: [Option<Sums>; 2],
    /// Change of the number in flight, of all workers.
    in_flight: i128,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests_sent: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    responses: u64,
    response_sum_us: u128,
    response_max_us: Option<u64>,
}

const PHASES: [Phase; 2] = [Phase::Warmup, Phase::Measure];

impl Series {
    /// Nothing yet of a trial that starts then, in stretches of this length.
    pub(super) fn new(start: Mono, length: Duration) -> Self {
        Self {
            start,
            length: length.max(Duration::from_millis(1)),
            stretches: BTreeMap::new(),
            latest: start,
        }
    }

    /// Adds a worker's interval. `change`: its number in flight minus what it was before.
    pub(super) fn add(&mut self, span: Window, phase: Phase, tally: &Tally, change: i128) {
        let middle = span.from + span.length() / 2;
        let index = u64::try_from(middle.since(self.start).as_nanos() / self.length.as_nanos());
        let stretch = self.stretches.entry(index.unwrap_or(u64::MAX)).or_default();
        stretch.in_flight += change;
        stretch.sums[usize::from(phase == Phase::Measure)].get_or_insert_default().merge(Sums::of(tally));
        self.latest = self.latest.max(span.to);
        while self.stretches.len() > MOST_STRETCHES {
            self.halve();
        }
    }

    /// Notes that a worker has nothing in flight any more, without an interval that says so.
    pub(super) fn nothing_in_flight(&mut self, change: i128) {
        if let Some(mut last) = self.stretches.last_entry() {
            last.get_mut().in_flight += change;
        }
    }

    fn halve(&mut self) {
        self.length *= 2;
        for (index, stretch) in std::mem::take(&mut self.stretches) {
            let into = self.stretches.entry(index / 2).or_default();
            into.in_flight += stretch.in_flight;
            for (into, sums) in into.sums.iter_mut().zip(stretch.sums) {
                if let Some(sums) = sums {
                    into.get_or_insert_default().merge(sums);
                }
            }
        }
    }

    /// The points by time; a stretch in which both phases did something gives two. The last stretch ends with
    /// what was reported.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut in_flight = 0i128;
        let mut points = Vec::new();
        for (&index, stretch) in &self.stretches {
            in_flight += stretch.in_flight;
            let nanos = u128::from(index).saturating_mul(self.length.as_nanos());
            let from = self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            let whole = from + self.length;
            let to = if self.latest > from { whole.min(self.latest) } else { whole };
            for (phase, sums) in PHASES.into_iter().zip(stretch.sums) {
                let Some(s) = sums else { continue };
                points.push(Point {
                    span: Window { from, to },
                    phase,
                    requests_sent: s.requests_sent,
                    items_ok: s.items_ok,
                    items_failed: s.items_failed,
                    items_not_sent: s.items_not_sent,
                    in_flight: u64::try_from(in_flight.max(0)).unwrap_or(u64::MAX),
                    responses: s.responses,
                    response_sum_us: s.response_sum_us,
                    response_max_us: s.response_max_us,
                });
            }
        }
        points
    }
}

impl Sums {
    fn of(t: &Tally) -> Self {
        Self {
            requests_sent: t.requests_sent,
            items_ok: t.items_ok,
            items_failed: t.items_failed,
            items_not_sent: t.not_sent.total(),
            responses: t.response_time.count(),
            response_sum_us: t.response_time.sum_us(),
            response_max_us: t.response_time.max().map(|m| m.0),
        }
    }

    fn merge(&mut self, other: Self) {
        let Self {
            requests_sent,
            items_ok,
            items_failed,
            items_not_sent,
            responses,
            response_sum_us,
            response_max_us,
        } = other;
        self.requests_sent += requests_sent;
        self.items_ok += items_ok;
        self.items_failed += items_failed;
        self.items_not_sent += items_not_sent;
        self.responses += responses;
        self.response_sum_us = self.response_sum_us.saturating_add(response_sum_us);
        self.response_max_us = self.response_max_us.max(response_max_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::units::Micros;

    fn at(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    fn span(from: i64, to: i64) -> Window {
        Window { from: at(from), to: at(to) }
    }

    fn ok(items: u64) -> Tally {
        let mut tally = Tally { requests_sent: items, items_ok: items, ..Tally::default() };
        (0..items).for_each(|n| tally.response_time.record(Micros(1000 + n)));
        tally
    }

    #[test]
    fn intervals_of_workers_that_are_out_of_step_fall_into_one_second() {
        let mut series = Series::new(at(5_000), Duration::from_secs(1));
        series.add(span(5_003, 6_003), Phase::Measure, &ok(3), 4);
        series.add(span(4_996, 5_998), Phase::Measure, &ok(2), 2);
        series.add(span(6_003, 6_400), Phase::Measure, &ok(1), -4);
        let points = series.points();
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].span, points[0].items_ok, points[0].in_flight), (span(5_000, 6_000), 5, 6));
        assert_eq!((points[0].responses, points[0].response_sum_us), (5, 5_004));
        assert_eq!(points[0].response_max_us, Some(1_002));
        // The last second was not a whole one; the other worker's two are still there.
        assert_eq!((points[1].span, points[1].items_ok, points[1].in_flight), (span(6_000, 6_400), 1, 2));
    }

    #[test]
    fn the_phases_of_one_second_are_two_points() {
        let mut series = Series::new(at(0), Duration::from_secs(1));
        series.add(span(0, 1000), Phase::Measure, &ok(1), 3);
        series.add(span(0, 1000), Phase::Warmup, &ok(2), 0);
        let points: Vec<_> = series.points().iter().map(|p| (p.phase, p.items_ok, p.in_flight)).collect();
        assert_eq!(points, [(Phase::Warmup, 2, 3), (Phase::Measure, 1, 3)]);
    }

    #[test]
    fn a_trial_of_half_a_day_keeps_some_thousands_of_points_and_every_item() {
        let mut series = Series::new(at(0), Duration::from_secs(1));
        let seconds = 50_000;
        let one = ok(1);
        for s in 0..seconds {
            series.add(span(s * 1000, s * 1000 + 1000), Phase::Measure, &one, i128::from(s == 0));
        }
        let points = series.points();
        assert!(points.len() <= MOST_STRETCHES && points.len() > MOST_STRETCHES / 2, "{}", points.len());
        assert_eq!(points.iter().map(|p| p.items_ok).sum::<u64>(), seconds.unsigned_abs());
        assert!(points.windows(2).all(|w| w[0].span.to == w[1].span.from));
        assert!(points.iter().all(|p| p.in_flight == 1));
    }

    #[test]
    fn an_instant_beyond_all_bounds_is_a_point_and_no_loop() {
        let mut series = Series::new(at(0), Duration::from_secs(1));
        let far = Mono::from_nanos(i64::MAX);
        series.add(Window { from: far, to: far }, Phase::Measure, &ok(1), 1);
        series.add(Window { from: Mono::from_nanos(i64::MIN), to: at(0) }, Phase::Measure, &ok(1), 1);
        assert_eq!(series.points().len(), 2);
    }
}
