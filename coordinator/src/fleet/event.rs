//! What reaches the owner of the fleet, and how it answers.

use std::sync::{Arc, OnceLock};

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{AgentCommand, AgentReport, WorkerCommand, WorkerReport};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::Notice;

/// Everything that peers do, as one stream of events.
#[derive(Debug)]
pub enum Event {
    /// A worker asks to be registered.
    WorkerJoins(WorkerHello, WorkerOutbox, oneshot::Sender<Result<PeerId, Refusal>>),
    /// An agent asks to be registered, or to take its place again.
    AgentJoins(AgentHello, AgentOutbox, oneshot::Sender<Result<Seat, Refusal>>),
    /// A registered worker's message, and when it arrived.
    Worker(PeerId, WorkerReport, Mono),
    /// A registered agent's message, and when it arrived.
    Agent(Seat, AgentReport, Mono),
    /// A worker's stream ended; why, for people.
    Left(PeerId, String),
    /// An agent's stream ended; how, and why, for people.
    AgentLeft(Seat, Leaving, String),
    /// Something on the port that is worth a line: garbage, a refused peer.
    Notice(Notice),
}

/// One stream of an agent. Each time it comes back it has another; what comes on an earlier one is not listened to,
/// since the agent says it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The agent.
    pub peer: PeerId,
    /// Counts its streams.
    pub stream: u32,
}

/// How an agent's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It broke, or ended without a goodbye: the agent may come back.
    Broke,
    /// For good: the agent said what makes no sense.
    ForGood,
}

/// Why a peer is turned away.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It speaks another protocol.
    #[error(
        "it speaks protocol version {peer}, this coordinator speaks {ours}; install the same fluxfleet release on both"
    )]
    Version {
        /// The peer's.
        peer: u32,
        /// Ours.
        ours: u32,
    },
    /// The name belongs to another.
    #[error("a {0} named `{1}` takes part already; give this one another name with {2}")]
    NameTaken(&'static str, String, &'static str),
    /// Its first message makes no sense.
    #[error("its first message is not a greeting: {0}")]
    BadGreeting(String),
    /// The fleet is complete.
    #[error("the fleet is complete; start it before the run begins, and raise {0} for it to be waited for")]
    TooLate(&'static str),
    /// It takes part in another run.
    #[error("it takes part in run {theirs}, this is run {ours}; start it anew to join")]
    OtherRun {
        /// The peer's.
        theirs: RunId,
        /// Ours.
        ours: RunId,
    },
    /// The host's agent of this run is another process.
    #[error("the run has an agent of host `{0}` already, another process, whose place this one cannot take")]
    OtherSession(String),
    /// It was away for too long, or left.
    #[error("it was given up: {0}")]
    GivenUp(String),
}

/// The way down to one peer. Bounded: a peer that does not read is given up rather than waited for.
#[derive(Clone, Debug)]
pub struct Outbox<T> {
    commands: Option<mpsc::Sender<T>>,
    cut: Cut,
}

/// Why a way down was cut, once it was.
pub type Cut = Arc<OnceLock<String>>;

/// Down to a worker.
pub type WorkerOutbox = Outbox<WorkerCommand>;
/// Down to an agent.
pub type AgentOutbox = Outbox<AgentCommand>;

/// Commands that may wait for a peer to read them.
const OUTBOX: usize = 4096;

impl<T> Outbox<T> {
    /// An outbox and where its commands come out.
    pub fn new() -> (Self, mpsc::Receiver<T>) {
        let (tx, rx) = mpsc::channel(OUTBOX);
        (Self { commands: Some(tx), cut: Cut::default() }, rx)
    }

    /// Ends the way down: the peer sees its stream end in order.
    pub fn close(&mut self) {
        self.commands = None;
    }

    /// Ends the way down without an end of the peer's part: it sees its stream break.
    pub fn cut(&mut self, why: &str) {
        let _ = self.cut.set(why.to_owned());
        self.close();
    }

    /// Where the reason is found when the way down is cut.
    pub fn when_cut(&self) -> Cut {
        Arc::clone(&self.cut)
    }

    /// Whether nobody is left who could take a command.
    pub fn is_over(&self) -> bool {
        self.commands.as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    /// Sends a command; `false` when the peer is gone or does not read.
    pub fn send(&self, command: T) -> bool {
        self.commands.as_ref().is_some_and(|tx| tx.try_send(command).is_ok())
    }
}
