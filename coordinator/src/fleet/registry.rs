//! The peers of a run.

use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentCommand, Cadence, Welcome, WorkerCommand};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::{Device, Occasion};

use super::presence::Return;
use super::{AgentOutbox, ClockTracker, Presence, Refusal, Seat, Who, WorkerOutbox};
use crate::aggregate::Lost;

/// A worker from which nothing was heard for this long is lost, an agent is away. It answers a clock ping each second.
pub const MAX_SILENCE: Duration = Duration::from_secs(10);

/// Longer than this between two ticks, it was this process that stood still, and not the peers that were silent.
const MAX_TICK: Duration = Duration::from_secs(1);

/// A registered worker.
#[derive(Debug)]
pub struct Worker {
    /// Its number.
    pub peer: PeerId,
    /// How it introduced itself.
    pub hello: WorkerHello,
    /// Its clock.
    pub clock: ClockTracker,
    /// Set when it vanished.
    pub lost: Option<Lost>,
    outbox: WorkerOutbox,
    heard: Mono,
}

/// A registered agent.
#[derive(Debug)]
pub struct Agent {
    /// Its number.
    pub peer: PeerId,
    /// How it introduced itself.
    pub hello: AgentHello,
    /// Its clock.
    pub clock: ClockTracker,
    /// Set when it vanished.
    pub lost: Option<Lost>,
    /// Whether it is there.
    pub presence: Presence,
    /// Whether it was told to sample, on its present stream.
    pub watching: bool,
    stream: u32,
    outbox: AgentOutbox,
    heard: Mono,
}

/// All workers and agents of a run.
#[derive(Debug)]
pub struct Fleet {
    run: RunId,
    next_peer: u32,
    // Peers stay for the whole run, lost ones too: the report names them.
    workers: Vec<Worker>,
    agents: Vec<Agent>,
    max_workers: usize,
    closed: bool,
    ticked: Option<Mono>,
}

/// What becomes of a peer that fades away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fading {
    /// It may come back.
    Away,
    /// It is lost.
    Lost,
}

impl Fleet {
    /// Nobody yet; at most this many workers at a time. Agents are welcome in any number.
    pub fn new(run: RunId, max_workers: usize) -> Self {
        Self {
            run,
            next_peer: 1,
            workers: Vec::new(),
            agents: Vec::new(),
            max_workers,
            closed: false,
            ticked: None,
        }
    }

    /// Turns away workers and agents from now on. Agents that are away are not part of the run: the fleet is complete
    /// without them.
    pub fn close(&mut self) {
        self.closed = true;
        self.agents.retain(|a| a.lost.is_some() || !a.presence.is_away());
    }

    /// Registers a worker.
    ///
    /// # Errors
    /// [`Refusal`]: another protocol version, a name that is taken by a worker still there, or too late.
    pub fn join_worker(
        &mut self,
        hello: WorkerHello,
        outbox: WorkerOutbox,
        now: Mono,
    ) -> Result<PeerId, Refusal> {
        check_version(hello.protocol_version)?;
        if self.workers().any(|w| w.hello.name == hello.name) {
            return Err(Refusal::NameTaken("worker", hello.name, "--name"));
        }
        if self.closed || self.workers().count() >= self.max_workers {
            return Err(Refusal::TooLate("--workers"));
        }
        let peer = self.number();
        outbox.send(WorkerCommand::Welcome(Welcome { run: self.run.clone(), peer }));
        self.workers.push(Worker {
            peer,
            hello,
            clock: ClockTracker::default(),
            lost: None,
            outbox,
            heard: now,
        });
        Ok(peer)
    }

    /// Registers an agent, or gives one whose stream broke its place again.
    ///
    /// # Errors
    /// As [`join_worker`](Self::join_worker); the host is its name. And one that comes back to another run, to another
    /// agent's place, or after it was given up.
    pub fn join_agent(&mut self, hello: AgentHello, outbox: AgentOutbox, now: Mono) -> Result<Seat, Refusal> {
        check_version(hello.protocol_version)?;
        if let Some(theirs) = hello.run.as_ref().filter(|&theirs| *theirs != self.run) {
            return Err(Refusal::OtherRun { theirs: theirs.clone(), ours: self.run.clone() });
        }
        if let Some(place) = self.agents.iter().position(|a| a.is(&hello)) {
            return self.rejoin(place, outbox, now);
        }
        if let Some(other) = self.agents.iter().find(|a| a.lost.is_none() && a.hello.host == hello.host) {
            match (&other.presence, self.closed) {
                // Before the run begins, an agent that was started anew takes the place of the one before.
                (Presence::Away { .. }, false) => {
                    let peer = other.peer;
                    self.forget(peer);
                }
                (Presence::Away { .. }, true) => return Err(Refusal::OtherSession(hello.host)),
                _ => return Err(Refusal::NameTaken("agent of a host", hello.host, "--host")),
            }
        }
        if self.closed {
            return Err(Refusal::TooLate("--agents"));
        }
        let peer = self.number();
        outbox.send(AgentCommand::Welcome(Welcome { run: self.run.clone(), peer }));
        self.agents.push(Agent {
            peer,
            hello,
            clock: ClockTracker::default(),
            lost: None,
            presence: Presence::Here,
            watching: false,
            stream: 0,
            outbox,
            heard: now,
        });
        Ok(Seat { peer, stream: 0 })
    }

    fn rejoin(&mut self, place: usize, outbox: AgentOutbox, now: Mono) -> Result<Seat, Refusal> {
        let a = &mut self.agents[place];
        if let Some(lost) = &a.lost {
            return Err(Refusal::GivenUp(lost.why.clone()));
        }
        // Perhaps only the agent has noticed that its stream broke.
        a.outbox.cut("another stream of this agent has taken its place");
        a.presence.leave("it came on another stream", a.heard);
        a.presence.hear(now);
        a.outbox = outbox;
        a.stream += 1;
        a.watching = false;
        a.heard = now;
        a.clock.renew();
        a.outbox.send(AgentCommand::Welcome(Welcome { run: self.run.clone(), peer: a.peer }));
        Ok(Seat { peer: a.peer, stream: a.stream })
    }

    fn number(&mut self) -> PeerId {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        peer
    }

    /// Workers that are there, in the order they joined.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|w| w.lost.is_none())
    }

    /// Agents that are there, in the order they joined.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().filter(|a| a.lost.is_none() && !a.presence.is_away())
    }

    /// All workers and agents that ever joined, the lost ones too.
    pub fn everyone(&self) -> (&[Worker], &[Agent]) {
        (&self.workers, &self.agents)
    }

    /// An agent by its number, also a lost one.
    pub fn agent(&self, peer: PeerId) -> Option<&Agent> {
        self.agents.iter().find(|a| a.peer == peer)
    }

    /// A peer, as people know it.
    pub fn who(&self, peer: PeerId) -> Who {
        let worker = self.workers.iter().find(|w| w.peer == peer).map(|w| Who::Worker(w.hello.name.clone()));
        let agent = || self.agent(peer).map(|a| Who::Agent(a.hello.host.clone()));
        worker.or_else(agent).unwrap_or(Who::Unnamed(peer))
    }

    /// Notes a worker's sign of life.
    pub fn heard(&mut self, peer: PeerId, now: Mono) {
        if let Some(w) = self.worker_mut(peer) {
            w.heard = now;
        }
    }

    /// Notes an agent's sign of life; `false` when it came on a stream that is not listened to any more.
    pub fn heard_agent(&mut self, seat: Seat, now: Mono) -> bool {
        let present = self.seated(seat);
        if let Some(a) = self.agent_mut(seat.peer).filter(|_| present) {
            a.heard = now;
            a.presence.hear(now);
        }
        present
    }

    /// Whether a stream is the present one of an agent that is not lost.
    pub fn seated(&self, seat: Seat) -> bool {
        self.agents.iter().any(|a| a.peer == seat.peer && a.stream == seat.stream && a.lost.is_none())
    }

    /// Marks an agent as away; `false` when it was known to be, or is lost.
    pub fn leave(&mut self, peer: PeerId, why: &str) -> bool {
        self.agent_mut(peer).filter(|a| a.lost.is_none()).is_some_and(|a| a.presence.leave(why, a.heard))
    }

    /// An agent found a GPU that was not there when it greeted.
    pub fn found(&mut self, peer: PeerId, device: Device) {
        let Some(agent) = self.agent_mut(peer) else { return };
        match &mut agent.hello.devices {
            Ok(known) if known.iter().any(|d| d.uuid == device.uuid) => {}
            Ok(known) => known.push(device),
            none => *none = Ok(vec![device]),
        }
    }

    /// Counts a new sample of an agent, taken at an instant of our clock; tells how the agent came back, if this shows
    /// that it is up to date again.
    pub fn sampled(&mut self, peer: PeerId, taken: Mono) -> Option<Return> {
        self.agent_mut(peer)?.presence.sampled(taken)
    }

    /// Has an agent that came back be there as before, and tells how it came back.
    pub fn arrive(&mut self, peer: PeerId) -> Option<Return> {
        self.agent_mut(peer)?.presence.arrive()
    }

    /// The tracker of a peer's clock.
    pub fn clock_mut(&mut self, peer: PeerId) -> Option<&mut ClockTracker> {
        if let Some(place) = self.workers.iter().position(|w| w.peer == peer) {
            return Some(&mut self.workers[place].clock);
        }
        self.agent_mut(peer).map(|a| &mut a.clock)
    }

    /// An agent's clock against ours, to place a sample with that it took at `taken`.
    pub fn offset_for(&self, agent: PeerId, taken: Mono, now: Mono) -> Option<ClockOffset> {
        self.agents.iter().find(|a| a.peer == agent)?.clock.offset_for(taken, now)
    }

    /// A peer's clock against ours.
    pub fn offset(&self, peer: PeerId, now: Mono) -> Option<ClockOffset> {
        let worker = self.workers.iter().find(|w| w.peer == peer).map(|w| &w.clock);
        worker.or_else(|| self.agents.iter().find(|a| a.peer == peer).map(|a| &a.clock))?.offset_at(now)
    }

    /// Breaks an agent's stream, so that it learns on the next one that it was given up.
    pub fn cut(&mut self, agent: PeerId, why: &str) {
        if let Some(a) = self.agent_mut(agent) {
            a.outbox.cut(why);
        }
    }

    /// Marks a peer as vanished and ends its stream; `false` when it was known to be gone.
    pub fn lose(&mut self, peer: PeerId, why: &str, now: Mono) -> bool {
        let lost = Some(Lost { at: now, why: why.to_owned() });
        if let Some(w) = self.worker_mut(peer).filter(|w| w.lost.is_none()) {
            w.lost = lost;
            w.outbox.close();
            true
        } else if let Some(a) = self.agent_mut(peer).filter(|a| a.lost.is_none()) {
            a.lost = lost;
            a.outbox.close();
            true
        } else {
            false
        }
    }

    /// Removes a peer that left before the run began: it is not part of the run.
    pub fn forget(&mut self, peer: PeerId) {
        self.workers.retain(|w| w.peer != peer);
        self.agents.retain(|a| a.peer != peer);
    }

    /// Sends to a worker; `false` when it cannot be reached.
    pub fn tell_worker(&self, peer: PeerId, command: WorkerCommand) -> bool {
        self.workers().find(|w| w.peer == peer).is_some_and(|w| w.outbox.send(command))
    }

    /// Sends due pings and tells settled agents to sample. Returns peers that are silent, do not read, or are away for
    /// too long, with what was seen.
    pub fn tick(&mut self, cadence: Cadence, now: Mono) -> Vec<(PeerId, Fading, String)> {
        self.forgive_standstill(now);
        let mut gone = Vec::new();
        let silent = |heard: Mono| now.since(heard) > MAX_SILENCE;
        let silence = || format!("nothing was heard of it for {} s", MAX_SILENCE.as_secs());
        let deaf = || "it does not read what is sent to it".to_owned();
        for w in self.workers.iter_mut().filter(|w| w.lost.is_none()) {
            if silent(w.heard) {
                gone.push((w.peer, Fading::Lost, silence()));
            } else if let Some(id) = w.clock.ping(now)
                && !w.outbox.send(WorkerCommand::ClockPing(id))
            {
                gone.push((w.peer, Fading::Lost, deaf()));
            }
        }
        for a in self.agents.iter_mut().filter(|a| a.lost.is_none()) {
            if a.presence.is_away() {
                if let Some(why) = a.presence.given_up(now) {
                    gone.push((a.peer, Fading::Lost, why.to_owned()));
                }
                continue;
            }
            if silent(a.heard) {
                gone.push((a.peer, Fading::Away, silence()));
                continue;
            }
            let mut reads = a.clock.ping(now).is_none_or(|id| a.outbox.send(AgentCommand::ClockPing(id)));
            if a.clock.settled() && !a.watching {
                a.watching = a.outbox.send(AgentCommand::Watch(cadence));
                reads &= a.watching;
            }
            // One whose stream is over will be heard to leave.
            if !reads && !a.outbox.is_over() {
                gone.push((a.peer, Fading::Lost, deaf()));
            }
        }
        gone
    }

    /// When the next ping of a peer that is there is due; `None`: at once, or nobody is there.
    pub fn next_ping(&self) -> Option<Mono> {
        let workers = self.workers().map(|w| w.clock.due());
        let agents = self.agents().map(|a| a.clock.due());
        // Nothing is less than an instant.
        workers.chain(agents).min().flatten()
    }

    /// Has all agents take a sample at an edge of a trial: `at` this instant of our clock, or at once.
    pub fn mark(&self, edge: Occasion, at: Option<Mono>, now: Mono) {
        for a in self.agents() {
            let at = at.and_then(|at| Some(a.clock.offset_at(now)?.to_peer(at)));
            a.outbox.send(AgentCommand::Mark(edge, at));
        }
    }

    /// Peers could not be heard while this process itself stood still.
    fn forgive_standstill(&mut self, now: Mono) {
        let passed = self.ticked.replace(now).map_or(Duration::ZERO, |ticked| now.since(ticked));
        let stood = passed.saturating_sub(MAX_TICK);
        if !stood.is_zero() {
            self.workers.iter_mut().for_each(|w| w.heard = w.heard + stood);
            self.agents.iter_mut().for_each(|a| a.heard = a.heard + stood);
        }
    }

    /// Acknowledges an agent's samples up to `seq`.
    pub fn ack_samples(&self, peer: PeerId, seq: u64) {
        if let Some(a) = self.agents().find(|a| a.peer == peer) {
            a.outbox.send(AgentCommand::Ack(seq));
        }
    }

    /// Whether all clocks are settled and all agents sample.
    pub fn settled(&self) -> bool {
        self.workers().all(|w| w.clock.settled()) && self.agents().all(|a| a.watching)
    }

    fn worker_mut(&mut self, peer: PeerId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|w| w.peer == peer)
    }

    fn agent_mut(&mut self, peer: PeerId) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|a| a.peer == peer)
    }
}

impl Agent {
    /// Whether a greeting is of this very process.
    fn is(&self, hello: &AgentHello) -> bool {
        self.hello.host == hello.host && self.hello.session == hello.session
    }
}

fn check_version(peer: u32) -> Result<(), Refusal> {
    if peer == PROTOCOL_VERSION { Ok(()) } else { Err(Refusal::Version { peer, ours: PROTOCOL_VERSION }) }
}

#[cfg(test)]
mod tests;
