//! The peers of a run.

use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentCommand, Cadence, Welcome, WorkerCommand};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::Occasion;

use super::{AgentOutbox, ClockTracker, Refusal, WorkerOutbox};
use crate::aggregate::Lost;

/// A peer from which nothing was heard for this long is lost. It answers a clock ping each second.
pub const MAX_SILENCE: Duration = Duration::from_secs(10);

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
    /// Whether it was told to sample.
    pub watching: bool,
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
}

impl Fleet {
    /// Nobody yet; at most this many workers at a time. Agents are welcome in any number.
    pub fn new(run: RunId, max_workers: usize) -> Self {
        Self { run, next_peer: 1, workers: Vec::new(), agents: Vec::new(), max_workers, closed: false }
    }

    /// Turns away workers and agents from now on.
    pub fn close(&mut self) {
        self.closed = true;
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

    /// Registers an agent.
    ///
    /// # Errors
    /// As [`join_worker`](Self::join_worker); the host is its name.
    pub fn join_agent(
        &mut self,
        hello: AgentHello,
        outbox: AgentOutbox,
        now: Mono,
    ) -> Result<PeerId, Refusal> {
        check_version(hello.protocol_version)?;
        if self.agents().any(|a| a.hello.host == hello.host) {
            return Err(Refusal::NameTaken("agent of a host", hello.host, "--host"));
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
            watching: false,
            outbox,
            heard: now,
        });
        Ok(peer)
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
        self.agents.iter().filter(|a| a.lost.is_none())
    }

    /// All workers and agents that ever joined, the lost ones too.
    pub fn everyone(&self) -> (&[Worker], &[Agent]) {
        (&self.workers, &self.agents)
    }

    /// An agent by its number, also a lost one.
    pub fn agent(&self, peer: PeerId) -> Option<&Agent> {
        self.agents.iter().find(|a| a.peer == peer)
    }

    /// A peer's name for people.
    pub fn name(&self, peer: PeerId) -> String {
        let worker = self.workers.iter().find(|w| w.peer == peer).map(|w| format!("worker {}", w.hello.name));
        let agent = || self.agents.iter().find(|a| a.peer == peer).map(|a| format!("agent {}", a.hello.host));
        worker.or_else(agent).unwrap_or_else(|| peer.to_string())
    }

    /// Notes a sign of life.
    pub fn heard(&mut self, peer: PeerId, now: Mono) {
        if let Some(w) = self.worker_mut(peer) {
            w.heard = now;
        } else if let Some(a) = self.agent_mut(peer) {
            a.heard = now;
        }
    }

    /// The tracker of a peer's clock.
    pub fn clock_mut(&mut self, peer: PeerId) -> Option<&mut ClockTracker> {
        if let Some(place) = self.workers.iter().position(|w| w.peer == peer) {
            return Some(&mut self.workers[place].clock);
        }
        self.agent_mut(peer).map(|a| &mut a.clock)
    }

    /// A peer's clock against ours.
    pub fn offset(&self, peer: PeerId, now: Mono) -> Option<ClockOffset> {
        let worker = self.workers.iter().find(|w| w.peer == peer).map(|w| &w.clock);
        worker.or_else(|| self.agents.iter().find(|a| a.peer == peer).map(|a| &a.clock))?.offset_at(now)
    }

    /// Marks a peer as vanished; `false` when it was known to be gone.
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

    /// Sends due pings and tells settled agents to sample. Returns peers that are silent or do
    /// not read, with what was seen.
    pub fn tick(&mut self, cadence: Cadence, now: Mono) -> Vec<(PeerId, String)> {
        let mut gone = Vec::new();
        let silent = |heard: Mono| now.since(heard) > MAX_SILENCE;
        let silence = || format!("nothing was heard of it for {} s", MAX_SILENCE.as_secs());
        let deaf = || "it does not read what is sent to it".to_owned();
        for w in self.workers.iter_mut().filter(|w| w.lost.is_none()) {
            if silent(w.heard) {
                gone.push((w.peer, silence()));
            } else if let Some(id) = w.clock.ping(now)
                && !w.outbox.send(WorkerCommand::ClockPing(id))
            {
                gone.push((w.peer, deaf()));
            }
        }
        for a in self.agents.iter_mut().filter(|a| a.lost.is_none()) {
            if silent(a.heard) {
                gone.push((a.peer, silence()));
                continue;
            }
            let mut reads = a.clock.ping(now).is_none_or(|id| a.outbox.send(AgentCommand::ClockPing(id)));
            if a.clock.settled() && !a.watching {
                a.watching = true;
                reads &= a.outbox.send(AgentCommand::Watch(cadence));
            }
            if !reads {
                gone.push((a.peer, deaf()));
            }
        }
        gone
    }

    /// Has all agents take a sample at an edge of a trial: `at` this instant of our clock, or at once.
    pub fn mark(&self, edge: Occasion, at: Option<Mono>, now: Mono) {
        for a in self.agents() {
            let at = at.and_then(|at| Some(a.clock.offset_at(now)?.to_peer(at)));
            a.outbox.send(AgentCommand::Mark(edge, at));
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

fn check_version(peer: u32) -> Result<(), Refusal> {
    if peer == PROTOCOL_VERSION { Ok(()) } else { Err(Refusal::Version { peer, ours: PROTOCOL_VERSION }) }
}
