//! Which trial is on, and what a command means for it. Synchronous; the loop around it does the waiting.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::{WorkerCommand, WorkerReport};
use fluxfleet_proto::tally::Interval;
use fluxfleet_proto::trial::{Assignment, TrialEnd};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::engine::{self, Handle, Output};

/// One trial at a time, and at most one that waits for it to end.
pub(super) struct Desk {
    threads: NonZeroUsize,
    trial: Option<Active>,
    /// Prepared while another trial was still ending.
    next: Option<Waiting>,
    /// What is to be reported, oldest first.
    pub(super) reports: VecDeque<WorkerReport>,
}

struct Active {
    id: TrialId,
    handle: Handle,
    outputs: mpsc::Receiver<Output>,
}

struct Waiting {
    assignment: Box<Assignment>,
    /// Its start, when that came before its turn.
    start: Option<fluxfleet_proto::clock::Mono>,
}

impl Desk {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self { threads, trial: None, next: None, reports: VecDeque::new() }
    }

    /// The trial that is on.
    pub(super) fn trial(&self) -> Option<TrialId> {
        self.trial.as_ref().map(|t| t.id)
    }

    /// Waits for what the trial gives off; for ever when none is on.
    pub(super) async fn output(&mut self) -> Option<Output> {
        match &mut self.trial {
            Some(trial) => trial.outputs.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Does what the coordinator says, as far as it concerns trials.
    pub(super) fn command(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Prepare(assignment) => self.prepare(assignment),
            WorkerCommand::Start(id, at) => match (&self.trial, &mut self.next) {
                (Some(trial), _) if trial.id == id => trial.handle.start(at),
                (_, Some(next)) if next.assignment.trial == id => next.start = Some(at),
                // A start that crossed the end of a trial stopped before it.
                _ => debug!("start of {id}, which is not on"),
            },
            WorkerCommand::Stop(id, reason, grace) => match (&self.trial, &self.next) {
                (Some(trial), _) if trial.id == id => trial.handle.stop(reason, grace),
                (_, Some(next)) if next.assignment.trial == id => self.give_up_next(reason),
                _ => debug!("stop of {id}, which is not on"),
            },
            WorkerCommand::Welcome(_) | WorkerCommand::ClockPing(_) | WorkerCommand::Ack(..) => {}
        }
    }

    /// Turns what the trial gave off into a report; `None` means that its threads are gone without an end.
    pub(super) fn gave(&mut self, output: Option<Output>) {
        let Some(id) = self.trial() else { return };
        let report = match output {
            Some(Output::Ready(ceiling)) => WorkerReport::Ready(id, ceiling),
            Some(Output::Interval(interval)) => WorkerReport::Interval(interval),
            Some(Output::Records(records)) => WorkerReport::Records(records),
            Some(Output::Done(end)) => {
                self.trial = None;
                WorkerReport::TrialDone(id, end)
            }
            Some(Output::Fault(why)) => self.fault(id, why),
            None => self.fault(id, format!("the threads of {id} have vanished, which is a bug")),
        };
        self.reports.push_back(report);
        if self.trial.is_none()
            && let Some(Waiting { assignment, start }) = self.next.take()
        {
            self.begin(*assignment);
            if let (Some(trial), Some(at)) = (&self.trial, start) {
                trial.handle.start(at);
            }
        }
    }

    /// An interval is reported and not needed any more; its trial may use its memory, if it is still on.
    pub(super) fn give_back(&self, interval: Interval) {
        if let Some(trial) = self.trial.as_ref().filter(|trial| trial.id == interval.trial) {
            trial.handle.give_back(interval);
        }
    }

    /// A message that made no sense.
    pub(super) fn nonsense(&mut self, trial: Option<TrialId>, what: &str) {
        warn!("the coordinator sent a message that makes no sense: {what}");
        let message = format!("the coordinator's message makes no sense to this worker: {what}");
        self.reports.push_back(WorkerReport::Fault(trial, message));
    }

    /// Ends everything within the grace.
    pub(super) fn stop_all(&mut self, reason: NotSentReason, grace: Duration) {
        if let Some(trial) = &self.trial {
            trial.handle.stop(reason, grace);
        }
        self.give_up_next(reason);
    }

    fn prepare(&mut self, assignment: Box<Assignment>) {
        match &self.trial {
            None => self.begin(*assignment),
            Some(trial) => {
                // A coordinator prepares a trial when the one before is over. One that does not has given that
                // one up: it is ended at once, its end reported, and then the new one's turn comes.
                trial.handle.stop(NotSentReason::Interrupted, Duration::ZERO);
                self.give_up_next(NotSentReason::NotStarted);
                self.next = Some(Waiting { assignment, start: None });
            }
        }
    }

    fn begin(&mut self, assignment: Assignment) {
        let id = assignment.trial;
        match engine::prepare(assignment, self.threads) {
            Ok((handle, outputs)) => self.trial = Some(Active { id, handle, outputs }),
            Err(e) => {
                let message = format!("cannot start a thread for {id} ({e}); check the limit on threads");
                let report = self.fault(id, message);
                self.reports.push_back(report);
            }
        }
    }

    fn give_up_next(&mut self, reason: NotSentReason) {
        if let Some(Waiting { assignment, .. }) = self.next.take() {
            let items = assignment.share.items;
            let not_sent = (items > 0).then_some((items, reason));
            let end = TrialEnd { intervals: 0, records: 0, not_sent, started: None, active: None };
            self.reports.push_back(WorkerReport::TrialDone(assignment.trial, end));
        }
    }

    fn fault(&mut self, id: TrialId, why: String) -> WorkerReport {
        warn!("{why}");
        self.trial = None;
        WorkerReport::Fault(Some(id), why)
    }
}
