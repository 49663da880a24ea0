//! Samples that the coordinator has not confirmed yet.

use std::collections::VecDeque;
use std::time::Duration;

use fluxfleet_proto::message::{AgentReport, Cadence};
use fluxfleet_proto::reading::{HostSample, Occasion};

/// For how long samples are kept.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// Most samples kept, whatever the period. A sample of 8 GPUs takes about 4 KB, so the ring takes about 5 MB
/// at the usual period of 500 ms, and 50 MB at this bound (10 minutes at 50 ms).
const MOST_KEPT: usize = 12_000;

/// Fewest samples kept, so that a long period keeps more than the last word.
const LEAST_KEPT: usize = 64;

/// Most samples in one message, far below the limit of a message's size.
const BATCH: usize = 64;

/// Samples in the order of their numbers: sent ones that wait for their ack, then unsent ones.
///
/// When it is full the oldest goes. If that was sent, it is underway on a stream that loses nothing; if it was
/// not, it is lost, and counts in the gap that is reported before any later sample.
#[derive(Debug, Default)]
pub(super) struct Ring {
    held: VecDeque<HostSample>,
    capacity: usize,
    /// How many of `held`, from the front, are sent.
    sent: usize,
    /// First and last number lost and not reported yet.
    gap: Option<(u64, u64)>,
    /// Highest number that went out, as a sample or within a gap.
    passed: Option<u64>,
    lost: u64,
}

/// A number was confirmed that never went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent(pub(super) u64);

impl Ring {
    /// Makes room for ten minutes of samples with this period, within the bounds above.
    pub(super) fn keep_for(&mut self, cadence: Cadence) {
        let Cadence { fast, normal, slow } = cadence;
        // The slow lane comes to each GPU once; more than eight of them cost some of the ten minutes.
        let of_lane = |period: Duration| KEPT_FOR.as_nanos() / period.as_nanos().max(1);
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
        while self.held.len() > self.capacity.max(1)
            && let Some(oldest) = self.held.pop_front()
        {
            if self.sent > 0 {
                self.sent -= 1;
                continue;
            }
            self.lost += 1;
            let first = self.gap.map_or(oldest.seq, |(first, _)| first);
            self.gap = Some((first, oldest.seq));
        }
    }

    /// Whether [`next_report`](Self::next_report) has something that is to go out now. Samples of the fast and the slow
    /// lane go with the next of another occasion: a message of their own would cost more than reading them.
    pub(super) fn has_report(&self) -> bool {
        let unsent = self.held.len() - self.sent;
        let can_wait = |sample: &HostSample| matches!(sample.occasion, Occasion::Fast | Occasion::Slow);
        self.gap.is_some() || unsent >= BATCH || !self.held.range(self.sent..).all(can_wait)
    }

    /// What is to be sent next: a gap, or the oldest unsent samples, which then count as sent.
    pub(super) fn next_report(&mut self) -> Option<AgentReport> {
        if let Some((first, last)) = self.gap.take() {
            self.passed = Some(last);
            let reason =
                format!("the coordinator took no samples and the agent keeps {} at most", self.capacity);
            return Some(AgentReport::Gap(first, last, reason));
        }
        let batch: Vec<_> = self.held.iter().skip(self.sent).take(BATCH).cloned().collect();
        self.passed = Some(batch.last()?.seq);
        self.sent += batch.len();
        Some(AgentReport::Samples(batch))
    }

    /// Forgets all up to and including `seq`.
    pub(super) fn ack(&mut self, seq: u64) -> Result<(), NeverSent> {
        if self.passed.is_none_or(|passed| seq > passed) {
            return Err(NeverSent(seq));
        }
        while self.sent > 0 && self.held.front().is_some_and(|oldest| oldest.seq <= seq) {
            self.held.pop_front();
            self.sent -= 1;
        }
        Ok(())
    }

    /// Samples taken that are not confirmed, sent or not.
    pub(super) fn unacked(&self) -> usize {
        self.held.len()
    }

    /// Samples lost for want of room.
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
        ring.keep_for(each(Duration::from_hours(1)));
        assert_eq!(gap(ring.next_report()), (0, 35));
        assert_eq!(ring.unacked(), LEAST_KEPT);
    }

    #[test]
    fn every_number_goes_out_exactly_once_whatever_the_order_of_events() {
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
    fn a_long_backlog_goes_out_in_messages_of_bounded_size() {
        let mut ring = ring(1000);
        (0..200).for_each(|seq| ring.push(sample(seq)));
        assert_eq!(seqs(ring.next_report()), (0..64).collect::<Vec<_>>());
        assert_eq!(seqs(ring.next_report()), (64..128).collect::<Vec<_>>());
    }

    #[test]
    fn the_ring_holds_ten_minutes_and_never_more_than_its_bound() {
        let mut ring = Ring::default();
        ring.keep_for(each(Duration::from_millis(500)));
        assert_eq!(ring.capacity, 1200);
        ring.keep_for(each(Duration::from_millis(1)));
        assert_eq!(ring.capacity, MOST_KEPT);
        ring.keep_for(each(Duration::from_hours(1)));
        assert_eq!(ring.capacity, LEAST_KEPT);
    }
}
