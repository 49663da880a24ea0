//! What a load thread records, and the proof that each request is recorded once.
//!
//! A request that has begun is an [`Asked`]. It ends by [`Asked::end`] with a verdict, or by being dropped, and
//! then its items have failed as interrupted: whatever cuts a request off, its items are counted.

use std::cell::RefCell;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::FailureKind;
use fluxfleet_proto::tally::{Record, Tally};
use fluxfleet_proto::units::Micros;

use crate::claim::Claim;
use crate::drive::{Failure, Progress};
use crate::judge::Verdict;

/// Requests per [`Records`](fluxfleet_proto::tally::Records) message at most.
pub(crate) const RECORDS_PER_MESSAGE: usize = 1000;

/// One load thread's recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    tally: Box<Tally>,
    in_flight: u64,
    /// Requests in detail; `None`: nobody asked for them.
    records: Option<Vec<Record>>,
    active: Option<(Mono, Mono)>,
}

impl Recorder {
    /// An empty recorder.
    pub(crate) fn new(records: bool) -> Self {
        Self { tally: Box::default(), in_flight: 0, records: records.then(Vec::new), active: None }
    }

    /// Hands over what was recorded and goes on with `spare`, which is empty.
    pub(crate) fn swap(&mut self, spare: Box<Tally>) -> Box<Tally> {
        std::mem::replace(&mut self.tally, spare)
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
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

    /// First send and last end.
    pub(crate) fn active(&self) -> Option<(Mono, Mono)> {
        self.active
    }

    fn begin(&mut self, intended: Mono, sent: Mono) {
        self.in_flight += 1;
        self.tally.requests_sent += 1;
        self.tally.send_lateness.record(sent.since(intended).into());
        let (first, last) = self.active.unwrap_or((sent, sent));
        self.active = Some((first.min(sent), last));
    }

    fn end(&mut self, asked: &Facts, progress: &Progress, verdict: Verdict, end: Mono) {
        let Verdict { ok, failed, generation_time } = verdict;
        let items = asked.claim.items;
        debug_assert_eq!(
            u64::from(ok) + failed.iter().map(|f| u64::from(f.items)).sum::<u64>(),
            u64::from(items),
            "every item of a request ends once"
        );
        let response_time = Micros::from_duration(end.since(asked.intended));
        let service_time = Micros::from_duration(end.since(asked.sent));
        self.in_flight -= 1;
        self.active = self.active.map(|(first, last)| (first, last.max(end)));
        let t = &mut *self.tally;
        t.polls_sent += progress.polls();
        t.bytes_received += progress.bytes();
        t.redirects += progress.redirects();
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
                t.first_byte.record(at.since(asked.sent).into());
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
        }
        if let Some(records) = &mut self.records {
            records.push(Record {
                first_item: asked.claim.first,
                items,
                items_ok: ok,
                intended: asked.intended,
                response_time,
                service_time,
                generation_time,
                error: failed.into_iter().next().map(|f| (f.kind, f.text)),
            });
        }
    }
}

/// What is known of a request when it goes out.
#[derive(Debug)]
struct Facts {
    claim: Claim,
    intended: Mono,
    sent: Mono,
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
    pub(crate) fn begin(recorder: &'a RefCell<Recorder>, claim: Claim, intended: Mono) -> Self {
        // Read last: what comes before belongs to the lateness, what comes after to the service.
        let sent = Clock::now();
        recorder.borrow_mut().begin(intended, sent);
        let facts = Facts { claim, intended, sent };
        Self { recorder, facts, progress: Progress::starting(sent), ended: false }
    }

    /// When it went out.
    pub(crate) fn sent(&self) -> Mono {
        self.facts.sent
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// It has ended; returns when.
    pub(crate) fn end(mut self, verdict: Verdict) -> Mono {
        self.ended = true;
        let end = Clock::now();
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
            let recorder = RefCell::new(Recorder::new(true));
            let mut items = 0;
            for (at, &(ok, failed, cut)) in requests.iter().enumerate() {
                let claim = Claim { first: at as u64, items: ok + failed };
                items += u64::from(claim.items);
                let asked = Asked::begin(&recorder, claim, Clock::now());
                if cut { drop(asked) } else { asked.end(verdict(ok, failed)); }
            }
            let mut recorder = recorder.into_inner();
            let tally = recorder.swap(Box::default());
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
