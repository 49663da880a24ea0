//! Merges the workers' intervals of one trial.

use std::collections::BTreeMap;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::tally::{Interval, Records, Tally};
use fluxfleet_proto::trial::{Share, TrialEnd};
use thiserror::Error;

use super::{SpooledRecord, TrialOutcome, Window, WorkerHealth, WorkerTrial};

/// A report that contradicts what the worker said before.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// A worker that has no share in the trial.
    #[error("{0} has no share in this trial")]
    Stranger(PeerId),
    /// A message is missing from a stream that loses none.
    #[error("{what} {got} came where {expected} was due")]
    Hole {
        /// Interval or records message.
        what: &'static str,
        /// Its number.
        got: u64,
        /// The number that was due.
        expected: u64,
    },
    /// Items that ended and items not sent are more or less than the share.
    #[error("{ended} items ended and {not_sent} were not sent, of a share of {planned}")]
    Sum {
        /// Items ok or failed.
        ended: u64,
        /// Items not sent.
        not_sent: u64,
        /// Items of the share.
        planned: u64,
    },
    /// More of something than a share of that many items can give.
    #[error("{got} {what} came of a share of {planned} items")]
    TooMany {
        /// Requests, or items in records.
        what: &'static str,
        /// How many.
        got: u64,
        /// Items of the share.
        planned: u64,
    },
    /// A count that no worker reaches.
    #[error("{0} is no count of anything that happened")]
    Absurd(u64),
    /// A message after the one that was to be the last.
    #[error("more came after the end of its trial")]
    Late,
}

/// Counts are exact up to here wherever they are read as floats, and nothing real comes near.
const MOST: u64 = 1 << 53;

/// One trial as it is being merged.
#[derive(Debug)]
pub struct TrialMerge {
    trial: TrialId,
    tally: Tally,
    planned_start: Option<Mono>,
    // A fleet is small: a vector keeps the order in which workers joined.
    workers: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    peer: PeerId,
    share: Share,
    next_interval: u64,
    next_records: u64,
    requests: u64,
    ok: u64,
    failed: u64,
    recorded: u64,
    // Span in which the worker recorded anything, for the case that it never says how its trial ended.
    seen: Option<Window>,
    end: Option<(TrialEnd, ClockOffset)>,
    given_up: Option<NotSentReason>,
}

impl TrialMerge {
    /// An empty merge of a trial whose items are split like this.
    pub fn new(trial: TrialId, shares: &[(PeerId, Share)]) -> Self {
        let part = |&(peer, share): &(PeerId, Share)| Part {
            peer,
            share,
            next_interval: 0,
            next_records: 0,
            requests: 0,
            ok: 0,
            failed: 0,
            recorded: 0,
            seen: None,
            end: None,
            given_up: None,
        };
        Self {
            trial,
            tally: Tally::default(),
            planned_start: None,
            workers: shares.iter().map(part).collect(),
        }
    }

    /// Notes the start barrier.
    pub fn starts_at(&mut self, at: Mono) {
        self.planned_start = Some(at);
    }

    fn part(&mut self, peer: PeerId) -> Result<&mut Part, MergeError> {
        self.workers.iter_mut().find(|w| w.peer == peer).ok_or(MergeError::Stranger(peer))
    }

    /// The part of a worker that may still add to it; `None` when it was given up.
    fn adding(&mut self, peer: PeerId) -> Result<Option<&mut Part>, MergeError> {
        let part = self.part(peer)?;
        match part.end {
            Some(_) => Err(MergeError::Late),
            None => Ok(part.given_up.is_none().then_some(part)),
        }
    }

    /// Adds an interval. One that was merged before changes nothing.
    ///
    /// # Errors
    /// When the worker has no share or has ended it, an interval before this one is missing, or there is more in
    /// it than the share can give; then nothing of it is added.
    pub fn interval(
        &mut self,
        peer: PeerId,
        clock: ClockOffset,
        interval: &Interval,
    ) -> Result<(), MergeError> {
        let Some(part) = self.adding(peer)? else { return Ok(()) };
        if !due(&mut part.next_interval, interval.seq, "interval")? {
            return Ok(());
        }
        part.has_room_for(&interval.tally)?;
        part.requests += interval.tally.requests_sent;
        part.ok += interval.tally.items_ok;
        part.failed += interval.tally.items_failed;
        if interval.tally.requests_sent > 0 || interval.tally.items_ended() > 0 {
            let span = Window { from: clock.to_local(interval.from), to: clock.to_local(interval.to) };
            part.seen = Some(part.seen.map_or(span, |seen| seen.hull(span)));
        }
        self.tally.merge(&interval.tally);
        Ok(())
    }

    /// Turns records into spooled ones on our clock. Records that were merged before give none.
    ///
    /// # Errors
    /// As [`interval`](Self::interval).
    pub fn records(
        &mut self,
        peer: PeerId,
        clock: ClockOffset,
        records: Records,
    ) -> Result<Vec<SpooledRecord>, MergeError> {
        let trial = self.trial.0;
        let Some(part) = self.adding(peer)? else { return Ok(Vec::new()) };
        if !due(&mut part.next_records, records.seq, "records message")? {
            return Ok(Vec::new());
        }
        // A record of no item would be free to repeat.
        let items = records.records.iter().map(|r| u64::from(r.items).max(1)).sum::<u64>();
        let recorded = part.recorded.saturating_add(items);
        if recorded > part.share.items {
            return Err(MergeError::TooMany {
                what: "items in records",
                got: recorded,
                planned: part.share.items,
            });
        }
        part.recorded = recorded;
        let spooled = |r: fluxfleet_proto::tally::Record| SpooledRecord {
            trial,
            worker: peer.0,
            first_item: r.first_item,
            items: r.items,
            items_ok: r.items_ok,
            intended_ns: clock.to_local(r.intended).as_nanos(),
            response_time_us: r.response_time.0,
            service_time_us: r.service_time.0,
            generation_time_us: r.generation_time.map(|g| g.0),
            error: r.error.map(|(kind, text)| (kind.to_string(), text)),
        };
        Ok(records.records.into_iter().map(spooled).collect())
    }

    /// Notes how a worker's part ended.
    ///
    /// # Errors
    /// When messages are missing or the items do not add up to the share; the part then stays open.
    pub fn done(&mut self, peer: PeerId, clock: ClockOffset, end: TrialEnd) -> Result<(), MergeError> {
        let Some(part) = self.adding(peer)? else { return Ok(()) };
        for (what, got, expected) in [
            ("interval", end.intervals, part.next_interval),
            ("records message", end.records, part.next_records),
        ] {
            if got != expected {
                return Err(MergeError::Hole { what, got, expected });
            }
        }
        let (ended, not_sent) = (part.ok + part.failed, end.not_sent.map_or(0, |(n, _)| n));
        if ended.checked_add(not_sent) != Some(part.share.items) {
            return Err(MergeError::Sum { ended, not_sent, planned: part.share.items });
        }
        part.end = Some((end, clock));
        Ok(())
    }

    /// Notes that nothing more will come of a worker that has not ended its part.
    pub fn give_up(&mut self, peer: PeerId, reason: NotSentReason) {
        if let Ok(part) = self.part(peer)
            && part.end.is_none()
        {
            part.given_up.get_or_insert(reason);
        }
    }

    /// Workers whose part is still open.
    pub fn open(&self) -> impl Iterator<Item = PeerId> {
        self.workers.iter().filter(|w| w.end.is_none() && w.given_up.is_none()).map(|w| w.peer)
    }

    /// Everything merged so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Items planned for the fleet.
    pub fn planned(&self) -> u64 {
        self.workers.iter().map(|w| w.share.items).sum()
    }

    /// What the trial measured. Parts still open count as given up for `otherwise`.
    pub fn finish(self, otherwise: NotSentReason) -> TrialOutcome {
        let planned_start = self.planned_start;
        let mut not_sent: BTreeMap<NotSentReason, u64> = BTreeMap::new();
        let mut window: Option<Window> = None;
        let mut workers = Vec::with_capacity(self.workers.len());
        for part in &self.workers {
            let ended = part.ok + part.failed;
            let (missing, reason) = match part.end {
                Some((end, _)) => end.not_sent.unwrap_or((0, otherwise)),
                None => (part.share.items.saturating_sub(ended), part.given_up.unwrap_or(otherwise)),
            };
            if missing > 0 {
                *not_sent.entry(reason).or_default() += missing;
            }
            let active = match part.end {
                Some((end, clock)) => {
                    end.active.map(|(from, to)| Window { from: clock.to_local(from), to: clock.to_local(to) })
                }
                None => part.seen,
            };
            if let Some(active) = active {
                window = Some(window.map_or(active, |w| w.hull(active)));
            }
            let started = part.end.and_then(|(end, clock)| end.started.map(|s| clock.to_local(s)));
            workers.push(WorkerTrial {
                peer: part.peer,
                items_planned: part.share.items,
                items_ok: part.ok,
                items_failed: part.failed,
                items_not_sent: missing,
                start_skew_us: started.zip(planned_start).map(|(s, p)| {
                    let ns = s.signed_nanos_since(p);
                    (ns + 500 * ns.signum()) / 1000
                }),
                health: WorkerHealth::default(),
                requests_sent: part.requests,
            });
        }
        TrialOutcome {
            trial: self.trial,
            items_planned: self.workers.iter().map(|w| w.share.items).sum(),
            tally: self.tally,
            warmup: Tally::default(),
            series: Vec::new(),
            not_sent,
            window,
            planned_start,
            workers,
        }
    }
}

impl Part {
    /// Whether a share of this size can have given so much.
    fn has_room_for(&self, t: &Tally) -> Result<(), MergeError> {
        let planned = self.share.items;
        let counts = [t.requests_ok, t.requests_failed, t.polls_sent, t.bytes_received, t.redirects];
        if let Some(&absurd) = counts.iter().find(|&&n| n > MOST) {
            return Err(MergeError::Absurd(absurd));
        }
        let ended =
            [self.ok, self.failed, t.items_ok, t.items_failed].into_iter().fold(0, u64::saturating_add);
        if ended > planned {
            return Err(MergeError::Sum { ended, not_sent: 0, planned });
        }
        // A request asks for one item at least.
        let requests = self.requests.saturating_add(t.requests_sent);
        if requests > planned {
            return Err(MergeError::TooMany { what: "requests", got: requests, planned });
        }
        Ok(())
    }
}

/// Whether message `seq` is the one that is due; an earlier one is a repetition.
fn due(next: &mut u64, seq: u64, what: &'static str) -> Result<bool, MergeError> {
    match seq.cmp(next) {
        std::cmp::Ordering::Less => Ok(false),
        std::cmp::Ordering::Greater => Err(MergeError::Hole { what, got: seq, expected: *next }),
        std::cmp::Ordering::Equal => {
            *next += 1;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::failure::FailureKind;
    use fluxfleet_proto::tally::Phase;
    use fluxfleet_proto::units::Micros;

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);
    const AHEAD: ClockOffset = ClockOffset { offset_ns: 1_000_000, error_ns: 10 };

    fn at(us: i64) -> Mono {
        Mono::from_nanos(us * 1000)
    }

    fn merge() -> TrialMerge {
        let share = |first_item, items| Share { first_item, items, in_flight: 2 };
        TrialMerge::new(TrialId(0), &[(A, share(0, 6)), (B, share(6, 4))])
    }

    fn interval(seq: u64, ok: u64, failed: u64) -> Interval {
        let mut tally =
            Tally { requests_sent: ok + failed, items_ok: ok, items_failed: failed, ..Tally::default() };
        for i in 0..ok {
            tally.response_time.record(Micros(100 + i));
        }
        tally.failures.add(FailureKind::Timeout, failed, None);
        Interval {
            trial: TrialId(0),
            seq,
            from: at(5000),
            to: at(9000),
            phase: Phase::Measure,
            in_flight: 2,
            tally,
            health: None,
        }
    }

    fn end(intervals: u64, not_sent: Option<(u64, NotSentReason)>) -> TrialEnd {
        TrialEnd {
            intervals,
            records: 0,
            not_sent,
            started: Some(at(4003)),
            active: Some((at(4004), at(8000))),
        }
    }

    #[test]
    fn a_repeated_interval_counts_once_and_a_hole_is_named() {
        let mut merge = merge();
        merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
        merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("a repetition");
        assert_eq!((merge.tally().items_ok, merge.tally().items_failed), (2, 1));
        let hole = merge.interval(A, AHEAD, &interval(2, 1, 0));
        assert_eq!(hole, Err(MergeError::Hole { what: "interval", got: 2, expected: 1 }));
        assert_eq!(
            merge.interval(PeerId(9), AHEAD, &interval(0, 1, 0)),
            Err(MergeError::Stranger(PeerId(9)))
        );
    }

    #[test]
    fn more_than_a_share_can_give_is_refused_and_not_added() {
        let mut merge = merge();
        assert!(matches!(
            merge.interval(A, AHEAD, &interval(0, 7, 0)),
            Err(MergeError::Sum { ended: 7, .. })
        ));
        let absurd = Tally { items_ok: u64::MAX, items_failed: 1, ..Tally::default() };
        let absurd = Interval { tally: absurd, ..interval(0, 0, 0) };
        assert!(merge.interval(B, AHEAD, &absurd).is_err());
        assert_eq!(*merge.tally(), Tally::default());
    }

    #[test]
    fn nothing_is_added_after_the_end() {
        let mut merge = merge();
        merge.interval(A, AHEAD, &interval(0, 2, 0)).expect("due");
        merge.done(A, AHEAD, end(1, Some((4, NotSentReason::Interrupted)))).expect("adds up");
        assert_eq!(merge.interval(A, AHEAD, &interval(1, 2, 0)), Err(MergeError::Late));
        merge.give_up(B, NotSentReason::WorkerLost);
        assert_eq!(merge.interval(B, AHEAD, &interval(0, 2, 0)), Ok(()));
        let outcome = merge.finish(NotSentReason::Interrupted);
        assert_eq!((outcome.tally.items_ok, outcome.not_sent.values().sum::<u64>()), (2, 8));
    }

    #[test]
    fn a_lost_workers_remaining_items_are_not_sent_and_the_sum_holds() {
        let mut merge = merge();
        merge.starts_at(at(3000));
        merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
        merge.interval(B, AHEAD, &interval(0, 4, 0)).expect("due");
        merge.done(B, AHEAD, end(1, None)).expect("adds up");
        merge.give_up(A, NotSentReason::WorkerLost);
        merge.give_up(B, NotSentReason::WorkerLost);
        assert_eq!(merge.open().count(), 0);
        let outcome = merge.finish(NotSentReason::Interrupted);
        assert_eq!(outcome.not_sent, BTreeMap::from([(NotSentReason::WorkerLost, 3)]));
        for w in &outcome.workers {
            assert_eq!(w.items_ok + w.items_failed + w.items_not_sent, w.items_planned);
        }
        assert_eq!(outcome.workers[0].start_skew_us, None);
        // Its clock is 1,000 us ahead: 4,003 there is 3,003 here.
        assert_eq!(outcome.workers[1].start_skew_us, Some(3));
        assert_eq!(outcome.window, Some(Window { from: at(3004), to: at(8000) }));
    }

    #[test]
    fn an_account_that_does_not_add_up_is_an_error() {
        let mut merge = merge();
        merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
        let wrong = merge.done(A, AHEAD, end(1, Some((2, NotSentReason::Interrupted))));
        assert_eq!(wrong, Err(MergeError::Sum { ended: 3, not_sent: 2, planned: 6 }));
        assert!(matches!(merge.done(B, AHEAD, end(1, None)), Err(MergeError::Hole { .. })));
        let too_many = merge.interval(B, AHEAD, &interval(0, 5, 0));
        assert_eq!(too_many, Err(MergeError::Sum { ended: 5, not_sent: 0, planned: 4 }));
        merge.give_up(A, NotSentReason::WorkerFault);
        merge.give_up(B, NotSentReason::WorkerFault);
        let outcome = merge.finish(NotSentReason::Interrupted);
        assert_eq!(outcome.tally.items_ended() + outcome.not_sent[&NotSentReason::WorkerFault], 10);
    }
}
