//! One worker's part of a trial, as it is being merged.

use fluxfleet_proto::clock::ClockOffset;
use fluxfleet_proto::failure::{NotSent, NotSentReason};
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::tally::{Phase, Record, Tally};
use fluxfleet_proto::trial::{Share, TrialEnd};

use super::error::MergeError;
use crate::aggregate::{Window, WorkerHealth};

/// Counts are exact up to here wherever they are read as floats, and nothing real comes near.
pub(super) const MOST: u64 = 1 << 53;

/// A worker's account so far.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) peer: PeerId,
    pub(super) share: Share,
    pub(super) next_interval: u64,
    pub(super) next_records: u64,
    pub(super) requests: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// What its intervals say was not sent in the measured phase.
    pub(super) not_sent: NotSent,
    /// Items in records, of each phase.
    recorded: [u64; 2],
    /// What it said last.
    pub(super) in_flight: u64,
    /// Span in which it recorded anything measured, for the case that it never says how its trial ended.
    pub(super) seen: Option<Window>,
    pub(super) end: Option<(TrialEnd, ClockOffset)>,
    pub(super) given_up: Option<NotSentReason>,
    pub(super) health: WorkerHealth,
}

impl Part {
    pub(super) fn new(peer: PeerId, share: Share) -> Self {
        Self {
            peer,
            share,
            next_interval: 0,
            next_records: 0,
            requests: 0,
            ok: 0,
            failed: 0,
            not_sent: NotSent::default(),
            recorded: [0; 2],
            in_flight: 0,
            seen: None,
            end: None,
            given_up: None,
            health: WorkerHealth::default(),
        }
    }

    /// Items that its intervals account for.
    fn accounted(&self) -> u64 {
        self.ok + self.failed + self.not_sent.total()
    }

    /// Whether a share of this size can have given so much in the measured phase. Without a size, everything that
    /// can be counted is possible.
    pub(super) fn has_room_for(&self, t: &Tally) -> Result<(), MergeError> {
        let planned = self.share.planned().unwrap_or(MOST);
        let ended = [self.ok, self.failed, t.items_ok, t.items_failed];
        let ended = ended.into_iter().fold(0, u64::saturating_add);
        let not_sent = self.not_sent.total().saturating_add(t.not_sent.total());
        if ended.saturating_add(not_sent) > planned {
            return Err(MergeError::Sum { ended, not_sent, planned });
        }
        // A request asks for one item at least.
        let requests = self.requests.saturating_add(t.requests_sent);
        if requests > planned {
            return Err(MergeError::TooMany { what: "requests", got: requests, planned });
        }
        Ok(())
    }

    /// Adds what was measured; checked before.
    pub(super) fn add(&mut self, t: &Tally, span: Window) {
        self.requests += t.requests_sent;
        self.ok += t.items_ok;
        self.failed += t.items_failed;
        self.not_sent.merge(&t.not_sent);
        if t.requests_sent > 0 || t.items_ended() > 0 {
            self.seen = Some(self.seen.map_or(span, |seen| seen.hull(span)));
        }
    }

    /// Notes the items of some records.
    pub(super) fn record(&mut self, records: &[Record]) -> Result<(), MergeError> {
        let mut recorded = self.recorded;
        for r in records {
            let count = &mut recorded[usize::from(r.phase == Phase::Measure)];
            // A record of no item would be free to repeat.
            *count = count.saturating_add(u64::from(r.items).max(1));
        }
        let [warm, measured] = recorded;
        let planned = self.share.planned().unwrap_or(MOST);
        for (got, planned) in [(measured, planned), (warm, MOST)] {
            if got > planned {
                return Err(MergeError::TooMany { what: "items in records", got, planned });
            }
        }
        self.recorded = recorded;
        Ok(())
    }

    /// Notes how it ended.
    pub(super) fn finish(&mut self, clock: ClockOffset, end: TrialEnd) -> Result<(), MergeError> {
        for (what, got, expected) in [
            ("interval", end.intervals, self.next_interval),
            ("records message", end.records, self.next_records),
        ] {
            if got != expected {
                return Err(MergeError::Hole { what, got, expected });
            }
        }
        let rest = end.not_sent.map_or(0, |(n, _)| n);
        let all = self.accounted().saturating_add(rest);
        let planned = self.share.planned();
        if planned.is_some_and(|p| p != all) || all > MOST {
            let (ended, not_sent) = (self.ok + self.failed, self.not_sent.total().saturating_add(rest));
            return Err(MergeError::Sum { ended, not_sent, planned: planned.unwrap_or(MOST) });
        }
        self.end = Some((end, clock));
        Ok(())
    }

    /// What was not sent, intervals and end together. Of a share of unknown size that never ended, only what its
    /// intervals tell is known.
    pub(super) fn all_not_sent(&self, otherwise: NotSentReason) -> NotSent {
        let mut all = self.not_sent.clone();
        match (self.end, self.share.planned()) {
            (Some((end, _)), _) => {
                if let Some((items, reason)) = end.not_sent {
                    all.add(reason, items);
                }
            }
            (None, Some(planned)) => {
                all.add(self.given_up.unwrap_or(otherwise), planned.saturating_sub(self.accounted()));
            }
            (None, None) => {}
        }
        all
    }

    /// Span in which it sent and waited for answers, on our clock.
    pub(super) fn active(&self) -> Option<Window> {
        match self.end {
            Some((end, clock)) => {
                end.active.map(|(from, to)| Window { from: clock.to_local(from), to: clock.to_local(to) })
            }
            None => self.seen,
        }
    }
}

/// Whether a trial's tally can take another without a count that nothing reaches. Durations are counted too: as
/// long as their number is in bounds, so are their sums in 128 bits.
pub(super) fn fits(so_far: &Tally, more: &Tally) -> Result<(), MergeError> {
    let counts = |t: &Tally| {
        [
            t.requests_sent,
            t.polls_sent,
            t.items_ok,
            t.items_failed,
            t.requests_ok,
            t.requests_failed,
            t.bytes_received,
            t.redirects,
            t.connections,
            t.not_sent.total(),
            t.response_time.count(),
            t.service_time.count(),
            t.first_byte.count(),
            t.send_lateness.count(),
            t.failed_response_time.count(),
            t.generation_time.count(),
            t.pacer_lateness.count(),
            t.send_gap.count(),
            t.not_sent_wait.count(),
            t.connect_time.count(),
            t.tls_time.count(),
        ]
    };
    all_real(counts(so_far).into_iter().zip(counts(more)))
}

/// Whether sums stay below what nothing reaches.
pub(super) fn all_real(sums: impl IntoIterator<Item = (u64, u64)>) -> Result<(), MergeError> {
    match sums.into_iter().map(|(a, b)| a.saturating_add(b)).find(|&n| n > MOST) {
        Some(absurd) => Err(MergeError::Absurd(absurd)),
        None => Ok(()),
    }
}
