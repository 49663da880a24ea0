//! What a load thread records, and the proof that each request is recorded once.
//!
//! A request that has begun is an [`Asked`]. It ends by [`Asked::end`] with a verdict, or by being dropped, and
//! then its items have failed as interrupted: whatever cuts a request off, its items are counted.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, GAP_UNIT};
use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::{Load, OpenLoad, Warmup};
use fluxfleet_proto::tally::{Phase, Record, Tally};
use fluxfleet_proto::units::Micros;

use crate::claim::Claim;
use crate::drive::{Failure, Progress};
use crate::judge::Verdict;

/// Requests per [`Records`](fluxfleet_proto::tally::Records) message at most.
pub(crate) const RECORDS_PER_MESSAGE: usize = 1000;

/// A tally of each phase, for the thread to go on with or to hand over, and how late the thread came to its tasks.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) warmup: Box<Tally>,
    pub(crate) measured: Box<Tally>,
    pub(crate) poll_delay: Latency,
}

impl Tallies {
    /// Empty ones, with the memory at hand for what nearly all requests of such a trial record: a load thread must not
    /// wait for the kernel to find some between two requests.
    pub(crate) fn prepared(load: &Load, warmup: Warmup) -> Self {
        let mut tallies = Self { poll_delay: Latency::prepared(), ..Self::default() };
        prepare(&mut tallies.measured, load);
        if warmup != Warmup::None {
            prepare(&mut tallies.warmup, load);
        }
        tallies
    }

    fn of(&mut self, phase: Phase) -> &mut Tally {
        match phase {
            Phase::Warmup => &mut self.warmup,
            Phase::Measure => &mut self.measured,
        }
    }

    /// Adds what another thread recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.warmup.merge(&other.warmup);
        self.measured.merge(&other.measured);
        self.poll_delay.merge(&other.poll_delay);
    }

    /// Forgets everything, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.warmup.clear();
        self.measured.clear();
        self.poll_delay.clear();
    }
}

fn prepare(tally: &mut Tally, load: &Load) {
    let Tally { response_time, service_time, first_byte, generation_time, .. } = tally;
    let Tally { send_lateness, connect_time, pacer_lateness, .. } = tally;
    let open = matches!(load, Load::Open(_)).then_some(pacer_lateness);
    let all = [response_time, service_time, first_byte, generation_time, send_lateness, connect_time];
    for latency in all.into_iter().chain(open) {
        *latency = Latency::prepared();
    }
}

/// One load thread's recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    tallies: Tallies,
    in_flight: u64,
    /// Requests in detail; `None`: nobody asked for them.
    records: Option<Vec<Record>>,
    /// First send and last end in the measured phase.
    active: Option<(Mono, Mono)>,
    /// Of an open load.
    gaps: Option<Gaps>,
    socket_errors: u64,
}

impl Recorder {
    /// A recorder that begins with these tallies, which are empty. `gaps` for an open load.
    pub(crate) fn new(tallies: Tallies, records: bool, gaps: Option<Gaps>) -> Self {
        Self { tallies, in_flight: 0, records: records.then(Vec::new), active: None, gaps, socket_errors: 0 }
    }

    /// Hands over what was recorded and goes on with `spare`, which is empty.
    pub(crate) fn swap(&mut self, spare: Tallies) -> Tallies {
        std::mem::replace(&mut self.tallies, spare)
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Connections that could not be opened or broke, since this was last asked.
    pub(crate) fn take_socket_errors(&mut self) -> u64 {
        std::mem::take(&mut self.socket_errors)
    }

    /// Hands over the records held, if there are any.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hands over the records once there are enough for a message.
    pub(crate) fn take_full_records(&mut self) -> Option<Vec<Record>> {
        let records = self.records.as_mut()?;
        (records.len() >= RECORDS_PER_MESSAGE)
            .then(|| std::mem::replace(records, Vec::with_capacity(RECORDS_PER_MESSAGE)))
    }

    /// First send and last end in the measured phase.
    pub(crate) fn active(&self) -> Option<(Mono, Mono)> {
        self.active
    }

    /// The thread came to a task that was due so much later.
    pub(crate) fn polled(&mut self, delay: Duration) {
        self.tallies.poll_delay.record(delay.into());
    }

    /// The pacer took up an arrival for which there was a place.
    pub(crate) fn took_up(&mut self, phase: Phase, lateness: Duration) {
        self.tallies.of(phase).pacer_lateness.record(lateness.into());
    }

    /// An arrival is not sent, now.
    pub(crate) fn gave_up(&mut self, claim: Claim, intended: Mono, reason: NotSentReason, now: Mono) {
        let waited = now.micros_since(intended);
        let tally = self.tallies.of(claim.phase);
        tally.not_sent.add(reason, claim.items.into());
        tally.not_sent_wait.record(waited);
        if let Some(records) = &mut self.records {
            records.push(Record {
                phase: claim.phase,
                first_item: claim.first,
                items: claim.items,
                items_ok: 0,
                intended,
                response_time: waited,
                service_time: Micros(0),
                generation_time: None,
                error: None,
                not_sent: Some(reason),
            });
        }
    }

    fn begin(&mut self, facts: &Facts) {
        let Facts { claim, intended, sent, lane } = *facts;
        self.in_flight += 1;
        let tally = self.tallies.of(claim.phase);
        tally.requests_sent += 1;
        tally.send_lateness.record(sent.micros_since(intended));
        if let (Some(gaps), Some(lane)) = (&mut self.gaps, lane)
            && let Some(gap) = gaps.gap(lane, sent)
        {
            tally.send_gap.record(gap);
        }
        if claim.phase == Phase::Measure {
            let (first, last) = self.active.unwrap_or((sent, sent));
            self.active = Some((first.min(sent), last));
        }
    }

    fn end(&mut self, asked: &Facts, progress: &Progress, verdict: Verdict, end: Mono) {
        let Verdict { ok, failed, generation_time } = verdict;
        let Claim { phase, first, items } = asked.claim;
        debug_assert_eq!(
            u64::from(ok) + failed.iter().map(|f| u64::from(f.items)).sum::<u64>(),
            u64::from(items),
            "every item of a request ends once"
        );
        let response_time = end.micros_since(asked.intended);
        let service_time = end.micros_since(asked.sent);
        self.in_flight -= 1;
        if phase == Phase::Measure {
            self.active = self.active.map(|(first, last)| (first, last.max(end)));
        }
        let t = self.tallies.of(phase);
        t.polls_sent += progress.polls();
        t.bytes_received += progress.bytes();
        t.redirects += progress.redirects();
        t.connections += u64::from(progress.connections());
        if let Some(connecting) = progress.connecting() {
            t.connect_time.record(connecting.into());
        }
        if let Some(securing) = progress.securing() {
            t.tls_time.record(securing.into());
        }
        t.items_ok += u64::from(ok);
        if failed.is_empty() {
            t.requests_ok += 1;
        } else {
            t.requests_failed += 1;
        }
        if ok > 0 {
            t.response_time.record(response_time);
            t.service_time.record(service_time);
            if let Some(at) = progress.first_byte() {
                t.first_byte.record(at.micros_since(asked.sent));
            }
            if let Some(time) = generation_time {
                t.generation_time.record(time);
            }
        } else {
            t.failed_response_time.record(response_time);
        }
        for failure in &failed {
            t.items_failed += u64::from(failure.items);
            t.failures.add(failure.kind, failure.items.into(), Some(&failure.text));
            self.socket_errors += u64::from(failure.kind.is_of_the_socket());
        }
        if let Some(records) = &mut self.records {
            records.push(Record {
                phase,
                first_item: first,
                items,
                items_ok: ok,
                intended: asked.intended,
                response_time,
                service_time,
                generation_time,
                error: failed.into_iter().next().map(|f| (f.kind, f.text)),
                not_sent: None,
            });
        }
    }
}

/// Gaps between the sends of each lane, in units of the gap that was expected there and then: what is recorded has
/// one law whatever the rate, which shows whether the arrivals asked for were the arrivals sent.
#[derive(Debug)]
pub(crate) struct Gaps {
    load: Arc<OpenLoad>,
    start: Mono,
    /// By the worker's lanes: expected arrivals of the fleet up to the lane's last send.
    last: Vec<Option<f64>>,
}

impl Gaps {
    /// None so far. `None` for a load whose gaps follow no law.
    pub(crate) fn new(load: &Arc<OpenLoad>, start: Mono) -> Option<Self> {
        matches!(load.arrivals, Arrivals::Drawn { .. }).then(|| Self {
            last: vec![None; load.lanes.count as usize],
            load: Arc::clone(load),
            start,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturating, and never negative"
    )]
    fn gap(&mut self, lane: u32, sent: Mono) -> Option<Micros> {
        let lanes = self.load.lanes;
        let position = self.load.arrivals.expected(sent.since(self.start));
        let last = self.last.get_mut(lane.checked_sub(lanes.first)? as usize)?.replace(position)?;
        Some(Micros(((position - last) / f64::from(lanes.of) * GAP_UNIT) as u64))
    }
}

/// What is known of a request when it goes out.
#[derive(Debug)]
struct Facts {
    claim: Claim,
    intended: Mono,
    sent: Mono,
    /// In an open load.
    lane: Option<u32>,
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    recorder: &'a RefCell<Recorder>,
    facts: Facts,
    progress: Progress,
    ended: bool,
}

impl<'a> Asked<'a> {
    /// The request goes out now.
    pub(crate) fn begin(
        recorder: &'a RefCell<Recorder>,
        claim: Claim,
        intended: Mono,
        lane: Option<u32>,
    ) -> Self {
        // Read last: what comes before belongs to the lateness, what comes after to the service.
        let facts = Facts { claim, intended, sent: Clock::now(), lane };
        recorder.borrow_mut().begin(&facts);
        let progress = Progress::starting(facts.sent);
        Self { recorder, facts, progress, ended: false }
    }

    /// When it went out.
    pub(crate) fn sent(&self) -> Mono {
        self.facts.sent
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// It has ended, when the clock was last read for it; returns that. Judging what has come is not the service's
    /// time.
    pub(crate) fn end(mut self, verdict: Verdict) -> Mono {
        self.ended = true;
        let end = self.progress.now();
        self.recorder.borrow_mut().end(&self.facts, &self.progress, verdict, end);
        end
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let failure = Failure {
                kind: FailureKind::Interrupted,
                text: "in flight when the trial was stopped, and not ended within the grace".to_owned(),
            };
            let verdict = Verdict::all_failed(self.facts.claim.items, failure);
            self.recorder.borrow_mut().end(&self.facts, &self.progress, verdict, Clock::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Failed;
    use proptest::prelude::*;

    fn verdict(ok: u32, failed: u32) -> Verdict {
        let failed = (failed > 0)
            .then(|| Failed { items: failed, kind: FailureKind::Timeout, text: "late".into() })
            .into_iter()
            .collect();
        Verdict { ok, failed, generation_time: Some(Micros(7)) }
    }

    proptest! {
        #[test]
        fn however_requests_end_every_item_is_counted_once_and_records_equal_the_histograms(
            requests in proptest::collection::vec((0u32..4, 0u32..4, any::<bool>()), 0..30),
        ) {
            let recorder = RefCell::new(Recorder::new(Tallies::default(), true, None));
            let mut items = 0;
            for (at, &(ok, failed, cut)) in requests.iter().enumerate() {
                let claim = Claim { phase: Phase::Measure, first: at as u64, items: ok + failed };
                items += u64::from(claim.items);
                let asked = Asked::begin(&recorder, claim, Clock::now(), None);
                if cut { drop(asked) } else { asked.end(verdict(ok, failed)); }
            }
            let mut recorder = recorder.into_inner();
            let tally = recorder.swap(Tallies::default()).measured;
            prop_assert_eq!(recorder.in_flight(), 0);
            prop_assert_eq!(tally.items_ended(), items);
            prop_assert_eq!(tally.items_failed, tally.failures.total());
            prop_assert_eq!(tally.requests_sent, requests.len() as u64);
            prop_assert_eq!(tally.requests_ok + tally.requests_failed, tally.requests_sent);
            prop_assert_eq!(tally.send_lateness.count(), tally.requests_sent);
            prop_assert_eq!(
                tally.response_time.count() + tally.failed_response_time.count(), tally.requests_sent);

            let mut again = Tally::default();
            for record in recorder.take_records() {
                if record.items_ok > 0 {
                    again.response_time.record(record.response_time);
                    again.service_time.record(record.service_time);
                    record.generation_time.into_iter().for_each(|t| again.generation_time.record(t));
                } else {
                    again.failed_response_time.record(record.response_time);
                }
            }
            prop_assert_eq!(again.response_time, tally.response_time);
            prop_assert_eq!(again.service_time, tally.service_time);
            prop_assert_eq!(again.failed_response_time, tally.failed_response_time);
            prop_assert_eq!(again.generation_time, tally.generation_time);
        }
    }
}
