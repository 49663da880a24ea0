//! Which arrivals take place: warm-up, measured phase, end.

use std::iter::FusedIterator;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Arrival, Sequence};
use crate::load::{Limits, OpenLoad, Warmup};
use crate::tally::Phase;

/// An arrival that takes place, and what its request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Index, instant and lane.
    pub arrival: Arrival,
    /// Which phase it belongs to.
    pub phase: Phase,
    /// Index of its first item. The two phases number theirs apart, each from 0, over the whole fleet.
    pub first_item: u64,
    /// Items it asks for: a full request's, or fewer in a phase's last one. At least 1.
    pub items: u32,
}

/// The arrivals of a fleet's open load that take place, in order. The coordinator counts them to know each
/// worker's share; workers send those of their lanes.
///
/// - With [`Warmup::Time`], arrivals meant to start before that has passed are warm-up, each a full request. With
///   [`Warmup::Items`], the first arrivals are, until they ask for that many items; the last one may be short.
/// - What comes after is measured: arrival `m` of it asks for the items from `m` times a full request's on, as far
///   as there are items.
/// - The measured phase ends with its items, with its time, or with the sequence, whichever is first. Its time
///   begins when a [`Warmup::Time`] ends; with its first arrival after [`Warmup::Items`]; else with the trial.
#[derive(Clone, Debug)]
pub struct Phases<'a> {
    arrivals: Sequence<'a>,
    size: u64,
    items: Option<u64>,
    warmup: Warmup,
    duration: Option<Duration>,
    measured_from: Option<Duration>,
    // Items that the arrivals so far ask for.
    warm: u64,
    measured: u64,
    over: bool,
}

impl<'a> Sequence<'a> {
    /// Those arrivals that take place. `size`: items of a full request; `items`: of the fleet's measured phase.
    pub fn phases(self, size: NonZeroU32, items: Option<u64>, limits: Limits) -> Phases<'a> {
        let measured_from = match limits.warmup {
            Warmup::None | Warmup::Items(0) => Some(Duration::ZERO),
            Warmup::Time(length) => Some(length),
            Warmup::Items(_) => None,
        };
        Phases {
            arrivals: self,
            size: size.get().into(),
            items,
            warmup: limits.warmup,
            duration: limits.duration,
            measured_from,
            warm: 0,
            measured: 0,
            over: false,
        }
    }
}

impl OpenLoad {
    /// The whole fleet's arrivals that take place; those of [`lanes`](Self::lanes) are this worker's.
    pub fn phases(&self, size: NonZeroU32, limits: Limits) -> Phases<'_> {
        self.arrivals.sequence(self.lanes.of).phases(size, self.items, limits)
    }
}

impl Phases<'_> {
    /// When measuring begins, since the start. `None`: with an arrival that has not been reached yet.
    pub fn measured_from(&self) -> Option<Duration> {
        self.measured_from
    }

    /// When the measured phase's time is up, since the start: nothing is meant to start from then on. `None`: no
    /// time limits it, or it is not known yet when it begins.
    pub fn measured_until(&self) -> Option<Duration> {
        Some(self.measured_from?.saturating_add(self.duration?))
    }

    /// What the arrival asks for; `None`: it does not take place, nor does any after it.
    fn plan(&mut self, arrival: Arrival) -> Option<Planned> {
        let warm_items = match self.warmup {
            Warmup::None => None,
            Warmup::Time(length) => (arrival.at < length).then_some(self.size),
            // The last one may be short.
            Warmup::Items(all) => Some(self.size.min(all.saturating_sub(self.warm))),
        };
        if let Some(items) = warm_items.filter(|n| *n > 0) {
            let first_item = self.warm;
            self.warm = self.warm.saturating_add(items);
            return planned(arrival, Phase::Warmup, first_item, items);
        }
        self.measured_from.get_or_insert(arrival.at);
        if self.measured_until().is_some_and(|end| arrival.at >= end) {
            return None;
        }
        let first_item = self.measured;
        let left = self.items.map_or(u64::MAX, |all| all.saturating_sub(first_item));
        let items = self.size.min(left);
        if items == 0 {
            return None;
        }
        self.measured = first_item.saturating_add(items);
        planned(arrival, Phase::Measure, first_item, items)
    }
}

fn planned(arrival: Arrival, phase: Phase, first_item: u64, items: u64) -> Option<Planned> {
    Some(Planned { arrival, phase, first_item, items: u32::try_from(items).ok()? })
}

impl Iterator for Phases<'_> {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        if self.over {
            return None;
        }
        let next = self.arrivals.next().and_then(|arrival| self.plan(arrival));
        self.over = next.is_none();
        next
    }
}

impl FusedIterator for Phases<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::{Arrivals, Lanes, Process, Profile, Stage};
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn every(ms: u32) -> Arrivals {
        Arrivals::constant(1000.0 / f64::from(ms)).expect("a rate")
    }

    fn phases(arrivals: &Arrivals, size: u32, items: Option<u64>, limits: Limits) -> Vec<Planned> {
        let size = NonZeroU32::new(size).expect("from 1");
        arrivals.sequence(1).phases(size, items, limits).take(100_000).collect()
    }

    fn asks(planned: &[Planned], phase: Phase) -> Vec<(u128, u64, u32)> {
        let of = planned.iter().filter(|p| p.phase == phase);
        of.map(|p| (p.arrival.at.as_millis(), p.first_item, p.items)).collect()
    }

    #[test]
    fn the_last_request_of_the_items_is_short_and_nothing_follows_it() {
        let all = phases(&every(10), 4, Some(10), Limits::default());
        assert_eq!(asks(&all, Phase::Measure), [(0, 0, 4), (10, 4, 4), (20, 8, 2)]);
        assert_eq!(all.len(), 3);
        assert_eq!(phases(&every(10), 4, Some(0), Limits::default()), []);
    }

    #[test]
    fn a_timed_warm_up_comes_on_top_and_the_measured_time_begins_where_it_ends() {
        let limits = Limits { warmup: Warmup::Time(25 * MS), duration: Some(20 * MS) };
        let all = phases(&every(10), 2, None, limits);
        assert_eq!(asks(&all, Phase::Warmup), [(0, 0, 2), (10, 2, 2), (20, 4, 2)]);
        assert_eq!(asks(&all, Phase::Measure), [(30, 0, 2), (40, 2, 2)]);
    }

    #[test]
    fn a_warm_up_of_items_ends_with_them_and_the_measured_time_begins_with_the_next_arrival() {
        let limits = Limits { warmup: Warmup::Items(5), duration: Some(20 * MS) };
        let arrivals = every(10);
        let all = phases(&arrivals, 2, None, limits);
        assert_eq!(asks(&all, Phase::Warmup), [(0, 0, 2), (10, 2, 2), (20, 4, 1)]);
        assert_eq!(asks(&all, Phase::Measure), [(30, 0, 2), (40, 2, 2)]);
        let mut walk = arrivals.sequence(1).phases(NonZeroU32::MIN, None, limits);
        assert_eq!((walk.measured_from(), walk.measured_until()), (None, None));
        walk.by_ref().for_each(drop);
        assert_eq!((walk.measured_from(), walk.measured_until()), (Some(50 * MS), Some(70 * MS)));
    }

    #[test]
    fn the_sequences_own_end_ends_everything() {
        let arrivals = Arrivals::Replay([0, 3, 3, 9].map(Duration::from_millis).into());
        let limits = Limits { warmup: Warmup::Time(3 * MS), duration: None };
        let all = phases(&arrivals, 1, None, limits);
        assert_eq!(asks(&all, Phase::Warmup), [(0, 0, 1)]);
        assert_eq!(asks(&all, Phase::Measure), [(3, 0, 1), (3, 1, 1), (9, 2, 1)]);
        let warm = Limits { warmup: Warmup::Items(9), duration: Some(MS) };
        assert!(phases(&arrivals, 1, Some(5), warm).iter().all(|p| p.phase == Phase::Warmup));
    }

    fn any_arrivals() -> impl Strategy<Value = Arrivals> {
        let process = prop_oneof![
            Just(Process::Constant),
            Just(Process::Poisson),
            (0.1f64..5.0).prop_map(|shape| Process::Gamma { shape }),
        ];
        let stage = (0.0f64..300.0, 1.0f64..300.0, 1u64..4);
        let drawn = (process, proptest::collection::vec(stage, 1..4), any::<u64>()).prop_map(
            |(process, stages, seed)| {
                let stage = |&(from, to, s): &(f64, f64, u64)| Stage {
                    from,
                    to,
                    length: Some(Duration::from_secs(s)),
                };
                let profile = Profile::try_new(stages.iter().map(stage).collect()).expect("a profile");
                Arrivals::Drawn { process, profile, seed }
            },
        );
        let replay = proptest::collection::vec(0u64..3_000, 0..200).prop_map(|mut ms| {
            ms.sort_unstable();
            Arrivals::Replay(ms.into_iter().map(Duration::from_millis).collect())
        });
        prop_oneof![drawn, replay]
    }

    fn any_limits() -> impl Strategy<Value = Limits> {
        let warmup = prop_oneof![
            Just(Warmup::None),
            (0u64..3_000).prop_map(|ms| Warmup::Time(Duration::from_millis(ms))),
            (0u64..500).prop_map(Warmup::Items),
        ];
        let duration = proptest::option::of((1u64..5_000).prop_map(Duration::from_millis));
        (warmup, duration).prop_map(|(warmup, duration)| Limits { warmup, duration })
    }

    proptest! {
        #[test]
        fn each_phase_numbers_its_items_without_holes_and_keeps_its_bounds(
            arrivals in any_arrivals(), limits in any_limits(), size in 1u32..9, items in proptest::option::of(0u64..900),
        ) {
            let all = phases(&arrivals, size, items, limits);
            let is_prefix = all.iter().map(|p| p.arrival).eq(arrivals.sequence(1).take(all.len()));
            prop_assert!(is_prefix, "arrivals are taken from the front, none is passed over");
            prop_assert!(all.is_sorted_by_key(|p| p.phase), "the warm-up comes first");
            let (warm, measured): (Vec<Planned>, Vec<Planned>) =
                all.iter().partition(|p| p.phase == Phase::Warmup);
            for phase in [&warm, &measured] {
                let mut next = 0;
                for (at, p) in phase.iter().enumerate() {
                    prop_assert_eq!(p.first_item, next);
                    prop_assert!(p.items == size || (p.items < size && at + 1 == phase.len()));
                    next += u64::from(p.items);
                }
            }
            let total = |phase: &[Planned]| phase.iter().map(|p| u64::from(p.items)).sum::<u64>();
            match limits.warmup {
                Warmup::None => prop_assert!(warm.is_empty()),
                Warmup::Time(length) => prop_assert!(warm.iter().all(|p| p.arrival.at < length)),
                Warmup::Items(n) => {
                    prop_assert!(total(&warm) <= n);
                    prop_assert!(measured.is_empty() || total(&warm) == n);
                }
            }
            prop_assert!(items.is_none_or(|n| total(&measured) <= n));
            let begin = match limits.warmup {
                Warmup::None | Warmup::Items(0) => Some(Duration::ZERO),
                Warmup::Time(length) => Some(length),
                Warmup::Items(_) => measured.first().map(|p| p.arrival.at),
            };
            if let (Some(begin), Some(duration)) = (begin, limits.duration) {
                prop_assert!(measured.iter().all(|p| (begin..begin + duration).contains(&p.arrival.at)));
            }
            // What was left out would have broken a bound.
            if let Some(next) = arrivals.sequence(1).nth(all.len()) {
                let no_items = items.is_some_and(|n| total(&measured) == n);
                let no_time = begin.zip(limits.duration).is_some_and(|(b, d)| next.at >= b + d);
                prop_assert!(no_items || no_time);
            }
        }

        #[test]
        fn every_arrival_is_some_workers_exactly_once_whatever_the_fleet(
            arrivals in any_arrivals(), limits in any_limits(), workers in proptest::collection::vec(1u32..5, 1..6),
        ) {
            let of: u32 = workers.iter().sum();
            let size = NonZeroU32::new(3).expect("3");
            let (mut first, mut merged) = (0, Vec::new());
            for count in workers {
                let load = OpenLoad {
                    arrivals: arrivals.clone(),
                    lanes: Lanes { first, count, of },
                    items: Some(600),
                    when_full: crate::load::WhenFull::Wait,
                };
                first += count;
                let mine = load.phases(size, limits).filter(|p| load.lanes.hold(p.arrival.lane));
                merged.extend(mine.map(|p| (p.arrival.index, p.arrival.at, p.phase, p.first_item, p.items)));
            }
            merged.sort_unstable();
            let whole = phases(&arrivals, 3, Some(600), limits);
            let whole: Vec<_> =
                whole.iter().map(|p| (p.arrival.index, p.arrival.at, p.phase, p.first_item, p.items)).collect();
            prop_assert_eq!(merged, whole);
        }
    }
}
