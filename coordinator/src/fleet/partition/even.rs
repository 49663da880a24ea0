//! Even arrivals, counted without walking.

use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Lanes};
use fluxfleet_proto::load::{Limits, Warmup};

use super::open::{Counted, after};

/// Arrivals of a constant process: they go round the lanes, and any of them can be looked at.
pub(super) struct Even<'a> {
    pub(super) arrivals: &'a Arrivals,
    /// Items of a full request.
    pub(super) size: u64,
}

impl Even<'_> {
    fn at(&self, index: u64) -> Option<Duration> {
        Some(self.arrivals.sequence(1).nth(usize::try_from(index).ok()?)?.at)
    }

    /// How many arrivals come before `end` (`None`: at all). `None`: without end.
    fn before(&self, end: Option<Duration>) -> Option<u64> {
        let takes_place = |index| self.at(index).is_some_and(|at| end.is_none_or(|end| at < end));
        // Counts stay exact as floats up to here.
        let mut above = 1u64;
        while takes_place(above - 1) {
            above = above.checked_mul(2).filter(|n| *n < 1 << 52)?;
        }
        let mut below = above / 2;
        while below + 1 < above {
            let middle = below.midpoint(above);
            if takes_place(middle - 1) { below = middle } else { above = middle }
        }
        Some(below)
    }

    pub(super) fn count(&self, items: Option<u64>, limits: Limits, lanes: &[Lanes]) -> Option<Counted> {
        let (warm, measured_from) = match limits.warmup {
            Warmup::None | Warmup::Items(0) => (0, Some(Duration::ZERO)),
            Warmup::Time(time) => (self.before(Some(time))?, Some(time)),
            Warmup::Items(n) => {
                let warm = n.div_ceil(self.size);
                // There may be fewer arrivals than that.
                (self.before(None).map_or(warm, |all| warm.min(all)), self.at(warm))
            }
        };
        let measured_until = measured_from.zip(limits.duration).map(|(from, length)| from + length);
        let in_time = self.before(measured_until).map(|n| n.saturating_sub(warm));
        let in_items = items.map(|n| n.div_ceil(self.size));
        let measured = match (in_time, in_items) {
            (Some(time), Some(items)) => time.min(items),
            (one, other) => one.or(other)?,
        };
        // The last one of the items may be short.
        let missing = match items {
            Some(items) if in_items == Some(measured) => measured * self.size - items,
            _ => 0,
        };
        let of = u64::from(lanes.first()?.of);
        // Those of arrivals `warm .. warm + measured` that fall to lanes before `lane`.
        let before_lane = |lane: u32, end: u64| (end / of) * u64::from(lane) + (end % of).min(lane.into());
        let before = |lane| before_lane(lane, warm + measured) - before_lane(lane, warm);
        let last_lane = measured.checked_sub(1).and_then(|n| u32::try_from((warm + n) % of).ok());
        let mine = |l: &Lanes| {
            let all = (before(l.first + l.count) - before(l.first)) * self.size;
            if last_lane.is_some_and(|lane| l.hold(lane)) { all - missing } else { all }
        };
        Some(Counted {
            items: lanes.iter().map(mine).collect(),
            last: (warm + measured).checked_sub(1).and_then(|n| self.at(n)).map(after).unwrap_or_default(),
            measured_until,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use fluxfleet_proto::arrival::{Process, Profile, Stage};
    use proptest::prelude::*;

    use super::super::open::tests::any_limits;
    use super::super::open::{count, lanes};
    use super::*;

    proptest! {
        #[test]
        fn even_arrivals_are_counted_alike_with_and_without_walking(
            stages in proptest::collection::vec((0.0f64..300.0, 0.5f64..300.0, 1u64..4), 1..4), endless: bool,
            limits in any_limits(), items in proptest::option::of(0u64..900), size in 1u32..5,
            threads in proptest::collection::vec(1u32..5, 1..6),
        ) {
            let mut stages: Vec<Stage> = stages
                .into_iter()
                .map(|(from, to, s)| Stage { from, to, length: Some(Duration::from_secs(s)) })
                .collect();
            if endless {
                stages.push(Stage { from: 77.7, to: 77.7, length: None });
            }
            let profile = Profile::try_new(stages).expect("a profile");
            let arrivals = Arrivals::Drawn { process: Process::Constant, profile, seed: 0 };
            let lanes = lanes(&threads, &vec![1; threads.len()]);
            let size = NonZeroU32::new(size).expect("from 1");
            let walked = count(&arrivals, items, size, limits, &lanes, usize::MAX);
            let even = Even { arrivals: &arrivals, size: size.get().into() }.count(items, limits, &lanes);
            prop_assert_eq!(walked, even);
        }
    }
}
