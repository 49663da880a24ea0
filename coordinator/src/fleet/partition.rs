//! Who gets which share. Pure.

use std::num::NonZeroU32;

use fluxfleet_proto::trial::Share;

/// Splits `total` into one part per weight, in proportion, exactly: the parts add up to `total`, and a part of
/// weight 0 is 0. Where proportions do not divide evenly the largest remainders get one more, the earlier part
/// first (Hamilton's method). All weights 0 gives all parts 0.
pub fn split(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |w: u64| u128::from(total) * u128::from(w);
    let mut parts: Vec<u64> =
        weights.iter().map(|&w| u64::try_from(exact(w) / sum).unwrap_or(u64::MAX)).collect();
    let left = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(exact(weights[i]) % sum));
    // Fewer are left over than there are parts with a remainder, so none of weight 0 is reached.
    for &i in order.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[i] += 1;
    }
    parts
}

/// Splits a trial over workers of these thread counts: requests in flight by threads, requests by the share in
/// flight (so that all workers end at about the same time), items by requests. Only the last request of the
/// fleet may be short, as if there were one worker.
pub fn split_trial(
    items: u64,
    in_flight: NonZeroU32,
    items_per_request: NonZeroU32,
    threads: &[u32],
) -> Vec<Share> {
    let size = u64::from(items_per_request.get());
    let weights: Vec<u64> = threads.iter().map(|&t| u64::from(t)).collect();
    let slots = split(in_flight.get().into(), &weights);
    let requests = split(items.div_ceil(size), &slots);
    let mut first_item = 0;
    slots
        .iter()
        .zip(requests)
        .map(|(&slots, requests)| {
            let mine = (requests * size).min(items - first_item);
            let share =
                Share { first_item, items: mine, in_flight: u32::try_from(slots).unwrap_or(u32::MAX) };
            first_item += mine;
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(
            items in 0u64..10_000,
            in_flight in 1u32..500,
            size in 1u32..9,
            threads in proptest::collection::vec(1u32..9, 1..40),
        ) {
            let non_zero = |n| NonZeroU32::new(n).expect("from 1");
            let shares = split_trial(items, non_zero(in_flight), non_zero(size), &threads);
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
        }

        #[test]
        fn parts_differ_from_their_proportion_by_less_than_one(
            total in 0u64..100_000, weights in proptest::collection::vec(0u64..50, 1..20),
        ) {
            let sum: u64 = weights.iter().sum();
            for (part, weight) in split(total, &weights).into_iter().zip(&weights) {
                if sum == 0 {
                    prop_assert_eq!(part, 0);
                } else {
                    let exact = total as f64 * *weight as f64 / sum as f64;
                    prop_assert!((part as f64 - exact).abs() < 1.0);
                }
            }
        }
    }

    #[test]
    fn more_workers_than_slots_leaves_the_rest_idle() {
        let one = NonZeroU32::MIN;
        let shares = split_trial(20, NonZeroU32::new(3).expect("3"), one, &[1, 1, 1, 1, 1]);
        let items: Vec<_> = shares.iter().map(|s| (s.in_flight, s.items)).collect();
        assert_eq!(items, [(1, 7), (1, 7), (1, 6), (0, 0), (0, 0)]);
    }

    #[test]
    fn a_worker_with_more_slots_gets_more_items() {
        let one = NonZeroU32::MIN;
        let shares = split_trial(20, NonZeroU32::new(3).expect("3"), one, &[1, 1]);
        let items: Vec<_> = shares.iter().map(|s| (s.in_flight, s.items)).collect();
        assert_eq!(items, [(2, 13), (1, 7)]);
    }
}
