//! Who gets which share. Pure.
//!
//! Closed loads are split by requests in flight, open loads by lanes of one sequence of arrivals; either way the
//! parts are the whole, whatever the fleet.

mod closed;
mod even;
mod open;

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::load::{Limits, Load};
use fluxfleet_proto::trial::Share;

use crate::plan::PlannedLoad;

/// A trial of the whole fleet.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// When its requests start; an open load's rate is in items a second.
    pub load: &'a PlannedLoad,
    /// Items of the measured phase. `None`: time or arrivals end it.
    pub items: Option<u64>,
    /// Warm-up and measured time.
    pub limits: Limits,
    /// Requests in flight; in an open load the most at a time.
    pub in_flight: NonZeroU32,
    /// Items of a full request.
    pub items_per_request: NonZeroU32,
}

/// One worker's part of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Portion {
    /// How much.
    pub share: Share,
    /// When its requests start.
    pub load: Load,
    /// Warm-up and measured time.
    pub limits: Limits,
}

/// A trial, split.
#[derive(Clone, Debug, PartialEq)]
pub struct Division {
    /// One part per worker, in order.
    pub portions: Vec<Portion>,
    /// From then on, since the start, no request is sent. `None`: that depends on the service, or on chance.
    pub sends_until: Option<Duration>,
}

/// Splits a trial over workers of these thread counts.
///
/// - A closed load: requests in flight by threads, requests by the share in flight (so that all workers end at
///   about the same time), items by requests. Only the last request of the fleet may be short, as if there were
///   one worker. Without a number of items each worker has [`Share::UNBOUNDED`] of them, numbered apart.
/// - An open load: one lane per thread; the limit in flight by threads, at least 1 for each worker with lanes.
///   A limit below the number of workers leaves the last ones without lanes. A worker's items are counted by
///   walking the arrivals; when these are random and too many to walk, they are
///   [`Share::UNBOUNDED`]: not known.
pub fn split_trial(demand: &Demand<'_>, threads: &[u32]) -> Division {
    match demand.load {
        PlannedLoad::Closed => closed::split(demand, threads),
        PlannedLoad::Open { arrivals, when_full } => open::split(demand, arrivals, *when_full, threads),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
}
