//! The owner of a run's state.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentReport, ClockPong, WorkerReport};
use fluxfleet_proto::reading::GpuEventKind;
use tokio::sync::mpsc;

use super::ticks::Ticks;
use super::{Interrupt, RunError};
use crate::aggregate::{RecordSpool, RunOutcome, SampleMerge};
use crate::fleet::{Event, Fading, Fleet, Leaving, Notice, Return, Seat, Who};
use crate::live::{self, Live};
use crate::plan::{FleetPlan, Plan};

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
    pub(super) ticks: Ticks,
    pub(super) began: (Duration, Mono),
    pub(super) last_live: Mono,
    pub(super) assembled: bool,
    /// When the last trial ended.
    pub(super) trial_ended: Option<Mono>,
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
        ticks: Ticks::new(began.1),
        began,
        last_live: began.1,
        assembled: false,
        trial_ended: None,
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
            let tick = self.ticks.next(self.fleet.settled(), self.fleet.next_ping());
            let event = tokio::select! {
                biased;
                () = self.rig.interrupt.hard.cancelled() => return Ok(Happening::Abandoned),
                () = self.rig.interrupt.soft.cancelled(), if !soft => return Ok(Happening::Interrupted),
                () = tokio::time::sleep_until(Clock::instant(tick).into()) => {
                    let now = Clock::now();
                    self.ticks.ticked(now);
                    for (peer, fading, why) in self.fleet.tick(self.plan.cadence(), now) {
                        match fading {
                            Fading::Away => self.leave(peer, &why),
                            Fading::Lost => {
                                self.fleet.cut(peer, &why);
                                self.lose(peer, &why);
                                return Ok(Happening::Lost(peer));
                            }
                        }
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
                let news = hello.run.is_none();
                let absent = hello.devices.as_ref().err().map(|a| (hello.host.clone(), a.to_string()));
                let joined = self.fleet.join_agent(hello, outbox, now);
                if let (Ok(_), Some((host, why)), true) = (&joined, absent, news) {
                    self.note(&Notice::NoGpu(Who::Agent(host), why));
                }
                if let Ok(seat) = &joined {
                    self.ack_samples(seat.peer);
                }
                let _ = reply.send(joined);
            }
            Event::AgentLeft(seat, ..) if !self.fleet.seated(seat) => {}
            Event::AgentLeft(seat, Leaving::Broke, why) => self.leave(seat.peer, &why),
            Event::Notice(notice) => self.note(&notice),
            Event::Left(peer, why) | Event::AgentLeft(Seat { peer, .. }, Leaving::ForGood, why) => {
                return self.part(peer, &why, assembling);
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
            Event::Agent(seat, report, at) => {
                if self.fleet.heard_agent(seat, at) {
                    if report == AgentReport::Goodbye {
                        return self.part(seat.peer, "its user ended it", assembling);
                    }
                    self.agent(seat.peer, report, at);
                }
            }
        }
        None
    }

    /// A peer left for good.
    fn part(&mut self, peer: PeerId, why: &str, assembling: bool) -> Option<Happening> {
        if assembling && !self.assembled {
            self.note(&Notice::LeftAgain(self.fleet.who(peer), why.to_owned()));
            self.fleet.forget(peer);
            return None;
        }
        self.lose(peer, why).then_some(Happening::Lost(peer))
    }

    fn agent(&mut self, peer: PeerId, report: AgentReport, at: Mono) {
        match report {
            AgentReport::Hello(_) | AgentReport::Goodbye => {}
            AgentReport::ClockPong(pong) => self.clock_answers(peer, pong, at),
            AgentReport::Samples(samples) => {
                let host = self.fleet.agent(peer).map(|a| a.hello.host.clone()).unwrap_or_default();
                for sample in samples {
                    // Samples are asked for only once the clock is known.
                    let Some(clock) = self.fleet.offset_for(peer, sample.taken, at) else { return };
                    let taken = clock.to_local(sample.taken);
                    let events = sample.events.clone();
                    if !self.samples.sample(peer, at, taken, sample) {
                        continue;
                    }
                    for event in events {
                        if let GpuEventKind::Found(device) = &event.kind {
                            self.fleet.found(peer, device.clone());
                        }
                        self.rig.live.note(&live::gpu_event(&host, &event, self.plan.output.lang));
                    }
                    if let Some(back) = self.fleet.sampled(peer, taken) {
                        self.note_return(peer, back);
                    }
                }
                self.ack_samples(peer);
            }
            AgentReport::Gap(first, last, reason) => {
                // What has arrived all the same, on a stream that broke later, is no loss.
                let missed = self.samples.gap(peer, last);
                if missed > 0 {
                    self.note(&Notice::Dropped { agent: self.fleet.who(peer), missed, first, why: reason });
                }
                self.ack_samples(peer);
            }
        }
    }

    fn clock_answers(&mut self, peer: PeerId, pong: ClockPong, at: Mono) {
        let Some(step) = self.fleet.clock_mut(peer).and_then(|clock| clock.pong(pong, at)) else { return };
        self.note(&Notice::ClockStepped(self.fleet.who(peer), step));
    }

    fn ack_samples(&self, peer: PeerId) {
        if let Some(last) = self.samples.next(peer).checked_sub(1) {
            self.fleet.ack_samples(peer, last);
        }
    }

    /// Marks an agent as away and says so once.
    fn leave(&mut self, peer: PeerId, why: &str) {
        let before = self.fleet.arrive(peer);
        if let Some(back) = before {
            self.note_return(peer, back);
        }
        if self.fleet.leave(peer, why) {
            self.note(&Notice::Away(self.fleet.who(peer), why.to_owned()));
        }
    }

    /// Says how an agent came back.
    pub(super) fn note_return(&mut self, peer: PeerId, back: Return) {
        self.note(&Notice::Back(self.fleet.who(peer), back));
    }

    /// Says something in the language of the run.
    pub(super) fn note(&mut self, notice: &Notice) {
        self.rig.live.note(&live::notice(notice, self.plan.output.lang));
    }

    /// Marks a peer as vanished and says so once.
    pub(super) fn lose(&mut self, peer: PeerId, why: &str) -> bool {
        let news = self.fleet.lose(peer, why, Clock::now());
        if news {
            self.note(&Notice::Lost(self.fleet.who(peer), why.to_owned()));
        }
        news
    }
}
