//! The story of a run: assemble, preflight, one trial after the other, outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::{PeerId, TrialId};
use fluxfleet_proto::message::WorkerCommand;
use fluxfleet_proto::reading::Occasion;
use fluxfleet_proto::trial::Assignment;

use super::conductor::{Conductor, Happening};
use super::ticks::TICK;
use super::trial::GRACE;
use super::{Effect, Finding, Rules, RunError, TrialRun, preflight};
use crate::aggregate::{AgentOutcome, Ending, RunOutcome, StrategyOutcome, TrialOutcome, WorkerOutcome};
use crate::fleet::{Demand, Division, Portion, split_trial};
use crate::live::{self, AssemblyView};
use crate::plan::{FleetPlan, PlannedStrategy};

/// How often workers report.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the live line is renewed.
const LIVE_PERIOD: Duration = Duration::from_millis(250);
/// How long agents watch before the first trial, so that the power of idle GPUs is known.
const IDLE_WATCH: Duration = Duration::from_secs(1);
/// Embedded peers join at once; if not, something is broken.
const EMBEDDED_WAIT: Duration = Duration::from_secs(30);

impl Conductor<'_> {
    /// Everything, from an empty fleet to the outcome.
    pub(super) async fn conduct(mut self, workers: u32) -> Result<RunOutcome, RunError> {
        let ready = self.assemble(workers).await?;
        let watched_since = Clock::now();
        let findings = if ready { self.preflight().await? } else { Vec::new() };
        if ready && self.fleet.agents().next().is_some() {
            let rest = (watched_since + IDLE_WATCH).since(Clock::now());
            self.while_waiting(tokio::time::sleep(rest)).await?;
        }
        let mut outcomes = Vec::new();
        let mut pause_due = false;
        for (index, planned) in self.plan.strategies.clone().into_iter().enumerate() {
            let ending = match findings.get(index) {
                Some(Finding::Missing(why)) => Ending::Skipped(why.clone()),
                _ => match self.try_strategy(index, &planned, pause_due).await? {
                    Ok(trial) => {
                        pause_due = true;
                        Ending::Ran(Box::new(trial))
                    }
                    Err(reason) => Ending::NotStarted(reason),
                },
            };
            outcomes.push(StrategyOutcome { planned, ending });
        }
        self.gather().await?;
        self.rig.live.finish();
        Ok(self.outcome(outcomes))
    }

    /// Waits for everybody; `false` when the user stopped it.
    async fn assemble(&mut self, workers: u32) -> Result<bool, RunError> {
        let wait = match self.plan.fleet {
            FleetPlan::Embedded { .. } => EMBEDDED_WAIT,
            FleetPlan::Remote { wait, .. } => wait,
        };
        let deadline = Clock::now() + wait;
        loop {
            let view = self.assembly_view(workers, deadline.since(Clock::now()));
            let ready = view.complete() && self.fleet.settled();
            // An embedded fleet is no news.
            if matches!(self.plan.fleet, FleetPlan::Remote { .. }) && (ready || !view.complete()) {
                self.rig.live.assembling(&view);
            }
            if ready {
                self.fleet.close();
                self.assembled = true;
                return Ok(true);
            }
            match self.next(true).await? {
                Happening::Interrupted | Happening::Abandoned => return Ok(false),
                Happening::Tick if Clock::now() >= deadline => {
                    let missing = self.missing(&view, workers);
                    self.rig.live.finish();
                    return Err(RunError::Assembly { wait_s: wait.as_secs(), missing });
                }
                Happening::Report(..) | Happening::Lost(_) | Happening::Tick => {}
            }
        }
    }

    fn assembly_view(&self, workers_wanted: u32, left: Duration) -> AssemblyView {
        AssemblyView {
            workers: self.fleet.workers().map(|w| w.hello.name.clone()).collect(),
            workers_wanted,
            agents: self.fleet.agents().map(|a| a.hello.host.clone()).collect(),
            agents_wanted: self.rig.agents,
            left,
        }
    }

    fn missing(&self, view: &AssemblyView, workers: u32) -> String {
        let there = |names: &[String]| {
            if names.is_empty() { "none joined".to_owned() } else { format!("joined: {}", names.join(", ")) }
        };
        format!(
            "{} of {workers} workers ({}), {} of {} agents ({}). Start the missing ones with `fluxfleet-worker \
             --coordinator HOST:PORT` and `fluxfleet-agent --coordinator HOST:PORT`, or give them longer with --wait",
            view.workers.len(),
            there(&view.workers),
            view.agents.len(),
            self.rig.agents,
            there(&view.agents),
        )
    }

    async fn preflight(&mut self) -> Result<Vec<Finding>, RunError> {
        if !self.plan.preflight {
            return Ok(Vec::new());
        }
        let (target, strategies) = (self.plan.target.clone(), self.plan.strategies.clone());
        let Some(findings) = self.while_waiting(preflight(&target, &strategies)).await? else {
            return Ok(Vec::new());
        };
        let findings = findings.inspect_err(|_| self.rig.live.finish())?;
        for (planned, finding) in strategies.iter().zip(&findings) {
            let name = &planned.strategy.name;
            match finding {
                Finding::Usable => {}
                Finding::Doubtful(what) => self.rig.live.note(&format!("{name}: {what}")),
                Finding::Missing(why) => {
                    self.rig.live.note(&live::left_out(name, why, self.plan.output.lang));
                }
            }
        }
        Ok(findings)
    }

    /// One strategy, after the pause that is due. `Err` holds the reason for which it was not begun.
    async fn try_strategy(
        &mut self,
        index: usize,
        planned: &PlannedStrategy,
        pause_due: bool,
    ) -> Result<Result<TrialOutcome, NotSentReason>, RunError> {
        if pause_due && !self.plan.cooldown.is_zero() && !self.stopped() {
            self.rig.live.cooling_down(self.plan.cooldown);
            self.while_waiting(tokio::time::sleep(self.plan.cooldown)).await?;
        }
        if self.stopped() {
            return Ok(Err(NotSentReason::Interrupted));
        }
        if self.fleet.workers().next().is_none() {
            return Ok(Err(NotSentReason::WorkerLost));
        }
        let trial = TrialId(u32::try_from(index).unwrap_or(u32::MAX));
        let outcome = self.trial(trial, planned).await?;
        self.trial_ended = Some(Clock::now());
        if self.fleet.agents().next().is_some() && !self.stopped() {
            // The sample that covers the trial's last moments is taken after them.
            self.while_waiting(tokio::time::sleep(self.plan.sample_period + TICK * 5)).await?;
        }
        Ok(Ok(outcome))
    }

    async fn trial(&mut self, trial: TrialId, planned: &PlannedStrategy) -> Result<TrialOutcome, RunError> {
        let (assignments, rules) = self.assign(trial, planned);
        let (mut run, effects) = TrialRun::begin(assignments, rules, Clock::now());
        for (&peer, &ceiling) in &self.ceilings {
            run.knows(peer, ceiling);
        }
        self.carry_out(&mut run, effects)?;
        let view = self.view(&run, planned);
        self.rig.live.trial_begins(&view);
        while !run.is_over() {
            self.ticks.calm = run.is_running();
            let effects = match self.next(false).await? {
                Happening::Report(peer, report) => match self.fleet.offset(peer, Clock::now()) {
                    Some(clock) => {
                        let mut effects = run.report(peer, report, clock);
                        // What it tells may be the last that was waited for, or more failures than are allowed.
                        effects.extend(self.tick(&mut run));
                        effects
                    }
                    None => Vec::new(),
                },
                Happening::Lost(peer) => {
                    run.lost(peer);
                    Vec::new()
                }
                Happening::Tick => self.tick(&mut run),
                Happening::Interrupted => {
                    let mut effects = run.stop(NotSentReason::Interrupted, Clock::now());
                    if !effects.is_empty() {
                        let text = live::stopping(GRACE, self.plan.output.lang);
                        self.rig.live.note(&text);
                    }
                    effects.extend(self.tick(&mut run));
                    effects
                }
                Happening::Abandoned => break,
            };
            self.carry_out(&mut run, effects)?;
            if Clock::now().since(self.last_live) >= LIVE_PERIOD {
                self.last_live = Clock::now();
                let view = self.view(&run, planned);
                self.rig.live.trial_moves(&view);
            }
        }
        self.ticks.calm = false;
        self.fleet.mark(Occasion::End(trial), None, Clock::now());
        let view = self.view(&run, planned);
        self.rig.live.trial_ends(&view);
        let outcome = run.finish(NotSentReason::Interrupted);
        for worker in &outcome.workers {
            self.ceilings.extend(worker.health.ceiling.map(|ceiling| (worker.peer, ceiling)));
        }
        Ok(outcome)
    }

    fn tick(&self, run: &mut TrialRun) -> Vec<Effect> {
        let now = Clock::now();
        run.tick(|peer| self.fleet.offset(peer, now), now)
    }

    /// Each worker's part of a trial, and what holds for the whole.
    fn assign(&mut self, trial: TrialId, planned: &PlannedStrategy) -> (Vec<(PeerId, Assignment)>, Rules) {
        let threads: Vec<u32> = self.fleet.workers().map(|w| w.hello.threads).collect();
        let demand = Demand {
            load: &self.plan.load,
            items: self.plan.items,
            limits: self.plan.limits,
            in_flight: planned.in_flight,
            items_per_request: planned.strategy.items_per_request(),
        };
        let Division { portions, sends_until } = split_trial(&demand, &threads);
        let peers: Vec<PeerId> = self.fleet.workers().map(|w| w.peer).collect();
        let assign = |(peer, Portion { share, load, limits }): (PeerId, Portion)| {
            // A worker's ceiling is its own: once is enough.
            let first = self.calibrated.insert(peer);
            let assignment = Assignment {
                trial,
                strategy: planned.strategy.clone(),
                target: self.plan.target.clone(),
                workload: self.plan.workload.clone(),
                share,
                load,
                limits,
                calibrate: self.plan.calibrate.filter(|_| first),
                record_requests: self.spool.is_some(),
                interval: INTERVAL,
            };
            (peer, assignment)
        };
        let assignments = peers.into_iter().zip(portions).map(assign).collect();
        let rules =
            Rules { warmup: self.plan.limits.warmup, error_limit: self.plan.error_limit, sends_until };
        (assignments, rules)
    }

    fn carry_out(&mut self, run: &mut TrialRun, effects: Vec<Effect>) -> Result<(), RunError> {
        for effect in effects {
            match effect {
                Effect::Tell(peer, command) => {
                    // A worker that went has perhaps said more than was read yet, which counts: its stream's end,
                    // or a ping that finds no reader, tells when it is lost.
                    let may_fail = matches!(command, WorkerCommand::Ack(..));
                    if !self.fleet.tell_worker(peer, command) && !may_fail {
                        self.lose(peer, "it cannot be told anything any more");
                        run.lost(peer);
                    }
                }
                Effect::Begins(at) => {
                    self.fleet.mark(Occasion::Start(run.trial()), Some(at), Clock::now());
                }
                Effect::Drop(peer, why) => {
                    self.lose(peer, &why);
                    run.lost(peer);
                }
                Effect::Tripped(failed, ended) => {
                    let text = live::tripped(failed, ended, self.plan.output.lang);
                    self.rig.live.note(&text);
                }
                Effect::Keep(records) => {
                    if let Some(spool) = &mut self.spool {
                        for record in &records {
                            spool.append(record)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn outcome(self, strategies: Vec<StrategyOutcome>) -> RunOutcome {
        let now = Clock::now();
        let (workers, agents) = self.fleet.everyone();
        let histories: BTreeMap<_, _> = agents.iter().map(|a| (a.peer, a.clock.history())).collect();
        let workers = workers
            .iter()
            .map(|w| WorkerOutcome {
                peer: w.peer,
                hello: w.hello.clone(),
                clock: w.clock.summary(w.lost.as_ref().map_or(now, |lost| lost.at)),
                lost: w.lost.clone(),
            })
            .collect();
        let agents = agents
            .iter()
            .map(|a| {
                let (samples, gaps) = self.samples.account(a.peer);
                AgentOutcome {
                    peer: a.peer,
                    hello: a.hello.clone(),
                    clock: a.clock.summary(a.lost.as_ref().map_or(now, |lost| lost.at)),
                    lost: a.lost.clone(),
                    samples,
                    gaps,
                }
            })
            .collect();
        RunOutcome {
            run: self.rig.run.clone(),
            interrupted: self.stopped(),
            no_agent: self.rig.no_agent.clone(),
            plan: self.plan,
            began: self.began,
            strategies,
            workers,
            agents,
            samples: self
                .samples
                .finish(|agent, taken, arrived| histories.get(&agent)?.place(taken, arrived)),
            records: self.spool,
        }
    }
}
