//! The collector: one thread per trial that merges what the load threads recorded.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::{FailureKind, Failures, NotSentReason};
use fluxfleet_proto::health::{Ceiling, Health};
use fluxfleet_proto::load::Load;
use fluxfleet_proto::tally::{Interval, Phase, Record, Records, Tally};
use fluxfleet_proto::trial::{Assignment, TrialEnd};
use tokio::sync::mpsc;

use super::awake::{Awake, is_fast};
use super::condition::Condition;
use super::shared::{Control, Finished, Flushed, Part};
use super::{Output, calibrate, files, load};
use crate::drive::HeaderSet;
use crate::health;
use crate::record::{RECORDS_PER_MESSAGE, Tallies};
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
                control.stop(NotSentReason::WorkerFault, Duration::ZERO, Clock::now());
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
    let strategy = strategy(&assignment).map_err(|e| format!("cannot run {trial}: {e}"))?;
    let most = files::most_in_flight(assignment.share, strategy.size(), assignment.limits.warmup);
    let make_room = || files::make_room(most, threads).map_err(|e| format!("cannot run {trial}: {e}"));
    // What has no room is told before anything is measured, and measuring takes room of its own.
    drop(make_room()?);
    let ceiling = calibrate::before(&assignment, threads, control)
        .await
        .map_err(|e| format!("cannot measure this worker's ceiling before {trial}: {e}"))?;
    let _room = make_room()?;
    let crew = Crew::start(&assignment, strategy, threads.get(), control)
        .map_err(|e| format!("cannot start the load threads of {trial} ({e}); ask for fewer threads"))?;
    // On the heap: the intervals' tallies and this machine's readings make it large.
    Box::pin(Collector::new(crew, &assignment, control, outputs).run(ceiling)).await
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
    flushes: Vec<mpsc::Sender<Tallies>>,
    /// Empty tallies for the threads to go on with; one for each has been at hand since the start.
    spares: Vec<Tallies>,
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
        let target = Arc::new(assignment.target.clone());
        let open = match &assignment.load {
            Load::Closed => None,
            Load::Open(open) => Some(Arc::new(open.clone())),
        };
        let tallies = || Tallies::prepared(&assignment.load, assignment.limits.warmup);
        let (sender, parts) = mpsc::channel(2 * threads + 2);
        let mut flushes = Vec::with_capacity(threads);
        for index in 0..threads {
            let (flush, receiver) = mpsc::channel(1);
            let load = load::Load {
                thread: index,
                threads,
                control: Arc::clone(control),
                strategy: Arc::clone(&strategy),
                target: Arc::clone(&target),
                in_flight: assignment.share.in_flight,
                open: open.clone(),
                limits: assignment.limits,
                tallies: tallies(),
                records: assignment.record_requests,
                parts: sender.clone(),
                flushes: receiver,
            };
            std::thread::Builder::new().name(format!("load-{index}")).spawn(move || load::run(load))?;
            flushes.push(flush);
        }
        let spares = (0..threads).map(|_| tallies()).collect();
        Ok(Self { parts, flushes, spares, running: vec![true; threads], awaited: vec![false; threads] })
    }
}

struct Collector<'a> {
    crew: Crew,
    assignment: &'a Assignment,
    control: &'a Control,
    outputs: &'a mpsc::Sender<Output>,
    /// Merged, not given off yet.
    pending: Tallies,
    records: Vec<Record>,
    in_flight: u64,
    condition: Condition,
    awake: Awake,
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
        let threads = crew.running.len();
        // For the first interval; those after it use the memory of the ones before.
        let Tallies { warmup, measured, .. } = Tallies::prepared(&assignment.load, assignment.limits.warmup);
        control.give_back(Phase::Warmup, *warmup);
        control.give_back(Phase::Measure, *measured);
        Self {
            crew,
            assignment,
            control,
            outputs,
            pending: Tallies::default(),
            records: Vec::new(),
            in_flight: 0,
            condition: Condition::new(threads),
            awake: Awake::default(),
            shown: BTreeSet::new(),
            from: now,
            to: now,
            due: None,
            end: TrialEnd { intervals: 0, records: 0, not_sent: None, started: None, active: None },
            counted: 0,
        }
    }

    async fn run(mut self, ceiling: Option<Ceiling>) -> Result<TrialEnd, String> {
        let mut ready = 0;
        while ready < self.crew.running.len() {
            match self.crew.parts.recv().await {
                Some(Part::Ready) => ready += 1,
                // A thread that was ready may have been stopped already.
                part => self.take(part).await?,
            }
        }
        self.control.gate.complete();
        // Not before the load threads are started: they would begin behind the others too.
        health::prefer(health::BEHIND_OTHERS);
        self.condition.begin();
        self.awake.keep(is_fast(&self.assignment.load, Duration::ZERO));
        self.give(Output::Ready(ceiling)).await;
        while self.crew.is_running() {
            tokio::select! {
                part = self.crew.parts.recv() => self.take(part).await?,
                () = until(self.due) => self.interval().await?,
            }
        }
        self.give_records(1).await;
        if !self.pending.warmup.is_empty() || !self.pending.measured.is_empty() {
            self.give_intervals().await;
        }
        Ok(self.ended())
    }

    /// Takes a part off the channel.
    async fn take(&mut self, part: Option<Part>) -> Result<(), String> {
        match part {
            Some(Part::Started(thread, at, used)) => {
                self.condition.started(thread, used, at);
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
                self.merge(thread, *flushed);
            }
            Some(Part::Finished(thread, finished)) => {
                let Finished { last, active } = *finished;
                self.crew.awaited[thread] = false;
                self.crew.running[thread] = false;
                self.merge(thread, last);
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

    fn merge(&mut self, thread: usize, flushed: Flushed) {
        let Flushed { mut tallies, records, in_flight, socket_errors, processor_time, at } = flushed;
        self.pending.merge(&tallies);
        self.records.extend(records);
        self.in_flight += in_flight;
        self.condition.health.socket_errors += socket_errors;
        self.condition.opened(tallies.warmup.connections + tallies.measured.connections, at);
        self.condition.used(thread, processor_time, at);
        self.to = self.to.max(at);
        tallies.clear();
        self.crew.spares.push(tallies);
    }

    /// Has the next interval recorded in the memory of earlier ones.
    fn reuse(&mut self) {
        let Tallies { warmup, measured, poll_delay: _ } = &mut self.pending;
        for (phase, tally) in [(Phase::Warmup, warmup), (Phase::Measure, measured)] {
            if tally.is_empty() {
                **tally = self.control.spare(phase);
            }
        }
    }

    /// Asks every thread for what it has recorded and gives off an interval of it.
    async fn interval(&mut self) -> Result<(), String> {
        self.in_flight = 0;
        self.reuse();
        for (thread, flush) in self.crew.flushes.iter().enumerate() {
            let spare = self.crew.spares.pop().unwrap_or_default();
            // Refused only by a thread that has ended; then its last part, which is on the way, is the answer.
            let _ = flush.try_send(spare);
            self.crew.awaited[thread] = self.crew.running[thread];
        }
        while self.crew.is_awaited() {
            let part = self.crew.parts.recv().await;
            self.take(part).await?;
        }
        self.give_records(1).await;
        self.give_intervals().await;
        // Intervals keep to their grid; one that came late does not delay the next, and none is made up for.
        let now = Clock::now();
        let next = self.due.map_or(now, |due| due + self.assignment.interval);
        self.due = Some(next.max(now));
        let since = self.end.started.map_or(Duration::ZERO, |started| now.since(started));
        self.awake.keep(is_fast(&self.assignment.load, since));
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

    /// Gives off an interval of each phase in which something happened, and one at least.
    async fn give_intervals(&mut self) {
        let Tallies { warmup, measured, poll_delay } = std::mem::take(&mut self.pending);
        self.condition.health.poll_delay = poll_delay;
        let mut health = Some(Box::new(self.condition.take(self.in_flight, self.to)));
        let phases = [(Phase::Warmup, warmup), (Phase::Measure, measured)];
        let empty = phases.iter().all(|(_, tally)| tally.is_empty());
        for (phase, tally) in phases {
            if !tally.is_empty() || (empty && phase == Phase::Measure) {
                let interval = self.interval_of(phase, tally, health.take());
                self.give(Output::Interval(interval)).await;
            } else {
                self.control.give_back(phase, *tally);
            }
        }
        self.from = self.to;
    }

    fn interval_of(
        &mut self,
        phase: Phase,
        mut tally: Box<Tally>,
        health: Option<Box<Health>>,
    ) -> Box<Interval> {
        if phase == Phase::Measure {
            self.counted += tally.items_ended() + tally.not_sent.total();
        }
        let mut failures = Failures::default();
        for (kind, seen) in tally.failures.iter() {
            let example = seen.example.as_deref().filter(|_| self.shown.insert(kind));
            failures.add(kind, seen.count, example);
        }
        tally.failures = failures;
        let interval = Box::new(Interval {
            trial: self.assignment.trial,
            seq: self.end.intervals,
            from: self.from,
            to: self.to,
            phase,
            in_flight: self.in_flight,
            tally: *tally,
            health,
        });
        self.end.intervals += 1;
        interval
    }

    fn ended(mut self) -> TrialEnd {
        let order = self.control.order().map(|o| o.reason);
        let (left, reason) = match &self.assignment.load {
            Load::Closed => {
                let planned = self.assignment.share.planned();
                let left = planned.map_or(0, |_| self.control.claims.left());
                debug_assert!(planned.is_none_or(|p| self.counted + left == p), "every item ends once");
                // Items are left only when a stop closed the claims, or their time was up.
                let time_up = self.assignment.limits.duration.map(|_| NotSentReason::TimeUp);
                (left, order.or(time_up))
            }
            // How many arrivals were still to come is known only where the share says so.
            Load::Open(_) => {
                let left = self.assignment.share.planned().map_or(0, |p| p.saturating_sub(self.counted));
                (left, order)
            }
        };
        if left > 0 {
            self.end.not_sent = Some((left, reason.unwrap_or(NotSentReason::WorkerFault)));
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
