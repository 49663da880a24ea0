//! The owner of a run's state.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentReport, ClockPong, WorkerReport};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Interrupt, RunError};
use crate::aggregate::{RecordSpool, RunOutcome, SampleMerge};
use crate::fleet::{Event, Fleet};
use crate::live::{self, Live};
use crate::plan::{FleetPlan, Plan};

/// How often pings, patience and progress are looked at.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// What a run is given from outside.
pub struct Rig<'a> {
    /// The run's id.
    pub run: RunId,
    /// What peers do.
    pub events: mpsc::Receiver<Event>,
    /// The user's wish to stop.
    pub interrupt: Interrupt,
    /// Where progress is shown.
    pub live: &'a mut dyn Live,
    /// Agents to wait for: those of the plan, or the embedded one.
    pub agents: u32,
    /// Why there is no agent, when there is none.
    pub no_agent: Option<String>,
}

/// All state of a run. [`super::story`] says what happens with it in which order.
pub(super) struct Conductor<'a> {
    pub(super) plan: Plan,
    pub(super) rig: Rig<'a>,
    pub(super) fleet: Fleet,
    pub(super) samples: SampleMerge,
    pub(super) spool: Option<RecordSpool>,
    ticks: Interval,
    pub(super) began: (Duration, Mono),
    pub(super) last_live: Mono,
    pub(super) assembled: bool,
    /// Workers that were asked for their ceiling, and what they said.
    pub(super) calibrated: BTreeSet<PeerId>,
    /// See `calibrated`.
    pub(super) ceilings: BTreeMap<PeerId, Ceiling>,
}

/// What concerns the part of the run that is under way.
pub(super) enum Happening {
    Report(PeerId, WorkerReport),
    Lost(PeerId),
    Tick,
    Interrupted,
    Abandoned,
}

/// Runs the plan to its outcome. An interrupted run has one too.
///
/// # Errors
/// [`RunError`] when there is nothing to report: no fleet, no target, no usable strategy.
pub async fn conduct(plan: Plan, rig: Rig<'_>) -> Result<RunOutcome, RunError> {
    let spool = if plan.keeps_records() { Some(RecordSpool::create()?) } else { None };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let workers = match plan.fleet {
        FleetPlan::Embedded { workers } | FleetPlan::Remote { workers, .. } => workers.get(),
    };
    let fleet = Fleet::new(rig.run.clone(), workers as usize);
    let began = (Clock::wall(), Clock::now());
    let conductor = Conductor {
        plan,
        rig,
        fleet,
        samples: SampleMerge::default(),
        spool,
        ticks,
        began,
        last_live: began.1,
        assembled: false,
        calibrated: BTreeSet::new(),
        ceilings: BTreeMap::new(),
    };
    conductor.conduct(workers).await
}

impl Conductor<'_> {
    pub(super) fn stopped(&self) -> bool {
        self.rig.interrupt.soft.is_cancelled()
    }

    /// Lets something else go on while peers are served; `None` when the user stops it.
    pub(super) async fn while_waiting<T>(
        &mut self,
        what: impl Future<Output = T>,
    ) -> Result<Option<T>, RunError> {
        let mut what = pin!(what);
        loop {
            if self.stopped() {
                return Ok(None);
            }
            let happening = tokio::select! {
                done = &mut what => return Ok(Some(done)),
                happening = self.next(false) => happening?,
            };
            match happening {
                Happening::Interrupted | Happening::Abandoned => return Ok(None),
                Happening::Report(..) | Happening::Lost(_) | Happening::Tick => {}
            }
        }
    }

    /// The next thing that concerns the part of the run that is under way; everything else is dealt with.
    /// Cancel-safe: nothing is taken that is not dealt with before the next await.
    pub(super) async fn next(&mut self, assembling: bool) -> Result<Happening, RunError> {
        loop {
            let soft = self.rig.interrupt.soft.is_cancelled();
            let event = tokio::select! {
                biased;
                () = self.rig.interrupt.hard.cancelled() => return Ok(Happening::Abandoned),
                () = self.rig.interrupt.soft.cancelled(), if !soft => return Ok(Happening::Interrupted),
                _ = self.ticks.tick() => {
                    let now = Clock::now();
                    if let Some((peer, why)) = self.fleet.tick(self.plan.cadence(), now).into_iter().next() {
                        self.lose(peer, &why);
                        return Ok(Happening::Lost(peer));
                    }
                    // An interrupt noticed elsewhere, as during a pause, must reach the trial too.
                    return Ok(if soft { Happening::Interrupted } else { Happening::Tick });
                }
                event = self.rig.events.recv() => event.ok_or(RunError::PortClosed)?,
            };
            if let Some(happening) = self.handle(event, assembling) {
                return Ok(happening);
            }
        }
    }

    fn handle(&mut self, event: Event, assembling: bool) -> Option<Happening> {
        let now = Clock::now();
        match event {
            Event::WorkerJoins(hello, outbox, reply) => {
                let _ = reply.send(self.fleet.join_worker(hello, outbox, now));
            }
            Event::AgentJoins(hello, outbox, reply) => {
                let absent = hello.devices.as_ref().err().map(|a| (hello.host.clone(), a.to_string()));
                let joined = self.fleet.join_agent(hello, outbox, now);
                if let (Ok(_), Some((host, why))) = (&joined, absent) {
                    self.rig
                        .live
                        .note(&format!("agent {host} sees no GPU ({why}); its system metrics go on"));
                }
                let _ = reply.send(joined);
            }
            Event::Notice(text) => self.rig.live.note(&text),
            Event::Left(peer, why) => {
                if assembling && !self.assembled {
                    let name = self.fleet.name(peer);
                    self.rig.live.note(&format!("{name} left again: {why}"));
                    self.fleet.forget(peer);
                } else if self.lose(peer, &why) {
                    return Some(Happening::Lost(peer));
                }
            }
            Event::Worker(peer, report, at) => {
                self.fleet.heard(peer, at);
                match report {
                    WorkerReport::ClockPong(pong) => {
                        self.clock_answers(peer, pong, at);
                    }
                    report => return Some(Happening::Report(peer, report)),
                }
            }
            Event::Agent(peer, report, at) => self.agent(peer, report, at),
        }
        None
    }

    fn agent(&mut self, peer: PeerId, report: AgentReport, at: Mono) {
        self.fleet.heard(peer, at);
        match report {
            AgentReport::Hello(_) => {}
            AgentReport::ClockPong(pong) => self.clock_answers(peer, pong, at),
            AgentReport::Samples(samples) => {
                // Samples are asked for only once the clock is known.
                if self.fleet.offset(peer, at).is_none() {
                    return;
                }
                let last = samples.last().map(|s| s.seq);
                let host = self.fleet.agent(peer).map(|a| a.hello.host.clone()).unwrap_or_default();
                for sample in samples {
                    for event in &sample.events {
                        self.rig.live.note(&live::gpu_event(&host, event, self.plan.output.lang));
                    }
                    self.samples.sample(peer, at, sample);
                }
                if let Some(last) = last {
                    self.fleet.ack_samples(peer, last);
                }
            }
            AgentReport::Gap(first, last, reason) => {
                self.samples.gap(peer, last);
                let name = self.fleet.name(peer);
                self.rig
                    .live
                    .note(&format!("{name} dropped {} samples: {reason}", (last - first).saturating_add(1)));
            }
        }
    }

    fn clock_answers(&mut self, peer: PeerId, pong: ClockPong, at: Mono) {
        let Some(step) = self.fleet.clock_mut(peer).and_then(|clock| clock.pong(pong, at)) else { return };
        let name = self.fleet.name(peer);
        self.rig.live.note(&format!(
            "the clock of {name} stepped by {:+.3} s against the coordinator's within {:.3} s; what was read in between is \
             placed with an error that covers both",
            step.by_ns as f64 / 1e9,
            step.between.1.since(step.between.0).as_secs_f64(),
        ));
    }

    /// Marks a peer as vanished and says so once.
    pub(super) fn lose(&mut self, peer: PeerId, why: &str) -> bool {
        let news = self.fleet.lose(peer, why, Clock::now());
        if news {
            let name = self.fleet.name(peer);
            self.rig.live.note(&format!("lost {name}: {why}"));
        }
        news
    }
}
