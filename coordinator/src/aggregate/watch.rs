//! Places the agents' samples on the coordinator's clock.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::ClockOffset;
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::reading::{HostSample, Occasion};

use super::PlacedSample;

/// Samples of all agents so far.
#[derive(Debug, Default)]
pub struct SampleMerge {
    samples: Vec<PlacedSample>,
    agents: BTreeMap<PeerId, Account>,
}

/// What one agent delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    next: u64,
    received: u64,
    gaps: u64,
}

impl SampleMerge {
    /// Adds a sample. One that was merged before changes nothing; numbers left out are counted as a gap.
    pub fn sample(&mut self, agent: PeerId, clock: ClockOffset, sample: HostSample) {
        let account = self.agents.entry(agent).or_default();
        if sample.seq < account.next {
            return;
        }
        account.gaps = account.gaps.saturating_add(sample.seq - account.next);
        account.next = sample.seq.saturating_add(1);
        account.received += 1;
        self.samples.push(PlacedSample {
            agent,
            at: clock.to_local(sample.taken),
            error_ns: clock.error_ns,
            sample,
        });
    }

    /// Counts the samples up to `last` that have not come as taken and dropped.
    pub fn gap(&mut self, agent: PeerId, last: u64) {
        let account = self.agents.entry(agent).or_default();
        if last >= account.next {
            account.gaps = account.gaps.saturating_add((last - account.next).saturating_add(1));
            account.next = last.saturating_add(1);
        }
    }

    /// Samples received from an agent, and samples it took and could not deliver.
    pub fn account(&self, agent: PeerId) -> (u64, u64) {
        let account = self.agents.get(&agent).copied().unwrap_or_default();
        (account.received, account.gaps)
    }

    /// The latest sample of any agent's normal lane.
    pub fn latest(&self) -> Option<&PlacedSample> {
        self.samples.iter().rfind(|placed| placed.sample.occasion == Occasion::Normal)
    }

    /// All samples by time.
    pub fn finish(mut self) -> Vec<PlacedSample> {
        self.samples.sort_by_key(|s| s.at);
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::clock::Mono;

    const CLOCK: ClockOffset = ClockOffset { offset_ns: -5, error_ns: 1 };

    fn sample(seq: u64, taken: i64) -> HostSample {
        HostSample::new(seq, Occasion::Normal, Mono::from_nanos(taken))
    }

    #[test]
    fn repetitions_count_once_and_holes_count_as_gaps() {
        let (a, b) = (PeerId(1), PeerId(2));
        let mut merge = SampleMerge::default();
        merge.sample(b, CLOCK, sample(0, 50));
        merge.sample(a, CLOCK, sample(0, 10));
        merge.sample(a, CLOCK, sample(0, 10));
        merge.sample(a, CLOCK, sample(3, 40));
        merge.gap(a, 6);
        merge.gap(a, 6);
        merge.sample(a, CLOCK, sample(7, 60));
        assert_eq!(merge.account(a), (3, 5));
        assert_eq!(merge.account(b), (1, 0));
        let at: Vec<_> = merge.finish().iter().map(|s| s.at.as_nanos()).collect();
        assert_eq!(at, [15, 45, 55, 65]);
    }

    #[test]
    fn an_absurd_number_is_counted_and_stops_nothing() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        merge.gap(a, u64::MAX);
        merge.sample(a, CLOCK, sample(u64::MAX, 10));
        merge.gap(a, u64::MAX);
        assert_eq!(merge.account(a), (1, u64::MAX));
    }
}
