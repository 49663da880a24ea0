//! Samples that the coordinator has not confirmed yet.

use std::collections::VecDeque;
use std::time::Duration;

use fluxfleet_proto::message::{AgentReport, Cadence};
use fluxfleet_proto::reading::{HostSample, Occasion};

use super::ranges::Ranges;

/// Most samples kept, whatever the cadence. Of 8 GPUs a sample of the fast lane takes about 4 KB and one of the normal
/// lane about 10 KB, so ten minutes at the usual cadence (9,600 samples, most of them of the fast lane) take about 40 MB,
/// and nothing takes more than 120 MB. That much is held only while the coordinator confirms nothing. Gaps take 400 KB
/// at most.
const MOST_KEPT: usize = 12_000;

/// Fewest samples kept, so that a long period keeps more than the last word.
const LEAST_KEPT: usize = 64;

/// Most samples in one message, far below the limit of a message's size.
const BATCH: usize = 64;

/// How much a sample is worth keeping when the ring is full; of those worth least the oldest goes first.
fn worth(sample: &HostSample) -> u8 {
    match sample.occasion {
        Occasion::Fast => 0,
        Occasion::Slow => 1,
        Occasion::Normal => 2,
        Occasion::Start(_) | Occasion::End(_) | Occasion::Event => 3,
    }
}

/// Samples in the order of their numbers, kept until they are confirmed, and the numbers of those that had to go.
///
/// Samples and gaps go out in the order of their numbers. A stream loses nothing while it lasts; when it broke,
/// everything not confirmed goes out again on the next one.
#[derive(Debug, Default)]
pub(super) struct Ring {
    held: VecDeque<HostSample>,
    /// For how long samples are to be kept.
    keep: Duration,
    capacity: usize,
    /// The lowest number that has not gone out on the present stream.
    next: u64,
    /// Numbers that are lost, as far as is known here, until the coordinator confirms that it knows.
    gaps: Ranges,
    /// Numbers that went out on the present stream and were dropped since; lost if it breaks.
    in_doubt: Ranges,
    /// Highest number that ever went out, as a sample or within a gap.
    passed: Option<u64>,
    lost: u64,
}

/// A number was confirmed that never went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent(pub(super) u64);

impl Ring {
    /// A ring that keeps samples for so long.
    pub(super) fn keeping(keep: Duration) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Makes room for the time's samples at this pace, within the bounds above.
    pub(super) fn pace(&mut self, cadence: Cadence) {
        let Cadence { fast, normal, slow } = cadence;
        // The slow lane comes to each GPU once; more than eight of them cost some of the time.
        let of_lane = |period: Duration| self.keep.as_nanos() / period.as_nanos().max(1);
        let samples = of_lane(fast) + of_lane(normal) + 8 * of_lane(slow);
        self.capacity = usize::try_from(samples).unwrap_or(MOST_KEPT).clamp(LEAST_KEPT, MOST_KEPT);
        self.shrink();
    }

    /// Takes a sample; its number follows the one before.
    pub(super) fn push(&mut self, sample: HostSample) {
        self.held.push_back(sample);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.held.len() > self.capacity.max(1) {
            // Of equals, this finds the first.
            let least = (0..self.held.len()).min_by_key(|&place| worth(&self.held[place]));
            let Some(dropped) = least.and_then(|place| self.held.remove(place)) else { return };
            if dropped.seq < self.next {
                self.in_doubt.add(dropped.seq, dropped.seq);
            } else {
                self.gaps.add(dropped.seq, dropped.seq);
                self.lost += 1;
            }
        }
    }

    /// Has everything that is not confirmed go out again: the stream broke. What went out on it and was dropped
    /// since counts as lost; the coordinator knows whether it arrived.
    pub(super) fn rewind(&mut self) {
        self.lost += self.in_doubt.count();
        self.gaps.append(&mut self.in_doubt);
        self.next = 0;
    }

    /// Whether [`next_report`](Self::next_report) has something that is to go out now. Samples of the fast and the slow
    /// lane go with the next of another occasion: a message of their own would cost more than reading them.
    pub(super) fn has_report(&self) -> bool {
        let unsent = self.held.range(self.held.partition_point(|sample| sample.seq < self.next)..);
        let can_wait = |sample: &HostSample| matches!(sample.occasion, Occasion::Fast | Occasion::Slow);
        self.gaps.next_from(self.next).is_some() || unsent.len() >= BATCH || !unsent.clone().all(can_wait)
    }

    /// What is to be sent next, a gap or samples that nothing is missing between; it then counts as sent.
    pub(super) fn next_report(&mut self) -> Option<AgentReport> {
        let gap = self.gaps.next_from(self.next);
        let from = self.held.partition_point(|sample| sample.seq < self.next);
        let before_gap = |sample: &&HostSample| gap.is_none_or(|(first, _)| sample.seq < first);
        let batch: Vec<_> = self.held.range(from..).take(BATCH).take_while(before_gap).cloned().collect();
        let (last, report) = match (batch.last(), gap) {
            (Some(last), _) => (last.seq, AgentReport::Samples(batch)),
            (None, Some((first, last))) => {
                let kept = self.capacity;
                let reason = format!("the coordinator took no samples and the agent keeps {kept} at most");
                (last, AgentReport::Gap(first, last, reason))
            }
            (None, None) => return None,
        };
        self.next = last.saturating_add(1);
        self.passed = self.passed.max(Some(last));
        Some(report)
    }

    /// Forgets all up to and including `seq`.
    pub(super) fn ack(&mut self, seq: u64) -> Result<(), NeverSent> {
        if self.passed.is_none_or(|passed| seq > passed) {
            return Err(NeverSent(seq));
        }
        // On a new stream the coordinator may confirm what went out on an earlier one.
        self.next = self.next.max(seq.saturating_add(1));
        self.gaps.forget_through(seq);
        self.in_doubt.forget_through(seq);
        while self.held.front().is_some_and(|oldest| oldest.seq <= seq) {
            self.held.pop_front();
        }
        Ok(())
    }

    /// Samples taken that are not confirmed, sent or not.
    pub(super) fn unacked(&self) -> usize {
        self.held.len()
    }

    /// Samples lost for want of room, as far as is known here.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::clock::Mono;

    fn sample(seq: u64) -> HostSample {
        HostSample::new(seq, Occasion::Normal, Mono::from_nanos(0))
    }

    /// A cadence of the normal lane alone, as good as.
    fn each(normal: Duration) -> Cadence {
        let never = Duration::from_hours(1000);
        Cadence { fast: never, normal, slow: never }
    }

    #[test]
    fn lanes_that_can_wait_go_with_the_next_sample_that_cannot_or_when_they_are_many() {
        let fast = |seq| HostSample { occasion: Occasion::Fast, ..sample(seq) };
        let mut ring = ring(1000);
        (0..3).for_each(|seq| ring.push(fast(seq)));
        assert!(!ring.has_report());
        ring.push(sample(3));
        assert!(ring.has_report());
        assert_eq!(seqs(ring.next_report()), [0, 1, 2, 3]);
        (4..67).for_each(|seq| ring.push(fast(seq)));
        assert!(!ring.has_report());
        ring.push(fast(67));
        assert!(ring.has_report());
    }

    #[test]
    fn the_fast_lane_goes_first_and_edges_and_events_last() {
        let mut ring = ring(3);
        let trial = fluxfleet_proto::id::TrialId(0);
        let of = |seq, occasion| HostSample { occasion, ..sample(seq) };
        ring.push(of(0, Occasion::Start(trial)));
        ring.push(of(1, Occasion::Normal));
        ring.push(of(2, Occasion::Fast));
        ring.push(of(3, Occasion::Event));
        ring.push(of(4, Occasion::Slow));
        let kept: Vec<_> = ring.held.iter().map(|sample| sample.seq).collect();
        assert_eq!(kept, [0, 1, 3], "the fast lane went, then the slow one");
        ring.push(of(5, Occasion::End(trial)));
        let kept: Vec<_> = ring.held.iter().map(|sample| sample.seq).collect();
        assert_eq!(kept, [0, 3, 5]);
        assert_eq!(ring.lost(), 3);
    }

    fn ring(capacity: usize) -> Ring {
        Ring { capacity, ..Ring::default() }
    }

    fn seqs(report: Option<AgentReport>) -> Vec<u64> {
        match report {
            Some(AgentReport::Samples(samples)) => samples.iter().map(|sample| sample.seq).collect(),
            other => panic!("not samples: {other:?}"),
        }
    }

    fn gap(report: Option<AgentReport>) -> (u64, u64) {
        match report {
            Some(AgentReport::Gap(first, last, reason)) => {
                assert!(!reason.is_empty());
                (first, last)
            }
            other => panic!("no gap: {other:?}"),
        }
    }

    #[test]
    fn samples_go_out_once_and_are_kept_until_they_are_confirmed() {
        let mut ring = ring(10);
        (0..3).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), [0, 1, 2]);
        assert!(!ring.has_report());
        assert_eq!(ring.next_report(), None);
        ring.push(sample(3));
        assert_eq!(seqs(ring.next_report()), [3]);
        assert_eq!(ring.unacked(), 4);
        ring.ack(1).unwrap();
        ring.ack(1).unwrap();
        assert_eq!(ring.unacked(), 2);
        ring.ack(3).unwrap();
        assert_eq!(ring.unacked(), 0);
    }

    #[test]
    fn what_falls_out_unsent_is_one_counted_gap_before_the_next_sample() {
        let mut ring = ring(2);
        (0..5).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(ring.lost(), 3);
        assert_eq!(gap(ring.next_report()), (0, 2));
        assert_eq!(seqs(ring.next_report()), [3, 4]);
        assert!(!ring.has_report());
    }

    #[test]
    fn what_falls_out_after_it_was_sent_is_no_gap() {
        let mut ring = ring(2);
        (0..2).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), [0, 1]);
        // 0 and 1 leave sent, 2 leaves unsent.
        (2..5).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(gap(ring.next_report()), (2, 2));
        assert_eq!(seqs(ring.next_report()), [3, 4]);
        assert_eq!(ring.lost(), 1);
        ring.ack(4).unwrap();
        ring.rewind();
        assert!(!ring.has_report(), "all of it had arrived");
        assert_eq!(ring.lost(), 1);
    }

    #[test]
    fn after_a_break_everything_unconfirmed_goes_out_again() {
        let mut ring = ring(10);
        (0..4).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), [0, 1, 2, 3]);
        ring.ack(1).unwrap();
        ring.rewind();
        ring.push(sample(4));
        assert_eq!(seqs(ring.next_report()), [2, 3, 4]);
        assert!(!ring.has_report());
        assert_eq!(ring.lost(), 0);
    }

    #[test]
    fn what_the_coordinator_has_all_the_same_does_not_go_out_again() {
        let mut ring = ring(10);
        (0..4).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), [0, 1, 2, 3]);
        ring.rewind();
        ring.ack(2).unwrap();
        assert_eq!(seqs(ring.next_report()), [3]);
        // It went out on the stream that broke, so it may be confirmed before it goes out on the next.
        ring.rewind();
        assert_eq!(ring.ack(4), Err(NeverSent(4)));
        ring.ack(3).unwrap();
        assert!(!ring.has_report());
        assert_eq!(ring.unacked(), 0);
    }

    #[test]
    fn what_was_sent_and_falls_out_before_a_break_is_a_gap_after_it() {
        let mut ring = ring(2);
        (0..2).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), [0, 1]);
        (2..4).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(ring.lost(), 0);
        ring.rewind();
        assert_eq!(ring.lost(), 2);
        assert_eq!(gap(ring.next_report()), (0, 1));
        assert_eq!(seqs(ring.next_report()), [2, 3]);
        // Neither gap nor samples are confirmed, and 2 has to go too: the gap grows.
        ring.push(sample(4));
        ring.rewind();
        assert_eq!(gap(ring.next_report()), (0, 2));
        assert_eq!(seqs(ring.next_report()), [3, 4]);
        assert_eq!(ring.lost(), 3);
        ring.ack(4).unwrap();
        ring.rewind();
        assert_eq!(ring.next_report(), None);
    }

    #[test]
    fn holes_between_samples_go_out_as_gaps_in_their_place() {
        let mut ring = ring(10);
        for seq in 0..9 {
            // As if 2, 3 and 6 had been worth least.
            if [2, 3, 6].contains(&seq) { ring.gaps.add(seq, seq) } else { ring.push(sample(seq)) }
        }
        assert_eq!(seqs(ring.next_report()), [0, 1]);
        assert_eq!(gap(ring.next_report()), (2, 3));
        assert_eq!(seqs(ring.next_report()), [4, 5]);
        ring.ack(2).unwrap();
        assert_eq!(gap(ring.next_report()), (6, 6));
        assert_eq!(seqs(ring.next_report()), [7, 8]);
        ring.rewind();
        assert_eq!(gap(ring.next_report()), (3, 3));
        assert_eq!(seqs(ring.next_report()), [4, 5]);
    }

    #[test]
    fn a_confirmation_of_what_never_went_out_is_an_error() {
        let mut ring = ring(2);
        assert_eq!(ring.ack(0), Err(NeverSent(0)));
        (0..3).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(ring.ack(0), Err(NeverSent(0)));
        assert_eq!(gap(ring.next_report()), (0, 0));
        // A gap went out, so its numbers may be confirmed.
        assert_eq!(ring.ack(0), Ok(()));
        assert_eq!(ring.ack(1), Err(NeverSent(1)));
        assert_eq!(ring.unacked(), 2);
    }

    #[test]
    fn a_longer_period_keeps_fewer_and_counts_what_it_costs() {
        let mut ring = ring(100);
        (0..100).for_each(|seq| ring.push(sample(seq)));
        ring.pace(each(Duration::from_hours(1)));
        assert_eq!(gap(ring.next_report()), (0, 35));
        assert_eq!(ring.unacked(), LEAST_KEPT);
    }

    #[test]
    fn every_number_goes_out_exactly_once_on_a_stream_whatever_the_order_of_events() {
        // Pushes, sends and acks in a fixed but uneven pattern.
        let mut ring = ring(3);
        let (mut out, mut seq) = (Vec::new(), 0);
        for step in 0..200_u32 {
            if step % 5 != 3 {
                ring.push(sample(seq));
                seq += 1;
            }
            if step % 7 == 0 {
                match ring.next_report() {
                    Some(AgentReport::Gap(first, last, _)) => out.extend(first..=last),
                    report => out.extend(seqs(report)),
                }
            }
            if step % 11 == 0 {
                ring.ack(*out.last().unwrap()).unwrap();
            }
        }
        while let Some(report) = ring.next_report() {
            match report {
                AgentReport::Gap(first, last, _) => out.extend(first..=last),
                report => out.extend(seqs(Some(report))),
            }
        }
        assert_eq!(out, (0..seq).collect::<Vec<_>>());
    }

    #[test]
    fn over_streams_that_break_every_number_arrives_as_a_sample_or_within_a_gap() {
        let mut ring = ring(4);
        // What the coordinator has counted: `arrived` samples, `missed` in gaps, all numbers below `next`.
        let (mut seq, mut next, mut arrived, mut missed) = (0, 0, 0, 0);
        for step in 0..1000_u32 {
            if step % 3 != 1 || step > 900 {
                ring.push(sample(seq));
                seq += 1;
            }
            // In stretches nothing comes through, though it is sent.
            let broken = step % 40 > 28;
            let reports: Vec<_> = (0..step % 3).filter_map(|_| ring.next_report()).collect();
            for report in reports.into_iter().filter(|_| !broken) {
                match report {
                    AgentReport::Gap(first, last, _) => {
                        assert!(first <= next, "{next} was passed over");
                        missed += (last + 1).saturating_sub(next);
                        next = next.max(last + 1);
                    }
                    report => {
                        for seq in seqs(Some(report)) {
                            assert!(seq <= next, "{next} was passed over");
                            if seq == next {
                                (next, arrived) = (next + 1, arrived + 1);
                            }
                        }
                    }
                }
            }
            if step % 40 == 39 {
                ring.rewind();
            }
            if !broken && step % 5 == 0 && next > 0 {
                ring.ack(next - 1).unwrap();
            }
        }
        assert_eq!(arrived + missed, next);
        assert!(arrived > 300 && missed > 100 && next > 600, "{arrived} {missed} of {seq}");
    }

    #[test]
    fn a_long_backlog_goes_out_in_messages_of_bounded_size() {
        let mut ring = ring(1000);
        (0..200).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), (0..64).collect::<Vec<_>>());
        assert_eq!(seqs(ring.next_report()), (64..128).collect::<Vec<_>>());
    }

    #[test]
    fn the_ring_holds_what_the_time_brings_and_never_more_than_its_bound() {
        let mut ring = Ring::keeping(Duration::from_mins(10));
        ring.pace(each(Duration::from_millis(500)));
        assert_eq!(ring.capacity, 1200);
        ring.pace(each(Duration::from_millis(1)));
        assert_eq!(ring.capacity, MOST_KEPT);
        ring.pace(each(Duration::from_hours(1)));
        assert_eq!(ring.capacity, LEAST_KEPT);
    }

    #[test]
    fn the_stated_memory_holds() {
        use fluxfleet_proto::metric::GpuMetric;
        use fluxfleet_proto::reading::{GpuReading, Reading};
        // A reading of a GPU has its numbers on the heap, its UUID of 40 bytes, and perhaps a few short names; vectors
        // that grow have room for twice what is in them at most.
        let of = |occasion| {
            let numbers = 2 * crate::collect::metrics_of(occasion).len() * size_of::<(GpuMetric, Reading)>();
            size_of::<HostSample>() + 8 * (size_of::<GpuReading>() + numbers + 100)
        };
        assert!(of(Occasion::Fast) <= 5_000, "{}", of(Occasion::Fast));
        assert!(of(Occasion::Normal) <= 10_000, "{}", of(Occasion::Normal));
    }
}
