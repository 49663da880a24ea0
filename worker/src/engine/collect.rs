//! The collector: one thread per trial that merges what the load threads recorded.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::{FailureKind, Failures, NotSentReason};
use fluxfleet_proto::tally::{Interval, Phase, Record, Records, Tally};
use fluxfleet_proto::trial::{Assignment, TrialEnd};
use tokio::sync::mpsc;

use super::shared::{Control, Finished, Flushed, Part};
use super::{Output, files, load};
use crate::drive::HeaderSet;
use crate::record::RECORDS_PER_MESSAGE;
use crate::schedule;
use crate::strategy::{InvalidAssignment, Strategy};

/// The thread's body. Gives off exactly one `Done` or `Fault`, at last.
pub(super) fn run(
    assignment: Assignment,
    threads: NonZeroUsize,
    control: &Arc<Control>,
    outputs: mpsc::Sender<Output>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ =
                outputs.blocking_send(Output::Fault(format!("cannot start the collector's runtime ({e})")));
            return;
        }
    };
    runtime.block_on(async {
        let last = match collect(assignment, threads, control, &outputs).await {
            Ok(end) => Output::Done(end),
            Err(fault) => {
                // Whatever still runs must not go on unwatched.
                control.stop(NotSentReason::WorkerFault, std::time::Duration::ZERO, Clock::now());
                Output::Fault(fault)
            }
        };
        let _ = outputs.send(last).await;
    });
}

async fn collect(
    assignment: Assignment,
    threads: NonZeroUsize,
    control: &Arc<Control>,
    outputs: &mpsc::Sender<Output>,
) -> Result<TrialEnd, String> {
    let trial = assignment.trial;
    files::make_room(assignment.share.in_flight).map_err(|e| format!("cannot run {trial}: {e}"))?;
    let strategy = strategy(&assignment).map_err(|e| format!("cannot run {trial}: {e}"))?;
    let crew = Crew::start(&assignment, strategy, threads.get(), control)
        .map_err(|e| format!("cannot start the load threads of {trial} ({e}); ask for fewer threads"))?;
    Collector::new(crew, &assignment, control, outputs).run().await
}

fn strategy(assignment: &Assignment) -> Result<Strategy, InvalidAssignment> {
    let share = assignment.share;
    if share.in_flight == 0 && share.items > 0 {
        return Err(InvalidAssignment::NothingInFlight { items: share.items });
    }
    let mut headers = http::HeaderMap::new();
    for (name, value) in &assignment.target.headers {
        let invalid = |problem: String| InvalidAssignment::Header { name: name.clone(), problem };
        let known = http::HeaderName::try_from(name).map_err(|e| invalid(e.to_string()))?;
        if matches!(known, http::header::CONTENT_LENGTH | http::header::TRANSFER_ENCODING) {
            return Err(invalid("the body's length is not up to the plan".to_owned()));
        }
        let value = http::HeaderValue::try_from(value).map_err(|e| invalid(e.to_string()))?;
        headers.append(known, value);
    }
    Strategy::new(assignment, HeaderSet::new(&headers))
}

/// The load threads, seen from the collector.
struct Crew {
    parts: mpsc::Receiver<Part>,
    flushes: Vec<mpsc::Sender<Box<Tally>>>,
    /// By thread: it has not ended.
    running: Vec<bool>,
    /// By thread: it was asked for a tally and has not answered.
    awaited: Vec<bool>,
}

impl Crew {
    fn is_running(&self) -> bool {
        self.running.contains(&true)
    }

    fn is_awaited(&self) -> bool {
        self.awaited.contains(&true)
    }

    fn start(
        assignment: &Assignment,
        strategy: Strategy,
        threads: usize,
        control: &Arc<Control>,
    ) -> std::io::Result<Self> {
        let strategy = Arc::new(strategy);
        let (sender, parts) = mpsc::channel(2 * threads + 2);
        let mut flushes = Vec::with_capacity(threads);
        for index in 0..threads {
            let (flush, receiver) = mpsc::channel(1);
            let load = load::Load {
                thread: index,
                control: Arc::clone(control),
                strategy: Arc::clone(&strategy),
                timeout: assignment.target.timeout,
                max_body_bytes: assignment.target.max_body_bytes,
                slots: schedule::slots(assignment.share.in_flight, threads, index),
                records: assignment.record_requests,
                parts: sender.clone(),
                flushes: receiver,
            };
            std::thread::Builder::new().name(format!("load-{index}")).spawn(move || load::run(load))?;
            flushes.push(flush);
        }
        Ok(Self { parts, flushes, running: vec![true; threads], awaited: vec![false; threads] })
    }
}

struct Collector<'a> {
    crew: Crew,
    assignment: &'a Assignment,
    control: &'a Control,
    outputs: &'a mpsc::Sender<Output>,
    /// Merged, not given off yet.
    pending: Tally,
    records: Vec<Record>,
    in_flight: u64,
    /// Empty tallies for the threads to go on with.
    #[expect(clippy::vec_box, reason = "they are handed over in their boxes")]
    spares: Vec<Box<Tally>>,
    /// Failure kinds of which an example was given off.
    shown: BTreeSet<FailureKind>,
    /// Where the next interval begins, and where it ends as far as is known.
    from: Mono,
    to: Mono,
    /// When the next interval is due; `None` before the start.
    due: Option<Mono>,
    end: TrialEnd,
    /// Items in the intervals given off.
    counted: u64,
}

impl<'a> Collector<'a> {
    fn new(
        crew: Crew,
        assignment: &'a Assignment,
        control: &'a Control,
        outputs: &'a mpsc::Sender<Output>,
    ) -> Self {
        let now = Clock::now();
        Self {
            crew,
            assignment,
            control,
            outputs,
            pending: Tally::default(),
            records: Vec::new(),
            in_flight: 0,
            spares: Vec::new(),
            shown: BTreeSet::new(),
            from: now,
            to: now,
            due: None,
            end: TrialEnd { intervals: 0, records: 0, not_sent: None, started: None, active: None },
            counted: 0,
        }
    }

    async fn run(mut self) -> Result<TrialEnd, String> {
        let mut ready = 0;
        while ready < self.crew.running.len() {
            match self.crew.parts.recv().await {
                Some(Part::Ready) => ready += 1,
                // A thread that was ready may have been stopped already.
                part => self.take(part).await?,
            }
        }
        self.control.gate.complete();
        self.give(Output::Ready(None)).await;
        while self.crew.is_running() {
            tokio::select! {
                part = self.crew.parts.recv() => self.take(part).await?,
                () = until(self.due) => self.interval().await?,
            }
        }
        self.give_records(1).await;
        if self.pending.requests_sent > 0 || self.pending.items_ended() > 0 {
            self.give_interval().await;
        }
        Ok(self.ended())
    }

    /// Takes a part off the channel.
    async fn take(&mut self, part: Option<Part>) -> Result<(), String> {
        match part {
            Some(Part::Started(at)) => {
                let started = self.end.started.map_or(at, |s| s.min(at));
                if self.end.started.is_none() {
                    self.due = Some(at + self.assignment.interval);
                }
                // Nothing has been given off yet, so the first interval may still begin earlier.
                (self.end.started, self.from) = (Some(started), started);
                self.to = self.to.max(at);
            }
            Some(Part::Records(records)) => {
                self.records.extend(records);
                self.give_records(RECORDS_PER_MESSAGE).await;
            }
            Some(Part::Flushed(thread, flushed)) => {
                self.crew.awaited[thread] = false;
                self.merge(*flushed);
            }
            Some(Part::Finished(thread, finished)) => {
                let Finished { last, active } = *finished;
                self.crew.awaited[thread] = false;
                self.crew.running[thread] = false;
                self.merge(last);
                self.end.active = match (self.end.active, active) {
                    (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                    (mine, theirs) => mine.or(theirs),
                };
            }
            Some(Part::Unable(why)) => return Err(format!("cannot run {}: {why}", self.assignment.trial)),
            Some(Part::Ready | Part::Died) | None => return Err(self.died()),
        }
        Ok(())
    }

    fn merge(&mut self, flushed: Flushed) {
        let Flushed { mut tally, records, in_flight, at } = flushed;
        self.pending.merge(&tally);
        self.records.extend(records);
        self.in_flight += in_flight;
        self.to = self.to.max(at);
        tally.clear();
        self.spares.push(tally);
    }

    /// Asks every thread for what it has recorded and gives off an interval of it.
    async fn interval(&mut self) -> Result<(), String> {
        self.in_flight = 0;
        for (thread, flush) in self.crew.flushes.iter().enumerate() {
            let spare = self.spares.pop().unwrap_or_default();
            // Refused only by a thread that has ended; then its last part, which is on the way, is the answer.
            let _ = flush.try_send(spare);
            self.crew.awaited[thread] = self.crew.running[thread];
        }
        while self.crew.is_awaited() {
            let part = self.crew.parts.recv().await;
            self.take(part).await?;
        }
        self.give_records(1).await;
        self.give_interval().await;
        // Intervals keep to their grid; one that came late does not delay the next, and none is made up for.
        let now = Clock::now();
        let next = self.due.map_or(now, |due| due + self.assignment.interval);
        self.due = Some(next.max(now));
        Ok(())
    }

    async fn give(&self, output: Output) {
        // Fails when the reader is gone, and with it the handle: the load is being stopped.
        let _ = self.outputs.send(output).await;
    }

    /// Gives off records while at least `least` are held.
    async fn give_records(&mut self, least: usize) {
        while self.records.len() >= least {
            let rest = self.records.split_off(self.records.len().min(RECORDS_PER_MESSAGE));
            let records = std::mem::replace(&mut self.records, rest);
            let message = Records { trial: self.assignment.trial, seq: self.end.records, records };
            self.end.records += 1;
            self.give(Output::Records(message)).await;
        }
    }

    async fn give_interval(&mut self) {
        let mut tally = std::mem::take(&mut self.pending);
        self.counted += tally.items_ended();
        let mut failures = Failures::default();
        for (kind, seen) in tally.failures.iter() {
            let example = seen.example.as_deref().filter(|_| self.shown.insert(kind));
            failures.add(kind, seen.count, example);
        }
        tally.failures = failures;
        let interval = Interval {
            trial: self.assignment.trial,
            seq: self.end.intervals,
            from: self.from,
            to: self.to,
            phase: Phase::Measure,
            in_flight: self.in_flight,
            tally,
            health: None,
        };
        self.end.intervals += 1;
        self.from = self.to;
        self.give(Output::Interval(Box::new(interval))).await;
    }

    fn ended(mut self) -> TrialEnd {
        let left = self.control.claims.left();
        debug_assert_eq!(self.counted + left, self.assignment.share.items, "every item ends once");
        if left > 0 {
            // Items are left only when a stop closed the claims.
            let reason = self.control.order().map_or(NotSentReason::WorkerFault, |o| o.reason);
            self.end.not_sent = Some((left, reason));
        }
        self.end
    }

    fn died(&self) -> String {
        format!(
            "a load thread of {} has panicked, which is a bug; see this worker's output",
            self.assignment.trial
        )
    }
}

async fn until(at: Option<Mono>) {
    match at {
        Some(at) => tokio::time::sleep_until(Clock::instant(at).into()).await,
        None => std::future::pending().await,
    }
}
