//! What happens to the fleet that is worth a line.

use std::net::SocketAddr;
use std::time::Duration;

use fluxfleet_proto::id::PeerId;

use super::{ClockStep, Return};

/// A peer, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A worker of this name.
    Worker(String),
    /// The agent of this host.
    Agent(String),
    /// One that never joined, or has no name.
    Unnamed(PeerId),
}

/// What happened. Causes (`why`) are English, as in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A peer vanished.
    Lost(Who, String),
    /// A peer went before the fleet was complete.
    LeftAgain(Who, String),
    /// An agent's stream broke; it goes on reading. Why.
    Away(Who, String),
    /// An agent came back.
    Back(Who, Return),
    /// A peer's clock stepped against the coordinator's.
    ClockStepped(Who, ClockStep),
    /// The run is over, and these agents owe samples: how long they are waited for at most.
    AwaitingSamples(Vec<Who>, Duration),
    /// An agent took samples that it could not deliver.
    Dropped {
        /// Whose they were.
        agent: Who,
        /// How many that did not arrive otherwise.
        missed: u64,
        /// The first one's number.
        first: u64,
        /// What became of them.
        why: String,
    },
    /// An agent sees no GPU.
    NoGpu(Who, String),
    /// Whoever dialled from there was turned away; who it was, if it said so.
    Refused(Option<Who>, String, String),
    /// Something on the port is no peer: it said nothing, or something that is not gRPC.
    Stranger {
        /// From where.
        from: SocketAddr,
        /// It said nothing.
        silent: bool,
    },
    /// Nobody can join any more.
    PortFailed(String),
}
