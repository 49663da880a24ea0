//! What reaches the owner of the fleet, and how it answers.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::id::PeerId;
use fluxfleet_proto::message::{AgentCommand, AgentReport, WorkerCommand, WorkerReport};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Everything that peers do, as one stream of events.
#[derive(Debug)]
pub enum Event {
    /// A worker asks to be registered.
    WorkerJoins(WorkerHello, WorkerOutbox, oneshot::Sender<Result<PeerId, Refusal>>),
    /// An agent asks to be registered.
    AgentJoins(AgentHello, AgentOutbox, oneshot::Sender<Result<PeerId, Refusal>>),
    /// A registered worker's message, and when it arrived.
    Worker(PeerId, WorkerReport, Mono),
    /// A registered agent's message, and when it arrived.
    Agent(PeerId, AgentReport, Mono),
    /// A stream ended; why, for people.
    Left(PeerId, String),
    /// Something on the port that is worth a line: garbage, a refused peer.
    Notice(String),
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
}

/// The way down to one peer. Bounded: a peer that does not read is given up rather than waited for.
#[derive(Clone, Debug)]
pub struct Outbox<T>(Option<mpsc::Sender<T>>);

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
        (Self(Some(tx)), rx)
    }

    /// Ends the way down: the peer sees its stream end.
    pub fn close(&mut self) {
        self.0 = None;
    }

    /// Sends a command; `false` when the peer is gone or does not read.
    pub fn send(&self, command: T) -> bool {
        self.0.as_ref().is_some_and(|tx| tx.try_send(command).is_ok())
    }
}
