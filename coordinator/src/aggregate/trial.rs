//! Merges the workers' intervals of one trial.
//!
//! | file | duty |
//! |---|---|
//! | `part` | one worker's account, and whether it adds up |
//! | `series` | the trial over time |
//! | `health` | a worker's condition over time |
//! | `error` | what can be wrong with an account |

mod error;
mod health;
mod part;
mod series;

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::{NotSent, NotSentReason};
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::tally::{Interval, Phase, Record, Records, Tally};
use fluxfleet_proto::trial::{Share, TrialEnd};

use self::part::Part;
use self::series::Series;
use super::{SpooledRecord, TrialOutcome, Window, WorkerTrial};

pub use error::MergeError;

/// One trial as it is being merged.
#[derive(Debug)]
pub struct TrialMerge {
    trial: TrialId,
    tally: Tally,
    warmup: Tally,
    lanes: Option<u32>,
    planned_start: Option<Mono>,
    interval: Duration,
    series: Option<Series>,
    measured_from: Option<Mono>,
    // A fleet is small: a vector keeps the order in which workers joined.
    workers: Vec<Part>,
}

impl TrialMerge {
    /// An empty merge of a trial whose items are split like this, reported once in an `interval`.
    pub fn new(
        trial: TrialId,
        shares: impl IntoIterator<Item = (PeerId, Share)>,
        interval: Duration,
    ) -> Self {
        Self {
            trial,
            tally: Tally::default(),
            warmup: Tally::default(),
            lanes: None,
            planned_start: None,
            interval,
            series: None,
            measured_from: None,
            workers: shares.into_iter().map(|(peer, share)| Part::new(peer, share)).collect(),
        }
    }

    /// Notes how many lanes an open load's arrivals are dealt to.
    #[must_use]
    pub fn with_lanes(self, lanes: Option<u32>) -> Self {
        Self { lanes, ..self }
    }

    /// Notes the start barrier.
    pub fn starts_at(&mut self, at: Mono) {
        self.planned_start = Some(at);
        self.series = Some(Series::new(at, self.interval));
    }

    /// Notes a worker's ceiling.
    pub fn ceiling(&mut self, peer: PeerId, ceiling: Ceiling) {
        if let Ok(part) = self.part(peer) {
            part.health.ceiling = Some(ceiling);
        }
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

    /// Adds an interval to its phase. One that was merged before changes nothing.
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
        let Interval { trial: _, seq, from, to, phase, in_flight, tally, health } = interval;
        let so_far = match phase {
            Phase::Warmup => &self.warmup,
            Phase::Measure => &self.tally,
        };
        let mut fits = part::fits(so_far, tally);
        let Some(part) = self.adding(peer)? else { return Ok(()) };
        if !due(&mut part.next_interval, *seq, "interval")? {
            return Ok(());
        }
        if let Some(health) = health {
            fits = fits.and_then(|()| part.health.fits(health));
        }
        fits?;
        let span = Window { from: clock.to_local(*from), to: clock.to_local(*to) };
        if *phase == Phase::Measure {
            part.has_room_for(tally)?;
            part.add(tally, span);
        }
        if let Some(health) = health {
            part.health.add(span, *phase, tally, health);
        }
        let before = std::mem::replace(&mut part.in_flight, *in_flight);
        if let Some(series) = &mut self.series {
            series.add(span, *phase, tally, i128::from(*in_flight) - i128::from(before));
        }
        match phase {
            Phase::Warmup => self.warmup.merge(tally),
            Phase::Measure => {
                self.tally.merge(tally);
                let from = self.measured_from.map_or(span.from, |earlier| earlier.min(span.from));
                self.measured_from = Some(from);
            }
        }
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
        part.record(&records.records)?;
        let spooled = |r: Record| SpooledRecord {
            trial,
            worker: peer.0,
            phase: r.phase,
            first_item: r.first_item,
            items: r.items,
            items_ok: r.items_ok,
            intended_ns: clock.to_local(r.intended).as_nanos(),
            response_time_us: r.response_time.0,
            service_time_us: r.service_time.0,
            generation_time_us: r.generation_time.map(|g| g.0),
            error: r.error.map(|(kind, text)| (kind.to_string(), text)),
            not_sent: r.not_sent.map(|reason| reason.to_string()),
        };
        Ok(records.records.into_iter().map(spooled).collect())
    }

    /// Notes how a worker's part ended.
    ///
    /// # Errors
    /// When messages are missing or the items do not add up to the share; the part then stays open.
    pub fn done(&mut self, peer: PeerId, clock: ClockOffset, end: TrialEnd) -> Result<(), MergeError> {
        let Some(part) = self.adding(peer)? else { return Ok(()) };
        part.finish(clock, end)?;
        self.idle(peer);
        Ok(())
    }

    /// Notes that nothing more will come of a worker that has not ended its part.
    pub fn give_up(&mut self, peer: PeerId, reason: NotSentReason) {
        if let Ok(part) = self.part(peer)
            && part.end.is_none()
        {
            part.given_up.get_or_insert(reason);
            self.idle(peer);
        }
    }

    /// A worker that is gone has nothing in flight that anybody knows of.
    fn idle(&mut self, peer: PeerId) {
        let Some(part) = self.workers.iter_mut().find(|w| w.peer == peer) else { return };
        let before = std::mem::take(&mut part.in_flight);
        if let Some(series) = &mut self.series {
            series.nothing_in_flight(-i128::from(before));
        }
    }

    /// Workers whose part is still open.
    pub fn open(&self) -> impl Iterator<Item = PeerId> {
        self.workers.iter().filter(|w| w.end.is_none() && w.given_up.is_none()).map(|w| w.peer)
    }

    /// Everything measured so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Everything of the warm-up so far.
    pub fn warmup(&self) -> &Tally {
        &self.warmup
    }

    /// When the first interval began that measured anything.
    pub fn measured_from(&self) -> Option<Mono> {
        self.measured_from
    }

    /// Requests in flight, by what each worker said last.
    pub fn in_flight(&self) -> u64 {
        self.workers.iter().map(|w| w.in_flight).fold(0, u64::saturating_add)
    }

    /// Items planned for the fleet. `None` when they are not known of every worker.
    pub fn planned(&self) -> Option<u64> {
        self.workers.iter().map(|w| w.share.planned()).sum()
    }

    /// What the trial measured. Parts still open count as given up for `otherwise`.
    pub fn finish(self, otherwise: NotSentReason) -> TrialOutcome {
        let planned_start = self.planned_start;
        let mut not_sent = NotSent::default();
        let mut window: Option<Window> = None;
        let mut workers = Vec::with_capacity(self.workers.len());
        for part in self.workers {
            let missing = part.all_not_sent(otherwise);
            not_sent.merge(&missing);
            let active = part.active();
            window = window.into_iter().chain(active).reduce(Window::hull);
            let started = part.end.and_then(|(end, clock)| end.started.map(|s| clock.to_local(s)));
            workers.push(WorkerTrial {
                peer: part.peer,
                items_planned: part.ok + part.failed + missing.total(),
                items_ok: part.ok,
                items_failed: part.failed,
                items_not_sent: missing.total(),
                start_skew_us: started.zip(planned_start).map(|(s, p)| {
                    let ns = s.signed_nanos_since(p);
                    (ns + 500 * ns.signum()) / 1000
                }),
                health: part.health,
                requests_sent: part.requests,
            });
        }
        TrialOutcome {
            trial: self.trial,
            items_planned: workers.iter().map(|w| w.items_planned).sum(),
            tally: self.tally,
            warmup: self.warmup,
            series: self.series.as_ref().map(Series::points).unwrap_or_default(),
            not_sent: not_sent.iter().collect::<BTreeMap<_, _>>(),
            window,
            lanes: self.lanes,
            planned_start,
            workers,
        }
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
mod tests;
