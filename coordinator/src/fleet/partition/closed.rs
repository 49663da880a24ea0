//! A number of requests in flight, split.

use fluxfleet_proto::load::{Limits, Load, Warmup};
use fluxfleet_proto::trial::Share;

use super::{Demand, Division, Portion};

pub(super) fn split(demand: &Demand<'_>, threads: &[u32]) -> Division {
    let size = u64::from(demand.items_per_request.get());
    let weights: Vec<u64> = threads.iter().map(|&t| u64::from(t)).collect();
    let slots = super::split(demand.in_flight.get().into(), &weights);
    let items: Vec<u64> = match demand.items {
        Some(items) => in_requests(items, size, &slots),
        None => slots.iter().map(|&s| if s > 0 { Share::UNBOUNDED } else { 0 }).collect(),
    };
    let warmups: Vec<Warmup> = match demand.limits.warmup {
        Warmup::Items(n) => in_requests(n, size, &slots).into_iter().map(Warmup::Items).collect(),
        same => vec![same; slots.len()],
    };
    let mut first_item = 0;
    let mut portions = Vec::with_capacity(slots.len());
    for ((slots, items), warmup) in slots.into_iter().zip(items).zip(warmups) {
        portions.push(Portion {
            share: Share { first_item, items, in_flight: u32::try_from(slots).unwrap_or(u32::MAX) },
            load: Load::Closed,
            limits: Limits { warmup, duration: demand.limits.duration },
        });
        first_item += items;
    }
    let warm_time = match demand.limits.warmup {
        Warmup::None => Some(std::time::Duration::ZERO),
        Warmup::Time(time) => Some(time),
        Warmup::Items(_) => None,
    };
    let sends_until = warm_time.zip(demand.limits.duration).map(|(warm, measured)| warm + measured);
    Division { portions, sends_until }
}

/// Items in whole requests by the slots; the last part takes what is left of the last request.
fn in_requests(items: u64, size: u64, slots: &[u64]) -> Vec<u64> {
    let mut left = items;
    super::split(items.div_ceil(size), slots)
        .into_iter()
        .map(|requests| {
            let mine = (requests * size).min(left);
            left -= mine;
            mine
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::PlannedLoad;

    fn demand(items: Option<u64>, in_flight: u32, size: u32, limits: Limits) -> Demand<'static> {
        let non_zero = |n| NonZeroU32::new(n).expect("from 1");
        Demand {
            load: &PlannedLoad::Closed,
            items,
            limits,
            in_flight: non_zero(in_flight),
            items_per_request: non_zero(size),
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(
            items in 0u64..10_000, warm in 0u64..1000, in_flight in 1u32..500, size in 1u32..9,
            threads in proptest::collection::vec(1u32..9, 1..40),
        ) {
            let limits = Limits { warmup: Warmup::Items(warm), duration: None };
            let division = split(&demand(Some(items), in_flight, size, limits), &threads);
            let shares: Vec<Share> = division.portions.iter().map(|p| p.share).collect();
            prop_assert_eq!(shares.iter().map(|s| s.items).sum::<u64>(), items);
            prop_assert_eq!(shares.iter().map(|s| s.in_flight).sum::<u32>(), in_flight);
            let mut next = 0;
            let mut short = 0;
            for share in &shares {
                prop_assert!(share.in_flight > 0 || share.items == 0);
                prop_assert_eq!(share.first_item, next);
                next += share.items;
                short += u32::from(share.items % u64::from(size) != 0);
            }
            prop_assert!(short <= 1, "only the fleet's last request may be short");
            let warmed = division.portions.iter().map(|p| match p.limits.warmup {
                Warmup::Items(n) => n,
                other => panic!("{other:?}"),
            });
            prop_assert_eq!(warmed.sum::<u64>(), warm);
        }
    }

    #[test]
    fn more_workers_than_slots_leaves_the_rest_idle() {
        let division = split(&demand(Some(20), 3, 1, Limits::default()), &[1, 1, 1, 1, 1]);
        let items: Vec<_> = division.portions.iter().map(|p| (p.share.in_flight, p.share.items)).collect();
        assert_eq!(items, [(1, 7), (1, 7), (1, 6), (0, 0), (0, 0)]);
        assert_eq!(division.sends_until, None);
    }

    #[test]
    fn a_worker_with_more_slots_gets_more_items() {
        let division = split(&demand(Some(20), 3, 1, Limits::default()), &[1, 1]);
        let items: Vec<_> = division.portions.iter().map(|p| (p.share.in_flight, p.share.items)).collect();
        assert_eq!(items, [(2, 13), (1, 7)]);
    }

    #[test]
    fn a_load_that_ends_by_time_alone_bounds_nobody_and_numbers_items_apart() {
        let second = Duration::from_secs(1);
        let limits = Limits { warmup: Warmup::Time(second), duration: Some(9 * second) };
        let division = split(&demand(None, 2, 4, limits), &[1, 1, 1]);
        let shares: Vec<Share> = division.portions.iter().map(|p| p.share).collect();
        assert_eq!(shares[0].planned(), None);
        assert_eq!((shares[1].first_item, shares[1].in_flight), (Share::UNBOUNDED, 1));
        assert_eq!((shares[2].items, shares[2].in_flight), (0, 0));
        assert!(division.portions.iter().all(|p| p.limits == limits));
        assert_eq!(division.sends_until, Some(10 * second));
        let both = split(&demand(Some(8), 2, 4, limits), &[1, 1]);
        assert_eq!(both.portions[1].share, Share { first_item: 4, items: 4, in_flight: 1 });
        assert_eq!(both.portions[1].limits.duration, Some(9 * second));
    }
}
