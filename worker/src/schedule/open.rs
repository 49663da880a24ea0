//! Open load: the arrivals of one load thread.

use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::arrival::{Lanes, Phases, Planned};
use fluxfleet_proto::load::{Limits, OpenLoad};

use crate::claim::Claim;
use crate::pacer::Due;

/// Those of the fleet's arrivals that a thread sends: every `threads`-th of the worker's lanes.
#[derive(Debug)]
pub(crate) struct Arrivals {
    phases: Phases,
    lanes: Lanes,
    thread: u32,
    threads: u32,
    /// When the stages of a staged load are over.
    length: Option<Duration>,
}

impl Arrivals {
    /// The arrivals of thread `thread` out of `threads` (a thread beyond them has none); `size` items a full request.
    pub(crate) fn new(
        load: &OpenLoad,
        limits: Limits,
        size: NonZeroU32,
        (thread, threads): (usize, usize),
    ) -> Self {
        let length = match &load.arrivals {
            fluxfleet_proto::arrival::Arrivals::Drawn { profile, .. } => profile.length(),
            // The last entry of a list is an arrival, not an end.
            fluxfleet_proto::arrival::Arrivals::Replay(_) => None,
        };
        Self {
            phases: load.phases(size, limits),
            lanes: load.lanes,
            thread: u32::try_from(thread).unwrap_or(u32::MAX),
            threads: u32::try_from(threads).unwrap_or(u32::MAX),
            length,
        }
    }

    fn is_mine(&self, lane: u32) -> bool {
        self.lanes.hold(lane) && (lane - self.lanes.first) % self.threads == self.thread
    }
}

impl crate::pacer::Arrivals for Arrivals {
    fn time_up(&self) -> Option<Duration> {
        match (self.phases.measured_until(), self.length) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Iterator for Arrivals {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        // None of the lanes is its own; not to be found out by walking all of them.
        if self.thread >= self.threads {
            return None;
        }
        loop {
            let Planned { arrival, phase, first_item, items } = self.phases.next()?;
            if self.is_mine(arrival.lane) {
                let claim = Claim { phase, first: first_item, items };
                return Some(Due { at: arrival.at, lane: arrival.lane, claim });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::arrival::{Arrivals as Process, Process as Spacing, Profile};
    use fluxfleet_proto::load::{Warmup, WhenFull};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_threads_of_all_workers_send_every_arrival_once(
            workers in proptest::collection::vec((1u32..4, 1usize..5), 1..4), seed: u64, poisson: bool,
        ) {
            let process = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let of = workers.iter().map(|w| w.0).sum();
            let limits = Limits { warmup: Warmup::Items(7), duration: Some(Duration::from_secs(2)) };
            let mut first = 0;
            let mut sent = Vec::new();
            for (count, threads) in workers {
                let load = OpenLoad {
                    arrivals: Process::Drawn { process, profile: Profile::steady(100.0).unwrap(), seed },
                    lanes: Lanes { first, count, of },
                    items: None,
                    when_full: WhenFull::Wait,
                };
                first += count;
                for thread in 0..threads {
                    let mine = Arrivals::new(&load, limits, NonZeroU32::MIN, (thread, threads));
                    sent.extend(mine.map(|due| (due.at, due.claim)));
                }
            }
            sent.sort_by_key(|s| s.0);
            let arrivals = Process::Drawn { process, profile: Profile::steady(100.0).unwrap(), seed };
            let whole: Vec<_> = arrivals
                .sequence(of)
                .phases(NonZeroU32::MIN, None, limits)
                .map(|p| (p.arrival.at, Claim { phase: p.phase, first: p.first_item, items: p.items }))
                .collect();
            prop_assert_eq!(sent, whole);
        }
    }
}
