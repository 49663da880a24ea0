//! One sequence of arrivals, split by lanes.

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Lanes, Process};
use fluxfleet_proto::load::{Limits, Load, NO_LIMIT, OpenLoad, Warmup, WhenFull};
use fluxfleet_proto::tally::Phase;
use fluxfleet_proto::trial::Share;

use super::even::Even;
use super::{Demand, Division, Portion};

/// Most arrivals that are walked to count who gets what: a fraction of a second.
const MOST_WALKED: usize = 5_000_000;
/// Most lanes of one worker; no machine has so many cores.
const MOST_LANES: u32 = 4096;

pub(super) fn split(
    demand: &Demand<'_>,
    arrivals: &Arrivals,
    when_full: WhenFull,
    threads: &[u32],
) -> Division {
    let size = demand.items_per_request;
    let arrivals = arrivals.in_requests(size);
    let in_flight = places(demand.in_flight.get(), threads);
    let lanes = lanes(threads, &in_flight);
    let counted = count(&arrivals, demand.items, size, demand.limits, &lanes, MOST_WALKED);
    let portion = |(at, (&lanes, &in_flight)): (usize, (&Lanes, &u32))| {
        let items = match &counted {
            _ if lanes.count == 0 => 0,
            Some(counted) => counted.items[at].min(Share::UNBOUNDED),
            None => Share::UNBOUNDED,
        };
        Portion {
            share: Share { first_item: 0, items, in_flight },
            load: Load::Open(OpenLoad { arrivals: arrivals.clone(), lanes, items: demand.items, when_full }),
            limits: demand.limits,
        }
    };
    // An arrival that waits for a place is sent when one comes free, up to the end of the measured time.
    let may_wait = when_full == WhenFull::Wait && demand.in_flight.get() != NO_LIMIT;
    let by_time = match demand.limits.warmup {
        Warmup::None => demand.limits.duration,
        Warmup::Time(time) => demand.limits.duration.map(|d| time + d),
        Warmup::Items(_) => counted.as_ref().and_then(|c| c.measured_until),
    };
    let last = counted.as_ref().map(|c| c.last).or_else(|| arrivals.length()).filter(|_| !may_wait);
    Division {
        portions: lanes.iter().zip(&in_flight).enumerate().map(portion).collect(),
        sends_until: by_time.into_iter().chain(last).min(),
    }
}

/// The limit in flight by threads, at least 1 for each worker; a limit below the number of workers gives the last
/// ones none.
fn places(limit: u32, threads: &[u32]) -> Vec<u32> {
    if limit == NO_LIMIT {
        return vec![NO_LIMIT; threads.len()];
    }
    let with_lanes = threads.len().min(limit as usize);
    let weights: Vec<u64> = threads[..with_lanes].iter().map(|&t| u64::from(t).max(1)).collect();
    let mut parts = super::split(limit.into(), &weights);
    while let Some(poor) = parts.iter().position(|&p| p == 0) {
        // There are as many places as workers at least, so somebody has two.
        let Some(rich) = (0..parts.len()).max_by_key(|&i| parts[i]).filter(|&i| parts[i] > 1) else { break };
        parts[rich] -= 1;
        parts[poor] = 1;
    }
    parts.resize(threads.len(), 0);
    parts.into_iter().map(|p| u32::try_from(p).unwrap_or(u32::MAX)).collect()
}

/// The threads of all workers that may have anything in flight, in order.
pub(super) fn lanes(threads: &[u32], in_flight: &[u32]) -> Vec<Lanes> {
    let count = |(&threads, &places): (&u32, &u32)| if places > 0 { threads.clamp(1, MOST_LANES) } else { 0 };
    let counts: Vec<u32> = threads.iter().zip(in_flight).map(count).collect();
    let of = counts.iter().sum::<u32>().max(1);
    let mut first = 0;
    counts
        .into_iter()
        .map(|count| {
            let lanes = Lanes { first, count, of };
            first += count;
            lanes
        })
        .collect()
}

/// What the arrivals bring each worker.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    /// Items of the measured phase, one number per worker.
    pub(super) items: Vec<u64>,
    /// Just after the last arrival.
    pub(super) last: Duration,
    /// When the measured time is up, as far as a time limits it.
    pub(super) measured_until: Option<Duration>,
}

/// Counts by the rule that workers follow. `None`: there are more arrivals than are walked, and no shorter way.
pub(super) fn count(
    arrivals: &Arrivals,
    items: Option<u64>,
    size: NonZeroU32,
    limits: Limits,
    lanes: &[Lanes],
    most_walked: usize,
) -> Option<Counted> {
    let of = lanes.first().map_or(1, |l| l.of);
    // A lane's worker.
    let owners: Vec<usize> =
        lanes.iter().enumerate().flat_map(|(at, l)| (0..l.count).map(move |_| at)).collect();
    let mut counted = Counted { items: vec![0; lanes.len()], last: Duration::ZERO, measured_until: None };
    let mut walk = arrivals.sequence(of).phases(size, items, limits);
    for planned in walk.by_ref().take(most_walked) {
        counted.last = after(planned.arrival.at);
        if planned.phase == Phase::Measure {
            counted.items[owners[planned.arrival.lane as usize]] += u64::from(planned.items);
        }
    }
    counted.measured_until = walk.measured_until();
    if walk.next().is_none() {
        return Some(counted);
    }
    match arrivals {
        Arrivals::Drawn { process: Process::Constant, .. } => {
            Even { arrivals, size: size.get().into() }.count(items, limits, lanes)
        }
        Arrivals::Drawn { .. } | Arrivals::Replay(_) => None,
    }
}

/// An arrival takes place before this.
pub(super) fn after(at: Duration) -> Duration {
    at + Duration::from_nanos(1)
}

#[cfg(test)]
pub(super) mod tests {
    use fluxfleet_proto::arrival::{Profile, Stage};
    use proptest::prelude::*;

    use super::*;
    use crate::plan::PlannedLoad;

    fn drawn(process: Process, rate: f64) -> Arrivals {
        Arrivals::Drawn { process, profile: Profile::steady(rate).expect("a rate"), seed: 4 }
    }

    fn seconds(s: u64) -> Limits {
        Limits { warmup: Warmup::None, duration: Some(Duration::from_secs(s)) }
    }

    fn division(
        load: &PlannedLoad,
        items: Option<u64>,
        limits: Limits,
        most: u32,
        threads: &[u32],
    ) -> Division {
        let non_zero = |n| NonZeroU32::new(n).expect("from 1");
        super::super::split_trial(
            &Demand { load, items, limits, in_flight: non_zero(most), items_per_request: non_zero(4) },
            threads,
        )
    }

    fn open(arrivals: Arrivals, when_full: WhenFull) -> PlannedLoad {
        PlannedLoad::Open { arrivals, when_full }
    }

    #[test]
    fn a_rate_counts_items_so_that_every_strategy_is_asked_for_the_same_work() {
        let load = open(drawn(Process::Constant, 100.0), WhenFull::Wait);
        let division = division(&load, None, seconds(10), NO_LIMIT, &[1, 3]);
        // 25 requests a second of 4 items each, over four lanes.
        let items: Vec<_> = division.portions.iter().map(|p| p.share.items).collect();
        assert_eq!(items, [63 * 4, 187 * 4]);
        assert!(division.portions.iter().all(|p| p.share.in_flight == NO_LIMIT));
        let last = Duration::from_millis(249 * 40) + Duration::from_nanos(1);
        assert_eq!(division.sends_until, Some(last));
    }

    #[test]
    fn a_replays_entries_are_requests_whatever_their_size() {
        let times: Vec<_> = (0..10).map(Duration::from_secs).collect();
        let load = open(Arrivals::Replay(times.into()), WhenFull::Wait);
        let division = division(&load, None, Limits::default(), NO_LIMIT, &[1, 1]);
        assert_eq!(division.portions.iter().map(|p| p.share.items).sum::<u64>(), 40);
    }

    #[test]
    fn a_limit_below_the_number_of_workers_leaves_the_surplus_without_lanes() {
        let load = open(drawn(Process::Poisson, 40.0), WhenFull::Drop);
        let division = division(&load, None, seconds(10), 2, &[4, 2, 8]);
        let lanes: Vec<_> = division
            .portions
            .iter()
            .map(|p| match &p.load {
                Load::Open(open) => (open.lanes.first, open.lanes.count, open.lanes.of, p.share.in_flight),
                Load::Closed => panic!("closed"),
            })
            .collect();
        assert_eq!(lanes, [(0, 4, 6, 1), (4, 2, 6, 1), (6, 0, 6, 0)]);
        assert_eq!(division.portions[2].share.items, 0);
    }

    #[test]
    fn what_may_wait_for_a_place_has_no_end_but_the_measured_time() {
        let stage = Stage { from: 40.0, to: 40.0, length: Some(Duration::from_secs(5)) };
        let profile = Profile::try_new(vec![stage]).expect("a profile");
        let arrivals = Arrivals::Drawn { process: Process::Constant, profile, seed: 0 };
        let waits = open(arrivals.clone(), WhenFull::Wait);
        assert_eq!(division(&waits, None, Limits::default(), 8, &[1]).sends_until, None);
        assert_eq!(division(&waits, None, seconds(9), 8, &[1]).sends_until, Some(Duration::from_secs(9)));
        let drops = division(&open(arrivals, WhenFull::Drop), None, seconds(9), 8, &[1]).sends_until;
        assert!(drops.is_some_and(|end| end < Duration::from_secs(5)), "{drops:?}");
    }

    #[test]
    fn random_arrivals_too_many_to_walk_are_not_counted_and_even_ones_are() {
        let lanes = [Lanes { first: 0, count: 1, of: 3 }, Lanes { first: 1, count: 2, of: 3 }];
        let count = |process| {
            count(&drawn(process, 1e6), None, NonZeroU32::MIN, seconds(3600), &lanes, 1000).map(|c| c.items)
        };
        assert_eq!(count(Process::Poisson), None);
        assert_eq!(count(Process::Constant), Some(vec![1_200_000_000, 2_400_000_000]));
    }

    pub(in super::super) fn any_limits() -> impl Strategy<Value = Limits> {
        let warmup = prop_oneof![
            Just(Warmup::None),
            (0u64..2_000).prop_map(|ms| Warmup::Time(Duration::from_millis(ms))),
            (0u64..300).prop_map(Warmup::Items),
        ];
        let duration = (1u64..4_000).prop_map(|ms| Some(Duration::from_millis(ms)));
        (warmup, duration).prop_map(|(warmup, duration)| Limits { warmup, duration })
    }

    proptest! {
        #[test]
        fn the_shares_are_the_whole_and_the_limit_holds_over_any_fleet(
            which in 0usize..4, rate in 1.0f64..400.0, most in 1u32..40, unlimited: bool,
            limits in any_limits(), items in proptest::option::of(1u64..900),
            threads in proptest::collection::vec(1u32..5, 1..12),
        ) {
            let arrivals = match which {
                0 => drawn(Process::Constant, rate),
                1 => drawn(Process::Poisson, rate),
                2 => drawn(Process::Gamma { shape: 0.4 }, rate),
                _ => Arrivals::Replay((0..200).map(|n| Duration::from_millis(n * 7)).collect()),
            };
            let load = open(arrivals, WhenFull::Wait);
            let most = if unlimited { NO_LIMIT } else { most };
            let fleet = division(&load, items, limits, most, &threads);
            let alone = division(&load, items, limits, NO_LIMIT, &[1]);
            let sum = |d: &Division| d.portions.iter().map(|p| p.share.items).sum::<u64>();
            prop_assert_eq!(sum(&fleet), sum(&alone));
            if unlimited {
                prop_assert!(fleet.portions.iter().all(|p| p.share.in_flight == NO_LIMIT));
            } else {
                prop_assert_eq!(fleet.portions.iter().map(|p| p.share.in_flight).sum::<u32>(), most);
            }
            let mut next = 0;
            for portion in &fleet.portions {
                let Load::Open(open) = &portion.load else { panic!("closed") };
                prop_assert_eq!(open.lanes.first, next);
                prop_assert_eq!(open.lanes.count > 0, portion.share.in_flight > 0);
                next += open.lanes.count;
                // What the worker itself will make of its lanes.
                let size = NonZeroU32::new(4).expect("4");
                let mine = open.phases(size, portion.limits).filter(|p| open.lanes.hold(p.arrival.lane));
                let mine: u64 =
                    mine.filter(|p| p.phase == Phase::Measure).map(|p| u64::from(p.items)).sum();
                prop_assert_eq!(mine, portion.share.items);
            }
            let Load::Open(open) = &fleet.portions[0].load else { panic!("closed") };
            prop_assert_eq!(next, open.lanes.of, "every lane has a worker");
        }
    }
}
