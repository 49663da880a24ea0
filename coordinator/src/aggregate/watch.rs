//! Places the agents' samples on the coordinator's clock.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::reading::HostSample;

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
    newest: Option<Mono>,
}

impl SampleMerge {
    /// Adds a sample. One that was merged before changes nothing (`false`); numbers left out are counted as a gap.
    pub fn sample(&mut self, agent: PeerId, clock: ClockOffset, sample: HostSample) -> bool {
        let account = self.agents.entry(agent).or_default();
        if sample.seq < account.next {
            return false;
        }
        account.gaps = account.gaps.saturating_add(sample.seq - account.next);
        account.next = sample.seq.saturating_add(1);
        account.received += 1;
        let at = clock.to_local(sample.taken);
        account.newest = account.newest.max(Some(at));
        self.samples.push(PlacedSample { agent, at, error_ns: clock.error_ns, sample });
        true
    }

    /// Counts the samples up to `last` that have not come as taken and dropped, and tells how many these are.
    pub fn gap(&mut self, agent: PeerId, last: u64) -> u64 {
        let account = self.agents.entry(agent).or_default();
        if last < account.next {
            return 0;
        }
        let missed = (last - account.next).saturating_add(1);
        account.gaps = account.gaps.saturating_add(missed);
        account.next = last.saturating_add(1);
        missed
    }

    /// The number of the next sample that an agent is expected to send; all before it have come or never will.
    pub fn next(&self, agent: PeerId) -> u64 {
        self.agents.get(&agent).map_or(0, |account| account.next)
    }

    /// When the newest sample received from an agent was taken.
    pub fn newest(&self, agent: PeerId) -> Option<Mono> {
        self.agents.get(&agent).and_then(|account| account.newest)
    }

    /// Samples received from an agent, and samples it took and could not deliver.
    pub fn account(&self, agent: PeerId) -> (u64, u64) {
        let account = self.agents.get(&agent).copied().unwrap_or_default();
        (account.received, account.gaps)
    }

    /// The latest sample of any agent.
    pub fn latest(&self) -> Option<&PlacedSample> {
        self.samples.last()
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
    use fluxfleet_proto::reading::SystemReading;
    use fluxfleet_proto::units::Micros;

    const CLOCK: ClockOffset = ClockOffset { offset_ns: -5, error_ns: 1 };

    fn sample(seq: u64, taken: i64) -> HostSample {
        HostSample {
            seq,
            taken: Mono::from_nanos(taken),
            wall_ns: 0,
            took: Micros(1),
            system: SystemReading {
                cpu_percent: Ok(0.0),
                memory_used_bytes: Ok(0.0),
                memory_total_bytes: Ok(1.0),
            },
            gpus: Vec::new(),
        }
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
    fn what_comes_again_after_a_break_counts_once_and_what_came_is_no_gap() {
        let a = PeerId(1);
        let mut merge = SampleMerge::default();
        assert_eq!((merge.next(a), merge.newest(a)), (0, None));
        for seq in 0..4 {
            assert!(merge.sample(a, CLOCK, sample(seq, 10)));
        }
        assert_eq!(merge.next(a), 4);
        // 2 and 3 were not acknowledged; meanwhile the agent had to drop 2 to 5, of which 4 and 5 never came.
        assert!(!merge.sample(a, CLOCK, sample(1, 10)));
        assert_eq!(merge.gap(a, 5), 2);
        assert_eq!(merge.gap(a, 5), 0);
        assert!(merge.sample(a, CLOCK, sample(6, 90)));
        assert_eq!(merge.account(a), (5, 2));
        assert_eq!(merge.newest(a), Some(Mono::from_nanos(95)));
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
