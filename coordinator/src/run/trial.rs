//! One trial: who is ready, who has begun, who is done. Synchronous; takes `now`.

use std::time::Duration;

use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::message::{Acked, WorkerCommand, WorkerReport};
use fluxfleet_proto::trial::{Assignment, Share};

use crate::aggregate::{SpooledRecord, TrialMerge, TrialOutcome};

/// A worker that is not ready by then is given up.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);
/// Least time between releasing the barrier and the start, for the command to travel and threads to wake.
const MIN_LEAD: Duration = Duration::from_millis(150);
/// What in-flight requests get after a stop.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Time after the grace in which a worker has to report the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// What is to be done about a trial.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Send a command to a worker.
    Tell(PeerId, WorkerCommand),
    /// Keep these records.
    Keep(Vec<SpooledRecord>),
    /// Drop a worker, and why.
    Drop(PeerId, String),
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
}

impl TrialRun {
    /// A trial whose items are split like this, and the commands that prepare it. `assignment` is completed with
    /// each worker's share.
    pub fn begin(assignment: &Assignment, shares: &[(PeerId, Share)], now: Mono) -> (Self, Vec<Effect>) {
        let prepare = |&(peer, share): &(PeerId, Share)| {
            Effect::Tell(peer, WorkerCommand::Prepare(Box::new(Assignment { share, ..assignment.clone() })))
        };
        let run = Self {
            trial: assignment.trial,
            merge: TrialMerge::new(assignment.trial, shares),
            phase: Phase::Preparing { missing: shares.iter().map(|(peer, _)| *peer).collect(), since: now },
            begun: shares.len(),
        };
        (run, shares.iter().map(prepare).collect())
    }

    /// Takes a worker's report. `clock` is its clock against ours.
    pub fn report(&mut self, peer: PeerId, report: WorkerReport, clock: ClockOffset) -> Vec<Effect> {
        let mut effects = Vec::new();
        let merged = match report {
            WorkerReport::Ready(trial, _) if trial == self.trial => {
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
                self.merge.starts_at(start);
                self.phase = Phase::Running { start };
            }
            Phase::Preparing { missing, since } if now.since(*since) > PREPARE_PATIENCE => {
                let why = format!("it was not ready within {} s", PREPARE_PATIENCE.as_secs());
                effects.extend(missing.iter().map(|&peer| Effect::Drop(peer, why.clone())));
            }
            // Some services answer the preflight's question alike for every path; the load itself tells then.
            Phase::Running { .. } if self.merge.tally().finds_no_endpoint() => {
                return self.stop(NotSentReason::NoEndpoint, now);
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

    /// Time since the start barrier; zero before it.
    pub fn elapsed(&self, now: Mono) -> Duration {
        match self.phase {
            Phase::Running { start } | Phase::Stopping { start: Some(start), .. } => now.since(start),
            Phase::Preparing { .. } | Phase::Stopping { start: None, .. } => Duration::ZERO,
        }
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
mod tests {
    use super::*;
    use fluxfleet_proto::failure::FailureKind;
    use fluxfleet_proto::tally::{Interval, Tally};
    use fluxfleet_proto::trial::{Method, Strategy, Target, TrialEnd, Workload};

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);
    const T: TrialId = TrialId(0);

    fn clock_of(peer: PeerId) -> ClockOffset {
        ClockOffset { offset_ns: i64::from(peer.0) * 1_000_000_000, error_ns: 1000 }
    }

    fn at(ms: i64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    fn begin() -> TrialRun {
        let assignment = Assignment {
            trial: T,
            strategy: Strategy {
                name: "baseline".into(),
                method: Method::Single { path: "/generate".into() },
            },
            target: Target {
                base_url: "http://x".into(),
                timeout: Duration::from_secs(1),
                headers: Vec::new(),
                max_body_bytes: 1,
                transport: fluxfleet_proto::trial::Transport::default(),
            },
            workload: Workload { prompts: vec!["p".into()], parameters_json: "{}".into(), seed: 0 },
            share: Share::default(),
            load: fluxfleet_proto::load::Load::Closed,
            limits: fluxfleet_proto::load::Limits::default(),
            calibrate: None,
            record_requests: false,
            interval: Duration::from_secs(1),
        };
        let share = |first_item| Share { first_item, items: 5, in_flight: 1 };
        let (run, effects) = TrialRun::begin(&assignment, &[(A, share(0)), (B, share(5))], at(0));
        assert_eq!(effects.len(), 2);
        run
    }

    fn starts(effects: &[Effect]) -> Vec<(PeerId, Mono)> {
        let start = |e: &Effect| match e {
            Effect::Tell(peer, WorkerCommand::Start(_, at)) => Some((*peer, *at)),
            _ => None,
        };
        effects.iter().filter_map(start).collect()
    }

    fn ready(run: &mut TrialRun, peer: PeerId) {
        run.report(peer, WorkerReport::Ready(T, None), clock_of(peer));
    }

    fn end(not_sent: u64) -> WorkerReport {
        WorkerReport::TrialDone(
            T,
            TrialEnd {
                intervals: 0,
                records: 0,
                not_sent: Some((not_sent, NotSentReason::Interrupted)),
                started: None,
                active: None,
            },
        )
    }

    #[test]
    fn all_start_at_one_instant_each_on_its_own_clock_once_all_are_ready() {
        let mut run = begin();
        ready(&mut run, A);
        assert!(run.tick(|peer| Some(clock_of(peer)), at(5)).is_empty());
        ready(&mut run, B);
        let starts = starts(&run.tick(|peer| Some(clock_of(peer)), at(10)));
        assert_eq!(starts, [(A, at(1160)), (B, at(2160))]);
        assert!(run.tick(|peer| Some(clock_of(peer)), at(11)).is_empty(), "released once");
    }

    #[test]
    fn a_worker_lost_while_preparing_does_not_hold_up_the_barrier() {
        let mut run = begin();
        ready(&mut run, A);
        run.lost(B);
        assert_eq!(starts(&run.tick(|peer| Some(clock_of(peer)), at(10))).len(), 1);
    }

    #[test]
    fn a_load_that_finds_no_endpoint_is_stopped() {
        let mut run = begin();
        ready(&mut run, A);
        ready(&mut run, B);
        run.tick(|peer| Some(clock_of(peer)), at(5));
        let interval = |seq, kind| {
            let mut tally =
                Tally { requests_sent: 1, requests_failed: 1, items_failed: 1, ..Tally::default() };
            tally.failures.add(kind, 1, None);
            WorkerReport::Interval(Box::new(Interval {
                trial: T,
                seq,
                from: at(1),
                to: at(2),
                phase: fluxfleet_proto::tally::Phase::Measure,
                in_flight: 0,
                tally,
                health: None,
            }))
        };
        run.report(A, interval(0, FailureKind::Http(404)), clock_of(A));
        let stop = |peer| Effect::Tell(peer, WorkerCommand::Stop(T, NotSentReason::NoEndpoint, GRACE));
        assert_eq!(run.tick(|peer| Some(clock_of(peer)), at(20)), [stop(A), stop(B)]);
        assert_eq!(run.tick(|peer| Some(clock_of(peer)), at(40)), []);
        // Started at 155: a stop does not make the time before it unknown.
        assert_eq!(run.elapsed(at(165)), Duration::from_millis(10));

        let mut other = begin();
        ready(&mut other, A);
        ready(&mut other, B);
        other.tick(|peer| Some(clock_of(peer)), at(5));
        other.report(A, interval(0, FailureKind::Http(404)), clock_of(A));
        other.report(B, interval(0, FailureKind::Http(500)), clock_of(B));
        assert_eq!(other.tick(|peer| Some(clock_of(peer)), at(20)), [], "something is there");
    }

    #[test]
    fn who_is_not_ready_in_time_is_dropped() {
        let mut run = begin();
        ready(&mut run, A);
        let effects = run.tick(|peer| Some(clock_of(peer)), at(30_001));
        assert!(matches!(effects.as_slice(), [Effect::Drop(B, _)]), "{effects:?}");
    }

    #[test]
    fn a_stop_reaches_everyone_once_and_the_silent_are_given_up() {
        let mut run = begin();
        let stopped = run.stop(NotSentReason::Interrupted, at(0));
        assert_eq!(stopped.len(), 2);
        assert!(run.stop(NotSentReason::Interrupted, at(1)).is_empty());
        run.report(A, end(5), clock_of(A));
        assert!(!run.is_over());
        let effects = run.tick(|peer| Some(clock_of(peer)), at(5_001));
        assert!(matches!(effects.as_slice(), [Effect::Drop(B, _)]), "{effects:?}");
        run.lost(B);
        assert!(run.is_over());
        let outcome = run.finish(NotSentReason::Interrupted);
        assert_eq!(outcome.not_sent.values().sum::<u64>(), 10);
    }

    #[test]
    fn an_account_that_does_not_add_up_drops_the_worker() {
        let mut run = begin();
        let effects = run.report(A, end(4), clock_of(A));
        assert!(
            matches!(effects.as_slice(), [Effect::Drop(A, why)] if why.contains("contradicts")),
            "{effects:?}"
        );
    }
}
