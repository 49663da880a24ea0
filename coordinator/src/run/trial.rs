//! One trial: who is ready, who has begun, who is done. Synchronous; takes `now`.

use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::load::{Load, Warmup};
use fluxfleet_proto::message::{Acked, WorkerCommand, WorkerReport};
use fluxfleet_proto::trial::Assignment;

use crate::aggregate::{SpooledRecord, TrialMerge, TrialOutcome, no_endpoint};
use crate::plan::ErrorLimit;

/// A worker that is not ready by then is given up. What it was asked to measure of itself comes on top.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);
/// Least time between releasing the barrier and the start, for the command to travel and threads to wake.
const MIN_LEAD: Duration = Duration::from_millis(150);
/// What in-flight requests get after a stop.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Time after the grace in which a worker has to report the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// After the last request could have been sent and timed out, a worker that says nothing of an end for this long
/// more is given up.
const LAST_RESORT: Duration = Duration::from_secs(30);

/// What holds for a whole trial.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// What comes before measuring.
    pub warmup: Warmup,
    /// How much may fail. `None`: everything.
    pub error_limit: Option<ErrorLimit>,
    /// No request is sent from then on, since the start. `None`: that is not known.
    pub sends_until: Option<Duration>,
}

/// What is to be done about a trial.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Send a command to a worker.
    Tell(PeerId, WorkerCommand),
    /// The load begins at this instant.
    Begins(Mono),
    /// Keep these records.
    Keep(Vec<SpooledRecord>),
    /// Drop a worker, and why.
    Drop(PeerId, String),
    /// Say that more failed than the plan allows: items failed, of items that ended.
    Tripped(u64, u64),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Workers build their part; those named are still at it.
    Preparing { missing: Vec<PeerId>, since: Mono },
    /// The barrier is released.
    Running { start: Mono },
    /// Load stops; who is not done by then is given up. `start` as it was, if it had been.
    Stopping { until: Mono, start: Option<Mono> },
}

/// A trial under way.
#[derive(Debug)]
pub struct TrialRun {
    trial: TrialId,
    merge: TrialMerge,
    phase: Phase,
    begun: usize,
    rules: Rules,
    patience: Duration,
    /// Longest time from a request's start to its end.
    timeout: Duration,
}

impl TrialRun {
    /// A trial split like this, one assignment for each worker and at least one, and the commands that prepare it.
    pub fn begin(assignments: Vec<(PeerId, Assignment)>, rules: Rules, now: Mono) -> (Self, Vec<Effect>) {
        let all = || assignments.iter().map(|(_, a)| a);
        let trial = all().next().map_or(TrialId(0), |a| a.trial);
        let interval = all().next().map_or(Duration::ZERO, |a| a.interval);
        let lanes = all().find_map(|a| match &a.load {
            Load::Open(open) => Some(open.lanes.of),
            Load::Closed => None,
        });
        let shares = assignments.iter().map(|(peer, a)| (*peer, a.share));
        let calibration = all().filter_map(|a| a.calibrate).max().unwrap_or_default();
        let run = Self {
            trial,
            merge: TrialMerge::new(trial, shares, interval).with_lanes(lanes),
            phase: Phase::Preparing {
                missing: assignments.iter().map(|(peer, _)| *peer).collect(),
                since: now,
            },
            begun: assignments.len(),
            rules,
            // Beside the measurement itself, its server and its connections have to come up and go down.
            patience: PREPARE_PATIENCE + calibration * 2,
            timeout: all().map(|a| a.target.timeout).max().unwrap_or_default(),
        };
        let prepare = |(peer, a)| Effect::Tell(peer, WorkerCommand::Prepare(Box::new(a)));
        (run, assignments.into_iter().map(prepare).collect())
    }

    /// Notes what is known of a worker from an earlier trial.
    pub fn knows(&mut self, peer: PeerId, ceiling: Ceiling) {
        self.merge.ceiling(peer, ceiling);
    }

    /// Takes a worker's report. `clock` is its clock against ours.
    pub fn report(&mut self, peer: PeerId, report: WorkerReport, clock: ClockOffset) -> Vec<Effect> {
        let mut effects = Vec::new();
        let merged = match report {
            WorkerReport::Ready(trial, ceiling) if trial == self.trial => {
                if let Some(ceiling) = ceiling {
                    self.merge.ceiling(peer, ceiling);
                }
                if let Phase::Preparing { missing, .. } = &mut self.phase {
                    missing.retain(|m| *m != peer);
                }
                Ok(())
            }
            WorkerReport::Interval(interval) if interval.trial == self.trial => {
                let ack = WorkerCommand::Ack(self.trial, Acked::Interval(interval.seq));
                self.merge.interval(peer, clock, &interval).map(|()| effects.push(Effect::Tell(peer, ack)))
            }
            WorkerReport::Records(records) if records.trial == self.trial => {
                let ack = WorkerCommand::Ack(self.trial, Acked::Records(records.seq));
                self.merge
                    .records(peer, clock, records)
                    .map(|kept| effects.extend([Effect::Keep(kept), Effect::Tell(peer, ack)]))
            }
            WorkerReport::TrialDone(trial, end) if trial == self.trial => self.merge.done(peer, clock, end),
            WorkerReport::Fault(trial, message) if trial.is_none_or(|t| t == self.trial) => {
                self.merge.give_up(peer, NotSentReason::WorkerFault);
                effects.push(Effect::Drop(peer, format!("it reported a fault: {message}")));
                Ok(())
            }
            // A straggler of an earlier trial, which has its outcome already.
            _ => Ok(()),
        };
        if let Err(error) = merged {
            self.merge.give_up(peer, NotSentReason::WorkerFault);
            effects.push(Effect::Drop(peer, format!("its account contradicts itself: {error}")));
        }
        effects
    }

    /// Notes that a worker vanished.
    pub fn lost(&mut self, peer: PeerId) {
        self.merge.give_up(peer, NotSentReason::WorkerLost);
        if let Phase::Preparing { missing, .. } = &mut self.phase {
            missing.retain(|m| *m != peer);
        }
    }

    /// Which trial.
    pub fn trial(&self) -> TrialId {
        self.trial
    }

    /// Releases the barrier when everybody is ready, and gives up who keeps the others waiting.
    /// `clocks` gives each worker's clock against ours.
    pub fn tick(&mut self, clocks: impl Fn(PeerId) -> Option<ClockOffset>, now: Mono) -> Vec<Effect> {
        let mut effects = Vec::new();
        match &self.phase {
            Phase::Preparing { missing, .. } if missing.is_empty() => {
                let peers: Vec<_> = self.merge.open().filter_map(|p| Some((p, clocks(p)?))).collect();
                // The error of a clock is half its round trip: the command needs that long at least.
                let travel = peers.iter().map(|(_, c)| Duration::from_nanos(c.error_ns * 4)).max();
                let start = now + MIN_LEAD.max(travel.unwrap_or_default());
                for (peer, clock) in peers {
                    effects.push(Effect::Tell(peer, WorkerCommand::Start(self.trial, clock.to_peer(start))));
                }
                effects.push(Effect::Begins(start));
                self.merge.starts_at(start);
                self.phase = Phase::Running { start };
            }
            Phase::Preparing { missing, since } if now.since(*since) > self.patience => {
                let why = format!("it was not ready within {} s", self.patience.as_secs());
                effects.extend(missing.iter().map(|&peer| Effect::Drop(peer, why.clone())));
            }
            // Some services answer the preflight's question alike for every path; the load itself tells then.
            Phase::Running { .. } if no_endpoint(self.merge.warmup(), self.merge.tally()) => {
                return self.stop(NotSentReason::NoEndpoint, now);
            }
            Phase::Running { .. } if self.fails_too_much() => {
                let tally = self.merge.tally();
                effects.push(Effect::Tripped(tally.items_failed, tally.items_ended()));
                effects.extend(self.stop(NotSentReason::ErrorLimit, now));
            }
            Phase::Running { start } if self.last_moment(*start).is_some_and(|last| now > last) => {
                let why = format!(
                    "it did not end its trial, {} s after its last request must have ended",
                    LAST_RESORT.as_secs()
                );
                effects.extend(self.merge.open().map(|peer| Effect::Drop(peer, why.clone())));
            }
            Phase::Stopping { until, .. } if now > *until => {
                let why =
                    format!("it did not end its trial within {} s of the stop", (GRACE + FAREWELL).as_secs());
                effects.extend(self.merge.open().map(|peer| Effect::Drop(peer, why.clone())));
            }
            Phase::Preparing { .. } | Phase::Running { .. } | Phase::Stopping { .. } => {}
        }
        effects
    }

    /// Whether more of the measured phase failed than the plan allows, by what is merged.
    fn fails_too_much(&self) -> bool {
        let (failed, ended) = (self.merge.tally().items_failed, self.merge.tally().items_ended());
        match self.rules.error_limit {
            None => false,
            Some(ErrorLimit::Items(most)) => failed > most,
            Some(ErrorLimit::Share(most)) => {
                ended >= ErrorLimit::LEAST && failed as f64 > most * ended as f64
            }
        }
    }

    /// When every worker must have ended, where anything bounds that: a worker that hangs must not hang the run.
    fn last_moment(&self, start: Mono) -> Option<Mono> {
        self.rules.sends_until.map(|last| start + last + self.timeout + LAST_RESORT)
    }

    /// Stops the load.
    pub fn stop(&mut self, reason: NotSentReason, now: Mono) -> Vec<Effect> {
        if matches!(self.phase, Phase::Stopping { .. }) {
            return Vec::new();
        }
        let start = match self.phase {
            Phase::Running { start } => Some(start),
            Phase::Preparing { .. } | Phase::Stopping { .. } => None,
        };
        self.phase = Phase::Stopping { until: now + GRACE + FAREWELL, start };
        let stop = |peer| Effect::Tell(peer, WorkerCommand::Stop(self.trial, reason, GRACE));
        self.merge.open().map(stop).collect()
    }

    /// Whether every worker's part has ended one way or another.
    pub fn is_over(&self) -> bool {
        self.merge.open().next().is_none()
    }

    /// Whether the load runs as it should: nothing is waited for but the workers' reports.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Time since the start barrier; zero before it.
    pub fn elapsed(&self, now: Mono) -> Duration {
        match self.phase {
            Phase::Running { start } | Phase::Stopping { start: Some(start), .. } => now.since(start),
            Phase::Preparing { .. } | Phase::Stopping { start: None, .. } => Duration::ZERO,
        }
    }

    /// Time since measuring began, as far as is known; zero before it.
    pub fn measured(&self, now: Mono) -> Duration {
        match self.rules.warmup {
            Warmup::None => self.elapsed(now),
            Warmup::Time(warm) => self.elapsed(now).saturating_sub(warm),
            Warmup::Items(_) => self.merge.measured_from().map_or(Duration::ZERO, |from| now.since(from)),
        }
    }

    /// Since the start, when no request is sent any more; as far as that is known.
    pub fn sends_until(&self) -> Option<Duration> {
        self.rules.sends_until
    }

    /// Workers that had a share when it began.
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// What is merged so far.
    pub fn merge(&self) -> &TrialMerge {
        &self.merge
    }

    /// What the trial measured.
    pub fn finish(self, otherwise: NotSentReason) -> TrialOutcome {
        self.merge.finish(otherwise)
    }
}

#[cfg(test)]
mod tests;
